"""Elementwise functions of two operands: arithmetic, comparisons, bits and shifts.

Owns the primitives of `opset/binary.py`, their rules and the public functions. Operands must agree
in dtype and, scalars apart, in rank: promotion is jax.numpy's business. Rules reach the primitives
of other families by name, so families need not import each other in a circle.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.lax.shape import (
    broadcast_in_dim,
    broadcast_shapes,
    cast,
    const,
    full_like,
    reshape,
    shape_of,
)
from jaxc.transforms import ad, batching
from jaxc_compiler.opset.avals import ShapedArray

add_p = primitive("add")
add_any_p = primitive("add_any")
and_p = primitive("and")
atan2_p = primitive("atan2")
complex_p = primitive("complex")
div_p = primitive("div")
eq_p = primitive("eq")
eq_to_p = primitive("eq_to")
ge_p = primitive("ge")
gt_p = primitive("gt")
le_p = primitive("le")
le_to_p = primitive("le_to")
lt_p = primitive("lt")
lt_to_p = primitive("lt_to")
max_p = primitive("max")
min_p = primitive("min")
mul_p = primitive("mul")
mulhi_p = primitive("mulhi")
ne_p = primitive("ne")
nextafter_p = primitive("nextafter")
or_p = primitive("or")
pow_p = primitive("pow")
rem_p = primitive("rem")
shift_left_p = primitive("shift_left")
shift_right_arithmetic_p = primitive("shift_right_arithmetic")
shift_right_logical_p = primitive("shift_right_logical")
sub_p = primitive("sub")
xor_p = primitive("xor")

_abs_p = primitive("abs")
_floor_p = primitive("floor")
_imag_p = primitive("imag")
_integer_pow_p = primitive("integer_pow")
_log_p = primitive("log")
_neg_p = primitive("neg")
_real_p = primitive("real")
_reduce_sum_p = primitive("reduce_sum")
_select_n_p = primitive("select_n")
_sign_p = primitive("sign")


# ---- arithmetic ----------------------------------------------------------------------------------


def add(x: Any, y: Any) -> Any:
    """x + y, elementwise.

    Raises:
      TypeError: if the dtypes differ or the shapes do not fit.

    Example:
      >>> from jaxc import lax
      >>> import jaxc.numpy as jnp
      >>> lax.add(jnp.arange(3.), 1.0).tolist()
      [1.0, 2.0, 3.0]
    """
    return add_p.bind(x, y)


def sub(x: Any, y: Any) -> Any:
    """x - y, elementwise."""
    return sub_p.bind(x, y)


def mul(x: Any, y: Any, *, out_dtype: Any = None) -> Any:
    """x * y, elementwise; with `out_dtype`, both operands are converted to it first."""
    if out_dtype is not None:
        out_dtype = dtypes.check_user_dtype(out_dtype, "mul")
    return mul_p.bind(x, y, out_dtype=out_dtype)


def mulhi(x: Any, y: Any, /) -> Any:
    """The high half of the double-width product of integers."""
    return mulhi_p.bind(x, y)


def div(x: Any, y: Any) -> Any:
    """x / y, elementwise; integers truncate towards zero, and x / 0 is -1 (all bits set)."""
    return div_p.bind(x, y)


def rem(x: Any, y: Any) -> Any:
    """The remainder of x / y with the sign of x; of integers, the remainder by 0 is x."""
    return rem_p.bind(x, y)


def pow(x: Any, y: Any) -> Any:
    """x to the power y, elementwise; y has the dtype of x or an integer dtype."""
    return pow_p.bind(x, y)


def max(x: Any, y: Any) -> Any:
    """The larger of x and y, elementwise; NaN if either is."""
    return max_p.bind(x, y)


def min(x: Any, y: Any) -> Any:
    """The smaller of x and y, elementwise; NaN if either is."""
    return min_p.bind(x, y)


def atan2(x: Any, y: Any) -> Any:
    """The angle of the point (y, x): arctan(x / y) in the right quadrant."""
    return atan2_p.bind(x, y)


def nextafter(x1: Any, x2: Any) -> Any:
    """The next representable value after x1 in the direction of x2."""
    return nextafter_p.bind(x1, x2)


def complex(x: Any, y: Any) -> Any:
    """x + iy of float32 or float64 arrays."""
    return complex_p.bind(x, y)


# ---- bits ----------------------------------------------------------------------------------------


def bitwise_and(x: Any, y: Any) -> Any:
    """Bits set in both x and y."""
    return and_p.bind(x, y)


def bitwise_or(x: Any, y: Any) -> Any:
    """Bits set in x or y."""
    return or_p.bind(x, y)


def bitwise_xor(x: Any, y: Any) -> Any:
    """Bits set in exactly one of x and y."""
    return xor_p.bind(x, y)


def shift_left(x: Any, y: Any) -> Any:
    """x << y; 0 if y is the width or more."""
    return shift_left_p.bind(x, y)


def shift_right_arithmetic(x: Any, y: Any) -> Any:
    """x >> y, filled with the sign bit."""
    return shift_right_arithmetic_p.bind(x, y)


def shift_right_logical(x: Any, y: Any) -> Any:
    """x >> y, filled with zeros."""
    return shift_right_logical_p.bind(x, y)


# ---- comparisons ---------------------------------------------------------------------------------


def eq(x: Any, y: Any) -> Any:
    """x == y, elementwise."""
    return eq_p.bind(x, y)


def ne(x: Any, y: Any) -> Any:
    """x != y, elementwise."""
    return ne_p.bind(x, y)


def ge(x: Any, y: Any) -> Any:
    """x >= y, elementwise."""
    return ge_p.bind(x, y)


def gt(x: Any, y: Any) -> Any:
    """x > y, elementwise."""
    return gt_p.bind(x, y)


def le(x: Any, y: Any) -> Any:
    """x <= y, elementwise."""
    return le_p.bind(x, y)


def lt(x: Any, y: Any) -> Any:
    """x < y, elementwise."""
    return lt_p.bind(x, y)


# ---- rules ---------------------------------------------------------------------------------------


def unbroadcast(aval: ShapedArray, x: Any) -> Any:
    """The cotangent of an operand that was broadcast: summed over what it was repeated along."""
    shape = shape_of(x)
    if aval.shape == shape:
        return x
    if not aval.shape:
        return _reduce_sum_p.bind(x, axes=tuple(range(len(shape))), out_sharding=None)
    axes = tuple(i for i, (a, b) in enumerate(zip(shape, aval.shape)) if a != b)
    return reshape(_reduce_sum_p.bind(x, axes=axes, out_sharding=None), aval.shape)


def broadcast_as(shape: tuple[int, ...], x: Any) -> Any:
    """A tangent of an operand repeated to the shape of the result."""
    own = shape_of(x)
    if own == shape:
        return x
    if not own:
        return broadcast_in_dim(x, shape, ())
    kept = [i for i, (a, b) in enumerate(zip(own, shape)) if a == b]
    return broadcast_in_dim(reshape(x, tuple(own[i] for i in kept)), shape, kept)


def _select(pred: Any, on_true: Any, on_false: Any) -> Any:
    return _select_n_p.bind(pred, on_false, on_true)


def replace_zero(x: Any) -> Any:
    """x with ones where it is zero, for quotients and logarithms whose factor is zero there."""
    return _select(eq(x, const(x, 0)), full_like(x, 1), x)


def _sum_jvp(prim: Any, negate_rhs: bool) -> Any:
    """add and sub: one zero tangent needs no addition, only the other's broadcast."""

    def jvp(primals: Any, tangents: Any) -> Any:
        x_dot, y_dot = tangents
        out = prim.bind(*primals)
        shape = shape_of(out)
        if type(x_dot) is ad.Zero and type(y_dot) is ad.Zero:
            return out, ad.Zero.from_primal_value(out)
        if type(x_dot) is ad.Zero:
            return out, broadcast_as(shape, _neg_p.bind(y_dot) if negate_rhs else y_dot)
        if type(y_dot) is ad.Zero:
            return out, broadcast_as(shape, x_dot)
        return out, prim.bind(x_dot, y_dot)

    return jvp


def _sum_transpose(negate_rhs: bool) -> Any:
    def transpose(ct: Any, x: Any, y: Any) -> Any:
        x_aval, y_aval = _aval(x), _aval(y)
        if type(ct) is ad.Zero:
            return [ad.Zero(x_aval), ad.Zero(y_aval)]
        y_ct = _neg_p.bind(ct) if negate_rhs else ct
        return [unbroadcast(x_aval, ct), unbroadcast(y_aval, y_ct)]

    return transpose


def _aval(x: Any) -> ShapedArray:
    return x.aval if ad.is_undefined_primal(x) else get_aval(x)


ad.primitive_jvps[add_p] = _sum_jvp(add_p, negate_rhs=False)
ad.primitive_jvps[sub_p] = _sum_jvp(sub_p, negate_rhs=True)
ad.primitive_transposes[add_p] = _sum_transpose(negate_rhs=False)
ad.primitive_transposes[sub_p] = _sum_transpose(negate_rhs=True)
ad.deflinear2(add_any_p, lambda ct, *_: [ct, ct])


def _mul_transpose_lhs(ct: Any, x: Any, y: Any, *, out_dtype: Any = None) -> Any:
    dtype = None if out_dtype is None else x.aval.dtype
    return unbroadcast(x.aval, mul_p.bind(ct, y, out_dtype=dtype))


def _mul_transpose_rhs(ct: Any, x: Any, y: Any, *, out_dtype: Any = None) -> Any:
    dtype = None if out_dtype is None else y.aval.dtype
    return unbroadcast(y.aval, mul_p.bind(x, ct, out_dtype=dtype))


ad.defbilinear(mul_p, _mul_transpose_lhs, _mul_transpose_rhs)


def _div_transpose(ct: Any, x: Any, y: Any) -> Any:
    if ad.is_undefined_primal(y):
        raise TypeError("div is not linear in its divisor")
    if type(ct) is ad.Zero:
        return [ad.Zero(x.aval), None]
    return [unbroadcast(x.aval, div(ct, y)), None]


def _div_jvp_rhs(g: Any, x: Any, y: Any) -> Any:
    return mul(mul(_neg_p.bind(g), x), _integer_pow_p.bind(y, y=-2))


ad.defjvp(div_p, lambda g, x, y: div(g, y), _div_jvp_rhs)
ad.primitive_transposes[div_p] = _div_transpose


def _rem_jvp_lhs(g: Any, x: Any, y: Any) -> Any:
    return broadcast_as(broadcast_shapes(shape_of(x), shape_of(y)), g)


def _rem_jvp_rhs(g: Any, x: Any, y: Any) -> Any:
    down = _neg_p.bind(g)
    return mul(down, mul(_sign_p.bind(div(x, y)), _floor_p.bind(_abs_p.bind(div(x, y)))))


ad.defjvp(rem_p, _rem_jvp_lhs, _rem_jvp_rhs)


def _pow_jvp_base(g: Any, ans: Any, x: Any, y: Any) -> Any:
    exponent = get_aval(y).dtype
    dtype = dtypes.result_type(x, y)
    x, y = cast(x, dtype), cast(y, dtype)
    if not dtypes.issubdtype(exponent, np.integer):
        return mul(g, mul(y, pow(x, sub(y, full_like(y, 1)))))
    shape = broadcast_shapes(shape_of(x), shape_of(y))
    x, y = broadcast_as(shape, x), broadcast_as(shape, y)
    # x**0 is constant even where x**-1 is infinite.
    constant, zeros = eq(y, const(y, 0)), full_like(y, 0)
    slope = mul(replace_zero(y), pow(x, sub(y, full_like(y, 1))))
    return mul(g, _select(constant, zeros, slope))


def _pow_jvp_exponent(g: Any, ans: Any, x: Any, y: Any) -> Any:
    return cast(mul(g, mul(_log_p.bind(replace_zero(x), accuracy=None), ans)), get_aval(y).dtype)


ad.defjvp2(pow_p, _pow_jvp_base, _pow_jvp_exponent)


def _share_of(x: Any, extremum: Any, other: Any) -> Any:
    """1 where x is the extremum alone, 0.5 where the other is equal, 0 elsewhere."""
    mine = _select(eq(x, extremum), full_like(extremum, 1), full_like(extremum, 0))
    return div(mine, _select(eq(other, extremum), full_like(extremum, 2), full_like(extremum, 1)))


for _prim in (max_p, min_p):
    ad.defjvp2(
        _prim,
        lambda g, ans, x, y: mul(g, _share_of(x, ans, y)),
        lambda g, ans, x, y: mul(g, _share_of(y, ans, x)),
    )


def _atan2_jvp(g: Any, factor: Any, x: Any, y: Any) -> Any:
    square = primitive("square").bind
    return mul(g, div(factor, add(square(x), square(y))))


ad.defjvp(
    atan2_p,
    lambda g, x, y: _atan2_jvp(g, y, x, y),
    lambda g, x, y: _atan2_jvp(g, _neg_p.bind(x), x, y),
)


def _complex_transpose(ct: Any, x: Any, y: Any) -> Any:
    wants_x, wants_y = ad.is_undefined_primal(x), ad.is_undefined_primal(y)
    return [
        unbroadcast(x.aval, _real_p.bind(ct)) if wants_x else None,
        unbroadcast(y.aval, _imag_p.bind(_neg_p.bind(ct))) if wants_y else None,
    ]


ad.deflinear2(complex_p, _complex_transpose)

for _prim in (
    and_p, or_p, xor_p, mulhi_p, shift_left_p, shift_right_arithmetic_p, shift_right_logical_p,
    eq_p, ne_p, ge_p, gt_p, le_p, lt_p, eq_to_p, le_to_p, lt_to_p,
):  # fmt: skip
    ad.defjvp_zero(_prim)
ad.primitive_jvps[nextafter_p] = ad.Missing(
    "Differentiation rule for 'nextafter' not implemented: it is a step function of its operands."
)

for _prim in (
    add_p, add_any_p, and_p, atan2_p, complex_p, div_p, eq_p, eq_to_p, ge_p, gt_p, le_p, le_to_p,
    lt_p, lt_to_p, max_p, min_p, mul_p, mulhi_p, ne_p, nextafter_p, or_p, pow_p, rem_p,
    shift_left_p, shift_right_arithmetic_p, shift_right_logical_p, sub_p, xor_p,
):  # fmt: skip
    batching.defbroadcasting(_prim)
