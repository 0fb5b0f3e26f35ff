"""Elementwise ops of two operands: arithmetic, comparisons, bits and shifts.

Operands have one dtype and broadcast: a scalar goes with anything, and dimensions of size 1
stretch. Integer arithmetic wraps, and division by zero has JAX's values instead of an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import KeyDtype, ShapedArray
from jaxc_compiler.opset.inference import (
    ANY,
    BITS,
    FLOAT,
    INEXACT,
    INTEGER,
    KEY,
    NUMBER,
    ORDERED,
    bool_dtype,
    broadcast_shape,
    check_accepts,
    check_same_dtypes,
    complex_dtype,
    infer_nary,
)
from jaxc_compiler.opset.kernels import (
    COMPLEXES,
    FLOATS,
    INTEGERS,
    Kernel,
    from_ufunc,
    nary_samples,
)
from jaxc_compiler.opset.op import define

# ---- kernels that are not one ufunc --------------------------------------------------------------


def _with_infinities(x: Any, y: Any, out: Any) -> np.ndarray:
    """A complex quotient with what C (annex G) says where NumPy's is NaN in both parts.

    A number with an infinite part is infinite: finite / infinite = 0, infinite / finite = infinite.
    """
    lost = np.isnan(out.real) & np.isnan(out.imag)
    to_zero = lost & np.isfinite(x) & np.isinf(y)
    out = np.where(to_zero, out.dtype.type(0), out)
    unit = [np.copysign(np.isinf(part).astype(part.dtype), part) for part in (x.real, x.imag)]
    re = np.inf * (unit[0] * y.real + unit[1] * y.imag)
    im = np.inf * (unit[1] * y.real - unit[0] * y.imag)
    grows = lost & np.isinf(x) & np.isfinite(y)
    np.copyto(out.real, re, where=grows, casting="same_kind")
    np.copyto(out.imag, im, where=grows, casting="same_kind")
    return out


def div_numpy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """True division of floats; integers truncate, x / 0 = -1 (all bits set), MIN / -1 = MIN."""
    kind = x.dtype.kind
    if kind not in "iu":
        out = np.asarray(np.true_divide(x, y))
        return _with_infinities(x, y, out) if kind == "c" and np.isnan(out).any() else out
    divisor = np.where(y == 0, y.dtype.type(1), y)
    # Taking the remainder off first makes flooring and truncating agree.
    quotient = np.floor_divide(x - np.fmod(x, divisor), divisor)
    all_bits = x.dtype.type(-1) if kind == "i" else np.iinfo(x.dtype).max
    return np.where(y == 0, x.dtype.type(all_bits), quotient)


def rem_numpy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The remainder with the dividend's sign; of integers, x % 0 = x."""
    if x.dtype.kind not in "iu":
        return np.asarray(np.fmod(x, y))
    divisor = np.where(y == 0, y.dtype.type(1), y)
    return np.where(y == 0, x, np.fmod(x, divisor))


def mul_numpy(x: np.ndarray, y: np.ndarray, *, out_dtype: Any = None) -> np.ndarray:
    if out_dtype is not None:
        x, y = x.astype(out_dtype), y.astype(out_dtype)
    return np.asarray(np.multiply(x, y))


def mulhi_numpy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The high half of the double-width product."""
    bits = 8 * x.dtype.itemsize
    if bits < 64:
        wide = np.dtype(f"{x.dtype.kind}{bits // 4}")
        return np.asarray((x.astype(wide) * y.astype(wide)) >> bits).astype(x.dtype)
    # No 128-bit integers: multiply 32-bit halves and add up the parts that reach the high word.
    u, v = x.view(np.uint64), y.view(np.uint64)
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    u0, u1, v0, v1 = u & mask, u >> half, v & mask, v >> half
    middle = u1 * v0 + (u0 * v0 >> half)
    low_middle = u0 * v1 + (middle & mask)
    high = (u1 * v1 + (middle >> half) + (low_middle >> half)).astype(x.dtype)
    if x.dtype.kind == "i":
        high = high - np.where(x < 0, y, 0) - np.where(y < 0, x, 0)
    return np.asarray(high)


def pow_numpy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if y.dtype != x.dtype:
        y = y.astype(x.dtype)
    return np.asarray(np.power(x, y))


def atan2_numpy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if x.dtype.kind != "c":
        return np.asarray(np.arctan2(x, y))
    unit = (y + 1j * x) / np.sqrt(x * x + y * y)
    return np.asarray(-1j * np.log(unit)).astype(x.dtype, copy=False)


def complex_numpy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    shape = x.shape if x.shape == y.shape else np.broadcast_shapes(x.shape, y.shape)
    out = np.empty(shape, complex_dtype(x.dtype))
    out.real, out.imag = x, y
    return out


def shift_right_logical_numpy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    unsigned = f"u{x.dtype.itemsize}"
    return np.asarray(np.right_shift(x.view(unsigned), y.view(unsigned))).view(x.dtype)


def shift_right_arithmetic_numpy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fills with the top bit, also that of unsigned integers."""
    signed = f"i{x.dtype.itemsize}"
    return np.asarray(np.right_shift(x.view(signed), y.view(signed))).view(x.dtype)


def total_order(compare: np.ufunc) -> Kernel:
    """Compares floats by IEEE total order: -NaN < -inf < ... < -0 < 0 < ... < inf < NaN."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray(compare(_order_key(x), _order_key(y)))

    return kernel


def _order_key(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind in "biuc":
        return x
    word = np.dtype(f"i{x.dtype.itemsize}")
    bits = x.view(word)
    return np.where(bits < 0, bits ^ np.iinfo(word).max, bits)


# ---- inference that is not the common one -------------------------------------------------------


def mul_infer(x: ShapedArray, y: ShapedArray, *, out_dtype: Any = None) -> ShapedArray:
    for i, aval in enumerate((x, y)):
        check_accepts("mul", NUMBER, aval.dtype, i)
    if out_dtype is None:
        check_same_dtypes("mul", x, y)
    dtype = x.dtype if out_dtype is None else out_dtype
    return ShapedArray(broadcast_shape("mul", (x, y)), dtype, x.weak_type and y.weak_type)


def pow_infer(x: ShapedArray, y: ShapedArray) -> ShapedArray:
    check_accepts("pow", INEXACT, x.dtype, 0)
    check_accepts("pow", NUMBER, y.dtype, 1)
    if y.dtype != x.dtype and y.dtype.kind not in "iu":
        raise TypeError(
            "pow takes an exponent of the base's dtype or an integer exponent, got "
            f"{x.dtype.name} and {y.dtype.name}."
        )
    return ShapedArray(broadcast_shape("pow", (x, y)), x.dtype, x.weak_type and y.weak_type)


def complex_infer(x: ShapedArray, y: ShapedArray) -> ShapedArray:
    for i, aval in enumerate((x, y)):
        if aval.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            check_accepts("complex", frozenset(), aval.dtype, i)
    check_same_dtypes("complex", x, y)
    dtype = complex_dtype(x.dtype)
    return ShapedArray(broadcast_shape("complex", (x, y)), dtype, x.weak_type and y.weak_type)


def infer_equality(op: str) -> Callable[..., ShapedArray]:
    plain = infer_nary(op, ANY | KEY, bool_dtype)

    def infer(x: ShapedArray, y: ShapedArray) -> ShapedArray:
        if isinstance(x.dtype, KeyDtype) != isinstance(y.dtype, KeyDtype):
            raise TypeError(f"{op}: cannot compare random keys with numbers, got {x} and {y}.")
        return plain(x, y)

    return infer


# ---- the tables ---------------------------------------------------------------------------------


def _row(
    name: str,
    accepts: frozenset[str],
    kernel: Kernel,
    dtypes: tuple[str, ...],
    *,
    infer: Callable[..., ShapedArray] | None = None,
    domain: tuple[float, float] = (-3.0, 3.0),
    result_dtype: Callable[[Any], Any] | None = None,
    **fields: Any,
) -> None:
    define(
        name,
        kind="elementwise",
        infer=infer or infer_nary(name, accepts, result_dtype),
        numpy=from_ufunc(kernel, 2) if isinstance(kernel, np.ufunc) else kernel,
        **{"samples": nary_samples(2, *dtypes), "domain": domain, **fields},
    )


ALL = FLOATS + COMPLEXES[:1] + INTEGERS

_row("add", NUMBER, np.add, ALL)
_row("add_any", NUMBER, np.add, ALL, samples=nary_samples(2, *ALL, broadcast=False))
_row("sub", NUMBER, np.subtract, ALL)
_row(
    "mul", NUMBER, mul_numpy, ALL,
    infer=mul_infer, params=("out_dtype",), samples=nary_samples(2, *ALL, out_dtype=None),
)  # fmt: skip
_row("mulhi", INTEGER, mulhi_numpy, INTEGERS)
_row("div", NUMBER, div_numpy, ALL, domain=(0.3, 3.0))
_row("rem", INTEGER | FLOAT, rem_numpy, FLOATS + INTEGERS, domain=(0.3, 9.0))
_row("pow", INEXACT, pow_numpy, FLOATS + COMPLEXES[:1], infer=pow_infer, domain=(0.2, 3.0))
_row("atan2", INEXACT, atan2_numpy, FLOATS + COMPLEXES[:1])
_row("nextafter", FLOAT, np.nextafter, FLOATS)
_row("max", ANY, np.maximum, ALL + ("bool",))
_row("min", ANY, np.minimum, ALL + ("bool",))
_row("complex", FLOAT, complex_numpy, FLOATS[:2], infer=complex_infer)

_row("and", BITS, np.bitwise_and, (*INTEGERS, "bool"))
_row("or", BITS, np.bitwise_or, (*INTEGERS, "bool"))
_row("xor", BITS, np.bitwise_xor, (*INTEGERS, "bool"))
_row("shift_left", INTEGER, np.left_shift, INTEGERS)
_row("shift_right_logical", INTEGER, shift_right_logical_numpy, INTEGERS)
_row("shift_right_arithmetic", INTEGER, shift_right_arithmetic_numpy, INTEGERS)

_row("eq", ANY, np.equal, ALL + ("bool",), infer=infer_equality("eq"))
_row("ne", ANY, np.not_equal, ALL + ("bool",), infer=infer_equality("ne"))
_ORDERED_DTYPES = FLOATS + INTEGERS + ("bool",)
_row("lt", ORDERED, np.less, _ORDERED_DTYPES, result_dtype=bool_dtype)
_row("le", ORDERED, np.less_equal, _ORDERED_DTYPES, result_dtype=bool_dtype)
_row("gt", ORDERED, np.greater, _ORDERED_DTYPES, result_dtype=bool_dtype)
_row("ge", ORDERED, np.greater_equal, _ORDERED_DTYPES, result_dtype=bool_dtype)
_row("eq_to", ANY, total_order(np.equal), _ORDERED_DTYPES, result_dtype=bool_dtype)
_row("lt_to", ORDERED, total_order(np.less), _ORDERED_DTYPES, result_dtype=bool_dtype)
_row("le_to", ORDERED, total_order(np.less_equal), _ORDERED_DTYPES, result_dtype=bool_dtype)
