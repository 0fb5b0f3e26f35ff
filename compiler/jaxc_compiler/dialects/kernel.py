"""The `kernel` dialect: what becomes one dispatch, decided before it is lowered.

`kernel.fused` holds the ops that one dispatch computes, its operands as block arguments; its region
ends in `lax.yield`. Its attribute `in_place` says for each result the operand whose memory it
reuses, or -1: a decision that can be read and tested.

An op inside that may update an operand in place carries `in_place = true`, or `copies` with the
reason why not:

    %0 = "kernel.fused_2to1"(%x, %v) ({
    ^bb0(%a: tensor<9xf32>, %b: tensor<f32>):
      %1 = "lax.scatter"(%a, ..., %b) {copies = "argument 0 is not donated", ...}
      "lax.yield_1"(%1)
    }) {in_place = [-1]}

Imports `mlir` and the dialects' definitions; knows no pass and no lowering.
"""

from __future__ import annotations

from jaxc_compiler import mlir
from jaxc_compiler.diagnostics import from_mlir_error
from jaxc_compiler.dialects import definition, lax
from jaxc_compiler.dialects.definition import OpDef
from jaxc_compiler.marks import COPIES, IN_PLACE  # noqa: F401  both are set on ops of this dialect
from jaxc_compiler.mlir import ir

# Reasons for a reader: why an op is in no kernel, why a kernel is not one with the one before.
WHY_NOT = "jaxc.why_not"
APART = "jaxc.apart"


def load() -> None:
    """Define the dialect; a second call does nothing."""
    lax.load()
    if _loaded:
        return
    _loaded.append(True)
    definition.define_dialect("kernel", {
        "fused": OpDef(
            operands=None, results=None, regions=1, traits=frozenset({"isolated"}), verify=_problem
        ),
    })  # fmt: skip


_loaded: list[bool] = []


def parse(text: str, path: str | None = None) -> ir.Module:
    """Read a module of any of our stages.

    Args:
      text: the module.
      path: the file that the text is from: ops are located there, without one at `-`.

    Raises:
      CompileError: if it does not parse or verify.
    """
    with mlir.LOCK, mlir.CONTEXT:
        load()
        try:
            return definition.parse(text, path)
        except ir.MLIRError as error:
            raise from_mlir_error("parse", error) from None


def is_fused(op: ir.Operation) -> bool:
    """Whether an op is a `kernel.fused`."""
    return definition.base_name(op.name) == "kernel.fused"


def fused(results: list[ir.Type], operands: list[ir.Value], **where) -> ir.Operation:
    """Make a `kernel.fused` with an empty region."""
    attributes = {IN_PLACE: mlir.to_attr((-1,) * len(results))}
    return definition.build("kernel.fused", results, operands, attributes, **where)


def _problem(op: ir.Operation) -> str:
    block = op.regions[0].blocks[0]
    if [v.type for v in op.operands] != [a.type for a in block.arguments]:
        return "the block arguments must have the operands' types"
    last = block.operations[len(block.operations) - 1].operation
    if lax.name_of(last) != "yield":
        return f"the region must end in lax.yield, not {last.name}"
    if [v.type for v in last.operands] != [r.type for r in op.results]:
        return "the yielded values must have the results' types"
    in_place = mlir.from_attr(op.attributes[IN_PLACE])
    if len(in_place) != len(op.results):
        return "in_place must have one entry for each result"
    for number, operand in enumerate(in_place):
        if operand >= 0 and op.operands[operand].type != op.results[number].type:
            return f"result {number} cannot reuse operand {operand}: their types differ"
    return ""
