"""Programs for the tests of kernels: built as `lax` modules, compiled for the CPU, and run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import jaxc
from jaxc.core.jaxpr import ClosedJaxpr
from jaxc.lowering import lower_jaxpr
from jaxc_compiler import driver, mlir
from jaxc_compiler.dialects import kernel, lax
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray
from jaxc_compiler.passes.fuse import fuse
from jaxc_compiler.passes.mark_in_place import mark_in_place
from jaxc_runtime import buffer, executable


def module_of(
    avals: Sequence[ShapedArray], body: Callable[[list[ir.Value]], Sequence[ir.Value]]
) -> ir.Module:
    """A module whose `main` takes arrays of `avals` and returns what `body` makes of them."""
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        kernel.load()
        module = ir.Module.create()
        types = [mlir.tensor_type(a) for a in avals]
        with ir.InsertionPoint(module.body):
            function = mlir.create("func.func", [], [], {"sym_name": ir.StringAttr.get("main")}, 1)
        block = function.regions[0].blocks.append(*types)
        with ir.InsertionPoint(block):
            results = list(body(list(block.arguments)))
            mlir.create("func.return", [], results)
        type_ = ir.FunctionType.get(types, [r.type for r in results])
        function.attributes["function_type"] = ir.TypeAttr.get(type_)
        function.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get({}) for _ in avals])
        return module


def result_avals(module: ir.Module) -> list[ShapedArray]:
    """The avals of a module's results."""
    with mlir.LOCK, mlir.CONTEXT:
        block = module.body.operations[0].operation.regions[0].blocks[0]
        last = block.operations[len(block.operations) - 1]
        return [mlir.aval_of(v.type) for v in last.operands]


def run(module: ir.Module, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Compile a module for this machine and call it."""
    outs = result_avals(module)
    call = executable.load(driver.compile(module).vmfb)
    results = call([buffer.to_device(np.asarray(a)) for a in arrays])
    return [
        np.array(buffer.to_numpy(r, *physical(aval)), copy=True) for r, aval in zip(results, outs)
    ]


def physical(aval: ShapedArray) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and dtype of an array outside of a program."""
    if isinstance(aval.dtype, KeyDtype):
        return aval.shape + aval.dtype.key_shape, np.dtype(np.uint32)
    return aval.shape, aval.dtype


def traced(function: Callable[..., Any], *args: Any, donate: Sequence[int] = ()) -> ir.Module:
    """The `lax` module of a function of arrays."""
    closed = jaxc.make_jaxpr(function)(*args)
    assert isinstance(closed, ClosedJaxpr)
    return lower_jaxpr(closed, donated=[n in donate for n in range(len(closed.in_avals))])


def fused(module: ir.Module) -> ir.Module:
    """The module after fusion and the decisions on memory."""
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        fuse(module)
        mark_in_place(module)
        module.operation.verify()
    return module


def kernels(module: ir.Module) -> list[ir.Operation]:
    """The `kernel.fused` ops of `main`."""
    with mlir.LOCK, mlir.CONTEXT:
        block = module.body.operations[0].operation.regions[0].blocks[0]
        return [op.operation for op in block.operations if kernel.is_fused(op.operation)]


__all__ = ["fused", "kernels", "lax", "module_of", "physical", "result_avals", "run", "traced"]
