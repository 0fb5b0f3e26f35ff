"""Cumulative sums, products, extrema and log-sum-exps along one axis, from either end.

Narrow floats are accumulated in float32, as reductions are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.inference import INEXACT, INTEGER, NUMBER, check_accepts, dtype_class
from jaxc_compiler.opset.kernels import COMPLEXES, FLOATS, INTEGERS, NARROW_FLOATS, Kernel
from jaxc_compiler.opset.op import Sample, define


def infer_cumulative(op: str, accepts: frozenset[str]) -> Any:
    def infer(x: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
        if axis < 0:
            raise ValueError(f"{op} takes no negative axes, got {axis}")
        if axis >= x.ndim:
            raise ValueError(f"{op}: axis {axis} is out of bounds for an array of shape {x.shape}")
        if dtype_class(x.dtype) in INTEGER - accepts:  # JAX's class: its -inf overflows
            raise OverflowError(f"{op}: {x.dtype.name} has no -inf to start from")
        check_accepts(op, accepts, x.dtype)
        return x

    return infer


def accumulate(ufunc: np.ufunc) -> Kernel:
    def kernel(x: np.ndarray, *, axis: int, reverse: bool) -> np.ndarray:
        dtype = x.dtype
        wide = np.float32 if dtype in NARROW_FLOATS else dtype
        along = np.flip(x, axis) if reverse else x
        out = ufunc.accumulate(along, axis, wide)
        if reverse:
            out = np.ascontiguousarray(np.flip(out, axis))
        return out.astype(dtype, copy=False)

    return kernel


def extreme(ufunc: np.ufunc) -> Kernel:
    """Accumulation that keeps the dtype: an extremum needs no wider one."""

    def kernel(x: np.ndarray, *, axis: int, reverse: bool) -> np.ndarray:
        if not reverse:
            return ufunc.accumulate(x, axis)
        return np.ascontiguousarray(np.flip(ufunc.accumulate(np.flip(x, axis), axis), axis))

    return kernel


def cumlogsumexp_numpy(x: Any, *, axis: int, reverse: bool) -> np.ndarray:
    if x.dtype.kind != "c":
        return accumulate(np.logaddexp)(x, axis=axis, reverse=reverse)
    # Complex: scale by the running maximum of the real part, sum, and take the log.
    scale = extreme(np.maximum)(x.real, axis=axis, reverse=reverse)
    out = np.moveaxis(np.empty_like(x), axis, 0)
    steps = np.moveaxis(x, axis, 0)
    scales = np.moveaxis(scale, axis, 0)
    order = range(len(steps))[::-1] if reverse else range(len(steps))
    total, before = None, None
    for i in order:
        largest = np.where(np.isfinite(scales[i]), scales[i], 0)
        term = np.exp(steps[i] - largest)
        total = term if total is None else total * np.exp(before - largest) + term
        out[i], before = np.log(total) + largest, largest
    return np.ascontiguousarray(np.moveaxis(out, 0, axis))


def _samples(*dtypes: str) -> Any:
    def samples() -> Iterable[Sample]:
        for axis in (0, 1):
            for reverse in (False, True):
                params = {"axis": axis, "reverse": reverse}
                yield Sample((ShapedArray((3, 4), dtypes[0]),), params)
        yield Sample((ShapedArray((0, 3), dtypes[0]),), {"axis": 0, "reverse": False})
        for dtype in dtypes[1:]:
            yield Sample((ShapedArray((5,), dtype),), {"axis": 0, "reverse": False})

    return samples


_NUMBERS = FLOATS + COMPLEXES[:1] + INTEGERS
_REAL = FLOATS + INTEGERS

for _name, _kernel, _accepts, _dtypes in (
    ("cumsum", accumulate(np.add), NUMBER, _NUMBERS),
    ("cumprod", accumulate(np.multiply), NUMBER, _NUMBERS),
    ("cummax", extreme(np.maximum), NUMBER, _REAL),
    ("cummin", extreme(np.minimum), NUMBER, _REAL),
    ("cumlogsumexp", cumlogsumexp_numpy, INEXACT, FLOATS + COMPLEXES[:1]),
):
    define(
        _name,
        kind="cumulative",
        params=("axis", "reverse"),
        infer=infer_cumulative(_name, _accepts),
        numpy=_kernel,
        samples=_samples(*_dtypes),
        tolerance=16.0,
    )
