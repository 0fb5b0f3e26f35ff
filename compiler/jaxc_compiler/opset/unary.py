"""Elementwise ops of one operand: arithmetic, rounding, exponentials, trigonometry, bits.

Most are one row of a table; below the tables are the kernels that no single ufunc gives. The
special functions (erf, lgamma, ...) are in `special`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.inference import (
    BITS,
    COMPLEX,
    FLOAT,
    INEXACT,
    INTEGER,
    NUMBER,
    SIGNED,
    bool_dtype,
    check_accepts,
    complex_dtype,
    dtype_class,
    infer_unary,
    real_dtype,
)
from jaxc_compiler.opset.kernels import (
    COMPLEXES,
    FLOATS,
    INTEGERS,
    Kernel,
    at_least_f32,
    from_ufunc,
    rounded,
    unary_samples,
)
from jaxc_compiler.opset.op import Sample, define
from jaxc_compiler.opset.params import RoundingMethod

# ---- kernels that are not one ufunc --------------------------------------------------------------


def sign_numpy(x: np.ndarray) -> np.ndarray:
    """NumPy's sign, but that of -0.0 is -0.0."""
    out = np.sign(x)
    if x.dtype.kind not in "iuc":
        out = np.where(x == 0, x, out)
    return np.asarray(out)


def round_numpy(x: np.ndarray, *, rounding_method: RoundingMethod) -> np.ndarray:
    if rounding_method == RoundingMethod.TO_NEAREST_EVEN:
        return np.asarray(np.rint(x))
    whole = np.trunc(x)
    # Adding 0.5 and truncating would round 0.49999997 up.
    away = np.abs(x - whole) >= x.dtype.type(0.5)
    one = np.copysign(x.dtype.type(1), x)
    return np.asarray(np.where(away, whole + one, np.copysign(whole, x)))


def _repaired(kernel: Kernel, repair: Callable[[Any, np.ndarray], None]) -> Kernel:
    """The kernel, with complex results where NumPy's infinities and NaNs are not JAX's set."""

    def run(x: np.ndarray, **params: Any) -> np.ndarray:
        if x.dtype.kind != "c":
            return kernel(x, **params)
        out = np.array(kernel(x, **params))
        repair(x, out)
        return out

    return run


def _repair_exp(x: Any, out: Any) -> None:
    out[np.isinf(x.real) & ~np.isfinite(x.imag)] = complex(np.nan, np.nan)


def _repair_expm1(x: Any, out: Any) -> None:
    np.copyto(out.imag, x.imag, where=x.imag == 0)  # NumPy's is NaN when exp(re) is too large


def _repair_log(x: Any, out: np.ndarray) -> None:
    out[np.isnan(x)] = complex(np.nan, np.nan)


def _repair_rsqrt(x: Any, out: np.ndarray) -> None:
    out[np.isinf(x)] = 0
    out[x == 0] = complex(np.inf, np.nan)


def square_numpy(x: Any) -> np.ndarray:
    if x.dtype.kind != "c":
        return np.asarray(np.square(x))
    # NumPy subtracts squares, which may both overflow.
    difference, total = x.real - x.imag, x.real + x.imag
    out: Any = np.empty_like(x)
    out.real = np.where((difference == 0) | (total == 0), 0, difference * total)
    out.imag = 2 * (x.real * x.imag)
    return out


def logistic_numpy(x: np.ndarray, *, accuracy: Any = None) -> np.ndarray:
    if x.dtype.kind == "c" or x.dtype.itemsize >= 4:
        return np.asarray(np.reciprocal(1 + np.exp(-x)))
    return at_least_f32(lambda wide: np.reciprocal(1 + np.exp(-wide)), x)


def log1p_numpy(x: Any, *, accuracy: Any = None) -> np.ndarray:
    out = np.log1p(x)
    if x.dtype.kind == "c":
        # NumPy adds the 1 first and loses the digits of small operands.
        half = np.log1p(x.real * (2 + x.real) + np.square(x.imag)) / 2
        out = np.where(np.abs(x) < 0.5, half + 1j * np.imag(out), out).astype(x.dtype)
    return np.asarray(out)


def rsqrt_numpy(x: np.ndarray, *, accuracy: Any = None) -> np.ndarray:
    if x.dtype.kind == "c" or x.dtype.itemsize >= 4:
        return np.asarray(np.reciprocal(np.sqrt(x)))
    return at_least_f32(lambda wide: np.reciprocal(np.sqrt(wide)), x)


def real_numpy(x: Any) -> np.ndarray:
    return x.real.copy()  # a view would keep the imaginary part alive and could be written through


def imag_numpy(x: Any) -> np.ndarray:
    return x.imag.copy()


def conj_numpy(x: np.ndarray, *, input_dtype: Any) -> np.ndarray:
    return np.asarray(np.conj(x.astype(complex_dtype(x.dtype), copy=False)))


def _as_unsigned(x: np.ndarray) -> np.ndarray:
    return x.view(f"u{x.dtype.itemsize}")


def population_count_numpy(x: np.ndarray) -> np.ndarray:
    # NumPy counts the bits of the absolute value of signed integers.
    return np.asarray(np.bitwise_count(_as_unsigned(x))).astype(x.dtype)


def clz_numpy(x: np.ndarray) -> np.ndarray:
    bits = 8 * x.dtype.itemsize
    words = _as_unsigned(x)
    high = words >> 32 if bits == 64 else words * 0
    low = words & 0xFFFFFFFF if bits == 64 else words
    # frexp's exponent is the bit length; a 32-bit word is exact in float64.
    high_length = np.frexp(high.astype(np.float64))[1]
    low_length = np.frexp(low.astype(np.float64))[1]
    length = np.where(high_length > 0, high_length + 32, low_length)
    return np.asarray((bits - length).astype(x.dtype))


def integer_pow_numpy(x: np.ndarray, *, y: int) -> np.ndarray:
    """Repeated squaring: as many roundings as JAX makes, in its order."""
    if y == 0:
        return np.ones_like(x)
    result: Any = None
    base, exponent = x, abs(y)
    while exponent:
        if exponent & 1:
            result = base if result is None else result * base
        exponent >>= 1
        if exponent:
            base = base * base
    if y < 0:
        result = np.true_divide(x.dtype.type(1), result)
    result = np.asarray(result)
    return result.copy() if y == 1 else result


def reduce_precision_numpy(x: np.ndarray, *, exponent_bits: int, mantissa_bits: int) -> np.ndarray:
    """Rounds to fewer mantissa bits (ties to even); exponents out of range give inf or zero."""
    info = _layout(x.dtype)
    word = np.dtype(f"u{x.dtype.itemsize}").type
    words = _as_unsigned(x)
    if mantissa_bits < info.mantissa:
        cut = info.mantissa - mantissa_bits
        odd = (words >> word(cut)) & word(1)
        rounded = words + word((1 << (cut - 1)) - 1) + odd
        words = rounded & ~word((1 << cut) - 1)
    if exponent_bits < info.exponent:
        sign = words & word(1 << (info.exponent + info.mantissa))
        magnitude = words ^ sign
        bias = (1 << (info.exponent - 1)) - 1
        reach = (1 << (exponent_bits - 1)) - 1
        inf = word(((1 << info.exponent) - 1) << info.mantissa)
        exponent = magnitude & inf
        words = np.where(exponent > word((bias + reach) << info.mantissa), sign | inf, words)
        words = np.where(exponent < word((bias - reach + 1) << info.mantissa), sign, words)
    out = np.asarray(words, dtype=word).view(x.dtype)
    return np.asarray(np.where(np.isnan(x), x, out))


class _Layout:
    """How many exponent and mantissa bits a floating dtype has."""

    def __init__(self, exponent: int, mantissa: int):
        self.exponent, self.mantissa = exponent, mantissa


_LAYOUTS = {
    "float16": _Layout(5, 10),
    "bfloat16": _Layout(8, 7),
    "float32": _Layout(8, 23),
    "float64": _Layout(11, 52),
}


def _layout(dtype: Any) -> _Layout:
    found = _LAYOUTS.get(dtype.name)
    if found is None:
        raise TypeError(f"reduce_precision is not defined for dtype {dtype.name}.")
    return found


# ---- inference that is not the common one -------------------------------------------------------


def integer_pow_infer(x: ShapedArray, *, y: int) -> ShapedArray:
    check_accepts("integer_pow", NUMBER, x.dtype)
    if y < 0 and dtype_class(x.dtype) in INTEGER:
        raise TypeError(
            f"Integers cannot be raised to negative powers, got integer_pow({x.str_short()}, {y})"
        )
    return x


def reduce_precision_infer(
    x: ShapedArray, *, exponent_bits: int, mantissa_bits: int
) -> ShapedArray:
    check_accepts("reduce_precision", FLOAT, x.dtype)
    if operator.index(exponent_bits) < 1:
        raise ValueError(f"reduce_precision: exponent_bits must be positive, got {exponent_bits}")
    if operator.index(mantissa_bits) < 0:
        raise ValueError(
            f"reduce_precision: mantissa_bits must be non-negative, got {mantissa_bits}"
        )
    return x


# ---- the tables ---------------------------------------------------------------------------------

ACCURACY = ("accuracy",)  # asked by the caller; every kernel here is at its best anyway
BOTH = FLOATS + COMPLEXES[:1]
ALL = FLOATS + COMPLEXES[:1] + INTEGERS
Row = tuple[str, frozenset[str], Kernel, tuple[str, ...], dict[str, Any]]


def _row(
    name: str,
    accepts: frozenset[str],
    kernel: Callable[..., Any],
    dtypes: tuple[str, ...],
    domain: tuple[float, float] = (-3.0, 3.0),
    params: tuple[str, ...] = (),
    tolerance: float = 4.0,
    result_dtype: Callable[[Any], Any] | None = None,
) -> None:
    define(
        name,
        kind="elementwise",
        params=params,
        infer=infer_unary(name, accepts, result_dtype),
        numpy=from_ufunc(kernel) if isinstance(kernel, np.ufunc) else kernel,
        samples=unary_samples(*dtypes, **({"accuracy": None} if params == ACCURACY else {})),
        domain=domain,
        tolerance=tolerance,
    )


_row("neg", NUMBER, np.negative, ALL)
_row("sign", NUMBER, sign_numpy, FLOATS + INTEGERS)
_row("square", NUMBER, square_numpy, ALL)
_row("abs", SIGNED | INEXACT, np.absolute, BOTH + INTEGERS[:3], result_dtype=real_dtype)
_row("floor", FLOAT, np.floor, FLOATS)
_row("ceil", FLOAT, np.ceil, FLOATS)
_row("is_finite", FLOAT, np.isfinite, FLOATS, result_dtype=bool_dtype)

_row("exp", INEXACT, _repaired(rounded(np.exp), _repair_exp), BOTH, params=ACCURACY)
_row("exp2", INEXACT, np.exp2, BOTH, params=ACCURACY)
_row("expm1", INEXACT, _repaired(rounded(np.expm1), _repair_expm1), BOTH, params=ACCURACY)
_row("log", INEXACT, _repaired(rounded(np.log), _repair_log), BOTH, domain=(0.1, 9.0),
     params=ACCURACY)  # fmt: skip
_row("log1p", INEXACT, log1p_numpy, BOTH, domain=(-0.8, 5.0), params=ACCURACY)
_row("sqrt", INEXACT, np.sqrt, BOTH, domain=(0.05, 9.0), params=ACCURACY)
_row(
    "rsqrt",
    INEXACT,
    _repaired(rsqrt_numpy, _repair_rsqrt),
    BOTH,
    domain=(0.1, 9.0),
    params=ACCURACY,
)
_row("cbrt", FLOAT, rounded(np.cbrt), FLOATS, domain=(0.1, 9.0), params=ACCURACY)
_row("logistic", INEXACT, logistic_numpy, BOTH, params=ACCURACY)

_row("sin", INEXACT, rounded(np.sin), BOTH, params=ACCURACY)
_row("cos", INEXACT, rounded(np.cos), BOTH, params=ACCURACY)
_row("tan", INEXACT, rounded(np.tan), BOTH, domain=(-1.3, 1.3), params=ACCURACY)
_row("tanh", INEXACT, np.tanh, BOTH, params=ACCURACY)
_row("asin", INEXACT, rounded(np.arcsin), BOTH, domain=(-0.9, 0.9))
_row("acos", INEXACT, rounded(np.arccos), BOTH, domain=(-0.9, 0.9))
_row("atan", INEXACT, rounded(np.arctan), BOTH)
_row("sinh", INEXACT, np.sinh, BOTH)
_row("cosh", INEXACT, rounded(np.cosh), BOTH)
_row("asinh", INEXACT, np.arcsinh, BOTH)
_row("acosh", INEXACT, np.arccosh, BOTH, domain=(1.1, 9.0))
_row("atanh", INEXACT, np.arctanh, BOTH, domain=(-0.9, 0.9))

_row("real", COMPLEX, real_numpy, COMPLEXES, result_dtype=real_dtype)
_row("imag", COMPLEX, imag_numpy, COMPLEXES, result_dtype=real_dtype)

_row("not", BITS, np.invert, ("bool", *INTEGERS))
_row("population_count", INTEGER, population_count_numpy, INTEGERS)
_row("clz", INTEGER, clz_numpy, INTEGERS)

define(
    "conj",
    kind="elementwise",
    params=("input_dtype",),
    infer=infer_unary("conj", frozenset({"floating", "complex"}), complex_dtype),
    numpy=conj_numpy,
    samples=unary_samples("complex64", input_dtype=np.dtype("complex64")),
)
define(
    "round",
    kind="elementwise",
    params=("rounding_method",),
    infer=infer_unary("round", FLOAT),
    numpy=round_numpy,
    samples=lambda: (
        Sample((ShapedArray((5,), dtype),), {"rounding_method": method})
        for dtype in FLOATS
        for method in RoundingMethod
    ),
)
define(
    "integer_pow",
    kind="elementwise",
    params=("y",),
    infer=integer_pow_infer,
    numpy=integer_pow_numpy,
    samples=lambda: (
        *(Sample((ShapedArray((2, 3), "float32"),), {"y": y}) for y in (0, 1, 2, 3, 7, -1, -2)),
        *(Sample((ShapedArray((4,), d),), {"y": 3}) for d in ALL),
    ),
    domain=(0.3, 2.0),
    tolerance=16.0,
)
define(
    "reduce_precision",
    kind="elementwise",
    params=("exponent_bits", "mantissa_bits"),
    infer=reduce_precision_infer,
    numpy=reduce_precision_numpy,
    samples=lambda: (
        *(
            Sample((ShapedArray((4,), d),), {"exponent_bits": 5, "mantissa_bits": 2})
            for d in FLOATS
        ),
        Sample((ShapedArray((), "float32"),), {"exponent_bits": 8, "mantissa_bits": 7}),
    ),
)
