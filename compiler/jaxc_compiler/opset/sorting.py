"""Sorts: sort (several operands, one order) and top_k.

Owns their book entries and the order JAX sorts in: NaN after every number, -0.0 equal to 0.0,
complex by real part then imaginary part, equal keys in their original order. Imports
NumPy and the op book only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.inference import dtype_class
from jaxc_compiler.opset.op import Sample, define


def sort_infer(*operands, dimension, is_stable, num_keys):
    if len({x.shape for x in operands}) > 1:
        shapes = " ".join(str(x.shape) for x in operands)
        raise TypeError(f"Arguments to sort must have equal shapes, got: {shapes}")
    return list(operands)


def _columns(key: Any) -> list[np.ndarray]:
    """What NumPy must compare, first to last, to order a key as JAX does."""
    if key.dtype.kind == "c":
        return [key.real, key.imag]
    if key.dtype.kind not in "biuf":
        kind = np.float32 if dtype_class(key.dtype) == "floating" else np.int32
        return [key.astype(kind)]
    return [key]


def sort_numpy(*operands, dimension, is_stable, num_keys):
    first = operands[0]
    if len(operands) == 1 and first.dtype.kind in "biuf":
        # Equal integers look the same, so the faster unstable sort serves; 0.0 and -0.0 do not.
        kind = "stable" if first.dtype.kind == "f" and is_stable else None
        return [np.sort(first, axis=dimension, kind=kind)]
    columns = [column for key in operands[:num_keys] for column in _columns(key)]
    if len(columns) == 1:
        order = np.argsort(columns[0], axis=dimension, kind="stable")
    else:
        order = np.lexsort(columns[::-1], axis=dimension)
    if order.ndim == 1:
        return [x[order] for x in operands]
    return [np.take_along_axis(x, order, dimension) for x in operands]


def top_k_infer(operand, *, axis, k):
    if dtype_class(operand.dtype) == "complex":
        raise ValueError("top_k is not compatible with complex inputs.")
    if k < 0:
        raise ValueError(f"k argument to top_k must be nonnegative, got {k}")
    if operand.ndim == 0:
        raise TypeError(f"top_k operand must have >= 1 dimension, got {operand.shape}")
    if not 0 <= axis < operand.ndim:
        raise ValueError(f"top_k: axis {axis} is out of range for shape {operand.shape}")
    if operand.shape[axis] < k:
        raise ValueError(
            f"k argument to top_k must be no larger than size along axis; got {k=} with shape "
            f"{operand.shape} and {axis=}"
        )
    shape = (*operand.shape[:axis], k, *operand.shape[axis + 1 :])
    values = ShapedArray(shape, operand.dtype, operand.weak_type)
    return [values, ShapedArray(shape, np.int32, operand.weak_type)]


def top_k_numpy(operand, *, axis, k):
    # Ascending and stable on the reversed array, read backwards: descending, first of equals first.
    rows = operand.swapaxes(axis, -1)
    keys = _columns(rows[..., ::-1])[0]
    if keys.dtype == np.float32:  # here, unlike in sort, JAX puts 0.0 before -0.0
        bits = np.ascontiguousarray(keys).view(np.int32)
        keys = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    last = keys.shape[-1] - 1
    order = last - np.argsort(keys, axis=-1, kind="stable")[..., ::-1][..., :k]
    if rows.ndim == 1:
        return [rows[order], order.astype(np.int32)]
    values = np.take_along_axis(rows, order, -1)
    parts = (values, order.astype(np.int32))
    return [np.array(part.swapaxes(axis, -1), order="C") for part in parts]


def _sort_samples():
    keys = np.array([[3, 1, 2, 1], [0, 0, -1, 5]], np.int32)
    data = ShapedArray((2, 4), np.float32)
    yield Sample((data,), {"dimension": 1, "is_stable": True, "num_keys": 1})
    yield Sample((keys, data), {"dimension": 1, "is_stable": True, "num_keys": 1})
    yield Sample((keys, data, keys), {"dimension": 0, "is_stable": True, "num_keys": 2})


define(
    "sort",
    kind="sorting",
    params=("dimension", "is_stable", "num_keys"),
    infer=sort_infer,
    numpy=sort_numpy,
    multiple_results=True,
    samples=_sort_samples,
)
define(
    "top_k",
    kind="sorting",
    params=("axis", "k"),
    infer=top_k_infer,
    numpy=top_k_numpy,
    multiple_results=True,
    samples=lambda: [
        Sample((ShapedArray((2, 5), np.float32),), {"axis": 1, "k": 3}),
        Sample((ShapedArray((4, 2), np.int32),), {"axis": 0, "k": 4}),
    ],
)
