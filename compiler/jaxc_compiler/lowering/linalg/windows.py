"""Reductions by a user's function, and the ops behind the derivatives of pooling.

A region's scalar ops are computed inside the body of a generic, by their element rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.diagnostics import error_at
from jaxc_compiler.dialects import lax
from jaxc_compiler.lowering.element.base import ScalarBuilder
from jaxc_compiler.lowering.element.values import ELEMENT, Scalars, apply, row_major_strides
from jaxc_compiler.lowering.linalg.base import Emitter, loop_indices, lowers
from jaxc_compiler.lowering.linalg.indexing import reshape, scatter_flat
from jaxc_compiler.lowering.linalg.reduction import projected
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray

_CONSTANTS_ONLY = "a reduction's function may hold elementwise ops only"


def scalar_region(b: ScalarBuilder, block: ir.Block, arguments: Sequence[Scalars]) -> list[Scalars]:
    """What a region of 0-d ops yields for scalar arguments."""
    values: dict[ir.Value, Any] = dict(zip(block.arguments, arguments, strict=True))
    for op in (op.operation for op in block.operations):
        name = lax.name_of(op)
        if name == "yield":
            return [values[value] for value in op.operands]
        avals = [mlir.aval_of(result.type) for result in op.results]
        if name == "constant":
            number = mlir.constant_array(op.attributes["value"])[()]
            results = [Scalars(avals[0], b.constant(number, avals[0].dtype))]
        elif name in ELEMENT:
            arrays = [values[value] for value in op.operands]
            lazy = apply(name, arrays, lax.params_of(op), avals)
            results = [Scalars(aval, array.at(b, ())) for aval, array in zip(avals, lazy)]
        else:
            raise error_at("linalg", op.location, f"lax.{name}: {_CONSTANTS_ONLY}")
        values.update(zip(op.results, results, strict=True))
    raise ValueError("the region has no lax.yield")


def _combining_body(op: ir.Operation, avals: Sequence[ShapedArray], skip: int = 0) -> Any:
    """A generic's body that joins totals and elements by the op's region."""
    block, dtypes = op.regions[0].blocks[0], [aval.dtype for aval in avals]

    def body(b: ScalarBuilder, elements: list[ir.Value]) -> list[ir.Value]:
        count = len(dtypes)
        new, totals = elements[:count], elements[count + skip :]
        arguments = [
            Scalars(ShapedArray((), dtype), b.from_memory(dtype, value))
            for dtype, value in zip([*dtypes, *dtypes], [*totals, *new])
        ]
        results = scalar_region(b, block, arguments)
        return [
            b.to_memory(dtype, result.value, total.type)
            for dtype, result, total in zip(dtypes, results, totals)
        ]

    return body


def _spread(e: Emitter, scalar: ir.Value, aval: ShapedArray, out: ShapedArray) -> ir.Value:
    params = {"shape": out.shape, "broadcast_dimensions": (), "sharding": None}
    return e.lax("broadcast_in_dim", (scalar, aval), **params)[0]


@lowers("reduce")
def lower_reduce(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    dimensions: Sequence[int],
    **_: Any,
) -> list[ir.Value]:
    """One generic with as many results as arrays."""
    count = len(out_avals)
    arrays, inits, aval = operands[:count], operands[count:], avals[0]
    totals = [_spread(e, x, a, o) for x, a, o in zip(inits, avals[count:], out_avals)]
    kept = [d for d in range(aval.ndim) if d not in dimensions]
    maps = [projected(aval.ndim, range(aval.ndim))] * count + [projected(aval.ndim, kept)] * count
    iterators = ["reduction" if d in dimensions else "parallel" for d in range(aval.ndim)]
    return e.generic(totals, arrays, maps, iterators, _combining_body(op, out_avals))


@lowers("reduce_window")
def lower_reduce_window(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
    **_: Any,
) -> list[ir.Value]:
    """Arrays padded with their initial values, then one generic over results and window."""
    count, rank = len(out_avals), avals[0].ndim
    inits = list(zip(operands[count:], avals[count:]))
    edges = tuple((low, high, d - 1) for (low, high), d in zip(padding, base_dilation))
    padded = [
        e.lax("pad", array, init, padding_config=edges)[0]
        for array, init in zip(zip(operands[:count], avals), inits)
    ]
    totals = [_spread(e, *init, out) for init, out in zip(inits, out_avals)]
    dims = [ir.AffineDimExpr.get(d) for d in range(2 * rank)]
    places = [
        dims[i] * int(window_strides[i]) + dims[rank + i] * int(window_dilation[i])
        for i in range(rank)
    ]
    source, window = ir.AffineMap.get(2 * rank, 0, places), _window_map(rank)
    maps = [source] * count + [window] + [projected(2 * rank, range(rank))] * count
    iterators = ["parallel"] * rank + ["reduction"] * rank
    extent = _extent(e, window_dimensions)
    return e.generic(
        totals, [*padded, extent], maps, iterators, _combining_body(op, out_avals, skip=1)
    )


def _window_map(rank: int) -> ir.AffineMap:
    return projected(2 * rank, range(rank, 2 * rank))


def _extent(e: Emitter, window: Sequence[int]) -> ir.Value:
    """An array that is not read: its shape tells a generic the window's size."""
    return e.empty(ShapedArray(tuple(window), np.dtype(np.int32)))


def selected_places(
    e: Emitter,
    operand: ir.Value,
    aval: ShapedArray,
    out_shape: tuple[int, ...],
    greatest: bool,
    window: Sequence[int],
    strides: Sequence[int],
    padding: Any,
    dilation: Sequence[int],
) -> ir.Value:
    """For each window the row-major place of its first extremum; -1 for an empty window."""
    rank, dtype = aval.ndim, aval.dtype
    best = e.full(ShapedArray(out_shape, dtype), 0)
    places = e.full(ShapedArray(out_shape, np.dtype(np.int32)), -1)
    steps = row_major_strides(aval.shape)

    def body(b: ScalarBuilder, elements: list[ir.Value]) -> list[ir.Value]:
        _, old, old_place = elements
        loops = loop_indices(b, 2 * rank)
        inside, index, place = [], [], 0
        for d, size in enumerate(aval.shape):
            at = b.iadd(
                b.imul(loops[d], int(strides[d])), b.imul(loops[rank + d], int(dilation[d]))
            )
            at = b.isub(at, int(padding[d][0]))
            inside += [b.icmp("ge", at, 0), b.icmp("lt", at, size)]
            index.append(b.imin(b.imax(at, 0), size - 1))
            place = b.iadd(place, b.imul(index[-1], steps[d]))
        value = b.load(dtype, operand, tuple(index))
        first = b.compare("arith.cmpi", 2, old_place, b.constant(0, np.int32))
        better = b.op("arith.ori", b.i1, [first, _beats(b, dtype, greatest, value, old)])
        wins = b.all_of([*inside, better])
        return [b.select(wins, value, old), b.select(wins, b.from_index(place, 32), old_place)]

    maps = [_window_map(rank)] + [projected(2 * rank, range(rank))] * 2
    iterators = ["parallel"] * rank + ["reduction"] * rank
    return e.generic([best, places], [_extent(e, window)], maps, iterators, body)[1]


def _beats(b: ScalarBuilder, dtype: Any, greatest: bool, x: ir.Value, old: ir.Value) -> ir.Value:
    if dtype.kind in "fV":
        return b.compare("arith.cmpf", 2 if greatest else 4, x, old)
    unsigned = 4 if dtype.kind != "i" else 0
    return b.compare("arith.cmpi", (4 if greatest else 2) + unsigned, x, old)


@lowers("select_and_scatter_add")
def lower_select_and_scatter_add(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    select_prim: str,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
) -> list[ir.Value]:
    """Find each window's element, then scatter the sources there."""
    (source, source_aval), out, shape = (operands[0], avals[0]), out_avals[0], avals[0].shape
    places = selected_places(
        e, operands[1], avals[1], shape, select_prim == "ge", window_dimensions, window_strides,
        padding, (1,) * out.ndim,
    )  # fmt: skip
    integers = ShapedArray(shape, np.dtype(np.int32))

    def or_dropped(b: ScalarBuilder, index: tuple) -> ir.Value:
        place = b.load(np.dtype(np.int32), places, index)
        missing = b.compare("arith.cmpi", 2, place, b.constant(0, np.int32))
        return b.select(missing, b.constant(out.size, np.int32), place)

    where = reshape(e, e.elements(integers, or_dropped), integers, (source_aval.size, 1))
    updates = reshape(e, source, source_aval, (source_aval.size,))
    slots = e.full(ShapedArray((out.size + 1,), out.dtype), 0)
    return [scatter_flat(e, "add", out, updates, where, slots, unique=False)]


@lowers("select_and_gather_add")
def lower_select_and_gather_add(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    select_prim: str,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> list[ir.Value]:
    """The tangent at each window's element; 0 for an empty window."""
    if any(step != 1 for step in base_dilation):
        raise error_at("linalg", e.loc, "select_and_gather_add: no lowering with a base dilation")
    out = out_avals[0]
    places = selected_places(
        e, operands[1], avals[1], out.shape, select_prim == "ge", window_dimensions,
        window_strides, padding, window_dilation,
    )  # fmt: skip
    flat = reshape(e, operands[0], avals[0], (avals[0].size,))

    def tangent(b: ScalarBuilder, index: tuple) -> Any:
        place = b.to_index(b.load(np.dtype(np.int32), places, index))
        value = b.load(out.dtype, flat, (b.imax(place, 0),))
        return b.select(b.icmp("ge", place, 0), value, b.constant(0, out.dtype))

    return [e.elements(out, tangent)]
