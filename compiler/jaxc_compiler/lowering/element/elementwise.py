"""Element rules of select_n, clamp and optimization_barrier."""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element.base import Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.pointwise import by_kind, int_bits, kind, pointwise


def _select_n(b: ScalarBuilder, dtype: Any, which: Scalar, *cases: Scalar) -> Scalar:
    """An index below 0 takes the first case, one above the last takes the last."""
    if kind(dtype) == "b":
        return cases[0] if len(cases) == 1 else b.select(which, cases[1], cases[0])
    i = b.ints(int_bits(dtype))
    at_least = i.sge if kind(dtype) == "i" else i.uge
    result = cases[0]
    for number, case in enumerate(cases[1:], 1):
        result = b.select(at_least(which, number), case, result)
    return result


def _clamp(lower: str, upper: str) -> Any:
    def function(m: Any, low: Scalar, x: Scalar, high: Scalar) -> Scalar:
        return m.binary(upper, m.binary(lower, x, low), high)

    return function


_clamp_rule = by_kind(
    f=_clamp("arith.maximumf", "arith.minimumf"),
    i=_clamp("arith.maxsi", "arith.minsi"),
    u=_clamp("arith.maxui", "arith.minui"),
    b=_clamp("arith.ori", "arith.andi"),
)

pointwise("select_n", _select_n)
pointwise("clamp", _clamp_rule)
