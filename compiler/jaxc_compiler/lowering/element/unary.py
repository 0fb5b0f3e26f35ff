"""Element rules of ops with one operand: arithmetic, rounding, bits, and the math functions."""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element import complexes
from jaxc_compiler.lowering.element.base import Complex, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.pointwise import (
    by_kind,
    float_op,
    pointwise,
)
from jaxc_compiler.lowering.element.real_math import real
from jaxc_compiler.opset.params import RoundingMethod

INF = float("inf")


def _sign(m: Any, x: Scalar) -> Scalar:
    """1 with the sign of x; zeros and NaN stay."""
    kept = m.b.op("arith.ori", m.b.i1, [m.eq(x, 0.0), m.isnan(x)])
    return m.select(kept, x, m.copysign(1.0, x))


def _sign_int(m: Any, x: Scalar) -> Scalar:
    return m.or_(m.ashr(x, m.bits - 1), m.select(m.ne(x, 0), 1, 0))


def _is_finite(m: Any, x: Scalar) -> Scalar:
    return m.lt(m.abs(x), INF)


def _ceil(m: Any, x: Scalar) -> Scalar:
    """By floor: the portable runtime of IREE has no ceil of doubles for baseline x86."""
    return m.neg(m.floor(m.neg(x)))


def _round_away(m: Any, x: Scalar) -> Scalar:
    """Halves away from zero: the number just below 0.5 is added, so that 0.49999997 stays 0."""
    below_half = 0.49999999999999994 if m.bits == 64 else 0.49999997
    # floor, not trunc: the portable runtime of IREE has no trunc for baseline x86.
    return m.copysign(m.floor(m.add(m.abs(x), below_half)), x)


def _round(b: ScalarBuilder, dtype: Any, x: Scalar, *, rounding_method: Any) -> Scalar:
    even = RoundingMethod(rounding_method) == RoundingMethod.TO_NEAREST_EVEN
    return by_kind(f=float_op("math.roundeven") if even else _round_away)(b, dtype, x)


def _integer_pow(b: ScalarBuilder, dtype: Any, x: Scalar, *, y: int) -> Scalar:
    """Repeated squaring, in the narrow dtype's f32."""
    one = Complex(1.0, 0.0)

    def power(multiply: Any, divide: Any, unit: Any) -> Any:
        def function(m: Any, base: Scalar) -> Scalar:
            result, exponent = None, abs(y)
            while exponent:
                if exponent & 1:
                    result = base if result is None else multiply(m, result, base)
                exponent >>= 1
                if exponent:
                    base = multiply(m, base, base)
            if result is None:
                return unit(m)
            return divide(m, result) if y < 0 else result

        return function

    times = lambda m, p, q: m.mul(p, q)  # noqa: E731
    whole = power(times, None, lambda m: m.c(1))
    rules = by_kind(
        f=power(times, lambda m, v: m.div(1.0, v), lambda m: m.c(1.0)),
        i=whole,
        u=whole,
        c=power(complexes.mul, complexes.reciprocal, lambda m: Complex(*map(m.c, one))),
    )
    return rules(b, dtype, x)


def _real_function(name: str) -> Any:
    return lambda m, x: real(m, name, x)


def _conj(b: ScalarBuilder, dtype: Any, x: Scalar, **_: Any) -> Complex:
    if isinstance(x, Complex):
        return complexes.conj(b.floats("float64" if dtype.itemsize == 16 else "float32"), x)
    return Complex(x, b.constant(0.0, dtype))


def _leading_zeros(m: Any, x: Scalar) -> Scalar:
    """Counted in a word of 32 bits: SPIR-V counts in no other."""
    word = m.b.ints(32)
    if m.bits == 32 or not m.b.relaxed:
        return m.unary("math.ctlz", x)
    if m.bits < 32:
        count = word.unary("math.ctlz", word.cast("arith.extui", x))
        return m.cast("arith.trunci", word.sub(count, 32 - m.bits))
    high, low = (word.cast("arith.trunci", v) for v in (m.lshr(x, 32), x))
    counts = [word.unary("math.ctlz", v) for v in (high, low)]
    return m.cast("arith.extui", word.select(word.eq(high, 0), word.add(counts[1], 32), counts[0]))


def _neg_int(m: Any, x: Scalar) -> Scalar:
    return m.neg(x)


def _identity(m: Any, x: Scalar) -> Scalar:
    return x


def _with_accuracy(function: Any) -> Any:
    """The `accuracy` parameter asks for less than what is always given."""
    return lambda b, dtype, x, **_: function(b, dtype, x)


pointwise("neg", by_kind(f=float_op("arith.negf"), i=_neg_int, u=_neg_int, c=complexes.neg))
pointwise("sign", by_kind(
    f=_sign, i=_sign_int, u=lambda m, x: m.select(m.ne(x, 0), 1, 0), c=complexes.sign
))  # fmt: skip
pointwise("square", by_kind(
    f=lambda m, x: m.mul(x, x), i=lambda m, x: m.mul(x, x), u=lambda m, x: m.mul(x, x),
    c=complexes.square,
))  # fmt: skip
pointwise("abs", by_kind(
    f=float_op("math.absf"), i=float_op("math.absi"), u=_identity, c=complexes.abs_
))  # fmt: skip
pointwise("floor", by_kind(f=float_op("math.floor")))
pointwise("ceil", by_kind(f=_ceil))
pointwise("round", _round)
pointwise("is_finite", by_kind(f=_is_finite))
pointwise("integer_pow", _integer_pow)
pointwise("real", lambda b, dtype, z: z.re)
pointwise("imag", lambda b, dtype, z: z.im)
pointwise("conj", _conj)
_not = by_kind(i=lambda m, x: m.not_(x), u=lambda m, x: m.not_(x), b=lambda m, x: m.not_(x))
pointwise("not", _not)
pointwise("population_count", by_kind(i=float_op("math.ctpop"), u=float_op("math.ctpop")))
pointwise("clz", by_kind(i=_leading_zeros, u=_leading_zeros))
for _name in (
    "exp", "exp2", "expm1", "log", "log1p", "rsqrt", "cbrt", "logistic", "sin", "cos", "tan",
    "tanh", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh",
):  # fmt: skip
    _rules = by_kind(f=_real_function(_name), c=getattr(complexes, _name))
    pointwise(_name, _with_accuracy(_rules))
pointwise("sqrt", _with_accuracy(by_kind(f=float_op("math.sqrt"), c=complexes.sqrt)))
for _name in ("erf", "erfc", "erf_inv", "lgamma", "digamma", "bessel_i0e", "bessel_i1e"):
    pointwise(_name, by_kind(f=_real_function(_name)))
