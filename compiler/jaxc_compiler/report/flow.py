"""The report of a module whose dispatches IREE forms: reads IREE's `flow` phase.

Ops keep the name and the user's line that our lowering gave them, so a dispatch is described in
the user's terms; why IREE fused or did not is not recorded there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from jaxc_compiler import cost, iree
from jaxc_compiler.report.data import (
    Edge,
    Line,
    Loop,
    Node,
    OpUse,
    Report,
    byte_size,
    frames_of,
    line_of,
    type_name,
)
from jaxc_compiler.report.updates import WantedUpdate, decided
from jaxc_compiler.targets import Target

_LOOPS = {"scf.for": "scan", "scf.while": "while", "scf.if": "cond"}
_BY_IREE = "no kernel of a whole loop is made for this target: each step is dispatched"
# Ops that only pass an array on.
_TRANSPARENT = frozenset({
    "util.optimization_barrier", "flow.tensor.reshape", "flow.tensor.bitcast", "flow.tensor.slice",
    "flow.tensor.transfer", "flow.tensor.clone", "flow.tensor.update", "tensor.cast",
})  # fmt: skip


def report_of_flow(code: bytes, target: Target, updates: Sequence[WantedUpdate] = ()) -> Report:
    """The report of a `linalg` module's bytecode, and of the updates that it came from."""
    report = Report("main", str(target))
    with iree.phase(code, target.flags, "flow") as module:
        symbol = module.operation.attributes
        if "sym_name" in symbol:
            report.function = symbol["sym_name"].value
        bodies = {
            op.operation.attributes["sym_name"].value: op.operation
            for op in module.body.operations
            if op.operation.name in ("flow.executable", "hal.executable.source", "hal.executable")
        }
        for op in module.body.operations:
            attributes = op.operation.attributes
            public = "sym_visibility" not in attributes
            if op.operation.name == "util.func" and public and len(op.operation.regions[0].blocks):
                reader = _Reader(report, bodies)
                reader.block(op.operation.regions[0].blocks[0], "")
                report.updates += [decided(wanted, reader.written) for wanted in updates]
    return report


class _Reader:
    """Follows the arrays of one function from dispatch to dispatch."""

    def __init__(self, report: Report, bodies: dict[str, Any]):
        self.report, self.bodies = report, bodies
        self.sources: dict[Any, str] = {}
        self.counts: dict[str, int] = {}
        self.written: list[tuple[Node, int]] = []

    def block(self, block: Any, inside: str) -> None:
        for op in block.operations:
            op = op.operation
            if op.name == "flow.dispatch":
                self.dispatch(op, inside)
            elif op.name == "hal.tensor.import":
                self.boundary("arg", "argument", op.results[0])
            elif op.name == "hal.tensor.export":
                self.boundary("out", "result", op.operands[0])
            elif op.name in _LOOPS:
                self.loop(op, inside)
            elif op.name in _TRANSPARENT and len(op.operands):
                source = self.sources.get(op.operands[0])
                if source is not None:
                    self.sources |= dict.fromkeys(op.results, source)

    def number(self, kind: str) -> int:
        self.counts[kind] = self.counts.get(kind, -1) + 1
        return self.counts[kind]

    def boundary(self, prefix: str, kind: str, value: Any) -> None:
        number = self.number(prefix)
        label = f"{kind} {number}: {type_name(value.type)}"
        node = Node(f"{prefix}{number}", kind, label)
        self.report.nodes.append(node)
        if kind == "argument":
            self.sources[value] = node.id
        else:
            self.connect(node, [value], ())

    def loop(self, op: Any, inside: str) -> None:
        name = _LOOPS[op.name]
        node = Node(f"loop{self.number('loop')}", "loop", name, reason=_BY_IREE, inside=inside)
        trips = 1 if name == "cond" else _trips(op)
        node.trips = 1 / len(op.regions) if name == "cond" else trips
        self.report.nodes.append(node)
        self.report.loops.append(Loop(name, line_of(op.location), trips, "", _BY_IREE))
        self.connect(node, [v for v in op.operands if _is_tensor(v)], ())
        self.sources |= dict.fromkeys(op.results, node.id)
        for region in op.regions:
            for block in region.blocks:
                self.sources |= dict.fromkeys(block.arguments, node.id)
                self.block(block, node.id)

    def dispatch(self, op: Any, inside: str) -> None:
        symbol = str(op.attributes["entry_points"])
        executable, _, name = symbol.strip("[]").replace("@", "").partition("::")
        body = self.bodies.get(executable)
        ops = list(_ops_of(body)) if body is not None else []
        node = Node(f"d{self.number('d')}", "dispatch", name, ops, name, inside=inside)
        arrays = [v for v in op.operands if _is_tensor(v)]
        node.bytes_read = sum(byte_size(v.type) for v in arrays)
        node.bytes_written = sum(byte_size(r.type) for r in op.results if _is_tensor(r))
        tied = _tied(op, len(op.operands) - len(arrays))
        self.written.append((node, _largest_new(op)))
        self.report.nodes.append(node)
        self.connect(node, arrays, tied)
        self.sources |= dict.fromkeys(op.results, node.id)

    def connect(self, node: Node, values: list[Any], tied: Any) -> None:
        for number, value in enumerate(values):
            source = self.sources.get(value)
            if source is not None:
                size = byte_size(value.type)
                edge = Edge(source, node.id, type_name(value.type), size, number in tied)
                self.report.edges.append(edge)


def _tied(op: Any, scalars: int) -> set[int]:
    """Which array operands a result is written over; scalar operands come first."""
    if "tied_operands" not in op.attributes:
        return set()
    return {attr.value - scalars for attr in op.attributes["tied_operands"] if attr.value >= 0}


def _largest_new(op: Any) -> int:
    """The bytes of the largest result that is written over no operand."""
    tied = [-1] * len(op.results)
    if "tied_operands" in op.attributes:
        tied = [attr.value for attr in op.attributes["tied_operands"]]
    new = [result for result, operand in zip(op.results, tied) if operand < 0]
    return max((byte_size(result.type) for result in new if _is_tensor(result)), default=0)


def _trips(op: Any) -> int | None:
    """The steps of a counted loop whose bounds are constants."""
    if op.name != "scf.for":
        return None
    owners = [value.owner for value in list(op.operands)[:3]]
    if any(getattr(owner, "name", "") != "arith.constant" for owner in owners):
        return None
    start, end, step = (owner.attributes["value"].value for owner in owners)
    return -(-(end - start) // step)


def _is_tensor(value: Any) -> bool:
    return hasattr(value.type, "element_type") and hasattr(value.type, "shape")


def _ops_of(executable: Any) -> Iterator[OpUse]:
    """The ops of a dispatch by the names and lines their locations keep, each pair once."""
    found: dict[tuple[str, Line], list[Any]] = {}
    for op in _walk(executable):
        if op.name == "linalg.generic" or op.name.startswith("iree_linalg_ext."):
            _add_structured(op, found)
    for op in _walk(executable):
        if not op.name.startswith(("flow.", "hal.", "builtin.", "func.")):
            for frame in frames_of(op.location):
                if frame[0]:
                    found.setdefault(frame, ["", 0.0])
    for (name, line), (type_, flops) in found.items():
        yield OpUse(name, line, type_, flops, max(flops, 1.0) * cost.of_element(name))


def _add_structured(op: Any, found: dict[tuple[str, Line], list[Any]]) -> None:
    points = float(_iterations(op))
    type_ = type_name(op.results[0].type) if len(op.results) else ""
    for inner in op.regions[0].blocks[0].operations if len(op.regions) else ():
        counted = inner.operation.name.startswith(("arith.", "math."))
        if not counted or inner.operation.name == "arith.constant":
            continue
        for frame in list(frames_of(inner.operation.location))[:1]:
            entry = found.setdefault(frame, [type_, 0.0])
            entry[0], entry[1] = entry[0] or type_, entry[1] + points


def _iterations(op: Any) -> int:
    """The points of an op's iteration space; that of its largest operand if it has no maps."""
    shapes = [list(v.type.shape) if _is_tensor(v) else [] for v in op.operands]
    sizes: dict[str, int] = {}
    if "indexing_maps" in op.attributes:
        for attr, shape in zip(op.attributes["indexing_maps"], shapes):
            results = str(attr).partition("-> (")[2].rstrip(")>").split(", ")
            sizes |= {name: n for name, n in zip(results, shape) if name.startswith("d")}
        return math.prod(n for name, n in sizes.items() if name[1:].isdigit())
    return max((math.prod(shape) for shape in shapes), default=0)


def _walk(op: Any) -> Iterator[Any]:
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield inner.operation
                yield from _walk(inner.operation)
