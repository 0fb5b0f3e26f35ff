"""Reductions that pass over NaN: nansum, nanmax, nanmean, nanargmax, ...

Composed of reductions. Must not import indexing or sorting at load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.numpy import reductions
from jaxc.numpy.elementwise import isnan
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import canonicalize_axis, convert, ensure_arraylike
from jaxc.numpy.selection import where as choose

_STATIC = ("axis", "dtype", "keepdims", "out")


def _make(name: str, reduction: Callable, initial_value: float, all_nan: bool, doc: str) -> Any:
    """A reduction with NaN replaced by a neutral value; `all_nan`: NaN where all are NaN."""

    def run(a: Any, axis: Any, keepdims: bool, where: Any, **kwargs: Any) -> Any:
        a = ensure_arraylike(name, a)
        reductions._check_where(name, where)
        if not dtypes.issubdtype(a.dtype, np.inexact):
            return reduction(a, axis=axis, keepdims=keepdims, where=where, **kwargs)
        filled = choose(isnan(a), convert(initial_value, a.dtype), a)
        out = reduction(filled, axis=axis, keepdims=keepdims, where=where, **kwargs)
        if not all_nan or kwargs.get("initial") is not None:
            return out
        nothing = reductions.all(isnan(a), axis=axis, keepdims=keepdims)
        return choose(nothing, convert(np.nan, a.dtype), out)

    if all_nan:

        def fun(a, axis=None, out=None, keepdims=False, initial=None, where=None):
            _check(name, out)
            return run(a, axis, keepdims, where, initial=initial)

    else:

        def fun(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None):
            _check(name, out)
            return run(a, axis, keepdims, where, dtype=dtype, initial=initial)

    fun.__name__ = fun.__qualname__ = name
    fun.__doc__ = doc
    return nested_jit(fun, static_argnames=tuple(s for s in _STATIC if not all_nan or s != "dtype"))


def _check(name: str, out: Any) -> None:
    if out is not None:
        raise NotImplementedError(f"The 'out' argument to jnp.{name} is not supported.")


nansum = _make("nansum", reductions.sum, 0, False, "Sum of the elements that are not NaN.")
nanprod = _make("nanprod", reductions.prod, 1, False, "Product of the elements that are not NaN.")
nanmax = _make("nanmax", reductions.max, -np.inf, True, "Largest element that is not NaN.")
nanmin = _make("nanmin", reductions.min, np.inf, True, "Smallest element that is not NaN.")


@nested_jit(static_argnames=_STATIC)
def nanmean(a, axis=None, dtype=None, out=None, keepdims=False, where=None):
    """Mean of the elements that are not NaN."""
    a = ensure_arraylike("nanmean", a)
    _check("nanmean", out)
    reductions._check_where("nanmean", where)
    if not dtypes.issubdtype(a.dtype, np.inexact):
        return reductions.mean(a, axis, dtype, keepdims=keepdims, where=where)
    found = a.dtype if dtype is None else dtypes.check_user_dtype(dtype, "nanmean")
    real = np.zeros((), found).real.dtype if found.kind == "c" else found
    mask = lax.bitwise_not(isnan(a))
    counts = lax.convert_element_type(mask, dtypes.default_dtype(int))
    count = reductions.sum(counts, axis=axis, dtype=real, keepdims=keepdims, where=where)
    total = nansum(a, axis, found, keepdims=keepdims, where=where)
    return lax.div(total, convert(count, total.dtype))


@nested_jit(static_argnames=_STATIC)
def nanvar(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, where=None, mean=None):
    """Variance of the elements that are not NaN."""
    a = ensure_arraylike("nanvar", a)
    _check("nanvar", out)
    compute, found = reductions._variance_dtypes(a.dtype, dtype)
    reductions._check_where("nanvar", where)
    center = mean
    if center is None:
        center = nanmean(a, axis, dtype=compute, keepdims=True, where=where)
    a = convert(a, compute)
    centered = choose(isnan(a), 0, lax.sub(a, center))
    if dtypes.issubdtype(compute, np.complexfloating):
        squares = lax.real(lax.mul(centered, lax.conj(centered)))
    else:
        squares = lax.square(centered)
    mask = lax.convert_element_type(lax.bitwise_not(isnan(a)), dtypes.default_dtype(int))
    count = reductions.sum(mask, axis=axis, keepdims=keepdims, where=where)
    count = lax.sub(convert(count, squares.dtype), convert(ddof, squares.dtype))
    enough = lax.gt(count, convert(0, squares.dtype))
    total = reductions.sum(squares, axis=axis, keepdims=keepdims, where=where)
    divisor = choose(enough, count, convert(1, squares.dtype))
    out = choose(enough, lax.div(total, divisor), convert(np.nan, squares.dtype))
    return convert(out, found)


@nested_jit(static_argnames=_STATIC)
def nanstd(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, where=None, mean=None):
    """Standard deviation of the elements that are not NaN."""
    a = ensure_arraylike("nanstd", a)
    _check("nanstd", out)
    return lax.sqrt(nanvar(a, axis, dtype, ddof=ddof, keepdims=keepdims, where=where, mean=mean))


def _nan_arg(name: str, fill: float, arg_reduce: Callable, a: Any, axis: Any, keepdims: Any) -> Any:
    a = ensure_arraylike(name, a)
    if not dtypes.issubdtype(a.dtype, np.inexact):
        return arg_reduce(a, axis=axis, keepdims=keepdims)
    mask = isnan(a)
    found = arg_reduce(choose(mask, fill, a), axis=axis, keepdims=keepdims)
    axes = None if axis is None else (canonicalize_axis(axis, a.ndim),)
    return choose(reductions.all(mask, axis=axes, keepdims=bool(keepdims)), -1, found)


@nested_jit(name="_nanargmax", static_argnames=("axis", "keepdims"))
def _nanargmax(a, axis=None, keepdims=None):
    return _nan_arg("nanargmax", -np.inf, reductions.argmax, a, axis, keepdims)


@nested_jit(name="_nanargmin", static_argnames=("axis", "keepdims"))
def _nanargmin(a, axis=None, keepdims=None):
    return _nan_arg("nanargmin", np.inf, reductions.argmin, a, axis, keepdims)


def nanargmax(a, axis=None, out=None, keepdims=None):
    """Index of the largest element that is not NaN; -1 if all are."""
    _check("nanargmax", out)
    return _nanargmax(ensure_arraylike("nanargmax", a), axis=axis, keepdims=keepdims)


def nanargmin(a, axis=None, out=None, keepdims=None):
    """Index of the smallest element that is not NaN; -1 if all are."""
    _check("nanargmin", out)
    return _nanargmin(ensure_arraylike("nanargmin", a), axis=axis, keepdims=keepdims)
