"""Less common elementwise functions: angle, sinc, logaddexp, hypot, frexp, gcd, ...

Composed of lax functions. Must not import reductions or indexing at load.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.numpy.creation import full_like
from jaxc.numpy.elementwise import (
    _COMPLEX,
    absolute,
    dtype_of,
    greater,
    less,
    make_unary,
    rad2deg,
)
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    convert,
    ensure_arraylike,
    promote_args,
    promote_args_inexact,
)
from jaxc.numpy.selection import where
from jaxc.transforms.custom_jvp import custom_jvp

arccosh = acosh = nested_jit(
    make_unary("arccosh", lax.acosh, "inexact", "Inverse hyperbolic cosine.")
)


@nested_jit(static_argnames=("deg",))
def angle(z: Any, deg: bool = False) -> Any:
    """The argument of complex numbers, in radians or degrees."""
    z = ensure_arraylike("angle", z)
    if z.dtype in _COMPLEX:
        re, im = lax.real(z), lax.imag(z)
    else:
        re, im = z, full_like(z, 0)
    if not dtypes.issubdtype(re.dtype, np.inexact):
        target = dtypes.to_inexact_dtype(re.dtype)
        re, im = convert(re, target), convert(im, target)
    elif re.dtype.itemsize == 2:  # the real dtype of complex64: there is no smaller complex
        re, im = convert(re, np.dtype(np.float32)), convert(im, np.dtype(np.float32))
    out = lax.atan2(im, re)
    return rad2deg(out) if deg else out


@nested_jit
def isinf(x: Any, /) -> Any:
    """Where x is infinite."""
    x = ensure_arraylike("isinf", x)
    if x.dtype in _COMPLEX:
        re, im = lax.real(x), lax.imag(x)
        inf = convert(np.inf, re.dtype)
        return lax.bitwise_or(lax.eq(lax.abs(re), inf), lax.eq(lax.abs(im), inf))
    if dtypes.issubdtype(x.dtype, np.floating):
        return lax.eq(lax.abs(x), convert(np.inf, x.dtype))
    return full_like(x, False, dtype=np.bool_)


@nested_jit
def signbit(x: Any, /) -> Any:
    """Where the sign bit is set (-0.0 included)."""
    (x,) = promote_args("signbit", x)
    x = ensure_arraylike("signbit", x)
    found = x.dtype
    if dtypes.issubdtype(found, np.integer):
        return lax.lt(x, convert(0, found))
    if found == np.dtype(bool):
        return full_like(x, False, dtype=np.bool_)
    if not dtypes.issubdtype(found, np.floating):
        raise ValueError("jax.numpy.signbit is not well defined for complex inputs")
    bits = found.itemsize * 8
    as_int = np.dtype(f"int{bits}")
    word = lax.bitcast_convert_type(x, as_int)
    return convert(lax.shift_right_arithmetic(word, convert(bits - 1, as_int)), np.dtype(bool))


@nested_jit
def copysign(x1: Any, x2: Any, /) -> Any:
    """|x1| with the sign of x2."""
    x1, x2 = promote_args_inexact("copysign", x1, x2)
    if dtype_of(x1) in _COMPLEX:
        raise TypeError("copysign does not support complex-valued inputs")
    return where(signbit(x2), lax.neg(lax.abs(x1)), lax.abs(x1))


@nested_jit
def heaviside(x1: Any, x2: Any, /) -> Any:
    """0 for negative x1, x2 at zero, 1 for positive x1."""
    x1, x2 = promote_args_inexact("heaviside", x1, x2)
    found = dtype_of(x1)
    zero, one = convert(0, found), convert(1, found)
    return where(
        lax.lt(x1, zero), zero,
        where(lax.gt(x1, zero), one, where(lax.ne(x1, x1), x1, x2)),
    )  # fmt: skip


@nested_jit
def hypot(x1: Any, x2: Any, /) -> Any:
    """sqrt(x1**2 + x2**2) without overflow."""
    x1, x2 = promote_args_inexact("hypot", x1, x2)
    found = dtype_of(x1)
    if found in _COMPLEX:
        raise ValueError("jnp.hypot is not well defined for complex-valued inputs.")
    x1, x2 = lax.abs(x1), lax.abs(x2)
    inf, zero = convert(np.inf, found), convert(0, found)
    infinite = lax.bitwise_or(lax.eq(x1, inf), lax.eq(x2, inf))
    large, small = lax.max(x1, x2), lax.min(x1, x2)
    vanishes = lax.eq(large, zero)
    ratio = lax.div(small, where(lax.eq(large, zero), full_like(large, 1), large))
    out = where(
        vanishes, large,
        lax.mul(large, lax.sqrt(lax.add(convert(1, found), lax.square(ratio)))),
    )  # fmt: skip
    return where(infinite, inf, out)


def _nan_ignoring(name: str, compare: Any) -> Any:
    def fun(x1: Any, x2: Any) -> Any:
        x1, x2 = promote_args(name, x1, x2)
        return where(lax.bitwise_or(compare(x1, x2), lax.ne(x2, x2)), x1, x2)

    fun.__name__ = fun.__qualname__ = name
    fun.__doc__ = f"{name[1:]}imum of x1 and x2 where neither, or only one, is NaN."
    return nested_jit(fun)


fmax = _nan_ignoring("fmax", greater)
fmin = _nan_ignoring("fmin", less)


@custom_jvp
def _logaddexp(x1: Any, x2: Any) -> Any:
    """log(exp(x1) + exp(x2)) without overflow."""
    x1, x2 = promote_args_inexact("logaddexp", x1, x2)
    amax = lax.max(x1, x2)
    if dtypes.issubdtype(dtype_of(x1), np.floating):
        delta = lax.sub(x1, x2)
        return lax.select(
            lax.ne(delta, delta), lax.add(x1, x2),
            lax.add(amax, lax.log1p(lax.exp(lax.neg(lax.abs(delta))))),
        )  # fmt: skip
    delta = lax.sub(lax.add(x1, x2), lax.mul(amax, convert(2, dtype_of(amax))))
    out = lax.add(amax, lax.log1p(lax.exp(delta)))
    return lax.complex(lax.real(out), _wrapped_phase(lax.imag(out)))


_logaddexp.__name__ = "logaddexp"


def _wrapped_phase(x: Any) -> Any:
    from jaxc.numpy.arithmetic import remainder

    return remainder(x + np.pi, 2 * np.pi) - np.pi


def _logaddexp_jvp(primals: Any, tangents: Any) -> Any:
    x1, x2 = primals
    t1, t2 = tangents
    x1, x2, t1, t2 = promote_args_inexact("logaddexp_jvp", x1, x2, t1, t2)
    out = _logaddexp(x1, x2)
    part1 = lax.mul(t1, lax.exp(lax.sub(_no_inf(x1), _no_inf(out))))
    part2 = lax.mul(t2, lax.exp(lax.sub(_no_inf(x2), _no_inf(out))))
    return out, lax.add(part1, part2)


_logaddexp.defjvp(_logaddexp_jvp)


def _no_inf(x: Any) -> Any:
    """+inf and -inf replaced so that differences of equal infinities are 0."""
    info = dtypes.finfo(dtype_of(x))
    is_inf = lax.eq(lax.abs(x) if dtype_of(x) not in _COMPLEX else absolute(x),
                    convert(np.inf, np.zeros((), dtype_of(x)).real.dtype))  # fmt: skip
    big = convert(float(info.max), dtype_of(x))
    if dtype_of(x) in _COMPLEX:
        return where(is_inf, full_like(x, 0), x)
    return where(is_inf, lax.mul(lax.sign(x), big), x)


@custom_jvp
def _logaddexp2(x1: Any, x2: Any) -> Any:
    """log2(2**x1 + 2**x2) without overflow."""
    x1, x2 = promote_args_inexact("logaddexp2", x1, x2)
    if dtype_of(x1) in _COMPLEX:
        log2 = convert(float(np.log(2)), dtype_of(x1))
        return lax.div(_logaddexp(lax.mul(x1, log2), lax.mul(x2, log2)), log2)
    amax = lax.max(x1, x2)
    delta = lax.sub(x1, x2)
    scale = convert(float(1 / np.log(2)), dtype_of(x1))
    return lax.select(
        lax.ne(delta, delta), lax.add(x1, x2),
        lax.add(amax, lax.mul(scale, lax.log1p(lax.exp2(lax.neg(lax.abs(delta)))))),
    )  # fmt: skip


_logaddexp2.__name__ = "logaddexp2"


def _logaddexp2_jvp(primals: Any, tangents: Any) -> Any:
    x1, x2 = primals
    t1, t2 = tangents
    x1, x2, t1, t2 = promote_args_inexact("logaddexp2_jvp", x1, x2, t1, t2)
    out = _logaddexp2(x1, x2)
    part1 = lax.mul(t1, lax.exp2(lax.sub(_no_inf(x1), _no_inf(out))))
    part2 = lax.mul(t2, lax.exp2(lax.sub(_no_inf(x2), _no_inf(out))))
    return out, lax.add(part1, part2)


_logaddexp2.defjvp(_logaddexp2_jvp)


def logaddexp(x1: Any, x2: Any, /) -> Any:
    """log(exp(x1) + exp(x2)) without overflow."""
    return _logaddexp(*promote_args_inexact("logaddexp", x1, x2))


def logaddexp2(x1: Any, x2: Any, /) -> Any:
    """log2(2**x1 + 2**x2) without overflow."""
    return _logaddexp2(*promote_args_inexact("logaddexp2", x1, x2))


@nested_jit
def sinc(x: Any, /) -> Any:
    """sin(pi x) / (pi x), with the limit 1 at zero."""
    (x,) = promote_args_inexact("sinc", x)
    found = dtype_of(x)
    at_zero = lax.eq(x, convert(0, found))
    pi_x = lax.mul(convert(np.pi, found), x)
    safe = where(at_zero, convert(1, found), pi_x)
    return where(at_zero, _sinc_maclaurin(0, pi_x), lax.div(lax.sin(safe), safe))


def _sinc_series(order: int) -> Any:
    """The value and all derivatives of sinc at zero, one order at a time."""
    if order not in _series:
        value = 0.0 if order % 2 else (-1.0) ** (order // 2) / (order + 1)

        def _sinc_maclaurin(x: Any) -> Any:
            zero = lax.mul(x, convert(0, dtype_of(x)))
            return lax.add(zero, convert(value, dtype_of(x)))

        fun = custom_jvp(_sinc_maclaurin)

        def _sinc_maclaurin_jvp(primals: Any, tangents: Any) -> Any:
            (x,), (t,) = primals, tangents
            return fun(x), lax.mul(_sinc_series(order + 1)(x), t)

        fun.defjvp(_sinc_maclaurin_jvp)
        _series[order] = fun
    return _series[order]


_series: dict[int, Any] = {}


def _sinc_maclaurin(order: int, x: Any) -> Any:
    return _sinc_series(order)(x)


@nested_jit
def i0(x: Any) -> Any:
    """Modified Bessel function of the first kind, order 0."""
    (x,) = promote_args_inexact("i0", x)
    if dtype_of(x) in _COMPLEX:
        raise ValueError(f"Unsupported input type to jax.numpy.i0: {dtype_of(x)}")
    return _i0(x)


@custom_jvp
def _i0(x: Any) -> Any:
    size = lax.abs(x)
    return lax.mul(lax.exp(size), lax.bessel_i0e(size))


@_i0.defjvp
def _i0_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    slope = lax.mul(lax.exp(lax.abs(x)), lax.bessel_i1e(x))
    return _i0(x), lax.mul(t, slope)


@nested_jit
def bitwise_count(x: Any, /) -> Any:
    """Number of set bits of |x|."""
    x = ensure_arraylike("bitwise_count", x)
    return convert(lax.population_count(absolute(x)), np.dtype(np.uint8))


@nested_jit
def gcd(x1: Any, x2: Any) -> Any:
    """Greatest common divisor."""
    x1, x2 = _integers("gcd", x1, x2)

    def more(pair: Any) -> Any:
        from jaxc.numpy.reductions import any

        return any(lax.ne(pair[1], convert(0, dtype_of(pair[1]))))

    def step(pair: Any) -> Any:
        a, b = pair
        zero = convert(0, dtype_of(b))
        a, b = (
            where(lax.ne(b, zero), b, a),
            where(lax.ne(b, zero), lax.rem(a, b), zero),
        )
        return (where(lax.lt(a, b), b, a), where(lax.lt(a, b), a, b))

    return lax.while_loop(more, step, (absolute(x1), absolute(x2)))[0]


def _integers(name: str, x1: Any, x2: Any) -> Any:
    x1, x2 = promote_args(name, x1, x2)
    if not dtypes.issubdtype(dtype_of(x1), np.integer):
        raise ValueError(f"Arguments to jax.numpy.{name} must be integers.")
    from jaxc.numpy.manipulation import broadcast_arrays

    return broadcast_arrays(x1, x2)


@nested_jit
def lcm(x1: Any, x2: Any) -> Any:
    """Least common multiple."""
    from jaxc.numpy.arithmetic import floor_divide

    x1, x2 = _integers("lcm", x1, x2)
    x1, x2 = absolute(x1), absolute(x2)
    divisor = gcd(x1, x2)
    zero, one = convert(0, dtype_of(x1)), convert(1, dtype_of(x1))
    empty = lax.eq(divisor, zero)
    return where(empty, zero, lax.mul(x1, floor_divide(x2, where(empty, one, divisor))))


@nested_jit
def ldexp(x1: Any, x2: Any, /) -> Any:
    """x1 * 2**x2."""
    x1, x2 = ensure_arraylike("ldexp", x1, x2)
    if dtypes.issubdtype(x1.dtype, np.complexfloating) or not dtypes.issubdtype(
        x2.dtype, np.integer
    ):
        raise ValueError(f"ldexp not supported for input types {(x1.dtype, x2.dtype)}")
    from jaxc.numpy.manipulation import broadcast_arrays

    x1, x2 = broadcast_arrays(*promote_args_inexact("ldexp", x1, x2))
    found = dtype_of(x1)
    mantissa, exponent = frexp(x1)
    total = lax.add(convert(exponent, found), x2)
    up = lax.gt(total, convert(0, found))
    two, one = convert(2, found), convert(1, found)
    mantissa = where(up, lax.mul(mantissa, two), mantissa)
    total = where(up, lax.sub(total, one), total)
    out = lax.mul(mantissa, lax.pow(two, total))
    keep = lax.bitwise_or(isinf(x1), lax.eq(x1, convert(0, found)))
    return where(keep, x1, out)


@nested_jit
def frexp(x: Any, /) -> tuple[Any, Any]:
    """Mantissa in [0.5, 1) and exponent: x = mantissa * 2**exponent."""
    x = ensure_arraylike("frexp", x)
    if dtypes.issubdtype(x.dtype, np.complexfloating):
        raise TypeError("frexp does not support complex-valued inputs")
    if not dtypes.issubdtype(x.dtype, np.floating):
        x = convert(x, dtypes.to_inexact_dtype(x.dtype))
    return _frexp(x)


@custom_jvp
def _frexp(x: Any) -> tuple[Any, Any]:
    found = x.dtype
    info = dtypes.finfo(found)
    word = np.dtype(f"int{info.bits}")
    smallest = convert(float(info.smallest_normal), found)
    tiny = lax.lt(lax.abs(x), smallest)
    scaled = where(tiny, lax.mul(x, convert(2.0**info.nmant, found)), x)
    shift = where(tiny, convert(-info.nmant, word), convert(0, word))
    bits = lax.bitcast_convert_type(scaled, word)
    mask = (1 << info.nexp) - 1
    bias = (1 << (info.nexp - 1)) - 1
    raw = lax.bitwise_and(
        lax.shift_right_arithmetic(bits, convert(info.nmant, word)), convert(mask, word)
    )
    exponent = lax.add(shift, lax.add(lax.sub(raw, convert(bias, word)), convert(1, word)))
    kept = ~(mask << info.nmant)
    bits = lax.bitwise_and(bits, convert(kept, word))
    bits = lax.bitwise_or(bits, convert((bias - 1) << info.nmant, word))
    mantissa = lax.bitcast_convert_type(bits, found)
    special = lax.bitwise_or(lax.bitwise_or(isinf(x), lax.ne(x, x)), lax.eq(x, convert(0, found)))
    exponent = where(special, full_like(exponent, 0), exponent)
    return where(special, x, mantissa), convert(exponent, np.dtype(np.int32))


@_frexp.defjvp
def _frexp_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    mantissa, exponent = _frexp(x)
    slope = lax.exp2(convert(lax.neg(exponent), x.dtype))
    zero = np.zeros(exponent.shape, dtypes.float0)
    return (mantissa, exponent), (lax.mul(t, slope), zero)


def spacing(x: Any, /) -> Any:
    """Distance to the next float away from zero."""
    (x,) = promote_args_inexact("spacing", x)
    x = ensure_arraylike("spacing", x)
    found = x.dtype
    info = dtypes.finfo(found)
    beyond = lax.nextafter(x, copysign(convert(np.inf, found), x))
    gap = lax.sub(beyond, x)
    least = copysign(convert(float(info.smallest_subnormal), found), x)
    return where(lax.eq(gap, convert(0, found)), least, gap)
