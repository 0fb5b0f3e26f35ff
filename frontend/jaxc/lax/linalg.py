"""`jax.lax.linalg`: decompositions and triangular solves, with their derivatives.

Owns the primitives of `opset/linalg.py`, their rules and the public functions. The rules treat the
last two dimensions as matrices and all others as a batch. Must not import jaxc.numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.primitive import Primitive, primitive
from jaxc.core.trace import get_aval
from jaxc.lax.contraction import dot_general
from jaxc.lax.indexing import gather
from jaxc.lax.joining import concatenate, pad
from jaxc.lax.joining import slice as slice_array
from jaxc.lax.shape import (
    broadcast_in_dim,
    broadcasted_iota,
    cast,
    const,
    expand_dims,
    full,
    reshape,
    shape_of,
    squeeze,
    transpose,
)
from jaxc.transforms import ad, batching
from jaxc_compiler.opset.params import (
    EighImplementation,
    GatherDimensionNumbers,
    Precision,
    SvdAlgorithm,
)

__all__ = [
    "EighImplementation", "SvdAlgorithm", "cholesky", "cholesky_p", "eigh", "eigh_p",
    "householder_product", "householder_product_p", "lu", "lu_p", "lu_pivots_to_permutation",
    "lu_pivots_to_permutation_p", "qr", "qr_p", "svd", "svd_p", "triangular_solve",
    "triangular_solve_p",
]  # fmt: skip

cholesky_p = primitive("cholesky")
eigh_p = primitive("eigh")
householder_product_p = primitive("householder_product")
lu_p = primitive("lu")
lu_pivots_to_permutation_p = primitive("lu_pivots_to_permutation")
qr_p = primitive("qr")
svd_p = primitive("svd")
triangular_solve_p = primitive("triangular_solve")


# ---- public functions -------------------------------------------------------------------------


def cholesky(x: Any, *, symmetrize_input: bool = True) -> Any:
    """The lower triangular L with L L^H = x, NaN if x is not positive definite.

    Args:
      x: square matrices.
      symmetrize_input: take the symmetric part of x first; else only its lower triangle is read.
    """
    return tril(cholesky_p.bind(_symmetrize(x) if symmetrize_input else x))


def eigh(
    x: Any,
    *,
    lower: bool = True,
    symmetrize_input: bool = True,
    sort_eigenvalues: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    implementation: EighImplementation | None = None,
) -> tuple[Any, Any]:
    """Eigenvectors, as columns, and eigenvalues of symmetric (Hermitian) matrices.

    Args:
      x: square matrices.
      lower: which triangle is read.
      symmetrize_input: take the symmetric part of x first.
      sort_eigenvalues: ascending order (always so here).
      subset_by_index: which eigenvalues, from the first up to the second index.
      implementation: accepted for compatibility.
    """
    vectors, values = eigh_p.bind(
        _symmetrize(x) if symmetrize_input else x,
        algorithm=implementation,
        lower=lower,
        sort_eigenvalues=sort_eigenvalues,
        subset_by_index=subset_by_index,
    )
    return vectors, values


def householder_product(a: Any, taus: Any) -> Any:
    """The product of the elementary reflectors in the columns of `a` with factors `taus`."""
    return householder_product_p.bind(a, taus)


def lu(x: Any) -> tuple[Any, Any, Any]:
    """LU factors with partial pivoting: both in one matrix, the pivots, and as a permutation."""
    return tuple(lu_p.bind(x))


def lu_pivots_to_permutation(pivots: Any, permutation_size: int) -> Any:
    """The order of rows that a sequence of row swaps gives."""
    return lu_pivots_to_permutation_p.bind(pivots, permutation_size=permutation_size)


def qr(
    x: Any, *, pivoting: bool = False, full_matrices: bool = True, use_magma: bool | None = None
) -> tuple[Any, ...]:
    """Q with orthonormal columns and upper triangular R, and with `pivoting` the column order."""
    params = {"full_matrices": full_matrices, "pivoting": pivoting, "use_magma": use_magma}
    return tuple(qr_p.bind(x, **params))


def svd(
    x: Any,
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    algorithm: SvdAlgorithm | None = None,
) -> Any:
    """The singular value decomposition (u, s, v^H), or s alone without `compute_uv`."""
    outs = svd_p.bind(
        x,
        algorithm=algorithm,
        compute_uv=compute_uv,
        full_matrices=full_matrices,
        subset_by_index=subset_by_index,
    )
    return (outs[1], outs[0], outs[2]) if compute_uv else outs[0]


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """The x with op(a) x = b (`left_side`) or x op(a) = b, for a triangular matrix a.

    Args:
      a: square matrices; only one triangle is read.
      b: matrices, or vectors if it has one dimension less than a.
      left_side, lower, transpose_a, conjugate_a, unit_diagonal: what a is and where it stands.
    """
    conjugate_a = conjugate_a and dtypes.issubdtype(get_aval(a).dtype, np.complexfloating)
    vector = len(shape_of(b)) == len(shape_of(a)) - 1
    if vector:
        b = expand_dims(b, (-1 if left_side else -2,))
    out = triangular_solve_p.bind(
        a,
        b,
        conjugate_a=conjugate_a,
        left_side=left_side,
        lower=lower,
        transpose_a=transpose_a,
        unit_diagonal=unit_diagonal,
    )
    return squeeze(out, (-1 if left_side else -2,)) if vector else out


# ---- matrices in lax terms ---------------------------------------------------------------------


def _op(name: str) -> Callable[..., Any]:
    """An elementwise primitive whose operands are broadcast to one shape first."""
    prim = primitive(name)

    def apply(x: Any, y: Any) -> Any:
        shape = np.broadcast_shapes(shape_of(x), shape_of(y))
        return prim.bind(_spread(x, shape), _spread(y, shape))

    return apply


_add, _sub, _mul, _div = _op("add"), _op("sub"), _op("mul"), _op("div")


def _spread(x: Any, shape: tuple[int, ...]) -> Any:
    ndim = len(shape_of(x))
    if shape_of(x) == shape:
        return x
    return broadcast_in_dim(x, shape, tuple(range(len(shape) - ndim, len(shape))))


def _is_complex(x: Any) -> bool:
    return dtypes.issubdtype(get_aval(x).dtype, np.complexfloating)


def _real(x: Any) -> Any:
    return primitive("real").bind(x) if _is_complex(x) else x


def _T(x: Any) -> Any:
    ndim = len(shape_of(x))
    return transpose(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def _H(x: Any) -> Any:
    out = _T(x)
    if not _is_complex(x):
        return out
    return primitive("conj").bind(out, input_dtype=get_aval(x).dtype)


def _dot(x: Any, y: Any) -> Any:
    """Matrix product of stacks of matrices with equal batch dimensions."""
    ndim = len(shape_of(x))
    batch = tuple(range(ndim - 2))
    numbers = (((ndim - 1,), (ndim - 2,)), (batch, batch))
    return dot_general(x, y, numbers, precision=Precision.HIGHEST)


def _symmetrize(x: Any) -> Any:
    total = primitive("add").bind(x, _H(x))
    return primitive("div").bind(total, const(x, 2))


def _below_diagonal(rows: int, columns: int, k: int) -> Any:
    row = broadcasted_iota(np.int32, (rows, columns), 0)
    row = primitive("add").bind(row, np.array(k, np.int32))
    column = broadcasted_iota(np.int32, (rows, columns), 1)
    return primitive("ge").bind(row, column)


def tril(x: Any, k: int = 0) -> Any:
    """The lower triangle, up to the k-th diagonal; zeros elsewhere."""
    shape = shape_of(x)
    mask = _spread(_below_diagonal(*shape[-2:], k), shape)
    return primitive("select_n").bind(mask, full(shape, 0, get_aval(x).dtype), x)


def triu(x: Any, k: int = 0) -> Any:
    """The upper triangle, from the k-th diagonal on; zeros elsewhere."""
    shape = shape_of(x)
    mask = _spread(_below_diagonal(*shape[-2:], k - 1), shape)
    return primitive("select_n").bind(mask, x, full(shape, 0, get_aval(x).dtype))


def _eye(x: Any, size: int) -> Any:
    """The identity matrix with the dtype of x."""
    row, column = (broadcasted_iota(np.int32, (size, size), d) for d in (0, 1))
    return cast(primitive("eq").bind(row, column), get_aval(x).dtype)


def _diagonal(x: Any) -> Any:
    size = shape_of(x)[-1]
    axes = (len(shape_of(x)) - 1,)
    masked = _mul(x, _eye(x, size))
    return primitive("reduce_sum").bind(masked, axes=axes, out_sharding=None)


def _columns(x: Any, start: int, stop: int) -> Any:
    shape = shape_of(x)
    limits = (*shape[:-1], stop)
    return slice_array(x, (*(0,) * (len(shape) - 1), start), limits)


def _rows(x: Any, start: int, stop: int) -> Any:
    return _T(_columns(_T(x), start, stop))


# ---- derivatives -------------------------------------------------------------------------------


def _zeros_of(outs: Any) -> list[Any]:
    return [ad.Zero.from_primal_value(out) for out in outs]


def _cholesky_jvp(primals, tangents):
    factor = tril(cholesky_p.bind(*primals))
    if type(tangents[0]) is ad.Zero:
        return factor, ad.Zero.from_primal_value(factor)
    inner = triangular_solve(factor, tangents[0], transpose_a=True, conjugate_a=True, lower=True)
    inner = tril(triangular_solve(factor, inner, left_side=True, lower=True))
    halved = _div(inner, _add(_eye(inner, shape_of(inner)[-1]), const(inner, 1)))
    return factor, _dot(factor, halved)


def _triangular_solve_jvp_a(g, out, a, b, **params):
    """d(a^-1 b) = -a^-1 da a^-1 b, with the products in the cheaper order."""
    skip = int(params["unit_diagonal"])
    g = tril(g, -skip) if params["lower"] else triu(g, skip)
    g = primitive("neg").bind(g)
    g = _T(g) if params["transpose_a"] else g
    if params["conjugate_a"]:
        g = primitive("conj").bind(g, input_dtype=get_aval(g).dtype)
    rows, columns = shape_of(b)[-2:]
    if params["left_side"]:
        if rows > columns:
            return triangular_solve(a, _dot(g, out), **params)
        return _dot(triangular_solve(a, g, **params), out)
    if rows < columns:
        return triangular_solve(a, _dot(out, g), **params)
    return _dot(out, triangular_solve(a, g, **params))


def _triangular_solve_transpose(ct, a, b, *, transpose_a, **params):
    if type(ct) is ad.Zero:
        return [None, ad.Zero(b.aval)]
    return [None, triangular_solve(a, ct, transpose_a=not transpose_a, **params)]


def _lu_jvp(primals, tangents):
    outs = lu_p.bind(*primals)
    factors, _, order = outs
    if type(tangents[0]) is ad.Zero:
        return outs, _zeros_of(outs)
    *batch, rows, columns = shape_of(factors)
    rank, none = min(rows, columns), [(0, 0, 0)] * len(batch)
    zero = const(factors, 0)
    lower = pad(tril(_columns(factors, 0, rank), -1), zero, [*none, (0, 0, 0), (0, rows - rank, 0)])
    lower = _add(lower, _eye(lower, rows))
    upper = pad(triu(_rows(factors, 0, rank)), zero, [*none, (0, columns - rank, 0), (0, 0, 0)])
    rest = _eye(upper, columns - rank)
    upper = _add(upper, pad(rest, zero, [(rank, 0, 0), (rank, 0, 0)]))
    inner = _take_rows(tangents[0], order)
    inner = triangular_solve(lower, inner, left_side=True, lower=True, unit_diagonal=True)
    inner = triangular_solve(upper, inner)
    tangent = _add(_dot(lower, tril(inner, -1)), _dot(triu(inner), upper))
    return outs, [tangent, *_zeros_of(outs[1:])]


def _take_rows(x: Any, order: Any) -> Any:
    """The rows of each matrix in an order of its own."""
    *batch, _, columns = shape_of(x)
    ndim, dims = len(batch), tuple(range(len(batch)))
    numbers = GatherDimensionNumbers((ndim + 1,), (ndim,), (ndim,), dims, dims)
    sizes = (*[1] * ndim, 1, columns)
    return gather(x, expand_dims(order, (ndim + 1,)), numbers, sizes)


def _thin_qr_jvp(q, r, dx):
    """Of a tall or square matrix with Q of its shape."""
    inner = triangular_solve(r, dx)
    rotated = _dot(_H(q), inner)
    below = tril(rotated, -1)
    turn = _sub(below, _H(below))
    if _is_complex(rotated):  # the diagonal of R stays real
        imaginary = _sub(rotated, cast(_real(rotated), get_aval(rotated).dtype))
        turn = _add(turn, _mul(_eye(turn, shape_of(r)[-1]), imaginary))
    dq = _add(_dot(q, _sub(turn, rotated)), inner)
    return dq, _dot(_sub(rotated, turn), r)


def _qr_jvp(primals, tangents, *, full_matrices, pivoting, use_magma):
    (x,) = primals
    params = {"full_matrices": full_matrices, "pivoting": pivoting, "use_magma": use_magma}
    outs = qr_p.bind(x, **params)
    if type(tangents[0]) is ad.Zero:
        return outs, _zeros_of(outs)
    q, r, dx = outs[0], outs[1], tangents[0]
    rows, columns = shape_of(x)[-2:]
    if pivoting:
        dx, x = (_T(_take_rows(_T(m), outs[2])) for m in (dx, x))
    if rows > columns and full_matrices:
        raise NotImplementedError(
            "QR derivatives with full_matrices=True are not implemented for matrices with more "
            "rows than columns."
        )
    if rows >= columns:
        dq, dr = _thin_qr_jvp(q, r, dx)
    else:
        dq, dr = _thin_qr_jvp(q, _columns(r, 0, rows), _columns(dx, 0, rows))
        right = _add(
            _dot(_H(dq), _columns(x, rows, columns)), _dot(_H(q), _columns(dx, rows, columns))
        )
        dr = concatenate([dr, right], len(shape_of(dr)) - 1)
    return outs, [dq, dr, *_zeros_of(outs[2:])]


def _gaps(values: Any) -> Any:
    """values_j - values_i at (i, j)."""
    ndim = len(shape_of(values))
    return _sub(expand_dims(values, (ndim - 1,)), expand_dims(values, (ndim,)))


def _reciprocal_off_diagonal(x: Any) -> Any:
    eye = _eye(x, shape_of(x)[-1])
    shifted = _add(x, eye)
    return _sub(_div(full(shape_of(shifted), 1, get_aval(x).dtype), shifted), eye)


def _eigh_jvp(primals, tangents, *, subset_by_index, **params):
    (x,) = primals
    if subset_by_index not in (None, (0, shape_of(x)[-1])):
        raise NotImplementedError("Derivatives not defined for partial eigen decomposition.")
    outs = eigh_p.bind(_symmetrize(x), subset_by_index=subset_by_index, **params)
    if type(tangents[0]) is ad.Zero:
        return outs, _zeros_of(outs)
    vectors, values = outs
    gaps = _gaps(cast(values, get_aval(x).dtype))
    inner = _dot(_dot(_H(vectors), tangents[0]), vectors)
    dvectors = _dot(vectors, _mul(_reciprocal_off_diagonal(gaps), inner))
    return outs, [dvectors, _diagonal(_real(inner))]


def _svd_jvp(primals, tangents, *, compute_uv, full_matrices, **params):
    (x,) = primals
    rows, columns = shape_of(x)[-2:]
    if compute_uv and full_matrices and rows != columns:
        raise NotImplementedError(
            "Singular value decomposition JVP not implemented for full matrices"
        )
    s, u, vt = svd_p.bind(x, compute_uv=True, full_matrices=False, **params)
    outs = [s, u, vt] if compute_uv else [s]
    dx = tangents[0]
    if type(dx) is ad.Zero:
        return outs, _zeros_of(outs)
    v = _H(vt)
    inner = _dot(_dot(_H(u), dx), v)
    ds = _diagonal(_real(inner))
    if not compute_uv:
        return outs, [ds]
    dtype, ndim = get_aval(x).dtype, len(shape_of(s))
    row, column = expand_dims(s, (ndim - 1,)), expand_dims(s, (ndim,))
    gaps = _mul(_add(row, column), _sub(row, column))
    weight = cast(_reciprocal_off_diagonal(gaps), dtype)
    scaled, turned = _mul(cast(row, dtype), inner), _mul(cast(column, dtype), inner)
    zero = cast(primitive("eq").bind(s, full(shape_of(s), 0, get_aval(s).dtype)), get_aval(s).dtype)
    inverse = _sub(_div(full(shape_of(s), 1, get_aval(s).dtype), _add(s, zero)), zero)
    on_diagonal = _mul(expand_dims(cast(inverse, dtype), (ndim,)), _eye(inner, shape_of(s)[-1]))
    skew = _mul(_mul(_sub(inner, _H(inner)), const(inner, 0.5)), on_diagonal)
    du = _dot(u, _add(_mul(weight, _add(scaled, _H(scaled))), skew))
    dv = _dot(v, _mul(weight, _add(turned, _H(turned))))
    if rows > columns:
        outside = _dot(dx, v)
        outside = _sub(outside, _dot(u, _dot(_H(u), outside)))
        du = _add(du, _div(outside, cast(row, dtype)))
    if columns > rows:
        outside = _dot(_H(dx), u)
        outside = _sub(outside, _dot(v, _dot(vt, outside)))
        dv = _add(dv, _div(outside, cast(row, dtype)))
    return outs, [ds, du, _H(dv)]


# ---- batching: every op takes leading dimensions -----------------------------------------------


def _leading_batch(prim: Primitive) -> Callable[..., Any]:
    def rule(args, dims, **params):
        size = next(shape_of(x)[d] for x, d in zip(args, dims) if d is not None)
        full_args = [batching.bdim_at_front(x, d, size) for x, d in zip(args, dims)]
        out = prim.bind(*full_args, **params)
        return (out, [0] * len(out)) if prim.multiple_results else (out, 0)

    return rule


def _triangular_solve_batch(args, dims, **params):
    (a, b), (a_dim, b_dim) = args, dims
    if a_dim is not None or len(shape_of(a)) != 2:
        return _leading_batch(triangular_solve_p)(args, dims, **params)
    # one matrix, many right-hand sides: they stand side by side in one solve
    if params["left_side"]:
        b = batching.moveaxis(b, b_dim, -1)
        rows, columns, size = shape_of(b)
        out = triangular_solve(a, reshape(b, (rows, columns * size)), **params)
        return reshape(out, (rows, columns, size)), 2
    b = batching.moveaxis(b, b_dim, 0)
    size, rows, columns = shape_of(b)
    out = triangular_solve(a, reshape(b, (size * rows, columns)), **params)
    return reshape(out, (size, rows, columns)), 0


ad.primitive_jvps[cholesky_p] = _cholesky_jvp
ad.primitive_jvps[eigh_p] = _eigh_jvp
ad.primitive_jvps[lu_p] = _lu_jvp
ad.primitive_jvps[qr_p] = _qr_jvp
ad.primitive_jvps[svd_p] = _svd_jvp
ad.primitive_jvps[householder_product_p] = ad.Missing(
    "Differentiation rule for 'householder_product' not implemented"
)
ad.defjvp_zero(lu_pivots_to_permutation_p)
ad.defjvp2(
    triangular_solve_p,
    _triangular_solve_jvp_a,
    lambda g, out, a, b, **params: triangular_solve(a, g, **params),
)
ad.primitive_transposes[triangular_solve_p] = _triangular_solve_transpose
for _prim in (
    cholesky_p, eigh_p, householder_product_p, lu_p, lu_pivots_to_permutation_p, qr_p, svd_p,
):  # fmt: skip
    batching.primitive_batchers[_prim] = _leading_batch(_prim)
batching.primitive_batchers[triangular_solve_p] = _triangular_solve_batch
