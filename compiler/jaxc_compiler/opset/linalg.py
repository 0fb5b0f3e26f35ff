"""Decompositions of matrices and triangular solves, over any leading batch dimensions.

Owns the book entries of cholesky, triangular_solve, lu, lu_pivots_to_permutation, qr,
householder_product, eigh and svd. Kernels call LAPACK through NumPy where that takes batches,
through SciPy (loaded on first use) matrix by matrix elsewhere. A matrix that LAPACK gives up on
results in NaN, as in JAX. Imports NumPy and the op book only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.inference import INEXACT, check_accepts, check_same_dtypes, real_dtype
from jaxc_compiler.opset.op import Sample, define


@functools.cache
def _lapack() -> Any:
    """scipy.linalg, imported on first use: it takes longer to load than the rest of jaxc."""
    import scipy.linalg

    return scipy.linalg


def _matrices(op: str, *avals: ShapedArray) -> None:
    """Reject operands that are no matrices of one inexact dtype and batch rank."""
    for i, aval in enumerate(avals):
        check_accepts(op, INEXACT, aval.dtype, i)
        if aval.ndim < 2:
            raise TypeError(
                f"Input {i} to {op} must have rank at least 2, but got shape={aval.shape}"
            )
    if len({aval.ndim for aval in avals}) > 1 or len({aval.shape[:-2] for aval in avals}) > 1:
        raise TypeError(
            f"{op}: all inputs must have the same batch dimensions, got shapes "
            f"{', '.join(str(aval.shape) for aval in avals)}."
        )
    check_same_dtypes(op, *avals)


def _square(op: str, aval: ShapedArray) -> None:
    if aval.shape[-1] != aval.shape[-2]:
        raise ValueError(f"The input to {op} must be a square matrix. Got shape {aval.shape}.")


def _part(aval: ShapedArray, shape: Sequence[int], dtype: Any = None) -> ShapedArray:
    """A result with the batch dimensions of a matrix operand."""
    return ShapedArray((*aval.shape[:-2], *shape), dtype or aval.dtype, aval.weak_type)


def _each(function: Callable[..., tuple], *operands: np.ndarray) -> list[list[np.ndarray]]:
    """`function` of the matrices one by one: for each result, the list over the batch."""
    flat = [x.reshape(-1, *x.shape[-2:]) for x in operands]
    return [list(results) for results in zip(*(function(*one) for one in zip(*flat)))]


def _stack(parts: list[np.ndarray], batch: tuple[int, ...], dtype: Any) -> np.ndarray:
    stacked = np.stack(parts).reshape(*batch, *parts[0].shape)
    return np.array(stacked, dtype, order="C", copy=None)


def _batched(function: Callable[[np.ndarray], Any], x: np.ndarray, empty: Any) -> Any:
    """NumPy's batched function; if it gives up, matrix by matrix with NaN where it does.

    `empty` are the shapes and dtypes of the results for one matrix.
    """
    try:
        return function(x)
    except np.linalg.LinAlgError:
        pass
    columns: list[list[np.ndarray]] = [[] for _ in empty]
    for matrix in x.reshape(-1, *x.shape[-2:]):
        try:
            outs = function(matrix)
        except np.linalg.LinAlgError:
            outs = tuple(np.full(shape, np.nan, dtype) for shape, dtype in empty)
        for column, out in zip(columns, outs if isinstance(outs, tuple) else (outs,)):
            column.append(out)
    stacked = [_stack(column, x.shape[:-2], column[0].dtype) for column in columns]
    return tuple(stacked) if len(stacked) > 1 else stacked[0]


# ---- cholesky, triangular_solve -------------------------------------------------------------


def cholesky_infer(x):
    _matrices("cholesky", x)
    _square("cholesky", x)
    return x


def cholesky_numpy(x):
    return np.asarray(_batched(np.linalg.cholesky, x, [(x.shape[-2:], x.dtype)]))


def triangular_solve_infer(a, b, *, conjugate_a, left_side, lower, transpose_a, unit_diagonal):
    _matrices("triangular_solve", a, b)
    _square("triangular_solve", a)
    if a.shape[-1] != b.shape[-2 if left_side else -1]:
        raise ValueError(
            f"Incompatible shapes for arguments to triangular_solve: {a.shape} and {b.shape}."
        )
    return ShapedArray(b.shape, b.dtype, a.weak_type and b.weak_type)


def triangular_solve_numpy(a, b, *, conjugate_a, left_side, lower, transpose_a, unit_diagonal):
    if not b.size:
        return b.copy()
    if conjugate_a:
        a = a.conj()
    # trsm itself, and not solve_triangular: a singular matrix gives infinities, not an error
    (trsm,) = _lapack().get_blas_funcs(("trsm",), (a, b))

    def solve(a, b):
        flags = {"side": not left_side, "lower": lower, "diag": unit_diagonal}
        return (trsm(1.0, a, b, trans_a=int(transpose_a), **flags),)

    return _stack(_each(solve, a, b)[0], b.shape[:-2], b.dtype)


# ---- lu -------------------------------------------------------------------------------------


def lu_infer(x):
    _matrices("lu", x)
    rows, columns = x.shape[-2:]
    pivots = _part(x, (min(rows, columns),), np.int32)
    return [x, pivots, _part(x, (rows,), np.int32)]


def lu_numpy(x):
    rows, columns = x.shape[-2:]
    batch, count = x.shape[:-2], min(rows, columns)
    if not x.size:
        order = np.broadcast_to(np.arange(rows, dtype=np.int32), (*batch, rows)).copy()
        return [x.copy(), np.zeros((*batch, count), np.int32), order]
    (getrf,) = _lapack().get_lapack_funcs(("getrf",), (x,))
    factors, pivots = _each(lambda m: getrf(m)[:2], x)
    pivots = _stack(pivots, batch, np.int32)
    order = lu_pivots_to_permutation_numpy(pivots, permutation_size=rows)
    return [_stack(factors, batch, x.dtype), pivots, order]


def lu_pivots_to_permutation_infer(pivots, *, permutation_size):
    if pivots.ndim == 0 or pivots.dtype != np.int32:
        raise TypeError(f"lu_pivots_to_permutation takes int32 vectors of pivots, got {pivots}.")
    if permutation_size < pivots.shape[-1]:
        raise ValueError(
            f"Output permutation size {permutation_size} has to exceed the trailing dimension of "
            f"the pivots. Got pivots size {pivots.shape[-1]}"
        )
    return ShapedArray((*pivots.shape[:-1], permutation_size), np.int32, pivots.weak_type)


def lu_pivots_to_permutation_numpy(pivots, *, permutation_size):
    batch, count = pivots.shape[:-1], pivots.shape[-1]
    flat = pivots.reshape(-1, count)
    order = np.tile(np.arange(permutation_size, dtype=np.int32), (len(flat), 1))
    every = np.arange(len(flat))
    for i in range(count):  # swap rows i and pivot i, one step for the whole batch
        j = flat[:, i]
        order[every, i], order[every, j] = order[every, j], order[every, i].copy()
    return order.reshape(*batch, permutation_size)


# ---- qr -------------------------------------------------------------------------------------


def qr_infer(x, *, full_matrices, pivoting, use_magma):
    _matrices("qr", x)
    rows, columns = x.shape[-2:]
    rank = rows if full_matrices else min(rows, columns)
    outs = [_part(x, (rows, rank)), _part(x, (rank, columns))]
    return [*outs, _part(x, (columns,), np.int32)] if pivoting else outs


def qr_numpy(x, *, full_matrices, pivoting, use_magma=None):
    if not pivoting:
        q, r = np.linalg.qr(x, "complete" if full_matrices else "reduced")
        return [q, r]
    mode = "full" if full_matrices else "economic"
    outs = _each(lambda m: _lapack().qr(m, mode=mode, pivoting=True, check_finite=False), x)
    return [_stack(part, x.shape[:-2], d) for part, d in zip(outs, (x.dtype, x.dtype, np.int32))]


def householder_product_infer(a, taus):
    check_accepts("householder_product", INEXACT, a.dtype)
    check_same_dtypes("householder_product", a, taus)
    if a.ndim < 2 or taus.ndim < 1 or a.shape[:-2] != taus.shape[:-1]:
        raise TypeError(
            f"householder_product takes matrices and vectors, got {a.shape} and {taus.shape}."
        )
    if a.shape[-2] < a.shape[-1] or taus.shape[-1] > min(a.shape[-2:]):
        raise ValueError(
            "householder_product: the matrix must have at least as many rows as columns, and as "
            f"many columns as there are reflectors, got {a.shape} and {taus.shape}."
        )
    return ShapedArray(a.shape, a.dtype, a.weak_type and taus.weak_type)


def householder_product_numpy(a, taus):
    if not a.size:
        return a.copy()
    name = "ungqr" if a.dtype.kind == "c" else "orgqr"
    (product,) = _lapack().get_lapack_funcs((name,), (a,))
    outs = _each(lambda m, t: (product(m, t[0])[0],), a, taus[..., None, :])
    return _stack(outs[0], a.shape[:-2], a.dtype)


# ---- eigh, svd ----------------------------------------------------------------------------------


def eigh_infer(x, *, algorithm, lower, sort_eigenvalues, subset_by_index):
    _matrices("eigh", x)
    _square("eigh", x)
    size = x.shape[-1]
    count = size if subset_by_index is None else subset_by_index[1] - subset_by_index[0]
    return [_part(x, (size, count)), _part(x, (count,), real_dtype(x.dtype))]


def eigh_numpy(x, *, lower, algorithm=None, sort_eigenvalues=True, subset_by_index=None):
    size = x.shape[-1]
    empty = [((size,), real_dtype(x.dtype)), (x.shape[-2:], x.dtype)]
    uplo = "L" if lower else "U"
    values, vectors = _batched(lambda m: tuple(np.linalg.eigh(m, uplo)), x, empty)
    first, last = subset_by_index or (0, size)
    return [vectors[..., first:last].copy(), values[..., first:last].copy()]


def svd_infer(x, *, algorithm, compute_uv, full_matrices, subset_by_index):
    _matrices("svd", x)
    rows, columns = x.shape[-2:]
    rank = min(rows, columns)
    if subset_by_index is not None:
        if full_matrices and tuple(subset_by_index) != (0, rank):
            raise ValueError("full_matrices and subset_by_index cannot both be set")
        rank = min(rank, subset_by_index[1] - subset_by_index[0])
    values = _part(x, (rank,), real_dtype(x.dtype))
    if not compute_uv:
        return [values]
    left = _part(x, (rows, rows if full_matrices else rank))
    return [values, left, _part(x, (columns if full_matrices else rank, columns))]


def svd_numpy(x, *, compute_uv, full_matrices, algorithm=None, subset_by_index=None):
    rows, columns = x.shape[-2:]
    rank = min(rows, columns)
    first, last = subset_by_index or (0, rank)
    values = ((rank,), real_dtype(x.dtype))
    if not compute_uv:
        s = _batched(lambda m: np.linalg.svd(m, compute_uv=False), x, [values])
        return [s[..., first:last].copy()]
    left = (rows, rows if full_matrices else rank), x.dtype
    right = (columns if full_matrices else rank, columns), x.dtype
    u, s, vt = _batched(lambda m: tuple(np.linalg.svd(m, full_matrices)), x, [left, values, right])
    if subset_by_index is None:
        return [s, u, vt]
    return [s[..., first:last].copy(), u[..., first:last].copy(), vt[..., first:last, :].copy()]


# ---- the book -----------------------------------------------------------------------------------


def _spd(*batch: int) -> np.ndarray:
    """Well-conditioned positive definite matrices."""
    x = np.arange(np.prod((*batch, 3, 3)), dtype=np.float32).reshape(*batch, 3, 3)
    x = np.sin(x)
    return x @ x.swapaxes(-1, -2) + 2 * np.eye(3, dtype=np.float32)


_TALL, _WIDE = ShapedArray((4, 3), np.float32), ShapedArray((2, 3, 4), np.float32)
_EIGH = {"algorithm": None, "lower": True, "sort_eigenvalues": True, "subset_by_index": None}
_SVD = {"algorithm": None, "subset_by_index": None}
_SOLVE = {
    "conjugate_a": False,
    "left_side": True,
    "lower": True,
    "transpose_a": False,
    "unit_diagonal": False,
}

define(
    "cholesky",
    kind="linalg",
    infer=cholesky_infer,
    numpy=cholesky_numpy,
    samples=lambda: [Sample((_spd(),)), Sample((_spd(2),))],
)
define(
    "triangular_solve",
    kind="linalg",
    params=("conjugate_a", "left_side", "lower", "transpose_a", "unit_diagonal"),
    infer=triangular_solve_infer,
    numpy=triangular_solve_numpy,
    samples=lambda: [
        Sample((_spd(), ShapedArray((3, 2), np.float32)), _SOLVE),
        Sample(
            (_spd(2), ShapedArray((2, 4, 3), np.float32)),
            _SOLVE | {"left_side": False, "transpose_a": True},
        ),
    ],
)
define(
    "lu",
    kind="linalg",
    infer=lu_infer,
    numpy=lu_numpy,
    multiple_results=True,
    samples=lambda: [Sample((_spd(),)), Sample((_WIDE,))],
)
define(
    "lu_pivots_to_permutation",
    kind="linalg",
    params=("permutation_size",),
    infer=lu_pivots_to_permutation_infer,
    numpy=lu_pivots_to_permutation_numpy,
    samples=lambda: [Sample((np.array([[1, 2, 2]], np.int32),), {"permutation_size": 4})],
)
define(
    "qr",
    kind="linalg",
    params=("full_matrices", "pivoting", "use_magma"),
    infer=qr_infer,
    numpy=qr_numpy,
    multiple_results=True,
    samples=lambda: [
        Sample((_TALL,), {"full_matrices": False, "pivoting": False, "use_magma": None})
    ],
)
define(
    "householder_product",
    kind="linalg",
    infer=householder_product_infer,
    numpy=householder_product_numpy,
    samples=lambda: [Sample((_TALL, ShapedArray((3,), np.float32)))],
)
define(
    "eigh",
    kind="linalg",
    params=("algorithm", "lower", "sort_eigenvalues", "subset_by_index"),
    infer=eigh_infer,
    numpy=eigh_numpy,
    multiple_results=True,
    samples=lambda: [Sample((_spd(),), _EIGH)],
)
define(
    "svd",
    kind="linalg",
    params=("algorithm", "compute_uv", "full_matrices", "subset_by_index"),
    infer=svd_infer,
    numpy=svd_numpy,
    multiple_results=True,
    samples=lambda: [
        Sample((_TALL,), _SVD | {"compute_uv": True, "full_matrices": False}),
        Sample((_WIDE,), _SVD | {"compute_uv": False, "full_matrices": False}),
    ],
)
