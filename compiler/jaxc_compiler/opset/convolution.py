"""Convolutions: conv_general_dilated, with every stride, padding, dilation, layout and grouping.

Owns its result type and the NumPy kernel: patches of the padded input times the kernel as one
matrix product per group. Imports NumPy and the op book only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.contraction import accumulation_dtype, is_floating
from jaxc_compiler.opset.op import Sample, define
from jaxc_compiler.opset.params import ConvDimensionNumbers
from jaxc_compiler.opset.shape import check_same_dtypes, pad_numpy

# Patches repeat each input element once per kernel position; above this many the batch is cut.
_MAX_PATCH_ELEMENTS = 1 << 25


def dilate(size: int, dilation: int) -> int:
    """The extent of `size` elements placed `dilation` apart."""
    return 0 if size == 0 else (size - 1) * dilation + 1


def window_count(size: int, window: int, stride: int) -> int:
    """How many windows of an extent fit, `stride` apart."""
    return (size - window) // stride + 1 if size >= window else 0


def check_preferred_element_type(dtype: np.dtype, preferred: np.dtype) -> None:
    """Reject an accumulation type of another kind than the operands', or a narrower one."""
    if dtype.kind in "iu" and is_floating(preferred):
        compatible = True
    elif dtype.kind in "iu":
        compatible = preferred.kind in "iu" and (dtype.kind == "u" or preferred.kind == "i")
    elif dtype.kind == "c":
        compatible = preferred.kind == "c"
    else:
        compatible = not is_floating(dtype) or is_floating(preferred)
    if not compatible or preferred.itemsize < dtype.itemsize:
        raise TypeError(
            f"preferred_element_type {preferred} is incompatible with operands of type {dtype}: it "
            "must be of the same kind (or floating for integers) and not narrower."
        )


def _check_groups(lhs, rhs, numbers, feature_groups, batch_groups) -> None:
    if feature_groups <= 0 or batch_groups <= 0:
        raise ValueError(
            "conv_general_dilated: feature_group_count and batch_group_count must be positive, got "
            f"{feature_groups} and {batch_groups}."
        )
    if feature_groups > 1 and batch_groups > 1:
        raise ValueError(
            "conv_general_dilated: at most one of batch_group_count and feature_group_count may be "
            f"> 1, got {batch_groups} and {feature_groups}."
        )
    batch, features = (lhs.shape[d] for d in numbers.lhs_spec[:2])
    out_features, in_features = (rhs.shape[d] for d in numbers.rhs_spec[:2])
    if features % feature_groups or features // feature_groups != in_features:
        raise ValueError(
            f"conv_general_dilated: the lhs feature dimension ({features}) divided by "
            f"feature_group_count ({feature_groups}) must equal the rhs input feature dimension "
            f"({in_features})."
        )
    if out_features % feature_groups or out_features % batch_groups:
        raise ValueError(
            f"conv_general_dilated: the rhs output feature dimension ({out_features}) must be a "
            f"multiple of the group count ({max(feature_groups, batch_groups)})."
        )
    if batch % batch_groups:
        raise ValueError(
            f"conv_general_dilated: batch_group_count ({batch_groups}) must divide the lhs batch "
            f"dimension ({batch})."
        )


def conv_general_dilated_infer(
    lhs,
    rhs,
    *,
    batch_group_count,
    dimension_numbers,
    feature_group_count,
    lhs_dilation,
    out_sharding,
    padding,
    precision,
    preferred_element_type,
    rhs_dilation,
    window_strides,
):
    if lhs.ndim != rhs.ndim:
        raise ValueError(
            "conv_general_dilated: lhs and rhs must have the same number of dimensions, got "
            f"{lhs.shape} and {rhs.shape}."
        )
    _check_groups(lhs, rhs, dimension_numbers, feature_group_count, batch_group_count)
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    if len(window_strides) != len(rhs_spec) - 2:
        raise ValueError(
            f"conv_general_dilated: window_strides {window_strides} must have one entry for each "
            f"of {len(rhs_spec) - 2} spatial dimensions."
        )
    if len(padding) != len(lhs_spec) - 2:
        raise TypeError(
            f"conv_general_dilated: expected {len(lhs_spec) - 2} pairs of padding, got {padding}."
        )
    check_same_dtypes("conv_general_dilated", lhs, rhs)
    dtype = lhs.dtype
    if preferred_element_type is not None:
        check_preferred_element_type(dtype, np.dtype(preferred_element_type))
        dtype = np.dtype(preferred_element_type)
    spatial = []
    for axis, (low, high) in enumerate(padding):
        size = dilate(lhs.shape[lhs_spec[axis + 2]], lhs_dilation[axis]) + low + high
        window = dilate(rhs.shape[rhs_spec[axis + 2]], rhs_dilation[axis])
        if size < 0:
            raise ValueError(
                "conv_general_dilated: negative padding is larger than the dimension it removes "
                f"from: padding {padding} for lhs shape {lhs.shape}."
            )
        spatial.append(window_count(size, window, window_strides[axis]))
    canonical = (lhs.shape[lhs_spec[0]] // batch_group_count, rhs.shape[rhs_spec[0]], *spatial)
    shape = [0] * len(canonical)
    for dim, size in zip(out_spec, canonical):
        shape[dim] = size
    return ShapedArray(tuple(shape), dtype, lhs.weak_type and rhs.weak_type)


def conv_general_dilated_numpy(
    lhs,
    rhs,
    *,
    batch_group_count,
    dimension_numbers,
    feature_group_count,
    lhs_dilation,
    padding,
    rhs_dilation,
    window_strides,
    out_sharding=None,
    precision=None,
    preferred_element_type=None,
):
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    dtype = np.dtype(lhs.dtype if preferred_element_type is None else preferred_element_type)
    working = accumulation_dtype(dtype)
    x: Any = lhs.transpose(lhs_spec).astype(working)
    kernel = rhs.transpose(rhs_spec).astype(working)
    config = [(0, 0, 0), (0, 0, 0)]
    config += [(low, high, step - 1) for (low, high), step in zip(padding, lhs_dilation)]
    x = pad_numpy(x, np.zeros((), working), padding_config=config)
    counts = [
        window_count(size, dilate(width, dilation), stride)
        for size, width, dilation, stride in zip(
            x.shape[2:], kernel.shape[2:], rhs_dilation, window_strides
        )
    ]
    batch = x.shape[0]
    if batch_group_count > 1:
        x = x.reshape(batch_group_count, batch // batch_group_count, *x.shape[1:])
        batch //= batch_group_count
    else:
        groups = feature_group_count
        x = x.reshape(batch, groups, x.shape[1] // groups, *x.shape[2:]).swapaxes(0, 1)
    out = _grouped_product(x, kernel, counts, window_strides, rhs_dilation)
    out = out.reshape(batch, kernel.shape[0], *counts)
    return np.array(out.transpose(np.argsort(out_spec)), dtype, order="C")


def _grouped_product(x, kernel, counts, strides, dilation):
    """Convolve x (groups, batch, features, *spatial) to (batch, groups, out, *counts)."""
    groups, batch, features = x.shape[:3]
    widths = kernel.shape[2:]
    out_features = kernel.shape[0] // groups
    length = features * math.prod(widths)
    positions = math.prod(counts)
    weights = kernel.reshape(groups, 1, out_features, length)
    out = np.zeros((batch, groups, out_features, positions), x.dtype)
    if not out.size or not length:
        return out
    window_steps = [s * step for s, step in zip(x.strides[3:], dilation)]
    position_steps = [s * step for s, step in zip(x.strides[3:], strides)]
    windows = np.lib.stride_tricks.as_strided(
        x,
        (groups, batch, features, *widths, *counts),
        (*x.strides[:3], *window_steps, *position_steps),
        writeable=False,
    )
    rows = max(1, _MAX_PATCH_ELEMENTS // max(1, groups * length * positions))
    for start in range(0, batch, rows):
        patches = windows[:, start : start + rows].reshape(groups, -1, length, positions)
        out[start : start + rows] = np.matmul(weights, patches).swapaxes(0, 1)
    return out


def _conv_samples():
    def conv(lhs, rhs, **changes):
        spatial = len(lhs) - 2
        axes = tuple(range(len(lhs)))
        params = {
            "window_strides": (1,) * spatial,
            "padding": ((0, 0),) * spatial,
            "lhs_dilation": (1,) * spatial,
            "rhs_dilation": (1,) * spatial,
            "dimension_numbers": ConvDimensionNumbers(axes, axes, axes),
            "feature_group_count": 1,
            "batch_group_count": 1,
            "precision": None,
            "preferred_element_type": None,
            "out_sharding": None,
        }
        operands = (ShapedArray(lhs, np.float32), ShapedArray(rhs, np.float32))
        return Sample(operands, params | changes)

    channels_last = ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
    yield conv((2, 3, 5), (4, 3, 2))
    yield conv((1, 5, 6, 2), (3, 2, 2, 4), dimension_numbers=channels_last)
    yield conv((1, 2, 5, 6), (3, 2, 2, 3), window_strides=(2, 1), padding=((1, 0), (2, 1)))
    yield conv((1, 2, 4, 5), (3, 2, 2, 2), lhs_dilation=(2, 1), rhs_dilation=(1, 2))
    yield conv((2, 4, 6), (6, 2, 3), feature_group_count=2)
    yield conv((4, 2, 6), (6, 2, 3), batch_group_count=2)


define(
    "conv_general_dilated",
    kind="contraction",
    params=(
        "batch_group_count",
        "dimension_numbers",
        "feature_group_count",
        "lhs_dilation",
        "out_sharding",
        "padding",
        "precision",
        "preferred_element_type",
        "rhs_dilation",
        "window_strides",
    ),
    infer=conv_general_dilated_infer,
    numpy=conv_general_dilated_numpy,
    samples=_conv_samples,
    tolerance=16.0,
)
