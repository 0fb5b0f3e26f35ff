"""Control flow: operations whose parameters are jaxprs that run conditionally or repeatedly.

Result types follow from the jaxprs (objects with `in_avals` and `out_avals`); the frontend
interprets them eagerly, the dialect holds them as regions.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.opset.avals import ShapedArray, typematch
from jaxc_compiler.opset.op import define


def cond_infer(index: ShapedArray, *operands: ShapedArray, branches: Any, **_: Any) -> list:
    """`branches[clamp(index)](*operands)`; all branches have the same types."""
    return branches[0].out_avals


def while_infer(
    *avals: ShapedArray, cond_jaxpr: Any, body_jaxpr: Any, cond_nconsts: int, body_nconsts: int
) -> list[ShapedArray]:
    """`while cond(cond_consts, carry): carry = body(body_consts, carry)`."""
    carry = avals[cond_nconsts + body_nconsts :]
    _check_carry("while", carry, body_jaxpr.out_avals)
    return body_jaxpr.out_avals


def scan_infer(
    *avals: ShapedArray, jaxpr: Any, length: int, num_consts: int, num_carry: int,
    reverse: bool, unroll: int,
) -> list[ShapedArray]:  # fmt: skip
    """`carry, y = jaxpr(consts, carry, x)` for every row x of the scanned operands."""
    out = jaxpr.out_avals
    _check_carry("scan", avals[num_consts : num_consts + num_carry], out[:num_carry])
    stacked = [ShapedArray((length, *y.shape), y.dtype, y.weak_type) for y in out[num_carry:]]
    return out[:num_carry] + stacked


def _check_carry(name: str, before: Any, after: Any) -> None:
    for i, (a, b) in enumerate(zip(before, after)):
        if not typematch(a, b):
            raise TypeError(
                f"{name}: carry {i} is {a.str_short()} before the body and {b.str_short()} after"
            )


cond = define(
    "cond", kind="control_flow", params=("branches",), infer=cond_infer, multiple_results=True
)
while_ = define(
    "while",
    kind="control_flow",
    params=("body_jaxpr", "body_nconsts", "cond_jaxpr", "cond_nconsts"),
    infer=while_infer,
    multiple_results=True,
)
scan = define(
    "scan",
    kind="control_flow",
    params=("jaxpr", "length", "num_carry", "num_consts", "reverse", "unroll"),
    infer=scan_infer,
    multiple_results=True,
)
