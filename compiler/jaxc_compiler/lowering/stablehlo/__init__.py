"""The StableHLO lowering: a `lax` module as a StableHLO module, for PJRT plugins and other tools.

Optional: `pipelines.py` is the only module that imports it, when the stage is asked for.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler import mlir
from jaxc_compiler.lowering.stablehlo import (
    contraction,
    control_flow,
    cumulative,
    elementwise,
    indexing,
    random,
    reduction,
    scalar_rules,
    shape,
    sorting,
    windows,
)
from jaxc_compiler.lowering.stablehlo.base import Emitter, lower_block
from jaxc_compiler.mlir import ir


def lower_stablehlo(module: ir.Module, target: Any = None) -> None:
    """Replace the functions of a `lax` module by their StableHLO form.

    Raises:
      CompileError: naming the op that has no lowering, and the user's line.
      MLIRError: for a result that StableHLO's verifier rejects.
    """
    del target
    mlir.load_stablehlo()
    for op in list(module.body.operations):
        if op.operation.name == "func.func":
            _lower_function(op.operation)


def _lower_function(function: ir.Operation) -> None:
    """Emit the new body behind the old one, then drop the old one."""
    region = function.regions[0]
    old = region.blocks[0]
    types = [argument.type for argument in old.arguments]
    where = ir.InsertionPoint.after(function)
    attributes = {name: function.attributes[name] for name in ("sym_name", "function_type")}
    new = mlir.create("func.func", [], [], attributes, 1, ip=where, loc=function.location)
    block = new.regions[0].blocks.append(*types)
    e = Emitter(ir.InsertionPoint(block))
    try:
        results = lower_block(e, old, list(block.arguments))
        mlir.create("func.return", [], results, ip=ir.InsertionPoint(block))
        new.verify()
    except BaseException:
        new.erase()
        raise
    function.erase()
