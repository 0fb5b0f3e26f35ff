"""What runs, in order, for each kind of target: flat lists of passes, a check after each stage.

A pass is a function `(module, target) -> None` that changes the module in place. Imports passes and
lowerings; only the driver imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxc_compiler import iree, mlir, stages
from jaxc_compiler.diagnostics import CompileError, from_mlir_error
from jaxc_compiler.dialects import kernel
from jaxc_compiler.lowering.boundary import DONATED, lower_boundary
from jaxc_compiler.lowering.kernel import lower_kernels
from jaxc_compiler.lowering.linalg import lower_linalg
from jaxc_compiler.mlir import ir
from jaxc_compiler.passes.eliminate_dead_ops import eliminate_dead_ops
from jaxc_compiler.passes.fold_constants import fold_constants
from jaxc_compiler.passes.fuse import fuse
from jaxc_compiler.stages import Stage
from jaxc_compiler.targets import Target

Pass = Callable[[ir.Module, Target], None]


def merge_equal_ops(module: ir.Module, target: Target) -> None:
    """MLIR's own CSE: ops are Pure, so equal ones are computed once."""
    del target
    _cse().run(module.operation)


_managers: list[mlir.PassManager] = []


def _cse() -> mlir.PassManager:
    if not _managers:
        manager = mlir.PassManager.parse("builtin.module(cse)", context=mlir.CONTEXT)
        manager.enable_verifier(False)
        _managers.append(manager)
    return _managers[0]


# Each stage: the passes that lead to it, and what is legal when they are done.
SIMPLIFY: tuple[Pass, ...] = (
    eliminate_dead_ops,  # first: what nobody reads need not be folded
    fold_constants,
    merge_equal_ops,  # after folding: folding makes equal constants
    eliminate_dead_ops,
)

CPU: tuple[tuple[Stage, tuple[Pass, ...]], ...] = (
    (stages.LAX, SIMPLIFY),
    (stages.KERNEL, (fuse,)),
    (stages.LINALG, (lower_kernels, lower_linalg, lower_boundary)),
)

# A GPU gets no kernels of scalar loops: IREE distributes linalg ops over its threads.
GPU: tuple[tuple[Stage, tuple[Pass, ...]], ...] = (
    (stages.LAX, SIMPLIFY),
    (stages.LINALG, (lower_linalg, lower_boundary)),
)

PIPELINES = {"cpu": CPU, "gpu": GPU}


def mark_donated(module: ir.Module, donated: Sequence[bool]) -> None:
    """Say for each argument of `main` whether its buffer may be overwritten."""
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        marks = [ir.DictAttr.get({DONATED: ir.UnitAttr.get()} if d else {}) for d in donated]
        for op in module.body.operations:
            if op.operation.name == "func.func":
                op.operation.attributes["arg_attrs"] = ir.ArrayAttr.get(marks)


def run(module: ir.Module, target: Target, dump: Any = None) -> bytes:
    """Lower a `lax` module and let IREE compile it; returns the `.vmfb`."""
    code = lower(module, target, dump)
    return iree.compile_module(code, target.flags)


def lower(module: ir.Module, target: Target, dump: Any = None) -> bytes:
    """Run our own passes; returns the bytecode that IREE reads."""
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        kernel.load()
        for stage, passes in PIPELINES[target.backend]:
            for run_pass in passes:
                _run_pass(run_pass, module, target, stage)
            stages.check(module, stage)
            if dump is not None:
                dump(stage.name, module.operation.get_asm())
        return mlir.to_bytecode(module)


def _run_pass(run_pass: Pass, module: ir.Module, target: Target, stage: Stage) -> None:
    try:
        run_pass(module, target)
    except ir.MLIRError as error:
        raise from_mlir_error(stage.name, error) from None


def dump(module: ir.Module, target: Target) -> dict[str, str]:
    """The text of every stage, ours and IREE's."""
    texts: dict[str, str] = {"lax": module.operation.get_asm()}
    code = lower(module, target, lambda stage, text: texts.setdefault(stage, text))
    texts["iree"] = iree.dump_phases(code, target.flags, ("executable-targets",)).popitem()[1]
    texts["asm"] = iree.dump_assembly(code, target.flags)
    return texts


__all__ = ["CompileError", "dump", "lower", "mark_donated", "merge_equal_ops", "run"]
