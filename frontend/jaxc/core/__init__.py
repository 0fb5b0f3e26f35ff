"""The core vocabulary: avals, primitives, traces, jaxprs (`jax.core`).

Names are loaded on first use, so that modules below (`core.primitive`, ...) import without a cycle.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "jaxc_compiler.opset.avals": ("ShapedArray", "typematch"),
    "jaxc.core.trace": ("Trace", "Tracer", "get_aval", "concrete_or_error", "to_concrete_value",
                        "is_concrete", "valid_jaxtype", "trace_state_clean", "axis_size",
                        "EvalTrace", "set_current_trace", "typeof"),
    "jaxc.core.jaxpr": ("ClosedJaxpr", "DropVar", "Jaxpr", "JaxprEqn", "Literal", "Var",
                        "eval_jaxpr", "jaxpr_as_fun", "new_jaxpr_eqn", "subjaxprs",
                        "jaxprs_in_params", "DebugInfo"),
    "jaxc.core.check": ("check_jaxpr", "JaxprTypeError"),
    "jaxc.core.primitive": ("Primitive",),
}  # fmt: skip
_HOME = {name: module for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "AbstractValue":
        name = "ShapedArray"
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
