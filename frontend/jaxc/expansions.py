"""Ops that are compiled as programs of simpler ops: decompositions, scatters of any function.

Eager mode calls LAPACK; `lowering.py` traces these in its place, so that a compiled decomposition
needs no library and runs on every target. Functions take one matrix; batches are mapped. Owns
`EXPANSIONS`; imports `jaxc.numpy` and is imported by the lowering only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import jaxc.numpy as jnp
from jaxc import lax
from jaxc.core.jaxpr import eval_jaxpr
from jaxc.transforms.api import vmap
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.op import OPS
from jaxc_compiler.opset.params import GatherDimensionNumbers, ScatterDimensionNumbers

EXPANSIONS: dict[str, Callable[..., Any]] = {}


def expands(name: str, ranks: tuple[int, ...]) -> Callable[[Callable], Callable]:
    """Register the expansion of an op whose operands have these ranks without a batch."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        def mapped(*operands: Any, **params: Any) -> Any:
            if not operands[0].size:
                return _of_nothing(name, operands, params)
            one = lambda *xs: function(*xs, **params)  # noqa: E731
            for _ in range(operands[0].ndim - ranks[0]):
                one = vmap(one)
            return one(*operands)

        EXPANSIONS[name] = mapped
        return function

    return register


def _of_nothing(name: str, operands: Any, params: dict[str, Any]) -> Any:
    """The results for empty matrices: identities and unchanged orders, where not empty too."""
    op = OPS[name]
    avals = op.infer(*[ShapedArray(x.shape, x.dtype) for x in operands], **params)
    results = []
    for aval in avals if op.multiple_results else [avals]:
        value = jnp.zeros(aval.shape, aval.dtype)
        if aval.dtype == np.int32:
            value = value + jnp.arange(aval.shape[-1], dtype=np.int32)
        elif aval.ndim > 1 and aval.shape[-1] == aval.shape[-2]:
            value = value + jnp.eye(aval.shape[-1], dtype=aval.dtype)
        results.append(value)
    return results if op.multiple_results else results[0]


def _column(n: int) -> Any:
    return jnp.arange(n)


def _conj(x: Any) -> Any:
    return jnp.conj(x) if jnp.iscomplexobj(x) else x


def _where_nan(bad: Any, *outs: Any) -> Any:
    return [jnp.where(bad, jnp.full_like(x, jnp.nan), x) for x in outs]


@expands("cholesky", (2,))
def cholesky(x: Any) -> Any:
    """Column by column; a matrix that is not positive definite gives NaN."""
    n = x.shape[0]
    rows = _column(n)

    def step(k: Any, state: Any) -> Any:
        rest, factor = state
        root = jnp.sqrt(jnp.real(rest[k, k])).astype(x.dtype)
        column = jnp.where(rows >= k, rest[:, k] / root, 0)
        column = jnp.where(rows == k, root, column)
        return rest - column[:, None] * _conj(column)[None, :], factor.at[:, k].set(column)

    lower = lax.fori_loop(0, n, step, (x, jnp.zeros_like(x)))[1]
    return _where_nan(jnp.isnan(jnp.real(jnp.diagonal(lower))).any(), lower)[0]


@expands("triangular_solve", (2, 2))
def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> Any:
    """Substitution, one row of the result at a time."""
    a = _conj(a) if conjugate_a else a
    if transpose_a == left_side:  # x a = b is aᵀ xᵀ = bᵀ
        a, lower = a.T, not lower
    b = b if left_side else b.T
    n = a.shape[0]
    columns = _column(n)

    def step(i: Any, x: Any) -> Any:
        row = i if lower else n - 1 - i
        known = columns < row if lower else columns > row
        value = b[row] - jnp.where(known, a[row], 0) @ x
        return x.at[row].set(value if unit_diagonal else value / a[row, row])

    x = lax.fori_loop(0, n, step, jnp.zeros_like(b))
    return x if left_side else x.T


@expands("lu", (2,))
def lu(x: Any) -> Any:
    """Partial pivoting, one column at a time."""
    m, n = x.shape
    count = min(m, n)
    rows, columns = _column(m), _column(n)

    def step(k: Any, state: Any) -> Any:
        a, pivots, order = state
        size = jnp.abs(jnp.real(a[:, k])) + (jnp.abs(jnp.imag(a[:, k])) if _is_complex(a) else 0)
        pivot = jnp.argmax(jnp.where(rows >= k, size, -1)).astype(np.int32)
        a, order = _swap(a, k, pivot), _swap(order, k, pivot)
        below = (rows > k) & (a[k, k] != 0)
        factors = jnp.where(below, a[:, k] / jnp.where(a[k, k] == 0, 1, a[k, k]), 0)
        a = a - factors[:, None] * jnp.where(columns > k, a[k], 0)[None, :]
        a = a.at[:, k].set(jnp.where(below, factors, a[:, k]))
        return a, pivots.at[k].set(pivot), order

    init = x, jnp.zeros(count, np.int32), jnp.arange(m, dtype=np.int32)
    return lax.fori_loop(0, count, step, init)


def _is_complex(x: Any) -> bool:
    return jnp.iscomplexobj(x)


def _swap(x: Any, i: Any, j: Any) -> Any:
    first, second = x[i], x[j]
    return x.at[i].set(second).at[j].set(first)


@expands("lu_pivots_to_permutation", (1,))
def lu_pivots_to_permutation(pivots: Any, *, permutation_size: int) -> Any:
    """The row exchanges, one after the other."""
    order = jnp.arange(permutation_size, dtype=np.int32)
    return lax.fori_loop(0, pivots.shape[0], lambda i, p: _swap(p, i, pivots[i]), order)


@expands("qr", (2,))
def qr(x: Any, *, full_matrices: bool, pivoting: bool, use_magma: Any = None) -> Any:
    """Householder reflections with LAPACK's signs."""
    if pivoting:
        raise NotImplementedError("qr with pivoting cannot be compiled yet")
    m, n = x.shape
    count, rank = min(m, n), (m if full_matrices else min(m, n))
    rows = _column(m)

    def step(k: Any, state: Any) -> Any:
        r, vectors, taus = state
        vector, tau, beta = _reflector(r[:, k], k, rows)
        r = r - _conj(tau) * vector[:, None] * (_conj(vector) @ r)[None, :]
        cleared = jnp.where(rows > k, 0, jnp.where(rows == k, beta, r[:, k]))
        return r.at[:, k].set(cleared), vectors.at[:, k].set(vector), taus.at[k].set(tau)

    init = x, jnp.zeros((m, count), x.dtype), jnp.zeros(count, x.dtype)
    r, vectors, taus = lax.fori_loop(0, count, step, init)
    q = _product_of_reflections(vectors, taus, jnp.eye(m, rank, dtype=x.dtype))
    return [q, r[:rank]]


def _reflector(column: Any, k: Any, rows: Any) -> Any:
    """v (v[k] = 1), tau and beta with (1 - tau* v vᴴ) column = beta e_k below row k."""
    below = jnp.where(rows > k, column, 0)
    tail = jnp.sum(jnp.real(below * _conj(below)))
    alpha = column[k]
    head = jnp.real(alpha)
    norm = jnp.sqrt(jnp.real(alpha * _conj(alpha)) + tail)
    beta = jnp.where(head > 0, -norm, norm)
    nothing = tail == 0
    if _is_complex(column):
        nothing = nothing & (jnp.imag(alpha) == 0)
    safe = jnp.where(nothing, 1, beta)
    tau = jnp.where(nothing, 0, (safe - alpha) / safe)
    vector = below / jnp.where(nothing, 1, alpha - safe)
    return jnp.where(rows == k, 1, vector), tau, jnp.where(nothing, alpha, beta.astype(alpha.dtype))


def _product_of_reflections(vectors: Any, taus: Any, start: Any) -> Any:
    """(1 - tau_0 v_0 v_0ᴴ) (1 - tau_1 ...) ... start."""
    count = taus.shape[0]

    def step(i: Any, q: Any) -> Any:
        k = count - 1 - i
        v = vectors[:, k]
        return q - taus[k] * v[:, None] * (_conj(v) @ q)[None, :]

    return lax.fori_loop(0, count, step, start)


@expands("householder_product", (2, 1))
def householder_product(a: Any, taus: Any) -> Any:
    """The matrix with orthonormal columns that reflections (in a's columns) stand for."""
    rows, columns = _column(a.shape[0])[:, None], _column(a.shape[1])[None, :]
    vectors = jnp.where(rows > columns, a, jnp.where(rows == columns, 1, 0).astype(a.dtype))
    return _product_of_reflections(vectors, taus, jnp.eye(*a.shape, dtype=a.dtype))


SWEEPS = 30  # Jacobi needs 6 to 10; a matrix with NaN never converges


@expands("eigh", (2,))
def eigh(
    x: Any,
    *,
    lower: bool,
    sort_eigenvalues: bool = True,
    algorithm: Any = None,
    subset_by_index: Any = None,
) -> Any:
    """Cyclic Jacobi rotations; vectors first, values ascending."""
    n = x.shape[0]
    strict = jnp.tril(x, -1) if lower else jnp.triu(x, 1)
    diagonal = jnp.real(jnp.diagonal(x)).astype(x.dtype)
    a = strict + _conj(strict).T + jnp.diag(diagonal)
    scale = jnp.finfo(x.dtype).eps ** 2

    def going(state: Any) -> Any:
        sweep, a, _ = state
        off_diagonal = jnp.where(jnp.eye(n, dtype=bool), 0, a)
        return (sweep < SWEEPS) & (_norm2(off_diagonal) > scale * _norm2(a))

    def rotate(p: Any, q: Any, state: Any) -> Any:
        a, v = state
        c, s = _rotation(jnp.real(a[p, p]), jnp.real(a[q, q]), a[p, q])
        a = _turn_columns(a, p, q, c, s)
        a = _conj(_turn_columns(_conj(a).T, p, q, c, s)).T
        return a, _turn_columns(v, p, q, c, s)

    def sweep(state: Any) -> Any:
        count, a, v = state
        a, v = _for_pairs(n, rotate, (a, v))
        return count + 1, a, v

    if n > 1:
        start = (0, a, jnp.eye(n, dtype=x.dtype))
        _, a, vectors = lax.while_loop(going, sweep, start)
    else:
        vectors = jnp.ones_like(a)
    values = jnp.real(jnp.diagonal(a))
    if sort_eigenvalues:
        order = jnp.argsort(values)
        values, vectors = values[order], vectors[:, order]
    values, vectors = _where_nan(jnp.isnan(values).any(), values, vectors)
    first, last = subset_by_index or (0, n)
    return [vectors[:, first:last], values[first:last]]


def _for_pairs(n: int, visit: Callable[..., Any], state: Any) -> Any:
    """`state = visit(p, q, state)` for every p < q < n."""

    def rows(p: Any, state: Any) -> Any:
        return lax.fori_loop(p + 1, n, lambda q, inner: visit(p, q, inner), state)

    return lax.fori_loop(0, n - 1, rows, state)


def _norm2(a: Any) -> Any:
    return jnp.sum(jnp.real(a * _conj(a)))


def _rotation(app: Any, aqq: Any, apq: Any) -> Any:
    """Cosine (real) and sine (with apq's phase) that make the element (p, q) zero."""
    size = jnp.abs(apq)
    nothing = size == 0
    theta = (aqq - app) / (2 * jnp.where(nothing, 1, size))
    sign = jnp.where(theta >= 0, 1, -1).astype(theta.dtype)
    t = sign / (jnp.abs(theta) + jnp.sqrt(theta * theta + 1))
    c = 1 / jnp.sqrt(t * t + 1)
    phase = apq / jnp.where(nothing, 1, size)
    return jnp.where(nothing, 1, c), jnp.where(nothing, 0, (t * c) * phase)


def _turn_columns(a: Any, p: Any, q: Any, c: Any, s: Any) -> Any:
    first, second = a[:, p], a[:, q]
    return a.at[:, p].set(c * first - _conj(s) * second).at[:, q].set(s * first + c * second)


@expands("svd", (2,))
def svd(
    x: Any,
    *,
    compute_uv: bool,
    full_matrices: bool,
    algorithm: Any = None,
    subset_by_index: Any = None,
) -> Any:
    """One-sided Jacobi: columns are turned until they are orthogonal."""
    m, n = x.shape
    if m < n:
        options = {"compute_uv": compute_uv, "full_matrices": full_matrices}
        outs = svd(_conj(x).T, **options, subset_by_index=subset_by_index)
        return outs[:1] if not compute_uv else [outs[0], _conj(outs[2]).T, _conj(outs[1]).T]
    left, right = _orthogonal_columns(x)
    values = jnp.sqrt(jnp.real(jnp.sum(left * _conj(left), axis=0)))
    order = jnp.argsort(-values)
    values, left, right = values[order], left[:, order], right[:, order]
    bad = jnp.isnan(values).any()
    first, last = subset_by_index or (0, n)
    if not compute_uv:
        return _where_nan(bad, values[first:last])
    # The columns of zero length, and those of a full U, are completed by a QR decomposition.
    scaled = left / jnp.where(values == 0, 1, values)
    q, r = qr(scaled, full_matrices=full_matrices, pivoting=False)
    turn = jnp.diagonal(r)
    turn = jnp.where(jnp.abs(turn) < 0.5, 1, turn / jnp.where(turn == 0, 1, jnp.abs(turn)))
    q = q.at[:, :n].multiply(turn)
    u = q if full_matrices else q[:, first:last]
    vt = _conj(right).T
    vt = vt if full_matrices else vt[first:last]
    return _where_nan(bad, values[first:last], u, vt)


def _orthogonal_columns(x: Any) -> Any:
    """x V with orthogonal columns, and the unitary V."""
    n = x.shape[1]
    if n < 2:
        return x, jnp.eye(n, dtype=x.dtype)
    tolerance = jnp.finfo(x.dtype).eps

    def rotate(p: Any, q: Any, state: Any) -> Any:
        a, v, worst = state
        app, aqq = _norm2(a[:, p]), _norm2(a[:, q])
        apq = jnp.sum(_conj(a[:, p]) * a[:, q])
        length = jnp.sqrt(app) * jnp.sqrt(aqq)
        angle = jnp.where(length == 0, 0, jnp.abs(apq) / jnp.where(length == 0, 1, length))
        c, s = _rotation(app, aqq, jnp.where(angle > tolerance, apq, 0))
        turned = _turn_columns(a, p, q, c, s), _turn_columns(v, p, q, c, s)
        return *turned, jnp.maximum(worst, angle)

    def going(state: Any) -> Any:
        return (state[0] < SWEEPS) & (state[3] > tolerance * 4)

    def sweep(state: Any) -> Any:
        count, a, v, worst = state
        a, v, worst = _for_pairs(n, rotate, (a, v, jnp.zeros_like(worst)))
        return count + 1, a, v, worst

    one = jnp.ones((), jnp.finfo(x.dtype).dtype)
    _, a, v, _ = lax.while_loop(going, sweep, (0, x, jnp.eye(n, dtype=x.dtype), one))
    return a, v


def expand_scatter(
    operand: Any,
    indices: Any,
    updates: Any,
    *,
    dimension_numbers: ScatterDimensionNumbers,
    update_jaxpr: Any,
    update_consts: Any,
    mode: Any,
    **_: Any,
) -> Any:
    """A scatter that combines by any function: a place that is named twice is combined twice."""
    numbers = dimension_numbers
    batch_dims = numbers.operand_batching_dims
    parts = [indices] + [
        lax.broadcasted_iota(indices.dtype, (*indices.shape[:-1], 1), dim)
        for dim in numbers.scatter_indices_batching_dims
    ]
    places = lax.concatenate(parts, indices.ndim - 1)
    places = places.reshape(-1, places.shape[-1])
    scatter_dims = [d for d in range(updates.ndim) if d not in numbers.update_window_dims]
    window = tuple(updates.shape[d] for d in numbers.update_window_dims)
    new = jnp.transpose(updates, (*scatter_dims, *numbers.update_window_dims))
    new = new.reshape(-1, *window)
    dropped = tuple(sorted((*numbers.inserted_window_dims, *batch_dims)))
    targets = (*numbers.scatter_dims_to_operand_dims, *batch_dims)
    dims = tuple(range(len(window)))
    sizes = iter(window)
    slice_sizes = [1 if d in dropped else next(sizes) for d in range(operand.ndim)]

    def combine(old: Any, new: Any) -> Any:
        return eval_jaxpr(update_jaxpr, update_consts, old, new)[0]

    def step(i: Any, x: Any) -> Any:
        reads = GatherDimensionNumbers(dims, dropped, targets)
        old = lax.gather(x, places[i], reads, slice_sizes, mode="clip")
        value = vmap(combine)(old.reshape(-1), new[i].reshape(-1)).reshape(window)
        writes = ScatterDimensionNumbers(dims, dropped, targets)
        return lax.scatter(x, places[i], value, writes, mode=mode)

    return lax.fori_loop(0, places.shape[0], step, operand)


EXPANSIONS["scatter"] = expand_scatter


def expand_reshape(x: Any, *, dimensions: Any, new_sizes: Any, sharding: Any) -> Any:
    """A reshape that reads its operand in another order of dimensions: that of `order="F"`."""
    return lax.reshape(lax.transpose(x, dimensions), new_sizes)


EXPANSIONS["reshape"] = expand_reshape
