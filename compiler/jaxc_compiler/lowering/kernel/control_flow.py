"""Loops and branches inside a kernel: carried arrays in memory, carried scalars in registers.

A carried array has one buffer. It is the operand's own memory if that may be overwritten, else the
result's memory or a temporary the operand is copied to. A step first computes what reads the old
values, then writes (`Kernel.commit` stages what would clash). Rows of a scan's results are written
where they end; rows of its inputs are not copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jaxc_compiler import cost, mlir
from jaxc_compiler.dialects import lax
from jaxc_compiler.lowering.element.values import Scalars
from jaxc_compiler.lowering.kernel.contraction import pack_invariants
from jaxc_compiler.lowering.kernel.kernel import Kernel
from jaxc_compiler.lowering.kernel.memory import Buffer, View, row_of
from jaxc_compiler.lowering.kernel.region import (
    Call,
    lower_block,
    lowering,
    may_overwrite,
    protect,
)
from jaxc_compiler.mlir import ir


@contextmanager
def held(k: Kernel, arrays: Sequence[Any], locked: bool) -> Iterator[None]:
    """Keep what arrays read allocated, and if `locked` also unchanged."""
    buffers = [buffer for array in arrays for buffer in k.reads(array)]
    for buffer in buffers:
        k.uses[buffer] = k.uses.get(buffer, 0) + 1
        if locked:
            k.locks[buffer] = k.locks.get(buffer, 0) + 1
    yield
    for buffer in buffers:
        k.uses[buffer] -= 1
        if locked:
            k.locks[buffer] -= 1


# -- carried values ------------------------------------------------------------------------------


class Carry:
    """The carried values of a loop.

    Attributes:
      places: for each carried value its memory, or None for a scalar.
    """

    def __init__(self, k: Kernel, call: Call, first: int, count: int):
        self.k = k
        self.avals = call.out_avals[:count]
        inits = call.operands[first : first + count]
        self.places: list[View | None] = []
        used: set[Buffer] = set()
        for number, aval in enumerate(self.avals):
            if not aval.shape:
                self.places.append(None)
                continue
            place = self._own_place(call, first + number, used) or call.place(k, number)
            used.add(place.buffer)
            self.places.append(place)
        self.scalars = [k.scalar(init) for init, p in zip(inits, self.places) if p is None]
        pairs = [(init, p) for init, p in zip(inits, self.places) if p is not None]
        for _, place in pairs:
            protect(k, place.buffer)
        k.commit(pairs)

    def _own_place(self, call: Call, number: int, used: set[Buffer]) -> View | None:
        """The operand's own memory, if nothing else reads it."""
        init = call.operands[number]
        if not may_overwrite(self.k, call, number) or init.buffer in used:
            return None
        others = [x for n, x in enumerate(call.operands) if n != number]
        return None if any(init.buffer in self.k.reads(x) for x in others) else init

    def flatten(self, scalars: Sequence[Any]) -> list[ir.Value]:
        """The SSA values of the carried scalars."""
        return [part for scalar in scalars for part in self.k.b.flatten(scalar)]

    def arrays(self, parts: Sequence[ir.Value]) -> list[Any]:
        """The carried values, given the SSA values of the scalars."""
        rest, result = list(parts), []
        for aval, place in zip(self.avals, self.places):
            if place is not None:
                result.append(place)
                continue
            width = _width(aval)
            result.append(Scalars(aval, self.k.b.unflatten(aval.dtype, rest[:width])))
            rest = rest[width:]
        return result

    def step(
        self, results: Sequence[Any], extra: Sequence[tuple[Any, View]] = ()
    ) -> list[ir.Value]:
        """Store one step's new values; returns the SSA values of the scalars."""
        scalars = [self.k.scalar(r) for r, p in zip(results, self.places) if p is None]
        pairs = [(r, p) for r, p in zip(results, self.places) if p is not None]
        self.k.commit([*pairs, *extra])
        return self.flatten(scalars)

    def views(self) -> list[View]:
        return [p for p in self.places if p is not None]


def _width(aval: Any) -> int:
    return 2 if getattr(aval.dtype, "kind", "") == "c" else 1


# -- scan ----------------------------------------------------------------------------------------


@lowering("scan")
def lower_scan(k: Kernel, call: Call) -> list[Any]:
    """A counted loop over rows."""
    b, params = k.b, call.params
    consts, carries, length = params["num_consts"], params["num_carry"], params["length"]
    ys = [call.place(k, carries + n) for n in range(len(call.out_avals) - carries)]
    carry = Carry(k, call, consts, carries)
    fixed = [k.stored(x) for x in call.operands[:consts]]
    fixed += [k.stored(x, cost.EXPENSIVE) for x in call.operands[consts + carries :]]
    fixed = [_apart(k, x, carry) for x in fixed]
    block = call.op.regions[0].blocks[0]
    packs = pack_invariants(k, block, fixed[:consts]) if length >= 4 else []
    written = [*carry.views(), *ys]
    with (
        held(k, [*fixed, *packs], True),
        held(k, written, False),
        b.for_(0, length, 1, carry.flatten(carry.scalars)) as loop,
        b.nest(),
    ):
        i = b.isub(length - 1, loop.index) if params["reverse"] else loop.index
        rows = [_row(k, x, i) for x in fixed[consts:]]
        arguments = [*fixed[:consts], *carry.arrays(loop.args), *rows]
        outs = [y.row(b, i) for y in ys]
        dests = [None] * carries + [out if out.aval.shape else None for out in outs]
        loop.yields = lower_block(
                k, block, arguments, dests,
                lambda results: carry.step(results[:carries], list(zip(results[carries:], outs))),
            )  # fmt: skip
    return [*carry.arrays(loop.results), *ys]


def _row(k: Kernel, array: Any, i: Any) -> Any:
    row = row_of(k.b, array, i)
    return row if row.aval.shape else Scalars(row.aval, k.scalar(row))


def _apart(k: Kernel, array: Any, carry: Carry) -> Any:
    """A value every step reads; a copy of it if the loop writes to its memory."""
    buffers = {place.buffer for place in carry.views()}
    if not buffers.intersection(k.reads(array)):
        return array
    copy = k.temporary(array.aval)
    k.commit([(array, copy)])
    return copy


# -- while ---------------------------------------------------------------------------------------


@lowering("while")
def lower_while(k: Kernel, call: Call) -> list[Any]:
    """A loop with a condition."""
    b, params = k.b, call.params
    first, second = params["cond_nconsts"], params["body_nconsts"]
    carry = Carry(k, call, first + second, len(call.out_avals))
    fixed = [_apart(k, k.stored(x), carry) for x in call.operands[: first + second]]
    bodies = dict(zip(lax.region_params("while"), call.op.regions))
    condition, body = (bodies[name].blocks[0] for name in ("cond_jaxpr", "body_jaxpr"))
    inits = carry.flatten(carry.scalars)
    types = [v.type for v in inits]
    packs = pack_invariants(k, body, fixed[first:])
    with held(k, [*fixed, *packs], True), held(k, carry.views(), False):
        op = ir.Operation.create("scf.while", types, inits, regions=2, ip=b.scope.ip)
        before, after = (region.blocks.append(*types) for region in op.regions)
        with b.inside(op, before), b.nest(), held(k, carry.views(), True):
            arguments = list(before.arguments)
            go = lower_block(
                k, condition, [*fixed[:first], *carry.arrays(arguments)], [None],
                lambda results: k.scalar(results[0]),
            )  # fmt: skip
            b.effect("scf.condition", [go, *arguments])
        with b.inside(op, after), b.nest():
            arguments = [*fixed[first:], *carry.arrays(list(after.arguments))]
            parts = lower_block(k, body, arguments, [None] * len(carry.avals), carry.step)
            b.effect("scf.yield", parts)
    return carry.arrays(list(op.results))


# -- cond ----------------------------------------------------------------------------------------


@lowering("cond")
def lower_cond(k: Kernel, call: Call) -> list[Any]:
    """One of several bodies, chosen by an index."""
    blocks = lax.branches_of(call.op)
    places = _result_places(k, call, blocks)
    chosen = [p.buffer for p in places if p is not None]
    operands = [k.stored(x, cost.EXPENSIVE) for x in call.operands[1:]]
    locked = [x for x in operands if not set(chosen).intersection(k.reads(x))]
    index = call.operands[0]
    number = k.scalar(index)
    kept = [*operands, *(p for p in places if p is not None)]
    with held(k, kept, False), held(k, locked, True):
        parts = _branch(k, blocks, 0, number, index.aval.dtype, operands, places)
    rest, results = parts, []
    for aval, place in zip(call.out_avals, places):
        if place is not None:
            results.append(place)
            continue
        width = _width(aval)
        results.append(Scalars(aval, k.b.unflatten(aval.dtype, rest[:width])))
        rest = rest[width:]
    return results


def _result_places(k: Kernel, call: Call, blocks: Sequence[ir.Block]) -> list[View | None]:
    """Where array results go: the memory of an operand that a branch returns, if it is free."""
    places: list[View | None] = []
    for number, aval in enumerate(call.out_avals):
        if not aval.shape:
            places.append(None)
            continue
        place = None
        for block in blocks:
            value = list(block.operations)[-1].operation.operands[number]
            if not isinstance(value.owner, ir.Block):
                continue
            operand = value.arg_number + 1
            taken = any(p and p.buffer is call.operands[operand].buffer for p in places) if (
                isinstance(call.operands[operand], View)
            ) else True  # fmt: skip
            if not taken and may_overwrite(k, call, operand) and _alone(k, call, operand):
                place = call.operands[operand]
                protect(k, place.buffer)
                break
        places.append(place or call.place(k, number))
    return places


def _alone(k: Kernel, call: Call, number: int) -> bool:
    buffer = call.operands[number].buffer
    return not any(buffer in k.reads(x) for n, x in enumerate(call.operands) if n != number)


def _branch(
    k: Kernel, blocks: Sequence[ir.Block], number: int, index: Any, dtype: Any,
    operands: Sequence[Any], places: Sequence[View | None],
) -> list[ir.Value]:  # fmt: skip
    """The branches from `number` on as nested `scf.if`; returns the SSA parts of scalar results."""
    b = k.b
    own = {x.buffer for x in operands if isinstance(x, View)}
    dests = [p if p is not None and p.buffer not in own else None for p in places]

    def finish(results: list[Any]) -> list[ir.Value]:
        scalars = [k.scalar(r) for r, p in zip(results, places) if p is None]
        k.commit([(r, p) for r, p in zip(results, places) if p is not None])
        return [part for s in scalars for part in b.flatten(s)]

    if number == len(blocks) - 1:
        with b.nest():
            return lower_block(k, blocks[number], operands, dests, finish)
    results = list(blocks[0].operations)[-1].operation.operands
    types = []
    for value, place in zip(results, places):
        if place is None:
            types += _part_types(b, value)
    bits = 1 if dtype.kind == "b" else dtype.itemsize * 8
    here = b.compare("arith.cmpi", 0 if number == 0 else 3, index, _constant(b, bits, number))
    op = ir.Operation.create("scf.if", types, [here], regions=2, ip=b.scope.ip)
    then, otherwise = (region.blocks.append() for region in op.regions)
    with b.inside(op, then), b.nest():
        b.effect("scf.yield", lower_block(k, blocks[number], operands, dests, finish))
    with b.inside(op, otherwise), b.nest():
        b.effect("scf.yield", _branch(k, blocks, number + 1, index, dtype, operands, places))
    return list(op.results)


def _constant(b: Any, bits: int, value: int) -> ir.Value:
    return b.int_constant(b.type(f"i{bits}"), bits, value)


def _part_types(b: Any, value: ir.Value) -> list[ir.Type]:
    dtype = mlir.aval_of(value.type).dtype
    if getattr(dtype, "kind", "") == "c":
        return [b.type(f"f{dtype.itemsize * 4}")] * 2
    return [b.scalar_type(dtype)]
