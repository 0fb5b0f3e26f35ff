"""Contractions, convolutions and windows to linalg: generics that IREE recognizes and tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc_compiler.lowering.element.base import ScalarBuilder
from jaxc_compiler.lowering.element.convert import convert
from jaxc_compiler.lowering.kernel.reduction import combiner
from jaxc_compiler.lowering.linalg.base import Emitter, lowers
from jaxc_compiler.lowering.linalg.reduction import KINDS, neutral, projected, reduce_generic
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray


@lowers("dot_general")
def lower_dot_general(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    dimension_numbers: Any,
    **_: Any,
) -> list[ir.Value]:
    """Loops: batch, free of the left, free of the right, contracted."""
    (left_contract, right_contract), (left_batch, right_batch) = dimension_numbers
    left, right = avals
    left_free = [d for d in range(left.ndim) if d not in (*left_contract, *left_batch)]
    right_free = [d for d in range(right.ndim) if d not in (*right_contract, *right_batch)]
    batch, free = len(left_batch), len(left_batch) + len(left_free)
    out_rank = free + len(right_free)
    rank = out_rank + len(left_contract)
    left_loops: dict[int, int] = {}
    right_loops: dict[int, int] = {}
    for loop, (i, j) in enumerate(zip(left_batch, right_batch)):
        left_loops[i] = right_loops[j] = loop
    left_loops |= {d: batch + k for k, d in enumerate(left_free)}
    right_loops |= {d: free + k for k, d in enumerate(right_free)}
    for k, (i, j) in enumerate(zip(left_contract, right_contract)):
        left_loops[i] = right_loops[j] = out_rank + k
    maps = [
        projected(rank, [left_loops[d] for d in range(left.ndim)]),
        projected(rank, [right_loops[d] for d in range(right.ndim)]),
        projected(rank, range(out_rank)),
    ]
    iterators = ["parallel"] * out_rank + ["reduction"] * len(left_contract)
    return [_multiply_add(e, operands, avals, out_avals[0], maps, iterators)]


def _multiply_add(
    e: Emitter,
    operands: list,
    avals: list,
    out_aval: ShapedArray,
    maps: list,
    iterators: list[str],
) -> ir.Value:
    """The sum of products of two arrays; narrow floats are added in float32."""
    dtype = out_aval.dtype
    narrow = dtype.kind in "fV" and dtype.itemsize < 4
    wide = out_aval.update(dtype=np.dtype(np.float32)) if narrow else out_aval

    def body(b: ScalarBuilder, elements: list[ir.Value]) -> list[ir.Value]:
        x, y = (
            convert(b, b.from_memory(a.dtype, v), a.dtype, wide.dtype)
            for a, v in zip(avals, elements)
        )
        total = b.from_memory(wide.dtype, elements[2])
        product = combiner("mul", wide.dtype)(b, x, y)
        total = combiner("add", wide.dtype)(b, total, product)
        return [b.to_memory(wide.dtype, total, elements[2].type)]

    result = e.generic([e.full(wide, 0)], operands, maps, iterators, body)[0]
    return e.converted(result, wide, out_aval)


@lowers("conv_general_dilated")
def lower_conv(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    dimension_numbers: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    feature_group_count: int,
    batch_group_count: int,
    **_: Any,
) -> list[ir.Value]:
    """Canonical layouts, explicit padding, groups as a dimension, then one generic."""
    numbers = dimension_numbers
    left = e.lax("transpose", (operands[0], avals[0]), permutation=tuple(numbers.lhs_spec))
    right = e.lax("transpose", (operands[1], avals[1]), permutation=tuple(numbers.rhs_spec))
    edges = ((0, 0, 0), (0, 0, 0))
    edges += tuple((low, high, d - 1) for (low, high), d in zip(padding, lhs_dilation))
    zero = ShapedArray((), avals[0].dtype)
    left = e.lax("pad", left, (e.full(zero, 0), zero), padding_config=edges)
    batch, features, *space = left[1].shape
    out_features, in_features, *window = right[1].shape
    groups = feature_group_count * batch_group_count
    if batch_group_count > 1:
        grouped = (groups, batch // groups, features, *space)
        left = e.lax("reshape", left, new_sizes=grouped, dimensions=None, sharding=None)
    else:
        grouped = (batch, groups, features // groups, *space)
        left = e.lax("reshape", left, new_sizes=grouped, dimensions=None, sharding=None)
        order = (1, 0, *range(2, len(grouped)))
        left = e.lax("transpose", left, permutation=order)
    grouped = (groups, out_features // groups, in_features, *window)
    right = e.lax("reshape", right, new_sizes=grouped, dimensions=None, sharding=None)
    out = _canonical_out(out_avals[0], numbers.out_spec)
    out_batch = batch // batch_group_count
    result_aval = out.update(shape=(groups, out_batch, out_features // groups, *out.shape[2:]))
    rank = len(space)
    maps = _conv_maps(rank, window_strides, rhs_dilation)
    iterators = ["parallel"] * (3 + rank) + ["reduction"] * (1 + rank)
    pair = [left[0], right[0]], [left[1], right[1]]
    result = _multiply_add(e, *pair, result_aval, maps, iterators), result_aval
    result = e.lax("transpose", result, permutation=(1, 0, *range(2, 3 + rank)))
    result = e.lax("reshape", result, new_sizes=out.shape, dimensions=None, sharding=None)
    back = tuple(int(i) for i in np.argsort(numbers.out_spec))
    return [e.lax("transpose", result, permutation=back)[0]]


def _canonical_out(aval: ShapedArray, spec: Sequence[int]) -> ShapedArray:
    return aval.update(shape=tuple(aval.shape[d] for d in spec))


def _conv_maps(rank: int, strides: Sequence[int], dilation: Sequence[int]) -> list[ir.AffineMap]:
    """Loops: group, batch, out feature, *space, in feature, *window."""
    dims = [ir.AffineDimExpr.get(d) for d in range(4 + 2 * rank)]
    group, batch, out_feature, in_feature = dims[0], dims[1], dims[2], dims[3 + rank]
    space, window = dims[3 : 3 + rank], dims[4 + rank :]
    places = [s * int(a) + w * int(d) for s, w, a, d in zip(space, window, strides, dilation)]
    return [
        ir.AffineMap.get(len(dims), 0, [group, batch, in_feature, *places]),
        ir.AffineMap.get(len(dims), 0, [group, out_feature, in_feature, *window]),
        ir.AffineMap.get(len(dims), 0, [group, batch, out_feature, *space]),
    ]


@lowers("reduce_window_sum", "reduce_window_max", "reduce_window_min")
def lower_reduce_window(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    name: str,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> list[ir.Value]:
    """Explicit padding with the neutral element, then one generic over result and window."""
    kind, aval = KINDS[name], avals[0]
    edges = tuple((low, high, d - 1) for (low, high), d in zip(padding, base_dilation))
    scalar = ShapedArray((), aval.dtype)
    fill = e.full(scalar, neutral(kind, aval.dtype)), scalar
    padded = e.lax("pad", (operands[0], aval), fill, padding_config=edges)[0]
    rank = aval.ndim
    dims = [ir.AffineDimExpr.get(d) for d in range(2 * rank)]
    places = [
        dims[i] * int(window_strides[i]) + dims[rank + i] * int(window_dilation[i])
        for i in range(rank)
    ]
    maps = [
        ir.AffineMap.get(2 * rank, 0, places),
        projected(2 * rank, range(rank, 2 * rank)),  # only tells the size of the window
        projected(2 * rank, range(rank)),
    ]
    window = e.empty(ShapedArray(tuple(window_dimensions), aval.dtype))
    iterators = ["parallel"] * rank + ["reduction"] * rank
    ins = [padded, window]
    return [reduce_generic(e, kind, ins, aval.dtype, out_avals[0], maps, iterators)]
