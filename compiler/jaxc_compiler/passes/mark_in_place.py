"""Decides which updates write into their operand's memory, and says why the others copy.

    %0 = "kernel.fused_1to1"(%x) ({ ^bb0(%a): %1 = "lax.scatter"(%a, ...) {...}; yield %1 })
      {in_place = [-1]}
  -> ... "lax.scatter"(%a, ...) {in_place = true, ...} ... {in_place = [0]}
  or ... "lax.scatter"(%a, ...) {copies = "argument 0 is not donated", ...} ... {in_place = [-1]}

A result of a kernel may reuse an operand if a chain of updates and loop carries leads from the one
to the other, or if it is computed from it element by element, and nobody needs the operand any
more. The kernel lowering follows the marks of `kernel.fused`; inside a kernel it reuses whatever is
dead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath

from jaxc_compiler import mlir
from jaxc_compiler.diagnostics import parse_diagnostic
from jaxc_compiler.dialects import kernel, lax
from jaxc_compiler.marks import DONATED, WEIGHT
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.op import OPS

_EAGER = frozenset({"reduction", "contraction", "cumulative", "sorting"})
UPDATES = frozenset({
    "dynamic_update_slice", "scatter", "scatter-add", "scatter-mul", "scatter-min", "scatter-max",
    "scatter-sub", "scatter-apply",
})  # fmt: skip


@dataclass(frozen=True)
class Update:
    """What became of one update.

    Attributes:
      op: its name in the op book.
      location: the user's line.
      reason: why it copies its operand; empty if it works in place.
    """

    op: str
    location: str
    reason: str = ""

    def __str__(self) -> str:
        verdict = f"copies, because {self.reason}" if self.reason else "in place"
        return f"{self.location}: {self.op}: {verdict}"


@dataclass
class _Body:
    """A block under analysis: why each of its arguments must not be overwritten, if it must not."""

    block: ir.Block
    why_not: dict[ir.Value, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ops = [op.operation for op in self.block.operations]
        self.uses: dict[ir.Value, list[int]] = {}
        for number, op in enumerate(self.ops):
            for value in op.operands:
                self.uses.setdefault(value, []).append(number)

    def used_again(self, value: ir.Value, number: int) -> str:
        """Who else uses the value at or after op `number`; empty if nobody does."""
        later = [n for n in self.uses.get(value, []) if n >= number]
        if len(later) <= 1:
            return ""
        user = self.ops[max(later)]
        if max(later) == number:
            return "the same operation reads it twice"
        if not len(user.results):
            return "its operand is also returned"
        where = parse_diagnostic(str(user.location))
        line = f" at {PurePath(where.file).name}:{where.line}" if where.file else ""
        return f"its operand is used again by {lax.name_of(user)}{line}"


def mark_in_place(module: ir.Module, target: object = None) -> None:
    """Set the `in_place` and `copies` attributes of a module's kernels and updates."""
    del target
    with mlir.LOCK, module.context, ir.Location.unknown():
        for op in module.body.operations:
            if op.operation.name == "func.func":
                _mark_function(op.operation)


def updates(module: ir.Module | ir.Operation) -> list[Update]:
    """Every update of a module, or of one function, with the decision that was made on it.

    Example:
      for update in updates(module):
          print(update)          # model.py:12:8: scatter: copies, because argument 0 is not donated
    """
    found: list[Update] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        name = lax.name_of(op.operation)
        if name in UPDATES:
            attributes = op.operation.attributes
            reason = (
                mlir.from_attr(attributes[kernel.COPIES]) if kernel.COPIES in attributes else ""
            )
            found.append(Update(name, str(op.operation.location), reason))
        return ir.WalkResult.ADVANCE

    with mlir.LOCK, module.operation.context:
        module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found


def reused_arguments(function: ir.Operation) -> list[int]:
    """The arguments of a marked function, weights not counted, whose memory a result takes."""
    attributes = function.attributes
    marks = list(attributes["arg_attrs"]) if "arg_attrs" in attributes else []
    weights = sum(WEIGHT in mark for mark in marks)
    found = set()
    for op in function.regions[0].blocks[0].operations:
        if not kernel.is_fused(op.operation):
            continue
        for operand in mlir.from_attr(op.operation.attributes[kernel.IN_PLACE]):
            value = op.operation.operands[operand] if operand >= 0 else None
            if value is not None and isinstance(value.owner, ir.Block):
                found.add(ir.BlockArgument(value).arg_number - weights)
    return sorted(found)


def _mark_function(function: ir.Operation) -> None:
    block = function.regions[0].blocks[0]
    body = _Body(block)
    attributes = function.attributes
    marks = list(attributes["arg_attrs"]) if "arg_attrs" in attributes else []
    weights = sum(WEIGHT in mark for mark in marks)  # the first arguments, which users do not count
    for number, argument in enumerate(block.arguments):
        if number < weights:
            body.why_not[argument] = "its operand is a constant"
        elif not (number < len(marks) and DONATED in marks[number]):
            body.why_not[argument] = f"argument {number - weights} is not donated"
    for number, op in enumerate(body.ops):
        if kernel.is_fused(op):
            _mark_kernel(op, number, body)


def _mark_kernel(op: ir.Operation, number: int, outer: _Body) -> None:
    inner = _Body(op.regions[0].blocks[0])
    for operand, argument in zip(op.operands, inner.block.arguments):
        reason = outer.why_not.get(operand) or outer.used_again(operand, number)
        if not reason and isinstance(operand.owner, ir.Operation | ir.OpView):
            owner = operand.owner.operation
            reason = "its operand is a constant" if lax.name_of(owner) == "constant" else ""
        if reason:
            inner.why_not[argument] = reason
    in_place = [-1] * len(op.results)
    for result, value in enumerate(inner.ops[-1].operands):
        root = _root(inner, value, len(inner.ops) - 1)
        if root is None or root in inner.why_not or root.arg_number in in_place:
            continue
        if root.type == value.type:
            in_place[result] = root.arg_number
    for result, value in enumerate(inner.ops[-1].operands):
        if in_place[result] < 0:
            in_place[result] = _overwritten(inner, value, in_place)
    for argument in inner.block.arguments:
        if argument.arg_number not in in_place:
            reason = "its operand's memory is not that of a result of the kernel"
            inner.why_not.setdefault(argument, reason)
    op.attributes[kernel.IN_PLACE] = mlir.to_attr(tuple(in_place))
    _mark_updates(inner)


def _overwritten(body: _Body, value: ir.Value, taken: list[int]) -> int:
    """A free operand that the result is computed from element by element, or -1."""
    seen: set[ir.Value] = set()
    pending = [value]
    while pending:
        current = pending.pop()
        if current in seen or current.type != value.type:
            continue
        seen.add(current)
        if not isinstance(current.owner, ir.Block):
            if _is_elementwise(current.owner.operation):
                pending += current.owner.operation.operands
        elif (
            current not in body.why_not
            and current.arg_number not in taken
            and current.type.rank
            and current is not value
            and _is_read_in_step(body, current)
        ):
            return current.arg_number
    return -1


def _is_elementwise(op: ir.Operation) -> bool:
    name = lax.name_of(op)
    return name in OPS and OPS[name].kind == "elementwise"


def _is_read_in_step(body: _Body, value: ir.Value) -> bool:
    """Whether all that is computed from the value later than the last loop reads it in step."""
    for number in body.uses.get(value, []):
        op = body.ops[number]
        if not len(op.results):
            continue
        name = lax.name_of(op)
        if name in OPS and OPS[name].kind in _EAGER:
            continue
        in_step = _is_elementwise(op) and op.results[0].type.shape == value.type.shape
        if not in_step or not _is_read_in_step(body, op.results[0]):
            return False
    return True


def _root(body: _Body, value: ir.Value, number: int) -> ir.Value | None:
    """The block argument whose memory the value can be in, by updates and carries in place."""
    if body.used_again(value, number):
        return None
    if isinstance(value.owner, ir.Block):
        return value
    op = value.owner.operation
    place = next(n for n, other in enumerate(body.ops) if other == op)
    name = lax.name_of(op)
    if name in UPDATES:
        return _root(body, op.operands[0], place)
    if name not in ("while", "scan"):
        return None
    first, carries = _carried(op)
    position = list(op.results).index(value)
    return _root(body, op.operands[first + position], place) if position < carries else None


def _carried(op: ir.Operation) -> tuple[int, int]:
    """The position of a loop's first carried operand, and how many there are."""
    count = lambda name: mlir.from_attr(op.attributes[name])  # noqa: E731
    if lax.name_of(op) == "while":
        return count("cond_nconsts") + count("body_nconsts"), len(op.results)
    return count("num_consts"), count("num_carry")


def _mark_updates(body: _Body) -> None:
    for number, op in enumerate(body.ops):
        name = lax.name_of(op)
        if name in UPDATES:
            operand = op.operands[0]
            reason = body.used_again(operand, number) or body.why_not.get(operand, "")
            if reason:
                op.attributes[kernel.COPIES] = mlir.to_attr(reason)
            else:
                op.attributes[kernel.IN_PLACE] = mlir.to_attr(True)
        elif name in ("while", "scan"):
            for inner in _loop_bodies(op):
                _mark_updates(inner)
        elif name == "cond":
            for block in lax.branches_of(op):
                inner = _Body(block)
                for operand, argument in zip(list(op.operands)[1:], block.arguments):
                    reason = body.used_again(operand, number) or body.why_not.get(operand, "")
                    if reason:
                        inner.why_not[argument] = reason
                _mark_updates(inner)


def _loop_bodies(op: ir.Operation) -> list[_Body]:
    first, carries = _carried(op)
    reason = "every step of the loop reads its operand"
    bodies = []
    names = lax.region_params(lax.name_of(op))
    for name, region in zip(names, op.regions):
        body = _Body(region.blocks[0])
        start = first
        if name == "body_jaxpr":
            start = mlir.from_attr(op.attributes["body_nconsts"])
        elif name == "cond_jaxpr":
            start = mlir.from_attr(op.attributes["cond_nconsts"])
            carries = 0
        for number, argument in enumerate(body.block.arguments):
            if not start <= number < start + carries:
                body.why_not[argument] = reason
        bodies.append(body)
        carries = _carried(op)[1]
    return bodies
