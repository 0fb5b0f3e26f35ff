"""What a module says of its functions when all their work is in `flow.dispatch` ops.

Reads modules of IREE after its phase `flow`, and of our own whose work is all in kernels: what is
looked at is the same in both. Imports nothing.
"""

from __future__ import annotations

from typing import Any


def count_dispatches(module: Any) -> dict[str, int]:
    """How many dispatches each function of a module holds, wherever in it, by its symbol."""
    return {symbol: _count_dispatches(op) for symbol, op in _functions(module)}


def _functions(module: Any) -> list[tuple[str, Any]]:
    return [
        (op.operation.attributes["sym_name"].value, op.operation)
        for op in module.body.operations
        if op.operation.name in ("func.func", "util.func") and len(op.operation.regions[0].blocks)
    ]


def _count_dispatches(op: Any) -> int:
    here = op.name == "flow.dispatch"
    blocks = [block for region in op.regions for block in region.blocks]
    return here + sum(_count_dispatches(o.operation) for block in blocks for o in block.operations)


# What writes its result to memory of its own, or to that of a donated argument.
_MAKERS = frozenset({"flow.dispatch", "flow.tensor.update", "flow.tensor.splat"})
# What gives its operands another type, name or extent, but no other memory.
_VIEWS = frozenset({
    "hal.tensor.export", "hal.tensor.alias", "hal.tensor.barrier", "flow.tensor.reshape",
    "flow.tensor.bitcast", "flow.tensor.slice", "util.optimization_barrier", "tensor.cast",
})  # fmt: skip


def borrowed_results(module: Any) -> dict[str, tuple[int, ...]]:
    """For each function the results that may share memory with something else.

    These are all but what is made here and returned once: arguments and constants returned as they
    are, and results that are returned twice.
    """
    return {symbol: _borrowed_results(op) for symbol, op in _functions(module)}


def _borrowed_results(function: Any) -> tuple[int, ...]:
    blocks = list(function.regions[0].blocks)
    last = list(blocks[-1].operations)[-1].operation
    roots = [_root(value) if len(blocks) == 1 else None for value in last.operands]
    made = [root for root in roots if root is not None]
    return tuple(n for n, root in enumerate(roots) if root is None or made.count(root) > 1)


def _root(value: Any) -> Any | None:
    """The value made in this function in whose memory a value is, or None."""
    op = getattr(value.owner, "operation", None)
    if op is None:  # an argument: its owner is a block
        return None
    if op.name in _MAKERS:
        return value
    if op.name not in _VIEWS:
        return None
    position = list(op.results).index(value)
    return _root(op.operands[position if position < len(op.operands) else 0])
