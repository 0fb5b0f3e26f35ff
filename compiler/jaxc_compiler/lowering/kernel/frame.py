"""The frame around a kernel's body: an executable's bindings, its memory and its entry point.

Owns `Frame`, which makes a `hal.executable.source` and the `flow.dispatch` of it. The body is made
of memrefs, so IREE bufferizes nothing in it and what is updated in place is decided by us. Facts it
rests on (IREE 3.13): bindings are not known to be distinct until `memref.distinct_objects` says so;
a result of a dispatch that nobody uses is allocated all the same, which makes scratch memory; a
kernel has 32 KB of stack and at most 32 bindings; entry points of one program need distinct names.
Must not import the op lowerings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.lowering.element.base import ScalarBuilder, type_name
from jaxc_compiler.lowering.kernel.kernel import Kernel
from jaxc_compiler.lowering.kernel.memory import Buffer, Pool
from jaxc_compiler.mlir import ir

OWN_BINDINGS = 30  # of IREE's 32; the last ones are left for an arena
_ALIGNMENT = 64
_BYTE = np.dtype(np.int8)


def item_bytes(dtype: Any) -> int:
    """The size of an element in memory."""
    return 1 if dtype == np.bool_ else dtype.itemsize


def padded_bytes(dtype: Any, size: int) -> int:
    """What an array takes among others in one buffer."""
    return -(-size * item_bytes(dtype) // _ALIGNMENT) * _ALIGNMENT


class Frame:
    """One executable under construction.

    Attributes:
      b, k: the builder and the state of the body's emission.
      bindings: its buffers in the order of the dispatch's bindings.
    """

    def __init__(self, module: ir.Module, name: str, location: ir.Location | None = None):
        self.name = name
        self.bindings: list[Buffer] = []
        self.arena: Buffer | None = None
        where = ir.InsertionPoint.at_block_begin(module.body)
        symbol = {"sym_name": _string(name), "sym_visibility": _string("private")}
        self.source = _create("hal.executable.source", symbol, 1, where)
        self.outer = self.source.regions[0].blocks.append()
        inner = _create("builtin.module", {}, 1, ir.InsertionPoint(self.outer))
        attributes = {
            "sym_name": _string(name),
            "function_type": ir.TypeAttr.get(ir.FunctionType.get([], [])),
        }
        where = ir.InsertionPoint(inner.regions[0].blocks.append())
        function = _create("func.func", attributes, 1, where, location)
        _create("hal.executable.source_end", {}, 0, ir.InsertionPoint(self.outer))
        self.block = function.regions[0].blocks.append()
        self.end = _create("func.return", {}, 0, ir.InsertionPoint(self.block))
        # Stands between the constants and views and the body.
        self.first = _index_constant(0, ir.InsertionPoint(self.end)).owner
        self.b = ScalarBuilder(ir.InsertionPoint(self.end), self.block)
        self.k = Kernel(self.b, Pool(self._stack, self._scratch))

    # Memory.

    def binding(self, dtype: Any, size: int, origin: str) -> Buffer:
        """A new binding; its origin says whether the body may write it."""
        ref = self.block.add_argument(self._memref(dtype, size), ir.Location.unknown())
        buffer = Buffer(dtype, size, ref, origin, len(self.bindings))
        self.bindings.append(buffer)
        return buffer

    def part(self, whole: Buffer, dtype: Any, size: int, offset: int) -> Buffer:
        """A typed part of a buffer of bytes."""
        operands = [whole.ref, self.b.index(offset)]
        ref = ir.Operation.create(
            "memref.view",
            [self._memref(dtype, size)],
            operands,
            {},
            ip=ir.InsertionPoint(self.first),
        ).result
        return Buffer(dtype, size, ref, whole.origin, whole.binding)

    def _memref(self, dtype: Any, size: int) -> ir.Type:
        return self.b.type(f"memref<{size}x{type_name(dtype, memory=True)}>")

    def _scratch(self, dtype: Any, size: int) -> Buffer:
        """A binding of its own, of which LLVM knows that it overlaps no other, while there are."""
        if len(self.bindings) < OWN_BINDINGS:
            return self.binding(dtype, size, "scratch")
        if self.arena is None:
            self.arena = self.binding(_BYTE, 0, "scratch")
        offset = self.arena.size
        self.arena.size += padded_bytes(dtype, size)
        return self.part(self.arena, dtype, size, offset)

    def _stack(self, dtype: Any, size: int) -> Buffer:
        alignment = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), _ALIGNMENT)
        segments = ir.DenseI32ArrayAttr.get([0, 0])
        attributes = {"alignment": alignment, "operandSegmentSizes": segments}
        ip = ir.InsertionPoint.at_block_begin(self.block)
        type_ = self._memref(dtype, size)
        ref = ir.Operation.create("memref.alloca", [type_], [], attributes, ip=ip).result
        return Buffer(dtype, size, ref, "stack", None)

    # The end.

    def finish(self) -> None:
        """Give the body its bindings and make the entry point."""
        flags = [", ReadOnly" * (buffer.origin == "input") for buffer in self.bindings]
        items = ", ".join(f"#hal.pipeline.binding<storage_buffer{flag}>" for flag in flags)
        layout = ir.Attribute.parse(f"#hal.pipeline.layout<bindings = [{items}]>")
        if self.arena is not None:
            self.arena.ref.set_type(self._memref(_BYTE, self.arena.size))
        self._bind(layout)
        attributes = {
            "sym_name": _string(self.name),
            "sym_visibility": _string("public"),
            "ordinal": ir.IntegerAttr.get(self.b.index_type, 0),
            "layout": layout,
        }
        where = ir.InsertionPoint.at_block_begin(self.outer)
        export = _create("hal.executable.export", attributes, 2, where)
        ip = ir.InsertionPoint(export.regions[0].blocks.append(ir.Type.parse("!hal.device")))
        ir.Operation.create("hal.return", [], [_index_constant(1, ip)] * 3, ip=ip)

    def _bind(self, layout: ir.Attribute) -> None:
        index = self.b.index_type
        ip = ir.InsertionPoint.at_block_begin(self.block)
        zero = _index_constant(0, ip)
        refs = []
        for number, buffer in enumerate(self.bindings):
            attributes = {
                "layout": layout,
                "binding": ir.IntegerAttr.get(index, number),
                "alignment": ir.IntegerAttr.get(index, _ALIGNMENT),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0]),
            }
            if buffer.origin == "input":
                read_only = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), 1)
                attributes["descriptor_flags"] = read_only
            subspan = ir.Operation.create(
                "hal.interface.binding.subspan", [buffer.ref.type], [zero], attributes, ip=ip
            )
            refs.append(subspan.result)
        if len(refs) > 1:
            types = [r.type for r in refs]
            refs = list(ir.Operation.create("memref.distinct_objects", types, refs, ip=ip).results)
        for argument, ref in zip(list(self.block.arguments), refs):
            argument.replace_all_uses_with(ref)
        for number in reversed(range(len(refs))):
            self.block.erase_argument(number)

    def share(self, known: dict[str, str]) -> None:
        """Use an executable with the same code instead of this one, if `known` has one."""
        code = "".join(op.operation.get_asm(use_local_scope=True) for op in self.outer.operations)
        code = code.replace(self.name, "")
        if code in known:
            self.name = known[code]
            self.source.erase()
        known.setdefault(code, self.name)

    def dispatch(
        self, operands: Sequence[ir.Value], results: Sequence[ir.Type], tied: Sequence[int], **where
    ) -> list[ir.Value]:
        """Call the executable.

        Args:
          operands: for the first bindings, in storage types.
          results: types of the results bound after them, in storage types.
          tied: for each result the operand whose memory it is in (and whose binding), or -1.
        """
        types, ties = list(results), list(tied)
        for buffer in self.bindings:
            if buffer.origin == "scratch":
                element = self.b.type(type_name(buffer.dtype, memory=True))
                types.append(ir.RankedTensorType.get([buffer.size], element))
                ties.append(-1)
        if not types:
            return []
        index = self.b.index_type
        attributes = {
            "entry_points": ir.Attribute.parse(f"[@{self.name}::@{self.name}]"),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, len(operands), 0, 0]),
            "tied_operands": ir.ArrayAttr.get([ir.IntegerAttr.get(index, t) for t in ties]),
        }
        made = ir.Operation.create("flow.dispatch", types, operands, attributes, **where)
        return list(made.results)[: len(results)]


def _create(
    name: str, attributes: dict, regions: int, ip: Any, loc: ir.Location | None = None
) -> ir.Operation:
    return ir.Operation.create(name, [], [], attributes, [], regions, ip=ip, loc=loc)


def _index_constant(value: int, ip: Any) -> ir.Value:
    index = ir.IndexType.get()
    attributes = {"value": ir.IntegerAttr.get(index, value)}
    return ir.Operation.create("arith.constant", [index], [], attributes, ip=ip).result


def _string(text: str) -> ir.Attribute:
    return ir.StringAttr.get(text)


def to_storage(value: ir.Value, ip: Any) -> ir.Value:
    """A value of a `lax` type under its storage type."""
    return cast(value, mlir.storage_type(value.type), ip)


def cast(value: ir.Value, type_: ir.Type, ip: Any) -> ir.Value:
    """A value under another type of the same memory: gone when the function's types are lowered."""
    if value.type == type_:
        return value
    return ir.Operation.create("builtin.unrealized_conversion_cast", [type_], [value], ip=ip).result
