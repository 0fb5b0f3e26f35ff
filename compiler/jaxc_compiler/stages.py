"""The named stages of a compilation, and what is legal after each.

A stage's check runs between the passes that make it and the next ones, so that a pass which leaves
something behind is named, not the one that trips over it later. Imports `mlir` and the
diagnostics.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxc_compiler.diagnostics import error_at
from jaxc_compiler.mlir import ir


@dataclass(frozen=True)
class Stage:
    """What the functions of a module may hold at a stage.

    Attributes:
      name: as `jaxc dump --stage` takes it.
      dialects: whose ops are legal, None for all. An op of another dialect is an error.
    """

    name: str
    dialects: frozenset[str] | None


_STRUCTURE = frozenset({"builtin", "func"})
LAX = Stage("lax", _STRUCTURE | {"lax"})
KERNEL = Stage("kernel", _STRUCTURE | {"lax", "kernel"})
LINALG = Stage(
    "linalg",
    _STRUCTURE
    | {"affine", "arith", "bufferization", "cf", "complex", "flow", "hal", "linalg", "math"}
    | {"memref", "scf", "tensor", "util", "vector"}
    | {"iree_linalg_ext", "iree_tensor_ext", "iree_codegen"},
)

ANY = Stage("opt", None)  # a pass run by itself
STABLEHLO = Stage("stablehlo", _STRUCTURE | {"stablehlo"})  # beside the others, made from lax


def check(module: ir.Module, stage: Stage) -> None:
    """Raise for the first op that is not legal at a stage.

    Raises:
      CompileError: naming the op and the user's line.
    """
    for op in module.body.operations:
        illegal = _first_illegal(op.operation, stage.dialects)
        if illegal is not None:
            message = f"{illegal.name} is not legal at this stage: no pass lowered it"
            raise error_at(stage.name, illegal.location, message)


def is_legal(module: ir.Module, stage: Stage) -> bool:
    """Whether every op of the module may be there at a stage."""
    return all(_first_illegal(op.operation, stage.dialects) is None for op in module.body)


def _first_illegal(op: ir.Operation, dialects: frozenset[str] | None) -> ir.Operation | None:
    if dialects is None:
        return None
    if op.name.partition(".")[0] not in dialects:
        return op
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                illegal = _first_illegal(inner.operation, dialects)
                if illegal is not None:
                    return illegal
    return None
