"""Gathers, scatters and dynamic slices.

Indices out of range, negative ones among them, are clamped by gathers and slices and dropped by
scatters, as StableHLO says.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc.stablehlo.op import Op
from jaxc.stablehlo.reader import Reader, imports
from jaxc.stablehlo.reduction import body_of
from jaxc_compiler import mlir


@imports("dynamic_slice")
def import_dynamic_slice(r: Reader, op: Op, operands: list[Any]) -> Any:
    x, *starts = operands
    sizes = op.ints("slice_sizes")
    return lax.dynamic_slice(x, starts, sizes, allow_negative_indices=False)


@imports("dynamic_update_slice")
def import_dynamic_update_slice(r: Reader, op: Op, operands: list[Any]) -> Any:
    x, update, *starts = operands
    return lax.dynamic_update_slice(x, update, starts, allow_negative_indices=False)


def _vectors_last(indices: Any, dimension: int) -> Any:
    """Indices whose last dimension is that of the index vectors."""
    if dimension == np.ndim(indices):
        return lax.expand_dims(indices, (dimension,))
    rest = [d for d in range(np.ndim(indices)) if d != dimension]
    return lax.transpose(indices, (*rest, dimension))


@imports("gather")
def import_gather(r: Reader, op: Op, operands: list[Any]) -> Any:
    numbers = mlir.dimension_numbers(op.attribute("dimension_numbers"))
    ours = lax.GatherDimensionNumbers(
        tuple(numbers.offset_dims),
        tuple(numbers.collapsed_slice_dims),
        tuple(numbers.start_index_map),
        tuple(numbers.operand_batching_dims),
        tuple(numbers.start_indices_batching_dims),
    )
    indices = _vectors_last(operands[1], numbers.index_vector_dim)
    return lax.gather(
        operands[0], indices, ours, op.ints("slice_sizes"),
        indices_are_sorted=op.flag("indices_are_sorted"), mode=lax.GatherScatterMode.CLIP,
    )  # fmt: skip


_SCATTERS = {
    "add": lax.scatter_add, "subtract": lax.scatter_sub, "multiply": lax.scatter_mul,
    "minimum": lax.scatter_min, "maximum": lax.scatter_max, "": lax.scatter,
}  # fmt: skip


@imports("scatter")
def import_scatter(r: Reader, op: Op, operands: list[Any]) -> Any:
    if len(operands) != 3:
        raise NotImplementedError("several operands at once")
    numbers = mlir.dimension_numbers(op.attribute("scatter_dimension_numbers"))
    ours = lax.ScatterDimensionNumbers(
        tuple(numbers.update_window_dims),
        tuple(numbers.inserted_window_dims),
        tuple(numbers.scattered_dims_to_operand_dims),
        tuple(numbers.input_batching_dims),
        tuple(numbers.scatter_indices_batching_dims),
    )
    body = body_of(op, 0)
    if body not in _SCATTERS:
        raise NotImplementedError(f"combining elements by {body or 'a program'}")
    x, indices, updates = operands
    return _SCATTERS[body](
        x, _vectors_last(indices, numbers.index_vector_dim), updates, ours,
        indices_are_sorted=op.flag("indices_are_sorted"), unique_indices=op.flag("unique_indices"),
        mode=lax.GatherScatterMode.FILL_OR_DROP,
    )  # fmt: skip
