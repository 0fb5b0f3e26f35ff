"""Reductions over sliding windows, and the ops their derivatives need.

Owns reduce_window (any scalar function), reduce_window_sum, _max and _min, and the two ops that
take or add values where a window's extremum is: select_and_gather_add, select_and_scatter_add.
Their `select_prim` is the name of the comparison, "ge" or "le". Imports NumPy and the op book only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.contraction import accumulation_dtype
from jaxc_compiler.opset.convolution import dilate, window_count
from jaxc_compiler.opset.inference import NUMBER, check_accepts
from jaxc_compiler.opset.op import Sample, define
from jaxc_compiler.opset.reduction import highest, lowest
from jaxc_compiler.opset.scalar_jaxpr import evaluate_elementwise
from jaxc_compiler.opset.shape import check_shapelike, pad_numpy


def window_result_shape(
    shape, window_dimensions, window_strides, padding, base_dilation, window_dilation
):
    """The shape of a windowed reduction of an array of `shape`."""
    result = []
    for axis, (low, high) in enumerate(padding):
        size = dilate(shape[axis], base_dilation[axis]) + low + high
        window = dilate(window_dimensions[axis], window_dilation[axis])
        result.append(window_count(size, window, window_strides[axis]))
    return tuple(result)


def _infer_shape(
    x, *, base_dilation, padding, window_dilation, window_dimensions, window_strides
) -> tuple[int, ...]:
    check_shapelike("reduce_window", "window_dimensions", window_dimensions, 1)
    check_shapelike("reduce_window", "window_strides", window_strides, 1)
    check_shapelike("reduce_window", "base_dilation", base_dilation)
    check_shapelike("reduce_window", "window_dilation", window_dilation)
    for name, value in (
        ("window_dimensions", window_dimensions),
        ("window_strides", window_strides),
        ("base_dilation", base_dilation),
        ("window_dilation", window_dilation),
    ):
        if len(value) != x.ndim:
            raise TypeError(
                f"reduce_window: {name} {value} must have one entry for each dimension of the "
                f"operand's shape {x.shape}."
            )
    return window_result_shape(
        x.shape, window_dimensions, window_strides, padding, base_dilation, window_dilation
    )


def reduce_window_sum_infer(x, **params):
    check_accepts("reduce_window_sum", NUMBER, x.dtype)
    return ShapedArray(_infer_shape(x, **params), x.dtype, x.weak_type)


def reduce_window_extremum_infer(x, **params):
    return ShapedArray(_infer_shape(x, **params), x.dtype, x.weak_type)


def _windows(
    x, fill, *, base_dilation, padding, window_dilation, window_dimensions, window_strides
) -> np.ndarray:
    """A read-only view (result shape, window shape) of the padded operand."""
    config = [(low, high, step - 1) for (low, high), step in zip(padding, base_dilation)]
    shape = window_result_shape(
        x.shape, window_dimensions, window_strides, padding, base_dilation, window_dilation
    )
    x = pad_numpy(x, np.asarray(fill, x.dtype), padding_config=config)
    steps = [s * stride for s, stride in zip(x.strides, window_strides)]
    inner = [s * dilation for s, dilation in zip(x.strides, window_dilation)]
    return np.lib.stride_tricks.as_strided(
        x, (*shape, *window_dimensions), (*steps, *inner), writeable=False
    )


def reduce_window_sum_numpy(x, **params):
    working = x.astype(accumulation_dtype(x.dtype))
    axes = tuple(range(x.ndim, 2 * x.ndim))
    windows = _windows(working, 0, **params)
    return np.asarray(np.add.reduce(windows, axes, dtype=windows.dtype)).astype(x.dtype)


def _extremum(ufunc: Any, identity: Any):
    def kernel(x, **params):
        axes = tuple(range(x.ndim, 2 * x.ndim))
        return np.asarray(ufunc.reduce(_windows(x, identity(x.dtype), **params), axes))

    return kernel


# ---- any scalar function -----------------------------------------------------------------------


def reduce_window_infer(*operands, consts, jaxpr, **params):
    count = len(operands) // 2
    arrays, inits = operands[:count], operands[count:]
    if any(x.shape != arrays[0].shape for x in arrays):
        raise TypeError(
            "reduce_window: all operands must have the same shape, got "
            f"{', '.join(str(x.shape) for x in arrays)}."
        )
    if any(x.dtype != init.dtype for x, init in zip(arrays, inits)):
        raise TypeError("reduce_window: each operand must have the dtype of its init_value.")
    if any(init.ndim for init in inits):
        raise TypeError("reduce_window: init_values must be scalars.")
    shape = _infer_shape(arrays[0], **params)
    return [ShapedArray(shape, x.dtype) for x in arrays]


def reduce_window_numpy(*operands, consts, jaxpr, **params):
    count = len(operands) // 2
    ndim = operands[0].ndim
    views = [_windows(x, init, **params) for x, init in zip(operands[:count], operands[count:])]
    shape = views[0].shape[:ndim]
    folded = [np.broadcast_to(init, shape) for init in operands[count:]]
    inside = _windows(np.ones(operands[0].shape, np.bool_), False, **params)
    for place in np.ndindex(*views[0].shape[ndim:]):
        elements = [view[(..., *place)] for view in views]
        joined = evaluate_elementwise(jaxpr, consts, *folded, *elements)
        # Padding and holes do not take part.
        folded = [np.where(inside[(..., *place)], a, b) for a, b in zip(joined, folded)]
    return [np.array(part, view.dtype, order="C") for part, view in zip(folded, views)]


# ---- values at the extrema of windows ----------------------------------------------------------


def select_and_gather_add_infer(tangents, operand, *, select_prim, **params):
    if tangents.shape != operand.shape:
        raise TypeError(
            "select_and_gather_add: tangents and operand must have the same shape, got "
            f"{tangents.shape} and {operand.shape}."
        )
    shape = _infer_shape(operand, **params)
    return ShapedArray(shape, tangents.dtype, tangents.weak_type and operand.weak_type)


def _chosen(operand, select_prim, params) -> np.ndarray:
    """The position in its window, flattened, of each window's first extremum."""
    greatest = str(select_prim) == "ge"
    identity = lowest if greatest else highest
    windows = _windows(operand, identity(operand.dtype), **params)
    flat = windows.reshape(*windows.shape[: operand.ndim], -1)
    if flat.dtype.kind not in "biuf":
        flat = flat.astype(np.float32)
    return (np.argmax if greatest else np.argmin)(flat, axis=-1)


def select_and_gather_add_numpy(tangents, operand, *, select_prim, **params):
    chosen = _chosen(operand, select_prim, params)
    windows = _windows(tangents, 0, **params)
    flat = windows.reshape(*windows.shape[: operand.ndim], -1)
    return np.take_along_axis(flat, chosen[..., None], -1)[..., 0].copy()


def select_and_scatter_add_infer(source, operand, **params):
    return ShapedArray(operand.shape, source.dtype, source.weak_type and operand.weak_type)


def select_and_scatter_add_numpy(
    source, operand, *, padding, select_prim, window_dimensions, window_strides
):
    ones = (1,) * operand.ndim
    params = {
        "base_dilation": ones,
        "padding": padding,
        "window_dilation": ones,
        "window_dimensions": window_dimensions,
        "window_strides": window_strides,
    }
    chosen = _chosen(operand, select_prim, params)
    inside = np.unravel_index(chosen, window_dimensions)
    padded = [size + low + high for size, (low, high) in zip(operand.shape, padding)]
    out = np.zeros(padded, accumulation_dtype(source.dtype))
    place = []
    for axis, offset in enumerate(inside):
        along = [1] * operand.ndim
        along[axis] = chosen.shape[axis]
        start = np.arange(chosen.shape[axis]) * window_strides[axis]
        place.append(offset + start.reshape(along))
    np.add.at(out, tuple(place), source)
    keep = [slice(max(low, 0), low + size) for size, (low, _) in zip(operand.shape, padding)]
    return out[tuple(keep)].astype(source.dtype)


_WINDOW = (
    "base_dilation",
    "padding",
    "window_dilation",
    "window_dimensions",
    "window_strides",
)


def _window_samples(operands: int = 1, **extra: Any):
    def samples():
        x = ShapedArray((5, 6), np.float32)
        params = {
            "window_dimensions": (2, 3),
            "window_strides": (2, 1),
            "padding": ((0, 0), (0, 0)),
            "base_dilation": (1, 1),
            "window_dilation": (1, 1),
        }
        yield Sample((x,) * operands, params | extra)
        yield Sample((x,) * operands, params | extra | {"padding": ((1, 0), (1, 2))})

    return samples


def _scatter_samples():
    params = {
        "window_dimensions": (2, 3),
        "window_strides": (2, 1),
        "padding": ((0, 0), (1, 1)),
        "select_prim": "ge",
    }
    source, operand = ShapedArray((2, 6), np.float32), ShapedArray((5, 6), np.float32)
    yield Sample((source, operand), params)


define(
    "reduce_window_sum",
    kind="reduction",
    params=_WINDOW,
    infer=reduce_window_sum_infer,
    numpy=reduce_window_sum_numpy,
    samples=_window_samples(),
)
define(
    "reduce_window_max",
    kind="reduction",
    params=_WINDOW,
    infer=reduce_window_extremum_infer,
    numpy=_extremum(np.maximum, lowest),
    samples=_window_samples(),
)
define(
    "reduce_window_min",
    kind="reduction",
    params=_WINDOW,
    infer=reduce_window_extremum_infer,
    numpy=_extremum(np.minimum, highest),
    samples=_window_samples(),
)
define(
    "reduce_window",
    kind="reduction",
    params=("base_dilation", "consts", "jaxpr", *_WINDOW[1:]),
    infer=reduce_window_infer,
    numpy=reduce_window_numpy,
    multiple_results=True,
)
define(
    "select_and_gather_add",
    kind="reduction",
    params=("base_dilation", "padding", "select_prim", *_WINDOW[2:]),
    infer=select_and_gather_add_infer,
    numpy=select_and_gather_add_numpy,
    samples=_window_samples(2, select_prim="ge"),
)
define(
    "select_and_scatter_add",
    kind="reduction",
    params=("padding", "select_prim", "window_dimensions", "window_strides"),
    infer=select_and_scatter_add_infer,
    numpy=select_and_scatter_add_numpy,
    samples=_scatter_samples,
)
