"""Sorts: stable radix sorts of (key, position) pairs, row by row; insertion sorts for short rows.

A key is mapped to an unsigned integer of the same order: the sign bit of integers is flipped,
negative floats are complemented, NaN is the largest, -0.0 is +0.0. Digits of 8 bits are sorted from
the least significant one, all histograms being made in one pass over the keys. Several keys are
sorted from the last to the first. O(n), where XLA's CPU sort calls a comparator n log n times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc_compiler.lowering.element.base import Complex, Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.kernel.kernel import Kernel
from jaxc_compiler.lowering.kernel.memory import View
from jaxc_compiler.lowering.kernel.region import Call, lowering
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray

SHORT = 40  # rows up to this length are sorted by insertion
_BINS = 256
_INT32 = np.dtype(np.int32)


@lowering("sort")
def lower_sort(k: Kernel, call: Call) -> list[Any]:
    """Arrays ordered together by the first `num_keys` of them."""
    b, axis, num_keys = k.b, call.params["dimension"], call.params["num_keys"]
    dests = [call.place(k, n) for n in range(len(call.operands))]
    arrays = [_apart(k, x, dests) for x in call.operands]
    shape = arrays[0].aval.shape
    if not arrays[0].aval.size:
        return dests
    keys = [part for x in arrays[:num_keys] for part in _key_parts(x)]
    rows = _Rows(k, shape[axis], max(bits for bits, _ in keys))
    with b.nest(), k.loops(shape[:axis]) as before, k.loops(shape[axis + 1 :]) as after:

        def at(i: Index) -> tuple:
            return (*before, i, *after)

        order = rows.order([(bits, lambda i, key=key: key(b, at(i))) for bits, key in keys])
        with b.for_(0, shape[axis]) as loop:
            source = b.to_index(b.load(_INT32, order.buffer.ref, (loop.index,)))
            for array, dest in zip(arrays, dests):
                value = b.load(array.aval.dtype, array.buffer.ref, (array.position(b, at(source)),))
                dest.store(b, at(loop.index), value)
    return dests


@lowering("top_k")
def lower_top_k(k: Kernel, call: Call) -> list[Any]:
    """The largest elements in falling order, the first of equals first; NaN is the largest."""
    b, axis, count = k.b, call.params["axis"], call.params["k"]
    dests = [call.place(k, n) for n in range(2)]
    if not call.out_avals[0].size:
        return dests
    array = _apart(k, call.operands[0], dests)
    shape = array.aval.shape
    bits, key = _key_parts(array, total=True)[0]
    length = shape[axis]
    ints = b.ints(bits)
    rows = _Rows(k, length, bits) if count > SHORT else None
    best = _Best(k, count, bits) if rows is None else None
    with b.nest(), k.loops(shape[:axis]) as before, k.loops(shape[axis + 1 :]) as after:

        def at(i: Index) -> tuple:
            return (*before, i, *after)

        def falling(i: Index) -> ir.Value:
            return ints.not_(key(b, at(i)))

        order = rows.order([(bits, falling)]) if rows else best.order(length, falling)
        with b.for_(0, count) as loop:
            place = b.load(_INT32, order.buffer.ref, (loop.index,))
            position = array.position(b, at(b.to_index(place)))
            dests[0].store(
                b, at(loop.index), b.load(array.aval.dtype, array.buffer.ref, (position,))
            )
            dests[1].store(b, at(loop.index), place)
    return dests


def _apart(k: Kernel, array: Any, dests: Sequence[View]) -> View:
    """The array in memory that is not written while it is sorted."""
    written = {dest.buffer for dest in dests}
    if isinstance(array, View) and array.buffer not in written:
        return array
    return k.materialize(array, k.temporary(array.aval))


# -- keys ----------------------------------------------------------------------------------------


def _key_parts(array: View, total: bool = False) -> list[tuple[int, Callable]]:
    """The unsigned keys of an array, most significant first, with their bits.

    Args:
      total: whether -0.0 comes before 0.0.
    """
    dtype = array.aval.dtype

    def load(b: ScalarBuilder, index: tuple) -> Scalar:
        return b.load(dtype, array.buffer.ref, (array.position(b, index),))

    if dtype.kind == "c":
        part = np.dtype(f"f{dtype.itemsize // 2}")
        pick = [lambda b, i: _complex(load(b, i)).re, lambda b, i: _complex(load(b, i)).im]
        return [
            (part.itemsize * 8, lambda b, i, p=p: _float_key(b, part, p(b, i), total)) for p in pick
        ]
    bits = dtype.itemsize * 8
    if dtype.kind in "fV":
        return [(bits, lambda b, i: _float_key(b, dtype, load(b, i), total))]
    if dtype.kind == "b":
        return [(8, lambda b, i: b.ints(8).cast("arith.extui", load(b, i)))]
    if dtype.kind == "i":
        return [(bits, lambda b, i: b.ints(bits).xor(load(b, i), 1 << (bits - 1)))]
    return [(bits, load)]


def _complex(value: Scalar) -> Complex:
    assert isinstance(value, Complex)
    return value


def _float_key(b: ScalarBuilder, dtype: Any, value: ir.Value, total: bool) -> ir.Value:
    floats, ints = b.floats(dtype), b.ints(dtype.itemsize * 8)
    if not total:
        value = floats.select(floats.eq(value, 0.0), 0.0, value)
    word = floats.bits_of(value)
    sign = ints.ashr(word, ints.bits - 1)
    key = ints.xor(word, ints.or_(sign, 1 << (ints.bits - 1)))
    return ints.select(floats.isnan(value), -1, key)


# -- sorting one row -----------------------------------------------------------------------------


class _Rows:
    """The memory to sort rows of one length: keys and positions, each twice, and histograms."""

    def __init__(self, k: Kernel, length: int, bits: int):
        self.k, self.b, self.length = k, k.b, length
        self.dtype = np.dtype(f"u{bits // 8}")
        words = ShapedArray((length,), self.dtype)
        places = ShapedArray((length,), _INT32)
        self.keys = [k.temporary(words), k.temporary(words)]
        self.places = [k.temporary(places), k.temporary(places)]
        self.counts = k.temporary(ShapedArray((bits // 8 * _BINS,), _INT32))

    def order(self, keys: Sequence[tuple[int, Callable[[Index], ir.Value]]]) -> View:
        """The positions of the row's elements in sorted order; keys are most significant first."""
        side = 0
        for number, (bits, key) in enumerate(reversed(keys)):
            self._fill(side, bits, key, first=number == 0)
            if self.length <= SHORT:
                self._insertion(side)
            else:
                side = self._radix(side, bits)
        return self.places[side]

    def _fill(self, side: int, bits: int, key: Callable, first: bool) -> None:
        """Keys in the order found so far."""
        b, width = self.b, self.dtype.itemsize * 8
        with b.for_(0, self.length) as loop:
            if first:
                place = b.from_index(loop.index, 32)
                self.places[side].store(b, (loop.index,), place)
                source: Index = loop.index
            else:
                source = b.to_index(self._load(self.places[side], loop.index))
            word = key(source)
            if bits < width:
                word = b.ints(width).cast("arith.extui", word)
            self.keys[side].store(b, (loop.index,), word)

    def _load(self, view: View, i: Index) -> ir.Value:
        return self.b.load(view.aval.dtype, view.buffer.ref, (i,))

    def _insertion(self, side: int) -> None:
        b, keys, places = self.b, self.keys[side], self.places[side]
        ints = b.ints(self.dtype.itemsize * 8)
        index = b.index_type
        with b.for_(1, self.length) as loop:
            word, place = self._load(keys, loop.index), self._load(places, loop.index)
            op = ir.Operation.create("scf.while", [index], [loop.index], regions=2, ip=b.scope.ip)
            before, after = (region.blocks.append(index) for region in op.regions)
            with b.inside(op, before):
                at = before.arguments[0]
                inside = b.icmp("gt", at, 0)
                # Reading element 0 when there is none before it is harmless.
                previous = self._load(keys, b.imax(b.isub(at, 1), 0))
                b.effect("scf.condition", [b.all_of([inside, ints.ult(word, previous)]), at])
            with b.inside(op, after):
                at = after.arguments[0]
                lower = b.isub(at, 1)
                keys.store(b, (at,), self._load(keys, lower))
                places.store(b, (at,), self._load(places, lower))
                b.effect("scf.yield", [lower])
            keys.store(b, (op.results[0],), word)
            places.store(b, (op.results[0],), place)

    def _radix(self, side: int, bits: int) -> int:
        digits = bits // 8
        self._histograms(side, digits)
        for digit in range(digits):
            self._starts(digit)
            self._scatter(side, digit)
            side = 1 - side
        return side

    def _bin(self, word: ir.Value, digit: int) -> Index:
        b, ints = self.b, self.b.ints(self.dtype.itemsize * 8)
        value = ints.lshr(word, 8 * digit) if digit else word
        value = ints.and_(value, 255) if ints.bits > 8 else value
        return b.iadd(b.to_index(value, signed=False), digit * _BINS)

    def _histograms(self, side: int, digits: int) -> None:
        b, counts = self.b, self.counts
        with b.for_(0, digits * _BINS) as loop:
            counts.store(b, (loop.index,), b.constant(0, _INT32))
        with b.for_(0, self.length) as loop:
            word = self._load(self.keys[side], loop.index)
            for digit in range(digits):
                place = self._bin(word, digit)
                counts.store(b, (place,), b.ints(32).add(self._load(counts, place), 1))

    def _starts(self, digit: int) -> None:
        """Counts to first positions."""
        b, counts = self.b, self.counts
        with b.for_(0, _BINS, 1, [b.constant(0, _INT32)]) as loop:
            place = b.iadd(loop.index, digit * _BINS)
            count = self._load(counts, place)
            counts.store(b, (place,), loop.args[0])
            loop.yields = [b.ints(32).add(loop.args[0], count)]

    def _scatter(self, side: int, digit: int) -> None:
        b, counts = self.b, self.counts
        with b.for_(0, self.length) as loop:
            word = self._load(self.keys[side], loop.index)
            place = self._bin(word, digit)
            position = self._load(counts, place)
            counts.store(b, (place,), b.ints(32).add(position, 1))
            target = b.to_index(position, signed=False)
            self.keys[1 - side].store(b, (target,), word)
            self.places[1 - side].store(b, (target,), self._load(self.places[side], loop.index))


class _Best:
    """The few smallest keys of a row, kept in order while the row is read once."""

    def __init__(self, k: Kernel, count: int, bits: int):
        self.k, self.b, self.count = k, k.b, count
        self.dtype = np.dtype(f"u{bits // 8}")
        self.keys = k.temporary(ShapedArray((count,), self.dtype))
        self.places = k.temporary(ShapedArray((count,), _INT32))

    def _load(self, view: View, i: Index) -> ir.Value:
        return self.b.load(view.aval.dtype, view.buffer.ref, (i,))

    def order(self, length: int, key: Callable[[Index], ir.Value]) -> View:
        """The positions of the `count` smallest keys, in order."""
        b, ints = self.b, self.b.ints(self.dtype.itemsize * 8)
        with b.for_(0, self.count) as loop:
            self._insert(loop.index, key(loop.index), loop.index)
        with b.for_(self.count, length) as loop:
            word = key(loop.index)
            smaller = ints.ult(word, self._load(self.keys, self.count - 1))
            op = ir.Operation.create("scf.if", [], [smaller], regions=2, ip=b.scope.ip)
            with b.inside(op, op.regions[0].blocks.append()):
                self._insert(self.count - 1, word, loop.index)
                b.effect("scf.yield", [])
        return self.places

    def _insert(self, last: Index, word: ir.Value, place: Index) -> None:
        """Put a key where it belongs among the ones before `last`, whose slot is free."""
        b, ints, index = self.b, self.b.ints(self.dtype.itemsize * 8), self.b.index_type
        start = b.index(last)
        op = ir.Operation.create("scf.while", [index], [start], regions=2, ip=b.scope.ip)
        before, after = (region.blocks.append(index) for region in op.regions)
        with b.inside(op, before):
            at = before.arguments[0]
            previous = self._load(self.keys, b.imax(b.isub(at, 1), 0))
            go = b.all_of([b.icmp("gt", at, 0), ints.ult(word, previous)])
            b.effect("scf.condition", [go, at])
        with b.inside(op, after):
            at = after.arguments[0]
            lower = b.isub(at, 1)
            self.keys.store(b, (at,), self._load(self.keys, lower))
            self.places.store(b, (at,), self._load(self.places, lower))
            b.effect("scf.yield", [lower])
        self.keys.store(b, (op.results[0],), word)
        self.places.store(b, (op.results[0],), b.from_index(place, 32))
