"""exp, log and their kin for f64 (and for f32 where double arithmetic is the cheap way).

Branch-free, so that LLVM vectorizes them; no libm symbol. Methods: Cody and Waite's reduction for
exp, fdlibm's atanh series and correction term for log and log1p; polynomials of our own
(`coefficients.py`).
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element import coefficients as c
from jaxc_compiler.lowering.element.base import Scalar

INF, NAN = float("inf"), float("nan")
LN2 = 0.6931471805599453
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # high part: 32 bits
LOG2E = 1.4426950408889634
_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD


def power_of_two(m: Any, n: Scalar) -> Scalar:
    """2^n for an integer scalar n of a normal exponent."""
    return m.of_bits(m.i.shl(m.i.add(n, 1023), 52))


def _split(m: Any, x: Scalar) -> tuple[Scalar, Scalar]:
    """(bits whose low part is n, r): x = n log(2) + r."""
    n, bits = m.nearest(x, LOG2E)
    return bits, m.fma(n, -LN2_LOW, m.fma(n, -LN2_HIGH, x))


def exp_scaled(m: Any, x: Scalar, low: Scalar | None = None, power: int = 0) -> Scalar:
    """exp(x + low) * 2^power rounded once; overflow gives inf."""
    x = m.min(m.max(x, -800.0), 800.0)  # 2^n is then a product of two normal numbers
    bits, r = _split(m, x)
    if low is not None:
        r = m.add(r, low)
    value = m.add(m.fma(m.mul(r, r), m.poly(r, c.EXP_TAIL), r), 1.0)
    # Two factors: 2^1024 and 2^-1074 are no doubles.
    i = m.i
    n = i.ashr(i.shl(bits, 32), 32)
    if power:
        n = i.add(n, power)
    half = i.ashr(n, 1)
    return m.mul(m.mul(value, power_of_two(m, half)), power_of_two(m, i.sub(n, half)))


def exp(m: Any, x: Scalar) -> Scalar:
    return exp_scaled(m, x)


def exp2(m: Any, x: Scalar) -> Scalar:
    """2^x: the fraction of x is exact, so only the polynomial rounds."""
    x = m.min(m.max(x, -1500.0), 1500.0)
    whole, bits = m.nearest(x)
    fraction = m.sub(x, whole)
    r = m.mul(fraction, LN2)
    error = m.exact_fma(fraction, LN2, m.neg(r))
    error = m.fma(fraction, 2.3190468138462996e-17, error)
    value = m.add(m.add(m.fma(m.mul(r, r), m.poly(r, c.EXP_TAIL), error), r), 1.0)
    i = m.i
    n = i.ashr(i.shl(bits, 32), 32)
    half = i.ashr(n, 1)
    return m.mul(m.mul(value, power_of_two(m, half)), power_of_two(m, i.sub(n, half)))


def expm1(m: Any, x: Scalar) -> Scalar:
    """2^n expm1(r) + (2^n - 1): one rounding each, no cancellation."""
    clamped = m.min(m.max(x, -50.0), 709.9)
    bits, r = _split(m, clamped)
    p = m.fma(m.mul(r, r), m.poly(r, c.EXP_TAIL), r)
    # 2^1024 is no double: work with half of it.
    half = m.of_bits(m.i.shl(m.i.add(bits, 1022), 52))
    result = m.mul(m.fma(p, half, m.rounded(m.sub(half, 0.5))), 2.0)
    return m.select(m.lt(m.abs(x), 1e-17), x, result)


def _log_parts(m: Any, u: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(k, its exponent bits, f) with u = 2^k (1 + f) and 1 + f in [sqrt(1/2), sqrt(2))."""
    i = m.i
    bits = m.bits_of(u)
    exponent = i.and_(i.sub(bits, _SQRT_HALF_BITS), -(1 << 52))
    f = m.rounded(m.sub(m.of_bits(i.sub(bits, exponent)), 1.0))
    k = i.ashr(exponent, 52)
    return m.cast("arith.sitofp", k), exponent, f


def _log_of_parts(m: Any, k: Scalar, f: Scalar, low: Any = 0.0) -> Scalar:
    """k log(2) + log(1 + f), `low` a small term to add."""
    s = m.div(f, m.add(f, 2.0))
    z = m.mul(s, s)
    half_square = m.mul(m.mul(f, 0.5), f)
    tail = m.mul(z, m.poly(z, c.LOG_TAIL))
    inner = m.fma(s, m.add(half_square, tail), m.fma(k, LN2_LOW, low))
    return m.fma(k, LN2_HIGH, m.sub(f, m.sub(half_square, inner)))


def _log_edges(m: Any, u: Scalar, value: Scalar) -> Scalar:
    """log's values at 0, infinity and outside its domain, else `value`."""
    value = m.select(m.lt(u, INF), value, m.add(u, 0.0))
    value = m.select(m.lt(u, 0.0), NAN, value)
    return m.select(m.eq(u, 0.0), -INF, value)


def log(m: Any, x: Scalar) -> Scalar:
    k, _, f = _log_parts(m, x)
    return _log_edges(m, x, _log_of_parts(m, k, f))


def log1p(m: Any, x: Scalar) -> Scalar:
    """log(1 + x): what 1 + x rounds away is added to the reduced argument."""
    i = m.i
    u = m.rounded(m.add(x, 1.0))
    lost = m.sub(x, m.rounded(m.sub(u, 1.0)))
    big = m.ge(m.abs(x), 1.0)  # then the larger operand of 1 + x is x
    lost = m.select(big, m.sub(1.0, m.rounded(m.sub(u, x))), lost)
    k, exponent, f = _log_parts(m, u)
    scale = i.binary("arith.maxsi", i.sub(1023 << 52, exponent), 1 << 52)
    f = m.fma(lost, m.of_bits(scale), f)
    value = _log_edges(m, u, _log_of_parts(m, k, f))
    return m.select(m.eq(x, 0.0), x, value)


def tanh(m: Any, x: Scalar) -> Scalar:
    """-t / (t + 2) with t = expm1(-2|x|) in (-1, 0]."""
    t = expm1(m, m.mul(m.abs(x), -2.0))
    return m.copysign(m.div(t, m.add(t, 2.0)), x)


def logistic(m: Any, x: Scalar) -> Scalar:
    return m.div(1.0, m.add(exp(m, m.neg(x)), 1.0))


def exp_half(m: Any, x: Scalar) -> Scalar:
    """exp(x) / 2, which is finite a little longer."""
    return exp_scaled(m, x, power=-1)


def cbrt(m: Any, x: Scalar) -> Scalar:
    """Kahan's estimate by dividing the exponent by 3, then Halley's and Newton's steps."""
    i = m.i
    size = m.abs(x)
    tiny, huge = m.lt(size, 2.0**-800), m.gt(size, 2.0**900)
    scaled = m.mul(size, m.select(tiny, 2.0**150, m.select(huge, 2.0**-150, 1.0)))
    # A third of the bit pattern by multiplication: vector units have no integer division.
    high = i.lshr(m.bits_of(scaled), 32)
    third = i.add(i.lshr(i.mul(high, 0x55555556), 32), 715094163)
    t = m.of_bits(i.shl(third, 32))
    for _ in range(2):
        cube = m.mul(m.mul(t, t), t)
        ratio = m.div(m.sub(cube, scaled), m.fma(cube, 2.0, scaled))
        t = m.sub(t, m.mul(t, ratio))
    square = m.mul(t, t)
    error = m.exact_fma(m.neg(square), t, scaled)
    error = m.sub(error, m.mul(m.exact_fma(t, t, m.neg(square)), t))
    t = m.add(t, m.div(error, m.mul(square, 3.0)))
    t = m.mul(t, m.select(tiny, 2.0**-50, m.select(huge, 2.0**50, 1.0)))
    edge = m.b.op("arith.andi", m.b.i1, [m.lt(size, INF), m.gt(size, 0.0)])
    return m.select(edge, m.copysign(t, x), x)


def rsqrt(m: Any, x: Scalar) -> Scalar:
    return m.div(1.0, m.sqrt(x))
