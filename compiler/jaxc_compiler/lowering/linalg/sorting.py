"""Sorting on whole arrays: a bitonic network, every stage one parallel dispatch.

The stages are two host loops around one generic, so that a large sort compiles as fast as a small
one. An index carried along breaks ties, which makes the network stable, and tells padding (the
length is rounded up to a power of two), which goes last.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler.lowering.element.base import Complex, Scalar, ScalarBuilder
from jaxc_compiler.lowering.linalg.base import Emitter, loop_indices, lowers
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray


@lowers("sort")
def lower_sort(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    dimension: int,
    is_stable: bool,
    num_keys: int,
) -> list[ir.Value]:
    """All operands ordered by the first `num_keys`; NaN is last."""  # fmt: skip
    arrays = list(zip(operands, avals))
    order = _Network(e, arrays[:num_keys], dimension, descending=False).order()
    return [_taken(e, value, aval, order, dimension) for value, aval in arrays]


@lowers("top_k")
def lower_top_k(
    e: Emitter, op: Any, operands: list, avals: list, out_avals: list, *, k: int, axis: int
) -> list[ir.Value]:
    """The first k of a descending sort; NaN is the largest."""
    order = _Network(e, [(operands[0], avals[0])], axis, descending=True).order()
    places = e.slice(order, out_avals[1], [0] * avals[0].ndim)
    return [_taken(e, operands[0], out_avals[0], order, axis), places]


def _taken(e: Emitter, value: ir.Value, out: ShapedArray, order: ir.Value, dim: int) -> ir.Value:
    """The elements at the places of an order, which may be longer than the result."""

    def element(b: ScalarBuilder, index: tuple) -> Scalar:
        place = b.to_index(b.load(np.dtype(np.int32), order, index))
        return b.load(out.dtype, value, (*index[:dim], place, *index[dim + 1 :]))

    return e.elements(out, element)


class _Network:
    """Orders keys; only they and the places they came from are moved."""

    def __init__(self, e: Emitter, keys: list, dim: int, descending: bool):
        self.e, self.dim, self.keys, self.descending = e, dim, keys, descending
        shape = keys[0][1].shape
        self.length = shape[dim]
        self.bits = max(self.length - 1, 0).bit_length()
        self.shape = (*shape[:dim], 1 << self.bits, *shape[dim + 1 :])
        self.avals = [aval.update(shape=self.shape) for _, aval in keys]
        self.index = ShapedArray(self.shape, np.int32)

    def order(self) -> ir.Value:
        """Where the element at each place came from: an i32 array of the padded shape."""
        e = self.e
        missing = [size - old for size, old in zip(self.shape, self.keys[0][1].shape)]
        state = [e.padded(value, aval, missing, 0) for value, aval in self.keys]
        state.append(e.elements(self.index, lambda b, index: b.from_index(index[self.dim], 32)))
        return self._stages(state)[-1] if self.bits else state[-1]

    def _stages(self, state: list[ir.Value]) -> list[ir.Value]:
        """for size in 0..bits: for distance in size..0: compare-exchange."""
        e, types = self.e, [value.type for value in state]
        one, index = e.index(1), ir.IndexType.get()
        outer = e.op("scf.for", types, [e.index(0), e.index(self.bits), one, *state], regions=1)
        block = outer.regions[0].blocks.append(index, *types)
        with e.at(block):
            size, *arrays = block.arguments
            count = e.op("arith.addi", [index], [size, one]).result
            inner = e.op("scf.for", types, [e.index(0), count, one, *arrays], regions=1)
            body = inner.regions[0].blocks.append(index, *types)
            with e.at(body):
                step, *current = body.arguments
                distance = e.op("arith.subi", [index], [size, step]).result
                e.op("scf.yield", [], self._exchange(current, size, distance))
            e.op("scf.yield", [], list(inner.results))
        return list(outer.results)

    def _exchange(self, state: list, size: ir.Value, distance: ir.Value) -> list[ir.Value]:
        """Each element and the one 2^distance away, in the order of its run of 2^(size+1)."""
        e, avals = self.e, [*self.avals, self.index]
        rank = len(self.shape)

        def body(b: ScalarBuilder, outs: list[ir.Value]) -> list[ir.Value]:
            here = loop_indices(b, rank)
            own_place = here[self.dim]
            index = b.index_type
            mask = b.op("arith.shli", index, [b.index(1), distance])
            place = b.op("arith.xori", index, [own_place, mask])
            there = (*here[: self.dim], place, *here[self.dim + 1 :])
            own = [b.load(a.dtype, v, here) for a, v in zip(avals, state)]
            other = [b.load(a.dtype, v, there) for a, v in zip(avals, state)]
            run = b.op("arith.shli", index, [b.index(2), size])
            in_run = b.op("arith.andi", index, [own_place, run])
            ascending = b.icmp("eq", in_run, 0)
            first = b.icmp("lt", own_place, place)
            wants_least = b.compare("arith.cmpi", 0, first, ascending)
            other_less = self._less(b, other, own)
            take_other = b.compare("arith.cmpi", 0, wants_least, other_less)
            chosen = [b.select(take_other, y, x) for x, y in zip(own, other)]
            return [b.to_memory(a.dtype, v, o.type) for a, v, o in zip(avals, chosen, outs)]

        identity = ir.AffineMap.get_identity(rank)
        outs = [e.empty(aval) for aval in avals]
        return e.generic(outs, [], [identity] * len(outs), ["parallel"] * rank, body)

    def _less(self, b: ScalarBuilder, x: list, y: list) -> ir.Value:
        """Padding is greatest, then the keys decide, then the original places."""
        limit = b.int_constant(b.type("i32"), 32, self.length)
        x_real = b.compare("arith.cmpi", 2, x[-1], limit)
        y_real = b.compare("arith.cmpi", 2, y[-1], limit)
        result = b.compare("arith.cmpi", 2, x[-1], y[-1])
        for number in reversed(range(len(self.keys))):
            dtype = self.avals[number].dtype
            p, q = (y, x) if self.descending else (x, y)
            less = _key_less(b, dtype, p[number], q[number])
            greater = _key_less(b, dtype, q[number], p[number])
            result = b.select(less, b.true(), b.select(greater, b.false(), result))
        same_kind = b.compare("arith.cmpi", 0, x_real, y_real)
        return b.select(same_kind, result, x_real)


def _key_less(b: ScalarBuilder, dtype: Any, x: Scalar, y: Scalar) -> ir.Value:
    """x < y; NaN is greater than every number, zeros of both signs are equal."""
    if isinstance(x, Complex):
        part = np.dtype(f"f{dtype.itemsize // 2}")
        real_less = _key_less(b, part, x.re, y.re)
        real_greater = _key_less(b, part, y.re, x.re)
        imag_less = _key_less(b, part, x.im, y.im)
        return b.select(real_less, b.true(), b.select(real_greater, b.false(), imag_less))
    if dtype.kind in "fV":
        smaller = b.compare("arith.cmpf", 4, x, y)
        only_y_nan = b.all_of([
            b.compare("arith.cmpf", 7, x, x), b.compare("arith.cmpf", 14, y, y)
        ])  # fmt: skip
        return b.op("arith.ori", b.i1, [smaller, only_y_nan])
    return b.compare("arith.cmpi", 2 if dtype.kind == "i" else 6, x, y)
