"""A `kernel.fused` as an executable: its operands and results bound, its region lowered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.dialects import kernel as kernel_dialect
from jaxc_compiler.lowering.element.values import Scalars, Splat
from jaxc_compiler.lowering.kernel.frame import OWN_BINDINGS, Frame, cast, to_storage
from jaxc_compiler.lowering.kernel.memory import Buffer, View
from jaxc_compiler.lowering.kernel.packing import bytes_type, offsets_of, pack, unpack
from jaxc_compiler.lowering.kernel.region import lower_block
from jaxc_compiler.lowering.kernel.vectors import Vectors
from jaxc_compiler.mlir import ir

_BYTE = np.dtype(np.int8)


def lower_fused(
    module: ir.Module,
    op: ir.Operation,
    name: str,
    vectors: Vectors,
    known: dict[str, str] | None = None,
) -> None:
    """Replace one `kernel.fused` by an executable and its dispatch.

    Args:
      vectors: those of the CPU it is compiled for.
      known: the executables of the module, by their code: equal kernels share one.
    """
    lowering = _Lowering(module, op, name)
    lowering.frame.k.vectors = vectors
    lowering.emit_body()
    lowering.frame.finish()
    if known is not None:
        lowering.frame.share(known)
    lowering.replace_with_dispatch()


class _Lowering:
    """One kernel. Operands and results that find no binding travel packed into one buffer each."""

    def __init__(self, module: ir.Module, op: ir.Operation, name: str):
        self.module, self.op, self.name = module, op, name
        self.in_place = mlir.from_attr(op.attributes[kernel_dialect.IN_PLACE])
        self.in_avals = [mlir.aval_of(v.type) for v in op.operands]
        self.out_avals = [mlir.aval_of(r.type) for r in op.results]
        self.packed_in, self.packed_out = self._choose_packed()
        self.frame = Frame(module, name, op.location)
        self.buffers_in: dict[int, Buffer] = {}
        self.buffers_out: dict[int, Buffer] = {}

    def _choose_packed(self) -> tuple[list[int], list[int]]:
        """The smallest operands, then the smallest results, beyond what can be bound."""
        tied = set(self.in_place)
        ins = [n for n, a in enumerate(self.in_avals) if a.size and n not in tied]
        outs = [n for n, a in enumerate(self.out_avals) if a.size and self.in_place[n] < 0]
        excess = len(ins) + len(outs) + len(tied - {-1}) - OWN_BINDINGS
        if excess <= 0:
            return [], []
        packed_in = _smallest(ins, self.in_avals, excess + 2)
        excess -= max(0, len(packed_in) - 1)
        packed_out = _smallest(outs, self.out_avals, excess + 1) if excess > 0 else []
        return packed_in, packed_out

    def emit_body(self) -> None:
        """Bind operands and results, and lower the region."""
        self._bind_operands()
        self._bind_results()
        views = {n: View(self.in_avals[n], buffer) for n, buffer in self.buffers_in.items()}
        k = self.frame.k
        arguments: list[Any] = []
        for number, aval in enumerate(self.in_avals):
            if not aval.size:
                arguments.append(Splat(aval, 0))
            elif aval.shape:
                arguments.append(views[number])
            else:
                arguments.append(Scalars(aval, k.scalar(views[number])))
        dests = [
            View(aval, self.buffers_out[n]) if aval.size else None
            for n, aval in enumerate(self.out_avals)
        ]
        lower_block(
            k, self.op.regions[0].blocks[0], arguments,
            [d if d is not None and d.aval.shape else None for d in dests],
            lambda results: k.commit([(a, d) for a, d in zip(results, dests) if d is not None]),
        )  # fmt: skip

    def _bind_operands(self) -> None:
        frame, tied = self.frame, set(self.in_place)
        for number, aval in enumerate(self.in_avals):
            if aval.size and number not in self.packed_in:
                origin = "result" if number in tied else "input"
                self.buffers_in[number] = frame.binding(aval.dtype, aval.size, origin)
        if self.packed_in:
            self.buffers_in |= self._parts(self.packed_in, self.in_avals, "input")

    def _bind_results(self) -> None:
        for number, aval in enumerate(self.out_avals):
            if not aval.size or number in self.packed_out:
                continue
            operand = self.in_place[number]
            self.buffers_out[number] = (
                self.buffers_in[operand]
                if operand >= 0
                else self.frame.binding(aval.dtype, aval.size, "result")
            )
        if self.packed_out:
            self.buffers_out |= self._parts(self.packed_out, self.out_avals, "result")

    def _parts(self, numbers: Sequence[int], avals: Sequence[Any], origin: str) -> dict:
        offsets, size = offsets_of([avals[n] for n in numbers])
        whole = self.frame.binding(_BYTE, size, origin)
        return {
            n: self.frame.part(whole, avals[n].dtype, avals[n].size, offset)
            for n, offset in zip(numbers, offsets)
        }

    def replace_with_dispatch(self) -> None:
        """Put a dispatch in the op's place."""
        op, ip = self.op, ir.InsertionPoint(self.op)
        own_in = [n for n in self.buffers_in if n not in self.packed_in]
        own_out = [n for n in self.buffers_out if n not in self.packed_out]
        operands = [to_storage(op.operands[n], ip) for n in own_in]
        if self.packed_in:
            values = [op.operands[n] for n in self.packed_in]
            operands.append(pack(self.module, values, self.name, ip))
        types = [mlir.storage_type(op.results[n].type) for n in own_out]
        tied = [own_in.index(self.in_place[n]) if self.in_place[n] >= 0 else -1 for n in own_out]
        packed_types = [op.results[n].type for n in self.packed_out]
        if self.packed_out:
            _, size = offsets_of([self.out_avals[n] for n in self.packed_out])
            types.append(bytes_type(size))
            tied.append(-1)
        made = self.frame.dispatch(operands, types, tied, ip=ip, loc=op.location)
        results = dict(zip(own_out, made))
        if self.packed_out:
            parts = unpack(self.module, made[-1], packed_types, self.name, ip)
            results |= dict(zip(self.packed_out, parts))
        for number, result in enumerate(op.results):
            if number not in results:
                type_ = mlir.storage_type(result.type)
                results[number] = ir.Operation.create("tensor.empty", [type_], [], ip=ip).result
            result.replace_all_uses_with(cast(results[number], result.type, ip))
        op.erase()


def _smallest(numbers: Sequence[int], avals: Sequence[Any], count: int) -> list[int]:
    by_size = sorted(numbers, key=lambda n: avals[n].size)
    return sorted(by_size[:count])
