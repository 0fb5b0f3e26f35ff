"""The linalg lowering: `lax` ops to linalg, tensor and scf on whole arrays.

    %1 = "lax.sin"(%x)   ->   %1 = linalg.generic ins(%x) outs(%0) { ^bb0(%a, %b): math.sin %a }

Every op on a GPU; on a CPU what the cost model leaves to IREE (big contractions, convolutions).
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering import element
from jaxc_compiler.lowering.linalg import (
    contraction,
    control_flow,
    indexing,
    mlir_kernel,
    reduction,
    shape,
    sorting,
    windows,
)
from jaxc_compiler.lowering.linalg.base import lower_block
from jaxc_compiler.mlir import ir


def lower_linalg(module: ir.Module, target: Any = None) -> None:
    """Lower the `lax` ops that are left in the functions of a module."""
    on_gpu = target is not None and target.backend == "gpu"
    for op in module.body.operations:
        if op.operation.name == "func.func":
            lower_block(op.operation.regions[0].blocks[0], on_gpu)
