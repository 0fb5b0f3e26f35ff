"""Arithmetic that takes several lax functions: division with remainder, powers, rounding, ...

Composed of lax functions. Must not import reductions or indexing at load.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.core.array import Array
from jaxc.core.trace import Tracer, _state, eval_trace
from jaxc.numpy.creation import full_like
from jaxc.numpy.elementwise import (
    _COMPLEX,
    _FLOATS,
    absolute,
    ceil,
    dtype_of,
    equal,
    floor,
    isfinite,
    isnan,
    multiply,
    subtract,
)
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    check_arraylike,
    const_like,
    convert,
    ensure_arraylike,
    promote_args,
    promote_args_inexact,
    promote_args_numeric,
    promote_shapes,
)
from jaxc.numpy.selection import where
from jaxc_compiler.opset.avals import KeyDtype

_INT_POWER_ROUNDS = 6  # exponents are below 64: higher powers of |x| > 1 overflow anyway


def _is_integer(x: Any) -> bool:
    return dtypes.issubdtype(dtype_of(x), np.integer)


# ---- division ---------------------------------------------------------------------------------


@nested_jit
def floor_divide(x1: Any, x2: Any, /) -> Any:
    """The floor of x1 / x2."""
    x1, x2 = promote_args_numeric("floor_divide", x1, x2)
    found = dtype_of(x1)
    if dtypes.issubdtype(found, np.unsignedinteger):
        return lax.div(x1, x2)
    if dtypes.issubdtype(found, np.integer):
        quotient = lax.div(x1, x2)
        opposite = lax.ne(lax.sign(x1), lax.sign(x2))
        inexact = lax.ne(lax.rem(x1, x2), const_like(x1, 0))
        adjust = lax.bitwise_and(opposite, inexact)
        return where(adjust, lax.sub(quotient, const_like(quotient, 1)), quotient)
    if found in _COMPLEX:
        raise TypeError("floor_divide does not support complex-valued inputs")
    return _float_divmod(x1, x2)[0]


def _float_divmod(x1: Any, x2: Any) -> tuple[Any, Any]:
    zero = const_like(x1, 0)
    mod = lax.rem(x1, x2)
    quotient = lax.div(where(lax.eq(x2, zero), x1, lax.sub(x1, mod)), x2)
    adjust = lax.bitwise_and(lax.ne(mod, zero), lax.ne(lax.sign(x2), lax.sign(mod)))
    mod = lax.select(adjust, lax.add(mod, x2), mod)
    quotient = lax.select(adjust, lax.sub(quotient, const_like(quotient, 1)), quotient)
    return lax.round(quotient), mod


def _nonzero_divisor(x: Any) -> Any:
    return where(lax.eq(x, const_like(x, 0)), full_like(x, 1), x)


@nested_jit
def remainder(x1: Any, x2: Any, /) -> Any:
    """Remainder of floor division: it has the sign of x2."""
    x1, x2 = promote_args_numeric("remainder", x1, x2)
    if _is_integer(x1):
        x2 = _nonzero_divisor(x2)
    zero = const_like(x1, 0)
    found = lax.rem(x1, x2)
    not_zero = lax.ne(found, zero)
    adjust = lax.bitwise_and(lax.ne(lax.lt(found, zero), lax.lt(x2, zero)), not_zero)
    return lax.select(adjust, lax.add(found, x2), found)


mod = remainder


@nested_jit
def fmod(x1: Any, x2: Any, /) -> Any:
    """Remainder of truncating division: it has the sign of x1."""
    check_arraylike("fmod", x1, x2)
    if _is_integer(x2) and _is_integer(x1):
        x2 = _nonzero_divisor(array_of(x2))
    return lax.rem(*promote_args_numeric("fmod", x1, x2))


@nested_jit
def divmod(x1: Any, x2: Any, /) -> tuple[Any, Any]:
    """Floor division and its remainder."""
    x1, x2 = promote_args_numeric("divmod", x1, x2)
    if _is_integer(x1):
        return floor_divide(x1, x2), remainder(x1, x2)
    return _float_divmod(x1, x2)


# ---- powers -----------------------------------------------------------------------------------


def power(x1: Any, x2: Any, /) -> Any:
    """x1 to the power x2; a Python int exponent is multiplied out."""
    if type(x2) is int and type(x1) is Array and x1.aval.dtype in _FLOATS:
        return lax.integer_pow(x1, x2)
    check_arraylike("power", x1, x2)
    exponent = _static_exponent(x2)
    if exponent is not None:
        found = dtypes.to_numeric_dtype(dtype_of(x1))
        base = convert(array_of(x1), found, bool(getattr(array_of(x1), "weak_type", False)))
        return lax.integer_pow(base, exponent)
    base, exponent = promote_args_numeric("power", x1, x2)
    if _is_integer(base):
        return _integer_power(base, exponent)
    given = array_of(x2)
    if _is_integer(given) and dtypes.issubdtype(dtype_of(array_of(x1)), np.inexact):
        base, given = promote_shapes("power", array_of(x1), given)
        return lax.pow(base, given)
    return lax.pow(base, exponent)


pow = power


def _static_exponent(x: Any) -> int | None:
    """The value of a scalar integer exponent that is known."""
    if isinstance(x, int):
        return int(x)
    if isinstance(x, Tracer) or not hasattr(x, "dtype") or x.ndim:
        return None
    if type(x) is Array and _state.trace is not eval_trace:
        return None
    return int(x) if getattr(x.dtype, "kind", "") in "iu" else None


def _integer_power(base: Any, exponent: Any) -> Any:
    zero, one = const_like(base, 0), const_like(base, 1)
    vanishes = lax.bitwise_and(lax.eq(base, zero), lax.ne(exponent, zero))
    out = where(vanishes, zero, one)
    for _ in range(_INT_POWER_ROUNDS):
        odd = lax.bitwise_and(exponent, one)
        out = where(odd, lax.mul(out, base), out)
        base = lax.mul(base, base)
        exponent = lax.shift_right_logical(exponent, one)
    return out


# ---- rounding ---------------------------------------------------------------------------------


@nested_jit(name="round", static_argnames=("decimals",))
def _round(a: Any, decimals: int = 0) -> Any:
    found = a.dtype
    if dtypes.issubdtype(found, np.integer):
        if decimals < 0:
            raise NotImplementedError("integer np.round not implemented for decimals < 0")
        return a
    if dtypes.issubdtype(found, np.complexfloating):
        return lax.complex(_round_float(lax.real(a), decimals), _round_float(lax.imag(a), decimals))
    if found == np.dtype(bool):
        raise ValueError(f"data type {found.type} not inexact")
    return _round_float(a, decimals)


def _round_float(x: Any, decimals: int) -> Any:
    nearest = lax.RoundingMethod.TO_NEAREST_EVEN
    if decimals == 0:
        return lax.round(x, nearest)
    found = x.dtype
    wide = found == np.dtype(np.float16)
    factor = 10.0**decimals
    compute = np.dtype(np.float32) if wide else found
    x = convert(x, compute) if wide else x
    scale = convert(factor, compute)
    out = lax.div(lax.round(lax.mul(x, scale), nearest), scale)
    return convert(out, found) if wide else out


def round(a: Any, decimals: int = 0, out: None = None) -> Any:
    """Rounded to `decimals` places, halves to even."""
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.round is not supported.")
    import operator

    return _round(ensure_arraylike("round", a), decimals=operator.index(decimals))


@nested_jit(static_argnames=("decimals", "out"))
def around(a: Any, decimals: int = 0, out: None = None) -> Any:
    """The same as `round`."""
    return round(a, decimals, out)


@nested_jit
def rint(x: Any, /) -> Any:
    """The nearest integers, halves to even."""
    x = ensure_arraylike("rint", x)
    if not dtypes.issubdtype(x.dtype, np.inexact):
        return convert(x, dtypes.to_inexact_dtype(x.dtype))
    if x.dtype in _COMPLEX:
        return lax.complex(rint(lax.real(x)), rint(lax.imag(x)))
    return lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)


@nested_jit
def trunc(x: Any) -> Any:
    """The integer part, towards zero."""
    x = ensure_arraylike("trunc", x)
    if x.dtype == np.dtype(bool) or _is_integer(x):
        return x
    return where(lax.lt(x, convert(0, x.dtype)), ceil(x), floor(x))


@nested_jit
def fix(x: Any, out: None = None) -> Any:
    """The integer part, towards zero, as a float."""
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.fix is not supported.")
    (x,) = promote_args_inexact("fix", x)
    return where(lax.ge(x, convert(0, dtype_of(x))), floor(x), ceil(x))


@nested_jit
def modf(x: Any, /, out: None = None) -> tuple[Any, Any]:
    """Fractional and integer parts."""
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.modf is not supported.")
    (x,) = promote_args_inexact("modf", x)
    whole = where(lax.ge(x, convert(0, dtype_of(x))), floor(x), ceil(x))
    return lax.sub(x, whole), whole


# ---- comparison with tolerance ----------------------------------------------------------------


@nested_jit(static_argnames=("equal_nan",))
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Where |a - b| <= atol + rtol * |b|."""
    if isinstance(dtype_of(a), KeyDtype) and dtype_of(a) == dtype_of(b):
        return equal(a, b)
    a, b = promote_args("isclose", a, b)
    if not dtypes.issubdtype(dtype_of(a), np.inexact):
        if dtype_of(a) == np.dtype(bool):
            return lax.eq(a, b)
        a, b = promote_args_inexact("isclose", a, b)
    real = np.zeros((), dtype_of(a)).real.dtype
    rtol, atol = convert(rtol, real), convert(atol, real)
    both_nan = lax.bitwise_and(isnan(a), isnan(b))
    finite = isfinite(b)
    near = lax.le(absolute(subtract(a, b)), lax.add(atol, multiply(rtol, absolute(b))))
    out = lax.bitwise_or(lax.eq(a, b), lax.bitwise_and(finite, near))
    return lax.bitwise_or(out, both_nan) if equal_nan else out


@nested_jit(static_argnames=("equal_nan",))
def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Whether all elements are close."""
    check_arraylike("allclose", a, b)
    from jaxc.numpy.reductions import all

    return all(isclose(a, b, rtol, atol, equal_nan=equal_nan))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether shapes and all elements are equal."""
    from jaxc.numpy.creation import asarray
    from jaxc.numpy.reductions import all

    try:
        a1, a2 = asarray(a1), asarray(a2)
    except (TypeError, ValueError):
        return array_of(False)
    if a1.shape != a2.shape:
        return array_of(False)
    a1, a2 = promote_args("array_equal", a1, a2)
    same = lax.eq(a1, a2)
    if equal_nan and dtypes.issubdtype(a1.dtype, np.inexact):
        same = lax.bitwise_or(same, lax.bitwise_and(isnan(a1), isnan(a2)))
    return all(same)


def array_equiv(a1: Any, a2: Any) -> Any:
    """Whether the arrays are equal after broadcasting."""
    from jaxc.numpy.creation import asarray
    from jaxc.numpy.reductions import all

    try:
        a1, a2 = asarray(a1), asarray(a2)
        np.broadcast_shapes(a1.shape, a2.shape)
    except (TypeError, ValueError):
        return array_of(False)
    return all(lax.eq(*promote_args("array_equiv", a1, a2)))
