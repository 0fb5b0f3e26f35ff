"""Derivatives and batching of conv_general_dilated.

With b batch, i input feature and o output feature, a convolution contracts [b, i] [i, o] -> [b, o],
so its transposes are convolutions again: [b, o] [o, i] -> [b, i] and [i, b] [b, o] -> [i, o].
Groups of features become groups of batches in the second. Must not import jaxc.numpy.
"""

from __future__ import annotations

from typing import Any

from jaxc.core.trace import get_aval
from jaxc.lax.convolution import conv_general_dilated, conv_general_dilated_p
from jaxc.lax.shape import cast, full, reshape, rev, shape_of
from jaxc.transforms import ad, batching
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.convolution import conv_general_dilated_infer, dilate
from jaxc_compiler.opset.params import ConvDimensionNumbers


def merge_axis(source: int, into: int, x: Any) -> Any:
    """Dimension `source` merged, as the slow one, into what is dimension `into` without it."""
    shape = list(shape_of(x))
    order = [d for d in range(len(shape)) if d != source]
    order.insert(into, source)
    size = shape.pop(source)
    shape[into] *= size
    return reshape(x, shape, order)


def split_axis(axis: int, size: int, x: Any) -> Any:
    """A dimension split in two, the first (slow) one of the given size."""
    shape = shape_of(x)
    return reshape(x, (*shape[:axis], size, shape[axis] // size, *shape[axis + 1 :]))


def _swap(spec: tuple[int, ...]) -> tuple[int, ...]:
    return (spec[1], spec[0], *spec[2:])


def _dilated(shape: Any, dims: Any, steps: Any) -> list[int]:
    return [dilate(shape[d], step) for d, step in zip(dims, steps)]


def _spatial_extents(lhs_shape, rhs_shape, out_shape, numbers, params) -> tuple[list[int], ...]:
    return (
        _dilated(lhs_shape, numbers.lhs_spec[2:], params["lhs_dilation"]),
        _dilated(rhs_shape, numbers.rhs_spec[2:], params["rhs_dilation"]),
        _dilated(out_shape, numbers.out_spec[2:], params["window_strides"]),
    )


def _transpose_lhs(ct, lhs, rhs, *, dimension_numbers, **params):
    numbers = dimension_numbers
    lhs_spec, rhs_spec, out_spec = numbers
    lhs_shape, rhs_shape = lhs.aval.shape, shape_of(rhs)
    x, k, y = _spatial_extents(lhs_shape, rhs_shape, shape_of(ct), numbers, params)
    low = [kk - a - 1 for kk, (a, _) in zip(k, params["padding"])]
    padding = [(a, xx + kk - 1 - yy - a) for a, xx, kk, yy in zip(low, x, k, y)]
    batches, groups = params["batch_group_count"], params["feature_group_count"]
    if max(groups, batches) > 1:
        groups = max(groups, batches)
        rhs = split_axis(rhs_spec[0], groups, rhs)
        rhs = merge_axis(rhs_spec[0], rhs_spec[1], rhs)
    kernel = rev(rhs, rhs_spec[2:])
    if get_aval(kernel).dtype != get_aval(ct).dtype:
        kernel = cast(kernel, get_aval(ct).dtype)
    out = conv_general_dilated(
        ct,
        kernel,
        window_strides=params["lhs_dilation"],
        padding=padding,
        lhs_dilation=params["window_strides"],
        rhs_dilation=params["rhs_dilation"],
        dimension_numbers=ConvDimensionNumbers(out_spec, _swap(rhs_spec), lhs_spec),
        feature_group_count=groups,
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
    )
    if get_aval(out).dtype != lhs.aval.dtype:
        out = cast(out, lhs.aval.dtype)
    if batches > 1:
        out = split_axis(lhs_spec[1], batches, out)
        out = merge_axis(lhs_spec[1], lhs_spec[0], out)
    return out


def _transpose_rhs(ct, lhs, rhs, *, dimension_numbers, **params):
    numbers = dimension_numbers
    lhs_shape, rhs_shape, out_shape = shape_of(lhs), rhs.aval.shape, shape_of(ct)
    if 0 in out_shape:
        return ad.Zero(rhs.aval)
    x, k, y = _spatial_extents(lhs_shape, rhs_shape, out_shape, numbers, params)
    padding = [(a, yy - xx + kk - a - 1) for (a, _), xx, kk, yy in zip(params["padding"], x, k, y)]
    if get_aval(lhs).dtype != get_aval(ct).dtype:
        lhs = cast(lhs, get_aval(ct).dtype)
    out = conv_general_dilated(
        lhs,
        ct,
        window_strides=params["rhs_dilation"],
        padding=padding,
        lhs_dilation=params["lhs_dilation"],
        rhs_dilation=params["window_strides"],
        dimension_numbers=ConvDimensionNumbers(
            _swap(numbers.lhs_spec), _swap(numbers.out_spec), _swap(numbers.rhs_spec)
        ),
        feature_group_count=params["batch_group_count"],
        batch_group_count=params["feature_group_count"],
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
    )
    return cast(out, rhs.aval.dtype) if get_aval(out).dtype != rhs.aval.dtype else out


def _empty_batch(lhs, rhs, dims, params):
    """The result for a batch of no elements, which groups cannot express."""
    avals = []
    for x, dim in zip((lhs, rhs), dims):
        shape = [s for d, s in enumerate(shape_of(x)) if d != dim]
        avals.append(ShapedArray(tuple(shape), get_aval(x).dtype))
    aval = conv_general_dilated_infer(*avals, **params)
    return full((0, *aval.shape), 0, aval.dtype), 0


def _batch(args, dims, **params):
    (lhs, rhs), (lhs_dim, rhs_dim) = args, dims
    sizes = [shape_of(x)[d] for x, d in zip(args, dims) if d is not None]
    if sizes[0] == 0:
        return _empty_batch(lhs, rhs, dims, params)
    if lhs_dim is None:
        return _batch_rhs(lhs, rhs, rhs_dim, sizes[0], params)
    if rhs_dim is None:
        return _batch_lhs(lhs, rhs, lhs_dim, sizes[0], params)
    lhs_spec, rhs_spec, out_spec = params["dimension_numbers"]
    if params["batch_group_count"] > 1:
        lhs = merge_axis(lhs_dim, lhs_spec[0], lhs)
        params["batch_group_count"] *= sizes[0]
    else:
        lhs = merge_axis(lhs_dim, lhs_spec[1], lhs)
        params["feature_group_count"] *= sizes[0]
    out = conv_general_dilated(lhs, merge_axis(rhs_dim, rhs_spec[0], rhs), **params)
    return split_axis(out_spec[1], sizes[0], out), out_spec[1]


def _merge_inside_groups(x: Any, dim: int, axis: int, groups: int) -> Any:
    """The batch dimension merged into `axis` below its groups, which must stay the slow part."""
    x = split_axis(axis + (dim <= axis), groups, x)
    x = merge_axis(dim + (axis < dim), axis + 1, x)
    return merge_axis(axis, axis, x)


def _batch_lhs(lhs, rhs, dim, size, params):
    lhs_spec, _, out_spec = params["dimension_numbers"]
    if params["batch_group_count"] == 1:
        lhs = merge_axis(dim, lhs_spec[0], lhs)
    else:
        lhs = _merge_inside_groups(lhs, dim, lhs_spec[0], params["batch_group_count"])
    out = conv_general_dilated(lhs, rhs, **params)
    return split_axis(out_spec[0], size, out), out_spec[0]


def _batch_rhs(lhs, rhs, dim, size, params):
    _, rhs_spec, out_spec = params["dimension_numbers"]
    groups = max(params["feature_group_count"], params["batch_group_count"])
    if groups == 1:
        out = conv_general_dilated(lhs, merge_axis(dim, rhs_spec[0], rhs), **params)
        return split_axis(out_spec[1], size, out), out_spec[1]
    rhs = _merge_inside_groups(rhs, dim, rhs_spec[0], groups)
    out = conv_general_dilated(lhs, rhs, **params)
    out = split_axis(out_spec[1], groups, out)
    out = split_axis(out_spec[1] + 1, size, out)
    return merge_axis(out_spec[1], out_spec[1] + 1, out), out_spec[1]


ad.defbilinear(conv_general_dilated_p, _transpose_lhs, _transpose_rhs)
batching.primitive_batchers[conv_general_dilated_p] = _batch
