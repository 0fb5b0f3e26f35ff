"""Elementwise functions that are one lax function after promotion, made from tables.

Each has a short cut for arrays that need no promotion: eager calls on small arrays spend their
time there. Must not import files of this package other than promotion, nested and creation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.core.array import Array
from jaxc.core.config import config
from jaxc.core.primitive import primitive
from jaxc.core.trace import Tracer, _state, eval_trace
from jaxc.numpy.creation import full_like
from jaxc.numpy.eager import FLOATS as _HOST_FLOATS
from jaxc.numpy.eager import HOST, HOST_COMPARE, as_float, eager_binary, eager_unary, unary_kernel
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    const_like,
    convert,
    ensure_arraylike,
    promote_args,
    promote_args_inexact,
    promote_args_numeric,
    wrap_int,
)
from jaxc_compiler.opset.avals import KeyDtype

_BOOL = np.dtype(bool)
_FLOATS = {
    dtypes.bfloat16: dtypes.bfloat16.type,
    **{np.dtype(t): t for t in (np.float16, np.float32, np.float64)},
}
_COMPLEX = {np.dtype(t): t for t in (np.complex64, np.complex128)}
_INTS = {np.dtype(f"{u}int{n}"): None for u in ("", "u") for n in (8, 16, 32, 64)}
_INEXACT = {**_FLOATS, **_COMPLEX}
_NUMERIC = {**_INEXACT, **_INTS}
_ANY = {**_NUMERIC, _BOOL: None}

_PROMOTE: dict[str, tuple[Callable, dict]] = {
    "any": (promote_args, _ANY),
    "inexact": (promote_args_inexact, _INEXACT),
    "numeric": (promote_args_numeric, _NUMERIC),
}


def _named(fun: Callable, name: str, doc: str) -> Callable:
    fun.__name__ = fun.__qualname__ = name
    fun.__module__ = "jax.numpy"
    fun.__doc__ = doc
    return fun


def make_unary(name: str, lax_fun: Callable, kind: str, doc: str) -> Callable:
    """A function of one array; `kind` says what integers and bools are promoted to."""
    promote, direct = _PROMOTE[kind]
    kernel = unary_kernel(name)

    def fun(x: Any, /) -> Any:
        if type(x) is Array:
            found = x.aval.dtype
            if _state.trace is eval_trace and not config.jax_debug_nans:
                if kind == "inexact" and found in _INTS:
                    x = as_float(x)
                    found = x.aval.dtype
                if kernel is not None and found in _HOST_FLOATS:
                    return eager_unary(*kernel, x)
            if found in direct:
                return lax_fun(x)
        return lax_fun(*promote(name, x))

    return _named(fun, name, doc)


def literal(y: Any, dtype: Any) -> Any:
    """A Python int or float as a scalar of a strongly typed operand's dtype, or None."""
    kind = type(y)
    if kind is float or kind is int:
        cast = _FLOATS.get(dtype)
        if cast is not None:
            return cast(y)
        if kind is int and dtype in _INTS:
            return wrap_int(y, dtype)
    return None


def make_binary(name: str, lax_fun: Callable, kind: str, doc: str) -> Callable:
    """A function of two arrays with NumPy broadcasting and JAX's promotion."""
    promote, direct = _PROMOTE[kind]
    host = HOST.get(name) or HOST_COMPARE.get(name)
    compares = name in HOST_COMPARE

    def fun(x: Any, y: Any, /) -> Any:
        if host is not None and _state.trace is eval_trace and not config.jax_debug_nans:
            found = eager_binary(host, compares, name, x, y)
            if found is not None:
                return found
        if type(x) is Array:
            a = x.aval
            if type(y) is Array:
                b = y.aval
                if a.dtype is b.dtype and len(a.shape) == len(b.shape) and a.dtype in direct:
                    return lax_fun(x, y)
            elif not a.weak_type and a.dtype in direct:
                scalar = literal(y, a.dtype)
                if scalar is not None:
                    return lax_fun(x, scalar)
        elif type(y) is Array and not y.aval.weak_type and y.aval.dtype in direct:
            scalar = literal(x, y.aval.dtype)
            if scalar is not None:
                return lax_fun(scalar, y)
        return lax_fun(*promote(name, x, y))

    return _named(fun, name, doc)


_UNARY = [
    ("arccos", lax.acos, "inexact", "Inverse cosine."),
    ("arcsin", lax.asin, "inexact", "Inverse sine."),
    ("arcsinh", lax.asinh, "inexact", "Inverse hyperbolic sine."),
    ("arctan", lax.atan, "inexact", "Inverse tangent."),
    ("arctanh", lax.atanh, "inexact", "Inverse hyperbolic tangent."),
    ("bitwise_not", lax.bitwise_not, "any", "Bitwise complement (logical for bools)."),
    ("cbrt", lax.cbrt, "inexact", "Cube root."),
    ("cos", lax.cos, "inexact", "Cosine, of radians."),
    ("cosh", lax.cosh, "inexact", "Hyperbolic cosine."),
    ("exp", lax.exp, "inexact", "Exponential function."),
    ("exp2", lax.exp2, "inexact", "2 to the power of x."),
    ("expm1", lax.expm1, "inexact", "exp(x) - 1, accurate near zero."),
    ("log", lax.log, "inexact", "Natural logarithm."),
    ("log1p", lax.log1p, "inexact", "log(1 + x), accurate near zero."),
    ("negative", lax.neg, "any", "-x."),
    ("sign", lax.sign, "any", "-1, 0 or 1; x / |x| for complex."),
    ("sin", lax.sin, "inexact", "Sine, of radians."),
    ("sinh", lax.sinh, "inexact", "Hyperbolic sine."),
    ("sqrt", lax.sqrt, "inexact", "Square root."),
    ("square", lax.square, "numeric", "x * x."),
    ("tan", lax.tan, "inexact", "Tangent, of radians."),
    ("tanh", lax.tanh, "inexact", "Hyperbolic tangent."),
]
_BINARY = [
    ("arctan2", lax.atan2, "inexact", "Angle of the point (x2, x1)."),
    ("bitwise_and", lax.bitwise_and, "any", "Bitwise and."),
    ("bitwise_left_shift", lax.shift_left, "numeric", "x shifted left by y bits."),
    ("bitwise_or", lax.bitwise_or, "any", "Bitwise or."),
    ("bitwise_xor", lax.bitwise_xor, "any", "Bitwise exclusive or."),
    ("divide", lax.div, "inexact", "x1 / x2, as floats."),
    ("float_power", lax.pow, "inexact", "x to the power y, as floats."),
    ("maximum", lax.max, "any", "The larger of x and y; NaN if either is."),
    ("minimum", lax.min, "any", "The smaller of x and y; NaN if either is."),
    ("nextafter", lax.nextafter, "inexact", "The next float after x towards y."),
    ("subtract", lax.sub, "any", "x - y."),
]

for _name, _fun, _kind, _doc in _UNARY:
    globals()[_name] = make_unary(_name, _fun, _kind, _doc)
for _name, _fun, _kind, _doc in _BINARY:
    globals()[_name] = make_binary(_name, _fun, _kind, _doc)

acos = arccos  # noqa: F821
asin, asinh, atan, atanh = arcsin, arcsinh, arctan, arctanh  # noqa: F821
atan2 = arctan2  # noqa: F821
bitwise_invert = invert = bitwise_not  # noqa: F821
left_shift = bitwise_left_shift  # noqa: F821
true_divide = divide  # noqa: F821


# ---- the same, with one case more -------------------------------------------------------------


def _add(x: Any, y: Any) -> Any:
    return lax.bitwise_or(x, y) if dtype_of(x) == _BOOL else lax.add(x, y)


def _multiply(x: Any, y: Any) -> Any:
    return lax.bitwise_and(x, y) if dtype_of(x) == _BOOL else lax.mul(x, y)


def dtype_of(x: Any) -> Any:
    """The canonical dtype of an array or Python scalar."""
    aval = getattr(x, "aval", None)
    return aval.dtype if aval is not None else dtypes.dtype_and_weak(x)[0]


def _ordered(lax_fun: Callable) -> Callable:
    """Complex numbers are compared by real part, then by imaginary part."""

    def compare(x: Any, y: Any) -> Any:
        if dtype_of(x) not in _COMPLEX:
            return lax_fun(x, y)
        x, y = (array_of(v) for v in (x, y))
        tie = lax.eq(lax.real(x), lax.real(y))
        second = lax_fun(lax.imag(x), lax.imag(y))
        first = lax_fun(lax.real(x), lax.real(y))
        return lax.select(tie, second, first)

    return compare


def _same(compare: Callable, join: Callable) -> Callable:
    """Equality; keys are equal if all their words are."""

    def same(x: Any, y: Any) -> Any:
        if not isinstance(dtype_of(x), KeyDtype):
            return compare(x, y)
        unwrap = primitive("random_unwrap").bind
        x, y = unwrap(array_of(x)), unwrap(array_of(y))
        rank = max(x.ndim, y.ndim)
        words = compare(*(lax.broadcast_to_rank(v, rank) for v in (x, y)))
        return join(words, (words.ndim - 1,))

    return same


equal = make_binary("equal", _same(lax.eq, lax.reduce_and), "any", "x == y.")
not_equal = make_binary("not_equal", _same(lax.ne, lax.reduce_or), "any", "x != y.")
add = make_binary("add", _add, "any", "x + y (logical or for bools).")
multiply = make_binary("multiply", _multiply, "any", "x * y (logical and for bools).")
greater = make_binary("greater", _ordered(lax.gt), "any", "x > y.")
greater_equal = make_binary("greater_equal", _ordered(lax.ge), "any", "x >= y.")
less = make_binary("less", _ordered(lax.lt), "any", "x < y.")
less_equal = make_binary("less_equal", _ordered(lax.le), "any", "x <= y.")


def _shift_right(x: Any, y: Any) -> Any:
    if dtypes.issubdtype(dtype_of(x), np.unsignedinteger):
        return lax.shift_right_logical(x, y)
    return lax.shift_right_arithmetic(x, y)


bitwise_right_shift = right_shift = make_binary(
    "right_shift", _shift_right, "numeric", "x1 shifted right by x2 bits (keeping the sign)."
)


def _to_bool(x: Any) -> Any:
    found = dtype_of(x)
    return x if found == _BOOL else lax.ne(x, const_like(x, 0))


def _logical(name: str, lax_fun: Callable, doc: str) -> Callable:
    def combine(x: Any, y: Any) -> Any:
        return lax_fun(_to_bool(x), _to_bool(y))

    return make_binary(name, combine, "any", doc)


logical_and = _logical("logical_and", lax.bitwise_and, "Truth of x and y.")
logical_or = _logical("logical_or", lax.bitwise_or, "Truth of x or y.")
logical_xor = _logical("logical_xor", lax.bitwise_xor, "Truth of exactly one of x and y.")


def logical_not(x: Any, /) -> Any:
    """Truth of not x."""
    (x,) = promote_args("logical_not", x)
    return lax.bitwise_not(_to_bool(x))


def absolute(x: Any, /) -> Any:
    """Absolute value; the magnitude of complex numbers."""
    if type(x) is Array and x.aval.dtype in _FLOATS:
        return lax.abs(x)
    x = ensure_arraylike("absolute", x)
    found = x.dtype
    if found == _BOOL or dtypes.issubdtype(found, np.unsignedinteger):
        return x
    return lax.abs(x)


abs = absolute


def fabs(x: Any, /) -> Any:
    """Absolute value as a float."""
    x = ensure_arraylike("fabs", x)
    if x.dtype in _COMPLEX:
        raise TypeError("ufunc 'fabs' does not support complex dtypes")
    return lax.abs(*promote_args_inexact("fabs", x))


def positive(x: Any, /) -> Any:
    """+x."""
    return ensure_arraylike("positive", x)


def _rounding(name: str, lax_fun: Callable, doc: str) -> Callable:
    def fun(x: Any, /) -> Any:
        x = ensure_arraylike(name, x)
        if x.dtype == _BOOL or dtypes.issubdtype(x.dtype, np.integer):
            return x
        return lax_fun(x)

    return _named(fun, name, doc)


floor = _rounding("floor", lax.floor, "The largest integers not above x.")
ceil = _rounding("ceil", lax.ceil, "The smallest integers not below x.")


def reciprocal(x: Any, /) -> Any:
    """1 / x."""
    (x,) = promote_args_inexact("reciprocal", x)
    return lax.integer_pow(x, -1)


def conjugate(x: Any, /) -> Any:
    """Complex conjugate."""
    x = ensure_arraylike("conjugate", x)
    return lax.conj(x) if x.dtype in _COMPLEX else x


conj = conjugate


def real(val: Any, /) -> Any:
    """Real part."""
    x = ensure_arraylike("real", val)
    return lax.real(x) if x.dtype in _COMPLEX else x


def imag(val: Any, /) -> Any:
    """Imaginary part (zeros for real arrays)."""
    x = ensure_arraylike("imag", val)
    return lax.imag(x) if x.dtype in _COMPLEX else full_like(x, 0)


def isnan(x: Any, /) -> Any:
    """Where x is not a number."""
    x = ensure_arraylike("isnan", x)
    return lax.ne(x, x)


def isfinite(x: Any, /) -> Any:
    """Where x is neither infinite nor NaN."""
    x = ensure_arraylike("isfinite", x)
    if x.dtype in _COMPLEX:
        return lax.bitwise_and(lax.is_finite(lax.real(x)), lax.is_finite(lax.imag(x)))
    if dtypes.issubdtype(x.dtype, np.floating):
        return lax.is_finite(x)
    return full_like(x, True, dtype=_BOOL)


def _is_inf(name: str, value: float) -> Callable:
    def fun(x: Any, /) -> Any:
        x = ensure_arraylike(name, x)
        if x.dtype in _COMPLEX:
            raise ValueError(f"{name} is not well defined for complex types")
        if dtypes.issubdtype(x.dtype, np.floating):
            return lax.eq(x, convert(value, x.dtype))
        return full_like(x, False, dtype=_BOOL)

    return _named(fun, name, f"Where x is {value}.")


isposinf = _is_inf("isposinf", np.inf)
isneginf = _is_inf("isneginf", -np.inf)


def log2(x: Any, /) -> Any:
    """Logarithm to base 2."""
    (x,) = promote_args_inexact("log2", x)
    found = lax.log(x)
    if dtype_of(x) in _COMPLEX:
        re, im = lax.real(found), lax.imag(found)
        base = lax.log(convert(2.0, _real_dtype(x)))
        return lax.complex(lax.div(re, base), lax.div(im, base))
    return lax.div(found, lax.log(convert(2.0, dtype_of(x))))


def log10(x: Any, /) -> Any:
    """Logarithm to base 10."""
    (x,) = promote_args_inexact("log10", x)
    scale = 1 / np.log(10)
    if dtype_of(x) in _COMPLEX:
        found = lax.log(x)
        factor = convert(scale, _real_dtype(x))
        return lax.complex(lax.mul(lax.real(found), factor), lax.mul(lax.imag(found), factor))
    found = lax.log(x)
    return lax.mul(found, convert(float(scale), _real_dtype(x), _weak(found)))


def _weak(x: Any) -> bool:
    return bool(getattr(x, "weak_type", False))


def _real_dtype(x: Any) -> Any:
    return np.zeros((), dtype_of(x)).real.dtype


def _scaled(name: str, factor: float, doc: str) -> Callable:
    def fun(x: Any, /) -> Any:
        (x,) = promote_args_inexact(name, x)
        return lax.mul(x, convert(factor, dtype_of(x), _weak(x)))

    return _named(fun, name, doc)


deg2rad = radians = _scaled("deg2rad", float(np.pi / 180), "Degrees to radians.")
rad2deg = degrees = _scaled("rad2deg", float(180 / np.pi), "Radians to degrees.")


def iscomplexobj(x: Any) -> bool:
    """Whether the dtype is complex, whatever the values."""
    if x is None:
        return False
    if isinstance(x, Array | Tracer):
        return x.dtype in _COMPLEX
    return dtypes.issubdtype(dtypes.dtype(x) if not isinstance(x, list | tuple)
                             else np.asarray(x).dtype, np.complexfloating)  # fmt: skip


def isrealobj(x: Any) -> bool:
    """Whether the dtype is not complex."""
    return not iscomplexobj(x)


def isscalar(element: Any) -> bool:
    """Whether `element` is a Python, NumPy or 0-d array scalar."""
    if np.isscalar(element):
        return True
    if isinstance(element, Array | Tracer | np.ndarray):
        return element.ndim == 0
    if hasattr(element, "__jax_array__"):
        return array_of(element).ndim == 0
    return False


@nested_jit
def iscomplex(x: Any) -> Any:
    """Where the imaginary part is not zero."""
    x = ensure_arraylike("iscomplex", x)
    return lax.ne(imag(x), convert(0, _real_dtype(x), _weak(x)))


@nested_jit
def isreal(x: Any) -> Any:
    """Where the imaginary part is zero."""
    x = ensure_arraylike("isreal", x)
    return lax.eq(imag(x), convert(0, _real_dtype(x), _weak(x)))
