"""The op book's samples as calls: operands, expected results, and one `lax` module of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from opset import fill

from jaxc_compiler import mlir
from jaxc_compiler.dialects import kernel, lax
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset import book
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray

# The frontend writes these as simpler ops before there is a `lax` module, or they have no kernel.
EXPANDED = frozenset({
    "cholesky", "eigh", "householder_product", "lu", "lu_pivots_to_permutation", "qr",
    "stop_gradient", "svd", "triangular_solve",
})  # fmt: skip


@dataclass
class Call:
    """One sample of an op: its avals, concrete operands, and what the NumPy kernel makes of them.

    Arrays of keys are arrays of pairs of words.
    """

    op: Any
    params: dict
    avals: list[ShapedArray]
    arrays: list[np.ndarray]

    @property
    def label(self) -> str:
        return f"{self.op.name}({', '.join(aval.str_short() for aval in self.avals)})"

    @property
    def out_avals(self) -> list[ShapedArray]:
        outs = self.op.infer(*self.avals, **self.params)
        return list(outs) if self.op.multiple_results else [outs]

    @property
    def dtypes(self) -> set[str]:
        """The names of the dtypes of operands and results."""
        return {aval.dtype.name for aval in [*self.avals, *self.out_avals]}

    def expected(self) -> list[np.ndarray]:
        with np.errstate(all="ignore"):
            results = self.op.numpy(*self.arrays, **self.params)
        return list(results) if self.op.multiple_results else [results]


def calls(name: str) -> list[Call]:
    """The samples of an op, filled from its domain."""
    op = book.OPS[name]
    found = []
    for sample in op.samples() if op.samples and op.numpy else ():
        arrays = [np.asarray(x) for x in fill.operands(op, sample)]
        avals = [
            x if isinstance(x, ShapedArray) else ShapedArray(array.shape, array.dtype)
            for x, array in zip(sample.operands, arrays)
        ]
        found.append(Call(op, sample.params, avals, arrays))
    return found


def physical(aval: ShapedArray) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and dtype of an array outside of a program."""
    if isinstance(aval.dtype, KeyDtype):
        return aval.shape + aval.dtype.key_shape, np.dtype(np.uint32)
    return aval.shape, aval.dtype


def names(made: Sequence[Call]) -> list[str]:
    """What the functions of `module_of_calls` are called."""
    return [f"f{k}" for k in range(len(made))] if len(made) > 1 else ["main"]


def module_of_calls(made: Sequence[Call]) -> ir.Module:
    """A `lax` module with one function `f0`, `f1`, ... for each call (`main` if there is one)."""
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        kernel.load()
        module = ir.Module.create()
        for name, call in zip(names(made), made):
            _add_function(module, name, call)
    return module


def _add_function(module: ir.Module, name: str, call: Call) -> None:
    types = [mlir.tensor_type(aval) for aval in call.avals]
    attributes = {"sym_name": ir.StringAttr.get(name)}
    ip = ir.InsertionPoint(module.body)
    where = mlir.location(call.label, 1, 1, name=name)
    function = mlir.create("func.func", [], [], attributes, regions=1, ip=ip, loc=where)
    block = function.regions[0].blocks.append(*types)
    with ir.InsertionPoint(block), where:
        results = lax.build(call.op.name, list(block.arguments), **call.params)
        mlir.create("func.return", [], results)
    kind = ir.FunctionType.get(types, [r.type for r in results])
    function.attributes["function_type"] = ir.TypeAttr.get(kind)


# Relative to 1 and to the value.
TOLERANCE = {
    "float8_e5m2": 0.25, "float8_e4m3fn": 0.25, "bfloat16": 2.0**-7, "float16": 2.0**-10,
    "float32": 1e-6, "complex64": 1e-6, "float64": 1e-14, "complex128": 1e-13,
}  # fmt: skip
BY_DIFFERENCES = ("igamma_grad_a", "random_gamma_grad")  # their NumPy kernels


def assert_close(
    call: Call,
    got: Sequence[np.ndarray],
    tolerances: Mapping[str, float] = TOLERANCE,
    up_to_sign: bool = False,
) -> None:
    """Equal shapes, dtypes and integers; floats within the op's tolerance.

    Args:
      tolerances: by dtype, for an op whose tolerance in the op book is at most 4 ulps.
      up_to_sign: compare absolute values.
    """
    for value, wanted in zip(got, call.expected(), strict=True):
        wanted = np.asarray(wanted)
        assert (value.shape, value.dtype) == (wanted.shape, wanted.dtype), call.label
        if wanted.dtype.name not in tolerances or not call.op.tolerance:
            np.testing.assert_array_equal(value, wanted, err_msg=call.label)
            continue
        tolerance = tolerances[wanted.dtype.name] * max(1.0, call.op.tolerance / 4)
        if call.op.name in BY_DIFFERENCES:
            tolerance = max(tolerance, 1e-10)
        wide = np.complex128 if wanted.dtype.kind == "c" else np.float64
        value, wanted = value.astype(wide), wanted.astype(wide)
        if up_to_sign:
            value, wanted = np.abs(value), np.abs(wanted)
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(value, wanted, tolerance, tolerance, err_msg=call.label)


def joined(modules: Sequence[ir.Module]) -> ir.Module:
    """One module whose functions `f0`, `f1`, ... are the `main` of others, which become empty."""
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        whole = ir.Module.create()
        for number, module in enumerate(modules):
            function = module.body.operations[0].operation
            function.attributes["sym_name"] = ir.StringAttr.get(f"f{number}")
            whole.body.append(function)
    return whole
