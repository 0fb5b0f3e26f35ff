"""erf, erfc, erf_inv, lgamma, digamma and the scaled Bessel functions for f64.

Sources: our own Chebyshev fits (`coefficients.py`) for erf, erfc and lgamma; Wichura's AS 241 for
erf_inv; recurrence and asymptotic series (Abramowitz and Stegun 6.1.40, 6.3.18) elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxc_compiler.lowering.element import coefficients as c
from jaxc_compiler.lowering.element import math_f32, math_f64, math_trig
from jaxc_compiler.lowering.element.base import Scalar

INF, NAN, PI = float("inf"), float("nan"), 3.141592653589793
_HALF_LOG_TWO_PI, _LOG_PI = 0.9189385332046727, 1.1447298858494002

_NORMAL = (
    ((2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
      4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
      1.3314166789178437745e2, 3.3871328727963666080e0),
     (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
      2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
      4.2313330701600911252e1, 1.0)),
    ((7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
      1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
      4.63033784615654529590e0, 1.42343711074968357734e0),
     (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
      1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
      2.05319162663775882187e0, 1.0)),
    ((2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
      2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0,
      5.46378491116411436990e0, 6.65790464350110377720e0),
     (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
      7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
      5.99832206555887937690e-1, 1.0)),
)  # fmt: skip
# B_2k / (2k (2k-1)) and B_2k / 2k, highest k first
_STIRLING = (
    -0.02955065359477124, 0.00641025641025641, -0.0019175269175269176, 0.0008417508417508417,
    -0.0005952380952380953, 0.0007936507936507937, -0.002777777777777778, 0.08333333333333333,
)  # fmt: skip
_PSI = (
    -0.4432598039215686, 0.08333333333333333, -0.021092796092796094, 0.007575757575757576,
    -0.004166666666666667, 0.003968253968253968, -0.008333333333333333, 0.08333333333333333,
)  # fmt: skip


def _erfc_large(m: Any, size: Scalar) -> Scalar:
    """erfc for 0.5 <= size: exp(-size^2) (the square in two parts) times the scaled function."""
    size = m.min(size, 28.0)
    square = m.mul(size, size)
    error = m.exact_fma(size, size, m.neg(square))
    t = m.div(m.sub(size, 4.0), m.add(size, 4.0))
    scaled = m.div(m.poly(t, c.ERFCX), m.fma(size, 2.0, 1.0))
    return m.mul(math_f64.exp_scaled(m, m.neg(square), m.neg(error)), scaled)


def erf(m: Any, x: Scalar) -> Scalar:
    size = m.abs(x)
    small = m.mul(x, m.poly(m.mul(x, x), c.ERF_SMALL))
    large = m.copysign(m.sub(1.0, _erfc_large(m, m.max(size, 0.5))), x)
    return m.select(m.lt(size, 1.0), small, large)


def erfc(m: Any, x: Scalar) -> Scalar:
    size = m.abs(x)
    small = m.sub(1.0, m.mul(x, m.poly(m.mul(x, x), c.ERF_SMALL)))
    large = _erfc_large(m, m.max(size, 0.5))
    large = m.select(m.lt(x, 0.0), m.sub(2.0, large), large)
    return m.select(m.lt(size, 0.5), small, large)


def _chosen(m: Any, x: Scalar, near: Scalar, far: Scalar, rows: Sequence[Any]) -> Scalar:
    """The polynomial of one of three rows at x."""
    result = None
    for first, second, third in zip(*rows):
        coefficient = m.select(near, first, m.select(far, third, second))
        result = coefficient if result is None else m.fma(result, x, coefficient)
    return result


def erf_inv(m: Any, x: Scalar) -> Scalar:
    """The normal quantile (AS 241) of (1 + x) / 2, over sqrt(2)."""
    size = m.abs(x)
    near = m.le(size, 0.85)
    half = m.mul(x, 0.5)
    tail = m.sqrt(m.neg(math_f64.log(m, m.mul(m.sub(1.0, size), 0.5))))
    far = m.gt(tail, 5.0)
    central = m.fma(m.neg(half), half, 0.180625)
    r = m.select(near, central, m.select(far, m.sub(tail, 5.0), m.sub(tail, 1.6)))
    top = _chosen(m, r, near, far, [row[0] for row in _NORMAL])
    bottom = _chosen(m, r, near, far, [row[1] for row in _NORMAL])
    ratio = m.div(top, bottom)
    value = m.select(near, m.mul(half, ratio), m.copysign(ratio, x))
    value = m.mul(value, 0.7071067811865476)
    return m.select(m.eq(size, 1.0), m.mul(x, INF), value)


# lgamma and digamma are good for either width; f32 itself is used where there are no doubles.


def _log(m: Any, x: Scalar) -> Scalar:
    return math_f64.log(m, x) if m.bits == 64 else math_f32.log(m, x)


def _sin(m: Any, x: Scalar) -> Scalar:
    return math_trig.sin(m, x) if m.bits == 64 else math_f32.sin_without_doubles(m, x)


def _cos(m: Any, x: Scalar) -> Scalar:
    return math_trig.cos(m, x) if m.bits == 64 else math_f32.cos_without_doubles(m, x)


def _lgamma_positive(m: Any, x: Scalar) -> Scalar:
    """lgamma of x > 0: recurrence into [1, 3] or Stirling's series."""
    below = m.lt(x, 1.0)
    t = m.select(below, m.add(x, 1.0), x)
    product = m.select(below, x, 1.0)
    down = None
    for step in range(5):  # 3 <= t < 8 comes down to [2, 3)
        large = m.ge(t, 3.0)
        t = m.select(large, m.sub(t, 1.0), t)
        factor = m.select(large, t, 1.0)
        down = factor if step == 0 else m.mul(down, factor)
    shift = m.select(below, m.sub(x, 1.0), m.sub(t, 2.0))  # x + 1 - 2 would lose digits
    middle = m.mul(
        m.mul(shift, m.select(below, x, m.add(shift, 1.0))), m.poly(shift, c.LGAMMA_MIDDLE)
    )
    logarithm = _log(m, m.select(below, product, down))
    middle = m.select(below, m.sub(middle, logarithm), m.add(middle, logarithm))
    big = m.max(x, 8.0)
    inverse = m.div(1.0, big)
    series = m.mul(inverse, m.poly(m.mul(inverse, inverse), _STIRLING))
    log_x = _log(m, big)
    stirling = m.add(
        m.mul(m.sub(big, 0.5), m.sub(log_x, 1.0)), m.add(series, _HALF_LOG_TWO_PI - 0.5)
    )
    return m.select(m.lt(x, 8.0), middle, stirling)


def lgamma(m: Any, x: Scalar) -> Scalar:
    """log|gamma(x)|; for x < 0 by Euler's reflection. Infinite at the poles."""
    size = m.abs(x)
    smallest = 2.2250738585072014e-308 if m.bits == 64 else 1.1754944e-38
    positive = _lgamma_positive(m, m.max(size, smallest))
    fraction = m.sub(size, m.floor(size))
    sine = m.abs(_sin(m, m.mul(fraction, PI)))
    # Not log(pi / (size * sine)): of a tiny size the product would vanish.
    logs = m.add(_log(m, size), _log(m, sine))
    reflected = m.sub(m.sub(_LOG_PI, logs), positive)
    value = m.select(m.lt(x, 0.0), reflected, positive)
    pole = m.b.all_of([m.le(x, 0.0), m.is_whole(x)])
    value = m.select(pole, INF, value)
    return m.select(m.lt(size, INF), value, m.add(size, 0.0))


def digamma(m: Any, x: Scalar) -> Scalar:
    """Recurrence up to 10, then the asymptotic series; for x < 1/2 by reflection."""
    b = m.b
    reflect = m.lt(x, 0.5)
    t = m.select(reflect, m.sub(1.0, x), x)
    correction = m.c(0.0)
    for _ in range(10):
        small = m.lt(t, 10.0)
        correction = m.add(correction, m.select(small, m.div(1.0, t), 0.0))
        t = m.select(small, m.add(t, 1.0), t)
    inverse = m.div(1.0, t)
    z = m.mul(inverse, inverse)
    series = m.fma(inverse, 0.5, m.mul(z, m.poly(z, _PSI)))
    value = m.sub(m.sub(_log(m, t), series), correction)
    # cot(pi x) of x less the nearest integer, which loses no digits
    fraction = m.sub(x, m.roundeven(x))
    angle = m.mul(fraction, PI)
    cotangent = m.div(_cos(m, angle), _sin(m, angle))
    value = m.select(reflect, m.sub(value, m.mul(cotangent, PI)), value)
    pole = b.all_of([m.le(x, 0.0), m.is_whole(x)])
    value = m.select(pole, NAN, value)
    return m.select(m.eq(x, INF), INF, value)
