"""Element rules of dynamic_slice, gather and (as a function) dynamic_update_slice.

A start is clamped so that the whole window lies inside; a fill-mode gather reads the clamped place
all the same and then selects, which keeps loops free of branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxc_compiler.lowering.element.base import Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.pointwise import int_bits, kind
from jaxc_compiler.lowering.element.values import rule
from jaxc_compiler.opset.indexing import default_fill_value
from jaxc_compiler.opset.params import GatherScatterMode


def clamped_start(b: ScalarBuilder, value: Scalar, dtype: Any, limit: int) -> Index:
    """An integer scalar as an index in [0, limit]."""
    if limit <= 0:
        return 0
    if kind(dtype) == "u":
        bits = int_bits(dtype)
        if limit < 1 << bits:
            value = b.ints(bits).binary("arith.minui", value, limit)
        return b.to_index(value, signed=False)
    return b.imax(b.imin(b.to_index(value), limit), 0)


def start_is_inside(b: ScalarBuilder, value: Scalar, dtype: Any, limit: int) -> Any:
    """Whether an integer scalar lies in [0, limit]; a Python bool if it is known."""
    if limit < 0:
        return False
    bits = int_bits(dtype)
    if limit >= 1 << (bits - (kind(dtype) == "i")):
        return True if kind(dtype) == "u" else b.ints(bits).sge(value, 0)
    return b.ints(bits).ule(value, limit)  # a negative value is a large unsigned one


def window_starts(
    b: ScalarBuilder, starts: Sequence[Any], shape: Sequence[int], sizes: Sequence[int]
) -> list[Index]:
    """The clamped starts of a window given by 0-d arrays, computed before the loops."""
    result = []
    for start, dim, size in zip(starts, shape, sizes):
        key = ("start", start, dim - size)
        found = b.memo(key)
        if found is None:
            with b.hoisted():
                value = start.at(b, ())
                found = clamped_start(b, value, start.aval.dtype, dim - size)
                b.scope.memo[key] = found
        result.append(found)
    return result


@rule("dynamic_slice")
def dynamic_slice(
    b: ScalarBuilder, operands: Any, index: tuple[Index, ...], out_aval: Any, **_: Any
) -> Scalar:
    x, *starts = operands
    offsets = window_starts(b, starts, x.aval.shape, out_aval.shape)
    return x.at(b, tuple(b.iadd(offset, i) for offset, i in zip(offsets, index)))


@rule("dynamic_update_slice")
def dynamic_update_slice(
    b: ScalarBuilder, operands: Any, index: tuple[Index, ...], out_aval: Any, **_: Any
) -> Scalar:
    """The update's element inside the window, else the operand's (a new array: not in place)."""
    x, update, *starts = operands
    if not update.aval.size:
        return x.at(b, index)
    sizes = update.aval.shape
    offsets = window_starts(b, starts, x.aval.shape, sizes)
    inner, conditions = [], []
    for i, offset, size, dim in zip(index, offsets, sizes, x.aval.shape):
        position = b.isub(i, offset)
        inner.append(0 if size == 1 else position)
        if size != dim:
            conditions += [b.icmp("ge", position, 0), b.icmp("lt", position, size)]
    return b.if_(
        b.all_of(conditions),
        lambda: update.at(b, tuple(inner)),
        lambda: x.at(b, index),
        out_aval.dtype,
    )


@rule("gather")
def gather(
    b: ScalarBuilder, operands: Any, index: tuple[Index, ...], out_aval: Any,
    *, dimension_numbers: Any, fill_value: Any, mode: Any, slice_sizes: tuple[int, ...], **_: Any,
) -> Scalar:  # fmt: skip
    """One window element: the window's start, from the index vector, plus the offset in it."""
    x, indices = operands
    numbers, shape = dimension_numbers, x.aval.shape
    batch = [i for d, i in enumerate(index) if d not in numbers.offset_dims]
    offsets = iter([index[d] for d in numbers.offset_dims])
    dropped = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    source = [0 if d in dropped else next(offsets) for d in range(len(shape))]
    for d, axis in zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims):
        source[d] = batch[axis]
    conditions = []
    limits = [shape[d] - slice_sizes[d] for d in numbers.start_index_map]
    with b.at_home(batch):  # an index vector is read once for its window
        starts = [_start(b, indices, (*batch, k), limit) for k, limit in enumerate(limits)]
    for d, (start, inside) in zip(numbers.start_index_map, starts):
        source[d] = b.iadd(source[d], start)
        conditions.append(inside)
    fills = GatherScatterMode.from_any(mode) == GatherScatterMode.FILL_OR_DROP
    if not fills:
        return x.at(b, tuple(source)) if x.aval.size else b.constant(0, out_aval.dtype)
    fill = default_fill_value(out_aval.dtype) if fill_value is None else fill_value
    if kind(out_aval.dtype) == "k":
        filled = b.ints(64).c(-1)
    else:
        filled = b.constant(fill, out_aval.dtype)
    if not x.aval.size:
        return filled
    return b.select(b.all_of(conditions), x.at(b, tuple(source)), filled)


def _start(b: ScalarBuilder, indices: Any, index: tuple[Index, ...], limit: int) -> Any:
    """(the clamped start, whether it needed no clamping) of one component of an index vector."""
    key = ("gather", indices, index, limit)
    found = b.memo(key)
    if found is None:
        value, dtype = indices.at(b, index), indices.aval.dtype
        inside = start_is_inside(b, value, dtype, limit)
        found = b.scope.memo[key] = (clamped_start(b, value, dtype, limit), inside)
    return found
