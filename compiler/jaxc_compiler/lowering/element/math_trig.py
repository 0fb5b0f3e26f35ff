"""sin, cos, tan and the inverse functions for f64; for f32 through a double reduction.

Branch-free. Reduction: `trig_reduction.py`; kernels as fdlibm arranges them with
polynomials of our own.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element import coefficients as c
from jaxc_compiler.lowering.element.base import Scalar
from jaxc_compiler.lowering.element.trig_reduction import reduce_f32, reduce_f64

HALF_PI, HALF_PI_LOW = 1.5707963267948966, 6.123233995736766e-17
QUARTER_PI, PI = 0.7853981633974483, 3.141592653589793
TAN_PI_8, TAN_3PI_8 = 0.41421356237309503, 2.414213562373095
NAN, INF = float("nan"), float("inf")


def _sin_kernel(m: Any, y: Scalar, low: Any, z: Scalar) -> Scalar:
    tail = m.mul(m.mul(y, z), m.poly(z, c.SIN_TAIL))
    if low is not None:
        tail = m.add(tail, m.fma(m.mul(z, -0.5), low, low))
    return m.add(y, tail)


def _cos_kernel(m: Any, y: Scalar, low: Any, z: Scalar) -> Scalar:
    half = m.mul(z, 0.5)
    whole = m.rounded(m.sub(1.0, half))
    rest = m.sub(m.rounded(m.sub(1.0, whole)), half)
    tail = m.mul(m.mul(z, z), m.poly(z, c.COS_TAIL))
    if low is not None:
        tail = m.sub(tail, m.mul(y, low))
    return m.add(whole, m.add(rest, tail))


def _sin_cos(m: Any, x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """sin and cos of the reduced argument, and the quadrant."""
    y, low, q = reduce_f64(m, x)
    z = m.mul(y, y)
    return _sin_kernel(m, y, low, z), _cos_kernel(m, y, low, z), q


def _in_quadrant(m: Any, i: Any, q: Scalar, sine: Scalar, cosine: Scalar, turn: int) -> Scalar:
    """sin(y + (q + turn) pi/2) by the kernels' values at y."""
    if turn:
        q = i.add(q, turn)
    odd = i.ne(i.and_(q, 1), 0)
    value = m.select(odd, cosine, sine)
    return m.select(i.ne(i.and_(q, 2), 0), m.neg(value), value)


def sin(m: Any, x: Scalar) -> Scalar:
    sine, cosine, q = _sin_cos(m, x)
    return m.select(m.lt(m.abs(x), 1e-9), x, _in_quadrant(m, m.i, q, sine, cosine, 0))


def cos(m: Any, x: Scalar) -> Scalar:
    sine, cosine, q = _sin_cos(m, x)
    return _in_quadrant(m, m.i, q, sine, cosine, 1)


def tan(m: Any, x: Scalar) -> Scalar:
    sine, cosine, q = _sin_cos(m, x)
    odd = m.i.ne(m.i.and_(q, 1), 0)
    ratio = m.div(m.select(odd, m.neg(cosine), sine), m.select(odd, sine, cosine))
    return m.select(m.lt(m.abs(x), 1e-9), x, ratio)


def _reduced_f32(m: Any, x: Scalar) -> tuple[Scalar, Scalar, Scalar, Any]:
    """sin and cos of an f32's reduced argument in f32, the quadrant and its integer ops."""
    wide = m.b.floats("float64")
    y_wide, q = reduce_f32(wide, wide.cast("arith.extf", x))
    y = m.cast("arith.truncf", y_wide)
    q = m.i.cast("arith.trunci", q)
    z = m.mul(y, y)
    sine = m.fma(m.mul(y, z), m.poly(z, c.SIN_TAIL_F32), y)
    cosine = m.add(m.fma(m.mul(z, z), m.poly(z, c.COS_TAIL_F32), m.mul(z, -0.5)), 1.0)
    return sine, cosine, q, m.i


def sin_f32(m: Any, x: Scalar) -> Scalar:
    sine, cosine, q, i = _reduced_f32(m, x)
    return m.select(m.eq(x, 0.0), x, _in_quadrant(m, i, q, sine, cosine, 0))


def cos_f32(m: Any, x: Scalar) -> Scalar:
    sine, cosine, q, i = _reduced_f32(m, x)
    return _in_quadrant(m, i, q, sine, cosine, 1)


def tan_f32(m: Any, x: Scalar) -> Scalar:
    sine, cosine, q, i = _reduced_f32(m, x)
    odd = i.ne(i.and_(q, 1), 0)
    ratio = m.div(m.select(odd, m.neg(cosine), sine), m.select(odd, sine, cosine))
    return m.select(m.eq(x, 0.0), x, ratio)


def _atan_tail(m: Any, t: Scalar) -> Scalar:
    """atan(t) - t for |t| <= tan(pi/8)."""
    z = m.mul(t, t)
    return m.mul(m.mul(t, z), m.poly(z, c.ATAN_TAIL if m.bits == 64 else c.ATAN_TAIL_F32))


def _atan_of_ratio(m: Any, y: Scalar, x: Scalar) -> Scalar:
    """atan(y / x) for y >= 0 and x >= 0 (one of them not 0), with one division."""
    steep = m.gt(y, m.mul(x, TAN_3PI_8))
    middle = m.gt(y, m.mul(x, TAN_PI_8))
    numerator = m.select(steep, m.neg(x), m.select(middle, m.sub(y, x), y))
    denominator = m.select(steep, y, m.select(middle, m.add(y, x), x))
    t = m.div(numerator, denominator)
    offset = m.select(steep, HALF_PI, m.select(middle, QUARTER_PI, 0.0))
    low = m.select(steep, HALF_PI_LOW, m.select(middle, HALF_PI_LOW / 2, 0.0))
    if m.bits == 32:
        low = m.select(steep, -4.371139e-08, m.select(middle, -2.1855695e-08, 0.0))
    return m.add(offset, m.add(t, m.add(low, _atan_tail(m, t))))


def atan(m: Any, x: Scalar) -> Scalar:
    return m.copysign(_atan_of_ratio(m, m.abs(x), m.c(1.0)), x)


def atan2(m: Any, y: Scalar, x: Scalar) -> Scalar:
    """The angle of (x, y), with the signs of zeros and the infinities of C's atan2."""
    b = m.b
    size_x, size_y = m.abs(x), m.abs(y)
    both = b.all_of([m.eq(size_x, INF), m.eq(size_y, INF)])
    largest = m.max(size_x, size_y)
    top, bottom = m.select(both, 1.0, size_y), m.select(both, 1.0, size_x)
    half = m.ge(largest, 2.0 ** (1020 if m.bits == 64 else 124))
    top = m.select(half, m.mul(top, 2.0**-4), top)
    bottom = m.select(half, m.mul(bottom, 2.0**-4), bottom)
    # (scaled so that the sum and the product in the ratio stay finite)
    angle = _atan_of_ratio(m, top, bottom)
    angle = m.select(m.eq(size_y, 0.0), 0.0, angle)
    negative = m.i.slt(m.bits_of(x), 0)
    pi_low = 1.2246467991473532e-16 if m.bits == 64 else -8.742278e-08
    angle = m.select(negative, m.sub(PI, m.sub(angle, pi_low)), angle)
    nan = b.op("arith.ori", b.i1, [m.isnan(x), m.isnan(y)])
    return m.select(nan, NAN, m.copysign(angle, y))


def _asin_tail(m: Any, z: Scalar) -> Scalar:
    """(asin(s)/s - 1) for z = s^2 <= 1/4."""
    return m.mul(z, m.poly(z, c.ASIN_TAIL if m.bits == 64 else c.ASIN_TAIL_F32))


def asin(m: Any, x: Scalar) -> Scalar:
    """Directly up to 1/2, then pi/2 - 2 asin(sqrt((1 - |x|) / 2))."""
    size = m.abs(x)
    large = m.gt(size, 0.5)
    half = m.mul(m.sub(1.0, size), 0.5)
    z = m.select(large, half, m.mul(size, size))
    s = m.select(large, m.sqrt(half), size)
    inner = m.fma(s, _asin_tail(m, z), s)
    low = HALF_PI_LOW if m.bits == 64 else -4.371139e-08
    outer = m.sub(HALF_PI, m.sub(m.mul(inner, 2.0), low))
    return m.copysign(m.select(large, outer, inner), x)


def acos(m: Any, x: Scalar) -> Scalar:
    size = m.abs(x)
    large = m.gt(size, 0.5)
    half = m.mul(m.sub(1.0, size), 0.5)
    z = m.select(large, half, m.mul(size, size))
    s = m.select(large, m.sqrt(half), size)
    inner = m.fma(s, _asin_tail(m, z), s)
    low = HALF_PI_LOW if m.bits == 64 else -4.371139e-08
    near_zero = m.sub(HALF_PI, m.sub(m.copysign(inner, x), low))
    twice = m.mul(inner, 2.0)
    near_one = m.select(m.lt(x, 0.0), m.sub(PI, m.sub(twice, 2.0 * low)), twice)
    return m.select(large, near_one, near_zero)
