"""Linear algebra under SciPy's names (`jax.scipy.linalg`), on `jaxc.numpy` and `lax.linalg`.

SciPy's `overwrite_*`, `check_finite` and `debug` arguments are taken and change nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.numpy.decompositions import lu_solve as _lu_solve_matrix
from jaxc.numpy.promotion import check_arraylike, promote_dtypes_inexact
from jaxc.transforms.api import vmap


def _inexact(name: str, *args: Any) -> list[Any]:
    check_arraylike(name, *args)
    return promote_dtypes_inexact(*[jnp.asarray(arg) for arg in args])


def _adjoint(a: Any) -> Any:
    return jnp.conj(jnp.swapaxes(a, -1, -2))


def _same_batch(a: Any, b: Any) -> tuple[Any, Any]:
    """Matrices broadcast to one batch shape."""
    batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = jnp.broadcast_to(a, batch + a.shape[-2:])
    return a, jnp.broadcast_to(b, batch + b.shape[-2:])


def cholesky(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Any:
    """The upper (or lower) triangular Cholesky factor of positive definite matrices."""
    (a,) = _inexact("cholesky", a)
    factor = lax.linalg.cholesky(a if lower else _adjoint(a), symmetrize_input=False)
    return factor if lower else _adjoint(factor)


def cho_factor(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, bool]:
    """The factor for `cho_solve`, with the flag that says which triangle it is."""
    return cholesky(a, lower), lower


def cho_solve(
    c_and_lower: tuple[Any, bool], b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """x with a x = b, from `cho_factor(a)`."""
    factor, lower = c_and_lower
    factor, b = _inexact("cho_solve", factor, b)
    vector = b.ndim == 1
    factor, b = _same_batch(factor, b[..., None] if vector else b)
    shared = {"left_side": True, "lower": lower}
    first = {"transpose_a": not lower, "conjugate_a": not lower}
    second = {"transpose_a": lower, "conjugate_a": lower}
    b = lax.linalg.triangular_solve(factor, b, **shared, **first)
    b = lax.linalg.triangular_solve(factor, b, **shared, **second)
    return b[..., 0] if vector else b


def solve_triangular(
    a: Any,
    b: Any,
    trans: int | str = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    debug: Any = None,
    check_finite: bool = True,
) -> Any:
    """x with a x = b for triangular `a`.

    Args:
      a: triangular matrices; only one triangle is read.
      b: vectors (one dimension) or matrices.
      trans: 0 or "N" for a, 1 or "T" for its transpose, 2 or "C" for its adjoint.
      lower: which triangle `a` is.
      unit_diagonal: take the diagonal as ones.
      overwrite_b: ignored.
      debug: ignored.
      check_finite: ignored.
    """
    kinds = {0: 0, "N": 0, 1: 1, "T": 1, 2: 2, "C": 2}
    if trans not in kinds:
        raise ValueError(f"Invalid 'trans' value {trans}")
    a, b = _inexact("solve_triangular", a, b)
    vector = b.ndim == 1
    a, b = _same_batch(a, b[..., None] if vector else b)
    x = lax.linalg.triangular_solve(
        a,
        b,
        left_side=True,
        lower=lower,
        transpose_a=kinds[trans] > 0,
        conjugate_a=kinds[trans] == 2,
        unit_diagonal=unit_diagonal,
    )
    return x[..., 0] if vector else x


def solve(
    a: Any,
    b: Any,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    debug: bool = False,
    check_finite: bool = True,
    assume_a: str = "gen",
) -> Any:
    """x with a x = b; `assume_a` "pos" uses Cholesky's factors instead of LU's."""
    if assume_a not in ("gen", "sym", "her", "pos"):
        raise ValueError(f"Expected assume_a to be one of gen, sym, her, pos; got {assume_a!r}")
    if assume_a == "pos":
        a, b = _inexact("solve", a, b)
        # Only one triangle is factored, but the derivative is that of the whole matrix: the added
        # term is zero and carries it.
        factor = cho_factor(lax.stop_gradient(a), lower)
        x = lax.stop_gradient(cho_solve(factor, b))
        residual = b - jnp.matmul(a, x)
        return x + cho_solve(factor, residual - lax.stop_gradient(residual))
    return jnp.linalg.solve(a, b)


def lu(
    a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, ...]:
    """P, L and U with a = P L U; with `permute_l` the product P L and U."""
    (a,) = _inexact("lu", a)
    factors, _, permutation = lax.linalg.lu(a)
    rows, columns = a.shape[-2:]
    count = min(rows, columns)
    real = a.real.dtype
    order = permutation[..., None, :] == jnp.arange(rows, dtype=permutation.dtype)[:, None]
    p = order.astype(real)
    lower = jnp.tril(factors, -1)[..., :count] + jnp.eye(rows, count, dtype=a.dtype)
    upper = jnp.triu(factors)[..., :count, :]
    return (jnp.matmul(p, lower), upper) if permute_l else (p, lower, upper)


def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """Both LU factors in one matrix, and the row swaps, for `lu_solve`."""
    (a,) = _inexact("lu_factor", a)
    factors, pivots, _ = lax.linalg.lu(a)
    return factors, pivots


def lu_solve(
    lu_and_piv: tuple[Any, Any], b: Any, trans: int = 0, overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    """x with a x = b, from `lu_factor(a)`; `trans` 1 for the transpose, 2 for the adjoint."""
    factors, pivots = lu_and_piv
    factors, b = _inexact("lu_solve", factors, b)
    permutation = lax.linalg.lu_pivots_to_permutation(pivots, factors.shape[-1])
    vector = b.ndim == 1
    factors, b = _same_batch(factors, b[..., None] if vector else b)
    permutation = jnp.broadcast_to(permutation, (*factors.shape[:-2], permutation.shape[-1]))

    def one(factors: Any, permutation: Any, b: Any) -> Any:
        return _lu_solve_matrix(factors, permutation, b, trans)

    for _ in range(factors.ndim - 2):
        one = vmap(one)
    x = one(factors, permutation, b)
    return x[..., 0] if vector else x


def qr(
    a: Any,
    overwrite_a: bool = False,
    lwork: Any = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> tuple[Any, ...]:
    """Q and R, with `pivoting` also the column order; R alone (as a tuple) in mode "r"."""
    if mode not in ("full", "r", "economic"):
        raise ValueError(f"Unsupported QR decomposition mode '{mode}'")
    (a,) = _inexact("qr", a)
    q, *rest = lax.linalg.qr(a, pivoting=pivoting, full_matrices=mode != "economic")
    return tuple(rest) if mode == "r" else (q, *rest)


def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The inverse of square matrices."""
    return jnp.linalg.inv(a)


def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The determinant of square matrices."""
    return jnp.linalg.det(a)


def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    """Singular values, and with `compute_uv` the vectors: (U, s, Vh)."""
    found = jnp.linalg.svd(a, full_matrices, compute_uv)
    return tuple(found) if compute_uv else found


def eigh(
    a: Any,
    b: Any = None,
    lower: bool = True,
    eigvals_only: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    turbo: bool = True,
    eigvals: None = None,
    type: int = 1,
    check_finite: bool = True,
) -> Any:
    """Eigenvalues and eigenvectors of Hermitian matrices.

    Raises:
      NotImplementedError: for the generalized problem and for a choice of eigenvalues.
    """
    if b is not None:
        raise NotImplementedError("Only the b=None case of eigh is implemented")
    if type != 1:
        raise NotImplementedError("Only the type=1 case of eigh is implemented.")
    if eigvals is not None:
        raise NotImplementedError("Only the eigvals=None case of eigh is implemented")
    w, v = jnp.linalg.eigh(a, "L" if lower else "U")
    return w if eigvals_only else (w, v)


def block_diag(*arrs: Any) -> Any:
    """A matrix with the given ones along its diagonal."""
    arrs = arrs or (jnp.zeros((1, 0)),)
    dtype = dtypes.result_type(*arrs)
    blocks = [jnp.atleast_2d(jnp.asarray(a).astype(dtype)) for a in arrs]
    bad = [i for i, block in enumerate(blocks) if block.ndim > 2]
    if bad:
        raise ValueError(
            f"Arguments to jax.scipy.linalg.block_diag must have at most 2 dimensions, got "
            f"{arrs[bad[0]]} at argument {bad[0]}."
        )
    columns = sum(block.shape[1] for block in blocks)
    rows, start = [], 0
    for block in blocks:
        end = columns - start - block.shape[1]
        rows.append(jnp.pad(block, ((0, 0), (start, end))))
        start += block.shape[1]
    return jnp.concatenate(rows, axis=0)


def toeplitz(c: Any, r: Any = None) -> Any:
    """The matrix with first column `c` and first row `r`, constant along diagonals."""
    c = jnp.atleast_1d(jnp.asarray(c))
    r = jnp.conj(c) if r is None else jnp.atleast_1d(jnp.asarray(r))
    n, m = c.shape[-1], r.shape[-1]
    batch = jnp.broadcast_shapes(c.shape[:-1], r.shape[:-1])
    dtype = dtypes.result_type(c, r)
    c = jnp.broadcast_to(c, (*batch, n)).astype(dtype)
    r = jnp.broadcast_to(r, (*batch, m)).astype(dtype)
    values = jnp.concatenate([jnp.flip(c, -1), r[..., 1:]], axis=-1)
    index = np.arange(n - 1, -1, -1)[:, None] + np.arange(m)[None, :]
    return values[..., index]


# Denominators' coefficients of the [m/m] Pade approximants of exp, and the norm up to which each
# is accurate (Higham, "The scaling and squaring method for the matrix exponential revisited").
_PADE = {
    3: (120.0, 60.0, 12.0, 1.0),
    5: (30240.0, 15120.0, 3360.0, 420.0, 30.0, 1.0),
    7: (17297280.0, 8648640.0, 1995840.0, 277200.0, 25200.0, 1512.0, 56.0, 1.0),
    13: (64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
         129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
         40840800.0, 960960.0, 16380.0, 182.0, 1.0),
}  # fmt: skip


def expm(A: Any, *, upper_triangular: bool = False, max_squarings: int = 16) -> Any:
    """The matrix exponential by scaling and squaring; NaN beyond `max_squarings` squarings."""
    (A,) = _inexact("expm", A)
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise ValueError(f"Expected A to be a (batched) square matrix, got A.shape={A.shape}.")
    if A.ndim > 2:
        return vmap(lambda a: expm(a, max_squarings=max_squarings))(A)
    double = dtypes.finfo(A.dtype).bits == 64
    order, largest = (13, 5.371920351148152) if double else (7, 3.925724783138660)
    norm = jnp.max(jnp.sum(abs(A), axis=0))
    squarings = jnp.maximum(0, jnp.ceil(jnp.log2(norm / largest)))
    squarings = jnp.where(norm == 0, 0, squarings).astype(int)
    scaled = A / (2.0 ** squarings.astype(A.real.dtype)).astype(A.dtype)
    approximant = _pade(scaled, _PADE[order])
    result = lax.fori_loop(
        0,
        max_squarings,
        lambda i, r: jnp.where(i < squarings, jnp.matmul(r, r), r),
        approximant,
    )
    return jnp.where(squarings > max_squarings, jnp.full_like(A, np.nan), result)


def _pade(a: Any, coefficients: tuple[float, ...]) -> Any:
    identity = jnp.eye(a.shape[0], dtype=a.dtype)
    square = jnp.matmul(a, a)
    odd = jnp.zeros_like(a)
    even = jnp.zeros_like(a)
    power = identity
    for k in range(0, len(coefficients), 2):
        even = even + coefficients[k] * power
        odd = odd + coefficients[k + 1] * power
        power = jnp.matmul(power, square)
    odd = jnp.matmul(a, odd)
    return jnp.linalg.solve(even - odd, even + odd)
