"""The kernel lowering: `kernel.fused` regions to scalar loops over memrefs, one dispatch each.

    %1 = "kernel.fused_1to1"(%x) ({...})   ->   hal.executable.source { func.func {...} }
                                                %1 = flow.dispatch @kernel_0(%x)

`lower_kernels` is the entry point. The op families register themselves in `region.LOWERINGS`.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler import mlir
from jaxc_compiler.dialects import kernel as kernel_dialect
from jaxc_compiler.lowering import element
from jaxc_compiler.lowering.kernel import (
    arg_reduction,
    contraction,
    control_flow,
    convolution,
    cumulative,
    indexing,
    reduction,
    shape,
    sorting,
    windows,
)
from jaxc_compiler.lowering.kernel.executable import lower_fused
from jaxc_compiler.lowering.kernel.vectors import vectors_of
from jaxc_compiler.mlir import ir


def _fused_in(op: ir.Operation) -> list[ir.Operation]:
    """The kernels in an op, those in the bodies of host loops included."""
    if kernel_dialect.is_fused(op):
        return [op]
    inner = [o.operation for region in op.regions for block in region for o in block]
    return [kernel for o in inner for kernel in _fused_in(o)]


def lower_kernels(module: ir.Module, target: Any = None) -> None:
    """Replace every `kernel.fused` of a module by an executable and its dispatch.

    Args:
      module: in it the fused ops' operands keep their `lax` types; where these differ from the
        storage types, `builtin.unrealized_conversion_cast` ops stand between.
      target: the target the module is compiled for.
    """
    vectors = vectors_of(target.flags if target is not None else ())
    with mlir.LOCK, module.context, ir.Location.unknown():
        fused = [o for op in module.body.operations for o in _fused_in(op.operation)]
        known: dict[str, str] | None = {} if len(fused) > 1 else None
        for number, op in enumerate(fused):
            lower_fused(module, op, f"kernel_{number}", vectors, known)
