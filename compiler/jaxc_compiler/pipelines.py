"""What runs, in order, for each kind of target: flat lists of passes, a check after each stage.

A pass is a function `(module, target) -> None` that changes the module in place; its name is the
function's. Whoever wants to watch (dumps, timing, checks of a pass under test) is an `Instrument`.
Imports passes and lowerings; only the driver and the tools import it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jaxc_compiler import iree, iree_quick, mlir, stages
from jaxc_compiler.diagnostics import CompileError, Diagnostic, from_mlir_error
from jaxc_compiler.dialects import kernel
from jaxc_compiler.guard import run_guarded
from jaxc_compiler.lowering.boundary import DONATED, lower_boundary
from jaxc_compiler.lowering.half import lower_half
from jaxc_compiler.lowering.kernel import lower_kernels
from jaxc_compiler.lowering.linalg import lower_linalg
from jaxc_compiler.mlir import ir
from jaxc_compiler.passes.check_target import check_target
from jaxc_compiler.passes.eliminate_dead_ops import eliminate_dead_ops
from jaxc_compiler.passes.fold_constants import fold_constants
from jaxc_compiler.passes.fold_shape_ops import fold_shape_ops
from jaxc_compiler.passes.fuse import fuse
from jaxc_compiler.passes.mark_in_place import mark_in_place
from jaxc_compiler.plugins import is_ours, name_of
from jaxc_compiler.stages import Stage
from jaxc_compiler.targets import Target

Pass = Callable[[ir.Module, Target], None]
# Each stage: the passes that lead to it, and what is legal when they are done.
Pipeline = tuple[tuple[Stage, tuple[Pass, ...]], ...]


class Instrument:
    """Watches a pipeline; all its methods may be overridden and do nothing here."""

    def before_pass(self, name: str, stage: Stage, module: ir.Module) -> None:
        """Called before each pass; `stage` is the one it leads to."""

    def after_pass(self, name: str, stage: Stage, module: ir.Module) -> None:
        """Called after each pass that did not raise."""

    def after_stage(self, stage: Stage, module: ir.Module) -> None:
        """Called when a stage's passes ran and what they left is legal there."""

    def dispatches_formed(self, module: Any) -> None:
        """Called when all work is in `flow.dispatch` ops: the module is IREE's, or still ours."""


def merge_equal_ops(module: ir.Module, target: Target) -> None:
    """Computes equal ops once, by MLIR's own CSE: ours are Pure.

    %0 = "lax.sin"(%x)
    %1 = "lax.sin"(%x)
    %2 = "lax.add"(%0, %1)    ->    %2 = "lax.add"(%0, %0)
    """
    del target
    _cse().run(module.operation)


_managers: list[mlir.PassManager] = []


def _cse() -> mlir.PassManager:
    if not _managers:
        manager = mlir.PassManager.parse("builtin.module(cse)", context=mlir.CONTEXT)
        manager.enable_verifier(False)
        _managers.append(manager)
    return _managers[0]


SIMPLIFY: tuple[Pass, ...] = (
    eliminate_dead_ops,  # first: what nobody reads need not be folded
    fold_constants,
    fold_shape_ops,
    merge_equal_ops,  # after folding: folding makes equal constants
    eliminate_dead_ops,
)

CPU: Pipeline = (
    (stages.LAX, SIMPLIFY),
    (stages.KERNEL, (
        fuse,
        mark_in_place,  # reuse of memory is decided between kernels: they must exist
    )),
    (stages.LINALG, (
        lower_kernels,
        lower_linalg,  # what was left to IREE as whole arrays
        lower_half,  # both lowerings round to float16
        lower_boundary,  # last: it resolves the casts that the lowerings left
    )),
)  # fmt: skip

# A GPU gets no kernels of scalar loops: IREE distributes linalg ops over its threads.
GPU: Pipeline = (
    (stages.LAX, (*SIMPLIFY, check_target)),  # what nobody reads may be anything
    (stages.LINALG, (lower_linalg, lower_boundary)),
)


def lower_stablehlo(module: ir.Module, target: Target) -> None:
    """Lowers `lax` ops to StableHLO, for PJRT plugins and other tools.

    %0 = "lax.sin"(%x)    ->    %0 = "stablehlo.sine"(%x)

    Optional: loaded when it is asked for.
    """
    try:
        lowering = importlib.import_module("jaxc_compiler.lowering.stablehlo")
    except ModuleNotFoundError as error:
        message = f"the StableHLO lowering is not installed ({error})"
        raise CompileError("stablehlo", [Diagnostic("error", message)]) from None
    lowering.lower_stablehlo(module, target)


# Not on the way to IREE: a branch from `lax` for PJRT plugins and other tools.
STABLEHLO: Pipeline = (
    (stages.LAX, SIMPLIFY),
    (stages.STABLEHLO, (lower_stablehlo, merge_equal_ops)),
)

PIPELINES = {"cpu": CPU, "gpu": GPU, "pjrt": STABLEHLO}


def all_pipelines() -> dict[str, Pipeline]:
    """Every pipeline by the name users write."""
    return {"cpu": CPU, "gpu": GPU, "stablehlo": STABLEHLO}


def mark_donated(module: ir.Module, donated: Sequence[bool]) -> None:
    """Say for each argument of `main` whether its buffer may be overwritten."""
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        marks = [ir.DictAttr.get({DONATED: ir.UnitAttr.get()} if d else {}) for d in donated]
        for op in module.body.operations:
            if op.operation.name == "func.func":
                op.operation.attributes["arg_attrs"] = ir.ArrayAttr.get(marks)


def run(
    module: ir.Module,
    target: Target,
    instruments: Iterable[Instrument] = (),
    pipeline: Pipeline | None = None,
) -> bytes:
    """Lower a `lax` module and let IREE compile it; returns the `.vmfb`.

    For XLA's plugins it is StableHLO in the portable encoding, which they compile.
    """
    watching = tuple(instruments)
    code = lower(module, target, watching, pipeline)

    def on_flow(formed: Any) -> None:
        for instrument in watching:
            instrument.dispatches_formed(formed)

    with mlir.LOCK:
        stages.check(module, PIPELINES[target.backend][-1][0])  # a user's pipeline may end earlier
        if target.backend == "pjrt":
            return mlir.to_portable_stablehlo(module)
        kernels_only = target.name == "cpu" and _is_kernels_only(module)
        if kernels_only and watching:
            on_flow(module)
    if kernels_only:
        return iree_quick.compiler(target.flags).compile(code)
    return iree.compile_module(code, target.flags, on_flow if watching else None)


def _is_kernels_only(module: ir.Module) -> bool:
    """Whether the host code of a lowered module only dispatches kernels."""
    for op in module.body.operations:
        if op.operation.name == "func.func":
            block = op.operation.regions[0].blocks[0]
            if not all(o.operation.name in iree_quick.HOST_OPS for o in block.operations):
                return False
    return True


def lower(
    module: ir.Module,
    target: Target,
    instruments: Iterable[Instrument] = (),
    pipeline: Pipeline | None = None,
) -> bytes:
    """Run our own passes; returns the bytecode that IREE reads."""
    with mlir.LOCK, mlir.CONTEXT:
        chosen = PIPELINES[target.backend] if pipeline is None else pipeline
        run_passes(module, target, chosen, instruments)
        return mlir.to_bytecode(module)


def run_passes(
    module: ir.Module, target: Target, pipeline: Pipeline, instruments: Iterable[Instrument] = ()
) -> None:
    """Run a pipeline on a module, in place.

    Raises:
      CompileError: of a pass, or if a stage's passes left what is not legal there.
    """
    watching = tuple(instruments)
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        kernel.load()
        for stage, passes in pipeline:
            for run_pass in passes:
                _run_pass(run_pass, module, target, stage, watching)
            stages.check(module, stage)
            for instrument in watching:
                instrument.after_stage(stage, module)


def _run_pass(
    run_pass: Pass,
    module: ir.Module,
    target: Target,
    stage: Stage,
    instruments: tuple[Instrument, ...],
) -> None:
    name = name_of(run_pass)
    for instrument in instruments:
        instrument.before_pass(name, stage, module)
    try:
        if is_ours(run_pass):
            run_pass(module, target)
        else:
            run_guarded(run_pass, module, target, stage.name)
    except ir.MLIRError as error:
        raise from_mlir_error(stage.name, error) from None
    for instrument in instruments:
        instrument.after_pass(name, stage, module)


__all__ = ["CompileError", "lower", "mark_donated", "merge_equal_ops", "run"]
