"""A kernel of the user's: the ops of its text are put in the place of its call.

Loops and vectors written out are one dispatch; what is written with `linalg` alone is left to IREE,
which forms dispatches of it and chooses their tiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxc_compiler import mlir
from jaxc_compiler.diagnostics import CompileError, Diagnostic, from_mlir_error
from jaxc_compiler.lowering.linalg.base import Emitter, lowers
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.mlir_kernel import storage_text

DIALECTS = frozenset({
    "affine", "arith", "complex", "func", "linalg", "math", "scf", "tensor", "vector",
})  # fmt: skip


def check_kernel(kernel: str, text: str) -> None:
    """Read a kernel's text, every name in it replaced.

    Raises:
      CompileError: with line and column of the text.
    """
    with mlir.LOCK, mlir.CONTEXT:
        _parse(kernel, text)


def _parse(kernel: str, text: str) -> ir.Module:
    try:
        module = ir.Module.parse(storage_text(text))
    except ir.MLIRError as error:
        found = from_mlir_error("mlir_kernel", error).diagnostics
        raise CompileError("mlir_kernel", [_in_text(kernel, each) for each in found]) from None
    for op in _walk(module.operation):
        if op.name.partition(".")[0] not in DIALECTS or op.name == "func.call":
            message = f"{op.name} cannot be used in a kernel: its dialects are {_names()}"
            at = op.location
            raise CompileError(
                "mlir_kernel",
                [Diagnostic("error", message, _file(kernel), at.start_line, at.start_col)],
            )
        op.location = ir.Location.file(_file(kernel), op.location.start_line, op.location.start_col)
    return module


def _walk(op: ir.Operation) -> list[ir.Operation]:
    found = []
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                found += [inner.operation, *_walk(inner.operation)]
    return found


def _file(kernel: str) -> str:
    return f"<mlir_kernel {kernel}>"


def _in_text(kernel: str, found: Diagnostic) -> Diagnostic:
    return Diagnostic(found.severity, found.message, _file(kernel), found.line, found.column)


def _names() -> str:
    return ", ".join(sorted(DIALECTS))


@lowers("mlir_kernel")
def lower_mlir_kernel(
    e: Emitter, op: Any, operands: Sequence[ir.Value], avals: Any, out_avals: Any, *,
    kernel: str, text: str,
) -> list[ir.Value]:  # fmt: skip
    """Put the ops of the text before the call."""
    del op, avals, out_avals
    module = _parse(kernel, text)  # what is not moved out of it goes with it
    function = module.body.operations[0].operation
    block = function.regions[0].blocks[0]
    for argument, operand in zip(block.arguments, operands):
        argument.replace_all_uses_with(operand)
    body = [each.operation for each in block.operations]
    results = list(body[-1].operands)
    if not _needs_dispatch(function, on_gpu=e.on_gpu):
        body[-1].erase()
        _move(body[:-1], e.ip)
        return results
    region = e.op("flow.dispatch.region", [value.type for value in results], [], regions=2,
                  operandSegmentSizes=ir.DenseI32ArrayAttr.get([0, 0]))  # fmt: skip
    inside, count = (each.blocks.append() for each in region.regions)
    body[-1].erase()
    for each in body[:-1]:
        inside.append(each)
    with e.at(inside):
        e.op("flow.return", [], results)
    with e.at(count):
        one = e.index(1)
        e.op("flow.return", [], [one, one, one])
    return list(region.results)


def _needs_dispatch(function: ir.Operation, on_gpu: bool) -> bool:
    """Whether IREE would run loops on the host, 3 us an iteration, or not take vectors at all.

    On a GPU loops stay on the host: IREE fails on a dispatch that is one loop over tensors.
    """
    dialects = {op.name.partition(".")[0] for op in _walk(function)}
    loops = bool({"scf", "affine"} & dialects) and "linalg" not in dialects
    return "vector" in dialects or (loops and not on_gpu)


def _move(ops: list[ir.Operation], ip: ir.InsertionPoint) -> None:
    for op in ops:
        op.move_before(ip.ref_operation)
