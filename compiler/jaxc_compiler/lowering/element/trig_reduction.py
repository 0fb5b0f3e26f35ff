"""Trigonometric argument reduction: x modulo pi/2 for every finite x, without branches.

Payne and Hanek's method in floating point. For x = X * 2^E with an integer X, only 2^E * 2/pi
modulo 4 matters, so a table of it over E gives the quadrant and the fraction of any x; the products
are split exactly. f32 needs five values of E (constants chosen by selects), f64 a table in memory.
"""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import Any

import numpy as np

from jaxc_compiler.lowering.element.base import Scalar

_TWO_OVER_PI = int(  # 1216 bits after the point
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424d"
    "d2e006492eea09d1921cfe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639"
    "835339f49c845f8bbdf9283b1ff897ffde05980fef2f118b5a0a6d1f6d367ecf27cb09b74f46"
    "3f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d0856033046fc7b6bab"
    , 16,
)  # fmt: skip
_FRACTION_BITS = 1216
_HALF_PI, _HALF_PI_LOW = 1.5707963267948966, 6.123233995736766e-17
_HALF_PI_F32, _HALF_PI_F32_LOW = 1.5707963705062866, -4.371139000186241e-08
F32_STEP = 24  # f32: E is 0 below 2^48, then a multiple of 24, so that X < 2^48 has 24 bits


def _scaled(exponent: int, widths: tuple[int, ...]) -> list[float]:
    """2^exponent * 2/pi modulo 4 as a sum of floats with at most so many bits each."""
    remaining = (_TWO_OVER_PI << exponent) & ((4 << _FRACTION_BITS) - 1)
    parts, below = [], _FRACTION_BITS + 2
    for width in widths:
        below -= width
        whole = remaining >> below
        parts.append(float(np.ldexp(float(whole), below - _FRACTION_BITS)))
        remaining -= whole << below
    return parts


@functools.cache
def f64_table() -> np.ndarray:
    """Three doubles for each E = 0..971."""
    return np.array([_scaled(e, (53, 53, 53)) for e in range(972)]).reshape(-1)


def reduce_f32(m: Any, x: Scalar) -> tuple[Scalar, Scalar]:
    """(y, q) of a double holding an f32: x = y + q * pi/2 with |y| <= pi/4; q modulo 4 counts.

    Error of y: below 2^-59, so it has 24 right bits next to every multiple of pi/2.
    """
    size = m.abs(x)
    parts = [m.c(v) for v in _scaled(0, (29, 29, 53))]
    scale = m.c(1.0)
    for step in range(1, 5):
        large = m.ge(size, 2.0 ** (24 + F32_STEP * step))
        values = _scaled(F32_STEP * step, (29, 29, 53))
        parts = [m.select(large, v, p) for v, p in zip(values, parts)]
        scale = m.select(large, 2.0 ** (-F32_STEP * step), scale)
    reduced = m.mul(x, scale)
    high, middle = m.mul(reduced, parts[0]), m.mul(reduced, parts[1])
    whole_high, q_high = m.nearest(high)
    whole_middle, q_middle = m.nearest(middle)
    total, error = m.two_sum(m.sub(high, whole_high), m.sub(middle, whole_middle))
    whole, q = m.nearest(total)
    low = m.fma(reduced, parts[2], error)
    quadrant = m.i.add(m.i.add(q_high, q_middle), q)
    return m.mul(m.add(m.sub(total, whole), low), _HALF_PI), quadrant


def reduce_f64(m: Any, x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(y, its low part, q) of a double; |y| <= pi/4 and x = y + low + q * pi/2 modulo 2 pi."""
    i, b = m.i, m.b
    field = i.and_(i.lshr(m.bits_of(x), 52), 0x7FF)
    exponent = i.binary("arith.maxsi", i.sub(field, 1023 + 52), 0)
    exponent = i.binary("arith.minsi", exponent, 971)
    scale = m.of_bits(i.shl(i.sub(1023, exponent), 52))
    reduced = m.mul(x, scale)
    table = b.table("two_over_pi", f64_table())
    first = b.to_index(i.mul(exponent, 3))
    c0, c1, c2 = (table(b.iadd(first, k)) for k in range(3))
    p0 = m.mul(reduced, c0)
    e0 = m.exact_fma(reduced, c0, m.neg(p0))
    # p0 may exceed 2^53: take multiples of 4 off it first, which changes no quadrant.
    p0 = m.sub(p0, m.mul(m.roundeven(m.mul(p0, 0.25)), 4.0))
    p1 = m.mul(reduced, c1)
    e1 = m.exact_fma(reduced, c1, m.neg(p1))
    low = m.fma(reduced, c2, e1)
    total, t0 = m.two_sum(p0, e0)
    total, t1 = m.two_sum(total, p1)
    whole, q = m.nearest(total)
    rest, t2 = m.two_sum(m.sub(total, whole), m.add(t0, t1))
    rest, t3 = m.two_sum(rest, m.add(low, t2))
    # |rest| may exceed 1/2 by what was added last; the kernels are good a little beyond pi/4.
    y = m.mul(rest, _HALF_PI)
    error = m.exact_fma(rest, _HALF_PI, m.neg(y))
    y_low = m.fma(rest, _HALF_PI_LOW, m.fma(t3, _HALF_PI, error))
    return y, y_low, q


def _words(count: int) -> list[int]:
    """2/pi in 32-bit words, after one word of zeros."""
    bits = _TWO_OVER_PI >> (_FRACTION_BITS - 32 * (count - 1))
    return [(bits >> (32 * (count - 1 - k))) & 0xFFFFFFFF for k in range(count)]


def reduce_by_words(m: Any, size: Scalar) -> tuple[Scalar, Scalar]:
    """(y, q) of an f32 >= 0, as `reduce_f32`, without doubles.

    The 96 bits of 2/pi that count are multiplied by the mantissa; what is above 4 falls off.
    """
    i = m.i
    field = i.lshr(m.bits_of(size), 23)
    mantissa = i.or_(i.and_(m.bits_of(size), 0x7FFFFF), 0x800000)
    start = i.binary("arith.maxsi", i.sub(field, 120), 0)
    number, shift = i.lshr(start, 5), i.and_(start, 31)
    words = _words(8)
    chosen = [i.c(word) for word in words[:4]]
    for step in range(1, 5):
        later = i.sge(number, step)
        chosen = [i.select(later, words[k + step], word) for k, word in enumerate(chosen)]
    back = i.sub(31, shift)
    high, middle, low = (
        i.or_(i.shl(x, shift), i.lshr(i.lshr(y, 1), back)) for x, y in pairwise(chosen)
    )
    low1 = i.mul(mantissa, middle)
    below = i.add(low1, i.mulhi(mantissa, low))
    carry = i.select(i.ult(below, low1), 1, 0)
    top = i.add(i.add(i.mul(mantissa, high), i.mulhi(mantissa, middle)), carry)
    quadrant = i.lshr(i.add(top, 1 << 29), 30)
    rest = m.cast("arith.sitofp", i.or_(i.shl(top, 2), i.lshr(below, 30)))
    rest = m.mul(rest, 2.0**-32)
    rest = m.fma(m.cast("arith.uitofp", i.shl(below, 2)), 2.0**-64, rest)
    y = m.fma(rest, _HALF_PI_F32_LOW, m.mul(rest, _HALF_PI_F32))
    small = m.lt(size, 0.78)
    y = m.select(small, size, m.select(m.lt(size, float("inf")), y, float("nan")))
    return y, i.select(small, 0, quadrant)
