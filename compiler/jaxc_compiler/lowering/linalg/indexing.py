"""Scatters on whole arrays, by IREE's scatter on a flat operand with one slot more.

Every update element's place in the operand is computed first; what must be dropped goes to the
extra slot at the end, since IREE does not check bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler.lowering.element.base import Index, ScalarBuilder
from jaxc_compiler.lowering.element.values import row_major_strides
from jaxc_compiler.lowering.kernel.reduction import combiner
from jaxc_compiler.lowering.linalg.base import Emitter, lowers
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.params import GatherScatterMode, ScatterDimensionNumbers

KINDS = {
    "scatter": None, "scatter-add": "add", "scatter-sub": "sub", "scatter-mul": "mul",
    "scatter-min": "min", "scatter-max": "max",
}  # fmt: skip


@lowers(*KINDS)
def lower_scatter(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    name: str,
    dimension_numbers: ScatterDimensionNumbers,
    mode: GatherScatterMode,
    unique_indices: bool,
    **_: Any,
) -> list[ir.Value]:
    """Flatten, scatter single elements, restore the shape."""  # fmt: skip
    operand, (_, indices_aval, updates_aval) = avals[0], avals
    if not updates_aval.size:
        return [operands[0]]
    places = _Places(e, dimension_numbers, mode, operand, operands[1], indices_aval, updates_aval)
    count, size = updates_aval.size, operand.size
    flat = reshape(e, operands[0], operand, (size,))
    slots = e.padded(flat, ShapedArray((size,), operand.dtype), [1], 0)
    updates = reshape(e, operands[2], updates_aval, (count,))
    where = reshape(e, places.compute(), ShapedArray(updates_aval.shape, np.int32), (count, 1))
    unique = unique_indices
    return [scatter_flat(e, KINDS[name], operand, updates, where, slots, unique)]


def scatter_flat(
    e: Emitter,
    kind: str | None,
    out: ShapedArray,
    updates: ir.Value,
    where: ir.Value,
    slots: ir.Value,
    unique: bool,
) -> ir.Value:
    """Combine updates into a flat array that has one slot more than `out`, which is dropped.

    Complex arrays go part by part: IREE crashes on them. (Only sums: see `targets.py`.)
    """
    if out.dtype.kind == "c":
        part = np.dtype(f"f{out.dtype.itemsize // 2}")
        pairs = zip(e.parts(updates), e.parts(slots))
        parts = [_scatter(e, kind, part, new, old, where, unique) for new, old in pairs]
        slots = e.whole(*parts, slots)
    else:
        slots = _scatter(e, kind, out.dtype, updates, slots, where, unique)
    flat = ShapedArray((out.size,), out.dtype)
    return reshape(e, e.slice(slots, flat, [0]), flat, out.shape)


def reshape(e: Emitter, value: ir.Value, aval: ShapedArray, shape: tuple) -> ir.Value:
    """The array under another shape."""
    return e.lax("reshape", (value, aval), new_sizes=shape, dimensions=None, sharding=None)[0]


def _scatter(
    e: Emitter,
    kind: str | None,
    dtype: Any,
    updates: ir.Value,
    slots: ir.Value,
    where: ir.Value,
    unique: bool,
) -> ir.Value:
    op = e.op(
        "iree_linalg_ext.scatter", [slots.type], [updates, where, slots], regions=1,
        dimension_map=ir.DenseI64ArrayAttr.get([0]), unique_indices=ir.BoolAttr.get(unique),
    )  # fmt: skip
    block = op.regions[0].blocks.append(*[slots.type.element_type] * 2)
    b = e.builder(block)
    new, old = (b.from_memory(dtype, value) for value in block.arguments)
    with e.loc or ir.Location.unknown():
        if kind == "sub":
            result = _subtract(b, dtype, old, new)
        else:
            result = new if kind is None else combiner(kind, dtype)(b, old, new)
        value = b.to_memory(dtype, result, slots.type.element_type)
        b.effect("iree_linalg_ext.yield", [value])
    return op.result


def _subtract(b: ScalarBuilder, dtype: Any, x: Any, y: Any) -> Any:
    return b.op("arith.subf" if dtype.kind in "fV" else "arith.subi", x.type, [x, y])


class _Places:
    """For each update element, its row-major place in the operand, or the operand's size."""

    def __init__(
        self, e: Emitter, numbers: ScatterDimensionNumbers, mode: GatherScatterMode,
        operand: ShapedArray, indices: ir.Value, indices_aval: ShapedArray, updates: ShapedArray,
    ):  # fmt: skip
        self.e, self.numbers, self.mode, self.operand = e, numbers, mode, operand
        self.indices, self.indices_aval, self.updates = indices, indices_aval, updates
        windows = numbers.update_window_dims
        self.scatter_dims = [d for d in range(updates.ndim) if d not in windows]
        dropped = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
        window_operand_dims = [d for d in range(operand.ndim) if d not in dropped]
        self.window_of = dict(zip(window_operand_dims, windows))

    def compute(self) -> ir.Value:
        """An i32 array of the updates' shape."""
        return self.e.elements(ShapedArray(self.updates.shape, np.int32), self._place)

    def _place(self, b: ScalarBuilder, index: tuple[ir.Value, ...]) -> ir.Value:
        batch = [index[d] for d in self.scatter_dims]
        strides = row_major_strides(self.operand.shape)
        place: Index = 0
        inside: list[Any] = []
        for dim, size in enumerate(self.operand.shape):
            window_dim = self.window_of.get(dim)
            extent = 1 if window_dim is None else self.updates.shape[window_dim]
            start = self._start(b, dim, batch)
            if self.mode == GatherScatterMode.CLIP:
                start = b.imax(b.imin(start, size - extent), 0)
            else:
                inside += [b.icmp("ge", start, 0), b.icmp("le", start, size - extent)]
            at = start if window_dim is None else b.iadd(start, index[window_dim])
            place = b.iadd(place, b.imul(at, strides[dim]))
        place, outside = b.index(place), b.index(self.operand.size)
        return b.from_index(b.select(b.all_of(inside), place, outside), 32)

    def _start(self, b: ScalarBuilder, dim: int, batch: list[ir.Value]) -> Index:
        """Where the window begins in an operand dimension."""
        numbers = self.numbers
        if dim in numbers.operand_batching_dims:
            k = numbers.operand_batching_dims.index(dim)
            return batch[numbers.scatter_indices_batching_dims[k]]
        if dim not in numbers.scatter_dims_to_operand_dims:
            return 0
        component = numbers.scatter_dims_to_operand_dims.index(dim)
        dtype = self.indices_aval.dtype
        value = b.load(dtype, self.indices, (*batch, component))
        return b.to_index(value, signed=dtype.kind == "i")
