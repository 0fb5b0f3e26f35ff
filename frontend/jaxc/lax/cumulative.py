"""Cumulative sums, products, extrema and log-sum-exps along one axis.

Owns the primitives of `opset/cumulative.py`, their rules and the public functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.lax.binary import add, eq, max, min, mul, ne, sub
from jaxc.lax.control_flow.scanning import associative_scan
from jaxc.lax.elementwise import select
from jaxc.lax.shape import const, full_like
from jaxc.lax.unary import abs, exp, log, log1p, neg
from jaxc.transforms import ad, batching
from jaxc.transforms.custom_jvp import custom_jvp
from jaxc.transforms.jvp import jvp_flat

cumlogsumexp_p = primitive("cumlogsumexp")
cummax_p = primitive("cummax")
cummin_p = primitive("cummin")
cumprod_p = primitive("cumprod")
cumsum_p = primitive("cumsum")


def cumsum(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The sums of all elements up to each one along an axis.

    Args:
      operand: an array of numbers.
      axis: in [0, ndim).
      reverse: sum from the end instead.

    Example:
      >>> from jaxc import lax
      >>> import jaxc.numpy as jnp
      >>> lax.cumsum(jnp.arange(4)).tolist()
      [0, 1, 3, 6]
    """
    return cumsum_p.bind(operand, axis=int(axis), reverse=bool(reverse))


def cumprod(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The products of all elements up to each one along an axis."""
    return cumprod_p.bind(operand, axis=int(axis), reverse=bool(reverse))


def cummax(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The maxima of all elements up to each one along an axis."""
    return cummax_p.bind(operand, axis=int(axis), reverse=bool(reverse))


def cummin(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The minima of all elements up to each one along an axis."""
    return cummin_p.bind(operand, axis=int(axis), reverse=bool(reverse))


def cumlogsumexp(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """log(sum(exp)) of all elements up to each one along an axis."""
    return cumlogsumexp_p.bind(operand, axis=int(axis), reverse=bool(reverse))


# ---- rules ---------------------------------------------------------------------------------------


@custom_jvp
def logaddexp(x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y)) of arrays of one shape and dtype, without overflow."""
    larger = max(x, y)
    if not np.issubdtype(get_aval(x).dtype, np.complexfloating):
        apart = sub(x, y)
        near = add(larger, log1p(exp(neg(abs(apart)))))
        return select(ne(apart, apart), add(x, y), near)  # equal infinities have no difference
    return add(larger, log(add(exp(sub(x, larger)), exp(sub(y, larger)))))


@logaddexp.defjvp
def _logaddexp_jvp(primals: Any, tangents: Any) -> Any:
    out = logaddexp(*primals)
    parts = [mul(t, exp(sub(_no_inf(x), _no_inf(out)))) for x, t in zip(primals, tangents)]
    return out, add(*parts)


def _no_inf(x: Any) -> Any:
    return select(eq(x, const(x, np.inf)), full_like(x, 0), x)


def _scan_jvp(combine: Callable[[Any, Any], Any]) -> Any:
    """Differentiates the prefix computation itself: no division by elements that may be zero."""

    def jvp(primals: Any, tangents: Any, *, axis: int, reverse: bool) -> Any:
        def prefix(x: Any) -> list[Any]:
            return [associative_scan(combine, x, reverse=reverse, axis=axis)]

        outs, dots = jvp_flat(prefix, primals, tangents)
        return outs[0], dots[0]

    return jvp


def _cumulative_batch(prim: Any) -> Any:
    def rule(args: Any, dims: Any, *, axis: int, reverse: bool) -> Any:
        (x,), (dim,) = args, dims
        return prim.bind(x, axis=axis if axis < dim else axis + 1, reverse=reverse), dim

    return rule


def _cumsum_transpose(ct: Any, _: Any, *, axis: int, reverse: bool) -> Any:
    return [cumsum(ct, axis=axis, reverse=not reverse)]


ad.deflinear2(cumsum_p, _cumsum_transpose)
for _prim, _combine in (
    (cumlogsumexp_p, logaddexp),
    (cummax_p, max),
    (cummin_p, min),
    (cumprod_p, mul),
):
    ad.primitive_jvps[_prim] = _scan_jvp(_combine)
for _prim in (cumlogsumexp_p, cummax_p, cummin_p, cumprod_p, cumsum_p):
    batching.primitive_batchers[_prim] = _cumulative_batch(_prim)
