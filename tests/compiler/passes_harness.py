"""Modules for tests of passes, and the comparison of a module's values before and after a pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import jaxc
from jaxc.lowering import lower_jaxpr
from jaxc_compiler import mlir, reference


def module_of(function: Callable[..., Any], *arguments: np.ndarray) -> Any:
    """The `lax` module that a Python function is traced to."""
    module = lower_jaxpr(jaxc.make_jaxpr(function)(*arguments), embed_constants=True)
    with mlir.LOCK, mlir.CONTEXT:
        assert module.operation.verify()
    return module


def run_pass(run: Callable, module: Any) -> str:
    """Run a pass on a module; returns its text, which must verify."""
    with mlir.LOCK, mlir.CONTEXT, mlir.ir.Location.unknown():
        run(module, None)
        assert module.operation.verify()
        return str(module)


def check_values_kept(run: Callable, module: Any, arguments: Sequence[np.ndarray]) -> str:
    """Run a pass; the module must compute exactly the same. Returns its text."""
    before = reference.run_module(module, *arguments)
    text = run_pass(run, module)
    after = reference.run_module(module, *arguments)
    for x, y in zip(before, after, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)
    return text
