"""Elementwise functions of one operand: arithmetic, rounding, exponentials, trigonometry, bits.

Owns the primitives of `opset/unary.py`, their rules and the public functions. `accuracy` is taken
for compatibility: every function is computed at its best.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.primitive import primitive
from jaxc.core.trace import concrete_or_error, get_aval
from jaxc.lax.binary import add, complex, div, ge, mul, replace_zero, sub
from jaxc.lax.shape import cast, const, full_like
from jaxc.transforms import ad, batching
from jaxc_compiler.opset.params import RoundingMethod

abs_p = primitive("abs")
acos_p = primitive("acos")
acosh_p = primitive("acosh")
asin_p = primitive("asin")
asinh_p = primitive("asinh")
atan_p = primitive("atan")
atanh_p = primitive("atanh")
cbrt_p = primitive("cbrt")
ceil_p = primitive("ceil")
clz_p = primitive("clz")
conj_p = primitive("conj")
cos_p = primitive("cos")
cosh_p = primitive("cosh")
exp2_p = primitive("exp2")
exp_p = primitive("exp")
expm1_p = primitive("expm1")
floor_p = primitive("floor")
imag_p = primitive("imag")
integer_pow_p = primitive("integer_pow")
is_finite_p = primitive("is_finite")
log1p_p = primitive("log1p")
log_p = primitive("log")
logistic_p = primitive("logistic")
neg_p = primitive("neg")
not_p = primitive("not")
population_count_p = primitive("population_count")
real_p = primitive("real")
reduce_precision_p = primitive("reduce_precision")
round_p = primitive("round")
rsqrt_p = primitive("rsqrt")
sign_p = primitive("sign")
sin_p = primitive("sin")
sinh_p = primitive("sinh")
sqrt_p = primitive("sqrt")
square_p = primitive("square")
tan_p = primitive("tan")
tanh_p = primitive("tanh")


# ---- arithmetic and rounding ---------------------------------------------------------------------


def neg(x: Any) -> Any:
    """-x; unsigned integers wrap."""
    return neg_p.bind(x)


def sign(x: Any) -> Any:
    """-1, 0 or 1; x / |x| of complex numbers; zeros keep their sign, NaN stays NaN."""
    return sign_p.bind(x)


def abs(x: Any) -> Any:
    """|x|; real for complex x."""
    return abs_p.bind(x)


def square(x: Any) -> Any:
    """x * x."""
    return square_p.bind(x)


def reciprocal(x: Any) -> Any:
    """1 / x."""
    return integer_pow(x, -1)


def integer_pow(x: Any, y: int) -> Any:
    """x to a power known in advance, by repeated multiplication.

    Raises:
      TypeError: if x is an integer and y negative.
    """
    return integer_pow_p.bind(x, y=y)


def floor(x: Any) -> Any:
    """The largest whole number not above x."""
    return floor_p.bind(x)


def ceil(x: Any) -> Any:
    """The smallest whole number not below x."""
    return ceil_p.bind(x)


def round(x: Any, rounding_method: RoundingMethod = RoundingMethod.AWAY_FROM_ZERO) -> Any:
    """The nearest whole number; `rounding_method` says where halves go.

    Example:
      >>> from jaxc import lax
      >>> lax.round(2.5).item(), lax.round(2.5, lax.RoundingMethod.TO_NEAREST_EVEN).item()
      (3.0, 2.0)
    """
    return round_p.bind(x, rounding_method=RoundingMethod(rounding_method))


def is_finite(x: Any) -> Any:
    """Whether x is neither infinite nor NaN."""
    return is_finite_p.bind(x)


def reduce_precision(operand: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    """x rounded to a float format of fewer bits, in its own dtype."""
    context = "argument of lax.reduce_precision"
    return reduce_precision_p.bind(
        operand,
        exponent_bits=concrete_or_error(operator.index, exponent_bits, f"exponent_bits {context}"),
        mantissa_bits=concrete_or_error(operator.index, mantissa_bits, f"mantissa_bits {context}"),
    )


# ---- exponentials and roots ----------------------------------------------------------------------


def exp(x: Any, *, accuracy: Any = None) -> Any:
    """e to the power x."""
    return exp_p.bind(x, accuracy=accuracy)


def exp2(x: Any, *, accuracy: Any = None) -> Any:
    """2 to the power x."""
    return exp2_p.bind(x, accuracy=accuracy)


def expm1(x: Any, *, accuracy: Any = None) -> Any:
    """exp(x) - 1, exact also for small x."""
    return expm1_p.bind(x, accuracy=accuracy)


def log(x: Any, *, accuracy: Any = None) -> Any:
    """The natural logarithm."""
    return log_p.bind(x, accuracy=accuracy)


def log1p(x: Any, *, accuracy: Any = None) -> Any:
    """log(1 + x), exact also for small x."""
    return log1p_p.bind(x, accuracy=accuracy)


def logistic(x: Any, *, accuracy: Any = None) -> Any:
    """1 / (1 + exp(-x))."""
    return logistic_p.bind(x, accuracy=accuracy)


def sqrt(x: Any, *, accuracy: Any = None) -> Any:
    """The square root."""
    return sqrt_p.bind(x, accuracy=accuracy)


def rsqrt(x: Any, *, accuracy: Any = None) -> Any:
    """1 / sqrt(x)."""
    return rsqrt_p.bind(x, accuracy=accuracy)


def cbrt(x: Any, *, accuracy: Any = None) -> Any:
    """The real cube root."""
    return cbrt_p.bind(x, accuracy=accuracy)


# ---- trigonometry --------------------------------------------------------------------------------


def sin(x: Any, *, accuracy: Any = None) -> Any:
    """The sine of an angle in radians."""
    return sin_p.bind(x, accuracy=accuracy)


def cos(x: Any, *, accuracy: Any = None) -> Any:
    """The cosine of an angle in radians."""
    return cos_p.bind(x, accuracy=accuracy)


def tan(x: Any, *, accuracy: Any = None) -> Any:
    """The tangent of an angle in radians."""
    return tan_p.bind(x, accuracy=accuracy)


def tanh(x: Any, *, accuracy: Any = None) -> Any:
    """The hyperbolic tangent."""
    return tanh_p.bind(x, accuracy=accuracy)


def asin(x: Any) -> Any:
    """The inverse sine."""
    return asin_p.bind(x)


def acos(x: Any) -> Any:
    """The inverse cosine."""
    return acos_p.bind(x)


def atan(x: Any) -> Any:
    """The inverse tangent."""
    return atan_p.bind(x)


def sinh(x: Any) -> Any:
    """The hyperbolic sine."""
    return sinh_p.bind(x)


def cosh(x: Any) -> Any:
    """The hyperbolic cosine."""
    return cosh_p.bind(x)


def asinh(x: Any) -> Any:
    """The inverse hyperbolic sine."""
    return asinh_p.bind(x)


def acosh(x: Any) -> Any:
    """The inverse hyperbolic cosine."""
    return acosh_p.bind(x)


def atanh(x: Any) -> Any:
    """The inverse hyperbolic tangent."""
    return atanh_p.bind(x)


# ---- complex parts and bits ----------------------------------------------------------------------


def real(x: Any) -> Any:
    """The real part of a complex array."""
    return real_p.bind(x)


def imag(x: Any) -> Any:
    """The imaginary part of a complex array."""
    return imag_p.bind(x)


def conj(x: Any) -> Any:
    """The complex conjugate; real arrays become complex."""
    return conj_p.bind(x, input_dtype=get_aval(x).dtype)


def bitwise_not(x: Any) -> Any:
    """Every bit flipped; logical not of bools."""
    return not_p.bind(x)


def population_count(x: Any) -> Any:
    """How many bits are set."""
    return population_count_p.bind(x)


def clz(x: Any) -> Any:
    """How many leading bits are zero."""
    return clz_p.bind(x)


# ---- rules ---------------------------------------------------------------------------------------


def _is_complex(x: Any) -> bool:
    return dtypes.issubdtype(get_aval(x).dtype, np.complexfloating)


def _abs_jvp(g: Any, ans: Any, x: Any) -> Any:
    if _is_complex(x):
        unit = div(conj(x), replace_zero(cast(ans, get_aval(x).dtype)))
        return real(mul(g, unit))
    return primitive("select_n").bind(ge(x, const(x, 0)), neg(g), g)


def _integer_pow_jvp(g: Any, x: Any, *, y: int) -> Any:
    if y == 0:
        return full_like(g, 0)
    if y == 1:
        return g
    rest = x if y == 2 else integer_pow(x, y - 1)
    return mul(g, mul(const(x, y), rest))


# Tangents from the operand: (g, x).
_OF_OPERAND = {
    log_p: lambda g, x: div(g, x),
    log1p_p: lambda g, x: div(g, add(x, const(x, 1))),
    sin_p: lambda g, x: mul(g, cos(x)),
    cos_p: lambda g, x: neg(mul(g, sin(x))),
    asin_p: lambda g, x: mul(g, rsqrt(sub(const(x, 1), square(x)))),
    acos_p: lambda g, x: mul(g, neg(rsqrt(sub(const(x, 1), square(x))))),
    atan_p: lambda g, x: div(g, add(const(x, 1), square(x))),
    sinh_p: lambda g, x: mul(g, cosh(x)),
    cosh_p: lambda g, x: mul(g, sinh(x)),
    asinh_p: lambda g, x: mul(g, rsqrt(add(square(x), const(x, 1)))),
    acosh_p: lambda g, x: mul(g, rsqrt(sub(square(x), const(x, 1)))),
    atanh_p: lambda g, x: mul(reciprocal(add(const(x, 1), x)), div(g, sub(const(x, 1), x))),
}
# Tangents that reuse the result: (g, ans, x).
_OF_RESULT = {
    exp_p: lambda g, ans, x: mul(g, ans),
    exp2_p: lambda g, ans, x: mul(log(const(x, 2)), mul(g, ans)),
    expm1_p: lambda g, ans, x: mul(g, add(ans, const(ans, 1))),
    logistic_p: lambda g, ans, x: mul(g, mul(ans, sub(const(ans, 1), ans))),
    tanh_p: lambda g, ans, x: mul(add(g, mul(g, ans)), sub(const(x, 1), ans)),
    tan_p: lambda g, ans, x: mul(g, add(const(x, 1), square(ans))),
    sqrt_p: lambda g, ans, x: mul(g, div(const(x, 0.5), ans)),
    rsqrt_p: lambda g, ans, x: mul(g, mul(const(x, -0.5), div(ans, x))),
    cbrt_p: lambda g, ans, x: mul(g, mul(const(x, 1 / 3), integer_pow(ans, -2))),
    square_p: lambda g, ans, x: mul(g, mul(const(x, 2), x)),
    abs_p: _abs_jvp,
}


def _without_params(rule: Any) -> Any:
    return lambda *args, accuracy=None: rule(*args)


for _prim, _rule in _OF_OPERAND.items():
    ad.defjvp(_prim, _without_params(_rule))
for _prim, _rule in _OF_RESULT.items():
    ad.defjvp2(_prim, _without_params(_rule))
for _prim in (sign_p, floor_p, ceil_p, round_p, is_finite_p, not_p, population_count_p, clz_p):
    ad.defjvp_zero(_prim)
ad.defjvp(integer_pow_p, _integer_pow_jvp)


def _zero_of(x: Any) -> Any:
    return np.zeros((), get_aval(x).dtype)


def _conj_transpose(ct: Any, x: Any, *, input_dtype: Any) -> Any:
    is_complex = dtypes.issubdtype(input_dtype, np.complexfloating)
    return [conj(ct) if is_complex else real(ct)]


ad.deflinear2(neg_p, lambda ct, _: [neg(ct)])
ad.deflinear2(real_p, lambda ct, _: [complex(ct, _zero_of(ct))])
ad.deflinear2(imag_p, lambda ct, _: [complex(_zero_of(ct), neg(ct))])
ad.deflinear2(conj_p, _conj_transpose)
ad.deflinear2(reduce_precision_p, lambda ct, _, **params: [reduce_precision_p.bind(ct, **params)])

for _prim in (
    abs_p, acos_p, acosh_p, asin_p, asinh_p, atan_p, atanh_p, cbrt_p, ceil_p, clz_p, conj_p, cos_p,
    cosh_p, exp2_p, exp_p, expm1_p, floor_p, imag_p, integer_pow_p, is_finite_p, log1p_p, log_p,
    logistic_p, neg_p, not_p, population_count_p, real_p, reduce_precision_p, round_p, rsqrt_p,
    sign_p, sin_p, sinh_p, sqrt_p, square_p, tan_p, tanh_p,
):  # fmt: skip
    batching.defvectorized(_prim)
