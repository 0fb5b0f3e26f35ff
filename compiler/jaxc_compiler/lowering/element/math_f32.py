"""exp, log, tanh, erf and their kin for f32 in pure f32 arithmetic, for speed in loops.

Branch-free, so that LLVM vectorizes them. Sources: Cephes (logf's polynomial); Eigen's rational
approximations of tanh and erf; Giles, "Approximating the erfinv function" (2010), which JAX uses.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element import coefficients as c
from jaxc_compiler.lowering.element.base import Scalar
from jaxc_compiler.lowering.element.trig_reduction import reduce_by_words

INF, NAN = float("inf"), float("nan")
LN2_HIGH, LN2_LOW = 0.693145751953125, 1.428606765330187e-06
LN2, LOG2E = 0.6931471805599453, 1.4426950408889634
_SQRT_HALF_BITS = 0x3F3504F3

_LOG_POLY = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_TANH_TOP = (
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
    1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
_TANH_BOTTOM = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03,
                4.89352518554385e-03)  # fmt: skip
_ERF_TOP = (
    0.00022905065861350646, 0.0034082910107109506, 0.050955695062380861, 0.18520832239976145,
    1.128379143519084,
)  # fmt: skip
_ERF_BOTTOM = (
    -1.1791602954361697e-7, 0.000023547966471313185, 0.0010179625278914885,
    0.014070470171167667, 0.11098505178285362, 0.49746925110067538, 1.0,
)  # fmt: skip
_ERF_INV_NEAR = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_ERF_INV_FAR = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip

_LOG1P_TOP = (
    4.5270000862445199635215e-5, 4.9854102823193375972212e-1, 6.5787325942061044846969,
    2.9911919328553073277375e1, 6.0949667980987787057556e1, 5.7112963590585538103336e1,
    2.0039553499201281259648e1,
)  # fmt: skip
_LOG1P_BOTTOM = (
    1.0, 1.5062909083469192043167e1, 8.3047565967967209469434e1, 2.2176239823732856465394e2,
    3.0909872225312059774938e2, 2.1642788614495947685003e2, 6.0118660497603843919306e1,
)  # fmt: skip


def _split(m: Any, x: Scalar) -> tuple[Scalar, Scalar]:
    """(bits whose low part is n, r): x = n log(2) + r."""
    n, bits = m.nearest(x, LOG2E)
    return bits, m.fma(n, -LN2_LOW, m.fma(n, -LN2_HIGH, x))


def exp(m: Any, x: Scalar) -> Scalar:
    """2^n exp(r), with n added to the exponent field; results below 2^-126 are 0."""
    bits, r = _split(m, x)
    value = m.add(m.fma(m.mul(r, r), m.poly(r, c.EXP_TAIL_F32), r), 1.0)
    scaled = m.of_bits(m.i.add(m.bits_of(value), m.i.shl(bits, 23)))
    scaled = m.select(m.lt(x, -87.33654), 0.0, scaled)
    return m.select(m.le(x, 88.72283), scaled, m.add(x, INF))  # NaN takes the second, too


def exp_of_sum(m: Any, x: Scalar, low: Scalar) -> Scalar:
    """exp(x + low) for a small `low`; results below 2^-126 are 0."""
    bits, r = _split(m, m.min(m.max(x, -150.0), 100.0))  # 2^n is a product of two normal numbers
    r = m.add(r, low)
    value = m.add(m.fma(m.mul(r, r), m.poly(r, c.EXP_TAIL_F32), r), 1.0)
    half = m.i.ashr(bits, 1)
    factors = [m.of_bits(m.i.shl(m.i.add(n, 127), 23)) for n in (half, m.i.sub(bits, half))]
    scaled = m.mul(m.mul(value, factors[0]), factors[1])
    return m.select(m.isnan(x), x, scaled)


def exp_half(m: Any, x: Scalar) -> Scalar:
    """exp(x) / 2 for x >= 0, which is finite a little longer."""
    bits, r = _split(m, x)
    value = m.add(m.fma(m.mul(r, r), m.poly(r, c.EXP_TAIL_F32), r), 1.0)
    scaled = m.of_bits(m.i.add(m.bits_of(value), m.i.shl(m.i.sub(bits, 1), 23)))
    return m.select(m.le(x, 89.41598), scaled, m.add(x, INF))


def exp2(m: Any, x: Scalar) -> Scalar:
    n, bits = m.nearest(m.min(m.max(x, -200.0), 200.0))
    r = m.mul(m.sub(x, n), LN2)
    value = m.add(m.fma(m.mul(r, r), m.poly(r, c.EXP_TAIL_F32), r), 1.0)
    scaled = m.of_bits(m.i.add(m.bits_of(value), m.i.shl(bits, 23)))
    scaled = m.select(m.lt(x, -126.0), 0.0, scaled)
    return m.select(m.lt(x, 128.0), scaled, m.add(x, INF))


def expm1(m: Any, x: Scalar) -> Scalar:
    """2^n expm1(r) + (2^n - 1): one rounding each, no cancellation."""
    clamped = m.min(m.max(x, -20.0), 89.0)
    bits, r = _split(m, clamped)
    p = m.fma(m.mul(r, r), m.poly(r, c.EXP_TAIL_F32), r)
    half = m.of_bits(m.i.shl(m.i.add(bits, 126), 23))  # 2^128 is no f32: work with half of it
    result = m.mul(m.fma(p, half, m.rounded(m.sub(half, 0.5))), 2.0)
    return m.select(m.lt(m.abs(x), 1e-9), x, result)


def _log_parts(m: Any, u: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(k, its exponent bits, f) with u = 2^k (1 + f) and 1 + f in [sqrt(1/2), sqrt(2))."""
    i = m.i
    bits = m.bits_of(u)
    exponent = i.and_(i.sub(bits, _SQRT_HALF_BITS), -(1 << 23))
    f = m.rounded(m.sub(m.of_bits(i.sub(bits, exponent)), 1.0))
    return m.cast("arith.sitofp", i.ashr(exponent, 23)), exponent, f


def _log_of_parts(m: Any, k: Scalar, f: Scalar) -> Scalar:
    z = m.mul(f, f)
    tail = m.fma(k, LN2_LOW, m.mul(m.mul(f, z), m.poly(f, _LOG_POLY)))
    return m.fma(k, LN2_HIGH, m.add(f, m.fma(z, -0.5, tail)))


def _log_edges(m: Any, u: Scalar, value: Scalar) -> Scalar:
    value = m.select(m.lt(u, INF), value, u)
    value = m.select(m.lt(u, 0.0), NAN, value)
    return m.select(m.eq(u, 0.0), -INF, value)


def log(m: Any, x: Scalar) -> Scalar:
    k, _, f = _log_parts(m, x)
    return _log_edges(m, x, _log_of_parts(m, k, f))


def log1p(m: Any, x: Scalar) -> Scalar:
    """log(1 + x): what 1 + x rounds away is added to the reduced argument."""
    i = m.i
    u = m.rounded(m.add(x, 1.0))
    big = m.ge(m.abs(x), 1.0)
    lost = m.sub(x, m.rounded(m.sub(u, 1.0)))
    lost = m.select(big, m.sub(1.0, m.rounded(m.sub(u, x))), lost)
    k, exponent, f = _log_parts(m, u)
    scale = i.binary("arith.maxsi", i.sub(127 << 23, exponent), 1 << 23)
    f = m.fma(lost, m.of_bits(scale), f)
    value = _log_edges(m, u, _log_of_parts(m, k, f))
    return m.select(m.eq(x, 0.0), x, value)


def tanh(m: Any, x: Scalar) -> Scalar:
    clamped = m.min(m.max(x, -7.90531110763549805), 7.90531110763549805)
    z = m.mul(clamped, clamped)
    ratio = m.div(m.mul(clamped, m.poly(z, _TANH_TOP)), m.poly(z, _TANH_BOTTOM))
    return m.select(m.lt(m.abs(x), 0.0004), x, ratio)


def logistic(m: Any, x: Scalar) -> Scalar:
    return m.div(1.0, m.add(exp(m, m.neg(x)), 1.0))


def erf(m: Any, x: Scalar) -> Scalar:
    """x P(x^2) / Q(x^2); beyond 3.92 it rounds to 1."""
    clamped = m.min(m.max(x, -3.925), 3.925)
    z = m.mul(clamped, clamped)
    ratio = m.div(m.mul(clamped, m.poly(z, _ERF_TOP)), m.poly(z, _ERF_BOTTOM))
    return m.min(m.max(ratio, -1.0), 1.0)


def _log1p_cephes(m: Any, x: Scalar) -> Scalar:
    """log(1 + x) for x in (-1, 0], rounded as XLA's on a CPU: random normals show the last bit."""
    square = m.mul(x, x)
    ratio = m.div(m.poly(x, _LOG1P_TOP), m.poly(x, _LOG1P_BOTTOM))
    small = m.add(x, m.fma(square, -0.5, m.mul(m.mul(x, square), ratio)))
    k, _, f = _log_parts(m, m.add(x, 1.0))
    z = m.mul(f, f)
    cube = m.mul(z, f)
    high, middle, low = (m.poly(f, _LOG_POLY[i : i + 3]) for i in (0, 3, 6))
    p = m.fma(m.fma(high, cube, middle), cube, low)
    tail = m.fma(p, cube, m.mul(k, -2.12194440e-4))
    log = m.fma(k, 0.693359375, m.add(m.fma(z, -0.5, f), tail))
    return m.select(m.lt(m.abs(x), 0.41421356797218323), small, log)


def erf_inv(m: Any, x: Scalar) -> Scalar:
    w = m.neg(_log1p_cephes(m, m.neg(m.mul(x, x))))
    near = m.lt(w, 5.0)
    t = m.select(near, m.sub(w, 2.5), m.sub(m.sqrt(w), 3.0))
    p = m.select(near, _ERF_INV_NEAR[0], _ERF_INV_FAR[0])
    for a, b in zip(_ERF_INV_NEAR[1:], _ERF_INV_FAR[1:]):
        p = m.fma(p, t, m.select(near, a, b))
    return m.select(m.eq(m.abs(x), 1.0), m.mul(x, INF), m.mul(p, x))


def rsqrt(m: Any, x: Scalar) -> Scalar:
    return m.div(1.0, m.sqrt(x))


def _sin_cos(m: Any, x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """sin and cos of |x| less a multiple of pi/2, and the quadrant, without doubles."""
    y, q = reduce_by_words(m, m.abs(x))
    z = m.mul(y, y)
    sine = m.fma(m.mul(y, z), m.poly(z, c.SIN_TAIL_F32), y)
    cosine = m.add(m.fma(m.mul(z, z), m.poly(z, c.COS_TAIL_F32), m.mul(z, -0.5)), 1.0)
    return sine, cosine, q


def _quadrant_value(m: Any, q: Scalar, sine: Scalar, cosine: Scalar) -> Scalar:
    value = m.select(m.i.ne(m.i.and_(q, 1), 0), cosine, sine)
    return m.select(m.i.ne(m.i.and_(q, 2), 0), m.neg(value), value)


def _with_sign_of(m: Any, x: Scalar, value: Scalar) -> Scalar:
    """An odd function's value at |x|, as its value at x."""
    return m.of_bits(m.i.xor(m.bits_of(value), m.i.and_(m.bits_of(x), 1 << 31)))


def sin_without_doubles(m: Any, x: Scalar) -> Scalar:
    sine, cosine, q = _sin_cos(m, x)
    return _with_sign_of(m, x, _quadrant_value(m, q, sine, cosine))


def cos_without_doubles(m: Any, x: Scalar) -> Scalar:
    sine, cosine, q = _sin_cos(m, x)
    return _quadrant_value(m, m.i.add(q, 1), sine, cosine)


def tan_without_doubles(m: Any, x: Scalar) -> Scalar:
    sine, cosine, q = _sin_cos(m, x)
    odd = m.i.ne(m.i.and_(q, 1), 0)
    ratio = m.div(m.select(odd, m.neg(cosine), sine), m.select(odd, sine, cosine))
    return _with_sign_of(m, x, ratio)


def cbrt_without_doubles(m: Any, x: Scalar) -> Scalar:
    """Kahan's estimate by dividing the exponent by 3, then Halley's steps."""
    size = m.abs(x)
    # An estimate, so the division may be one of floats: IREE has no integer one for Vulkan.
    third = m.i.cast("arith.fptosi", m.mul(m.cast("arith.sitofp", m.bits_of(size)), 1 / 3))
    t = m.of_bits(m.i.add(third, 709921077))
    for _ in range(2):
        cube = m.mul(m.mul(t, t), t)
        t = m.sub(t, m.mul(t, m.div(m.sub(cube, size), m.fma(cube, 2.0, size))))
    inside = m.b.all_of([m.gt(size, 0.0), m.lt(size, INF)])
    return m.select(inside, m.copysign(t, x), x)


def erfc_without_doubles(m: Any, x: Scalar) -> Scalar:
    """exp(-x^2) (the square in two parts) times the scaled function; 1 - erf near 0."""
    size = m.min(m.max(m.abs(x), 0.5), 11.0)
    square = m.mul(size, size)
    error = m.exact_fma(size, size, m.neg(square))
    t = m.div(m.sub(size, 4.0), m.add(size, 4.0))
    scaled = m.div(m.poly(t, c.ERFCX), m.fma(size, 2.0, 1.0))
    large = m.mul(m.mul(exp(m, m.neg(square)), m.sub(1.0, error)), scaled)
    large = m.select(m.lt(x, 0.0), m.sub(2.0, large), large)
    value = m.select(m.lt(m.abs(x), 0.5), m.sub(1.0, erf(m, x)), large)
    return m.select(m.isnan(x), x, value)
