"""Reductions over sliding windows, and the two ops of their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.lowering.stablehlo.base import (
    Emitter,
    aval_of,
    integers,
    lowers,
    out_aval,
    pairs,
)
from jaxc_compiler.lowering.stablehlo.reduction import FOLDS, identity, widened
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray


def reduce_window(
    e: Emitter,
    values: Sequence[ir.Value],
    inits: Sequence[ir.Value],
    shape: tuple[int, ...],
    combine: Callable[..., Sequence[ir.Value]],
    window: dict[str, Any],
) -> list[ir.Value]:
    """`combine(*accumulators, *elements)` folds each window of the padded arrays."""
    dtypes = [aval_of(v).dtype for v in values]
    attributes = {
        "window_dimensions": integers(window["window_dimensions"]),
        "window_strides": integers(window["window_strides"]),
        "base_dilations": integers(window["base_dilation"]),
        "window_dilations": integers(window["window_dilation"]),
        "padding": pairs(window["padding"]),
    }
    results = [ShapedArray(shape, d) for d in dtypes]
    op = e.op("reduce_window", results, [*values, *inits], 1, **attributes)
    scalars = [mlir.tensor_type(ShapedArray((), d)) for d in dtypes]
    e.body(op.regions[0], [*scalars, *scalars], combine)
    return list(op.results)


@lowers("reduce_window_sum", "reduce_window_max", "reduce_window_min")
def lower_fold_window(
    e: Emitter, op: Any, operands: list, *, name: str, **window: Any
) -> list[ir.Value]:
    fold = name.removeprefix("reduce_window_")
    x = widened(e, operands[0], fold)
    init = identity(e, fold, aval_of(x).dtype)
    combine = lambda a, b: [e.same(FOLDS[fold][0], a, b)]  # noqa: E731
    found = reduce_window(e, [x], [init], out_aval(op).shape, combine, window)[0]
    return [e.convert(found, out_aval(op).dtype)]


@lowers("reduce_window")
def lower_reduce_window(
    e: Emitter, op: Any, operands: list, *, consts: Any = (), **window: Any
) -> list[ir.Value]:
    """By the user's function."""
    count = len(operands) // 2
    block = op.regions[0].blocks[0]
    shape = out_aval(op).shape
    fixed = [e.constant(np.asarray(c)) for c in consts]
    combine = lambda *args: e.inline(block, [*fixed, *args])  # noqa: E731
    return reduce_window(e, operands[:count], operands[count:], shape, combine, window)


def _selected(e: Emitter, select_prim: Any, x: ir.Value, y: ir.Value) -> ir.Value:
    return e.compare(x, y, "GE" if str(select_prim) == "ge" else "LE")


def _worst(select_prim: Any) -> str:
    """The fold whose identity every element is selected over."""
    return "max" if str(select_prim) == "ge" else "min"


@lowers("select_and_gather_add")
def lower_select_and_gather_add(
    e: Emitter, op: Any, operands: list, *, select_prim: Any, **window: Any
) -> list[ir.Value]:
    """A fold of pairs (value, tangent)."""
    tangents, values = operands
    dtype = aval_of(values).dtype
    inits = [identity(e, _worst(select_prim), dtype), identity(e, "sum", aval_of(tangents).dtype)]

    def combine(x: ir.Value, dx: ir.Value, y: ir.Value, dy: ir.Value) -> list[ir.Value]:
        first = _selected(e, select_prim, x, y)
        return [e.select(first, x, y), e.select(first, dx, dy)]

    shape = out_aval(op).shape
    return [reduce_window(e, [values, tangents], inits, shape, combine, window)[1]]


@lowers("select_and_scatter_add")
def lower_select_and_scatter_add(
    e: Emitter,
    op: Any,
    operands: list,
    *,
    padding: Any,
    select_prim: Any,
    window_dimensions: Any,
    window_strides: Any,
) -> list[ir.Value]:
    """Padding is explicit: StableHLO leaves open what a window selects there.

    TPUs take no window over the two last dimensions: they get two more, of 1.
    """
    source, values = operands
    result_shape = aval_of(values).shape
    if any(n != 1 for n in (*window_dimensions[-2:], *window_strides[-2:])):
        source, values = (e.reshape(v, (*aval_of(v).shape, 1, 1)) for v in (source, values))
        window_dimensions, window_strides = (*window_dimensions, 1, 1), (*window_strides, 1, 1)
        padding = (*padding, (0, 0), (0, 0))
    dtype = aval_of(source).dtype
    worst = identity(e, _worst(select_prim), aval_of(values).dtype)
    config = [(low, high, 0) for low, high in padding]
    padded = e.pad(values, worst, config)
    result = ShapedArray(aval_of(padded).shape, dtype)
    scatter = e.op(
        "select_and_scatter", [result], [padded, source, identity(e, "sum", dtype)], 2,
        window_dimensions=integers(window_dimensions), window_strides=integers(window_strides),
        padding=pairs([(0, 0)] * len(config)),
    )  # fmt: skip
    element = mlir.tensor_type(ShapedArray((), aval_of(values).dtype))
    amount = mlir.tensor_type(ShapedArray((), dtype))
    select = lambda x, y: [_selected(e, select_prim, x, y)]  # noqa: E731
    e.body(scatter.regions[0], [element] * 2, select)
    e.body(scatter.regions[1], [amount] * 2, lambda a, b: [e.same("add", a, b)])
    cut = [(-low, -high, 0) for low, high, _ in config]
    return [e.reshape(e.pad(scatter.result, identity(e, "sum", dtype), cut), result_shape)]
