"""Contractions: dot_general, the one op behind every matrix and tensor product.

Owns its result type, including which pairs of dtypes may meet, and the NumPy kernel that brings any
dimension numbers to a (batched) matrix product. Imports NumPy and the op book only.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from jaxc_compiler.opset.avals import KeyDtype, ShapedArray, bfloat16
from jaxc_compiler.opset.elementwise import convert_element_type_numpy
from jaxc_compiler.opset.op import Sample, define
from jaxc_compiler.opset.params import DotAlgorithm, DotAlgorithmPreset

# Kernels add these up in float32: a sum in the narrow type would lose nearly all its digits.
_NARROW = {np.dtype(np.float16), bfloat16}


def accumulation_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype a sum of products with this result dtype is computed in."""
    if dtype in _NARROW or (dtype.itemsize == 1 and is_floating(dtype)):
        return np.dtype(np.float32)
    return dtype


def is_floating(dtype: np.dtype) -> bool:
    """Whether a dtype is a real floating one, those of ml_dtypes included."""
    return dtype.kind == "f" or (dtype.kind == "V" and dtype.names is None and _has_finfo(dtype))


def _has_finfo(dtype: np.dtype) -> bool:
    try:
        ml_dtypes.finfo(dtype)
    except (TypeError, ValueError, KeyError):
        return False
    return True


def _rank(dtype: np.dtype) -> tuple:
    """Orders dtypes: of two mixed operands the greater one decides the result dtype."""
    if dtype == np.bool_:
        return (False, -1, -1, 1, True)
    if dtype.kind in "iu" or not (is_floating(dtype) or dtype.kind == "c"):
        return (False, -1, -1, 8 * dtype.itemsize, not dtype.name.startswith("u"))
    info = ml_dtypes.finfo(dtype)
    return (dtype.kind == "c", info.maxexp, info.nmant, info.bits, True)


def _bits(dtype: np.dtype) -> int:
    if dtype == np.bool_:
        return 1
    return (4 if dtype.kind == "c" else 8) * dtype.itemsize


_F32 = np.dtype(np.float32)
# The presets a CPU runs: (dtypes their operands may have, the first one converted to; result).
_ALGORITHMS = {
    DotAlgorithmPreset.DEFAULT: None,
    DotAlgorithmPreset.F16_F16_F16: ((np.dtype(np.float16),), np.dtype(np.float16)),
    DotAlgorithmPreset.BF16_BF16_F32: ((bfloat16, _F32), _F32),
    DotAlgorithmPreset.BF16_BF16_F32_X3: ((_F32,), _F32),
    DotAlgorithmPreset.BF16_BF16_F32_X6: ((_F32,), _F32),
    DotAlgorithmPreset.F32_F32_F32: ((_F32,), _F32),
    DotAlgorithmPreset.F64_F64_F64: ((np.dtype(np.float64),), np.dtype(np.float64)),
}


def _check_algorithm(precision) -> bool:
    """Whether `precision` names an algorithm; those a CPU does not run are rejected."""
    if not isinstance(precision, DotAlgorithm | DotAlgorithmPreset):
        return False
    if precision not in _ALGORITHMS:
        raise ValueError(f"The precision '{precision}' is not supported by dot_general on CPU")
    return True


def _greater(lhs: np.dtype, rhs: np.dtype) -> np.dtype:
    if lhs == rhs:
        return lhs
    left, right = _rank(lhs), _rank(rhs)
    if left == right:
        raise TypeError(f"dot_general argument type error: {lhs}, {rhs}")
    return lhs if left > right else rhs


def _result_dtype(lhs, rhs, preferred, check_width: bool = True) -> np.dtype:
    if isinstance(lhs, KeyDtype) or isinstance(rhs, KeyDtype):
        raise TypeError(f"dot_general does not accept dtypes {lhs}, {rhs}.")
    dtype = _greater(lhs, rhs)
    if preferred is None or preferred == dtype:
        return dtype
    if check_width and not is_floating(dtype) and _bits(np.dtype(preferred)) < _bits(dtype):
        raise TypeError(
            f"dot_general: preferred_element_type {preferred} must not be narrower than the "
            f"result type {dtype}."
        )
    return np.dtype(preferred)


def _check_dims(side: str, ndim: int, contract: tuple, batch: tuple) -> None:
    dims = (*contract, *batch)
    if not all(0 <= d < ndim for d in dims):
        raise TypeError(
            f"dot_general: {side} dimension numbers must be in [0, {ndim}), got batch {batch} and "
            f"contracting {contract}."
        )
    if len(set(dims)) != len(dims):
        raise TypeError(
            f"dot_general: {side} batch and contracting dimensions must be distinct, got batch "
            f"{batch} and contracting {contract}."
        )


def dot_general_infer(
    lhs, rhs, *, dimension_numbers, out_sharding, precision, preferred_element_type
):
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    _check_dims("lhs", lhs.ndim, tuple(lhs_contract), tuple(lhs_batch))
    _check_dims("rhs", rhs.ndim, tuple(rhs_contract), tuple(rhs_batch))
    batch = tuple(lhs.shape[d] for d in lhs_batch)
    if batch != tuple(rhs.shape[d] for d in rhs_batch):
        raise TypeError(
            "dot_general requires lhs and rhs batch dimensions to have the same shape, got "
            f"{batch} and {tuple(rhs.shape[d] for d in rhs_batch)}."
        )
    summed = tuple(lhs.shape[d] for d in lhs_contract)
    if summed != tuple(rhs.shape[d] for d in rhs_contract):
        raise TypeError(
            "dot_general requires contracting dimensions to have the same shape, got "
            f"{summed} and {tuple(rhs.shape[d] for d in rhs_contract)}."
        )
    lhs_free = tuple(s for d, s in enumerate(lhs.shape) if d not in (*lhs_contract, *lhs_batch))
    rhs_free = tuple(s for d, s in enumerate(rhs.shape) if d not in (*rhs_contract, *rhs_batch))
    algorithm = _check_algorithm(precision)
    dtype = _result_dtype(lhs.dtype, rhs.dtype, preferred_element_type, not algorithm)
    weak_type = lhs.weak_type and rhs.weak_type
    return ShapedArray((*batch, *lhs_free, *rhs_free), dtype, weak_type)


def dot_general_numpy(
    lhs, rhs, *, dimension_numbers, out_sharding=None, precision=None, preferred_element_type=None
):
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    dtype = _greater(lhs.dtype, rhs.dtype)
    working = accumulation_dtype(dtype)
    if preferred_element_type is not None:
        dtype = np.dtype(preferred_element_type)
        if _rank(dtype) > _rank(working):
            working = dtype
    algorithm = _ALGORITHMS.get(precision) if precision is not None else None
    if algorithm is not None:
        allowed, rounded = algorithm
        lhs, rhs = (x if x.dtype in allowed else x.astype(allowed[0]) for x in (lhs, rhs))
        working = accumulation_dtype(rounded)
    if lhs.dtype != working:
        lhs = lhs.astype(working)
    if rhs.dtype != working:
        rhs = rhs.astype(working)
    out = _product(lhs, rhs, lhs_contract, rhs_contract, lhs_batch, rhs_batch)
    if algorithm is not None:
        out = out.astype(rounded)
    return out if dtype == out.dtype else convert_element_type_numpy(out, new_dtype=dtype)


def _product(lhs, rhs, lhs_contract, rhs_contract, lhs_batch, rhs_batch):
    # What NumPy does unaided: rows of lhs times a vector or the columns of a matrix.
    if (
        not lhs_batch
        and tuple(lhs_contract) == (lhs.ndim - 1,)
        and tuple(rhs_contract) == (0,)
        and rhs.ndim <= 2
    ):
        return np.asarray(np.dot(lhs, rhs))
    lhs_free = [d for d in range(lhs.ndim) if d not in (*lhs_contract, *lhs_batch)]
    rhs_free = [d for d in range(rhs.ndim) if d not in (*rhs_contract, *rhs_batch)]
    batch = [lhs.shape[d] for d in lhs_batch]
    summed = math.prod(lhs.shape[d] for d in lhs_contract)
    rows = [lhs.shape[d] for d in lhs_free]
    columns = [rhs.shape[d] for d in rhs_free]
    left = lhs.transpose(*lhs_batch, *lhs_free, *lhs_contract)
    right = rhs.transpose(*rhs_batch, *rhs_contract, *rhs_free)
    left = left.reshape(*batch, math.prod(rows), summed)
    right = right.reshape(*batch, summed, math.prod(columns))
    return np.matmul(left, right).reshape((*batch, *rows, *columns))


def _dot_samples():
    def dot(lhs, rhs, dims, dtype: Any = np.float32, preferred=None):
        params = {
            "dimension_numbers": dims,
            "precision": None,
            "preferred_element_type": preferred,
            "out_sharding": None,
        }
        return Sample((ShapedArray(lhs, dtype), ShapedArray(rhs, dtype)), params)

    matmul = (((1,), (0,)), ((), ()))
    yield dot((2, 3), (3, 4), matmul)
    yield dot((2, 3), (3,), matmul)
    yield dot((3,), (3,), (((0,), (0,)), ((), ())))
    yield dot((2, 3, 4), (2, 4, 5), (((2,), (1,)), ((0,), (0,))))
    yield dot((3, 2, 4), (4, 5, 3), (((0, 2), (2, 0)), ((), ())))
    yield dot((2, 3), (3, 4), matmul, np.int32)
    yield dot((2, 3), (3, 4), matmul, bfloat16, np.dtype(np.float32))


define(
    "dot_general",
    kind="contraction",
    params=("dimension_numbers", "out_sharding", "precision", "preferred_element_type"),
    infer=dot_general_infer,
    numpy=dot_general_numpy,
    samples=_dot_samples,
)
