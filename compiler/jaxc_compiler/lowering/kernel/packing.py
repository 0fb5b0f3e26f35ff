"""Many arrays in one buffer, for a kernel with more operands or results than it can bind.

Owns `pack` and `unpack`, dispatches that copy arrays into one buffer of bytes and out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.lowering.kernel.frame import Frame, cast, padded_bytes, to_storage
from jaxc_compiler.lowering.kernel.memory import View
from jaxc_compiler.mlir import ir

_AT_ONCE = 24  # arrays a copying dispatch binds
_BYTE = np.dtype(np.int8)


def offsets_of(avals: Sequence[Any]) -> tuple[list[int], int]:
    """Where each array begins in the buffer, and the buffer's size in bytes."""
    offsets, end = [], 0
    for aval in avals:
        offsets.append(end)
        end += padded_bytes(aval.dtype, aval.size)
    return offsets, end


def bytes_type(size: int) -> ir.Type:
    """The tensor type of a buffer of bytes."""
    return ir.RankedTensorType.get([size], ir.IntegerType.get_signless(8))


def pack(module: ir.Module, values: Sequence[ir.Value], name: str, ip: Any) -> ir.Value:
    """One buffer with a copy of every array."""
    avals = [mlir.aval_of(v.type) for v in values]
    offsets, size = offsets_of(avals)
    whole: ir.Value | None = None
    for start in range(0, len(values), _AT_ONCE):
        part = range(start, min(start + _AT_ONCE, len(values)))
        frame = Frame(module, f"{name}_pack_{start}")
        inputs = [frame.binding(avals[n].dtype, avals[n].size, "input") for n in part]
        arena = frame.binding(_BYTE, size, "result")
        for n, source in zip(part, inputs):
            target = frame.part(arena, avals[n].dtype, avals[n].size, offsets[n])
            frame.k.commit([(View(avals[n], source), View(avals[n], target))])
        frame.finish()
        operands = [to_storage(values[n], ip) for n in part]
        tied = -1
        if whole is not None:
            operands, tied = [*operands, whole], len(operands)
        (whole,) = frame.dispatch(operands, [bytes_type(size)], [tied], ip=ip)
    assert whole is not None
    return whole


def unpack(
    module: ir.Module, whole: ir.Value, types: Sequence[ir.Type], name: str, ip: Any
) -> list[ir.Value]:
    """The arrays of the given `lax` types that a buffer holds."""
    avals = [mlir.aval_of(t) for t in types]
    offsets, size = offsets_of(avals)
    results: list[ir.Value] = []
    for start in range(0, len(types), _AT_ONCE):
        part = range(start, min(start + _AT_ONCE, len(types)))
        frame = Frame(module, f"{name}_unpack_{start}")
        arena = frame.binding(_BYTE, size, "input")
        for n in part:
            target = frame.binding(avals[n].dtype, avals[n].size, "result")
            source = frame.part(arena, avals[n].dtype, avals[n].size, offsets[n])
            frame.k.commit([(View(avals[n], source), View(avals[n], target))])
        frame.finish()
        made = frame.dispatch(
            [whole], [mlir.storage_type(types[n]) for n in part], [-1] * len(part), ip=ip
        )
        results += [cast(value, types[n], ip) for n, value in zip(part, made)]
    return results
