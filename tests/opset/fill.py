"""Operands for the samples of the op book: random values of an op's domain, reproducible."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import KeyDtype, ShapedArray
from jaxc_compiler.opset.inference import dtype_class
from jaxc_compiler.opset.op import Op, Sample


def operands(op: Op, sample: Sample, seed: int = 0) -> list[np.ndarray]:
    """The sample's operands with its avals filled in."""
    rng = np.random.default_rng([zlib.crc32(op.name.encode()), seed])
    return [fill(rng, x, op.domain) if isinstance(x, ShapedArray) else x for x in sample.operands]


def fill(rng: np.random.Generator, aval: ShapedArray, domain: tuple[float, float]) -> np.ndarray:
    """An array of an aval: floats from the domain, small integers, random bits for keys."""
    shape, dtype = aval.shape, aval.dtype
    if isinstance(dtype, KeyDtype):
        return rng.integers(0, 2**32, (*shape, *dtype.key_shape), dtype=np.uint32)
    found = dtype_class(dtype)
    if found == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if found.endswith("integer"):
        low = 0 if found.startswith("unsigned") else -5
        return np.asarray(rng.integers(low, 6, shape)).astype(dtype)
    values = rng.uniform(*domain, shape)
    if found == "complex":
        values = values + 1j * rng.uniform(-1, 1, shape)
    return np.asarray(values).astype(dtype)


def ulps_apart(got: Any, expected: Any) -> float:
    """The largest difference in units in the last place of the dtype, of the array's scale.

    Elements that are both NaN, or equal, count as 0; a NaN on one side only counts as infinite.
    """
    got, expected = np.asarray(got), np.asarray(expected)
    if got.size == 0:
        return 0.0
    found = dtype_class(got.dtype)
    if found not in ("floating", "complex"):
        return 0.0 if np.array_equal(got, expected) else np.inf
    import ml_dtypes

    eps = float(ml_dtypes.finfo(got.dtype).eps)
    wide = np.complex128 if found == "complex" else np.float64
    a, b = got.astype(wide), expected.astype(wide)
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        scale = np.maximum(np.abs(b), float(ml_dtypes.finfo(got.dtype).tiny))
        error = np.where(same, 0.0, np.abs(a - b) / (eps * scale))
    return float(np.max(np.where(np.isnan(error), np.inf, error)))
