"""Reductions: folds over axes, argmax and argmin as folds of (value, index)."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler.lowering.stablehlo.base import Emitter, aval_of, kind_of, lowers, out_aval
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.kernels import NARROW_FLOATS
from jaxc_compiler.opset.reduction import highest, lowest

# The scalar op, and the value it starts from.
FOLDS: dict[str, tuple[str, Any]] = {
    "sum": ("add", lambda dtype: np.zeros((), dtype)),
    "prod": ("multiply", lambda dtype: np.ones((), dtype)),
    "max": ("maximum", lowest),
    "min": ("minimum", highest),
    "and": ("and", lambda dtype: _all_ones(dtype)),
    "or": ("or", lambda dtype: np.zeros((), dtype)),
    "xor": ("xor", lambda dtype: np.zeros((), dtype)),
}


def _all_ones(dtype: Any) -> Any:
    return np.array(True) if dtype == np.bool_ else np.array(-1).astype(dtype)


def identity(e: Emitter, fold: str, dtype: Any) -> ir.Value:
    """The 0-d array a fold starts from."""
    return e.constant(np.asarray(FOLDS[fold][1](np.dtype(dtype))).astype(dtype))


def widened(e: Emitter, x: ir.Value, fold: str) -> ir.Value:
    """Sums and products of narrow floats are made in f32."""
    narrow = aval_of(x).dtype in NARROW_FLOATS and fold in ("sum", "prod")
    return e.convert(x, np.dtype(np.float32)) if narrow else x


@lowers(*[f"reduce_{fold}" for fold in FOLDS])
def lower_reduce_fold(
    e: Emitter, op: Any, operands: list, *, axes: Any, name: str, out_sharding: Any = None
) -> list[ir.Value]:
    fold = name.removeprefix("reduce_")
    dtype = aval_of(operands[0]).dtype
    x = widened(e, operands[0], fold)
    init = identity(e, fold, aval_of(x).dtype)
    results = e.reduce([x], [init], axes, lambda a, b: [e.same(FOLDS[fold][0], a, b)])
    return [e.convert(results[0], dtype)]


@lowers("argmax", "argmin")
def lower_argmax(
    e: Emitter, op: Any, operands: list, *, axes: Any, index_dtype: Any, name: str
) -> list[ir.Value]:
    """The first place of the extremum; a NaN counts as one."""
    (x,) = operands
    dtype = aval_of(x).dtype
    if dtype == np.bool_:
        x = e.convert(x, np.dtype(np.int8))
    order = "GT" if name == "argmax" else "LT"
    first = lowest if name == "argmax" else highest
    index = ShapedArray(aval_of(x).shape, out_aval(op).dtype)
    places = e.iota(index, axes[0])
    inits = [e.constant(first(aval_of(x).dtype)), e.constant(np.zeros((), index.dtype))]
    floats = kind_of(dtype) == "f"

    def pick(old: ir.Value, old_place: ir.Value, new: ir.Value, place: ir.Value) -> list:
        """A NaN beats every number, and so does the init's place only what is equal to it."""
        better = e.compare(old, new, order)
        tie = e.compare(old, new, "EQ")
        if floats:
            old_nan, new_nan = e.compare(old, old, "NE"), e.compare(new, new, "NE")
            better = e.same("or", e.same("and", better, e.same("not", new_nan)), old_nan)
            better = e.same("and", better, e.same("not", e.same("and", old_nan, new_nan)))
            tie = e.same("or", tie, e.same("and", old_nan, new_nan))
        earlier = e.same("and", tie, e.compare(old_place, place, "LT"))
        return [
            e.select(better, old, new),
            e.select(e.same("or", better, earlier), old_place, place),
        ]

    return [e.reduce([x, places], inits, axes, pick)[1]]


@lowers("reduce")
def lower_reduce(e: Emitter, op: Any, operands: list, *, dimensions: Any) -> list[ir.Value]:
    """A fold by the user's function."""
    count = len(operands) // 2
    body = op.regions[0].blocks[0]
    values, inits = operands[:count], operands[count:]
    return e.reduce(values, inits, dimensions, lambda *args: e.inline(body, args))
