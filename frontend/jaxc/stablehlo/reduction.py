"""Folds over axes and windows: those of one op are `lax`'s own, others keep their function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.stablehlo.op import Op
from jaxc.stablehlo.reader import Reader, imports

_MONOIDS = {
    "add": lax.add, "multiply": lax.mul, "maximum": lax.max, "minimum": lax.min,
    "and": lax.bitwise_and, "or": lax.bitwise_or, "xor": lax.bitwise_xor,
}  # fmt: skip
_OF_BOOLEANS = {"add": "or", "maximum": "or", "multiply": "and", "minimum": "and"}


def body_of(op: Op, number: int) -> str | None:
    """The one op, in short, that a region combines its two arguments by; "" if it returns its
    second argument, None if it is longer."""
    block = op.raw.regions[number].blocks[0]
    ops = [o.operation for o in block.operations]
    returned = list(ops[-1].operands)
    if len(ops) == 1 and returned == [block.arguments[1]]:
        return ""
    if len(ops) != 2 or len(block.arguments) != 2 or returned != list(ops[0].results):
        return None
    short = ops[0].name.removeprefix("stablehlo.")
    order = list(ops[0].operands), list(block.arguments)
    if order[0] != order[1] and not (short in _MONOIDS and order[0] == order[1][::-1]):
        return None
    if str(block.arguments[0].type.element_type) == "i1":
        return _OF_BOOLEANS.get(short, short)
    return short


def computation(r: Reader, op: Op, number: int) -> Callable[..., Any]:
    """A region as a function of accumulator and element."""
    monoid = _MONOIDS.get(body_of(op, number) or "")
    if monoid is not None:
        return monoid
    run = r.region(op, number)
    return lambda x, y: tuple(run(*x, *y)) if isinstance(x, tuple) else run(x, y)[0]


def _folded(fold: Callable[..., Any], operands: list[Any]) -> Any:
    """One operand is passed alone, several as tuples."""
    count = len(operands) // 2
    if count == 1:
        return fold(operands[0], operands[1])
    return list(fold(tuple(operands[:count]), tuple(operands[count:])))


@imports("reduce")
def import_reduce(r: Reader, op: Op, operands: list[Any]) -> Any:
    """Values that a monoid starts from other than its identity are combined in at the end."""
    combine, axes = computation(r, op, 0), op.ints("dimensions")
    if combine not in _MONOIDS.values():
        return _folded(lambda xs, inits: lax.reduce(xs, inits, combine, axes), operands)
    x, init = operands
    identity = _identity(combine, x.dtype)
    result = lax.reduce(x, identity, combine, axes)
    return combine(result, lax.broadcast(init, result.shape))


def _identity(combine: Callable[..., Any], dtype: Any) -> np.ndarray:
    """What the monoid starts from: read off a reduction of nothing."""
    empty = np.zeros((0,), dtype)
    folds = {
        lax.add: lax.reduce_sum, lax.mul: lax.reduce_prod, lax.max: lax.reduce_max,
        lax.min: lax.reduce_min, lax.bitwise_and: lax.reduce_and, lax.bitwise_or: lax.reduce_or,
        lax.bitwise_xor: lax.reduce_xor,
    }  # fmt: skip
    return np.asarray(_eagerly(folds[combine], empty, (0,)))


def _eagerly(function: Callable[..., Any], *arguments: Any) -> Any:
    from jaxc.core.trace import eval_context

    with eval_context():
        return function(*arguments)


@imports("reduce_window")
def import_reduce_window(r: Reader, op: Op, operands: list[Any]) -> Any:
    rank = len(op.shape)
    ones = (1,) * rank
    window = (
        op.ints("window_dimensions"),
        op.ints("window_strides", ones),
        op.pairs("padding", rank),
        op.ints("base_dilations", ones),
        op.ints("window_dilations", ones),
    )
    combine = computation(r, op, 0)
    return _folded(lambda xs, inits: lax.reduce_window(xs, inits, combine, *window), operands)


@imports("select_and_scatter")
def import_select_and_scatter(r: Reader, op: Op, operands: list[Any]) -> Any:
    """The derivative of pooling: the extremum of each window gets what is scattered there."""
    x, source, init = operands
    block = op.raw.regions[0].blocks[0]
    compare = Op(next(iter(block.operations)).operation, {})
    direction = compare.enum("comparison_direction") if body_of(op, 0) == "compare" else ""
    if direction not in ("GE", "LE") or body_of(op, 1) != "add":
        raise NotImplementedError("only GE or LE as selection and add as combination")
    rank = np.ndim(x)
    result = lax.select_and_scatter_add_p.bind(
        source, x, padding=op.pairs("padding", rank), select_prim=direction.lower(),
        window_dimensions=op.ints("window_dimensions"),
        window_strides=op.ints("window_strides", (1,) * rank),
    )  # fmt: skip
    return lax.add(result, lax.broadcast(init, result.shape))
