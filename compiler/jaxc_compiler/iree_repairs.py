"""What is wrong in IREE's output between its phases, put right: each trap of IREE 3.13 once.

Works on IREE's own modules; imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

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


def _order_loops_as_reductions(module: ir.Module) -> None:
    """Let elementwise ops that share a dispatch with a reduction begin with the kept loops.

    IREE's SPIR-V gives them the reduction's tile sizes loop by loop: where the reduction's loops
    are (kept, reduced) and theirs (reduced, kept), as around `x.sum(0)`, values are silently wrong.
    """
    reduced: set[ir.Value] = set()

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name != "linalg.generic":
            return ir.WalkResult.ADVANCE
        if _reduces(op):
            reduced.update(op.results)
            return ir.WalkResult.ADVANCE
        kept, rank = _kept_loops(op, reduced), len(op.attributes["iterator_types"])
        if kept is not None and len(kept) == rank:
            reduced.update(op.results)
        elif kept is not None:
            _reorder_loops(op, [*kept, *(d for d in range(rank) if d not in kept)])
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)


_FUSED = frozenset({"linalg.generic", "tensor.expand_shape", "tensor.collapse_shape"})


def _part_from_reductions(module: ir.Module) -> None:
    """Keep some elementwise ops out of a dispatch with what they read or is read of a reduction.

    IREE's SPIR-V shares between threads, in memory of type index (none exists), the loops' numbers,
    of which arrays of places are computed; it cannot shape what complex numbers and loops read.
    """
    apart: set[ir.Value] = set()
    placed: set[ir.Value] = set()  # computed from places, by loops, or of complex numbers
    after: set[ir.Value] = set()  # computed from a reduction

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name not in _FUSED:
            return ir.WalkResult.ADVANCE
        is_generic = op.name == "linalg.generic"
        if is_generic and _stands_alone(op):
            apart.update(after.intersection(op.operands))
            placed.update(op.results)
            return ir.WalkResult.ADVANCE
        places = placed.intersection(op.operands)
        if (is_generic and _reduces(op)) or after.intersection(op.operands):
            apart.update(places)
            after.update(op.results)
        elif places or (is_generic and _has_places(op)):
            placed.update(op.results)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    for value in apart:
        _set_apart(value)


def _stands_alone(op: ir.Operation) -> bool:
    """Whether an elementwise op makes complex numbers or loops for each element."""
    if _reduces(op):
        return False
    is_complex = any("complex" in str(result.type) for result in op.results)
    return is_complex or any(one.operation.regions for one in op.regions[0].blocks[0].operations)


def _has_places(op: ir.Operation) -> bool:
    return bool(_operations(op.regions[0].blocks[0], "linalg.index"))


def _set_apart(value: ir.Value) -> None:
    uses = list(value.uses)
    with ir.InsertionPoint.after(value.owner), value.owner.location:
        kept = ir.Operation.create("util.optimization_barrier", [value.type], [value]).results[0]
    for use in uses:
        use.owner.operands[use.operand_number] = kept


def _reduces(op: ir.Operation) -> bool:
    return "reduction" in str(op.attributes["iterator_types"])


def _maps(op: ir.Operation) -> list[ir.AffineMap]:
    return [ir.AffineMapAttr(a).value for a in op.attributes["indexing_maps"]]


def _loops(exprs: Iterable[ir.AffineExpr]) -> list[int] | None:
    """The loops that places of an array are; None if one is computed."""
    found = list(exprs)
    if not all(isinstance(expr, ir.AffineDimExpr) for expr in found):
        return None
    return [expr.position for expr in found]


def _kept_loops(op: ir.Operation, reduced: set[ir.Value]) -> list[int] | None:
    """The loops of an elementwise op that a reduction it reads, or is read by, keeps."""
    maps = _maps(op)
    for operand, places in zip(op.operands, maps):
        if operand in reduced:
            return _loops(places.results)
    for use in op.results[0].uses:
        reader = use.owner.operation
        if reader.name != "linalg.generic" or not _reduces(reader):
            continue
        loops = _loops(_maps(reader)[use.operand_number].results)
        if loops is None:
            return None
        kinds = [str(kind) for kind in reader.attributes["iterator_types"]]
        kept = sorted((d, at) for at, d in enumerate(loops) if "parallel" in kinds[d])
        return _loops(maps[-1].results[at] for _, at in kept)
    return None


def _reorder_loops(op: ir.Operation, order: list[int]) -> None:
    """Make the loop `order[i]` of an elementwise op its loop i."""
    now = [order.index(loop) for loop in range(len(order))]
    renamed = ir.AffineMap.get(len(now), 0, [ir.AffineDimExpr.get(d) for d in now])
    maps = [
        ir.AffineMap.get(len(now), 0, [expr.compose(renamed) for expr in places.results])
        for places in _maps(op)
    ]
    op.attributes["indexing_maps"] = ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps])
    for index in _operations(op.regions[0].blocks[0], "linalg.index"):
        dim = ir.IntegerAttr(index.attributes["dim"])
        index.attributes["dim"] = ir.IntegerAttr.get(dim.type, now[dim.value])


_TRANSFERS = frozenset(f"hal.command_buffer.{n}_buffer" for n in ("copy", "fill", "update"))


def _record_copies_anew(module: ir.Module) -> None:
    """Record Vulkan's command buffers that hold copies each time they run, not once.

    When one runs again, it copies from and to the arrays of its first run (IREE 3.13).
    """
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


# What the host's code calls: functions that IREE must not look into.
_HELPERS = """
util.func private @__wait(%fence: !hal.fence) attributes {inlining_policy = #util.inline.never} {
  %no_limit = arith.constant -1 : i32
  %status = hal.fence.await until([%fence]) timeout_millis(%no_limit) flags("None") : i32
  util.status.check_ok %status, "failed to wait for the device"
  util.return
}
util.func private @__buffer(%same: !hal.buffer) -> !hal.buffer
    attributes {inlining_policy = #util.inline.never} {
  util.return %same : !hal.buffer
}
util.func private @__fence(%same: !hal.fence) -> !hal.fence
    attributes {inlining_policy = #util.inline.never} {
  util.return %same : !hal.fence
}
"""


def _run_one_by_one(block: ir.Block) -> None:
    """Allocate memory at once, not by way of the queue, and wait for what is queued.

    What waits for other work is kept by IREE's Vulkan queue and resumed by two threads, the
    caller's and its own. Both signal one timeline semaphore, by chance with decreasing values, and
    Vulkan says that the device is lost. Buffers live as long as the work that uses them.
    """
    for op in [one.operation for one in block.operations]:
        if op.name == "hal.device.queue.alloca":
            op.results[0].replace_all_uses_with(_allocated(op))
            _erase_queued(op)
        elif op.name == "hal.device.queue.dealloca":
            _erase_queued(op)
        elif op.name.startswith("hal.device.queue."):
            with ir.InsertionPoint.after(op), op.location:
                _call("__wait", [], _signalled(op))


def _call(name: str, results: list[ir.Type], argument: ir.Value) -> ir.Operation:
    callee = {"callee": ir.FlatSymbolRefAttr.get(name)}
    return ir.Operation.create("util.call", results, [argument], callee)


def _pass_once(block: ir.Block) -> None:
    """Pass on each reference once: of one that a branch passes on twice, IREE moves the first.

    The second is then null, if the reference is from before a place where the host waits.
    """
    branch = block.operations[len(block.operations) - 1].operation
    passed: set[ir.Value] = set()
    for number, value in enumerate(branch.operands):
        same = {"!hal.buffer": "__buffer", "!hal.fence": "__fence"}.get(str(value.type))
        if value in passed and same is not None:
            with ir.InsertionPoint(branch), branch.location:
                branch.operands[number] = _call(same, [value.type], value).result
        passed.add(value)


def _allocated(op: ir.Operation) -> ir.Value:
    device, affinity, _, _, _, memory_type, usage, size = op.operands
    allocator_type = ir.Type.parse("!hal.allocator")
    with ir.InsertionPoint(op), op.location:
        allocator = ir.Operation.create("hal.device.allocator", [allocator_type], [device]).result
        operands = [allocator, affinity, memory_type, usage, size]
        types = [op.results[0].type]
        return ir.Operation.create("hal.allocator.allocate", types, operands).result


def _erase_queued(op: ir.Operation) -> None:
    """Erase an operation of the queue: what waited for it waits for what it waited for."""
    waited, signalled = op.operands[2:4]
    op.erase()
    if not _is_null(signalled):
        signalled.replace_all_uses_with(waited)


def _signalled(op: ir.Operation) -> ir.Value:
    """The fence that an operation of the queue signals; a new one if there is none."""
    if _is_null(op.operands[3]):
        types, flags = [op.operands[3].type], {"flags": ir.Attribute.parse("0 : i64")}
        with ir.InsertionPoint(op):
            made = ir.Operation.create("hal.fence.create", types, [op.operands[0]], flags)
        op.operands[3] = made.result
    return op.operands[3]


def _is_null(value: ir.Value) -> bool:
    return not isinstance(value.owner, ir.Block) and value.owner.operation.name == "util.null"


def _operations(block: ir.Block, name: str) -> list[ir.Operation]:
    return [op.operation for op in block.operations if op.operation.name == name]


def _symbol(op: ir.Operation, attribute: str) -> str:
    return ir.FlatSymbolRefAttr(op.attributes[attribute]).value


_SPIRV = frozenset(f"--iree-hal-target-device={name}" for name in ("vulkan", "metal"))


def _after_flow(module: ir.Module, flags: tuple[str, ...]) -> None:
    """Dispatches are formed, the rest is the host's."""
    _flatten_control_flow(module)
    if "--iree-hal-target-device=local" not in flags:
        _add_what_is_subtracted(module)
    if _SPIRV.intersection(flags):
        with module.context:
            _order_loops_as_reductions(module)


def _before_dispatches(module: ir.Module, flags: tuple[str, ...]) -> None:
    """Arrays are ops of linalg, one for each of ours."""
    if _SPIRV.intersection(flags):
        with module.context:
            _part_from_reductions(module)


def _after_hal(module: ir.Module, flags: tuple[str, ...]) -> None:
    """The host's code is calls of the device."""
    if "--iree-hal-target-device=local" in flags:
        return
    is_vulkan = "--iree-hal-target-device=vulkan" in flags
    if is_vulkan:
        _record_copies_anew(module)
    with module.context:
        for function in _operations(module.body, "util.func"):
            for block in function.regions[0].blocks:
                if is_vulkan:
                    _run_one_by_one(block)
                _pass_once(block)
        helpers = ir.Module.parse(_HELPERS)
        for function in list(helpers.body.operations):
            module.body.append(function.detach_from_parent())


# What is done after a phase, with the flags of the session.
REPAIRS: dict[str, Callable[[ir.Module, tuple[str, ...]], None]] = {
    "preprocessing": _before_dispatches,
    "flow": _after_flow,
    "hal": _after_hal,
}
