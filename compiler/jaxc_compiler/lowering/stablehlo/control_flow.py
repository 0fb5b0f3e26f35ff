"""Loops and branches: while, case, and scan as a while with a counter.

StableHLO's regions see the values around them, so constants are not carried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc_compiler.dialects import lax
from jaxc_compiler.lowering.stablehlo.base import Emitter, aval_of, integers, lowers, out_aval
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray


@lowers("while")
def lower_while(
    e: Emitter, op: Any, operands: list, *, body_nconsts: int, cond_nconsts: int
) -> list[ir.Value]:
    regions = dict(zip(lax.region_params("while"), op.regions))
    condition, body = (regions[n].blocks[0] for n in ("cond_jaxpr", "body_jaxpr"))
    cond_consts = operands[:cond_nconsts]
    body_consts = operands[cond_nconsts : cond_nconsts + body_nconsts]
    carry = operands[cond_nconsts + body_nconsts :]
    types = [value.type for value in carry]
    loop = e.op("while", types, carry, 2)
    e.body(loop.regions[0], types, lambda *c: e.inline(condition, [*cond_consts, *c]))
    e.body(loop.regions[1], types, lambda *c: e.inline(body, [*body_consts, *c]))
    return list(loop.results)


@lowers("cond")
def lower_cond(e: Emitter, op: Any, operands: list) -> list[ir.Value]:
    """An index out of range takes the nearest branch."""
    branches = lax.branches_of(op)
    index, arguments = operands[0], operands[1:]
    if aval_of(index).dtype != np.int32:
        index = e.convert(index, np.dtype(np.int32))
    bounds = [e.full_like(index, n) for n in (0, len(branches) - 1)]
    index = e.op("clamp", [index.type], [bounds[0], index, bounds[1]]).result
    types = [result.type for result in op.results]
    case = e.op("case", types, [index], len(branches))
    for region, branch in zip(case.regions, branches):
        e.body(region, [], lambda branch=branch: e.inline(branch, arguments))
    return list(case.results)


@lowers("scan")
def lower_scan(
    e: Emitter,
    op: Any,
    operands: list,
    *,
    length: int,
    num_carry: int,
    num_consts: int,
    reverse: bool,
    unroll: Any,
) -> list[ir.Value]:
    """The loop carries a counter, the state and the arrays of stacked outputs."""
    consts, init = operands[:num_consts], operands[num_consts : num_consts + num_carry]
    xs = operands[num_consts + num_carry :]
    stacks = [e.full(out_aval(op, n), 0) for n in range(num_carry, len(op.results))]
    counter = e.constant(np.int32(0))
    carried = [counter, *init, *stacks]
    types = [value.type for value in carried]
    loop = e.op("while", types, carried, 2)
    e.body(loop.regions[0], types, lambda i, *_: [e.compare(i, e.constant(np.int32(length)), "LT")])

    def step(i: ir.Value, *state: ir.Value) -> list[ir.Value]:
        row = e.same("subtract", e.constant(np.int32(length - 1)), i) if reverse else i
        rows = [_row(e, x, row) for x in xs]
        results = e.inline(op.regions[0].blocks[0], [*consts, *state[:num_carry], *rows])
        new = [
            _put(e, stack, value, row)
            for stack, value in zip(state[num_carry:], results[num_carry:])
        ]
        return [e.same("add", i, e.constant(np.int32(1))), *results[:num_carry], *new]

    e.body(loop.regions[1], types, step)
    return list(loop.results)[1:]


def _starts(e: Emitter, row: ir.Value, rank: int) -> Sequence[ir.Value]:
    return [row, *[e.constant(np.int32(0))] * (rank - 1)]


def _row(e: Emitter, array: ir.Value, row: ir.Value) -> ir.Value:
    aval = aval_of(array)
    size = (1, *aval.shape[1:])
    part = e.one(
        "dynamic_slice", ShapedArray(size, aval.dtype), array, *_starts(e, row, aval.ndim),
        slice_sizes=integers(size),
    )  # fmt: skip
    return e.reshape(part, aval.shape[1:])


def _put(e: Emitter, stack: ir.Value, value: ir.Value, row: ir.Value) -> ir.Value:
    part = e.reshape(value, (1, *aval_of(value).shape))
    starts = _starts(e, row, aval_of(stack).ndim)
    return e.same("dynamic_update_slice", stack, part, *starts)
