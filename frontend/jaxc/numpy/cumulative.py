"""Running sums and products along an axis, and differences.

Composed of lax functions. Must not import indexing or sorting at load.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.numpy.creation import broadcast_to_shape, user_dtype
from jaxc.numpy.elementwise import isnan
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    canonicalize_axis,
    check_arraylike,
    convert,
    ensure_arraylike,
    promote_dtypes,
)
from jaxc.numpy.reductions import _promoted_int
from jaxc.numpy.selection import where

_STATIC = ("axis", "dtype", "out")


def _cumulative(
    name: str, lax_fun: Any, a: Any, axis: Any, dtype: Any, fill: Any = None, promote: bool = False
) -> Any:
    a = ensure_arraylike(name, a)
    found = user_dtype(dtype, name)
    if axis is None:
        a, axis = (lax.reshape(a, (a.size,)) if a.ndim != 1 else a), 0
    axis = canonicalize_axis(operator.index(axis), a.ndim)
    if fill is not None and dtypes.issubdtype(a.dtype, np.inexact):
        a = where(isnan(a), convert(fill, a.dtype), a)
    if found is None:
        found = a.dtype
        if found == np.dtype(bool):
            found = dtypes.default_dtype(int)
        elif promote:
            found = _promoted_int(found)
    if found == np.dtype(bool):
        a = convert(convert(a, found), dtypes.default_dtype(int))
    else:
        a = convert(a, found)
    return convert(lax_fun(a, axis), found)


def _check(name: str, out: Any) -> None:
    if out is not None:
        raise NotImplementedError(f"The 'out' argument to jnp.{name} is not supported.")


@nested_jit(static_argnames=_STATIC)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Running sum along an axis (of the flattened array for None)."""
    _check("cumsum", out)
    return _cumulative("cumsum", lax.cumsum, a, axis, dtype)


@nested_jit(static_argnames=_STATIC)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Running product along an axis (of the flattened array for None)."""
    _check("cumprod", out)
    return _cumulative("cumprod", lax.cumprod, a, axis, dtype)


@nested_jit(static_argnames=_STATIC)
def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Running sum with NaN taken as 0."""
    _check("nancumsum", out)
    return _cumulative("nancumsum", lax.cumsum, a, axis, dtype, fill=0)


@nested_jit(static_argnames=_STATIC)
def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    """Running product with NaN taken as 1."""
    _check("nancumprod", out)
    return _cumulative("nancumprod", lax.cumprod, a, axis, dtype, fill=1)


@nested_jit(name="_cumsum_with_promotion", static_argnames=_STATIC)
def _cumsum_with_promotion(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
    return _cumulative("cumsum", lax.cumsum, a, axis, dtype, promote=True)


def _array_api(name: str, fun: Any, first: int, x: Any, axis: Any, dtype: Any, initial: bool):
    x = ensure_arraylike(name, x)
    if x.ndim == 0:
        raise ValueError(f"The input must be non-scalar to take a {name[:-5]} {name[-4:]}, however "
                         "a scalar value or scalar array was given.")  # fmt: skip
    if axis is None:
        axis = 0
        if x.ndim > 1:
            raise ValueError(f"The input array has rank {x.ndim}, however axis was not set to an "
                             "explicit value. The axis argument is only optional for "
                             "one-dimensional arrays.")  # fmt: skip
    axis = canonicalize_axis(axis, x.ndim)
    out = fun(x, axis=axis, dtype=dtype)
    if initial:
        sizes = list(x.shape)
        sizes[axis] = 1
        out = lax.concatenate([lax.full(tuple(sizes), first, out.dtype), out], axis)
    return out


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """Running sum; small integers are promoted."""
    return _array_api("cumulative_sum", _cumsum_with_promotion, 0, x, axis, dtype, include_initial)


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """Running product; small integers are promoted."""

    def run(x: Any, axis: Any, dtype: Any) -> Any:
        return _cumulative("cumprod", lax.cumprod, x, axis, dtype, promote=True)

    return _array_api("cumulative_prod", run, 1, x, axis, dtype, include_initial)


@nested_jit(static_argnames=("n", "axis"))
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """n-th difference of neighbours along an axis."""
    a = ensure_arraylike("diff", a)
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n}")
    if a.ndim == 0:
        raise ValueError(f"diff requires input that is at least one dimensional; got {a}")
    if n == 0:
        return a
    axis = canonicalize_axis(axis, a.ndim)
    parts = [_edge(a, prepend, axis), a, _edge(a, append, axis)]
    parts = [p for p in parts if p is not None]
    if len(parts) > 1:
        a = lax.concatenate(promote_dtypes(*parts), axis)
    for _ in range(n):
        length = a.shape[axis]
        high = _slice_axis(a, min(1, length), length, axis)
        low = _slice_axis(a, 0, max(length - 1, 0), axis)
        a = lax.ne(high, low) if a.dtype == np.dtype(bool) else lax.sub(high, low)
    return a


def _slice_axis(a: Any, start: int, stop: int, axis: int) -> Any:
    starts, stops = [0] * a.ndim, list(a.shape)
    starts[axis], stops[axis] = start, stop
    return lax.slice(a, tuple(starts), tuple(stops))


def _edge(a: Any, value: Any, axis: int) -> Any:
    if value is None:
        return None
    check_arraylike("diff", value)
    value = array_of(value)
    if value.ndim == 0:
        sizes = list(a.shape)
        sizes[axis] = 1
        return broadcast_to_shape(value, tuple(sizes))
    return value


@nested_jit
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours of the flattened array, with given ends."""
    a = ensure_arraylike("ediff1d", ary)
    a = lax.reshape(a, (a.size,)) if a.ndim != 1 else a
    out = lax.sub(_slice_axis(a, 1, a.size, 0), _slice_axis(a, 0, max(a.size - 1, 0), 0))
    parts = [out]
    if to_begin is not None:
        first = array_of(convert(array_of(to_begin), a.dtype))
        parts.insert(0, lax.reshape(first, (first.size,)))
    if to_end is not None:
        last = array_of(convert(array_of(to_end), a.dtype))
        parts.append(lax.reshape(last, (last.size,)))
    return lax.concatenate(parts, 0) if len(parts) > 1 else out


@nested_jit(static_argnames=("axis",))
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Integral by the trapezoidal rule."""
    from jaxc.numpy.manipulation import moveaxis
    from jaxc.numpy.promotion import promote_dtypes_inexact
    from jaxc.numpy.reductions import sum

    if x is None:
        check_arraylike("trapezoid", y)
        (y,) = promote_dtypes_inexact(y)
        step = convert(array_of(dx), y.dtype)
    else:
        check_arraylike("trapezoid", y, x)
        y, x = promote_dtypes_inexact(y, x)
        step = diff(x) if x.ndim == 1 else diff(x, axis=axis)
    y = moveaxis(y, axis, -1)
    if step.ndim == 0:
        total = sum(y, -1)
        half = convert(0.5, y.dtype)
        return lax.mul(step, lax.sub(total, lax.mul(half, lax.add(y[..., 0], y[..., -1]))))
    if step.ndim > 1:
        step = moveaxis(step, axis, -1)
    return 0.5 * sum(step * (y[..., 1:] + y[..., :-1]), -1)
