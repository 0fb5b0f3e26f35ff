"""The `lax` dialect: one op for each entry of the op book, generated from it.

`lax.<name>` takes the primitive's operands, has its static parameters as attributes, and one region
for each parameter that is a jaxpr. Ops are Pure unless they have effects, so MLIR's own CSE and
dead code elimination act on them; the verifier is the op's `infer` run on its operand types.
Regions are isolated: a body sees its block arguments and nothing around it, as a jaxpr does.

Three ops have no primitive: `lax.constant` (a literal), `lax.yield` (ends a region) and
`lax.branch` (one alternative of a `lax.cond`, whose only region holds nothing but branches).

    %1:2 = "lax.scan_2to2"(%init, %xs) ({
    ^bb0(%carry: tensor<f32>, %x: tensor<f32>):
      %2 = "lax.add"(%carry, %x) : (tensor<f32>, tensor<f32>) -> tensor<f32>
      "lax.yield_2to0"(%2, %2) : (tensor<f32>, tensor<f32>) -> ()
    }) {length = 9 : i64, ...} : (tensor<f32>, tensor<9xf32>) -> (tensor<f32>, tensor<9xf32>)

Imports the op book and `mlir`; knows no pass and no lowering.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.dialects import definition
from jaxc_compiler.dialects.definition import OpDef
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset import book, user  # noqa: F401  importing the book fills OPS
from jaxc_compiler.opset.op import IMPLIED_PARAMS, OPS, OPTIONAL, REGION_PARAMS, Op
from jaxc_compiler.opset.user import USER_OPS

EFFECTFUL = frozenset({"debug_callback", "debug_print", "io_callback"})
# Operands that differ in number and type; or single ones followed by any number of one type.
HETEROGENEOUS = frozenset({"concatenate", "optimization_barrier", "sort", "reduce_window"})
ONE_TYPE_REST = {"select_n": 1, "dynamic_slice": 1, "dynamic_update_slice": 2, "stack": 0}


def region_params(name: str) -> tuple[str, ...]:
    """The parameters of an op that are regions of it, in the order of the regions."""
    return tuple(param for param in OPS[name].params if param in REGION_PARAMS)


def name_of(op: ir.Operation) -> str:
    """The op book's name: `scan` for a `lax.scan_3to2`; "" for an op of another dialect."""
    name = op.name
    return book_name(definition.base_name(name)) if name.startswith("lax.") else ""


def book_name(mlir_name: str) -> str:
    """The op book's spelling of a dialect op's name: `scatter-add` for `lax.scatter_add`."""
    name = mlir_name.removeprefix("lax.")
    return name.replace("_", "-") if name.startswith("scatter_") else name


def mlir_name(name: str) -> str:
    """The dialect's spelling of a primitive's name: `lax.scatter_add` for `scatter-add`."""
    return "lax." + name.replace("-", "_")


def load() -> None:
    """Define the dialect; a second call does nothing."""
    if not _loaded:
        _loaded.append(True)
        defs = {name.replace("-", "_"): _op_def(name) for name in OPS if name not in USER_OPS}
        defs["constant"] = OpDef(operands=0)
        defs["yield"] = OpDef(results=0, traits=frozenset({"terminator"}))
        defs["branch"] = OpDef(0, 0, regions=1, traits=frozenset({"isolated"}))
        definition.define_dialect("lax", defs, types=("key",))
        user.on_change(_add_user_op)


_loaded: list[bool] = []


def _add_user_op(name: str) -> None:
    """Its arity is part of its name, so that it may be defined anew with another one."""
    definition.add_ops("lax", {name: OpDef(None, None, verify=_problem)})


def operand_count(name: str) -> int | None:
    """How many operands an op of the book takes; None if that varies."""
    if name in USER_OPS:
        return None
    op_def = _op_def(name)
    return None if op_def.rest else op_def.operands


@cache
def _op_def(name: str) -> OpDef:
    op, regions = OPS[name], len(region_params(name))
    traits = set() if name in EFFECTFUL else {"pure"}
    if regions:
        traits.add("no_terminator" if name == "cond" else "isolated")
    results = None if op.multiple_results else 1
    if name in ONE_TYPE_REST:
        operands, rest = ONE_TYPE_REST[name], True
    elif regions or op.multiple_results or name in HETEROGENEOUS:
        operands, rest = None, False
    else:
        operands, rest = _arity(op), False
    return OpDef(operands, results, rest, regions, frozenset(traits), _problem)


def _arity(op: Op) -> int | None:
    """The number of operands, from `infer`'s signature or else from the samples."""
    named = inspect.signature(op.infer).parameters
    kinds = [p.kind for name, p in named.items() if name not in op.params]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return sum(kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in kinds)
    counts = {len(sample.operands) for sample in op.samples()} if op.samples else set()
    return counts.pop() if len(counts) == 1 else None


# -- building ------------------------------------------------------------------------------------


def constant(value: np.ndarray) -> ir.Value:
    """A `lax.constant` at the current insertion point."""
    value = np.asarray(value)
    attributes = {"value": mlir.array_attr(value)}
    return definition.build("lax.constant", [mlir.tensor_type(value)], [], attributes).results[0]


def build(name: str, operands: list[ir.Value], **params: Any) -> list[ir.Value]:
    """An op without regions at the current insertion point, its result types inferred."""
    avals = OPS[name].infer(*[mlir.aval_of(v.type) for v in operands], **params)
    avals = avals if OPS[name].multiple_results else [avals]
    attributes = attributes_of(params)
    types = [mlir.tensor_type(aval) for aval in avals]
    return list(definition.build(mlir_name(name), types, operands, attributes).results)


def attributes_of(params: dict[str, Any]) -> dict[str, ir.Attribute]:
    """An op's attributes, those of its regions and what its name says left out.

    A parameter of `opset.op.OPTIONAL` that says nothing is no attribute: `params_of` puts it back.
    """
    unstated = REGION_PARAMS | IMPLIED_PARAMS
    return {
        name: mlir.to_attr(value)
        for name, value in params.items()
        if name not in unstated and not (value is None and name in OPTIONAL)
    }


def params_of(op: ir.Operation) -> dict[str, Any]:
    """An op's parameters from its attributes; a name with a dot is a mark that a pass left."""
    attributes = op.attributes
    entry = OPS.get(name_of(op))
    found = {} if entry is None else dict.fromkeys(OPTIONAL & set(entry.params))
    for name in attributes:
        if "." not in name:
            found[name] = mlir.from_attr(attributes[name])
    return found


def is_dead(op: ir.Operation) -> bool:
    """Whether nothing is lost with an op of this dialect: no effects, and nobody reads it."""
    name = name_of(op)
    if not name or name in ("yield", "branch") or has_effects(op):
        return False
    return not any(True for result in op.results for _ in result.uses)


def has_effects(op: ir.Operation) -> bool:
    """Whether the op or one in its regions does something besides computing its results."""
    if name_of(op) in EFFECTFUL:
        return True
    blocks = (block for region in op.regions for block in region.blocks)
    return any(has_effects(inner.operation) for block in blocks for inner in block.operations)


def branches_of(cond: ir.Operation) -> list[ir.Block]:
    """The bodies of a `lax.cond`, in the order of its index operand."""
    return [op.operation.regions[0].blocks[0] for op in cond.regions[0].blocks[0].operations]


# -- verifying -----------------------------------------------------------------------------------


def _problem(op: ir.Operation) -> str:
    """What is wrong with the op, or an empty string."""
    name = name_of(op)
    entry = OPS[name]
    represented = set(entry.params) - REGION_PARAMS - IMPLIED_PARAMS
    if missing := sorted(represented - set(op.attributes) - OPTIONAL):
        return f"parameter {missing[0]!r} is missing"
    if region_params(name):
        return _region_problem(op, name)
    params = {p: v for p, v in params_of(op).items() if p in represented}
    params |= {p: None for p in entry.params if p in IMPLIED_PARAMS}
    try:
        inferred = entry.infer(*[mlir.aval_of(v.type) for v in op.operands], **params)
    except (TypeError, ValueError, IndexError) as error:
        return str(error)
    inferred = inferred if entry.multiple_results else [inferred]
    expected = [mlir.tensor_type(aval) for aval in inferred]
    got = [result.type for result in op.results]
    if expected != got:
        return f"results must be {_names(expected)}, got {_names(got)}"
    return ""


def _region_problem(op: ir.Operation, name: str) -> str:
    """A loop or branch: its bodies must end in `lax.yield` of what the op returns."""
    blocks = branches_of(op) if name == "cond" else [r.blocks[0] for r in op.regions]
    for block in blocks:
        last = block.operations[len(block.operations) - 1].operation
        if name_of(last) != "yield":
            return f"a region must end in lax.yield, not {last.name}"
    if name not in ("cond", "while"):
        return ""
    got = [result.type for result in op.results]
    if name == "while":
        blocks = [blocks[region_params(name).index("body_jaxpr")]]
    for block in blocks:
        yielded = [v.type for v in block.operations[len(block.operations) - 1].operands]
        if yielded != got:
            return f"the region yields {_names(yielded)}, the op returns {_names(got)}"
    return ""


def _names(types: list[ir.Type]) -> str:
    return "(" + ", ".join(map(str, types)) + ")"
