"""Calls: operations whose parameter is the jaxpr they run.

Their result types are the jaxpr's; the frontend interprets them, so there are no NumPy kernels. A
jaxpr is any object with `out_avals` (the op book does not know the frontend's classes).
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.op import Sample, define


def jit_infer(*avals: ShapedArray, jaxpr: Any, **_: Any) -> list[ShapedArray]:
    return jaxpr.out_avals


def call_jaxpr_infer(*avals: ShapedArray, call_jaxpr: Any, **_: Any) -> list[ShapedArray]:
    return call_jaxpr.out_avals


def custom_lin_infer(*avals: ShapedArray, out_avals: Any, **_: Any) -> list[ShapedArray]:
    return list(out_avals)


jit = define(
    "jit",
    kind="call",
    params=("donated_invars", "inline", "jaxpr", "keep_unused", "name"),
    infer=jit_infer,
    multiple_results=True,
)
remat = define(
    "remat2",
    kind="call",
    params=("differentiated", "jaxpr", "policy", "prevent_cse"),
    infer=jit_infer,
    multiple_results=True,
)
custom_jvp_call = define(
    "custom_jvp_call",
    kind="call",
    params=("call_jaxpr", "jvp", "name", "symbolic_zeros"),
    infer=call_jaxpr_infer,
    multiple_results=True,
)
custom_vjp_call = define(
    "custom_vjp_call",
    kind="call",
    params=("bwd", "call_jaxpr", "fwd", "name", "symbolic_zeros"),
    infer=call_jaxpr_infer,
    multiple_results=True,
)
custom_lin = define(
    "custom_lin",
    kind="call",
    params=("bwd", "num_residuals", "out_avals"),
    infer=custom_lin_infer,
    multiple_results=True,
)


def stop_gradient_infer(x: ShapedArray) -> ShapedArray:
    return x


stop_gradient = define(
    "stop_gradient",
    kind="elementwise",
    infer=stop_gradient_infer,
    numpy=lambda x: x.copy(),
    samples=lambda: [Sample((ShapedArray((3,), "float32"),)), Sample((ShapedArray((), "int32"),))],
)
