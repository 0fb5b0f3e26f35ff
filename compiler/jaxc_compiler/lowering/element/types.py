"""The MLIR types of scalars by dtype. Must not import the MLIR bindings."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from jaxc_compiler.opset.avals import KeyDtype

TYPE_NAMES = {
    "bool": "i1", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint8": "i8", "uint16": "i16", "uint32": "i32", "uint64": "i64",
    "int4": "i4", "uint4": "i4", "int2": "i2", "uint2": "i2",
    "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64",
    "float8_e4m3fn": "f8E4M3FN", "float8_e5m2": "f8E5M2", "float8_e4m3fnuz": "f8E4M3FNUZ",
    "float8_e5m2fnuz": "f8E5M2FNUZ", "float8_e4m3b11fnuz": "f8E4M3B11FNUZ",
    "float8_e3m4": "f8E3M4", "float8_e4m3": "f8E4M3",
    "complex64": "complex<f32>", "complex128": "complex<f64>",
}  # fmt: skip


def type_name(dtype: Any, *, memory: bool = False) -> str:
    """The MLIR type of a scalar of `dtype`; in memory a bool or a narrow integer is a byte."""
    if isinstance(dtype, KeyDtype):
        return "i64"
    name = TYPE_NAMES[np.dtype(dtype).name]
    return "i8" if memory and name in ("i1", "i2", "i4") else name


# Integers of less than a byte: NumPy and we keep each in a byte of memory.
PACKED = frozenset(
    np.dtype(t) for t in (ml_dtypes.int2, ml_dtypes.int4, ml_dtypes.uint2, ml_dtypes.uint4)
)


def is_complex(dtype: Any) -> bool:
    """Whether scalars of `dtype` are `Complex` pairs."""
    return not isinstance(dtype, KeyDtype) and np.dtype(dtype).kind == "c"
