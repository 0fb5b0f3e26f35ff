"""Reductions over axes: sums, products, extrema, bits, argmax and argmin, and `reduce` itself.

Sums and products of float16 and bfloat16 are accumulated in float32; extrema propagate NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.inference import ANY, BITS, INTEGER, NUMBER, check_accepts, dtype_class
from jaxc_compiler.opset.kernels import COMPLEXES, FLOATS, INTEGERS, NARROW_FLOATS, Kernel
from jaxc_compiler.opset.op import Sample, define

Axes = tuple[int, ...]


def reduced_shape(op: str, shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    """The shape without `axes`.

    Raises:
      ValueError: if an axis is out of bounds or given twice.
    """
    if len(axes) != len(set(axes)):
        raise ValueError(f"duplicate value in 'axes' of {op}: {axes}")
    if not all(0 <= a < len(shape) for a in axes):
        raise ValueError(f"{op}: axes {axes} are out of bounds for an array of shape {shape}")
    return tuple(d for i, d in enumerate(shape) if i not in axes)


# ---- sums and products --------------------------------------------------------------------------


def accumulating(ufunc: np.ufunc) -> Kernel:
    """A kernel that reduces in the operand's dtype, float32 for narrower floats."""
    reduce = ufunc.reduce

    def kernel(x: np.ndarray, *, axes: Axes, out_sharding: Any = None) -> np.ndarray:
        dtype = x.dtype
        if dtype in NARROW_FLOATS:
            return np.asarray(reduce(x, axes, np.float32)).astype(dtype)
        return np.asarray(reduce(x, axes, dtype))

    return kernel


def reduce_sum_infer(x: ShapedArray, *, axes: Axes, out_sharding: Any = None) -> ShapedArray:
    check_accepts("reduce_sum", NUMBER, x.dtype)
    return ShapedArray(reduced_shape("reduce_sum", x.shape, axes), x.dtype, x.weak_type)


def reduce_prod_infer(x: ShapedArray, *, axes: Axes) -> ShapedArray:
    check_accepts("reduce_prod", NUMBER, x.dtype)
    return ShapedArray(reduced_shape("reduce_prod", x.shape, axes), x.dtype, x.weak_type)


# ---- extrema ------------------------------------------------------------------------------------


def lowest(dtype: Any) -> Any:
    """The identity of max: -inf, the least integer, False."""
    return _extreme(dtype, -np.inf, "min", False)


def highest(dtype: Any) -> Any:
    """The identity of min: inf, the greatest integer, True."""
    return _extreme(dtype, np.inf, "max", True)


def _extreme(dtype: Any, infinite: float, limit: str, truth: bool) -> Any:
    found = dtype_class(dtype)
    if found == "bool":
        return np.array(truth)
    if found.endswith("integer"):
        return np.array(getattr(np.iinfo(dtype), limit), dtype)
    return np.array(infinite).astype(dtype)


def extremum(ufunc: np.ufunc, identity: Any) -> Kernel:
    reduce = ufunc.reduce

    def kernel(x: np.ndarray, *, axes: Axes) -> np.ndarray:
        if x.size:
            return np.asarray(reduce(x, axes))
        return np.asarray(reduce(x, axes, initial=identity(x.dtype)[()]))

    return kernel


def infer_extremum(op: str) -> Any:
    def infer(x: ShapedArray, *, axes: Axes) -> ShapedArray:
        check_accepts(op, ANY, x.dtype)
        return ShapedArray(reduced_shape(op, x.shape, axes), x.dtype, x.weak_type)

    return infer


# ---- bits ---------------------------------------------------------------------------------------


def bitwise(ufunc: np.ufunc) -> Kernel:
    reduce = ufunc.reduce

    def kernel(x: np.ndarray, *, axes: Axes) -> np.ndarray:
        return np.asarray(reduce(x, axes, x.dtype))

    return kernel


def infer_bitwise(op: str) -> Any:
    def infer(x: ShapedArray, *, axes: Axes) -> ShapedArray:
        if dtype_class(x.dtype) not in BITS:
            raise TypeError(f"{op} takes a bool or integer operand, got {x.str_short()}.")
        return ShapedArray(reduced_shape(op, x.shape, axes), x.dtype)

    return infer


# ---- argmax and argmin --------------------------------------------------------------------------


def index_of_extremum(function: Any) -> Kernel:
    """The first index of the extremum; a NaN counts as one."""

    def kernel(x: np.ndarray, *, axes: Axes, index_dtype: Any) -> np.ndarray:
        return np.asarray(function(x, axis=axes[0])).astype(index_dtype)

    return kernel


def infer_index(op: str) -> Any:
    def infer(x: ShapedArray, *, axes: Axes, index_dtype: Any) -> ShapedArray:
        (axis,) = axes
        if not 0 <= axis < x.ndim:
            raise ValueError(f"{op}: axis {axis} is out of bounds for an array of shape {x.shape}")
        if x.shape[axis] < 1:
            raise ValueError(f"{op} of an empty dimension: shape {x.shape}, axis {axis}")
        if dtype_class(index_dtype) not in INTEGER:
            raise TypeError(f"{op}: index_dtype must be an integer type, got {index_dtype}")
        check_accepts(op, ANY - {"complex"}, x.dtype)
        return ShapedArray(reduced_shape(op, x.shape, axes), index_dtype)

    return infer


# ---- reduce: any monoid -------------------------------------------------------------------------


def reduce_infer(
    *avals: ShapedArray, computation: Any, dimensions: Axes, jaxpr: Any
) -> list[ShapedArray]:
    half = len(avals) // 2
    operands, inits = avals[:half], avals[half:]
    if any(i.shape != () for i in inits):
        raise ValueError(f"reduce: initial values must be scalars, got {[i.shape for i in inits]}")
    if [o.dtype for o in operands] != [i.dtype for i in inits]:
        raise TypeError(
            "reduce: operands and initial values must have the same dtypes, got "
            f"{[o.str_short() for o in operands]} and {[i.str_short() for i in inits]}"
        )
    return [
        ShapedArray(reduced_shape("reduce", o.shape, dimensions), o.dtype,
                    o.weak_type and i.weak_type)
        for o, i in zip(operands, inits)
    ]  # fmt: skip


# ---- the book -----------------------------------------------------------------------------------


def _samples(*dtypes: str, **params: Any) -> Any:
    def samples() -> Iterable[Sample]:
        for axes in ((0,), (1,), (0, 1), (), (2, 0)):
            shape = (2, 3, 4) if axes == (2, 0) else (2, 3)
            yield Sample((ShapedArray(shape, dtypes[0]),), {"axes": axes, **params})
        yield Sample((ShapedArray((0, 3), dtypes[0]),), {"axes": (0,), **params})
        yield Sample((ShapedArray((), dtypes[0]),), {"axes": (), **params})
        for dtype in dtypes[1:]:
            yield Sample((ShapedArray((3, 2), dtype),), {"axes": (0,), **params})

    return samples


def _index_samples() -> Iterable[Sample]:
    params = {"index_dtype": np.dtype(np.int32)}
    for dtype in (*FLOATS, *INTEGERS, "bool"):
        yield Sample((ShapedArray((3, 4), dtype),), {"axes": (1,), **params})
    yield Sample((ShapedArray((5,), "float32"),), {"axes": (0,), "index_dtype": np.dtype("uint8")})
    yield Sample((ShapedArray((3, 0), "float32"),), {"axes": (0,), **params})


def _row(name: str, params: tuple[str, ...], infer: Any, kernel: Kernel | None, **fields: Any):
    define(name, kind="reduction", params=params, infer=infer, numpy=kernel, **fields)


_NUMBERS = FLOATS + COMPLEXES[:1] + INTEGERS
_ANY = (*_NUMBERS, "bool")
_BITS = (*INTEGERS, "bool")

_row(
    "reduce_sum", ("axes", "out_sharding"), reduce_sum_infer, accumulating(np.add),
    samples=_samples(*_NUMBERS, out_sharding=None), tolerance=16.0,
)  # fmt: skip
_row(
    "reduce_prod", ("axes",), reduce_prod_infer, accumulating(np.multiply),
    samples=_samples(*_NUMBERS), tolerance=16.0,
)  # fmt: skip
_row(
    "reduce_max", ("axes",), infer_extremum("reduce_max"), extremum(np.maximum, lowest),
    samples=_samples(*_ANY),
)  # fmt: skip
_row(
    "reduce_min", ("axes",), infer_extremum("reduce_min"), extremum(np.minimum, highest),
    samples=_samples(*_ANY),
)  # fmt: skip
for _name, _ufunc in (
    ("reduce_and", np.bitwise_and),
    ("reduce_or", np.bitwise_or),
    ("reduce_xor", np.bitwise_xor),
):
    _row(_name, ("axes",), infer_bitwise(_name), bitwise(_ufunc), samples=_samples(*_BITS))
for _name, _function in (("argmax", np.argmax), ("argmin", np.argmin)):
    _row(
        _name, ("axes", "index_dtype"), infer_index(_name), index_of_extremum(_function),
        samples=_index_samples,
    )  # fmt: skip
_row(
    "reduce", ("computation", "dimensions", "jaxpr"), reduce_infer, None, multiple_results=True
)  # its kernel runs a jaxpr: the frontend's primitive and the compiler's reference supply it
