"""Matrix decompositions and what is solved with them, of `jaxc.numpy.linalg`.

Thin over `lax.linalg`: arguments are promoted to floats and results named as NumPy names them.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.numpy import creation, elementwise, manipulation, matrices, reductions
from jaxc.numpy.contractions import matmul
from jaxc.numpy.flipping import flip
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import array_of, check_arraylike, promote_dtypes_inexact
from jaxc.numpy.selection import where
from jaxc.transforms.custom_jvp import custom_jvp


class EighResult(NamedTuple):
    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    Q: Any
    R: Any


class SVDResult(NamedTuple):
    U: Any
    S: Any
    Vh: Any


class SlogdetResult(NamedTuple):
    sign: Any
    logabsdet: Any


def _matrix(name: str, a: Any, square: bool = False) -> Any:
    """The argument as an array of matrices, floating or complex."""
    check_arraylike(f"jnp.linalg.{name}", a)
    (a,) = promote_dtypes_inexact(array_of(a))
    if a.ndim < 2:
        raise ValueError(f"Argument to {name} must have ndim >= 2, got shape {a.shape}")
    if square and a.shape[-1] != a.shape[-2]:
        raise ValueError(f"Argument to {name} must have shape [..., n, n], got shape {a.shape}")
    return a


def _adjoint(a: Any) -> Any:
    return elementwise.conj(manipulation.swapaxes(a, -1, -2))


def cholesky(a: Any, *, upper: bool = False, symmetrize_input: bool = True) -> Any:
    """The lower triangular L with L L^H = a, or the upper U with U^H U = a; NaN if none."""
    a = _matrix("cholesky", a, square=True)
    factor = lax.linalg.cholesky(a, symmetrize_input=symmetrize_input)
    return _adjoint(factor) if upper else factor


def qr(a: Any, mode: str = "reduced") -> Any:
    """Q with orthonormal columns and upper triangular R; only R in mode "r"."""
    a = _matrix("qr", a)
    if mode not in ("reduced", "r", "complete", "full"):
        raise ValueError(f"Unsupported QR decomposition mode '{mode}'")
    q, r = lax.linalg.qr(a, full_matrices=mode in ("complete", "full"))
    return r if mode == "r" else QRResult(q, r)


def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    subset_by_index: tuple[int, int] | None = None,
) -> Any:
    """Singular values in descending order and the singular vectors: a = U diag(S) Vh."""
    a = _matrix("svd", a)
    if hermitian:
        return _hermitian_svd(a, compute_uv)
    options = {"full_matrices": full_matrices, "subset_by_index": subset_by_index}
    if not compute_uv:
        found = lax.linalg.svd(a, compute_uv=False, **options)
        return found[0] if isinstance(found, tuple | list) else found
    u, s, vh = lax.linalg.svd(a, compute_uv=True, **options)
    return SVDResult(u, s, vh)


def _hermitian_svd(a: Any, compute_uv: bool) -> Any:
    w, v = eigh(a)
    order = flip(lax.sort_key_val(abs(w), _positions(w))[1], -1)
    s = _take_last(abs(w), order)
    if not compute_uv:
        return s
    u = _take_last(v, order[..., None, :])
    signs = lax.sign(_take_last(w, order)).astype(u.dtype)
    return SVDResult(u, s, _adjoint(u * signs[..., None, :]))


def _positions(w: Any) -> Any:
    return lax.broadcasted_iota(np.dtype(np.int32), w.shape, w.ndim - 1)


def _take_last(x: Any, order: Any) -> Any:
    from jaxc.numpy.indexing import take_along_axis

    return take_along_axis(x, manipulation.broadcast_to(order, x.shape), -1)


def svdvals(x: Any, /) -> Any:
    """Singular values in descending order."""
    return svd(x, compute_uv=False)


def eigh(a: Any, UPLO: str | None = None, symmetrize_input: bool = True) -> EighResult:
    """Eigenvalues in ascending order and eigenvectors (columns) of Hermitian matrices."""
    a = _matrix("eigh", a, square=True)
    if UPLO not in (None, "L", "U"):
        raise ValueError(f"UPLO must be one of None, 'L', or 'U', got {UPLO}")
    v, w = lax.linalg.eigh(a, lower=UPLO != "U", symmetrize_input=symmetrize_input)
    return EighResult(w, v)


def eigvalsh(a: Any, UPLO: str | None = None, *, symmetrize_input: bool = True) -> Any:
    """Eigenvalues of Hermitian matrices in ascending order."""
    return eigh(a, UPLO, symmetrize_input).eigenvalues


def lu_solve(lu: Any, permutation: Any, b: Any, transpose: int = 0) -> Any:
    """x with a x = b (aᵀ x = b for `transpose` 1, a^H x = b for 2), from one matrix's factors."""
    options = {"left_side": True, "transpose_a": transpose > 0, "conjugate_a": transpose == 2}
    if transpose == 0:
        x = lax.linalg.triangular_solve(
            lu, b[permutation], lower=True, unit_diagonal=True, **options
        )
        return lax.linalg.triangular_solve(lu, x, **options)
    x = lax.linalg.triangular_solve(lu, b, **options)
    x = lax.linalg.triangular_solve(lu, x, lower=True, unit_diagonal=True, **options)
    inverse = lax.sort_key_val(permutation, lax.iota(permutation.dtype, permutation.shape[0]))[1]
    return x[inverse]


def _solve_matrices(a: Any, b: Any) -> Any:
    """a x = b for stacks of matrices of one batch shape."""
    from jaxc.transforms.api import vmap

    def one(a: Any, b: Any) -> Any:
        lu, _, permutation = lax.linalg.lu(a)
        return lu_solve(lu, permutation, b)

    for _ in range(a.ndim - 2):
        one = vmap(one)
    return one(a, b)


@nested_jit
def solve(a: Any, b: Any) -> Any:
    """x with a x = b; a 1-d `b` is one vector, otherwise its last two axes are matrices.

    Raises:
      ValueError: shapes that do not go together.
    """
    check_arraylike("jnp.linalg.solve", a, b)
    a, b = promote_dtypes_inexact(array_of(a), array_of(b))
    if a.ndim < 2 or a.shape[-1] != a.shape[-2] or b.ndim < 1:
        raise ValueError(
            f"The arguments to solve must have shapes a=[..., m, m] and b=[..., m, k] or b=[..., m]"
            f"; got a={a.shape} and b={b.shape}"
        )
    vector = b.ndim == 1
    b = b[:, None] if vector else b
    if b.shape[-2] != a.shape[-1]:
        raise ValueError(f"solve: shapes {a.shape} and {b.shape} do not match")
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = manipulation.broadcast_to(a, batch + a.shape[-2:])
    x = _solve_matrices(a, manipulation.broadcast_to(b, batch + b.shape[-2:]))
    return x[..., 0] if vector else x


@nested_jit
def inv(a: Any) -> Any:
    """The inverse of square matrices; infinities or NaN for singular ones."""
    a = _matrix("inv", a, square=True)
    identity = manipulation.broadcast_to(creation.eye(a.shape[-1], dtype=a.dtype), a.shape)
    return solve(a, identity)


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Diagonals of the last two axes."""
    return matrices.diagonal(x, offset, axis1=-2, axis2=-1)


def _lu_signs(a: Any) -> tuple[Any, Any]:
    """The diagonal of U and the sign of the permutation (1 or -1, as `a`'s dtype)."""
    lu, pivots, _ = lax.linalg.lu(a)
    found = diagonal(lu)
    swaps = reductions.sum(pivots != _positions(pivots), axis=-1)
    return found, (1 - 2 * (swaps % 2)).astype(a.dtype)


@nested_jit(static_argnames=("method",))
def slogdet(a: Any, *, method: str | None = None) -> SlogdetResult:
    """Sign and log of the absolute value of the determinant."""
    a = _matrix("slogdet", a, square=True)
    if method not in (None, "lu", "qr"):
        raise ValueError(f"Unknown slogdet method '{method}'. Supported methods are 'lu' and 'qr'.")
    pivots, parity = _lu_signs(a)
    if dtypes.issubdtype(a.dtype, np.complexfloating):  # lax.sign is taken to be constant
        signs = where(pivots == 0, 0, pivots / where(pivots == 0, 1, abs(pivots)))
    else:
        signs = lax.sign(pivots)
    sign = parity * reductions.prod(signs, axis=-1)
    return SlogdetResult(sign, reductions.sum(elementwise.log(abs(pivots)), axis=-1))


@nested_jit
def det(a: Any) -> Any:
    """The determinant of square matrices."""
    a = _matrix("det", a, square=True)
    n = a.shape[-1]
    if n == 0:
        return creation.ones(a.shape[:-2], a.dtype)
    if n == 2:
        return a[..., 0, 0] * a[..., 1, 1] - a[..., 0, 1] * a[..., 1, 0]
    if n == 3:
        minors = [
            a[..., 1, (i + 1) % 3] * a[..., 2, (i + 2) % 3]
            - a[..., 1, (i + 2) % 3] * a[..., 2, (i + 1) % 3]
            for i in range(3)
        ]
        return a[..., 0, 0] * minors[0] + a[..., 0, 1] * minors[1] + a[..., 0, 2] * minors[2]
    pivots, parity = _lu_signs(a)
    return parity * reductions.prod(pivots, axis=-1)


def _default_rtol(a: Any, factor: float = 1.0) -> float:
    return factor * max(a.shape[-2:]) * float(dtypes.finfo(a.dtype).eps)


def pinv(a: Any, rtol: Any = None, hermitian: bool = False, *, rcond: Any = None) -> Any:
    """The Moore-Penrose inverse; singular values below `rtol` times the largest count as 0."""
    a = _matrix("pinv", a)
    rtol = _one_tolerance("pinv", rtol, "rcond", rcond)
    return _pinv(a, _default_rtol(a, 10.0) if rtol is None else rtol, hermitian)


@functools.partial(custom_jvp, nondiff_argnums=(1, 2))
def _pinv(a: Any, rtol: Any, hermitian: bool) -> Any:
    u, s, vh = svd(a, full_matrices=False, hermitian=hermitian)
    if 0 in s.shape:
        return creation.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
    cutoff = array_of(rtol)[..., None] * s[..., :1]
    s = where(s > cutoff, s, np.inf).astype(u.dtype)
    return matmul(_adjoint(vh), _adjoint(u) / s[..., None])


@_pinv.defjvp
def _pinv_jvp(rtol: Any, hermitian: bool, primals: Any, tangents: Any) -> tuple[Any, Any]:
    # Golub and Pereyra, "The differentiation of pseudo-inverses", 1973: no 1 / (s_i - s_j).
    (a,), (da,) = primals, tangents
    p = _pinv(a, rtol, hermitian)
    ph, dah = _adjoint(p), _adjoint(da)
    outside = dah - matmul(matmul(dah, a), p)
    below = dah - matmul(p, matmul(a, dah))
    dp = matmul(matmul(p, ph), outside) + matmul(below, matmul(ph, p))
    return p, dp - matmul(matmul(p, da), p)


def _one_tolerance(name: str, rtol: Any, other: str, value: Any) -> Any:
    if rtol is not None and value is not None:
        raise ValueError(f"{name}: only one of rtol and {other} may be given")
    return value if rtol is None else rtol


def matrix_rank(M: Any, rtol: Any = None, *, hermitian: bool = False, tol: Any = None) -> Any:
    """Number of singular values above `rtol` times the largest."""
    rtol = _one_tolerance("matrix_rank", rtol, "tol", tol)
    check_arraylike("jnp.linalg.matrix_rank", M)
    (M,) = promote_dtypes_inexact(array_of(M))
    if M.ndim < 2:
        return reductions.any(M != 0).astype(np.int32)
    s = svd(M, compute_uv=False, hermitian=hermitian)
    rtol = _default_rtol(M) if rtol is None else rtol
    return reductions.sum(s > array_of(rtol)[..., None] * s[..., :1], axis=-1)


def lstsq(a: Any, b: Any, rcond: Any = None, *, numpy_resid: bool = False) -> Any:
    """Least-squares solution, residuals, rank of `a` and its singular values."""
    check_arraylike("jnp.linalg.lstsq", a, b)
    a, b = promote_dtypes_inexact(array_of(a), array_of(b))
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] != b.shape[0]:
        raise ValueError(f"lstsq takes a matrix and as many rows, got {a.shape} and {b.shape}")
    u, s, vh = svd(a, full_matrices=False)
    rcond = _default_rtol(a) if rcond is None else rcond
    kept = s > rcond * reductions.max(s, initial=0)
    inverse = where(kept, 1 / where(kept, s, 1), 0).astype(a.dtype)
    rows = b[:, None] if b.ndim == 1 else b
    x = matmul(_adjoint(vh), inverse[:, None] * matmul(_adjoint(u), rows))
    rank = reductions.sum(kept)
    residuals = reductions.sum(abs(matmul(a, x) - rows) ** 2, axis=0)
    if numpy_resid and (a.shape[0] <= a.shape[1] or int(rank) < a.shape[1]):
        residuals = residuals[:0]
    return (x[:, 0] if b.ndim == 1 else x), residuals, rank, s


def cond(x: Any, p: Any = None) -> Any:
    """Condition number: the norm of `x` times that of its inverse (2-norm by default)."""
    from jaxc.numpy.linalg_norm import norm

    x = _matrix("cond", x)
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return norm(x, ord=p, axis=(-2, -1)) * norm(inv(x), ord=p, axis=(-2, -1))
