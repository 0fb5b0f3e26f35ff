"""Computes ops whose operands are constants, by the op book's NumPy kernels.

    %0 = "lax.constant"() {value = dense<2.0>}
    %1 = "lax.neg"(%0)                          ->    %1 = "lax.constant"() {value = dense<-2.0>}

Results of more than SIZE_LIMIT bytes are left to run time: a constant takes room in the artifact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.dialects import lax
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.op import OPS

SIZE_LIMIT = 64
# Shape ops on constants stay: a kernel reads a broadcast scalar for free.
KEEP = frozenset({"broadcast_in_dim", "iota", "optimization_barrier"})


def fold_constants(module: ir.Module, target: Any = None) -> None:
    """Replace ops on small constants by their results."""
    del target
    for op in module.body.operations:
        for region in op.operation.regions:
            for block in region.blocks:
                _fold_block(block)


def _fold_block(block: ir.Block) -> None:
    known: dict[ir.Value, np.ndarray] = {}
    for op in [op.operation for op in block.operations]:
        if lax.name_of(op) == "constant":
            if mlir.aval_of(op.results[0].type).size * 8 <= SIZE_LIMIT:
                known[op.results[0]] = mlir.constant_array(op.attributes["value"])
        elif op.regions:
            for region in op.regions:
                for inner in region.blocks:
                    _fold_block(inner)
        else:
            _fold_op(op, known)


def _fold_op(op: ir.Operation, known: dict[ir.Value, np.ndarray]) -> None:
    if not _can_fold(op) or not all(operand in known for operand in op.operands):
        return
    name = lax.name_of(op)
    params = lax.params_of(op) | dict.fromkeys(lax.IMPLIED_PARAMS & set(OPS[name].params))
    kernel = OPS[name].numpy
    assert kernel is not None, "_can_fold looks for it"
    with np.errstate(all="ignore"):
        values = kernel(*[known[operand] for operand in op.operands], **params)
    values = values if OPS[name].multiple_results else [values]
    with ir.InsertionPoint(op), op.location:
        for result, value in zip(op.results, values):
            constant = lax.constant(value)
            known[constant] = np.asarray(value)
            result.replace_all_uses_with(constant)
    op.erase()


def _can_fold(op: ir.Operation) -> bool:
    name = lax.name_of(op)
    if name in ("", "yield", "branch") or name in KEEP | lax.EFFECTFUL or not len(op.operands):
        return False
    avals = [mlir.aval_of(result.type) for result in op.results]
    keys = any(aval.dtype == mlir.KEY for aval in avals)
    size = sum(aval.size for aval in avals) * 8
    return OPS[name].numpy is not None and not keys and size <= SIZE_LIMIT
