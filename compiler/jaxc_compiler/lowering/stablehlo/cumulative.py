"""Running folds along an axis: log2(n) steps that combine the array with itself shifted.

A `reduce_window` over the whole axis would be one op, of O(n^2) work on most backends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc_compiler.lowering.stablehlo.base import Emitter, aval_of, lowers
from jaxc_compiler.lowering.stablehlo.reduction import FOLDS, identity, widened
from jaxc_compiler.mlir import ir


def scan(
    e: Emitter,
    x: ir.Value,
    fill: ir.Value,
    axis: int,
    reverse: bool,
    combine: Callable[[ir.Value, ir.Value], ir.Value],
) -> ir.Value:
    """`out[i] = combine(x[0], ..., x[i])`, or of x[i:] in reverse; `fill` is the identity."""
    shape = aval_of(x).shape
    step = 1
    while step < shape[axis]:
        config = [(0, 0, 0)] * len(shape)
        config[axis] = (-step, step, 0) if reverse else (step, -step, 0)
        x = combine(e.pad(x, fill, config), x)
        step *= 2
    return x


@lowers("cumsum", "cumprod", "cummax", "cummin")
def lower_cumulative(
    e: Emitter, op: Any, operands: list, *, axis: int, name: str, reverse: bool
) -> list[ir.Value]:
    fold = name.removeprefix("cum")
    dtype = aval_of(operands[0]).dtype
    x = widened(e, operands[0], fold)
    fill = identity(e, fold, aval_of(x).dtype)
    result = scan(e, x, fill, axis, reverse, lambda a, b: e.same(FOLDS[fold][0], a, b))
    return [e.convert(result, dtype)]


@lowers("cumlogsumexp")
def lower_cumlogsumexp(
    e: Emitter, op: Any, operands: list, *, axis: int, reverse: bool
) -> list[ir.Value]:
    dtype = aval_of(operands[0]).dtype
    combine = _complex_log_add_exp if dtype.kind == "c" else _log_add_exp
    x = widened(e, operands[0], "sum")
    fill = e.constant(np.array(-np.inf).astype(aval_of(x).dtype))
    result = scan(e, x, fill, axis, reverse, lambda a, b: combine(e, a, b))
    return [e.convert(result, dtype)]


def _log_add_exp(e: Emitter, x: ir.Value, y: ir.Value) -> ir.Value:
    """max + log1p(exp(-|x - y|)); the sum where that difference is NaN (equal infinities)."""
    greater, difference = e.same("maximum", x, y), e.same("subtract", x, y)
    exponential = e.same("exponential", e.same("negate", e.same("abs", difference)))
    result = e.same("add", greater, e.same("log_plus_one", exponential))
    undefined = e.compare(difference, difference, "NE")
    return e.select(undefined, e.same("add", x, y), result)


def _complex_log_add_exp(e: Emitter, x: ir.Value, y: ir.Value) -> ir.Value:
    """log(exp(x - s) + exp(y - s)) + s, where s is the greater real part if it is finite."""
    aval = aval_of(x)
    part = aval.update(dtype=np.dtype(f"f{aval.dtype.itemsize // 2}"))
    scale = e.same("maximum", e.one("real", part, x), e.one("real", part, y))
    zero = e.full_like(scale, 0)
    finite = e.one("is_finite", part.update(dtype=np.dtype(bool)), scale)
    scale = e.one("complex", aval, e.select(finite, scale, zero), zero)
    terms = [e.same("exponential", e.same("subtract", v, scale)) for v in (x, y)]
    return e.same("add", e.same("log", e.same("add", *terms)), scale)
