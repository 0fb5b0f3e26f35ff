"""The op book's samples as StableHLO functions, and the two that run them: the reference
interpreter that comes with the bindings, and IREE's own StableHLO input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from compiler import calls
from compiler.calls import Call
from torch_mlir._mlir_libs import _stablehlo

from jaxc_compiler import iree, mlir, targets
from jaxc_compiler.lowering.stablehlo import lower_stablehlo
from jaxc_compiler.mlir import ir
from jaxc_runtime import buffer, executable

# Of StableHLO's interpreter, XLA and IREE, which have other approximations than the NumPy kernels.
TOLERANCE = {"bfloat16": 2e-2, "float16": 2e-3, "float32": 5e-6, "float64": 1e-9}
TOLERANCE |= {"complex64": 5e-6, "complex128": 1e-9}
UP_TO_SIGN = frozenset({"eigh", "svd"})  # vectors


def module_of_calls(made: Sequence[Call]) -> Any:
    """A StableHLO module with one function `f0`, `f1`, ... for each call; it is verified."""
    module = calls.module_of_calls(made)
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        lower_stablehlo(module)
        assert module.operation.verify()
    return module


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
    names = calls.names(made)
    loaded = executable.load(vmfb, function=names[0])
    results = []
    for name, call in zip(names, made):
        outs = loaded.function(name)([buffer.to_device(a) for a in call.arrays])
        wanted = call.expected()
        results.append([buffer.to_numpy(o, w.shape, w.dtype) for o, w in zip(outs, wanted)])
    return results


def assert_close(call: Call, got: Sequence[np.ndarray]) -> None:
    """As `calls.assert_close`, with these tolerances."""
    calls.assert_close(call, got, TOLERANCE, up_to_sign=call.op.name in UP_TO_SIGN)


def interpretable(call: Call) -> bool:
    """Whether the bindings can read the results: not complex numbers, nor 8-bit floats."""
    return not any(name.startswith(("complex", "float8")) for name in call.dtypes)
