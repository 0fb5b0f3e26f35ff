"""Convolutions: conv_general_dilated, conv, conv_transpose, patches, and their padding arithmetic.

Owns the public functions and the reading of layouts ("NHWC") and paddings ("SAME"); derivatives and
batching are in `convolution_rules.py`. Must not import jaxc.numpy.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.primitive import primitive
from jaxc.lax.contraction import canonicalize_precision, dot_general
from jaxc.lax.shape import as_array, cast, rev, shape_of, transpose
from jaxc_compiler.opset.convolution import dilate, window_count
from jaxc_compiler.opset.params import ConvDimensionNumbers, Precision

conv_general_dilated_p = primitive("conv_general_dilated")


# ---- layouts and padding ----------------------------------------------------------------------


def conv_dimension_numbers(
    lhs_shape: Any, rhs_shape: Any, dimension_numbers: Any
) -> ConvDimensionNumbers:
    """Any description of a layout as ConvDimensionNumbers.

    Args:
      lhs_shape, rhs_shape: shapes of input and kernel.
      dimension_numbers: None (batch, feature, then space), three strings like ("NHWC", "HWIO",
        "NHWC"), or ConvDimensionNumbers.

    Raises:
      TypeError: if it describes no layout of these shapes.
    """
    if isinstance(dimension_numbers, ConvDimensionNumbers):
        return dimension_numbers
    ndim = len(lhs_shape)
    if ndim != len(rhs_shape):
        raise TypeError(
            f"convolution requires lhs and rhs ndim to be equal, got {ndim} and {len(rhs_shape)}."
        )
    if dimension_numbers is None:
        axes = tuple(range(ndim))
        return ConvDimensionNumbers(axes, axes, axes)
    if not isinstance(dimension_numbers, list | tuple):
        raise TypeError(
            "convolution dimension_numbers must be tuple/list or None, got "
            f"{type(dimension_numbers)}."
        )
    if len(dimension_numbers) != 3 or not all(isinstance(s, str) for s in dimension_numbers):
        raise TypeError(
            f"convolution dimension_numbers must be three strings, got {dimension_numbers}."
        )
    if any(len(spec) != ndim for spec in dimension_numbers):
        raise TypeError(
            f"convolution dimension_numbers {dimension_numbers} must name each dimension of the "
            f"lhs and rhs shapes {tuple(lhs_shape)} and {tuple(rhs_shape)}."
        )
    return ConvDimensionNumbers(*conv_general_permutations(dimension_numbers))


def conv_general_permutations(dimension_numbers: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """The canonical order of the dimensions of each of three layout strings."""
    pairs = (("N", "C"), ("O", "I"), ("N", "C"))
    for spec, pair in zip(dimension_numbers, pairs):
        if len(set(spec)) != len(spec) or any(letter not in spec for letter in pair):
            raise TypeError(
                f"convolution dimension_numbers: {spec!r} must hold each character once, and "
                f"{pair[0]!r} and {pair[1]!r} among them."
            )
    spatial = [set(spec) - set(pair) for spec, pair in zip(dimension_numbers, pairs)]
    if not spatial[0] == spatial[1] == spatial[2]:
        raise TypeError(
            "convolution dimension_numbers elements must each have the same set of spatial "
            f"characters, got {dimension_numbers}."
        )
    letters = [c for c in dimension_numbers[1] if c not in "OI"]
    return tuple(
        tuple(spec.index(c) for c in (*pair, *letters))
        for spec, pair in zip(dimension_numbers, pairs)
    )


def padtype_to_pads(
    in_shape: Any, window_shape: Any, window_strides: Any, padding: str
) -> list[tuple[int, int]]:
    """The (low, high) padding of each dimension that "VALID", "SAME" or "SAME_LOWER" stands for.

    Raises:
      RuntimeError: for any other string.
    """
    kind = padding.upper() if isinstance(padding, str) else getattr(padding, "name", padding)
    if kind == "VALID":
        return [(0, 0)] * len(in_shape)
    if kind not in ("SAME", "SAME_LOWER"):
        if not isinstance(padding, str):
            raise TypeError(f"Unknown padding type: {padding}.")
        raise RuntimeError(
            f"Unrecognized padding type: expected 'VALID', 'SAME', or 'SAME_LOWER', got {padding}."
        )
    pads = []
    for size, window, stride in zip(in_shape, window_shape, window_strides):
        total = max((-(-int(size) // int(stride)) - 1) * int(stride) + int(window) - int(size), 0)
        small, large = total // 2, total - total // 2
        pads.append((small, large) if kind == "SAME" else (large, small))
    return pads


# ---- public functions -------------------------------------------------------------------------


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """Convolution of an input with a kernel (a correlation: the kernel is not flipped).

    Args:
      lhs, rhs: input and kernel, of one dtype.
      window_strides: step of the kernel per spatial dimension.
      padding: "VALID", "SAME", "SAME_LOWER" or (low, high) pairs.
      lhs_dilation, rhs_dilation: distance of neighbours of the input and of the kernel.
      dimension_numbers: the layout, see `conv_dimension_numbers`.
      feature_group_count, batch_group_count: into how many groups features or batches are split.
      precision, preferred_element_type, out_sharding: as in `dot_general`.

    Raises:
      ValueError, TypeError: if shapes, groups, padding or dtypes do not fit.

    Example:
      >>> from jaxc import lax
      >>> import jaxc.numpy as jnp
      >>> lax.conv_general_dilated(jnp.ones((1, 1, 4)), jnp.ones((1, 1, 2)), (2,), "VALID").tolist()
      [[[2.0, 2.0]]]
    """
    lhs_shape, rhs_shape = shape_of(lhs), shape_of(rhs)
    numbers = conv_dimension_numbers(lhs_shape, rhs_shape, dimension_numbers)
    if lhs_dilation is None:
        lhs_dilation = (1,) * (len(lhs_shape) - 2)
    elif isinstance(padding, str) and any(step != 1 for step in lhs_dilation):
        raise ValueError(
            "String padding is not implemented for transposed convolution using this op. Give the "
            "padding as pairs or use conv_transpose."
        )
    if rhs_dilation is None:
        rhs_dilation = (1,) * (len(rhs_shape) - 2)
    if isinstance(padding, str):
        window = [dilate(rhs_shape[d], r) for d, r in zip(numbers.rhs_spec[2:], rhs_dilation)]
        spatial = [lhs_shape[d] for d in numbers.lhs_spec[2:]]
        padding = padtype_to_pads(spatial, window, window_strides, padding)
    if preferred_element_type is not None:
        preferred_element_type = dtypes.check_user_dtype(
            preferred_element_type, "conv_general_dilated"
        )
    return conv_general_dilated_p.bind(
        lhs,
        rhs,
        window_strides=tuple(window_strides),
        padding=_pairs(padding),
        lhs_dilation=tuple(lhs_dilation),
        rhs_dilation=tuple(rhs_dilation),
        dimension_numbers=numbers,
        feature_group_count=feature_group_count,
        batch_group_count=batch_group_count,
        precision=canonicalize_precision(precision),
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )


def _pairs(padding: Any) -> tuple[tuple[int, int], ...]:
    try:
        return tuple((operator.index(low), operator.index(high)) for low, high in padding)
    except (TypeError, ValueError):
        raise ValueError(
            "padding argument to conv_general_dilated should be a string or a sequence of "
            f"(low, high) pairs, got {padding}"
        ) from None


def conv(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: str,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """`conv_general_dilated` in the layout (batch, feature, space), without dilation."""
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_with_general_padding(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """`conv_general_dilated` in the layout (batch, feature, space)."""
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


_TRANSPOSE_LAYOUTS = {
    2: ("NC", "IO", "NC"),
    3: ("NHC", "HIO", "NHC"),
    4: ("NHWC", "HWIO", "NHWC"),
    5: ("NHWDC", "HWDIO", "NHWDC"),
}


def conv_transpose(
    lhs: Any,
    rhs: Any,
    strides: Sequence[int],
    padding: Any,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: Any = None,
    use_consistent_padding: bool = False,
) -> Any:
    """Transposed convolution: upsamples by `strides` as the gradient of a convolution does.

    Args:
      lhs, rhs: input and kernel.
      strides: upsampling factor per spatial dimension.
      padding: "SAME" or "VALID" of the forward convolution, or (low, high) pairs.
      rhs_dilation: distance of neighbours of the kernel.
      dimension_numbers: the layout; by default channels last.
      transpose_kernel: flip the kernel and swap its feature dimensions, as a gradient does.
      precision, preferred_element_type: as in `dot_general`.
      use_consistent_padding: read pairs too as the padding of the forward convolution.
    """
    ndim = len(shape_of(lhs))
    if dimension_numbers is None:
        if ndim not in _TRANSPOSE_LAYOUTS:
            raise ValueError("No 4+ dimensional dimension_number defaults.")
        dimension_numbers = _TRANSPOSE_LAYOUTS[ndim]
    numbers = conv_dimension_numbers(shape_of(lhs), shape_of(rhs), dimension_numbers)
    if rhs_dilation is None:
        rhs_dilation = (1,) * (ndim - 2)
    if use_consistent_padding or padding in ("SAME", "VALID"):
        widths = [dilate(shape_of(rhs)[d], r) for d, r in zip(numbers.rhs_spec[2:], rhs_dilation)]
        each = [padding] * len(strides) if isinstance(padding, str) else padding
        padding = [_transpose_padding(k, s, p) for k, s, p in zip(widths, strides, each)]
    if transpose_kernel:
        for axis in numbers.rhs_spec[2:]:
            rhs = rev(rhs, (axis,))
        axes = list(range(ndim))
        out, into = numbers.rhs_spec[:2]
        axes[out], axes[into] = into, out
        rhs = transpose(rhs, axes)
    return conv_general_dilated(
        lhs,
        rhs,
        (1,) * (ndim - 2),
        padding,
        strides,
        rhs_dilation,
        numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def _transpose_padding(width: int, stride: int, padding: Any) -> tuple[int, int]:
    """The padding of the dilated input that undoes `padding` of a forward convolution."""
    if padding == "SAME":
        total = width + stride - 2
        low = width - 1 if stride > width - 1 else -(-total // 2)
    elif padding == "VALID":
        total = width + stride - 2 + max(width - stride, 0)
        low = width - 1
    elif isinstance(padding, tuple):
        low = width - padding[0] - 1
        total = low + width - padding[1] - 1
    else:
        raise ValueError(f"Invalid padding mode: {padding}")
    return low, total - low


def conv_shape_tuple(lhs_shape, rhs_shape, strides, pads, batch_group_count=1) -> tuple[int, ...]:
    """The shape of a convolution of shapes in canonical order."""
    if isinstance(pads, str):
        pads = padtype_to_pads(lhs_shape[2:], rhs_shape[2:], strides, pads)
    if len(pads) != len(lhs_shape) - 2:
        raise TypeError(
            "Wrong number of explicit pads for convolution: expected "
            f"{len(lhs_shape) - 2}, got {len(pads)}."
        )
    sizes = [size + low + high for size, (low, high) in zip(lhs_shape[2:], pads)]
    spatial = map(window_count, sizes, rhs_shape[2:], strides)
    return (lhs_shape[0] // batch_group_count, rhs_shape[0], *spatial)


def conv_general_shape_tuple(lhs_shape, rhs_shape, window_strides, padding, dimension_numbers):
    """The shape of a convolution in the layout of `dimension_numbers`."""
    lhs_perm, rhs_perm, out_perm = conv_general_permutations(dimension_numbers)
    shape = conv_shape_tuple(
        [lhs_shape[d] for d in lhs_perm], [rhs_shape[d] for d in rhs_perm], window_strides, padding
    )
    return tuple(shape[i] for i in np.argsort(out_perm))


def conv_transpose_shape_tuple(lhs_shape, rhs_shape, window_strides, padding, dimension_numbers):
    """The shape of a transposed convolution in the layout of `dimension_numbers`."""
    lhs_perm, rhs_perm, out_perm = conv_general_permutations(dimension_numbers)
    lhs, rhs = [lhs_shape[d] for d in lhs_perm], [rhs_shape[d] for d in rhs_perm]
    if isinstance(padding, str):
        padding = [_transpose_padding(k, s, padding) for k, s in zip(rhs[2:], window_strides)]
    spatial = [
        (size - 1) * stride - width + 2 + sum(pads)
        for size, width, stride, pads in zip(lhs[2:], rhs[2:], window_strides, padding)
    ]
    shape = (lhs[0], rhs[0], *spatial)
    return tuple(shape[i] for i in np.argsort(out_perm))


def conv_general_dilated_patches(
    lhs: Any,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """The patches a convolution would see, as features (channel, then position in the filter)."""
    lhs = as_array(lhs)
    filter_shape = tuple(filter_shape)
    numbers = conv_dimension_numbers(lhs.shape, (1, 1, *filter_shape), dimension_numbers)
    size, channels = math.prod(filter_shape), lhs.shape[numbers.lhs_spec[1]]
    kernel = np.broadcast_to(np.eye(size), (channels, size, size))
    kernel = kernel.reshape(channels * size, 1, *filter_shape)
    kernel = np.moveaxis(kernel, (0, 1), numbers.rhs_spec[:2])
    return conv_general_dilated(
        lhs,
        cast(kernel, lhs.dtype),
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        numbers,
        feature_group_count=channels,
        precision=None if precision is None else (precision, Precision.DEFAULT),
        preferred_element_type=preferred_element_type,
    )


def conv_general_dilated_local(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    filter_shape: Sequence[int],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    precision: Any = None,
) -> Any:
    """A convolution whose kernel differs from place to place of the result."""
    lhs = as_array(lhs)
    both = canonicalize_precision(precision)
    patches = conv_general_dilated_patches(
        lhs,
        filter_shape,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        dimension_numbers,
        None if both is None else both[0],
    )
    _, rhs_spec, out_spec = conv_dimension_numbers(
        lhs.shape, (1, 1, *filter_shape), dimension_numbers
    )
    pairs = sorted(zip(out_spec[2:], rhs_spec[2:]))
    batch = [p for p, _ in pairs], [r for _, r in pairs]
    out = dot_general(patches, rhs, (((out_spec[1],), (rhs_spec[1],)), batch), precision=precision)
    order = list(range(len(pairs)))
    for source, target in sorted(zip((len(pairs), len(pairs) + 1), out_spec[:2]), key=_second):
        order.insert(target, source)
    return transpose(out, order)


def _second(pair: tuple[int, int]) -> int:
    return pair[1]
