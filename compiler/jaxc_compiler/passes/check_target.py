"""Refuse what a target cannot do, before anything is compiled for it.

    %0 = "lax.sin"(%x) : (tensor<3xf64>) -> tensor<3xf64> loc("model.py":12:4)
->  model.py:12:4: error: sin of float64 cannot be compiled for metal:apple: it has no doubles; ...

Changes nothing. The tables are in `targets.py`.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler import mlir, targets
from jaxc_compiler.diagnostics import error_at
from jaxc_compiler.dialects import lax
from jaxc_compiler.mlir import ir
from jaxc_compiler.targets import Target


def check_target(module: ir.Module, target: Target | None) -> None:
    """Raise for the first op that the target cannot do.

    Raises:
      CompileError: naming the target, the op, the dtype and the user's line.
    """
    if target is None or not targets.REFUSALS.get(target.name):
        return
    for op in module.body.operations:
        _check(op.operation, target)


def _check(op: ir.Operation, target: Target) -> None:
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                _check_op(inner.operation, target)


def _check_op(op: ir.Operation, target: Target) -> None:
    name = lax.name_of(op)
    if name and name != "yield":
        found = targets.refusal(target.name, target.chip, name, _dtypes(op))
        if found is not None:
            what = f"{name} of {found[0]} cannot be compiled for {target}: {found[1]}"
            raise error_at("lax", op.location, what)
    _check(op, target)


def _dtypes(op: ir.Operation) -> frozenset[str]:
    values: list[Any] = [*op.operands, *op.results]
    return frozenset(mlir.aval_of(value.type).dtype.name for value in values)
