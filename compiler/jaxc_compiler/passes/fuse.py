"""Puts as many ops as sensible into as few dispatches as possible.

    %0 = "lax.exp"(%x)                      %1 = "kernel.fused_1to1"(%x) ({
    %1 = "lax.reduce_sum"(%0) {...}   ->    ^bb0(%a): %2 = "lax.exp"(%a) ...
    return %1                                 "lax.yield_1"(%3) }) ; return %1

What belongs into a kernel is `cost.why_not_in_kernel`'s decision. Ops are staged: a kernel holds
everything that can be computed before the host ops of its stage. Loops and branches go in as a
whole if all of their bodies do; otherwise they stay and their bodies are fused.

What stays outside carries `jaxc.why_not`, and a kernel after another one `jaxc.apart`: reasons.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from jaxc_compiler import cost, mlir
from jaxc_compiler.diagnostics import parse_diagnostic
from jaxc_compiler.dialects import definition, kernel, lax
from jaxc_compiler.mlir import ir


def fuse(module: ir.Module, target: Any = None) -> None:
    """Group the ops of every function into `kernel.fused` regions, for a CPU target."""
    del target
    kernel.load()
    with mlir.LOCK, module.context, ir.Location.unknown():
        for op in module.body.operations:
            if op.operation.name == "func.func":
                _fuse_block(op.operation.regions[0].blocks[0])


def blocks_of(op: ir.Operation) -> list[ir.Block]:
    """The bodies of a loop or a branch."""
    if lax.name_of(op) == "cond":
        return lax.branches_of(op)
    return [block for region in op.regions for block in region.blocks]


def why_not_in_kernel(op: ir.Operation) -> str:
    """Why the op, with all of its bodies, is not computed inside a kernel; empty if it is."""
    name = lax.name_of(op)
    if not name:
        return f"{op.name} is no op of the lax dialect"
    if blocks := blocks_of(op):
        return _why_not_bodies(blocks)
    if name != "dot_general":
        return cost.why_not_in_kernel(name, {}, ())
    in_avals = [mlir.aval_of(v.type) for v in op.operands]
    return cost.why_not_in_kernel(name, lax.params_of(op), in_avals)


def _why_not_bodies(blocks: list[ir.Block]) -> str:
    for block in blocks:
        for inner in block:
            if reason := why_not_in_kernel(inner.operation):
                nested = blocks_of(inner.operation)
                return reason if nested else f"of {_described(inner.operation)}: {reason}"
    return ""


def _described(op: ir.Operation) -> str:
    """An op's name and the user's line, for a reason."""
    where = parse_diagnostic(str(op.location))
    line = f" at {PurePath(where.file).name}:{where.line}" if where.file else ""
    return f"{lax.name_of(op) or op.name}{line}"


class _Node:
    """One op of a block while its block is divided. (An `ir.Operation`'s hash is structural.)"""

    def __init__(self, op: ir.Operation):
        self.op = op
        self.constant = _is_constant(op)
        self.why_not = why_not_in_kernel(op)
        self.inside = not self.why_not and not self.constant
        self.stage = 0
        self.awaits: _Node | None = None  # the op outside of kernels that puts it into its stage


def _fuse_block(block: ir.Block) -> None:
    ops = [op.operation for op in block.operations]
    nodes = [_Node(op) for op in ops[:-1]]
    producers = {result: node for node in nodes for result in node.op.results}
    for node in nodes:
        for value in node.op.operands:
            producer = producers.get(value)
            if producer is not None and not producer.constant:
                later = node.inside and not producer.inside
                if producer.stage + later > node.stage:
                    node.stage = producer.stage + later
                    node.awaits = producer if later else producer.awaits
    _keep_effects_in_order(nodes)
    anchor = ir.InsertionPoint(ops[-1])
    moving = [node for node in nodes if not node.constant]
    for stage in range(max((node.stage for node in moving), default=-1) + 1):
        group = [node for node in moving if node.stage == stage and node.inside]
        for number, part in enumerate(_parts(group, producers)):
            fused = _make_fused(part, producers, anchor)
            if reason := _why_apart(part, number):
                _mark(fused, kernel.APART, reason)
        for node in moving:
            if node.stage == stage and not node.inside:
                node.op.move_before(ops[-1])
                _mark(node.op, kernel.WHY_NOT, node.why_not)
                for inner in blocks_of(node.op):
                    _fuse_block(inner)
    for node in nodes:
        if node.constant and not _is_used(node.op.results[0]):
            node.op.erase()


def _why_apart(part: list[_Node], number: int) -> str:
    """Why a kernel is not one with the kernel before it; empty for a block's first."""
    if number:
        return f"one kernel would bind more than {cost.LARGEST_BINDINGS} arrays"
    for node in part:
        if node.awaits is not None:
            return f"it needs the result of {_described(node.awaits.op)}, which is in no kernel"
    return ""


def _mark(op: ir.Operation | None, name: str, reason: str) -> None:
    if op is not None:
        op.attributes[name] = mlir.to_attr(reason)


def _keep_effects_in_order(nodes: list[_Node]) -> None:
    """Host calls run in the order of the program."""
    latest = 0
    for node in nodes:
        if lax.name_of(node.op) in lax.EFFECTFUL:
            node.stage = latest = max(latest, node.stage)


def _is_used(value: ir.Value) -> bool:
    return any(True for _ in value.uses)


def _parts(group: list[_Node], producers: dict[ir.Value, _Node]) -> list[list[_Node]]:
    """The group cut, in program order, so that no kernel binds more arrays than it may."""
    parts: list[list[_Node]] = []
    inputs: set[ir.Value] = set()
    pending: dict[ir.Value, int] = {}  # results of this part: uses that are not in it yet
    for node in group:
        new = {v for v in node.op.operands if not _is_constant_value(v, producers)}
        uses = {r: sum(1 for _ in r.uses) for r in node.op.results}
        read = [v for v in node.op.operands if v in pending]
        done = sum(pending[v] == read.count(v) for v in set(read))
        outputs = sum(n > 0 for n in pending.values()) - done + sum(n > 0 for n in uses.values())
        bound = len(inputs | (new - pending.keys())) + outputs
        if parts and bound <= cost.LARGEST_BINDINGS:
            parts[-1].append(node)
        else:
            parts.append([node])
            inputs, pending, read = set(), {}, []
        inputs |= new - pending.keys()
        for value in read:
            pending[value] -= 1
        pending |= uses
    return parts


def _is_constant_value(value: ir.Value, producers: dict[ir.Value, _Node]) -> bool:
    producer = producers.get(value)
    return producer is not None and producer.constant


def _make_fused(
    group: list[_Node], producers: dict[ir.Value, _Node], where: ir.InsertionPoint
) -> ir.Operation | None:
    """The kernel of a group, which is moved into it; none if nobody reads its results."""
    members = {result for node in group for result in node.op.results}

    def outside(use: ir.OpOperand) -> bool:
        results = use.owner.operation.results
        return not len(results) or results[0] not in members

    uses = {
        result: [(u.owner.operation, u.operand_number) for u in result.uses if outside(u)]
        for node in group
        for result in node.op.results
    }
    results = [result for result, outer in uses.items() if outer]
    if not results:
        for node in reversed(group):
            node.op.erase()
        return None
    operands: dict[ir.Value, int] = {}
    for node in group:
        for value in node.op.operands:
            producer = producers.get(value)
            if value not in members and not (producer and producer.constant):
                operands.setdefault(value, len(operands))
    types = [r.type for r in results]
    fused = kernel.fused(types, list(operands), ip=where, loc=group[-1].op.location)
    for number, result in enumerate(results):
        for owner, position in uses[result]:
            owner.operands[position] = fused.results[number]
    block = fused.regions[0].blocks.append(*[v.type for v in operands])
    constants: dict[ir.Value, ir.Value] = {}
    for node in group:
        for position, value in enumerate(node.op.operands):
            if value in members:
                continue
            if value in operands:
                node.op.operands[position] = block.arguments[operands[value]]
                continue
            if value not in constants:
                clone = producers[value].op.clone(ip=ir.InsertionPoint(block))
                constants[value] = clone.operation.results[0]
            node.op.operands[position] = constants[value]
        block.append(node.op)
    definition.build("lax.yield", [], results, ip=ir.InsertionPoint(block))
    return fused


def _is_constant(op: ir.Operation | None) -> bool:
    return op is not None and lax.name_of(op) == "constant"
