"""sinh, cosh and the inverse hyperbolic functions of either width, by exp and log of that width."""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element import math_f32, math_f64
from jaxc_compiler.lowering.element.base import Scalar

LN2, NAN = 0.6931471805599453, float("nan")


def _base(m: Any) -> Any:
    return math_f64 if m.bits == 64 else math_f32


def sinh(m: Any, x: Scalar) -> Scalar:
    """(E + E / (E + 1)) / 2 with E = expm1|x|; exp|x| / 2 where that could overflow."""
    size = m.abs(x)
    e = _base(m).expm1(m, m.min(size, 40.0))
    small = m.mul(m.add(e, m.div(e, m.add(e, 1.0))), 0.5)
    large = _base(m).exp_half(m, size)
    return m.copysign(m.select(m.gt(size, 22.0), large, small), x)


def cosh(m: Any, x: Scalar) -> Scalar:
    half = _base(m).exp_half(m, m.abs(x))
    return m.add(half, m.div(0.25, half))


def asinh(m: Any, x: Scalar) -> Scalar:
    size = m.abs(x)
    square = m.mul(size, size)
    root = m.sqrt(m.add(square, 1.0))
    small = _base(m).log1p(m, m.add(size, m.div(square, m.add(root, 1.0))))
    large = m.add(_base(m).log(m, size), LN2)
    return m.copysign(m.select(m.gt(size, 2.0**28), large, small), x)


def acosh(m: Any, x: Scalar) -> Scalar:
    t = m.sub(x, 1.0)
    small = _base(m).log1p(m, m.add(t, m.sqrt(m.mul(t, m.add(t, 2.0)))))
    value = m.select(m.gt(x, 2.0**28), m.add(_base(m).log(m, x), LN2), small)
    return m.select(m.lt(x, 1.0), NAN, value)


def atanh(m: Any, x: Scalar) -> Scalar:
    size = m.abs(x)
    ratio = m.div(m.add(size, size), m.sub(1.0, size))
    return m.copysign(m.mul(_base(m).log1p(m, ratio), 0.5), x)
