"""Loops, branches and calls. Regions see the values around them, as Python functions do."""

from __future__ import annotations

from typing import Any

from jaxc import lax
from jaxc.stablehlo.op import Op
from jaxc.stablehlo.reader import Reader, imports


@imports("while")
def import_while(r: Reader, op: Op, operands: list[Any]) -> Any:
    condition, body = r.region(op, 0), r.region(op, 1)
    return lax.while_loop(lambda c: condition(*c)[0], lambda c: body(*c), operands)


@imports("case")
def import_case(r: Reader, op: Op, operands: list[Any]) -> Any:
    """An index out of range takes the last branch."""
    (index,) = operands
    last = lax.full_like(index, len(op.raw.regions) - 1)
    inside = lax.bitwise_and(lax.ge(index, lax.full_like(index, 0)), lax.le(index, last))
    branches = [r.region(op, n) for n in range(len(op.raw.regions))]
    return lax.switch(lax.select(inside, index, last), branches)


@imports("if")
def import_if(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.cond(operands[0], r.region(op, 0), r.region(op, 1))


@imports("func.call")
def import_call(r: Reader, op: Op, operands: list[Any]) -> Any:
    return r.call(op.symbol("callee"), operands)


@imports("composite")
def import_composite(r: Reader, op: Op, operands: list[Any]) -> Any:
    """By its decomposition: the name is a hint for compilers that know it."""
    return r.call(op.symbol("decomposition"), operands)
