"""A `kernel.fused` as an IREE executable with one entry point, and its dispatch.

Owns the frame around a kernel: bindings, stack and scratch memory, `hal.executable.source` and
`flow.dispatch`. The kernel's body is made of memrefs, so IREE bufferizes nothing in it and what is
updated in place is decided by us. Facts it rests on (IREE 3.13): bindings are not known to be
distinct until `memref.distinct_objects` says so; a result of a dispatch that nobody uses is
allocated all the same, which makes scratch memory; a kernel has 32 KB of stack.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.dialects import kernel as kernel_dialect
from jaxc_compiler.lowering.element.base import ScalarBuilder, type_name
from jaxc_compiler.lowering.element.values import Scalars, Splat
from jaxc_compiler.lowering.kernel.kernel import Kernel
from jaxc_compiler.lowering.kernel.memory import Buffer, Pool, View
from jaxc_compiler.lowering.kernel.region import lower_block
from jaxc_compiler.mlir import ir

_OWN_BINDINGS = 30  # of IREE's 32; the last ones are left for an arena


def lower_fused(
    module: ir.Module, op: ir.Operation, name: str, known: dict[str, str] | None = None
) -> None:
    """Replace one `kernel.fused` by an executable and its dispatch.

    Args:
      known: the executables of the module, by their code: equal kernels share one.
    """
    executable = _Executable(module, op, name)
    executable.emit_body()
    executable.finish()
    if known is not None:
        executable.share(known)
    executable.replace_with_dispatch()


class _Executable:
    def __init__(self, module: ir.Module, op: ir.Operation, name: str):
        self.op, self.name = op, name
        self.in_place = mlir.from_attr(op.attributes[kernel_dialect.IN_PLACE])
        self.in_avals = [mlir.aval_of(v.type) for v in op.operands]
        self.out_avals = [mlir.aval_of(r.type) for r in op.results]
        self.bindings: list[Buffer] = []
        self.source = _create(
            "hal.executable.source", [], {"sym_name": _string(name), "sym_visibility": _string("private")},
            1, ir.InsertionPoint.at_block_begin(module.body),
        )  # fmt: skip
        self.outer = self.source.regions[0].blocks.append()
        inner = _create("builtin.module", [], {}, 1, ir.InsertionPoint(self.outer))
        function = _create(
            "func.func", [],
            {"sym_name": _string(self.name),
             "function_type": ir.TypeAttr.get(ir.FunctionType.get([], []))},
            1, ir.InsertionPoint(inner.regions[0].blocks.append()),
        )  # fmt: skip
        _create("hal.executable.source_end", [], {}, 0, ir.InsertionPoint(self.outer))
        self.block = function.regions[0].blocks.append()
        self.end = _create("func.return", [], {}, 0, ir.InsertionPoint(self.block))
        # Stands between the constants and views and the body.
        index = ir.IndexType.get()
        self.first = ir.Operation.create(
            "arith.constant", [index], [], {"value": ir.IntegerAttr.get(index, 0)},
            ip=ir.InsertionPoint(self.end),
        )  # fmt: skip
        self.b = ScalarBuilder(ir.InsertionPoint(self.end), self.block)
        self.arena: Buffer | None = None
        self.k = Kernel(self.b, Pool(self._stack, self._scratch))

    # Memory.

    def _binding(self, dtype: Any, size: int, origin: str) -> Buffer:
        type_ = self.b.type(f"memref<{size}x{type_name(dtype, memory=True)}>")
        ref = self.block.add_argument(type_, ir.Location.unknown())
        buffer = Buffer(dtype, size, ref, origin, len(self.bindings))
        self.bindings.append(buffer)
        return buffer

    def _scratch(self, dtype: Any, size: int) -> Buffer:
        """A binding of its own, of which LLVM knows that it overlaps no other, while there are."""
        if len(self.bindings) < _OWN_BINDINGS:
            return self._binding(dtype, size, "scratch")
        if self.arena is None:
            self.arena = self._binding(np.dtype(np.int8), 0, "scratch")
        offset = self.b.index(self.arena.size)
        type_ = self.b.type(f"memref<{size}x{type_name(dtype, memory=True)}>")
        bytes_ = size * (1 if dtype == np.bool_ else dtype.itemsize)
        self.arena.size += -(-bytes_ // 64) * 64
        ip = ir.InsertionPoint(self.first)
        attributes: dict[str, ir.Attribute] = {}
        ref = ir.Operation.create(
            "memref.view", [type_], [self.arena.ref, offset], attributes, ip=ip
        ).result
        return Buffer(dtype, size, ref, "scratch", self.arena.binding)

    def _stack(self, dtype: Any, size: int) -> Buffer:
        type_ = self.b.type(f"memref<{size}x{type_name(dtype, memory=True)}>")
        alignment = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), 64)
        attributes = {
            "alignment": alignment, "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 0])
        }  # fmt: skip
        ip = ir.InsertionPoint.at_block_begin(self.block)
        ref = ir.Operation.create("memref.alloca", [type_], [], attributes, ip=ip).result
        return Buffer(dtype, size, ref, "stack", None)

    # The body.

    def emit_body(self) -> None:
        """Bind operands and results, and lower the region."""
        tied = {operand: number for number, operand in enumerate(self.in_place) if operand >= 0}
        self.operand_buffers: dict[int, Buffer] = {}
        arguments: list[Any] = []
        for number, aval in enumerate(self.in_avals):
            if not aval.size:
                arguments.append(Splat(aval, 0))
                continue
            origin = "result" if number in tied else "input"
            buffer = self._binding(aval.dtype, aval.size, origin)
            self.operand_buffers[number] = buffer
            view = View(aval, buffer)
            arguments.append(view if aval.shape else Scalars(aval, self.k.scalar(view)))
        dests: list[View | None] = []
        self.result_buffers: dict[int, Buffer] = {}
        for number, aval in enumerate(self.out_avals):
            if not aval.size:
                dests.append(None)
                continue
            operand = self.in_place[number]
            buffer = (
                self.operand_buffers[operand]
                if operand >= 0
                else self._binding(aval.dtype, aval.size, "result")
            )
            self.result_buffers[number] = buffer
            dests.append(View(aval, buffer))
        region = self.op.regions[0].blocks[0]
        lower_block(
            self.k, region, arguments, [d if d and d.aval.shape else None for d in dests],
            lambda results: self._store(results, dests),
        )  # fmt: skip

    def _store(self, results: list[Any], dests: list[View | None]) -> None:
        self.k.commit([(a, d) for a, d in zip(results, dests) if d is not None])

    # The frame.

    def finish(self) -> None:
        """Give the body its bindings and make the entry point."""
        self.written = {b.binding for b in self.bindings if b.origin != "input"}
        flags = [", ReadOnly" * (i not in self.written) for i in range(len(self.bindings))]
        items = ", ".join(f"#hal.pipeline.binding<storage_buffer{flag}>" for flag in flags)
        layout = ir.Attribute.parse(f"#hal.pipeline.layout<bindings = [{items}]>")
        self._bind(layout)
        index = self.b.index_type
        attributes = {
            "sym_name": _string(self.name), "sym_visibility": _string("public"),
            "ordinal": ir.IntegerAttr.get(index, 0), "layout": layout,
        }  # fmt: skip
        ip = ir.InsertionPoint.at_block_begin(self.outer)
        export = ir.Operation.create("hal.executable.export", [], [], attributes, [], 2, ip=ip)
        count = export.regions[0].blocks.append(ir.Type.parse("!hal.device"))
        ip = ir.InsertionPoint(count)
        one = ir.Operation.create(
            "arith.constant", [index], [], {"value": ir.IntegerAttr.get(index, 1)}, ip=ip
        ).result
        ir.Operation.create("hal.return", [], [one] * 3, ip=ip)

    def _bind(self, layout: ir.Attribute) -> None:
        if not self.bindings:
            return
        index = self.b.index_type
        ip = ir.InsertionPoint.at_block_begin(self.block)
        zero = ir.Operation.create(
            "arith.constant", [index], [], {"value": ir.IntegerAttr.get(index, 0)}, ip=ip
        ).result
        if self.arena is not None:
            self.arena.ref.set_type(self.b.type(f"memref<{self.arena.size}xi8>"))
        refs = []
        for number, buffer in enumerate(self.bindings):
            attributes = {
                "layout": layout,
                "binding": ir.IntegerAttr.get(index, number),
                "alignment": ir.IntegerAttr.get(index, 64),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0]),
            }
            if number not in self.written:
                attributes["descriptor_flags"] = ir.IntegerAttr.get(
                    ir.IntegerType.get_signless(32), 1
                )
            refs.append(
                ir.Operation.create(
                    "hal.interface.binding.subspan", [buffer.ref.type], [zero], attributes, ip=ip
                ).result
            )
        if len(refs) > 1:
            types = [r.type for r in refs]
            refs = list(ir.Operation.create("memref.distinct_objects", types, refs, ip=ip).results)
        for argument, ref in zip(list(self.block.arguments), refs):
            argument.replace_all_uses_with(ref)
        for number in reversed(range(len(refs))):
            self.block.erase_argument(number)

    def share(self, known: dict[str, str]) -> None:
        """Use an executable with the same code instead of this one."""
        code = "".join(op.operation.get_asm(use_local_scope=True) for op in self.outer.operations)
        code = code.replace(self.name, "")  # IREE wants another name for every entry point
        if code in known:
            self.name = known[code]
            self.source.erase()
        known.setdefault(code, self.name)

    def replace_with_dispatch(self) -> None:
        """Put a dispatch in the op's place."""
        op, ip = self.op, ir.InsertionPoint(self.op)
        numbers = list(self.operand_buffers)
        operands = [
            _cast(op.operands[n], mlir.storage_type(op.operands[n].type), ip) for n in numbers
        ]
        result_numbers = list(self.result_buffers)
        types = [mlir.storage_type(op.results[n].type) for n in result_numbers]
        tied = [
            numbers.index(self.in_place[n]) if self.in_place[n] >= 0 else -1 for n in result_numbers
        ]
        for buffer in self.bindings:
            if buffer.origin == "scratch":
                element = self.b.type(type_name(buffer.dtype, memory=True))
                types.append(ir.RankedTensorType.get([buffer.size], element))
                tied.append(-1)
        index = self.b.index_type
        attributes = {
            "entry_points": ir.Attribute.parse(f"[@{self.name}::@{self.name}]"),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, len(operands), 0, 0]),
            "tied_operands": ir.ArrayAttr.get([ir.IntegerAttr.get(index, t) for t in tied]),
        }
        results: dict[int, ir.Value] = {}
        if types:
            dispatch = ir.Operation.create(
                "flow.dispatch", types, operands, attributes, ip=ip, loc=op.location
            )
            results = dict(zip(result_numbers, dispatch.results))
        for number, result in enumerate(op.results):
            if number not in results:
                type_ = mlir.storage_type(result.type)
                results[number] = ir.Operation.create("tensor.empty", [type_], [], ip=ip).result
            result.replace_all_uses_with(_cast(results[number], result.type, ip))
        op.erase()


def _create(name: str, operands: list, attributes: dict, regions: int, ip: Any) -> ir.Operation:
    return ir.Operation.create(name, [], operands, attributes, [], regions, ip=ip)


def _string(text: str) -> ir.Attribute:
    return ir.StringAttr.get(text)


def _cast(value: ir.Value, type_: ir.Type, ip: Any) -> ir.Value:
    """A value under its storage type, or back: removed when the function's types are lowered."""
    if value.type == type_:
        return value
    return ir.Operation.create("builtin.unrealized_conversion_cast", [type_], [value], ip=ip).result
