"""What is wrong in IREE's output between its phases, put right: each trap of IREE 3.13 once.

Works on IREE's own modules; with `iree` the only importer of `iree.compiler`.
"""

from __future__ import annotations

from collections.abc import Callable

from iree.compiler import ir
from iree.compiler.passmanager import PassManager


def _flatten_control_flow(module: ir.Module) -> None:
    """Make branches of the host's loops, between the phases flow and stream.

    IREE orders the dispatches of a block: around a loop it puts an array that the loop begins
    with and that is used after it behind the loop, and says "circular dependency".
    """
    with module.context:
        passes = PassManager.parse("builtin.module(util.func(convert-scf-to-cf))")
        passes.run(module.operation)


def _add_what_is_subtracted(module: ir.Module) -> None:
    """Write the step of a reduction `total - x` as `total + -x`, in a way that stays.

    It is the sum of a negation, folded; of a subtraction IREE's GPUs know no neutral element.
    """

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "linalg.generic" and "reduction" in str(op.attributes["iterator_types"]):
            block = op.regions[0].blocks[0]
            totals = list(block.arguments)[-len(op.results) :]
            for name in _NEGATIONS:
                for step in _operations(block, name):
                    if step.operands[0] in totals:
                        _add_negated(step)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)


# A negation by an op that is not folded into a subtraction, and the constants it takes.
_NEGATIONS = {
    "arith.subf": ("arith.addf", "arith.mulf", -1.0),
    "arith.subi": ("arith.addi", "arith.xori", -1),
}


def _add_negated(step: ir.Operation) -> None:
    add, negate, by = _NEGATIONS[step.name]
    total, value = step.operands
    with ir.InsertionPoint(step), step.location:
        make = lambda name, *operands: ir.Operation.create(name, [total.type], operands).result  # noqa: E731
        negated = make(negate, value, _constant(total.type, by))
        if negate == "arith.xori":  # two's complement
            negated = make("arith.addi", negated, _constant(total.type, 1))
        step.results[0].replace_all_uses_with(make(add, total, negated))
    step.erase()


def _constant(element: ir.Type, number: float) -> ir.Value:
    value = (ir.FloatAttr if isinstance(number, float) else ir.IntegerAttr).get(element, number)
    return ir.Operation.create("arith.constant", [element], attributes={"value": value}).result


_TRANSFERS = frozenset(f"hal.command_buffer.{n}_buffer" for n in ("copy", "fill", "update"))


def _record_copies_anew(module: ir.Module, flags: tuple[str, ...]) -> None:
    """Record Vulkan's command buffers that hold copies each time they run, not once.

    When one runs again, it copies from and to the arrays of its first run (IREE 3.13).
    """
    if "--iree-hal-target-device=vulkan" not in flags:
        return
    functions = _operations(module.body, "util.func")
    recorders = _recorders(module, functions)
    for function in functions:
        for block in function.regions[0].blocks:
            for load in _operations(block, "util.global.load"):
                recorder = recorders.get(_symbol(load, "global"))
                if recorder is not None:
                    _call_at_uses(load.results[0], recorder)


def _recorders(module: ir.Module, functions: list[ir.Operation]) -> dict[str, ir.Operation]:
    """Globals that hold command buffers with copies, and the calls that record them: IREE records
    in a function of its own that an initializer calls."""
    blocks = {f.attributes["sym_name"].value: f.regions[0].blocks[0] for f in functions}
    found = {}
    for initializer in _operations(module.body, "util.initializer"):
        block = initializer.regions[0].blocks[0]
        calls = {call.results[0]: call for call in _operations(block, "util.call")}
        for store in _operations(block, "util.global.store"):
            call = calls.get(store.operands[0])
            if call is None:
                continue
            recorded = {op.operation.name for op in blocks[_symbol(call, "callee")].operations}
            if recorded & _TRANSFERS:
                found[_symbol(store, "global")] = call
    return found


def _call_at_uses(value: ir.Value, call: ir.Operation) -> None:
    for use in list(value.uses):
        user = use.owner.operation
        user.operands[use.operand_number] = call.clone(ip=ir.InsertionPoint(user)).results[0]


def _operations(block: ir.Block, name: str) -> list[ir.Operation]:
    return [op.operation for op in block.operations if op.operation.name == name]


def _symbol(op: ir.Operation, attribute: str) -> str:
    return ir.FlatSymbolRefAttr(op.attributes[attribute]).value


def _after_flow(module: ir.Module, flags: tuple[str, ...]) -> None:
    """Dispatches are formed, the rest is the host's."""
    _flatten_control_flow(module)
    if "--iree-hal-target-device=local" not in flags:
        _add_what_is_subtracted(module)


# What is done after a phase, with the flags of the session.
REPAIRS: dict[str, Callable[[ir.Module, tuple[str, ...]], None]] = {
    "flow": _after_flow,
    "hal": _record_copies_anew,
}
