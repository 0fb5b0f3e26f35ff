"""Which implementation a real function has, by width and target.

Each function is looked up in the file of its width. A target with `relaxed` floats (GPUs) may have
no doubles: there f32 stays in f32 where that is exact enough.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element import (
    math_f32,
    math_f64,
    math_gamma,
    math_hyperbolic,
    math_pow,
    math_special,
    math_trig,
)
from jaxc_compiler.lowering.element.base import Scalar

_EITHER_WIDTH = {
    name: getattr(module, name)
    for module, names in (
        (math_hyperbolic, ("sinh", "cosh", "asinh", "acosh", "atanh")),
        (math_trig, ("asin", "acos", "atan", "atan2")),
        (math_pow, ("pow_", "fmod")),
    )
    for name in names
}
_WITHOUT_DOUBLES = {"lgamma": math_special.lgamma, "digamma": math_special.digamma}
_F64_FILES = (math_f64, math_trig, math_special, math_gamma)


def real(m: Any, name: str, *x: Scalar) -> Scalar:
    """The value of a real function of `m`'s width; narrower floats must be widened before.

    Args:
      m: the `FloatOps` of f32 or f64.
      name: the op's name (`pow_` for pow, `fmod` for rem).
    """
    if m.bits == 32:
        found = _f32_function(m, name)
    else:
        found = _EITHER_WIDTH.get(name) or _first(_F64_FILES, name)
    if found is not None:
        return found(m, *x)
    wide = m.b.floats("float64")
    result = _first(_F64_FILES, name)(wide, *[wide.cast("arith.extf", v) for v in x])
    return m.cast("arith.truncf", result)


def _f32_function(m: Any, name: str) -> Any:
    if m.b.relaxed and hasattr(math_f32, f"{name}_without_doubles"):
        return getattr(math_f32, f"{name}_without_doubles")
    if m.b.relaxed and name in _WITHOUT_DOUBLES:
        return _WITHOUT_DOUBLES[name]
    if name in _EITHER_WIDTH:
        return _EITHER_WIDTH[name]
    return getattr(math_f32, name, None) or getattr(math_trig, f"{name}_f32", None)


def _first(modules: Any, name: str) -> Any:
    return next((getattr(module, name) for module in modules if hasattr(module, name)), None)
