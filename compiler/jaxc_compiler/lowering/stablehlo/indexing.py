"""Dynamic slices, gathers and scatters, with the modes of indices out of bounds written out.

StableHLO promises clamped gathers and dropped scatters, but not every consumer keeps the first
promise (IREE's gather reads foreign memory): gathers get clamped starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.lowering.stablehlo.base import (
    Emitter,
    attribute,
    aval_of,
    integers,
    lowers,
    out_aval,
)
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.indexing import default_fill_value
from jaxc_compiler.opset.params import GatherScatterMode

I32, I64 = np.dtype(np.int32), np.dtype(np.int64)


def signed(e: Emitter, index: ir.Value) -> ir.Value:
    """Indices as i32 or i64, which every consumer takes."""
    dtype = aval_of(index).dtype
    if dtype in (I32, I64):
        return index
    if dtype == np.dtype(np.uint64):
        top = e.full_like(index, 2**63 - 1)
        return e.convert(e.same("minimum", index, top), I64)
    return e.convert(index, I64 if dtype.itemsize == 4 else I32)


@lowers("dynamic_slice")
def lower_dynamic_slice(e: Emitter, op: Any, operands: list, *, slice_sizes: Any) -> list[ir.Value]:
    array, *starts = operands
    starts = [signed(e, s) for s in starts]
    sizes = integers(slice_sizes)
    return [e.one("dynamic_slice", out_aval(op), array, *starts, slice_sizes=sizes)]


@lowers("dynamic_update_slice")
def lower_dynamic_update_slice(e: Emitter, op: Any, operands: list) -> list[ir.Value]:
    array, update, *starts = operands
    return [e.same("dynamic_update_slice", array, update, *[signed(e, s) for s in starts])]


def _limits(e: Emitter, index: ir.Value, shape: Any, sizes: Any, index_map: Any) -> ir.Value:
    """The greatest start of each component of an index vector, in the shape of the indices."""
    tops = np.array([shape[d] - sizes[d] for d in index_map], aval_of(index).dtype)
    return e.broadcast(e.constant(tops), aval_of(index).shape)


def _inside(e: Emitter, index: ir.Value, limits: ir.Value) -> ir.Value:
    """Whether all components of each index vector are in bounds: no last dimension."""
    low = e.compare(index, e.full_like(index, 0), "GE")
    both = e.same("and", low, e.compare(index, limits, "LE"))
    true = e.constant(np.array(True))
    last = len(aval_of(index).shape) - 1
    return e.reduce([both], [true], [last], lambda a, b: [e.same("and", a, b)])[0]


def _clamped(e: Emitter, index: ir.Value, limits: ir.Value) -> ir.Value:
    return e.op("clamp", [index.type], [e.full_like(index, 0), index, limits]).result


def _numbers(kind: str, fields: dict[str, Sequence[int]], vector: int) -> ir.Attribute:
    lists = [f"{name} = {list(dims)}" for name, dims in fields.items() if dims]
    return attribute(f"#stablehlo.{kind}<{', '.join([*lists, f'index_vector_dim = {vector}'])}>")


@lowers("gather")
def lower_gather(
    e: Emitter,
    op: Any,
    operands: list,
    *,
    dimension_numbers: Any,
    fill_value: Any,
    indices_are_sorted: bool,
    mode: Any,
    slice_sizes: Any,
    unique_indices: bool,
) -> list[ir.Value]:
    array, index = operands[0], signed(e, operands[1])
    numbers = dimension_numbers
    limits = _limits(e, index, aval_of(array).shape, slice_sizes, numbers.start_index_map)
    fields = {
        "offset_dims": numbers.offset_dims, "collapsed_slice_dims": numbers.collapsed_slice_dims,
        "operand_batching_dims": numbers.operand_batching_dims,
        "start_indices_batching_dims": numbers.start_indices_batching_dims,
        "start_index_map": numbers.start_index_map,
    }  # fmt: skip
    result = out_aval(op)
    found = e.one(
        "gather", result, array, _clamped(e, index, limits),
        dimension_numbers=_numbers("gather", fields, aval_of(index).ndim - 1),
        slice_sizes=integers(slice_sizes),
        indices_are_sorted=ir.BoolAttr.get(indices_are_sorted),
    )  # fmt: skip
    if GatherScatterMode.from_any(mode) != GatherScatterMode.FILL_OR_DROP:
        return [found]
    if fill_value is None:
        fill_value = default_fill_value(result.dtype)
    batch = [d for d in range(result.ndim) if d not in numbers.offset_dims]
    inside = e.broadcast(_inside(e, index, limits), result.shape, batch)
    return [e.select(inside, found, e.full(result, fill_value))]


COMBINERS = {
    "scatter": None, "scatter-add": "add", "scatter-sub": "subtract", "scatter-mul": "multiply",
    "scatter-min": "minimum", "scatter-max": "maximum",
}  # fmt: skip


@lowers(*COMBINERS)
def lower_scatter(
    e: Emitter,
    op: Any,
    operands: list,
    *,
    dimension_numbers: Any,
    indices_are_sorted: bool,
    mode: Any,
    name: str,
    unique_indices: bool,
    update_consts: Any = (),
) -> list[ir.Value]:
    array, index, updates = operands[0], signed(e, operands[1]), operands[2]
    numbers = dimension_numbers
    limits = _limits(
        e, index, aval_of(array).shape,
        _window(array, updates, numbers), numbers.scatter_dims_to_operand_dims,
    )  # fmt: skip
    if GatherScatterMode.from_any(mode) == GatherScatterMode.CLIP:
        index = _clamped(e, index, limits)
    fields = {
        "update_window_dims": numbers.update_window_dims,
        "inserted_window_dims": numbers.inserted_window_dims,
        "input_batching_dims": numbers.operand_batching_dims,
        "scatter_indices_batching_dims": numbers.scatter_indices_batching_dims,
        "scatter_dims_to_operand_dims": numbers.scatter_dims_to_operand_dims,
    }  # fmt: skip
    scatter = e.op(
        "scatter", [array.type], [array, index, updates], 1,
        scatter_dimension_numbers=_numbers("scatter", fields, aval_of(index).ndim - 1),
        indices_are_sorted=ir.BoolAttr.get(indices_are_sorted),
        unique_indices=ir.BoolAttr.get(unique_indices),
    )  # fmt: skip
    scalar = ShapedArray((), aval_of(array).dtype)
    combine = COMBINERS[name]
    types = [mlir.tensor_type(scalar)] * 2
    e.body(scatter.regions[0], types, lambda a, b: [e.same(combine, a, b) if combine else b])
    return list(scatter.results)


def _window(array: ir.Value, updates: ir.Value, numbers: Any) -> list[int]:
    """The size of an update's window in each dimension of the operand."""
    missing = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    sizes = iter([aval_of(updates).shape[d] for d in numbers.update_window_dims])
    return [1 if d in missing else next(sizes) for d in range(aval_of(array).ndim)]
