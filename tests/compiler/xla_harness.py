"""Runs programs on XLA's CPU plugin with the PJRT client: StableHLO text, and ops of the book."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from compiler.calls import Call

from jaxc.core.primitive import primitive
from jaxc.lowering import lower_jaxpr
from jaxc.physical import physicalize
from jaxc.random.primitives import random_unwrap_p, random_wrap_p
from jaxc.transforms.staging import trace_to_jaxpr
from jaxc_compiler import driver, targets
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray
from jaxc_runtime import pjrt


def run_with_xla(program: str | bytes, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The results of a StableHLO module's `main`."""
    device = pjrt.devices("xla_cpu")[0]
    loaded = device.load(program)
    results = loaded([device.to_device(np.asarray(array)) for array in arrays])
    return [device.to_numpy(r, s, d) for r, (s, d) in zip(results, loaded.outputs, strict=True)]


def stablehlo_of(made: Sequence[Call]) -> bytes:
    """A program that makes every call, lowered on the way of `jit`."""

    def program(*operands: Any) -> list[Any]:
        results, rest = [], list(operands)
        for call in made:
            mine, rest = rest[: len(call.arrays)], rest[len(call.arrays) :]
            results += _bind(call, mine)
        return results

    closed = trace_to_jaxpr(program, [ShapedArray(a.shape, a.dtype) for a in operands_of(made)])
    module = lower_jaxpr(physicalize(closed), embed_constants=True)
    return driver.compile(module, targets.get("pjrt:xla_cpu")).vmfb


def operands_of(made: Sequence[Call]) -> list[np.ndarray]:
    """The program's arguments."""
    return [array for call in made for array in call.arrays]


def by_call(made: Sequence[Call], results: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """The program's results, those of each call together."""
    found = iter(results)
    return [[next(found) for _ in call.expected()] for call in made]


def _bind(call: Call, operands: Sequence[Any]) -> Sequence[Any]:
    """Keys cross the boundary as the words they are made of."""
    prim = primitive(call.op.name)
    typed = [
        random_wrap_p.bind(x, impl="fry") if isinstance(aval.dtype, KeyDtype) else x
        for x, aval in zip(operands, call.avals)
    ]
    results = prim.bind(*typed, **call.params)
    results = results if call.op.multiple_results else [results]
    keys = [isinstance(r.aval.dtype, KeyDtype) for r in results]
    return [random_unwrap_p.bind(r) if is_key else r for r, is_key in zip(results, keys)]
