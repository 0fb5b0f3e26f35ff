"""Elementwise ops: a table of names, and the few whose semantics StableHLO leaves open.

Integer division by zero, INT_MIN / -1, shifts by the width or more, and floats out of an integer's
range have the values that JAX gives them on every backend: what StableHLO leaves to the
implementation is written out as selects.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler.lowering.stablehlo.base import (
    FALLBACKS,
    Emitter,
    aval_of,
    kind_of,
    lowers,
    out_aval,
)
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray, float0
from jaxc_compiler.opset.params import RoundingMethod

NAMES = {
    "add": "add", "add_any": "add", "sub": "subtract", "max": "maximum", "min": "minimum",
    "and": "and", "or": "or", "xor": "xor", "not": "not", "neg": "negate",
    "floor": "floor", "ceil": "ceil", "exp": "exponential",
    "expm1": "exponential_minus_one", "log": "log", "log1p": "log_plus_one", "sqrt": "sqrt",
    "rsqrt": "rsqrt", "cbrt": "cbrt", "logistic": "logistic", "sin": "sine", "cos": "cosine",
    "tan": "tan", "tanh": "tanh", "atan2": "atan2", "clz": "count_leading_zeros",
    "population_count": "popcnt",
}  # fmt: skip
# Of complex numbers only what StableHLO's plugins agree on; the element rules do the rest.
COMPLEX_NAMES = frozenset({"add", "add_any", "sub", "neg"})


def lower_by_name(e: Emitter, op: Any, name: str, operands: list, params: dict) -> Any:
    """The op of the same meaning; None for one that is not in the table or has other types."""
    if name not in NAMES:
        return None
    if aval_of(operands[0]).dtype.kind == "c" and name not in COMPLEX_NAMES:
        return None
    return [e.same(NAMES[name], *operands)]


def lower_float_pow(e: Emitter, op: Any, name: str, operands: list, params: dict) -> Any:
    """Powers of real floats; the scalar rules do the others."""
    if name != "pow" or kind_of(aval_of(operands[0]).dtype) != "f":
        return None
    x, y = operands
    return [e.same("power", x, convert(e, y, aval_of(x).dtype))]


FALLBACKS += [lower_by_name, lower_float_pow]


@lowers("mul")
def lower_mul(e: Emitter, op: Any, operands: list, *, out_dtype: Any = None) -> list[ir.Value]:
    if out_dtype is not None:
        operands = [convert(e, value, out_dtype) for value in operands]
    return [e.same("multiply", *operands)]


@lowers("square")
def lower_square(e: Emitter, op: Any, operands: list) -> list[ir.Value]:
    return [e.same("multiply", operands[0], operands[0])]


@lowers("abs")
def lower_abs(e: Emitter, op: Any, operands: list) -> list[ir.Value]:
    if kind_of(aval_of(operands[0]).dtype) == "u":
        return operands
    return [e.one("abs", out_aval(op), operands[0])]


@lowers("sign")
def lower_sign(e: Emitter, op: Any, operands: list) -> list[ir.Value]:
    (x,) = operands
    if kind_of(aval_of(x).dtype) != "u":
        return [e.same("sign", x)]
    zero = e.full_like(x, 0)
    return [e.select(e.compare(x, zero, "EQ"), zero, e.full_like(x, 1))]


@lowers("div", "rem")
def lower_div(e: Emitter, op: Any, operands: list, *, name: str) -> list[ir.Value]:
    """Integers: x / 0 = -1, x rem 0 = x, and INT_MIN / -1 = INT_MIN."""
    x, y = operands
    aval = aval_of(x)
    kind = kind_of(aval.dtype)
    hlo = "divide" if name == "div" else "remainder"
    if kind not in "iu":
        return [e.same(hlo, x, y)]
    zero = e.compare(y, e.full_like(y, 0), "EQ")
    bad = zero
    if kind == "i":
        least = e.compare(x, e.full_like(x, _limits(aval.dtype)[0]), "EQ")
        minus = e.compare(y, e.full_like(y, -1), "EQ")
        bad = e.same("or", zero, e.same("and", least, minus))
    result = e.same(hlo, x, e.select(bad, e.full_like(y, 1), y))
    by_zero = x if name == "rem" else e.same("not", e.full_like(x, 0))
    return [e.select(zero, by_zero, result)]


def _limits(dtype: Any) -> tuple[int, int]:
    bits = int(dtype.name.lstrip("uint"))
    if kind_of(dtype) == "u":
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


_SHIFTS = ("shift_left", "shift_right_logical", "shift_right_arithmetic")


@lowers(*_SHIFTS)
def lower_shift(e: Emitter, op: Any, operands: list, *, name: str) -> list[ir.Value]:
    """By the width or more: 0, or the sign."""
    x, y = operands
    dtype = aval_of(x).dtype
    bits = int(dtype.name.lstrip("uint"))
    inside = e.compare(y, e.full_like(y, bits), "LT")
    if kind_of(dtype) == "i":
        inside = e.same("and", inside, e.compare(y, e.full_like(y, 0), "GE"))
    shifted = e.same(name, x, e.select(inside, y, e.full_like(y, 0)))
    outside = e.full_like(x, 0)
    if name == "shift_right_arithmetic":
        outside = e.same(name, x, e.full_like(x, bits - 1))
    return [e.select(inside, shifted, outside)]


@lowers("eq", "ne", "lt", "le", "gt", "ge")
def lower_compare(e: Emitter, op: Any, operands: list, *, name: str) -> list[ir.Value]:
    return [e.compare(*operands, name.upper())]


@lowers("eq_to", "lt_to", "le_to")
def lower_total_order(e: Emitter, op: Any, operands: list, *, name: str) -> list[ir.Value]:
    floats = kind_of(aval_of(operands[0]).dtype) == "f"
    return [e.compare(*operands, name[:2].upper(), total=floats)]


@lowers("is_finite")
def lower_is_finite(e: Emitter, op: Any, operands: list) -> list[ir.Value]:
    return [e.one("is_finite", out_aval(op), operands[0])]


@lowers("real", "imag", "complex")
def lower_parts(e: Emitter, op: Any, operands: list, *, name: str) -> list[ir.Value]:
    return [e.one(name, out_aval(op), *operands)]


@lowers("conj")
def lower_conj(e: Emitter, op: Any, operands: list, *, input_dtype: Any) -> list[ir.Value]:
    (x,) = operands
    if aval_of(x).dtype.kind != "c":
        return [e.one("complex", out_aval(op), x, e.full_like(x, 0))]
    part = out_aval(op).update(dtype=np.dtype(f"f{aval_of(x).dtype.itemsize // 2}"))
    real, imag = e.one("real", part, x), e.one("imag", part, x)
    return [e.one("complex", out_aval(op), real, e.same("negate", imag))]


@lowers("round")
def lower_round(e: Emitter, op: Any, operands: list, *, rounding_method: Any) -> list[ir.Value]:
    even = RoundingMethod(rounding_method) == RoundingMethod.TO_NEAREST_EVEN
    return [e.same("round_nearest_even" if even else "round_nearest_afz", *operands)]


@lowers("reduce_precision")
def lower_reduce_precision(
    e: Emitter, op: Any, operands: list, *, exponent_bits: int, mantissa_bits: int
) -> list[ir.Value]:
    i32 = ir.IntegerType.get_signless(32)
    bits = {"exponent_bits": exponent_bits, "mantissa_bits": mantissa_bits}
    attributes = {name: ir.IntegerAttr.get(i32, value) for name, value in bits.items()}
    return [e.one("reduce_precision", out_aval(op), *operands, **attributes)]


@lowers("integer_pow")
def lower_integer_pow(e: Emitter, op: Any, operands: list, *, y: int) -> list[ir.Value]:
    """Repeated squaring."""
    (base,) = operands
    one = e.full_like(base, 1)
    result, exponent = None, abs(y)
    while exponent:
        if exponent & 1:
            result = base if result is None else e.same("multiply", result, base)
        exponent >>= 1
        if exponent:
            base = e.same("multiply", base, base)
    result = one if result is None else result
    return [e.same("divide", one, result) if y < 0 else result]


@lowers("copy", "stop_gradient", "optimization_barrier")
def lower_identity(e: Emitter, op: Any, operands: list, **_: Any) -> list[ir.Value]:
    return operands


@lowers("select_n")
def lower_select_n(e: Emitter, op: Any, operands: list) -> list[ir.Value]:
    """`cases[which]`; a boolean takes the second case if it holds."""
    which, *cases = operands
    aval = aval_of(which)
    if len(cases) == 1:
        return cases
    if aval.dtype == np.bool_:
        return [e.select(which, cases[1], cases[0])]
    which, result = e.broadcast(which, aval_of(cases[0]).shape), cases[-1]
    for number in range(len(cases) - 2, -1, -1):
        chosen = e.compare(which, e.full_like(which, number), "LE")
        result = e.select(chosen, cases[number], result)
    return [result]


@lowers("clamp")
def lower_clamp(e: Emitter, op: Any, operands: list) -> list[ir.Value]:
    low, x, high = operands
    if aval_of(x).dtype.kind in "fV":  # a NaN bound is the result, which `clamp` does not promise
        return [e.same("minimum", e.same("maximum", low, x), high)]
    return [e.op("clamp", [x.type], [low, x, high]).result]


# -- conversions -------------------------------------------------------------------------------


@lowers("convert_element_type")
def lower_convert(
    e: Emitter, op: Any, operands: list, *, new_dtype: Any, sharding: Any, weak_type: bool
) -> list[ir.Value]:
    if new_dtype == float0:
        return [e.full(out_aval(op), 0)]
    return [convert(e, operands[0], out_aval(op).dtype)]


def convert(e: Emitter, x: ir.Value, dtype: Any) -> ir.Value:
    """A cast: complex to real drops the imaginary part, float to integer saturates, NaN gives 0."""
    aval = aval_of(x)
    if aval.dtype == dtype:
        return x
    if aval.dtype.kind == "c" and dtype.kind != "c":
        x = e.one("real", aval.update(dtype=np.dtype(f"f{aval.dtype.itemsize // 2}")), x)
        return convert(e, x, dtype)
    old, new = kind_of(aval.dtype), kind_of(dtype)
    if new == "b":
        return e.compare(x, e.full_like(x, 0), "NE")
    if old == "f" and new in "iu":
        return _saturate(e, x, dtype)
    if new == "c" and old != "f":
        x = e.convert(x, np.dtype(f"f{dtype.itemsize // 2}"))
    return e.convert(x, dtype)


def _saturate(e: Emitter, x: ir.Value, dtype: Any) -> ir.Value:
    if aval_of(x).dtype.itemsize < 4:
        x = e.convert(x, np.dtype(np.float32))
    low, high = _limits(dtype)
    result = ShapedArray(aval_of(x).shape, dtype)
    above = e.compare(x, e.full_like(x, float(high)), "GE")
    below = e.compare(x, e.full_like(x, float(low)), "LE")
    nan = e.compare(x, x, "NE")
    outside = e.same("or", e.same("or", above, below), nan)
    inside = e.convert(e.select(outside, e.full_like(x, 0), x), dtype)
    inside = e.select(above, e.full(result, high), inside)
    return e.select(below, e.full(result, low), inside)


@lowers("bitcast_convert_type")
def lower_bitcast(e: Emitter, op: Any, operands: list, *, new_dtype: Any) -> list[ir.Value]:
    if out_aval(op).dtype == aval_of(operands[0]).dtype:
        return operands
    return [e.one("bitcast_convert", out_aval(op), *operands)]


@lowers("exp2")
def lower_exp2(e: Emitter, op: Any, operands: list, *, accuracy: Any) -> list[ir.Value]:
    """2 ** x by `power`, which is exact where x is whole; complex by the natural exponential."""
    (x,) = operands
    if aval_of(x).dtype.kind == "c":
        return [e.same("exponential", e.same("multiply", x, e.full_like(x, np.log(2.0))))]
    return [e.same("power", e.full_like(x, 2), x)]
