"""Bits, uniform and normal numbers, integers, coin flips: everything else is made of these.

Floats get their mantissa from random bits, with the exponent of [1, 2); the arithmetic after that
is ordered as in JAX, so that values agree bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.core.array import wrap
from jaxc.core.config import config
from jaxc.core.trace import Tracer
from jaxc.numpy.nested import nested_jit
from jaxc.random.arguments import (
    canonicalize_shape,
    check_no_sharding,
    check_shape,
    const,
    float_dtype,
)
from jaxc.random.keys import one_key, random_bits, split_key
from jaxc.random.primitives import random_bits_p, random_split_p
from jaxc.transforms.jit import runs_on_host
from jaxc_compiler.opset.avals import ShapedArray

_UINTS = {width: np.dtype(f"uint{width}") for width in (8, 16, 32, 64)}


def bits(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Random bits as unsigned integers.

    Args:
      key: a single key.
      shape: of the result.
      dtype: unsigned; uint32 by default (uint64 with x64).
    """
    key = one_key("bits", key)
    check_no_sharding("bits", out_sharding)
    if dtype is None:
        dtype = dtypes.canonicalize_dtype(np.uint64)
    dtype = dtypes.check_user_dtype(dtype, "bits")
    if not dtypes.issubdtype(dtype, np.unsignedinteger):
        raise ValueError(f"dtype argument to `bits` must be an unsigned int dtype, got {dtype}")
    return random_bits(key, dtype.itemsize * 8, canonicalize_shape(shape))


def uniform(
    key: Any,
    shape: Any = (),
    dtype: Any = None,
    minval: Any = 0.0,
    maxval: Any = 1.0,
    *,
    out_sharding: Any = None,
) -> Any:
    """Uniform floats in [minval, maxval).

    Args:
      key: a single key.
      shape: of the result.
      dtype: floating; float32 by default (float64 with x64).
      minval: lower bound, broadcast to the shape.
      maxval: upper bound, broadcast to the shape.

    >>> import jaxc as jax
    >>> jax.random.uniform(jax.random.key(0), (2,)).shape
    (2,)
    """
    key = one_key("uniform", key)
    check_no_sharding("uniform", out_sharding)
    dtype = float_dtype("uniform", dtype)
    shape = canonicalize_shape(shape)
    eager = _eager_uniform(key, minval, maxval, shape, dtype)
    if eager is not None:
        return eager
    return _uniform(key, minval, maxval, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _uniform(key: Any, minval: Any, maxval: Any, shape: Any, dtype: Any) -> Any:
    low, high = lax.convert_element_type(minval, dtype), lax.convert_element_type(maxval, dtype)
    low, high = lax.broadcast_to_rank(low, len(shape)), lax.broadcast_to_rank(high, len(shape))
    info = dtypes.finfo(dtype)
    drawn_width = 8 if info.nmant < 8 else info.bits
    uint = _UINTS[info.bits]
    words = random_bits(key, drawn_width, shape)
    if drawn_width != info.bits:
        words = lax.convert_element_type(words, uint)
    mantissa = lax.shift_right_logical(words, uint.type(drawn_width - info.nmant))
    one = np.ones((), dtype)
    in_one_to_two = lax.bitwise_or(mantissa, one.view(uint)[()])
    unit = lax.sub(lax.bitcast_convert_type(in_one_to_two, dtype), one[()])
    scaled = lax.add(lax.mul(unit, lax.sub(high, low)), low)
    return lax.max(low, lax.reshape(scaled, shape))


def _eager_uniform(key: Any, minval: Any, maxval: Any, shape: Any, dtype: Any) -> Any:
    """`_uniform` of concrete arguments in NumPy, or None if it is not for this case.

    JAX compiles the sampler, which fuses the scaling into one rounding; so does this one.
    """
    if dtype != np.float32 or not runs_on_host(key, minval, maxval):
        return None
    if any(isinstance(x, Tracer) for x in (key, minval, maxval)):
        return None
    low, high = (np.asarray(x).astype(dtype) for x in (minval, maxval))
    words = random_bits_p.kernel(key._numpy(), bit_width=32, shape=shape)
    np.right_shift(words, np.uint32(9), out=words)
    words |= np.uint32(0x3F800000)
    unit = words.view(dtype)
    unit -= np.float32(1)
    with np.errstate(all="ignore"):
        span = high - low
        if span.ndim or low.ndim or span != 1 or low != 0:
            scaled = unit * span.astype(np.float64) + low.astype(np.float64)
            unit = np.maximum(low, scaled.astype(dtype))
    return wrap(unit, ShapedArray(shape, dtype))


def normal(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Standard normal floats; for a complex dtype, of variance 1/2 in each part.

    Args:
      key: a single key.
      shape: of the result.
      dtype: floating or complex; float32 by default (float64 with x64).

    >>> import jaxc as jax
    >>> jax.random.normal(jax.random.key(0), (2, 3)).dtype
    dtype('float32')
    """
    key = one_key("normal", key)
    check_no_sharding("normal", out_sharding)
    shape = canonicalize_shape(shape)
    dtype = dtypes.check_user_dtype(float if dtype is None else dtype, "normal")
    if not dtypes.issubdtype(dtype, np.inexact):
        raise ValueError(
            f"dtype argument to `normal` must be a float or complex dtype, got {dtype}"
        )
    return _normal(key, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _normal(key: Any, shape: Any, dtype: Any) -> Any:
    if not dtypes.issubdtype(dtype, np.complexfloating):
        return _normal_real(key, shape=shape, dtype=dtype)
    real_key, imag_key = split_key(key)
    part = np.zeros((), dtype).real.dtype
    real = _normal_real(real_key, shape=shape, dtype=part).astype(dtype)
    imag = _normal_real(imag_key, shape=shape, dtype=part).astype(dtype)
    return (real + 1j * imag) / np.asarray(np.sqrt(2), dtype)[()]


@nested_jit(static_argnames=("shape", "dtype"))
def _normal_real(key: Any, shape: Any, dtype: Any) -> Any:
    low = np.nextafter(np.asarray(-1.0, dtype), np.asarray(0.0, dtype), dtype=dtype)[()]
    u = uniform(key, shape, dtype, low, np.ones((), dtype)[()])
    return lax.mul(np.asarray(np.sqrt(2), dtype)[()], lax.erf_inv(u))


def truncated_normal(
    key: Any,
    lower: Any,
    upper: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Standard normal floats conditioned on the open interval (lower, upper).

    Args:
      key: a single key.
      lower: lower bound.
      upper: upper bound, broadcast-compatible with `lower`.
      shape: of the result; the bounds' common shape by default.
      dtype: floating.
    """
    shape = None if shape is None else canonicalize_shape(shape)
    key = one_key("truncated_normal", key)
    check_no_sharding("truncated_normal", out_sharding)
    dtype = float_dtype("truncated_normal", dtype)
    return _truncated_normal(key, lower, upper, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _truncated_normal(key: Any, lower: Any, upper: Any, shape: Any, dtype: Any) -> Any:
    if shape is None:
        shape = lax.broadcast_shapes(np.shape(lower), np.shape(upper))
    else:
        check_shape("truncated_normal", shape, np.shape(lower), np.shape(upper))
    sqrt2 = np.asarray(np.sqrt(2), dtype)[()]
    lower = lax.convert_element_type(lower, dtype)
    upper = lax.convert_element_type(upper, dtype)
    a, b = lax.erf(lower / sqrt2), lax.erf(upper / sqrt2)
    out = sqrt2 * lax.erf_inv(uniform(key, shape, dtype, minval=a, maxval=b))
    # erf and erf_inv round: keep the result inside the open interval.
    infinity = np.asarray(np.inf, dtype)[()]
    return jnp.clip(
        out,
        lax.nextafter(lax.stop_gradient(lower), infinity),
        lax.nextafter(lax.stop_gradient(upper), -infinity),
    )


def randint(
    key: Any,
    shape: Any,
    minval: Any,
    maxval: Any,
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Uniform integers in [minval, maxval).

    Args:
      key: a single key.
      shape: of the result.
      minval: lower bound, broadcast to the shape.
      maxval: exclusive upper bound, broadcast to the shape.
      dtype: integer; int32 by default (int64 with x64).
    """
    key = one_key("randint", key)
    check_no_sharding("randint", out_sharding)
    dtype = dtypes.check_user_dtype(int if dtype is None else dtype, "randint")
    shape = canonicalize_shape(shape)
    if not dtypes.issubdtype(dtype, np.integer):
        raise TypeError(f"randint only accepts integer dtypes, got {dtype}")
    info, drawn = dtypes.iinfo(dtype), dtype
    if info.bits < 32:  # few bits would make the modulus below badly biased
        drawn = np.dtype(np.int32)
        minval = jnp.asarray(minval).astype("int32").clip(int(info.min), int(info.max))
        maxval = jnp.asarray(maxval).astype("int32").clip(int(info.min), int(info.max) + 1)
    eager = _eager_randint(key, minval, maxval, shape, drawn)
    if eager is None:
        eager = _randint(key, minval, maxval, shape=shape, dtype=drawn)
    return eager.astype(dtype) if dtype != drawn else eager


def _clip_to(x: Any, dtype: Any) -> Any:
    """Integers clipped to what both their own and another integer dtype hold, converted."""
    mine, other = dtypes.iinfo(x.dtype), dtypes.iinfo(dtype)
    low = const(x, max(int(mine.min), int(other.min)))
    high = const(x, min(int(mine.max), int(other.max)))
    return jnp.clip(x, low, high).astype(dtype)


def _as_integers(x: Any) -> Any:
    x = jnp.asarray(x)
    return x if dtypes.issubdtype(x.dtype, np.integer) else x.astype(int)


def _rem(x: Any, y: np.ndarray) -> np.ndarray:
    """x % y, x where y is 0."""
    return x % y if y.all() else np.where(y == 0, x, x % np.where(y == 0, 1, y).astype(y.dtype))


def _eager_randint(key: Any, minval: Any, maxval: Any, shape: Any, dtype: Any) -> Any:
    """`_randint` of concrete arguments in NumPy, without 40 operations; None if it is not so."""
    if not runs_on_host(key, minval, maxval) or any(
        isinstance(x, Tracer) for x in (key, minval, maxval)
    ):
        return None
    check_shape("randint", shape, np.shape(minval), np.shape(maxval))
    low, high = (np.asarray(_as_integers(x)) for x in (minval, maxval))
    info, uint = dtypes.iinfo(dtype), _UINTS[dtypes.iinfo(dtype).bits]
    one_more = high > min(int(info.max), int(np.iinfo(high.dtype).max))
    low, high = (_numpy_clip_to(x, info).astype(dtype) for x in (low, high))
    run = {"partitionable": config.jax_threefry_partitionable}
    pair = random_split_p.op.numpy(key._numpy(), shape=(2,), **run)
    bits_of = {"bit_width": info.bits, "shape": shape, **run}
    with np.errstate(all="ignore"):
        span = np.asarray((high - low).astype(uint))
        span = np.where(high <= low, uint.type(1), span)
        span = np.where(one_more & (high > low), span + uint.type(1), span)
        multiplier = _rem(uint.type(2 ** (info.bits // 2)), span)
        multiplier = _rem(multiplier * multiplier, span)
        offset = _rem(random_bits_p.op.numpy(pair[0], **bits_of), span) * multiplier
        offset = offset + _rem(random_bits_p.op.numpy(pair[1], **bits_of), span)
        return wrap(np.asarray(low + _rem(offset, span).astype(dtype)), ShapedArray(shape, dtype))


def _numpy_clip_to(x: np.ndarray, info: Any) -> np.ndarray:
    own = np.iinfo(x.dtype)
    return np.clip(x, max(int(own.min), int(info.min)), min(int(own.max), int(info.max)))


@nested_jit(static_argnames=("shape", "dtype"))
def _randint(key: Any, minval: Any, maxval: Any, shape: Any, dtype: Any) -> Any:
    check_shape("randint", shape, np.shape(minval), np.shape(maxval))
    minval, maxval = _as_integers(minval), _as_integers(maxval)
    largest = jnp.asarray(np.asarray(dtypes.iinfo(dtype).max, dtype))
    one_more = lax.gt(maxval, _clip_to(largest, maxval.dtype))
    minval, maxval = _clip_to(minval, dtype), _clip_to(maxval, dtype)
    minval = lax.broadcast_to_rank(minval, len(shape))
    maxval = lax.broadcast_to_rank(maxval, len(shape))
    nbits = dtypes.iinfo(dtype).bits
    high_key, low_key = split_key(key)
    high, low = random_bits(high_key, nbits, shape), random_bits(low_key, nbits, shape)

    span = lax.convert_element_type(maxval - minval, _UINTS[nbits])
    span = lax.select(maxval <= minval, lax.full_like(span, 1), span)
    # The full range: the span wraps to 0, and x % 0 = x is what is wanted then.
    wraps = one_more & (maxval > minval)
    span = lax.select(wraps, lax.add(span, const(span, 1)), span)
    # (high * 2**nbits + low) % span in nbits: the modulus of twice the bits is nearly unbiased.
    multiplier = lax.rem(const(span, 2 ** (nbits // 2)), span)
    multiplier = lax.rem(lax.mul(multiplier, multiplier), span)
    offset = lax.add(lax.mul(lax.rem(high, span), multiplier), lax.rem(low, span))
    return lax.add(minval, lax.convert_element_type(lax.rem(offset, span), dtype))


def bernoulli(
    key: Any, p: Any = 0.5, shape: Any = None, mode: str = "low", *, out_sharding: Any = None
) -> Any:
    """Bools, True with probability `p`.

    Args:
      key: a single key.
      p: probabilities, floating.
      shape: of the result; `p`'s by default.
      mode: "low" draws once per element, "high" twice, for very small probabilities.
    """
    shape = None if shape is None else canonicalize_shape(shape)
    if mode not in ("high", "low"):
        raise ValueError(f"got {mode=}, expected 'high' or 'low'")
    key = one_key("bernoulli", key)
    check_no_sharding("bernoulli", out_sharding)
    dtype = dtypes.dtype(p)
    if not dtypes.issubdtype(dtype, np.floating):
        raise TypeError(f"bernoulli probability `p` must have a floating dtype, got {dtype}.")
    return _bernoulli(key, lax.convert_element_type(p, dtype), shape=shape, mode=mode)


@nested_jit(static_argnames=("shape", "mode"))
def _bernoulli(key: Any, p: Any, shape: Any, mode: str) -> Any:
    if shape is None:
        shape = np.shape(p)
    else:
        check_shape("bernoulli", shape, np.shape(p))
    dtype = dtypes.dtype(p)
    if mode == "low":
        return uniform(key, shape, dtype) < p
    coarse, fine = uniform(key, (2, *shape), dtype)
    return fine * 2 ** -dtypes.finfo(dtype).nmant < p - coarse


def rademacher(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Signs: -1 and 1 with equal probability."""
    key = one_key("rademacher", key)
    check_no_sharding("rademacher", out_sharding)
    dtype = dtypes.check_user_dtype(int if dtype is None else dtype, "rademacher")
    return _rademacher(key, shape=canonicalize_shape(shape), dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _rademacher(key: Any, shape: Any, dtype: Any) -> Any:
    return (2 * bernoulli(key, 0.5, shape).astype(dtype) - 1).astype(dtype)
