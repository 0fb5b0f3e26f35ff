"""Element rules of arithmetic, bitwise and comparison ops with two operands.

Owns JAX's integer semantics: x/0 = -1, x%0 = x, INT_MIN/-1 = INT_MIN, and shifts by the width or
more give 0 (or the sign); a machine division by zero would kill the process.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element import complexes, math_pow
from jaxc_compiler.lowering.element.base import Complex, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.convert import convert
from jaxc_compiler.lowering.element.pointwise import (
    by_kind,
    complex_map,
    float_op,
    is_narrow,
    kind,
    pointwise,
    widen,
)
from jaxc_compiler.lowering.element.real_math import real
from jaxc_compiler.lowering.element.values import POINTWISE, rule


def _max_complex(greater: bool) -> Any:
    """Lexicographic by real, then imaginary part; the first operand wins if it holds a NaN."""

    def function(m: Any, x: Complex, y: Complex) -> Complex:
        above = m.gt if greater else m.lt
        b = m.b
        tie = b.all_of([m.eq(x.re, y.re), above(x.im, y.im)])
        first = b.op("arith.ori", b.i1, [above(x.re, y.re), tie])
        return b.select(first, x, y)

    return function


def _divide_signed(m: Any, x: Scalar, y: Scalar) -> Scalar:
    zero, safe = _safe_divisor(m, x, y)
    return m.select(zero, -1, m.binary("arith.divsi", x, safe))


def _safe_divisor(m: Any, x: Scalar, y: Scalar) -> tuple[Scalar, Scalar]:
    b, zero = m.b, m.eq(y, 0)
    overflow = b.all_of([m.eq(x, -(1 << (m.bits - 1))), m.eq(y, -1)])
    return zero, m.select(b.op("arith.ori", b.i1, [zero, overflow]), 1, y)


def _divide_unsigned(m: Any, x: Scalar, y: Scalar) -> Scalar:
    zero = m.eq(y, 0)
    return m.select(zero, -1, m.binary("arith.divui", x, m.select(zero, 1, y)))


def _rem_signed(m: Any, x: Scalar, y: Scalar) -> Scalar:
    zero, safe = _safe_divisor(m, x, y)
    if m.b.relaxed:  # SPIR-V's remainder of the least integer is written with its absolute value
        rest = m.sub(x, m.mul(m.binary("arith.divsi", x, safe), safe))
    else:
        rest = m.binary("arith.remsi", x, safe)
    return m.select(zero, x, rest)


def _rem_unsigned(m: Any, x: Scalar, y: Scalar) -> Scalar:
    zero = m.eq(y, 0)
    return m.select(zero, x, m.binary("arith.remui", x, m.select(zero, 1, y)))


def _mulhi(signed: bool) -> Any:
    def function(m: Any, x: Scalar, y: Scalar) -> Scalar:
        b = m.b
        if m.bits < 64:
            wide = b.ints(2 * m.bits)
            cast = "arith.extsi" if signed else "arith.extui"
            product = wide.mul(wide.cast(cast, x), wide.cast(cast, y))
            return m.cast("arith.trunci", wide.lshr(product, m.bits))
        high = m.mulhi(x, y)
        if signed:  # a negative operand was taken for itself + 2^64
            for factor, other in ((x, y), (y, x)):
                high = m.sub(high, m.select(m.slt(factor, 0), other, 0))
        return high

    return function


def _shift(name: str, fill: Any) -> Any:
    def function(m: Any, x: Scalar, y: Scalar) -> Scalar:
        inside = m.ult(y, m.bits)
        shifted = m.binary(name, x, m.select(inside, y, 0))
        return m.select(inside, shifted, fill(m, x))

    return function


def _zero(m: Any, x: Scalar) -> Scalar:
    return m.c(0)


def _sign_fill(m: Any, x: Scalar) -> Scalar:
    return m.ashr(x, m.bits - 1)


def _nextafter(m: Any, x: Scalar, y: Scalar) -> Scalar:
    """One step of the bit pattern toward y; from zero to the smallest denormal."""
    i, b = m.i, m.b
    bits = m.bits_of(x)
    zero = m.eq(x, 0.0)
    sign = i.and_(m.bits_of(y), -(1 << (m.bits - 1)))
    up = m.gt(y, x)
    negative = i.slt(bits, 0)
    away = b.op("arith.xori", b.i1, [up, negative])
    stepped = i.add(bits, i.select(away, 1, -1))
    result = m.of_bits(i.select(zero, i.or_(sign, 1), stepped))
    result = m.select(m.eq(x, y), y, result)
    nan = b.op("arith.ori", b.i1, [m.isnan(x), m.isnan(y)])
    return m.select(nan, float("nan"), result)


def _compare(floats: int, signed: int, unsigned: int) -> Any:
    """A comparison by its predicate numbers in `arith`."""

    def complex_(m: Any, x: Complex, y: Complex) -> Scalar:
        join = "arith.andi" if signed == 0 else "arith.ori"
        return m.b.op(join, m.b.i1, [m.cmp(floats, x.re, y.re), m.cmp(floats, x.im, y.im)])

    return by_kind(
        f=lambda m, x, y: m.cmp(floats, x, y),
        i=lambda m, x, y: m.cmp(signed, x, y),
        u=lambda m, x, y: m.cmp(unsigned, x, y),
        b=lambda m, x, y: m.cmp(unsigned, x, y),
        c=complex_,
    )


def _total_order(signed: int, unsigned: int) -> Any:
    """A comparison by IEEE total order: the bit patterns, those of negative numbers reversed."""

    def order(m: Any, x: Scalar) -> Scalar:
        bits = m.bits_of(x)
        return m.i.xor(bits, m.i.lshr(m.i.ashr(bits, m.bits - 1), 1))

    integers = _compare(1, signed, unsigned)

    def function(b: ScalarBuilder, dtype: Any, x: Scalar, y: Scalar) -> Scalar:
        if kind(dtype) != "f":
            return integers(b, dtype, x, y)
        if is_narrow(dtype):
            x, y, dtype = widen(b, dtype, x), widen(b, dtype, y), "float32"
        m = b.floats(dtype)
        return m.i.cmp(signed, order(m, x), order(m, y))

    return function


def mul(b: ScalarBuilder, dtype: Any, x: Scalar, y: Scalar, *, out_dtype: Any = None) -> Scalar:
    """The product, of operands converted to `out_dtype` first if there is one."""
    if out_dtype is not None and out_dtype != dtype:
        x, y = (convert(b, v, dtype, out_dtype) for v in (x, y))
        dtype = out_dtype
    return _mul(b, dtype, x, y)


@rule("pow")
def pow_(b: ScalarBuilder, operands: Any, index: Any, out_aval: Any) -> Scalar:
    """x ** y; an integer exponent of a float or complex base is converted to its dtype."""
    x, y = (v.at(b, index if v.aval.shape else ()) for v in operands)
    dtype, old = (v.aval.dtype for v in operands)
    return _pow(b, dtype, x, convert(b, y, old, dtype))


def _real(name: str) -> Any:
    return lambda m, *x: real(m, name, *x)


def _make_complex(b: ScalarBuilder, dtype: Any, x: Scalar, y: Scalar) -> Complex:
    return Complex(x, y)


_ADDI, _ANDI, _ORI, _XORI = "arith.addi", "arith.andi", "arith.ori", "arith.xori"
_add = by_kind(
    f=float_op("arith.addf"), i=float_op(_ADDI), u=float_op(_ADDI), b=float_op(_ORI),
    c=complex_map(float_op("arith.addf")),
)  # fmt: skip
_mul = by_kind(
    f=float_op("arith.mulf"), i=float_op("arith.muli"), u=float_op("arith.muli"),
    b=float_op(_ANDI), c=complexes.mul,
)  # fmt: skip
_pow = by_kind(
    f=_real("pow_"), i=math_pow.int_pow(True), u=math_pow.int_pow(False), c=complexes.pow_
)

pointwise("add", _add)
pointwise("add_any", _add)
pointwise("mul", mul)
POINTWISE.add("pow")
pointwise("complex", _make_complex)
pointwise("sub", by_kind(
    f=float_op("arith.subf"), i=float_op("arith.subi"), u=float_op("arith.subi"),
    c=complex_map(float_op("arith.subf")),
))  # fmt: skip
pointwise("div", by_kind(
    f=float_op("arith.divf"), i=_divide_signed, u=_divide_unsigned, c=complexes.div
))  # fmt: skip
pointwise("rem", by_kind(f=_real("fmod"), i=_rem_signed, u=_rem_unsigned))
pointwise("mulhi", by_kind(i=_mulhi(True), u=_mulhi(False)))
pointwise("atan2", by_kind(f=_real("atan2"), c=complexes.atan2))
pointwise("nextafter", lambda b, dtype, x, y: _nextafter(b.floats(dtype), x, y))
pointwise("max", by_kind(
    f=float_op("arith.maximumf"), i=float_op("arith.maxsi"), u=float_op("arith.maxui"),
    b=float_op(_ORI), c=_max_complex(True),
))  # fmt: skip
pointwise("min", by_kind(
    f=float_op("arith.minimumf"), i=float_op("arith.minsi"), u=float_op("arith.minui"),
    b=float_op(_ANDI), c=_max_complex(False),
))  # fmt: skip
for _name, _op in (("and", _ANDI), ("or", _ORI), ("xor", _XORI)):
    pointwise(_name, by_kind(i=float_op(_op), u=float_op(_op), b=float_op(_op)))
for _name, _op, _fill in (
    ("shift_left", "arith.shli", _zero),
    ("shift_right_logical", "arith.shrui", _zero),
    ("shift_right_arithmetic", "arith.shrsi", _sign_fill),
):
    pointwise(_name, by_kind(i=_shift(_op, _fill), u=_shift(_op, _fill)))
for _name, _numbers in {
    "eq": (1, 0, 0), "ne": (13, 1, 1), "lt": (4, 2, 6), "le": (5, 3, 7), "gt": (2, 4, 8),
    "ge": (3, 5, 9),
}.items():  # fmt: skip
    pointwise(_name, _compare(*_numbers))
pointwise("eq_to", _total_order(0, 0))
pointwise("lt_to", _total_order(2, 6))
pointwise("le_to", _total_order(3, 7))
for _name in (
    *("igamma", "igammac", "igamma_grad_a", "random_gamma_grad", "polygamma", "zeta"),
    "regularized_incomplete_beta",
):
    pointwise(_name, by_kind(f=_real(_name)))
