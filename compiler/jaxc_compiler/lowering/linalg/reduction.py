"""Reductions to linalg: sums, products, extrema, logical ones, argmax and argmin, running ones.

Narrow floats are accumulated in float32, as on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc_compiler.lowering.element.base import Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.convert import convert
from jaxc_compiler.lowering.element.scalars import IntOps
from jaxc_compiler.lowering.kernel.cumulative import log_add_exp
from jaxc_compiler.lowering.kernel.reduction import accumulator_dtype, combiner, identity
from jaxc_compiler.lowering.linalg.base import Emitter, lowers
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray

KINDS = {
    "reduce_sum": "add", "reduce_prod": "mul", "reduce_max": "max", "reduce_min": "min",
    "reduce_and": "and", "reduce_or": "or", "reduce_xor": "xor",
    "cumsum": "add", "cumprod": "mul", "cummax": "max", "cummin": "min",
    "cumlogsumexp": "logadd",
    "reduce_window_sum": "add", "reduce_window_max": "max", "reduce_window_min": "min",
}  # fmt: skip


def combine(b: ScalarBuilder, kind: str, dtype: Any, x: Scalar, y: Scalar) -> Scalar:
    """Two partial results as one."""
    if kind == "logadd":
        return log_add_exp(b, dtype, x, y)
    return combiner(kind, dtype)(b, x, y)


def neutral(kind: str, dtype: Any) -> Any:
    """The element that changes nothing."""
    return -np.inf if kind == "logadd" else identity(kind, dtype)


def projected(rank: int, dims: Sequence[int]) -> ir.AffineMap:
    """The map that picks some of `rank` loops."""
    return ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(d) for d in dims])


@lowers(*[name for name in KINDS if name.startswith("reduce_") and "window" not in name])
def lower_reduction(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    axes: Sequence[int],
    name: str,
    **_: Any,
) -> list[ir.Value]:
    """One generic, its result converted back from the accumulator's type."""
    aval, kind = avals[0], KINDS[name]
    if e.on_gpu and math.prod(aval.shape[axis] for axis in axes) > LONGEST:
        return [_reduce_in_stages(e, kind, operands[0], aval, axes)]
    return [_reduce(e, kind, operands[0], aval, axes, out_avals[0].dtype)]


# A thread reduces no more elements in a row: Mesa's software device ends a loop after 65535 rounds.
LONGEST = 1 << 15


def _reduce(
    e: Emitter, kind: str, value: ir.Value, aval: ShapedArray, axes: Sequence[int], dtype: Any
) -> ir.Value:
    if e.on_gpu and kind in ("max", "min") and aval.dtype.kind in "fV" and aval.size:
        return _extreme_by_key(e, kind, value, aval, axes, dtype)
    kept = [d for d in range(aval.ndim) if d not in axes]
    out = ShapedArray(tuple(aval.shape[d] for d in kept), dtype)
    iterators = ["reduction" if d in axes else "parallel" for d in range(aval.ndim)]
    maps = [projected(aval.ndim, range(aval.ndim)), projected(aval.ndim, kept)]
    return reduce_generic(e, kind, [value], aval.dtype, out, maps, iterators)


def _extreme_by_key(
    e: Emitter, kind: str, value: ir.Value, aval: ShapedArray, axes: Sequence[int], dtype: Any
) -> ir.Value:
    """By integers in the order of the floats: what a Vulkan subgroup finds passes over NaNs."""
    wide = np.dtype(np.float64 if aval.dtype.itemsize == 8 else np.float32)
    value = e.converted(value, aval, aval.update(dtype=wide))
    keys = aval.update(dtype=np.dtype(f"i{wide.itemsize}"))
    limits = np.iinfo(keys.dtype)
    nan = int(limits.max if kind == "max" else limits.min)

    def flipped(i: IntOps, bits: Scalar) -> Scalar:
        return i.select(i.slt(bits, 0), i.xor(bits, int(limits.max)), bits)

    def key(b: ScalarBuilder, index: tuple) -> Scalar:
        f, x = b.floats(wide), b.load(wide, value, index)
        return f.i.select(f.isnan(x), nan, flipped(f.i, f.bits_of(x)))

    best = _reduce(e, kind, e.elements(keys, key), keys, axes, keys.dtype)
    out = ShapedArray(tuple(best.type.shape), wide)

    def number(b: ScalarBuilder, index: tuple) -> Scalar:
        f = b.floats(wide)
        return f.of_bits(flipped(f.i, b.load(keys.dtype, best, index)))

    return e.converted(e.elements(out, number), out, out.update(dtype=dtype))


def _reduce_in_stages(
    e: Emitter, kind: str, value: ir.Value, aval: ShapedArray, axes: Sequence[int]
) -> ir.Value:
    """One axis after the other, a long one in parts."""
    wide = accumulator_dtype(kind, aval.dtype)
    dtype = aval.dtype
    for axis in sorted(axes, reverse=True):
        while aval.shape[axis] > LONGEST:
            value, aval = in_parts(e, value, aval, axis, neutral(kind, aval.dtype))
            value, aval = _one_axis(e, kind, value, aval, axis + 1, wide)
        value, aval = _one_axis(e, kind, value, aval, axis, wide)
    return e.converted(value, aval, aval.update(dtype=dtype))


def _one_axis(
    e: Emitter, kind: str, value: ir.Value, aval: ShapedArray, axis: int, dtype: Any
) -> tuple[ir.Value, ShapedArray]:
    shape = aval.shape[:axis] + aval.shape[axis + 1 :]
    reduced = _reduce(e, kind, value, aval, [axis], dtype)
    return e.alone(reduced), ShapedArray(shape, dtype)


def in_parts(
    e: Emitter, value: ir.Value, aval: ShapedArray, axis: int, number: Any
) -> tuple[ir.Value, ShapedArray]:
    """The array with one axis as two, of parts and of places within, filled up with a number."""
    length = aval.shape[axis]
    part = next((n for n in range(1024, 255, -1) if length % n == 0), 1024)
    extra = [-length % part if d == axis else 0 for d in range(aval.ndim)]
    value = e.padded(value, aval, extra, number)
    padded = tuple(map(sum, zip(aval.shape, extra)))
    shape = (*padded[:axis], padded[axis] // part, part, *padded[axis + 1 :])
    new_sizes = {"new_sizes": shape, "dimensions": None, "sharding": None}
    return e.lax("reshape", (value, aval.update(shape=padded)), **new_sizes)


def reduce_generic(
    e: Emitter,
    kind: str,
    ins: list,
    dtype: Any,
    out_aval: ShapedArray,
    maps: list,
    iterators: list[str],
) -> ir.Value:
    """A generic that combines the first input's elements into the result."""
    wide = accumulator_dtype(kind, out_aval.dtype)
    wide_aval = out_aval.update(dtype=wide)

    def body(b: ScalarBuilder, elements: list[ir.Value]) -> list[ir.Value]:
        x = convert(b, b.from_memory(dtype, elements[0]), dtype, wide)
        total = b.from_memory(wide, elements[-1])
        return [b.to_memory(wide, combine(b, kind, wide, total, x), elements[-1].type)]

    init = e.full(wide_aval, neutral(kind, wide))
    result = e.generic([init], ins, maps, iterators, body)[0]
    return e.converted(result, wide_aval, out_aval)


@lowers("argmax", "argmin")
def lower_argmax(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    axes: Sequence[int],
    index_dtype: Any,
    name: str,
) -> list[ir.Value]:
    """Value and index are reduced together: the first NaN wins, then the first extremum."""
    (axis,), aval, kind = axes, avals[0], name[3:]
    if e.on_gpu and aval.shape[axis] > LONGEST:
        return [_argmax_of_parts(e, name, operands[0], aval, axis, index_dtype)]
    dtype, index_dtype = aval.dtype, np.dtype(index_dtype)
    best = ShapedArray(out_avals[0].shape, dtype)
    inits = [
        e.full(best, neutral(kind, dtype)),
        e.full(out_avals[0], np.iinfo(index_dtype).max),
    ]

    def body(b: ScalarBuilder, elements: list[ir.Value]) -> list[ir.Value]:
        x, old, old_index = elements
        where = b.op("linalg.index", b.index_type, [], {"dim": _i64(axis)})
        index = b.from_index(where, index_dtype.itemsize * 8)
        ties = b.all_of([
            _same(b, dtype, x, old), b.compare("arith.cmpi", 6, index, old_index)
        ])  # fmt: skip
        better = _better(b, kind, dtype, x, old)
        better = b.op("arith.ori", b.i1, [better, ties])
        return [b.select(better, x, old), b.select(better, index, old_index)]

    kept = [d for d in range(aval.ndim) if d != axis]
    maps = [projected(aval.ndim, dims) for dims in (range(aval.ndim), kept, kept)]
    iterators = ["reduction" if d == axis else "parallel" for d in range(aval.ndim)]
    return e.generic(inits, operands, maps, iterators, body)[1:]


def _argmax_of_parts(
    e: Emitter, name: str, value: ir.Value, aval: ShapedArray, axis: int, index_dtype: Any
) -> ir.Value:
    """The place in each part, then the part whose place holds most."""
    value, aval = in_parts(e, value, aval, axis, neutral(name[3:], aval.dtype))
    part = aval.shape[axis + 1]
    params = {"index_dtype": np.dtype(index_dtype)}
    places, of_parts = e.lax(name, (value, aval), axes=(axis + 1,), **params)
    best = of_parts.update(dtype=aval.dtype)

    def at_place(b: ScalarBuilder, index: tuple) -> Scalar:
        place = b.to_index(b.load(of_parts.dtype, places, index))
        return b.load(aval.dtype, value, (*index[: axis + 1], place, *index[axis + 1 :]))

    candidates = e.alone(e.elements(best, at_place))
    parts, out = e.lax(name, (candidates, best), axes=(axis,), **params)

    def whole(b: ScalarBuilder, index: tuple) -> Scalar:
        number = b.load(out.dtype, parts, index)
        where = (*index[:axis], b.to_index(number), *index[axis:])
        i = b.ints(out.dtype.itemsize * 8)
        return i.add(i.mul(number, part), b.load(out.dtype, places, where))

    return e.alone(e.elements(out, whole))


_CMPF = {"max": 2, "min": 4}  # ogt, olt
_UNORDERED, _EQUAL = 14, 1


def _better(b: ScalarBuilder, kind: str, dtype: Any, x: ir.Value, old: ir.Value) -> ir.Value:
    if dtype.kind in "fV":
        is_nan = b.compare("arith.cmpf", _UNORDERED, x, x)
        was_number = b.compare("arith.cmpf", 7, old, old)
        first_nan = b.op("arith.andi", b.i1, [is_nan, was_number])
        # An ordered comparison with an old NaN is false: a NaN stays.
        return b.op("arith.ori", b.i1, [b.compare("arith.cmpf", _CMPF[kind], x, old), first_nan])
    signed = {"max": 4, "min": 2}[kind]
    return b.compare("arith.cmpi", signed if dtype.kind == "i" else signed + 4, x, old)


def _same(b: ScalarBuilder, dtype: Any, x: ir.Value, old: ir.Value) -> ir.Value:
    if dtype.kind not in "fV":
        return b.compare("arith.cmpi", 0, x, old)
    equal = b.compare("arith.cmpf", _EQUAL, x, old)
    x_nan = b.compare("arith.cmpf", _UNORDERED, x, x)
    old_nan = b.compare("arith.cmpf", _UNORDERED, old, old)
    return b.op("arith.ori", b.i1, [equal, b.op("arith.andi", b.i1, [x_nan, old_nan])])


def _i64(value: int) -> ir.Attribute:
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)


@lowers("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
def lower_cumulative(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    axis: int,
    reverse: bool,
    name: str,
) -> list[ir.Value]:
    """Log steps: in step k every element takes in the one 2^k before it. All in parallel."""
    kind, aval = KINDS[name], out_avals[0]
    wide_kind = "add" if kind == "logadd" else kind
    wide = aval.update(dtype=accumulator_dtype(wide_kind, aval.dtype))
    value = e.converted(operands[0], avals[0], wide)
    step = 1
    while step < aval.shape[axis]:
        value = _scan_step(e, kind, value, wide, axis, -step if not reverse else step)
        step *= 2
    return [e.converted(value, wide, aval)]


def _scan_step(
    e: Emitter, kind: str, value: ir.Value, aval: ShapedArray, axis: int, offset: int
) -> ir.Value:
    length = aval.shape[axis]

    def body(b: ScalarBuilder, index: tuple) -> Scalar:
        own = b.load(aval.dtype, value, index)
        at = b.iadd(index[axis], offset)
        inside = b.icmp("ge", at, 0) if offset < 0 else b.icmp("lt", at, length)
        clamped = b.imax(at, 0) if offset < 0 else b.imin(at, length - 1)
        other = b.load(aval.dtype, value, (*index[:axis], clamped, *index[axis + 1 :]))
        return b.select(inside, combine(b, kind, aval.dtype, other, own), own)

    return e.elements(aval, body)
