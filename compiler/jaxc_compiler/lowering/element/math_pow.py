"""pow, integer pow and fmod.

pow takes the logarithm as a sum of two floats (so that an exponent of 1000 costs no digits); of f32
in doubles, where there are any. fmod is exact. Integer powers wrap around, as repeated
multiplication does.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element import math_f32, math_f64
from jaxc_compiler.lowering.element.base import Scalar

INF, NAN = float("inf"), float("nan")
# 2/3 in two parts, and how many terms of the series count: of f64 and f32.
_TWO_THIRDS = {64: (0.6666666666666666, 3.700743415417188e-17), 32: (0.6666667, -1.9868216e-08)}
_LOG_TERMS = {64: 13, 32: 6}
# 2/5 + 2/7 z + 2/9 z^2 + ...: the atanh series beyond its second term
_LOG_SERIES = tuple(2.0 / k for k in range(29, 4, -2))


def _log_in_parts(m: Any, x: Scalar) -> tuple[Scalar, Scalar]:
    """log(x) of a positive finite x as a sum of two floats, 12 bits more than one holds."""
    base = math_f64 if m.bits == 64 else math_f32
    two_thirds, two_thirds_low = _TWO_THIRDS[m.bits]
    k, _, f = base._log_parts(m, x)
    d = m.rounded(m.add(f, 2.0))
    d_low = m.sub(f, m.rounded(m.sub(d, 2.0)))
    s = m.rounded(m.div(f, d))
    s_low = m.div(m.fma(m.neg(s), d_low, m.exact_fma(m.neg(s), d, f)), d)
    z = m.rounded(m.mul(s, s))
    z_low = m.fma(m.mul(s, 2.0), s_low, m.exact_fma(s, s, m.neg(z)))
    tail = m.mul(z, m.poly(z, _LOG_SERIES[-_LOG_TERMS[m.bits] :]))
    w, w_low = m.fast_two_sum(m.c(two_thirds), tail)
    w_low = m.add(w_low, two_thirds_low)
    cube = m.rounded(m.mul(s, z))
    cube_low = m.fma(s, z_low, m.fma(s_low, z, m.exact_fma(s, z, m.neg(cube))))
    t = m.rounded(m.mul(cube, w))
    t_low = m.fma(cube, w_low, m.fma(cube_low, w, m.exact_fma(cube, w, m.neg(t))))
    high, low = m.fast_two_sum(m.mul(s, 2.0), t)
    low = m.add(low, m.add(t_low, m.mul(s_low, 2.0)))
    total, error = m.two_sum(m.mul(k, base.LN2_HIGH), high)  # the product is exact
    low = m.add(m.fma(k, base.LN2_LOW, low), error)
    return m.fast_two_sum(total, low)


def _pow_size(m: Any, size: Scalar, y: Scalar) -> Scalar:
    """size ** y for size >= 0, in floats of m's width."""
    high, low = _log_in_parts(m, size)
    edge = m.b.all_of([m.gt(size, 0.0), m.lt(size, INF)])
    high = m.select(edge, high, m.select(m.eq(size, 0.0), -INF, size))
    product = m.mul(y, high)
    rest = m.fma(y, low, m.exact_fma(y, high, m.neg(product)))
    usual = m.b.all_of([edge, m.lt(m.abs(product), 1400.0)])
    exp = math_f64.exp_scaled if m.bits == 64 else math_f32.exp_of_sum
    return exp(m, product, m.select(usual, rest, 0.0))


def _pow_size_by_doubles(m: Any, size: Scalar, y: Scalar) -> Scalar:
    wide = m.b.floats("float64")
    logarithm = math_f64.log(wide, wide.cast("arith.extf", size))
    product = wide.mul(wide.cast("arith.extf", y), logarithm)
    return m.cast("arith.truncf", math_f64.exp(wide, product))


def pow_(m: Any, x: Scalar, y: Scalar) -> Scalar:
    """x ** y with C's special values: 1 if y is 0 or x is 1, NaN for a root of a negative."""
    size = m.abs(x)
    in_own_width = m.bits == 64 or m.b.relaxed
    value = (_pow_size if in_own_width else _pow_size_by_doubles)(m, size, y)
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
    """The remainder of truncating division, exact, with the sign of x."""
    b = m.b
    size_x, size_y = m.abs(x), m.abs(y)
    usable = b.all_of([m.lt(size_x, INF), m.lt(size_y, INF), m.gt(size_y, 0.0)])
    top, bottom = m.select(usable, size_x, 1.0), m.select(usable, size_y, 1.0)
    rest = (_fmod_by_integers if b.relaxed else _fmod_by_doubles)(m, top, bottom)
    infinite = b.all_of([m.lt(size_x, INF), m.eq(size_y, INF)])
    return m.select(usable, m.copysign(rest, x), m.select(infinite, x, NAN))


def _fmod_by_doubles(m: Any, top: Scalar, bottom: Scalar) -> Scalar:
    """A long quotient is taken off in pieces that a double holds exactly, the highest first.

    Most f32 operands need no pieces.
    """
    b, work = m.b, m.b.floats("float64")
    i, mantissa, piece, scale = work.i, 52, 48, 1366
    if m.bits == 32:
        top, bottom = (work.cast("arith.extf", v) for v in (top, bottom))
    gap = i.sub(i.lshr(work.bits_of(top), mantissa), i.lshr(work.bits_of(bottom), mantissa))
    # gap // piece, by multiplication
    pieces = i.lshr(i.mul(i.binary("arith.maxsi", gap, 0), scale), 16)
    with b.for_(0, b.to_index(pieces), 1, [top]) as loop:
        left = i.sub(pieces, b.from_index(loop.index, i.bits))
        scaled = i.add(work.bits_of(bottom), i.shl(i.mul(left, piece), mantissa))
        loop.yields = [_take_off(work, loop.args[0], work.of_bits(scaled))]
    rest = _take_off(work, loop.results[0], bottom)
    return m.cast("arith.truncf", rest) if m.bits == 32 else rest


def _fmod_by_integers(m: Any, top: Scalar, bottom: Scalar) -> Scalar:
    """Long division of the mantissas, as many bits at a time as a word has left."""
    b, i = m.b, m.i
    mantissa = 52 if m.bits == 64 else 23
    step = m.bits - mantissa - 1
    (exponent, x), (scale, y) = (_whole_mantissa(m, v, mantissa) for v in (top, bottom))
    gap = i.binary("arith.maxsi", i.sub(exponent, scale), 0)
    rounds = i.binary("arith.divui", i.add(gap, step - 1), i.c(step))
    with b.for_(0, b.to_index(rounds), 1, [i.binary("arith.remui", x, y), gap]) as loop:
        rest, left = loop.args
        bits = i.binary("arith.minsi", left, step)
        rest = i.binary("arith.remui", i.shl(rest, bits), y)
        loop.yields = [rest, i.sub(left, bits)]
    rest = m.cast("arith.uitofp", loop.results[0])
    rest = m.mul(m.mul(rest, 2.0**-mantissa), m.of_bits(i.shl(scale, mantissa)))
    return m.select(m.lt(top, bottom), top, rest)


def _whole_mantissa(m: Any, x: Scalar, mantissa: int) -> tuple[Scalar, Scalar]:
    """(e, n) of x >= 0, x = n 2^(e - c): a subnormal number has the exponent of the smallest."""
    i = m.i
    field = i.lshr(m.bits_of(x), mantissa)
    implicit = i.select(i.eq(field, 0), 0, 1 << mantissa)
    number = i.or_(i.and_(m.bits_of(x), (1 << mantissa) - 1), implicit)
    return i.binary("arith.maxsi", field, 1), number


def _take_off(m: Any, x: Scalar, y: Scalar) -> Scalar:
    """x mod y for x / y within the mantissa: the fma is exact, the quotient off by one at most."""
    quotient = m.floor(m.div(x, y))
    rest = m.fma(m.neg(quotient), y, x)
    rest = m.select(m.lt(rest, 0.0), m.add(rest, y), rest)
    return m.select(m.ge(rest, y), m.sub(rest, y), rest)
