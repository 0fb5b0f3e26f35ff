"""Tables and vocabulary of automatic differentiation: JVP rules, transpose rules, zeros.

A primitive has a JVP rule and, if it is linear in some operands, a transpose rule; reverse mode is
linearize + transpose, so there are no VJP rules. The families of `jaxc.lax` fill the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.primitive import Primitive, primitive
from jaxc.core.trace import get_aval
from jaxc_compiler.opset.avals import ShapedArray, float0

primitive_jvps: dict[Primitive, Any] = {}
primitive_transposes: dict[Primitive, Any] = {}


class Missing:
    """A rule that does not exist; calling it raises NotImplementedError with the reason."""

    def __init__(self, reason: str):
        self.reason = reason

    def __call__(self, *args: Any, **params: Any) -> Any:
        raise NotImplementedError(self.reason)


class Zero:
    """A tangent or cotangent that is known to be zero, without an array for it."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray):
        self.aval = aval

    @staticmethod
    def from_primal_value(x: Any) -> Zero:
        return Zero(tangent_aval(get_aval(x)))

    def __repr__(self) -> str:
        return f"Zero({self.aval})"


class UndefinedPrimal:
    """Stands for a linear operand in a transpose rule."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray):
        self.aval = aval

    def __repr__(self) -> str:
        return f"UndefinedPrimal({self.aval})"


def is_undefined_primal(x: Any) -> bool:
    return type(x) is UndefinedPrimal


def tangent_dtype(dtype: Any) -> Any:
    return dtype if dtypes.issubdtype(dtype, np.inexact) else float0


def tangent_aval(aval: ShapedArray) -> ShapedArray:
    """The aval of tangents: same for inexact dtypes, float0 for the others."""
    if dtypes.issubdtype(aval.dtype, np.inexact):
        return aval
    return ShapedArray(aval.shape, float0)


def zeros_like_aval(aval: ShapedArray) -> Any:
    """An array of zeros of the given aval (traced if something is being traced)."""
    if aval.dtype == float0:
        return np.zeros(aval.shape, float0)
    zero: Any = np.zeros((), aval.dtype)
    if aval.weak_type:
        zero = dtypes.scalar_type_of(aval.dtype)(0)
    if not aval.shape and not aval.weak_type:
        from jaxc.core.array import wrap

        return wrap(zero, aval)
    if not aval.shape:
        return weak_scalar(zero, aval)
    return primitive("broadcast_in_dim").bind(
        zero, shape=aval.shape, broadcast_dimensions=(), sharding=None
    )


def weak_scalar(value: Any, aval: ShapedArray) -> Any:
    from jaxc.core.array import wrap

    return wrap(np.asarray(value, aval.dtype), aval)


def zeros_like(x: Any) -> Any:
    return zeros_like_aval(get_aval(x))


def instantiate_zeros(x: Any) -> Any:
    """An array for a symbolic Zero; other values unchanged."""
    return zeros_like_aval(x.aval) if type(x) is Zero else x


def add_tangents(x: Any, y: Any) -> Any:
    """Sum of two (co)tangents, either of which may be Zero."""
    if type(x) is Zero:
        return y
    if type(y) is Zero:
        return x
    if get_aval(x).dtype == float0:
        return x
    return primitive("add_any").bind(x, y)


# ---- ways to state rules ------------------------------------------------------------------------


def defjvp(prim: Primitive, *rules: Callable[..., Any] | None) -> None:
    """One rule an operand, `(g, *primals, **params) -> tangent`; None where there is none."""
    if prim.multiple_results:
        raise TypeError(f"{prim}: defjvp is for primitives with one result")

    def jvp(primals: Any, tangents: Any, **params: Any) -> Any:
        out = prim.bind(*primals, **params)
        terms = [
            rule(t, *primals, **params)
            for rule, t in zip(rules, tangents)
            if rule is not None and type(t) is not Zero
        ]
        return out, _sum(terms, out)

    primitive_jvps[prim] = jvp


def defjvp2(prim: Primitive, *rules: Callable[..., Any] | None) -> None:
    """Like `defjvp`, for rules that also use the result: `(g, ans, *primals, **params)`."""

    def jvp(primals: Any, tangents: Any, **params: Any) -> Any:
        out = prim.bind(*primals, **params)
        terms = [
            rule(t, out, *primals, **params)
            for rule, t in zip(rules, tangents)
            if rule is not None and type(t) is not Zero
        ]
        return out, _sum(terms, out)

    primitive_jvps[prim] = jvp


def _sum(terms: list[Any], out: Any) -> Any:
    total: Any = Zero.from_primal_value(out)
    for term in terms:
        total = add_tangents(total, term)
    return total


def deflinear2(prim: Primitive, transpose: Callable[..., Any]) -> None:
    """A primitive linear in all operands; `transpose(ct, *operands, **params) -> list`."""
    primitive_jvps[prim] = _linear_jvp(prim)
    primitive_transposes[prim] = _skip_zero(transpose)


def _linear_jvp(prim: Primitive) -> Callable[..., Any]:
    def jvp(primals: Any, tangents: Any, **params: Any) -> Any:
        out = prim.bind(*primals, **params)
        if all(type(t) is Zero for t in tangents):
            zeros = [Zero.from_primal_value(o) for o in (out if prim.multiple_results else [out])]
            return out, zeros if prim.multiple_results else zeros[0]
        return out, prim.bind(*map(instantiate_zeros, tangents), **params)

    return jvp


def _skip_zero(transpose: Callable[..., Any]) -> Callable[..., Any]:
    def rule(ct: Any, *args: Any, **params: Any) -> Any:
        if type(ct) is Zero:
            return [Zero(a.aval) if is_undefined_primal(a) else None for a in args]
        return transpose(ct, *args, **params)

    return rule


def defbilinear(
    prim: Primitive, lhs_rule: Callable[..., Any], rhs_rule: Callable[..., Any]
) -> None:
    """A primitive linear in each of its two operands.

    `lhs_rule(ct, x, y, **params)` is the cotangent of x (x is undefined), `rhs_rule` that of y.
    """

    def lhs_jvp(g: Any, x: Any, y: Any, **params: Any) -> Any:
        return prim.bind(g, y, **params)

    def rhs_jvp(g: Any, x: Any, y: Any, **params: Any) -> Any:
        return prim.bind(x, g, **params)

    def transpose(ct: Any, x: Any, y: Any, **params: Any) -> Any:
        if is_undefined_primal(x) == is_undefined_primal(y):
            raise TypeError(f"{prim}: transpose needs exactly one linear operand")
        if type(ct) is Zero:
            undefined = x if is_undefined_primal(x) else y
            zero = Zero(undefined.aval)
            return [zero, None] if undefined is x else [None, zero]
        if is_undefined_primal(x):
            return [lhs_rule(ct, x, y, **params), None]
        return [None, rhs_rule(ct, x, y, **params)]

    defjvp(prim, lhs_jvp, rhs_jvp)
    primitive_transposes[prim] = transpose


def defjvp_zero(prim: Primitive) -> None:
    """A primitive whose result does not vary (comparisons, sign, argmax...): tangent is zero."""

    def jvp(primals: Any, tangents: Any, **params: Any) -> Any:
        out = prim.bind(*primals, **params)
        if prim.multiple_results:
            return out, [Zero.from_primal_value(o) for o in out]
        return out, Zero.from_primal_value(out)

    primitive_jvps[prim] = jvp


def jvp_rule(prim: Primitive) -> Callable[..., Any]:
    rule = primitive_jvps.get(prim)
    if rule is None:
        raise NotImplementedError(f"Differentiation rule for '{prim}' not implemented")
    return rule


def transpose_rule(prim: Primitive) -> Callable[..., Any]:
    rule = primitive_transposes.get(prim)
    if rule is None:
        raise NotImplementedError(
            f"Transpose rule (for reverse-mode differentiation) for '{prim}' not implemented"
        )
    return rule
