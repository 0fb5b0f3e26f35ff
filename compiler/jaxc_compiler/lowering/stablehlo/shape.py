"""Shape ops: StableHLO has them under the same or similar names."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler.lowering.stablehlo.base import Emitter, aval_of, integers, lowers, out_aval
from jaxc_compiler.mlir import ir


@lowers("broadcast_in_dim")
def lower_broadcast_in_dim(
    e: Emitter, op: Any, operands: list, *, broadcast_dimensions: Any, shape: Any, sharding: Any
) -> list[ir.Value]:
    return [e.broadcast(operands[0], shape, broadcast_dimensions)]


@lowers("reshape")
def lower_reshape(
    e: Emitter, op: Any, operands: list, *, dimensions: Any, new_sizes: Any, sharding: Any
) -> list[ir.Value]:
    (x,) = operands
    if dimensions is not None:
        x = transpose(e, x, dimensions)
    return [e.reshape(x, new_sizes)]


@lowers("squeeze")
def lower_squeeze(e: Emitter, op: Any, operands: list, **_: Any) -> list[ir.Value]:
    return [e.reshape(operands[0], out_aval(op).shape)]


def transpose(e: Emitter, x: ir.Value, permutation: Any) -> ir.Value:
    aval = aval_of(x)
    result = aval.update(shape=tuple(aval.shape[d] for d in permutation))
    return e.one("transpose", result, x, permutation=integers(permutation))


@lowers("transpose")
def lower_transpose(e: Emitter, op: Any, operands: list, *, permutation: Any) -> list[ir.Value]:
    return [transpose(e, operands[0], permutation)]


@lowers("rev")
def lower_rev(e: Emitter, op: Any, operands: list, *, dimensions: Any) -> list[ir.Value]:
    return [e.one("reverse", out_aval(op), *operands, dimensions=integers(dimensions))]


@lowers("concatenate")
def lower_concatenate(e: Emitter, op: Any, operands: list, *, dimension: int) -> list[ir.Value]:
    return [e.concatenate(operands, dimension)]


@lowers("stack")
def lower_stack(e: Emitter, op: Any, operands: list, *, axis: int) -> list[ir.Value]:
    shape = list(out_aval(op).shape)
    shape[axis] = 1
    return [e.concatenate([e.reshape(x, shape) for x in operands], axis)]


@lowers("unstack")
def lower_unstack(e: Emitter, op: Any, operands: list, *, axis: int) -> list[ir.Value]:
    (x,) = operands
    parts = split(e, x, axis, [1] * aval_of(x).shape[axis])
    shape = aval_of(x).shape
    return [e.reshape(part, shape[:axis] + shape[axis + 1 :]) for part in parts]


@lowers("split")
def lower_split(e: Emitter, op: Any, operands: list, *, axis: int, sizes: Any) -> list[ir.Value]:
    return split(e, operands[0], axis, sizes)


def split(e: Emitter, x: ir.Value, axis: int, sizes: Any) -> list[ir.Value]:
    """Consecutive parts of given sizes along an axis."""
    shape, start, parts = aval_of(x).shape, 0, []
    for size in sizes:
        starts, limits = [0] * len(shape), list(shape)
        starts[axis], limits[axis] = start, start + size
        parts.append(e.slice(x, starts, limits))
        start += size
    return parts


@lowers("slice")
def lower_slice(
    e: Emitter, op: Any, operands: list, *, limit_indices: Any, start_indices: Any, strides: Any
) -> list[ir.Value]:
    return [e.slice(operands[0], start_indices, limit_indices, strides)]


@lowers("pad")
def lower_pad(e: Emitter, op: Any, operands: list, *, padding_config: Any) -> list[ir.Value]:
    return [e.pad(operands[0], operands[1], padding_config)]


@lowers("tile")
def lower_tile(e: Emitter, op: Any, operands: list, *, reps: Any) -> list[ir.Value]:
    (x,) = operands
    shape = aval_of(x).shape
    interleaved = [n for pair in zip(reps, shape) for n in pair]
    wide = e.broadcast(x, interleaved, [2 * d + 1 for d in range(len(shape))])
    return [e.reshape(wide, out_aval(op).shape)]


@lowers("iota")
def lower_iota(
    e: Emitter, op: Any, operands: list, *, dimension: int, dtype: Any, shape: Any, sharding: Any
) -> list[ir.Value]:
    aval = out_aval(op)
    if aval.dtype == np.bool_:
        wide = e.iota(aval.update(dtype=np.dtype(np.int32)), dimension)
        return [e.compare(wide, e.full_like(wide, 0), "NE")]
    return [e.iota(aval, dimension)]
