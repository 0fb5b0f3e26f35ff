"""pow, integer pow and fmod.

f64 pow takes the logarithm in double-double (so that an exponent of 1000 costs no digits), f32 pow
goes through doubles. fmod is exact. Integer powers wrap around, as repeated multiplication does.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element import math_f64
from jaxc_compiler.lowering.element.base import Scalar

INF, NAN = float("inf"), float("nan")
_TWO_THIRDS, _TWO_THIRDS_LOW = 0.6666666666666666, 3.700743415417188e-17
# 2/5 + 2/7 z + 2/9 z^2 + ...: the atanh series beyond its second term
_LOG_SERIES = tuple(2.0 / k for k in range(29, 4, -2))


def _fast_two_sum(m: Any, x: Scalar, y: Scalar) -> tuple[Scalar, Scalar]:
    total = m.add(x, y)
    return total, m.add(m.sub(x, total), y)


def _log_double_double(m: Any, x: Scalar) -> tuple[Scalar, Scalar]:
    """log(x) of a positive finite x as an unevaluated sum, right to about 2^-65."""
    k, _, f = math_f64._log_parts(m, x)
    d = m.add(f, 2.0)
    d_low = m.sub(f, m.sub(d, 2.0))
    s = m.div(f, d)
    s_low = m.div(m.fma(m.neg(s), d_low, m.fma(m.neg(s), d, f)), d)
    z = m.mul(s, s)
    z_low = m.fma(m.mul(s, 2.0), s_low, m.fma(s, s, m.neg(z)))
    tail = m.mul(z, m.poly(z, _LOG_SERIES))
    w = m.add(tail, _TWO_THIRDS)
    w_low = m.add(m.add(m.sub(_TWO_THIRDS, w), tail), _TWO_THIRDS_LOW)
    cube = m.mul(s, z)
    cube_low = m.fma(s, z_low, m.fma(s_low, z, m.fma(s, z, m.neg(cube))))
    t = m.mul(cube, w)
    t_low = m.fma(cube, w_low, m.fma(cube_low, w, m.fma(cube, w, m.neg(t))))
    high, low = _fast_two_sum(m, m.mul(s, 2.0), t)
    low = m.add(low, m.add(t_low, m.mul(s_low, 2.0)))
    base = m.mul(k, math_f64.LN2_HIGH)  # exact
    total = m.add(base, high)
    back = m.sub(total, base)
    error = m.add(m.sub(base, m.sub(total, back)), m.sub(high, back))
    low = m.add(m.fma(k, math_f64.LN2_LOW, low), error)
    return _fast_two_sum(m, total, low)


def _pow_size_f64(m: Any, size: Scalar, y: Scalar) -> Scalar:
    """size ** y for size >= 0."""
    high, low = _log_double_double(m, size)
    edge = m.b.all_of([m.gt(size, 0.0), m.lt(size, INF)])
    high = m.select(edge, high, m.select(m.eq(size, 0.0), -INF, size))
    product = m.mul(y, high)
    rest = m.fma(y, low, m.fma(y, high, m.neg(product)))
    usual = m.b.all_of([edge, m.lt(m.abs(product), 1400.0)])
    return math_f64.exp_scaled(m, product, m.select(usual, rest, 0.0))


def pow_(m: Any, x: Scalar, y: Scalar) -> Scalar:
    """x ** y with C's special values: 1 if y is 0 or x is 1, NaN for a root of a negative."""
    size = m.abs(x)
    if m.bits == 64:
        value = _pow_size_f64(m, size, y)
    else:
        wide = m.b.floats("float64")
        logarithm = math_f64.log(wide, wide.cast("arith.extf", size))
        product = wide.mul(wide.cast("arith.extf", y), logarithm)
        value = m.cast("arith.truncf", math_f64.exp(wide, product))
    b = m.b
    whole = m.is_whole(y)
    half = m.mul(y, 0.5)
    odd = b.all_of([whole, m.is_fraction(half)])
    negative = m.i.slt(m.bits_of(x), 0)
    value = m.select(b.all_of([negative, odd]), m.neg(value), value)
    finite_root = b.all_of([m.lt(x, 0.0), m.gt(x, -INF), m.is_fraction(y)])
    value = m.select(finite_root, NAN, value)
    unit = b.all_of([m.eq(size, 1.0), m.eq(m.abs(y), INF)])
    one = b.op("arith.ori", b.i1, [m.eq(y, 0.0), m.eq(x, 1.0)])
    return m.select(b.op("arith.ori", b.i1, [one, unit]), 1.0, value)


def int_pow(signed: bool) -> Any:
    """x ** y by squaring; a negative exponent gives 0 unless x is 1 or -1."""

    def function(m: Any, x: Scalar, y: Scalar) -> Scalar:
        b = m.b
        exponent, result, base = y, m.c(1), x
        with b.for_(0, m.bits, 1, [result, base, exponent]) as loop:
            result, base, exponent = loop.args
            bit = m.ne(m.and_(exponent, 1), 0)
            product = m.select(bit, m.mul(result, base), result)
            loop.yields = [product, m.mul(base, base), m.lshr(exponent, 1)]
        result = loop.results[0]
        if not signed:
            return result
        odd = m.ne(m.and_(y, 1), 0)
        unit = m.select(m.eq(x, 1), 1, m.select(m.eq(x, -1), m.select(odd, -1, 1), 0))
        return m.select(m.slt(y, 0), unit, result)

    return function


def fmod(m: Any, x: Scalar, y: Scalar) -> Scalar:
    """The remainder of truncating division, exact, with the sign of x.

    A long quotient is taken off in pieces that a float holds exactly, the highest first. Doubles
    need no pieces for most f32 operands; targets without doubles work in f32.
    """
    b = m.b
    work = m if m.bits == 32 and b.native_math else b.floats("float64")
    mantissa, piece, scale = (52, 48, 1366) if work.bits == 64 else (23, 20, 3277)
    size_x, size_y = m.abs(x), m.abs(y)
    usable = b.all_of([m.lt(size_x, INF), m.lt(size_y, INF), m.gt(size_y, 0.0)])
    if work.bits != m.bits:
        size_x, size_y = (work.cast("arith.extf", v) for v in (size_x, size_y))
    i = work.i
    top, bottom = work.select(usable, size_x, 1.0), work.select(usable, size_y, 1.0)
    gap = i.sub(i.lshr(work.bits_of(top), mantissa), i.lshr(work.bits_of(bottom), mantissa))
    # gap // piece, by multiplication
    pieces = i.lshr(i.mul(i.binary("arith.maxsi", gap, 0), scale), 16)
    with b.for_(0, b.to_index(pieces), 1, [top]) as loop:
        left = i.sub(pieces, b.from_index(loop.index, i.bits))
        scaled = i.add(work.bits_of(bottom), i.shl(i.mul(left, piece), mantissa))
        loop.yields = [_take_off(work, loop.args[0], work.of_bits(scaled))]
    rest = _take_off(work, loop.results[0], bottom)
    if work.bits != m.bits:
        rest = m.cast("arith.truncf", rest)
    infinite = b.all_of([m.lt(m.abs(x), INF), m.eq(m.abs(y), INF)])
    return m.select(usable, m.copysign(rest, x), m.select(infinite, x, NAN))


def _take_off(m: Any, x: Scalar, y: Scalar) -> Scalar:
    """x mod y for x / y within the mantissa: the fma is exact, the quotient off by one at most."""
    quotient = m.floor(m.div(x, y))
    rest = m.fma(m.neg(quotient), y, x)
    rest = m.select(m.lt(rest, 0.0), m.add(rest, y), rest)
    return m.select(m.ge(rest, y), m.sub(rest, y), rest)
