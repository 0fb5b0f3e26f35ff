"""The StableHLO lowering: a `lax` module as a StableHLO module, for PJRT plugins and other tools.

Optional: `pipelines.py` is the only module that imports it, when the stage is asked for.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler import mlir
from jaxc_compiler.lowering.boundary import DONATED
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

ALIASING = "tf.aliasing_output"  # XLA: the result that takes over this argument's memory


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
    _mark_donated(function, new, types)
    e = Emitter(ir.InsertionPoint(block))
    try:
        results = lower_block(e, old, list(block.arguments))
        mlir.create("func.return", [], results, ip=ir.InsertionPoint(block))
        new.verify()
    except BaseException:
        new.erase()
        raise
    function.erase()


def _mark_donated(old: ir.Operation, new: ir.Operation, types: list[ir.Type]) -> None:
    """Give each donated argument's memory to the first result of its type that has none yet."""
    if "arg_attrs" not in old.attributes:
        return
    marks = [ir.DictAttr(mark) for mark in ir.ArrayAttr(old.attributes["arg_attrs"])]
    free = list(
        enumerate(ir.FunctionType(ir.TypeAttr(old.attributes["function_type"]).value).results)
    )
    attributes = []
    for mark, kind in zip(marks, types):
        taken = next((pair for pair in free if pair[1] == kind), None) if DONATED in mark else None
        alias = {}
        if taken is not None:
            free.remove(taken)
            index = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), taken[0])
            alias = {ALIASING: index}
        attributes.append(ir.DictAttr.get(alias))
    new.attributes["arg_attrs"] = ir.ArrayAttr.get(attributes)
