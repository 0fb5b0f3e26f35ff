"""Loops and branches to scf: run by IREE's host program, their bodies as dispatches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxc_compiler import mlir
from jaxc_compiler.dialects import lax
from jaxc_compiler.lowering.linalg.base import Emitter, lower_block, lowers
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray


def inline(e: Emitter, body: ir.Block, arguments: Sequence[ir.Value]) -> list[ir.Value]:
    """Move a region's ops to the insertion point and lower them there; returns what it yields.

    `arguments` are tensors of storage types, and so are the results.
    """
    for old, new in zip(body.arguments, arguments, strict=True):
        old.replace_all_uses_with(e.as_type(new, old.type))
    block = e.ip.block
    ops = [op.operation for op in body.operations]
    for op in ops:
        block.append(op)
    lower_block(block, e.on_gpu)
    results = list(ops[-1].operands)
    ops[-1].erase()  # first: nothing can follow it
    return [e.stored(value) for value in results]


@lowers("while")
def lower_while(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    cond_nconsts: int,
    body_nconsts: int,
) -> list[ir.Value]:
    """An `scf.while`; the constants are captured."""  # fmt: skip
    cond_consts = operands[:cond_nconsts]
    body_consts = operands[cond_nconsts : cond_nconsts + body_nconsts]
    carry = operands[cond_nconsts + body_nconsts :]
    types = [value.type for value in carry]
    loop = e.op("scf.while", types, carry, regions=2)
    before, after = (region.blocks.append(*types) for region in loop.regions)
    bodies, conditions = (region.blocks[0] for region in op.regions)
    with e.at(before):
        going = inline(e, conditions, [*cond_consts, *before.arguments])[0]
        e.op("scf.condition", [], [e.scalar(going), *before.arguments])
    with e.at(after):
        e.op("scf.yield", [], inline(e, bodies, [*body_consts, *after.arguments]))
    return list(loop.results)


@lowers("scan")
def lower_scan(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    length: int,
    num_carry: int,
    num_consts: int,
    reverse: bool,
    unroll: Any,
) -> list[ir.Value]:
    """An `scf.for` that carries the state and the arrays of stacked outputs."""  # fmt: skip
    consts, init = operands[:num_consts], operands[num_consts : num_consts + num_carry]
    xs, x_avals = operands[num_consts + num_carry :], avals[num_consts + num_carry :]
    stacks = [e.empty(aval) for aval in out_avals[num_carry:]]
    carried = [*init, *stacks]
    types = [value.type for value in carried]
    bounds = [e.index(0), e.index(length), e.index(1)]
    loop = e.op("scf.for", types, [*bounds, *carried], regions=1)
    block = loop.regions[0].blocks.append(ir.IndexType.get(), *types)
    step, *state = block.arguments
    with e.at(block):
        row = step
        if reverse:
            last = e.index(length - 1)
            row = e.op("arith.subi", [step.type], [last, step]).result
        rows = [_row(e, x, aval, row) for x, aval in zip(xs, x_avals)]
        results = inline(e, op.regions[0].blocks[0], [*consts, *state[:num_carry], *rows])
        new = [
            e.insert(value, stack, [row] + [0] * (len(stack.type.shape) - 1))
            for value, stack in zip(results[num_carry:], state[num_carry:])
        ]
        e.op("scf.yield", [], [*results[:num_carry], *new])
    return list(loop.results)


def _row(e: Emitter, array: ir.Value, aval: ShapedArray, row: ir.Value) -> ir.Value:
    return e.slice(array, aval.update(shape=aval.shape[1:]), [row] + [0] * (aval.ndim - 1))


@lowers("cond")
def lower_cond(e: Emitter, op: Any, operands: list, avals: list, out_avals: list) -> list[ir.Value]:
    """A chain of `scf.if`; an index out of range takes the nearest branch."""
    branches = lax.branches_of(op)
    index, arguments = e.scalar(operands[0]), operands[1:]
    types = [mlir.storage_type(result.type) for result in op.results]
    return _choose(e, branches, 0, index, arguments, types)


def _choose(
    e: Emitter, branches: list, number: int, index: ir.Value, arguments: list, types: list
) -> list[ir.Value]:
    if number == len(branches) - 1:
        return inline(e, branches[number], arguments)
    here = ir.IntegerAttr.get(index.type, number)
    limit = e.op("arith.constant", [index.type], [], value=here).result
    at_most = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), 3)  # sle
    i1 = ir.IntegerType.get_signless(1)
    taken = e.op("arith.cmpi", [i1], [index, limit], predicate=at_most).result
    choice = e.op("scf.if", types, [taken], regions=2)
    first, rest = (region.blocks.append() for region in choice.regions)
    with e.at(first):
        e.op("scf.yield", [], inline(e, branches[number], arguments))
    with e.at(rest):
        e.op("scf.yield", [], _choose(e, branches, number + 1, index, arguments, types))
    return list(choice.results)
