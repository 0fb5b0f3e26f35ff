"""What the compiler decided about a program, as data: dispatches, loops, updates, estimated costs.

`report_of` is the entry point; `jaxc why`, `jaxc explore` and `jaxc profile` show what it gives.
For a CPU it reads the `kernel` stage, where the decisions of our passes are marked; for a GPU IREE
forms the dispatches, and its `flow` phase is read. Knows no frontend.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler import dump, pipelines, stages
from jaxc_compiler.diagnostics import CompileError, Diagnostic
from jaxc_compiler.mlir import ir
from jaxc_compiler.pipelines import Pipeline
from jaxc_compiler.report.data import Edge, Line, Loop, Node, OpUse, Report, Update
from jaxc_compiler.report.flow import report_of_flow
from jaxc_compiler.report.kernels import report_of_kernels
from jaxc_compiler.report.updates import updates_of
from jaxc_compiler.stages import Stage
from jaxc_compiler.targets import Target

__all__ = [
    "AtKernelStage",
    "Edge",
    "Line",
    "Loop",
    "Node",
    "OpUse",
    "Report",
    "Update",
    "dispatches_of",
    "report_of",
]


class AtKernelStage(pipelines.Instrument):
    """Makes the report of a CPU's module when its kernels are decided."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.report: Report | None = None

    def after_stage(self, stage: Stage, module: ir.Module) -> None:
        if stage is stages.KERNEL:
            self.report = report_of_kernels(module, str(self.target))


def report_of(module: Any, target: Target, pipeline: Pipeline | None = None) -> Report:
    """The report of a `lax` module, which is lowered in place.

    Args:
      module: its function is `main`.
      target: decides whose dispatches are reported.
      pipeline: what lowers it; default is the target's own.

    Raises:
      CompileError: if the module does not compile, or XLA compiles for the target.

    Example:
      >>> [d.label for d in report_of(module, target).dispatches]  # doctest: +SKIP
      ['kernel_0']
    """
    if not dump.is_irees(target):
        message = f"XLA decides what becomes of a program for {target}: nothing is known of it here"
        raise CompileError("report", [Diagnostic("error", message)])
    seen = AtKernelStage(target)
    updates = updates_of(module)
    code = pipelines.lower(module, target, [seen], pipeline)
    return seen.report or report_of_flow(code, target, updates)


def dispatches_of(module: Any, target: Target, pipeline: Pipeline | None = None) -> dict[str, Node]:
    """The dispatches of a `lax` module by the name of their function in the executable.

    Besides kernels, these are the dispatches IREE forms of what is in no kernel.
    """
    seen = AtKernelStage(target)
    code = pipelines.lower(module, target, [seen], pipeline)
    kernels = seen.report.nodes if seen.report else []
    found = {node.code: node for node in kernels if node.kind == "dispatch"}
    if not kernels or any(node.kind == "host" for node in kernels):
        formed = {node.code: node for node in report_of_flow(code, target).dispatches}
        found = formed | found
    return found
