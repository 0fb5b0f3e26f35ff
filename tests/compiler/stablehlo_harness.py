"""The op book's samples as StableHLO functions, and the two that run them: the reference
interpreter that comes with the bindings, and IREE's own StableHLO input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch_mlir._mlir_libs import _stablehlo

from jaxc_compiler import iree, mlir, targets
from jaxc_compiler.dialects import lax
from jaxc_compiler.lowering.stablehlo import lower_stablehlo
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset import book
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray
from jaxc_runtime import buffer, executable

TOLERANCE = {"bfloat16": 2e-2, "float16": 2e-3, "float32": 5e-6, "float64": 1e-9}
TOLERANCE |= {"complex64": 5e-6, "complex128": 1e-9}
UP_TO_SIGN = frozenset({"eigh", "svd"})  # vectors


@dataclass
class Call:
    """One sample of an op: its concrete operands and what the NumPy kernel makes of them."""

    op: Any
    params: dict
    arrays: list[np.ndarray]
    keys: list[bool]  # which operands are words of typed random keys

    @property
    def label(self) -> str:
        types = [ShapedArray(a.shape, a.dtype).str_short() for a in self.arrays]
        return f"{self.op.name}({', '.join(types)})"

    @property
    def dtypes(self) -> set[str]:
        return {a.dtype.name for a in self.arrays}

    def expected(self) -> list[np.ndarray]:
        with np.errstate(all="ignore"):
            results = self.op.numpy(*self.arrays, **self.params)
        return list(results) if self.op.multiple_results else [results]


def calls(name: str) -> list[Call]:
    """The samples of an op, filled from its domain."""
    op = book.OPS[name]
    random = np.random.default_rng(0)
    found = []
    for sample in op.samples() if op.samples and op.numpy else ():
        keys = [isinstance(getattr(x, "dtype", None), KeyDtype) for x in sample.operands]
        arrays = [_fill(op, x, random) for x in sample.operands]
        found.append(Call(op, sample.params, arrays, keys))
    return found


def _fill(op: Any, x: Any, random: np.random.Generator) -> np.ndarray:
    if not isinstance(x, ShapedArray):
        return np.asarray(x)
    if isinstance(x.dtype, KeyDtype):
        words = random.integers(0, 2**32, (*x.shape, *x.dtype.key_shape))
        return words.astype(np.uint32)
    low, high = max(op.domain[0], -1e3), min(op.domain[1], 1e3)
    kind = x.dtype.kind
    if kind == "b":
        return random.integers(0, 2, x.shape).astype(bool)
    if kind in "iu":
        return random.integers(0 if kind == "u" else -5, 9, x.shape).astype(x.dtype)
    if kind == "c":
        parts = random.uniform(-2, 2, (2, *x.shape))
        return (parts[0] + 1j * parts[1]).astype(x.dtype)
    return np.asarray(random.uniform(low, high, x.shape)).astype(x.dtype)


def module_of_calls(made: Sequence[Call]) -> Any:
    """A StableHLO module with one function `f0`, `f1`, ... for each call; it is verified."""
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        lax.load()
        module = ir.Module.create()
        for number, call in enumerate(made):
            _add_function(module, f"f{number}" if len(made) > 1 else "main", call)
        lower_stablehlo(module)
        assert module.operation.verify()
    return module


def _add_function(module: Any, name: str, call: Call) -> None:
    types = [mlir.tensor_type(ShapedArray(a.shape, a.dtype)) for a in call.arrays]
    where = ir.InsertionPoint(module.body)
    attributes = {
        "sym_name": ir.StringAttr.get(name),
        "function_type": ir.TypeAttr.get(ir.FunctionType.get(types, [])),
    }
    function = mlir.create("func.func", [], [], attributes, regions=1, ip=where)
    block = function.regions[0].blocks.append(*types)
    with ir.InsertionPoint(block):
        results = lax.build(call.op.name, list(block.arguments), **call.params)
        mlir.create("func.return", [], results)
    kind = ir.FunctionType.get(types, [r.type for r in results])
    function.attributes["function_type"] = ir.TypeAttr.get(kind)


def interpret(call: Call) -> list[np.ndarray]:
    """What StableHLO's reference interpreter makes of a call."""
    module = module_of_calls([call])
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        inputs = [mlir.dense(np.asarray(a)) for a in call.arrays]
        return [mlir.constant_array(r) for r in _stablehlo.eval_module(module, inputs)]


def interpret_text(text: str, *arrays: np.ndarray) -> list[np.ndarray]:
    """What the reference interpreter makes of a module's `main`."""
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        mlir.load_stablehlo()
        inputs = [mlir.dense(np.asarray(a)) for a in arrays]
        results = _stablehlo.eval_module(ir.Module.parse(text), inputs)
        return [mlir.constant_array(r) for r in results]


def compile_with_iree(module: Any) -> bytes:
    """The module, compiled by IREE from StableHLO itself."""
    flags = [f for f in targets.get("cpu").flags if "input-type" not in f]
    with mlir.LOCK:
        text = str(module)
    return iree.compile_module(text, (*flags, "--iree-input-type=stablehlo"))


def run_with_iree(made: Sequence[Call]) -> list[list[np.ndarray]]:
    """The results of every call, compiled by IREE in one module."""
    vmfb = compile_with_iree(module_of_calls(made))
    names = [f"f{k}" for k in range(len(made))] if len(made) > 1 else ["main"]
    loaded = executable.load(vmfb, function=names[0])
    results = []
    for name, call in zip(names, made):
        outs = loaded.function(name)([buffer.to_device(a) for a in call.arrays])
        wanted = call.expected()
        results.append([buffer.to_numpy(o, w.shape, w.dtype) for o, w in zip(outs, wanted)])
    return results


def assert_close(call: Call, got: Sequence[np.ndarray]) -> None:
    """Equal for integers; floats within the op's tolerance."""
    for value, wanted in zip(got, call.expected(), strict=True):
        assert value.dtype == wanted.dtype, call.label
        value = value.reshape(wanted.shape)
        if wanted.dtype.name not in TOLERANCE:
            np.testing.assert_array_equal(value, wanted, err_msg=call.label)
            continue
        tolerance = TOLERANCE[wanted.dtype.name] * max(1, call.op.tolerance / 4)
        wide = np.complex128 if wanted.dtype.kind == "c" else np.float64
        value, wanted = value.astype(wide), wanted.astype(wide)
        if call.op.name in UP_TO_SIGN:
            value, wanted = np.abs(value), np.abs(wanted)
        np.testing.assert_allclose(value, wanted, tolerance, tolerance, err_msg=call.label)


def interpretable(call: Call) -> bool:
    """Whether the bindings can read the results: not complex numbers, nor 8-bit floats."""
    names = call.dtypes | {w.dtype.name for w in call.expected()}
    return not any(n.startswith(("complex", "float8")) for n in names)
