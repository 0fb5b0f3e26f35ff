"""The report of a module at the `kernel` stage: reads the marks that fusion and in-place left."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from jaxc_compiler import cost, mlir
from jaxc_compiler.dialects import kernel, lax
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.op import OPS
from jaxc_compiler.passes.fuse import blocks_of
from jaxc_compiler.passes.mark_in_place import UPDATES
from jaxc_compiler.report.data import (
    Edge,
    Loop,
    Node,
    OpUse,
    Report,
    Update,
    byte_size,
    line_of,
    type_name,
)

_SILENT = frozenset({"constant", "yield", "branch"})


def report_of_kernels(module: ir.Module, target: str) -> Report:
    """The report of a CPU module whose kernels are decided."""
    attributes = module.operation.attributes
    name = attributes["sym_name"].value if "sym_name" in attributes else "main"
    report = Report(name, target)
    with mlir.LOCK:
        for op in module.body.operations:
            if op.operation.name == "func.func":
                _Reader(report).read(op.operation.regions[0].blocks[0])
    return report


class _Reader:
    """Numbers kernels as the kernel lowering does, and follows values from node to node."""

    def __init__(self, report: Report):
        self.report = report
        self.kernels = 0
        self.sources: dict[ir.Value, str] = {}
        self.codes: dict[str, str] = {}

    def read(self, block: ir.Block) -> None:
        for number, argument in enumerate(block.arguments):
            node = Node(
                f"arg{number}", "argument", f"argument {number}: {type_name(argument.type)}"
            )
            self.report.nodes.append(node)
            self.sources[argument] = node.id
        self.block(block, "")
        for number, value in enumerate(block.operations[len(block.operations) - 1].operands):
            node = Node(f"out{number}", "result", f"result {number}: {type_name(value.type)}")
            self.report.nodes.append(node)
            self.connect(node, [value], ())

    def block(self, block: ir.Block, inside: str) -> None:
        for op in block.operations:
            op = op.operation
            if kernel.is_fused(op):
                self.fused(op, inside)
            elif lax.name_of(op) not in {"", *_SILENT}:
                self.host_op(op, inside)

    def fused(self, op: ir.Operation, inside: str) -> None:
        name = f"kernel_{self.kernels}"
        self.kernels += 1
        body = op.regions[0].blocks[0]
        code = self.codes.setdefault(_code(op), name)
        node = Node(name, "dispatch", name, code=code, reason=_text(op, kernel.APART))
        node.inside = inside
        in_place = mlir.from_attr(op.attributes[kernel.IN_PLACE])
        node.ops += self.ops_of(body, name, 1.0, True)
        skipped = set(filter(lambda n: n >= 0, in_place)) & _only_updated(body)
        node.bytes_read = sum(
            byte_size(v.type) for n, v in enumerate(op.operands) if n not in skipped
        )
        node.bytes_written = sum(
            _updated_bytes(body, n) if n in skipped else byte_size(r.type)
            for n, r in zip(in_place, op.results)
        )
        self.finish(op, node, in_place)

    def finish(self, op: ir.Operation, node: Node, in_place: Any) -> None:
        self.report.nodes.append(node)
        self.connect(node, list(op.operands), in_place)
        for result in op.results:
            self.sources[result] = node.id

    def host_op(self, op: ir.Operation, inside: str) -> None:
        name, reason = lax.name_of(op), _text(op, kernel.WHY_NOT)
        bodies = blocks_of(op)
        number = sum(node.kind in ("host", "loop") for node in self.report.nodes)
        node = Node(f"host{number}", "loop" if bodies else "host", name, reason=reason)
        node.inside = inside
        if not bodies:
            node.ops.append(_use(op, 1.0, True))
            node.bytes_read = sum(byte_size(v.type) for v in op.operands)
            node.bytes_written = sum(byte_size(r.type) for r in op.results)
        else:
            loop = Loop(name, line_of(op.location), _trips(op), "", reason)
            self.report.loops.append(loop)
            node.trips = _share(loop, bodies)
        self.finish(op, node, ())
        for body in bodies:
            self.sources |= dict.fromkeys(body.arguments, node.id)
            self.block(body, node.id)

    def connect(self, node: Node, values: list[ir.Value], in_place: Any) -> None:
        for number, value in enumerate(values):
            source = self.sources.get(value)
            if source is not None:
                size = byte_size(value.type)
                edge = Edge(source, node.id, type_name(value.type), size, number in in_place)
                self.report.edges.append(edge)

    def ops_of(self, block: ir.Block, place: str, times: float, counted: bool) -> Iterator[OpUse]:
        for op in block.operations:
            op = op.operation
            name = lax.name_of(op)
            if name in _SILENT:
                continue
            if name in UPDATES:
                line, reason = line_of(op.location), _text(op, kernel.COPIES)
                type_ = type_name(op.results[0].type)
                self.report.updates.append(Update(name, line, place, type_, reason))
            bodies = blocks_of(op)
            if not bodies:
                yield _use(op, times, counted)
                continue
            loop = Loop(name, line_of(op.location), _trips(op), place)
            self.report.loops.append(loop)
            share = _share(loop, bodies)
            known, runs = counted and share is not None, 1 if share is None else share
            for body in bodies:
                yield from self.ops_of(body, place, times * runs, known)


def _code(op: ir.Operation) -> str:
    """A kernel's text with its values numbered anew: equal for kernels that compute the same."""
    text = op.get_asm(use_local_scope=True)
    numbers: dict[str, int] = {}
    text = text[text.index("{") :].partition(", jaxc.apart")[0]
    return re.sub(r"%\w+", lambda m: f"%{numbers.setdefault(m[0], len(numbers))}", text)


def _share(loop: Loop, bodies: Sequence[ir.Block]) -> float | None:
    """How often each body runs: in the half of all cases, if it is one of two branches."""
    return 1 / len(bodies) if loop.name == "cond" else loop.trips


def _use(op: ir.Operation, times: float, counted: bool) -> OpUse:
    name = lax.name_of(op)
    ins = [mlir.aval_of(v.type) for v in op.operands]
    outs = [mlir.aval_of(r.type) for r in op.results]
    needs_params = name in ("dot_general", "conv_general_dilated")
    params = lax.params_of(op) if needs_params else {}
    flops = cost.flops_of(name, OPS[name].kind if name in OPS else "", params, ins, outs)
    work = cost.work_of(name, flops, outs)
    type_ = type_name(op.results[0].type) if len(op.results) else ""
    return OpUse(name, line_of(op.location), type_, flops * times, work * times, counted)


def _trips(op: ir.Operation) -> int | None:
    name = lax.name_of(op)
    return (
        mlir.from_attr(op.attributes["length"]) if name == "scan" else 1 if name == "cond" else None
    )


def _text(op: ir.Operation, name: str) -> str:
    return mlir.from_attr(op.attributes[name]) if name in op.attributes else ""


def _users(value: ir.Value) -> list[tuple[str, int, ir.Operation]]:
    found = [(use.owner.operation, use.operand_number) for use in value.uses]
    return [(lax.name_of(op), number, op) for op, number in found]


def _only_updated(body: ir.Block) -> set[int]:
    """The arguments that are only written, by updates: the rest of the array is not touched."""
    return {
        argument.arg_number
        for argument in body.arguments
        if all(name in UPDATES and number == 0 for name, number, _ in _users(argument))
    }


def _updated_bytes(body: ir.Block, number: int) -> int:
    updates = [op for _, _, op in _users(body.arguments[number])]
    return sum(
        byte_size(op.operands[1 if lax.name_of(op) == "dynamic_update_slice" else 2].type)
        for op in updates
    )
