"""Elementwise ops: a table of names, and those that differ from `lax`."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc.stablehlo.op import Op
from jaxc.stablehlo.reader import JAX_ON_CPU, Reader, imports

NAMES = {
    "abs": lax.abs, "cbrt": lax.cbrt, "ceil": lax.ceil, "cosine": lax.cos,
    "count_leading_zeros": lax.clz, "exponential": lax.exp, "exponential_minus_one": lax.expm1,
    "floor": lax.floor, "imag": lax.imag, "is_finite": lax.is_finite, "log": lax.log,
    "log_plus_one": lax.log1p, "logistic": lax.logistic, "negate": lax.neg,
    "not": lax.bitwise_not, "popcnt": lax.population_count, "real": lax.real,
    "rsqrt": lax.rsqrt, "sign": lax.sign, "sine": lax.sin, "sqrt": lax.sqrt, "tan": lax.tan,
    "tanh": lax.tanh, "atan2": lax.atan2, "complex": lax.complex, "divide": lax.div,
    "and": lax.bitwise_and, "or": lax.bitwise_or, "xor": lax.bitwise_xor,
    "maximum": lax.max, "minimum": lax.min, "remainder": lax.rem,
    "shift_left": lax.shift_left, "shift_right_arithmetic": lax.shift_right_arithmetic,
    "shift_right_logical": lax.shift_right_logical, "subtract": lax.sub,
}  # fmt: skip
# On booleans StableHLO adds and multiplies as logic does.
LOGICAL = {"add": (lax.add, lax.bitwise_or), "multiply": (lax.mul, lax.bitwise_and)}
# What JAX and other frontends still write as calls by name.
CUSTOM_CALLS = {
    "mhlo.erf": lax.erf, "mhlo.asin": lax.asin, "mhlo.acos": lax.acos, "mhlo.atan": lax.atan,
    "mhlo.sinh": lax.sinh, "mhlo.cosh": lax.cosh, "mhlo.asinh": lax.asinh,
    "mhlo.acosh": lax.acosh, "mhlo.atanh": lax.atanh, "Sharding": lambda x: x,
    "annotate_device_placement": lambda x: x, "LuDecomposition": lax.linalg.lu,
}  # fmt: skip


@imports(*NAMES)
def import_by_name(r: Reader, op: Op, operands: list[Any]) -> Any:
    return NAMES[op.name.removeprefix("stablehlo.")](*operands)


@imports(*LOGICAL)
def import_logical(r: Reader, op: Op, operands: list[Any]) -> Any:
    arithmetic, logic = LOGICAL[op.name.removeprefix("stablehlo.")]
    return (logic if op.dtype == np.bool_ else arithmetic)(*operands)


@imports("round_nearest_afz", "round_nearest_even")
def import_round(r: Reader, op: Op, operands: list[Any]) -> Any:
    even = op.name.endswith("even")
    method = lax.RoundingMethod.TO_NEAREST_EVEN if even else lax.RoundingMethod.AWAY_FROM_ZERO
    return lax.round(operands[0], method)


@imports("convert")
def import_convert(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.convert_element_type(operands[0], op.dtype)


@imports("bitcast_convert")
def import_bitcast(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.bitcast_convert_type(operands[0], op.dtype)


@imports("reduce_precision")
def import_reduce_precision(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.reduce_precision(operands[0], op.int("exponent_bits"), op.int("mantissa_bits"))


@imports("power")
def import_power(r: Reader, op: Op, operands: list[Any]) -> Any:
    x, y = operands
    return _integer_power(x, y) if op.dtype.kind in "iu" else lax.pow(x, y)


def _integer_power(x: Any, y: Any) -> Any:
    """By squaring. Of negative exponents only 1 and -1 have a power that is an integer."""
    zero, one = lax.full_like(x, 0), lax.full_like(x, 1)

    def odd(y: Any) -> Any:
        return lax.ne(lax.bitwise_and(y, one), zero)

    def step(_: Any, carry: Any) -> Any:
        result, x, y = carry
        result = lax.select(odd(y), lax.mul(result, x), result)
        return result, lax.mul(x, x), lax.shift_right_logical(y, one)

    bits = 8 * x.dtype.itemsize
    result = lax.fori_loop(0, bits, step, (one, x, y))[0]
    if x.dtype.kind == "u":
        return result
    unit = lax.select(odd(y), x, one)
    inverse = lax.select(lax.eq(lax.abs(x), one), unit, zero)
    return lax.select(lax.lt(y, zero), inverse, result)


_COMPARISONS = {
    "EQ": lax.eq, "NE": lax.ne, "LT": lax.lt, "LE": lax.le, "GT": lax.gt, "GE": lax.ge,
}  # fmt: skip


@imports("compare")
def import_compare(r: Reader, op: Op, operands: list[Any]) -> Any:
    direction = op.enum("comparison_direction")
    if op.enum("compare_type") == "TOTALORDER":
        x, y = map(_ordered_bits, operands)
        return _COMPARISONS[direction](x, y)
    return _COMPARISONS[direction](*operands)


def _ordered_bits(x: Any) -> Any:
    """Integers that compare as IEEE's total order of the floats."""
    bits = lax.bitcast_convert_type(x, np.dtype(f"i{x.dtype.itemsize}"))
    mask = lax.full_like(bits, np.iinfo(bits.dtype).max)
    return lax.select(lax.lt(bits, lax.full_like(bits, 0)), lax.bitwise_xor(bits, mask), bits)


@imports("select")
def import_select(r: Reader, op: Op, operands: list[Any]) -> Any:
    which, x, y = operands
    return lax.select_n(which, y, x)


@imports("clamp")
def import_clamp(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.clamp(*operands)


@imports("optimization_barrier")
def import_barrier(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.optimization_barrier(operands)


@imports("constant")
def import_constant(r: Reader, op: Op, operands: list[Any]) -> Any:
    return op.constant()


@imports("custom_call")
def import_custom_call(r: Reader, op: Op, operands: list[Any]) -> Any:
    name = op.text("call_target_name")
    if name == "shape_assertion":
        return []
    if name not in CUSTOM_CALLS:
        hint = f" ({JAX_ON_CPU})" if name.startswith("lapack_") else ""
        raise NotImplementedError(f"the function {name!r} is not known{hint}")
    return CUSTOM_CALLS[name](*operands)
