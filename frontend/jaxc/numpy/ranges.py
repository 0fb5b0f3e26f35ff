"""Ranges: arange, linspace, logspace, geomspace.

Composed of lax functions. Must not import manipulation at load.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from jaxc import errors, lax
from jaxc.core import dtypes
from jaxc.core.array import Array
from jaxc.core.trace import Tracer
from jaxc.numpy import promotion
from jaxc.numpy.creation import broadcast_to_shape, full, placed, user_dtype, zeros
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import canonicalize_axis, check_arraylike, convert


def _concrete(x: Any, name: str) -> Any:
    """The host value of a static argument of arange."""
    if isinstance(x, Tracer):
        value = x.to_concrete_value()
        if value is None:
            raise errors.ConcretizationTypeError(x, f"It arose in the jnp.arange argument '{name}'")
        x = value
    if isinstance(x, str | bytes):
        raise TypeError(
            f"Value '{x}' is not a valid JAX array type. "
            "Only arrays of numeric types are supported by JAX."
        )
    if np.ndim(x):
        raise ValueError(f"jax.numpy.arange: arguments must be scalars; got {name}={x}")
    if isinstance(x, Array | np.generic | np.ndarray):
        return np.asarray(x).item() if np.asarray(x).dtype.kind != "V" else float(x)
    return x


def arange(
    start: Any,
    stop: Any = None,
    step: Any = None,
    dtype: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """Evenly spaced values in the half-open interval [start, stop)."""
    dtype = user_dtype(dtype, "arange")
    given = [x for x in (start, stop, step) if x is not None]
    if any(isinstance(x, str | bytes) for x in given):
        raise TypeError("jax.numpy.arange: arguments must be numbers")
    if dtype is None:
        dtype = promotion.promoted_dtype(*given)[0] if given else None
    if start is None:
        raise TypeError("must be real number, not NoneType")
    only_stop = stop is None
    start = _concrete(start, "stop" if only_stop else "start")
    stop = None if stop is None else _concrete(stop, "stop")
    step = None if step is None else _concrete(step, "step")
    if any(isinstance(x, complex) for x in (start, stop, step)):
        raise ValueError("Passing complex start/stop/step to jnp.arange is not supported.")
    if only_stop and step is None:
        return placed(lax.iota(dtype, max(0, math.ceil(start))), device)
    if only_stop:
        start, stop = 0, start
    size = max(0, math.ceil((stop - start) / (1 if step is None else step)))
    return placed(_affine_range(start, step, size, dtype), device)


def _affine_range(start: Any, step: Any, size: int, dtype: Any) -> Any:
    out = lax.iota(dtype, size)
    if step is not None:
        out = lax.mul(convert(step, dtype), out)
    elif start == 0:
        return out
    return lax.add(convert(start, dtype), out)


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """`num` evenly spaced values from start to stop (included unless endpoint is False)."""
    check_arraylike("linspace", start, stop)
    dtype = user_dtype(dtype, "linspace")
    num = _static_int(num, "linspace", "num")
    axis = operator.index(axis)
    out = _linspace(start, stop, num=num, endpoint=bool(endpoint), retstep=bool(retstep),
                    dtype=dtype, axis=axis)  # fmt: skip
    return placed(out, device)


def _static_int(x: Any, function: str, name: str) -> int:
    if isinstance(x, Tracer) and x.to_concrete_value() is None:
        raise errors.ConcretizationTypeError(x, f"'{name}' argument of jnp.{function}")
    return operator.index(x)


@nested_jit(static_argnames=("num", "endpoint", "retstep", "dtype", "axis"))
def _linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    if num < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    found = promotion.promoted_dtype(start, stop)[0] if dtype is None else dtype
    dtype = dtypes.to_inexact_dtype(found) if dtype is None else dtype
    compute = dtypes.to_inexact_dtype(dtype)
    start = promotion.array_of(convert(start, compute))
    stop = promotion.array_of(convert(stop, compute))
    shape = np.broadcast_shapes(start.shape, stop.shape)
    start, stop = broadcast_to_shape(start, shape), broadcast_to_shape(stop, shape)
    axis = canonicalize_axis(axis, len(shape) + 1)
    ends_shape = (*shape[:axis], 1, *shape[axis:])
    intervals = num - 1 if endpoint else num
    if num > 1:
        out, delta = _spaced(start, stop, ends_shape, axis, intervals, compute)
        if endpoint:
            kept = tuple(i for i in range(len(ends_shape)) if i != axis)
            out = lax.concatenate([out, lax.broadcast_in_dim(stop, ends_shape, kept)], axis)
    elif num == 1:
        delta = full((), np.nan, compute) if endpoint else lax.sub(stop, start)
        out = lax.reshape(start, ends_shape)
    else:
        delta = full((), np.nan, compute)
        out = zeros((*shape[:axis], 0, *shape[axis:]), compute)
    if dtypes.issubdtype(dtype, np.integer) and not dtypes.issubdtype(out.dtype, np.integer):
        out = lax.floor(out)
    out = convert(out, dtype)
    return (out, delta) if retstep else out


def _spaced(start, stop, ends_shape, axis, intervals, compute):
    count = convert(intervals, compute)
    delta = lax.div(lax.sub(stop, start), count)
    real = promotion.complex_to_real(compute)
    steps_shape = [1] * len(ends_shape)
    steps_shape[axis] = intervals
    step = lax.iota(real, intervals)
    step = lax.reshape(step, tuple(steps_shape)) if len(steps_shape) > 1 else step
    step = convert(lax.div(step, convert(intervals, real)), compute)
    first = lax.mul(lax.reshape(start, ends_shape), lax.sub(convert(1, compute), step))
    return lax.add(first, lax.mul(lax.reshape(stop, ends_shape), step)), delta


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Values whose logarithm to `base` is evenly spaced."""
    num = _static_int(num, "logspace", "num")
    axis = operator.index(axis)
    return _logspace(start, stop, num=num, endpoint=bool(endpoint), base=base,
                     dtype=user_dtype(dtype, "logspace"), axis=axis)  # fmt: skip


@nested_jit(static_argnames=("num", "endpoint", "dtype", "axis"))
def _logspace(start, stop, num=50, endpoint=True, base=10.0, dtype=None, axis=0):
    check_arraylike("logspace", start, stop)
    if dtype is None:
        dtype = dtypes.to_inexact_dtype(promotion.promoted_dtype(start, stop)[0])
    compute = dtypes.to_inexact_dtype(dtype)
    start, stop = convert(start, compute), convert(stop, compute)
    exponents = linspace(start, stop, num=num, endpoint=endpoint, axis=axis)
    base = promotion.convert(base, compute)
    from jaxc.numpy.arithmetic import power

    return convert(power(base, exponents), dtype)


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """Values in geometric progression from start to stop."""
    num = _static_int(num, "geomspace", "num")
    axis = operator.index(axis)
    return _geomspace(start, stop, num=num, endpoint=bool(endpoint),
                      dtype=user_dtype(dtype, "geomspace"), axis=axis)  # fmt: skip


@nested_jit(static_argnames=("num", "endpoint", "dtype", "axis"))
def _geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    from jaxc.numpy.elementwise import log10, sign

    check_arraylike("geomspace", start, stop)
    if dtype is None:
        dtype = dtypes.to_inexact_dtype(promotion.promoted_dtype(start, stop)[0])
    compute = dtypes.to_inexact_dtype(dtype)
    start = promotion.array_of(convert(start, compute))
    stop = promotion.array_of(convert(stop, compute))
    signs = sign(start)
    out = logspace(
        log10(lax.div(start, signs)), log10(lax.div(stop, signs)),
        num=num, endpoint=endpoint, base=10.0, dtype=compute, axis=0,
    )  # fmt: skip
    if out.ndim > 1:
        signs = lax.broadcast_in_dim(signs, (1, *signs.shape), tuple(range(1, out.ndim)))
        signs = broadcast_to_shape(signs, (1, *out.shape[1:]))
    out = lax.mul(signs, out)
    if axis != 0:
        from jaxc.numpy.manipulation import moveaxis

        out = moveaxis(out, 0, axis)
    return convert(out, dtype)
