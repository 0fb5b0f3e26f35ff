"""Element rules of ops that move elements: which operand element a result element is.

Index arithmetic on static ints is folded by the builder, so a broadcast, transpose, slice or a
reshape that drops unit dimensions costs nothing. Out-of-range reads are guarded by `scf.if`.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element.base import Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.convert import convert
from jaxc_compiler.lowering.element.pointwise import int_bits, kind
from jaxc_compiler.lowering.element.values import (
    PER_RESULT,
    apply,
    delinearize,
    flat_is_cheap,
    linearize,
    rule,
)
from jaxc_compiler.opset.avals import ShapedArray

Indices = tuple[Index, ...]


@rule("broadcast_in_dim")
def broadcast_in_dim(
    b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any,
    *, broadcast_dimensions: tuple[int, ...], **_: Any,
) -> Scalar:  # fmt: skip
    (x, *_dynamic) = operands
    sizes = x.aval.shape
    return x.at(b, tuple(0 if n == 1 else index[d] for n, d in zip(sizes, broadcast_dimensions)))


@rule("reshape")
def reshape(
    b: ScalarBuilder,
    operands: Any,
    index: Indices,
    out_aval: Any,
    *,
    dimensions: Any = None,
    **_: Any,
) -> Scalar:
    """Through the row-major position, or without it if only unit dimensions come or go."""
    x, shape = operands[0], out_aval.shape
    if dimensions is not None:
        permuted = x.aval.update(shape=tuple(x.aval.shape[d] for d in dimensions))
        (x,) = apply("transpose", [x], {"permutation": tuple(dimensions)}, [permuted])
    old = [n for n in x.aval.shape if n != 1]
    if old == [n for n in shape if n != 1]:
        kept = iter([i for i, n in zip(index, shape) if n != 1])
        return x.at(b, tuple(0 if n == 1 else next(kept) for n in x.aval.shape))
    if not flat_is_cheap(x):
        grouped = _split_or_merge(b, index, shape, x.aval.shape)
        if grouped is not None:
            return x.at(b, grouped)
    return x.at_flat(b, linearize(b, index, shape))


def _split_or_merge(
    b: ScalarBuilder, index: Indices, new: tuple[int, ...], old: tuple[int, ...]
) -> Indices | None:
    """The operand's index, group by group of dimensions with equal products; None if empty."""
    if 0 in new:
        return None
    result: list[Index] = []
    i = j = 0
    while i < len(new) or j < len(old):
        start_i, start_j, p, q = i, j, 1, 1
        while True:
            if p <= q and i < len(new):
                p *= new[i]
                i += 1
            elif j < len(old):
                q *= old[j]
                j += 1
            if p == q and (p > 1 or (i >= len(new) and j >= len(old))):
                break
        position = linearize(b, index[start_i:i], new[start_i:i])
        result += delinearize(b, position, old[start_j:j])
    return tuple(result)


@rule("transpose")
def transpose(
    b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any, *, permutation: tuple[int, ...]
) -> Scalar:
    source: list[Index] = [0] * len(index)
    for position, dim in enumerate(permutation):
        source[dim] = index[position]
    return operands[0].at(b, tuple(source))


@rule("squeeze")
def squeeze(
    b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any, *, dimensions: tuple[int, ...]
) -> Scalar:
    x, kept = operands[0], iter(index)
    rank = len(x.aval.shape)
    dropped = {d % rank for d in dimensions}
    return x.at(b, tuple(0 if d in dropped else next(kept) for d in range(rank)))


@rule("rev")
def rev(
    b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any, *, dimensions: tuple[int, ...]
) -> Scalar:
    source = list(index)
    for d in dimensions:
        source[d] = b.isub(out_aval.shape[d] - 1, index[d])
    return operands[0].at(b, tuple(source))


@rule("slice")
def slice_(
    b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any,
    *, start_indices: tuple[int, ...], strides: tuple[int, ...] | None, **_: Any,
) -> Scalar:  # fmt: skip
    steps = strides or (1,) * len(index)
    parts = zip(index, start_indices, steps)
    return operands[0].at(b, tuple(b.iadd(b.imul(i, step), start) for i, start, step in parts))


@rule("tile")
def tile(b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any, **_: Any) -> Scalar:
    x = operands[0]
    padded = index[len(index) - len(x.aval.shape) :]
    return x.at(b, tuple(b.imod(i, n) for i, n in zip(padded, x.aval.shape)))


@rule("pad")
def pad(
    b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any,
    *, padding_config: tuple[tuple[int, int, int], ...],
) -> Scalar:  # fmt: skip
    """The operand inside, the padding value at the edges and between elements."""
    x, value = operands
    source: list[Index] = []
    conditions: list[Any] = []
    for i, n, (low, high, interior) in zip(index, x.aval.shape, padding_config):
        position = b.isub(i, low)
        if low > 0:
            conditions.append(b.icmp("ge", position, 0))
        if interior:
            step = interior + 1
            # Of a negative position the remainder is garbage: the conditions reject it first.
            inside = b.imax(position, 0) if low > 0 else position
            conditions.append(b.icmp("eq", b.imod(inside, step), 0))
            position = b.idiv(inside, step)
        if high > 0:
            conditions.append(b.icmp("lt", position, n))
        source.append(position)
    if not x.aval.size:
        return value.at(b, ())
    outside = value.at(b, ())
    guard = b.all_of(conditions)
    return b.if_(guard, lambda: x.at(b, tuple(source)), lambda: outside, out_aval.dtype)


@rule("concatenate")
def concatenate(
    b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any, *, dimension: int
) -> Scalar:
    parts = [x for x in operands if x.aval.shape[dimension]]
    offsets = [0]
    for x in parts:
        offsets.append(offsets[-1] + x.aval.shape[dimension])

    def read(k: int) -> Scalar:
        position = (
            0 if parts[k].aval.shape[dimension] == 1 else b.isub(index[dimension], offsets[k])
        )
        return parts[k].at(b, (*index[:dimension], position, *index[dimension + 1 :]))

    return _choose(b, index[dimension], offsets, read, 0, len(parts), out_aval.dtype)


def _choose(
    b: ScalarBuilder, i: Index, offsets: list[int], read: Any, low: int, high: int, dtype: Any
) -> Scalar:
    """`read(k)` for the k in [low, high) with offsets[k] <= i < offsets[k + 1], by bisection."""
    if high - low == 1:
        return read(low)
    middle = (low + high) // 2
    return b.if_(
        b.icmp("lt", i, offsets[middle]),
        lambda: _choose(b, i, offsets, read, low, middle, dtype),
        lambda: _choose(b, i, offsets, read, middle, high, dtype),
        dtype,
    )


@rule("stack")
def stack(b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any, *, axis: int) -> Scalar:
    rest = (*index[:axis], *index[axis + 1 :])
    offsets = list(range(len(operands) + 1))
    read = lambda k: operands[k].at(b, rest)  # noqa: E731
    return _choose(b, index[axis], offsets, read, 0, len(operands), out_aval.dtype)


@rule("unstack")
def unstack(
    b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any, *, axis: int, number: int
) -> Scalar:
    return operands[0].at(b, (*index[:axis], number, *index[axis:]))


@rule("split")
def split(
    b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any,
    *, axis: int, sizes: tuple[int, ...], number: int,
) -> Scalar:  # fmt: skip
    position = b.iadd(index[axis], sum(sizes[:number]))
    return operands[0].at(b, (*index[:axis], position, *index[axis + 1 :]))


PER_RESULT.update(("unstack", "split"))


@rule("iota")
def iota(
    b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any,
    *, dimension: int, dtype: Any, **_: Any,
) -> Scalar:  # fmt: skip
    position, dtype = index[dimension], out_aval.dtype
    if isinstance(position, int):
        return b.constant(position, dtype)
    if kind(dtype) in "iu":
        return b.from_index(position, int_bits(dtype))
    wide = ShapedArray((), "int64").dtype
    return convert(b, b.from_index(position, 64), wide, dtype)
