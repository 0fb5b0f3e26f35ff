"""Rules for ops whose result[i] depends on operand[i] only.

Owns the registration of such ops and the dtype plumbing they share: narrow floats are computed in
f32 and rounded once, as XLA's CPU backend does. A 0-d operand is read at () whatever the shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc_compiler.lowering.element.base import Complex, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.values import ELEMENT, POINTWISE
from jaxc_compiler.opset.avals import KeyDtype

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


def kind(dtype: Any) -> str:
    """One letter: f float (of any width), i signed, u unsigned, b bool, c complex, k key."""
    if isinstance(dtype, KeyDtype):
        return "k"
    if dtype.kind in "fiubc":
        return dtype.kind
    name = dtype.name
    return "u" if name.startswith("uint") else "i" if name.startswith("int") else "f"


def is_narrow(dtype: Any) -> bool:
    """Whether the dtype is a float of fewer than 32 bits."""
    return kind(dtype) == "f" and dtype not in (F32, F64)


def int_bits(dtype: Any) -> int:
    """The width of an integer's scalar."""
    name = dtype.name
    return 1 if name == "bool" else int(name.lstrip("uint"))


def widen(b: ScalarBuilder, dtype: Any, x: Scalar) -> Scalar:
    """A narrow float as f32."""
    m = b.floats(F32)
    wide = m.cast("arith.extf", x)
    if dtype.name != "float8_e4m3fn":
        return wide
    # MLIR's expansion takes 0x7f for the only NaN of this type and decodes 0xff to -480.
    bits = b.op("arith.bitcast", b.type("i8"), [x])
    return m.select(b.ints(8).eq(bits, -1), float("nan"), wide)


def narrow(b: ScalarBuilder, dtype: Any, x: Scalar) -> Scalar:
    """An f32 rounded to a narrow float."""
    return b.op("arith.truncf", b.scalar_type(dtype), [x])


def ops_of(b: ScalarBuilder, dtype: Any) -> Any:
    """`FloatOps` or `IntOps` of a dtype."""
    return b.floats(dtype) if kind(dtype) == "f" else b.ints(int_bits(dtype))


def real_part(dtype: Any) -> np.dtype:
    """float32 of complex64, float64 of complex128."""
    return F64 if dtype.itemsize == 16 else F32


def pointwise(name: str, function: Callable[..., Scalar]) -> None:
    """Register `function(b, operand dtype, *scalars, **params) -> scalar` as an op's rule."""

    def rule(b: ScalarBuilder, operands: Any, index: Any, out_aval: Any, **params: Any) -> Scalar:
        scalars = [x.at(b, index if x.aval.shape else ()) for x in operands]
        return function(b, operands[0].aval.dtype, *scalars, **params)

    ELEMENT[name] = rule
    POINTWISE.add(name)


def by_kind(**functions: Callable[..., Scalar]) -> Callable[..., Scalar]:
    """One function per kind of dtype: `by_kind(f=..., i=..., u=..., c=..., b=...)`.

    The float function is called with f32 scalars for narrow floats and its result is rounded.
    Every function is called as `function(ops, *scalars)`, for floats and integers with `FloatOps`
    or `IntOps`, for complex pairs with the `FloatOps` of a part.
    """

    def function(b: ScalarBuilder, dtype: Any, *scalars: Scalar, **params: Any) -> Scalar:
        which = kind(dtype)
        chosen = functions.get(which)
        if chosen is None:
            raise NotImplementedError(f"no element rule for {dtype} operands")
        if which == "c":
            return chosen(b.floats(real_part(dtype)), *scalars)
        if which != "f" or not is_narrow(dtype):
            return chosen(ops_of(b, dtype), *scalars)
        wide = [widen(b, dtype, x) for x in scalars]
        result = chosen(b.floats(F32), *wide)
        return result if result.type == b.i1 else narrow(b, dtype, result)

    return function


def float_op(name: str) -> Callable[..., Scalar]:
    """The MLIR op `name` on floats or integers, whatever its arity."""
    return lambda m, *x: m.b.op(name, m.type, list(x))


def complex_map(function: Callable[..., Scalar]) -> Callable[..., Scalar]:
    """A complex function made of one real function on each part."""
    return lambda m, *z: Complex(function(m, *[x.re for x in z]), function(m, *[x.im for x in z]))
