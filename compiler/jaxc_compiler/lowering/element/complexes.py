"""Complex functions by real ones on (re, im) pairs.

Multiplication and division are the textbook formulas (division scaled against overflow); the others
follow Kahan, "Branch cuts for complex elementary functions" (1987), without his special cases for
infinities. Functions get the `FloatOps` of a part, and call real functions through `real`.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element.base import Complex, Scalar
from jaxc_compiler.lowering.element.real_math import real


def neg(m: Any, z: Complex) -> Complex:
    return Complex(m.neg(z.re), m.neg(z.im))


def conj(m: Any, z: Complex) -> Complex:
    return Complex(z.re, m.neg(z.im))


def add(m: Any, x: Complex, y: Complex) -> Complex:
    return Complex(m.add(x.re, y.re), m.add(x.im, y.im))


def mul(m: Any, x: Complex, y: Complex) -> Complex:
    re = m.sub(m.mul(x.re, y.re), m.mul(x.im, y.im))
    return Complex(re, m.add(m.mul(x.re, y.im), m.mul(x.im, y.re)))


def scale(m: Any, z: Complex, factor: Scalar) -> Complex:
    return Complex(m.mul(z.re, factor), m.mul(z.im, factor))


def _binade(m: Any, x: Scalar) -> Scalar:
    """The power of two at or below |x|, kept where its reciprocal is a normal number."""
    mantissa = 52 if m.bits == 64 else 23
    top = (1 << (m.bits - 1)) - (1 << mantissa)
    field = m.i.and_(m.bits_of(x), top)
    field = m.i.binary("arith.maxsi", field, 1 << mantissa)
    return m.of_bits(m.i.binary("arith.minsi", field, top - (3 << mantissa)))


def div(m: Any, x: Complex, y: Complex) -> Complex:
    """x conj(y) / |y|^2 with y scaled by a power of two, so that the square is safe."""
    size = m.max(m.abs(y.re), m.abs(y.im))
    inverse = m.div(1.0, _binade(m, size))
    inverse = m.select(m.lt(size, float("inf")), inverse, 1.0)
    y = scale(m, y, inverse)
    norm = m.fma(y.re, y.re, m.mul(y.im, y.im))
    re = m.div(m.fma(x.re, y.re, m.mul(x.im, y.im)), norm)
    im = m.div(m.sub(m.mul(x.im, y.re), m.mul(x.re, y.im)), norm)
    return scale(m, Complex(re, im), inverse)


def reciprocal(m: Any, z: Complex) -> Complex:
    return div(m, Complex(m.c(1.0), m.c(0.0)), z)


def abs_(m: Any, z: Complex) -> Scalar:
    """hypot: scaled by a power of two, infinite if a part is."""
    re, im = m.abs(z.re), m.abs(z.im)
    size = _binade(m, m.max(re, im))
    inverse = m.div(1.0, size)
    a, b = m.mul(re, inverse), m.mul(im, inverse)
    value = m.mul(m.sqrt(m.fma(a, a, m.mul(b, b))), size)
    infinite = m.b.op("arith.ori", m.b.i1, [m.eq(re, float("inf")), m.eq(im, float("inf"))])
    return m.select(infinite, float("inf"), value)


def sign(m: Any, z: Complex) -> Complex:
    """z / |z|, and 0 at 0."""
    size = abs_(m, z)
    zero = m.eq(size, 0.0)
    safe = m.select(zero, 1.0, size)
    return Complex(m.div(z.re, safe), m.div(z.im, safe))


def exp(m: Any, z: Complex) -> Complex:
    size = real(m, "exp", z.re)
    real_axis = m.eq(z.im, 0.0)
    im = m.mul(size, real(m, "sin", z.im))
    re = m.mul(size, real(m, "cos", z.im))
    return Complex(m.select(real_axis, size, re), m.select(real_axis, z.im, im))


def log(m: Any, z: Complex) -> Complex:
    """log|z| + i arg z; near the unit circle log|z| is log1p of |z|^2 - 1."""
    size = abs_(m, z)
    big, small = m.max(m.abs(z.re), m.abs(z.im)), m.min(m.abs(z.re), m.abs(z.im))
    excess = m.fma(m.sub(big, 1.0), m.add(big, 1.0), m.mul(small, small))
    near = m.b.all_of([m.gt(size, 0.7), m.lt(size, 1.4)])
    close = m.mul(real(m, "log1p", m.select(near, excess, 0.0)), 0.5)
    re = m.select(near, close, real(m, "log", size))
    angle = real(m, "atan2", z.im, z.re)
    return Complex(m.select(m.isnan(angle), angle, re), angle)


def log1p(m: Any, z: Complex) -> Complex:
    """log(1 + z), with |1 + z|^2 - 1 = re (2 + re) + im^2."""
    one_plus = Complex(m.add(z.re, 1.0), z.im)
    far = log(m, one_plus)
    excess = m.fma(z.re, m.add(z.re, 2.0), m.mul(z.im, z.im))
    near = m.lt(m.max(m.abs(z.re), m.abs(z.im)), 0.5)
    close = m.mul(real(m, "log1p", m.select(near, excess, 0.0)), 0.5)
    return Complex(m.select(near, close, far.re), far.im)


def expm1(m: Any, z: Complex) -> Complex:
    """expm1(a) cos(b) - 2 sin(b/2)^2 + i exp(a) sin(b)."""
    half = real(m, "sin", m.mul(z.im, 0.5))
    cosine, sine = real(m, "cos", z.im), real(m, "sin", z.im)
    grown = real(m, "expm1", z.re)
    re = m.sub(m.mul(grown, cosine), m.mul(m.mul(half, half), 2.0))
    im = m.mul(m.add(grown, 1.0), sine)
    return Complex(re, m.select(m.eq(z.im, 0.0), z.im, im))  # inf * 0 would be NaN


def sqrt(m: Any, z: Complex) -> Complex:
    """The root in the right half plane; its imaginary part has z's sign."""
    size = abs_(m, z)
    t = m.sqrt(m.mul(m.add(size, m.abs(z.re)), 0.5))
    zero = m.eq(t, 0.0)
    other = m.select(zero, 0.0, m.div(m.abs(z.im), m.mul(m.select(zero, 1.0, t), 2.0)))
    right = m.ge(z.re, 0.0)
    re, im = m.select(right, t, other), m.select(right, other, t)
    return Complex(re, m.copysign(im, z.im))


def rsqrt(m: Any, z: Complex) -> Complex:
    value = reciprocal(m, sqrt(m, z))
    size = m.max(m.abs(z.re), m.abs(z.im))
    infinite = m.eq(size, float("inf"))
    return Complex(m.select(infinite, 0.0, value.re), m.select(infinite, 0.0, value.im))


def square(m: Any, z: Complex) -> Complex:
    """(a - b) (a + b) + 2 a b i; 0 on the diagonals, where the other factor may be infinite."""
    difference, total = m.sub(z.re, z.im), m.add(z.re, z.im)
    re = m.select(m.eq(total, 0.0), 0.0, m.mul(difference, total))
    re = m.select(m.eq(difference, 0.0), 0.0, re)
    return Complex(re, m.mul(m.mul(z.re, z.im), 2.0))


def sin(m: Any, z: Complex) -> Complex:
    sine, cosine = real(m, "sin", z.re), real(m, "cos", z.re)
    return Complex(m.mul(sine, real(m, "cosh", z.im)), m.mul(cosine, real(m, "sinh", z.im)))


def cos(m: Any, z: Complex) -> Complex:
    sine, cosine = real(m, "sin", z.re), real(m, "cos", z.re)
    re = m.mul(cosine, real(m, "cosh", z.im))
    return Complex(re, m.neg(m.mul(sine, real(m, "sinh", z.im))))


def _times_i(m: Any, z: Complex) -> Complex:
    return Complex(m.neg(z.im), z.re)


def _over_i(m: Any, z: Complex) -> Complex:
    return Complex(z.im, m.neg(z.re))


def sinh(m: Any, z: Complex) -> Complex:
    return _over_i(m, sin(m, _times_i(m, z)))


def cosh(m: Any, z: Complex) -> Complex:
    return cos(m, _times_i(m, z))


def tanh(m: Any, z: Complex) -> Complex:
    """(sinh a cosh a + i sin b cos b) / (sinh(a)^2 + cos(b)^2); +-1 for large a."""
    limit = 18.0 if m.bits == 64 else 8.0
    large = m.gt(m.abs(z.re), limit)
    a = m.select(large, 1.0, z.re)
    sinh_a, cosh_a = real(m, "sinh", a), real(m, "cosh", a)
    sine, cosine = real(m, "sin", z.im), real(m, "cos", z.im)
    bottom = m.fma(sinh_a, sinh_a, m.mul(cosine, cosine))
    re = m.div(m.mul(sinh_a, cosh_a), bottom)
    im = m.div(m.mul(sine, cosine), bottom)
    decay = real(m, "exp", m.mul(m.abs(z.re), -2.0))
    far = m.mul(m.mul(m.mul(sine, cosine), decay), 4.0)
    return Complex(m.select(large, m.copysign(1.0, z.re), re), m.select(large, far, im))


def tan(m: Any, z: Complex) -> Complex:
    return _over_i(m, tanh(m, _times_i(m, z)))


def logistic(m: Any, z: Complex) -> Complex:
    # Beyond the limit the result vanishes, and exp would give inf * 0 = NaN.
    limit = 709.0 if m.bits == 64 else 88.0
    grown = exp(m, Complex(m.min(m.neg(z.re), limit), m.neg(z.im)))
    return reciprocal(m, Complex(m.add(grown.re, 1.0), grown.im))


def exp2(m: Any, z: Complex) -> Complex:
    return exp(m, scale(m, z, 0.6931471805599453))


def pow_(m: Any, x: Complex, y: Complex) -> Complex:
    """exp(y log x); 0 ** y is 0, and 1 if y is 0."""
    power = exp(m, mul(m, y, log(m, x)))
    b = m.b
    zero = b.all_of([m.eq(x.re, 0.0), m.eq(x.im, 0.0)])
    none = b.all_of([m.eq(y.re, 0.0), m.eq(y.im, 0.0)])
    one, nothing = Complex(m.c(1.0), m.c(0.0)), Complex(m.c(0.0), m.c(0.0))
    return b.select(none, one, b.select(zero, nothing, power))


def atan2(m: Any, y: Complex, x: Complex) -> Complex:
    """-i log((x + i y) / sqrt(x^2 + y^2))."""
    root = sqrt(m, add(m, mul(m, x, x), mul(m, y, y)))
    return _over_i(m, log(m, div(m, add(m, x, _times_i(m, y)), root)))


def asinh(m: Any, z: Complex) -> Complex:
    """Kahan: asinh(Re(sqrt(1-iz)^* ... )) by the roots of 1 + iz and 1 - iz."""
    one = Complex(m.add(m.neg(z.im), 1.0), z.re)  # 1 + i z
    other = Complex(m.add(z.im, 1.0), m.neg(z.re))  # 1 - i z
    p, q = sqrt(m, one), sqrt(m, other)
    re = real(m, "asinh", m.sub(m.mul(p.re, q.im), m.mul(p.im, q.re)))
    im = real(m, "atan2", z.im, m.sub(m.mul(p.re, q.re), m.mul(p.im, q.im)))
    return Complex(m.copysign(re, z.re), im)


def asin(m: Any, z: Complex) -> Complex:
    return _over_i(m, asinh(m, _times_i(m, z)))


def acos(m: Any, z: Complex) -> Complex:
    """Kahan: 2 atan(Re sqrt(1-z) / Re sqrt(1+z)), asinh(Im(sqrt(1+z)^* sqrt(1-z)))."""
    p = sqrt(m, Complex(m.sub(1.0, z.re), m.neg(z.im)))
    q = sqrt(m, Complex(m.add(z.re, 1.0), z.im))
    re = m.mul(real(m, "atan2", p.re, q.re), 2.0)
    im = real(m, "asinh", m.sub(m.mul(q.re, p.im), m.mul(q.im, p.re)))
    return Complex(re, im)


def acosh(m: Any, z: Complex) -> Complex:
    """Kahan: asinh(Re(sqrt(z-1)^* sqrt(z+1))), 2 atan(Im sqrt(z-1) / Re sqrt(z+1))."""
    p = sqrt(m, Complex(m.sub(z.re, 1.0), z.im))
    q = sqrt(m, Complex(m.add(z.re, 1.0), z.im))
    re = real(m, "asinh", m.fma(p.re, q.re, m.mul(p.im, q.im)))
    return Complex(re, m.mul(real(m, "atan2", p.im, q.re), 2.0))


def atanh(m: Any, z: Complex) -> Complex:
    """(log1p(4 re / ((1-re)^2 + im^2)) / 4, atan2(2 im, (1-re)(1+re) - im^2) / 2)."""
    square_im = m.mul(z.im, z.im)
    gap = m.sub(1.0, m.abs(z.re))
    bottom = m.fma(gap, gap, square_im)
    re = m.mul(real(m, "log1p", m.div(m.mul(m.abs(z.re), 4.0), bottom)), 0.25)
    side = m.sub(m.mul(gap, m.add(m.abs(z.re), 1.0)), square_im)
    im = m.mul(real(m, "atan2", m.mul(z.im, 2.0), side), 0.5)
    return Complex(m.copysign(re, z.re), im)


def atan(m: Any, z: Complex) -> Complex:
    return _over_i(m, atanh(m, _times_i(m, z)))


def cbrt(m: Any, z: Complex) -> Complex:
    """The principal cube root."""
    size = real(m, "cbrt", abs_(m, z))
    angle = m.div(real(m, "atan2", z.im, z.re), 3.0)
    return Complex(m.mul(size, real(m, "cos", angle)), m.mul(size, real(m, "sin", angle)))
