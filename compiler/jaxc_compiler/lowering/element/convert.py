"""Element rules of casts: convert_element_type, bitcast_convert_type, reduce_precision.

Float to integer saturates and NaN gives 0, as in JAX; the machine's conversion alone would not.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.element.base import Complex, Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.pointwise import (
    F32,
    F64,
    int_bits,
    is_narrow,
    kind,
    narrow,
    pointwise,
    real_part,
    widen,
)
from jaxc_compiler.lowering.element.types import PACKED
from jaxc_compiler.lowering.element.values import rule


def convert(b: ScalarBuilder, x: Scalar, old: Any, new: Any) -> Scalar:
    """A scalar of dtype `old` as dtype `new`, as `lax.convert_element_type` converts."""
    if old == new:
        return x
    if kind(new) == "c":
        return _to_complex(b, x, old, new)
    if isinstance(x, Complex):
        x, old = x.re, real_part(old)
    if is_narrow(old):
        if new == old:
            return x
        x, old = widen(b, old, x), F32
    if kind(old) == "f":
        return _from_float(b, x, old, new)
    return _from_int(b, x, old, new)


def _to_complex(b: ScalarBuilder, x: Scalar, old: Any, new: Any) -> Complex:
    part = real_part(new)
    if isinstance(x, Complex):
        return Complex(*(convert(b, v, real_part(old), part) for v in x))
    return Complex(convert(b, x, old, part), b.constant(0.0, part))


def _from_float(b: ScalarBuilder, x: Scalar, old: Any, new: Any) -> Scalar:
    m = b.floats(old)
    if kind(new) == "b":
        return m.ne(x, 0.0)
    if kind(new) != "f":
        return _float_to_int(b, x, old, new)
    if old == F64 and new != F64:
        x = b.floats(F32).cast("arith.truncf", x)
        return x if new == F32 else narrow(b, new, x)
    if old == F32 and new == F64:
        return b.floats(F64).cast("arith.extf", x)
    return x if old == new else narrow(b, new, x)


def _float_to_int(b: ScalarBuilder, x: Scalar, old: Any, new: Any) -> Scalar:
    m, i = b.floats(old), b.ints(int_bits(new))
    signed = kind(new) == "i"
    low = -(1 << (i.bits - 1)) if signed else 0
    high = (1 << (i.bits - (1 if signed else 0))) - 1
    above, below = m.ge(x, float(high)), m.le(x, float(low))
    # A value in range for the conversion even where its result is not used; NaN fails both tests.
    outside = b.op("arith.ori", b.i1, [above, b.op("arith.ori", b.i1, [below, m.isnan(x)])])
    inside = m.select(outside, 0.0, x)
    whole = i.cast("arith.fptosi" if signed else "arith.fptoui", inside)
    return i.select(below, low, i.select(above, high, whole))


def _from_int(b: ScalarBuilder, x: Scalar, old: Any, new: Any) -> Scalar:
    bits, signed = int_bits(old), kind(old) == "i"
    i = b.ints(bits)
    if kind(new) == "b":
        return i.ne(x, 0)
    if kind(new) == "f":
        wide = F32 if is_narrow(new) else new
        value = b.floats(wide).cast("arith.sitofp" if signed else "arith.uitofp", x)
        return narrow(b, new, _unfolded(b, value)) if is_narrow(new) else value
    target = int_bits(new)
    if target == bits:
        return x
    if target < bits:
        return b.ints(target).cast("arith.trunci", x)
    return b.ints(target).cast("arith.extsi" if signed else "arith.extui", x)


def _unfolded(b: ScalarBuilder, x: Scalar) -> Scalar:
    """An f32 of an integer, hidden from MLIR, which folds the narrowing into one conversion.

    SPIR-V has not that conversion for every type, and CPUs without bfloat16 call a library for it.
    """
    m = b.floats(F32)
    return m.copysign(m.abs(x), x)


def _convert_element_type(
    b: ScalarBuilder, dtype: Any, x: Scalar, *, new_dtype: Any, **_: Any
) -> Scalar:
    return convert(b, x, dtype, new_dtype)


def _to_bits(b: ScalarBuilder, x: Scalar, dtype: Any) -> tuple[Scalar, int]:
    if kind(dtype) != "f":
        return x, int_bits(dtype)
    bits = dtype.itemsize * 8
    return b.op("arith.bitcast", b.type(f"i{bits}"), [x]), bits


def _of_bits(b: ScalarBuilder, bits: Scalar, dtype: Any) -> Scalar:
    return b.op("arith.bitcast", b.scalar_type(dtype), [bits]) if kind(dtype) == "f" else bits


def bit_width(dtype: Any) -> int:
    """How many bits a value has (in memory, narrow integers take a byte)."""
    return int(dtype.name[-1]) if dtype in PACKED else dtype.itemsize * 8


@rule("bitcast_convert_type")
def bitcast_convert_type(
    b: ScalarBuilder, operands: Any, index: tuple[Index, ...], out_aval: Any, *, new_dtype: Any
) -> Scalar:
    """The bits as another dtype; of a wider one the last index chooses a piece, low piece first."""
    (x,) = operands
    old = x.aval.dtype
    if old == new_dtype or kind(old) == "c":
        return x.at(b, index)
    old_bits, new_bits = bit_width(old), bit_width(new_dtype)
    if old_bits == new_bits:
        return _of_bits(b, _to_bits(b, x.at(b, index), old)[0], new_dtype)
    if old_bits > new_bits:
        word, bits = _to_bits(b, x.at(b, index[:-1]), old)
        piece = new_bits
        shift = b.from_index(b.imul(index[-1], piece), bits)
        part = b.ints(piece).cast("arith.trunci", b.ints(bits).lshr(word, shift))
        return _of_bits(b, part, new_dtype)
    bits, piece = new_bits, old_bits
    wide = b.ints(bits)
    word = None
    for k in range(bits // piece):
        part = wide.cast("arith.extui", _to_bits(b, x.at(b, (*index, k)), old)[0])
        part = part if k == 0 else wide.shl(part, k * piece)
        word = part if word is None else wide.or_(word, part)
    return _of_bits(b, word, new_dtype)


_LAYOUTS = {
    "float16": (5, 10), "bfloat16": (8, 7), "float32": (8, 23), "float64": (11, 52),
    "float8_e4m3fn": (4, 3), "float8_e5m2": (5, 2), "float8_e4m3": (4, 3), "float8_e3m4": (3, 4),
}  # fmt: skip


def _reduce_precision(
    b: ScalarBuilder, dtype: Any, x: Scalar, *, exponent_bits: int, mantissa_bits: int
) -> Scalar:
    """Rounds the mantissa to nearest even; exponents out of range give infinity or zero."""
    exponent, mantissa = _LAYOUTS[dtype.name]
    word, bits = _to_bits(b, x, dtype)
    i = b.ints(bits)
    inf = ((1 << exponent) - 1) << mantissa
    sign = i.and_(word, 1 << (bits - 1))
    reduced = word
    if mantissa_bits < mantissa:
        cut = mantissa - mantissa_bits
        odd = i.and_(i.lshr(word, cut), 1)
        rounded = i.add(word, i.add(odd, (1 << (cut - 1)) - 1))
        reduced = i.and_(rounded, ~((1 << cut) - 1))
    if exponent_bits < exponent:
        bias, reach = (1 << (exponent - 1)) - 1, (1 << (exponent_bits - 1)) - 1
        field = i.and_(reduced, inf)
        overflow = i.cmp(8, field, (bias + reach) << mantissa)
        underflow = i.ule(field, (bias - reach) << mantissa)
        reduced = i.select(overflow, i.or_(sign, inf), reduced)
        reduced = i.select(underflow, sign, reduced)
    magnitude = i.and_(word, (1 << (bits - 1)) - 1)
    special = i.uge(magnitude, inf)  # infinities and NaNs stay
    return _of_bits(b, i.select(special, word, reduced), dtype)


pointwise("convert_element_type", _convert_element_type)
pointwise("reduce_precision", _reduce_precision)
