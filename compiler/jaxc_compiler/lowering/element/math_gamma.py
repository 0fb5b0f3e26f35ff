"""Incomplete gamma and beta functions, zeta, polygamma and the scaled Bessel functions, in f64.

Sources: the power series and continued fractions of Abramowitz and Stegun 6.5.29, 6.5.31 and
26.5.8 (the fractions by Lentz's method), Euler and Maclaurin's formula for zeta, our own Chebyshev
series (`bessel_coefficients.py`). Series loop until their terms stop counting, so these functions
are not vectorized; f32 is computed in doubles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxc_compiler.lowering.element import bessel_coefficients as bessel
from jaxc_compiler.lowering.element import math_f64, math_pow, math_special
from jaxc_compiler.lowering.element.base import Scalar

INF, NAN, EPSILON, TINY = float("inf"), float("nan"), 1.1102230246251565e-16, 1e-290
_TERMS = 20000.0
# B_2k / (2k)! for k = 1..12
_EULER_MACLAURIN = (
    0.08333333333333333, -0.001388888888888889, 3.306878306878307e-05, -8.267195767195768e-07,
    2.08767569878681e-08, -5.284190138687493e-10, 1.3382536530684679e-11, -3.3896802963225827e-13,
    8.586062056277845e-15, -2.174868698558062e-16, 5.5090028283602295e-18, -1.3954464685812522e-19,
)  # fmt: skip


def _log_front(m: Any, a: Scalar, x: Scalar) -> Scalar:
    """log of x^a exp(-x) / gamma(a + 1)."""
    power = m.sub(m.mul(a, math_f64.log(m, x)), x)
    return m.sub(power, math_special.lgamma(m, m.add(a, 1.0)))


def _series(m: Any, a: Scalar, x: Scalar) -> tuple[Scalar, Scalar]:
    """S = sum of x^n / ((a+1)...(a+n)) over n >= 0, and its derivative in a."""
    zero, one = m.c(0.0), m.c(1.0)

    def more(v: Sequence[Scalar]) -> Scalar:
        n, term, total, _, _ = v
        small = m.le(m.abs(term), m.mul(m.abs(total), EPSILON * 0.01))
        return m.b.all_of([m.lt(n, _TERMS), m.b.ints(1).xor(small, 1)])

    def step(v: Sequence[Scalar]) -> list[Scalar]:
        n, term, total, harmonic, slope = v
        n = m.add(n, 1.0)
        below = m.add(a, n)
        term = m.mul(term, m.div(x, below))
        harmonic = m.add(harmonic, m.div(1.0, below))
        return [n, term, m.add(total, term), harmonic, m.sub(slope, m.mul(term, harmonic))]

    _, _, total, _, slope = m.b.while_([zero, one, one, zero, zero], more, step)
    return total, slope


def _fraction(m: Any, a: Scalar, x: Scalar) -> Scalar:
    """The continued fraction of gamma(a, x) exp(x) x^-a for x > a + 1."""
    b0 = m.add(m.sub(x, a), 1.0)
    d0 = m.div(1.0, b0)

    def more(v: Sequence[Scalar]) -> Scalar:
        n, _, _, _, change = v
        return m.b.all_of([m.lt(n, _TERMS), m.gt(m.abs(m.sub(change, 1.0)), EPSILON)])

    def step(v: Sequence[Scalar]) -> list[Scalar]:
        n, c, d, h, _ = v
        n = m.add(n, 1.0)
        top = m.mul(m.neg(n), m.sub(n, a))
        bottom = m.add(b0, m.mul(n, 2.0))
        d = m.div(1.0, _away_from_zero(m, m.fma(top, d, bottom)))
        c = _away_from_zero(m, m.add(bottom, m.div(top, c)))
        change = m.mul(c, d)
        return [n, c, d, m.mul(h, change), change]

    inits = [m.c(0.0), m.c(1.0 / TINY), d0, d0, m.c(0.0)]
    return m.b.while_(inits, more, step)[3]


def _away_from_zero(m: Any, x: Scalar) -> Scalar:
    return m.select(m.lt(m.abs(x), TINY), TINY, x)


def _igamma_parts(m: Any, a: Scalar, x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(is the series the small one, P by the series, Q by the fraction), for a > 0, 0 < x < inf."""
    below = m.le(x, m.add(a, 1.0))
    valid = m.b.all_of([m.gt(a, 0.0), m.gt(x, 0.0), m.lt(x, INF), m.lt(a, INF)])
    safe_a, safe_x = m.select(valid, a, 1.0), m.select(valid, x, 1.0)
    low_x = m.select(below, safe_x, m.min(safe_x, m.add(safe_a, 1.0)))
    high_x = m.max(safe_x, m.add(safe_a, 1.0))
    front = math_f64.exp(m, _log_front(m, safe_a, safe_x))
    lower = m.mul(front, _series(m, safe_a, low_x)[0])
    upper = m.mul(m.mul(front, safe_a), _fraction(m, safe_a, high_x))
    return below, lower, upper


def _igamma_edges(m: Any, a: Scalar, x: Scalar, value: Scalar, at_zero: float) -> Scalar:
    b = m.b
    value = m.select(m.eq(x, 0.0), at_zero, value)
    value = m.select(m.eq(x, INF), 1.0 - at_zero, value)
    invalid = b.op("arith.ori", b.i1, [m.lt(x, 0.0), m.le(a, 0.0)])
    nan = b.op("arith.ori", b.i1, [m.isnan(x), m.isnan(a)])
    return m.select(b.op("arith.ori", b.i1, [invalid, nan]), NAN, value)


def igamma(m: Any, a: Scalar, x: Scalar) -> Scalar:
    """The regularized lower incomplete gamma function P(a, x)."""
    below, lower, upper = _igamma_parts(m, a, x)
    return _igamma_edges(m, a, x, m.select(below, lower, m.sub(1.0, upper)), 0.0)


def igammac(m: Any, a: Scalar, x: Scalar) -> Scalar:
    """The regularized upper incomplete gamma function Q(a, x) = 1 - P(a, x)."""
    below, lower, upper = _igamma_parts(m, a, x)
    return _igamma_edges(m, a, x, m.select(below, m.sub(1.0, lower), upper), 1.0)


def _relative_slope(m: Any, a: Scalar, x: Scalar) -> Scalar:
    """dP/da over x^a exp(-x) / gamma(a + 1)."""
    total, slope = _series(m, a, x)
    log_slope = m.sub(math_f64.log(m, x), math_special.digamma(m, m.add(a, 1.0)))
    return m.fma(log_slope, total, slope)


def igamma_grad_a(m: Any, a: Scalar, x: Scalar) -> Scalar:
    """dP(a, x) / da."""
    valid = m.b.all_of([m.gt(a, 0.0), m.gt(x, 0.0), m.lt(x, INF)])
    safe_a, safe_x = m.select(valid, a, 1.0), m.select(valid, x, 1.0)
    front = math_f64.exp(m, _log_front(m, safe_a, safe_x))
    value = m.mul(front, _relative_slope(m, safe_a, safe_x))
    return _gradient_edges(m, a, x, m.select(valid, value, 0.0))


def random_gamma_grad(m: Any, a: Scalar, x: Scalar) -> Scalar:
    """dx / da at a fixed P(a, x): minus dP/da over the density, x / a times its front."""
    valid = m.b.all_of([m.gt(a, 0.0), m.gt(x, 0.0), m.lt(x, INF)])
    safe_a, safe_x = m.select(valid, a, 1.0), m.select(valid, x, 1.0)
    value = m.mul(m.neg(m.div(safe_x, safe_a)), _relative_slope(m, safe_a, safe_x))
    return _gradient_edges(m, a, x, m.select(valid, value, 0.0))


def _gradient_edges(m: Any, a: Scalar, x: Scalar, value: Scalar) -> Scalar:
    b = m.b
    invalid = b.op("arith.ori", b.i1, [m.lt(x, 0.0), m.le(a, 0.0)])
    nan = b.op("arith.ori", b.i1, [m.isnan(x), m.isnan(a)])
    return m.select(b.op("arith.ori", b.i1, [invalid, nan]), NAN, value)


def zeta(m: Any, s: Scalar, q: Scalar) -> Scalar:
    """Hurwitz's zeta function for s > 1 and q > 0."""
    total, negative = m.c(0.0), m.neg(s)
    for k in range(9):
        total = m.add(total, math_pow.pow_(m, m.add(q, float(k)), negative))
    w = m.add(q, 9.0)
    power = math_pow.pow_(m, w, negative)
    total = m.add(total, m.fma(power, 0.5, m.div(m.mul(power, w), m.sub(s, 1.0))))
    rising, scale, inverse = s, m.div(power, w), m.div(1.0, m.mul(w, w))
    for k, coefficient in enumerate(_EULER_MACLAURIN):
        total = m.fma(m.mul(rising, scale), coefficient, total)
        rising = m.mul(rising, m.mul(m.add(s, 2.0 * k + 1), m.add(s, 2.0 * k + 2)))
        scale = m.mul(scale, inverse)
    value = m.select(m.eq(s, 1.0), INF, m.select(m.lt(s, 1.0), NAN, total))
    pole = m.b.all_of([m.le(q, 0.0), m.is_whole(q)])
    root = m.b.all_of([m.le(q, 0.0), m.is_fraction(s)])
    return m.select(pole, INF, m.select(root, NAN, value))


def polygamma(m: Any, order: Scalar, x: Scalar) -> Scalar:
    """(-1)^(n+1) n! zeta(n + 1, x) for n > 0, digamma for n = 0."""
    b = m.b
    next_order = m.add(order, 1.0)
    factorial = math_f64.exp(m, math_special.lgamma(m, next_order))
    value = m.mul(factorial, zeta(m, m.max(next_order, 1.5), x))
    half = m.mul(order, 0.5)
    value = m.select(m.is_whole(half), m.neg(value), value)
    value = m.select(m.eq(order, 0.0), math_special.digamma(m, x), value)
    bad = b.op("arith.ori", b.i1, [m.lt(order, 0.0), m.is_fraction(order)])
    return m.select(bad, NAN, value)


def _beta_fraction(m: Any, a: Scalar, b: Scalar, x: Scalar) -> Scalar:
    """The continued fraction of the incomplete beta function, for x < (a + 1) / (a + b + 2)."""
    both, up, down = m.add(a, b), m.add(a, 1.0), m.sub(a, 1.0)
    first = m.sub(1.0, m.div(m.mul(both, x), up))
    d0 = m.div(1.0, _away_from_zero(m, first))

    def more(v: Sequence[Scalar]) -> Scalar:
        n, _, _, _, change = v
        return m.b.all_of([m.lt(n, _TERMS), m.gt(m.abs(m.sub(change, 1.0)), EPSILON)])

    def half_step(c: Scalar, d: Scalar, top: Scalar) -> tuple[Scalar, Scalar]:
        d = m.div(1.0, _away_from_zero(m, m.fma(top, d, 1.0)))
        return _away_from_zero(m, m.add(m.div(top, c), 1.0)), d

    def step(v: Sequence[Scalar]) -> list[Scalar]:
        n, c, d, h, _ = v
        n = m.add(n, 1.0)
        twice = m.add(n, n)
        even = m.mul(m.mul(n, m.sub(b, n)), x)
        even = m.div(even, m.mul(m.add(down, twice), m.add(a, twice)))
        c, d = half_step(c, d, even)
        h = m.mul(h, m.mul(c, d))
        odd = m.mul(m.mul(m.neg(m.add(a, n)), m.add(both, n)), x)
        odd = m.div(odd, m.mul(m.add(a, twice), m.add(up, twice)))
        c, d = half_step(c, d, odd)
        change = m.mul(c, d)
        return [n, c, d, m.mul(h, change), change]

    inits = [m.c(0.0), m.c(1.0), d0, d0, m.c(0.0)]
    return m.b.while_(inits, more, step)[3]


def regularized_incomplete_beta(m: Any, a: Scalar, b: Scalar, x: Scalar) -> Scalar:
    """I_x(a, b), by the fraction of whichever tail converges."""
    ok = m.b.all_of([m.gt(a, 0.0), m.gt(b, 0.0), m.gt(x, 0.0), m.lt(x, 1.0)])
    sa, sb, sx = (m.select(ok, v, 0.5) for v in (a, b, x))
    swap = m.gt(sx, m.div(m.add(sa, 1.0), m.add(m.add(sa, sb), 2.0)))
    p, q = m.select(swap, sb, sa), m.select(swap, sa, sb)
    y = m.select(swap, m.sub(1.0, sx), sx)
    log_y, log_rest = math_f64.log(m, y), math_f64.log1p(m, m.neg(y))
    log_beta = m.sub(
        m.add(math_special.lgamma(m, p), math_special.lgamma(m, q)),
        math_special.lgamma(m, m.add(p, q)),
    )
    power = m.sub(m.fma(p, log_y, m.mul(q, log_rest)), log_beta)
    value = m.div(m.mul(math_f64.exp(m, power), _beta_fraction(m, p, q, y)), p)
    value = m.select(swap, m.sub(1.0, value), value)
    positive = m.b.all_of([m.gt(a, 0.0), m.gt(b, 0.0)])
    edge = m.select(m.eq(x, 0.0), 0.0, m.select(m.eq(x, 1.0), 1.0, NAN))
    return m.select(ok, value, m.select(positive, edge, NAN))


def _chebyshev(m: Any, t: Scalar, coefficients: Sequence[float]) -> Scalar:
    """Clenshaw's recurrence."""
    twice = m.add(t, t)
    b1, b2 = m.c(0.0), m.c(0.0)
    for coefficient in coefficients[:-1]:
        b1, b2 = m.add(m.fma(twice, b1, m.neg(b2)), coefficient), b1
    return m.add(m.fma(t, b1, m.neg(b2)), coefficients[-1])


def _bessel(m: Any, size: Scalar, near: Sequence[float], far: Sequence[float]) -> Any:
    small = _chebyshev(m, m.fma(m.min(size, 8.0), 0.25, -1.0), near)
    big = m.max(size, 8.0)
    large = _chebyshev(m, m.sub(m.div(16.0, big), 1.0), far)
    return small, m.div(large, m.sqrt(big))


def bessel_i0e(m: Any, x: Scalar) -> Scalar:
    size = m.abs(x)
    small, large = _bessel(m, size, bessel.BESSEL_I0_NEAR, bessel.BESSEL_I0_FAR)
    return m.select(m.le(size, 8.0), small, large)


def bessel_i1e(m: Any, x: Scalar) -> Scalar:
    size = m.abs(x)
    small, large = _bessel(m, size, bessel.BESSEL_I1_NEAR, bessel.BESSEL_I1_FAR)
    return m.copysign(m.select(m.le(size, 8.0), m.mul(small, size), large), x)
