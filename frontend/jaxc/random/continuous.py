"""Continuous distributions that are a function of uniform or normal numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.core.config import config
from jaxc.numpy.nested import nested_jit
from jaxc.random.arguments import (
    canonicalize_shape,
    check_broadcast_shapes,
    check_no_sharding,
    check_safe_to_cast,
    const,
    float_dtype,
)
from jaxc.random.keys import one_key, random_bits, split_key
from jaxc.random.uniform import _uniform, normal, rademacher, uniform

_ONE = np.float32(1)


def _plain(name: str, key: Any, shape: Any, dtype: Any, out_sharding: Any) -> tuple[Any, Any, Any]:
    """Checked key, shape and dtype of a sampler without parameters."""
    check_no_sharding(name, out_sharding)
    return one_key(name, key), canonicalize_shape(shape), float_dtype(name, dtype)


def _with_params(
    name: str, key: Any, shape: Any, dtype: Any, out_sharding: Any, *params: Any
) -> tuple[Any, Any, Any]:
    """Checked key, shape and dtype of a sampler whose parameters broadcast."""
    check_no_sharding(name, out_sharding)
    key, dtype = one_key(name, key), float_dtype(name, dtype)
    shape = check_broadcast_shapes(name, shape, *params)
    check_safe_to_cast(name, dtype, *params)
    return key, shape, dtype


def exponential(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Exponential floats of rate 1."""
    key, shape, dtype = _plain("exponential", key, shape, dtype, out_sharding)
    return _exponential(key, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _exponential(key: Any, shape: Any, dtype: Any) -> Any:
    return lax.neg(lax.log1p(lax.neg(uniform(key, shape, dtype))))


def cauchy(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Standard Cauchy floats."""
    key, shape, dtype = _plain("cauchy", key, shape, dtype, out_sharding)
    return _cauchy(key, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _cauchy(key: Any, shape: Any, dtype: Any) -> Any:
    u = uniform(key, shape, dtype, minval=dtypes.finfo(dtype).eps, maxval=1.0)
    return lax.tan(lax.mul(const(u, np.pi), lax.sub(u, const(u, 0.5))))


def laplace(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Laplace floats of location 0 and scale 1."""
    key, shape, dtype = _plain("laplace", key, shape, dtype, out_sharding)
    return _laplace(key, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _laplace(key: Any, shape: Any, dtype: Any) -> Any:
    u = uniform(key, shape, dtype, minval=-1.0 + dtypes.finfo(dtype).epsneg, maxval=1.0)
    return lax.mul(lax.sign(u), lax.log1p(lax.neg(lax.abs(u))))


def logistic(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Logistic floats of location 0 and scale 1."""
    key, shape, dtype = _plain("logistic", key, shape, dtype, out_sharding)
    return _logistic(key, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _logistic(key: Any, shape: Any, dtype: Any) -> Any:
    u = uniform(key, shape, dtype, minval=dtypes.finfo(dtype).tiny, maxval=1.0)
    return lax.sub(lax.log(u), lax.log1p(lax.neg(u)))


def gumbel(
    key: Any, shape: Any = (), dtype: Any = None, mode: str | None = None, *,
    out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Gumbel floats of location 0 and scale 1.

    Args:
      key: a single key.
      shape: of the result.
      dtype: floating.
      mode: "low" (default) draws one uniform per element, "high" two, "highest" (float32) 64 bits.
    """
    key, shape, dtype = _plain("gumbel", key, shape, dtype, out_sharding)
    if mode is None:
        high = getattr(config, "jax_high_dynamic_range_gumbel", False)
        mode = "high" if high else "low"
    if mode not in ("highest", "high", "low"):
        raise ValueError(f"Must provide valid mode for gumbel got: {mode}")
    return _gumbel(key, shape=shape, dtype=dtype, mode=mode)


@nested_jit(static_argnames=("shape", "dtype", "mode"))
def _gumbel(key: Any, shape: Any, dtype: Any, mode: str) -> Any:
    info = dtypes.finfo(dtype)
    if mode == "highest" and dtype == np.float32:
        return _gumbel_from_64_bits(key, shape)
    if mode in ("high", "highest"):
        high, low = _uniform(key, minval=0.0, maxval=1.0, shape=(2, *shape), dtype=dtype)
        x = jnp.where(high >= 0.5, high, high + 2**-info.nmant * low + info.tiny)
        return -jnp.log(-jnp.log1p(-x))
    u = _uniform(key, minval=info.tiny, maxval=1.0, shape=shape, dtype=dtype)
    return -jnp.log(-jnp.log(u))


def _gumbel_from_64_bits(key: Any, shape: Any) -> Any:
    """From a 64-bit fraction of which the end nearer to 0 is taken, so both tails are exact."""
    words = random_bits(key, 32, (2, *shape))
    negated = lax.bitwise_not(words)
    low = negated[1]
    carry = jnp.array([low == np.uint32(0xFFFFFFFF), jnp.ones_like(low)], dtype=np.uint32)
    below_half = words[0] < np.uint32(1 << 31)
    x = _fraction(jnp.where(below_half, words, negated + carry))
    return jnp.where(below_half, -jnp.log(-jnp.log1p(-x)), -jnp.log(-jnp.log(x)))


def _fraction(words: Any) -> Any:
    """`(high, low)` words over 2**64 as float32, without losing small ones."""
    scales = np.asarray([2.0**-32, 2.0**-64], np.float32)
    parts = [words[i].astype(np.float32) * scales[i] for i in range(2)]
    return parts[0] + parts[1]


def pareto(
    key: Any, b: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Pareto floats of shape parameter `b`."""
    key, shape, dtype = _with_params("pareto", key, shape, dtype, out_sharding, b)
    return _pareto(key, b, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _pareto(key: Any, b: Any, shape: Any, dtype: Any) -> Any:
    b = lax.convert_element_type(b, dtype)
    return lax.exp(exponential(key, shape, dtype) / b)


def rayleigh(
    key: Any, scale: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Rayleigh floats."""
    key, shape, dtype = _with_params("rayleigh", key, shape, dtype, out_sharding, scale)
    return _rayleigh(key, scale, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _rayleigh(key: Any, scale: Any, shape: Any, dtype: Any) -> Any:
    u = uniform(key, shape, dtype)
    scale = jnp.broadcast_to(jnp.asarray(scale).astype(dtype), shape)
    return lax.mul(scale, lax.sqrt(lax.mul(lax.log(u), const(scale, -2))))


def wald(
    key: Any, mean: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Wald (inverse Gaussian) floats of scale 1."""
    key, shape, dtype = _with_params("wald", key, shape, dtype, out_sharding, mean)
    return _wald(key, mean, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _wald(key: Any, mean: Any, shape: Any, dtype: Any) -> Any:
    normal_key, uniform_key = split_key(key, 2)
    mean = jnp.broadcast_to(jnp.asarray(mean).astype(dtype), shape)
    v, z = normal(normal_key, shape, dtype), uniform(uniform_key, shape, dtype)
    y = lax.integer_pow(v, 2)
    squared = lax.integer_pow(mean, 2)
    root = lax.sqrt(4 * mean * y + squared * lax.integer_pow(y, 2))
    x = mean + squared * y / 2 - mean / 2 * root
    return lax.select(lax.le(z, mean / (mean + x)), x, squared / x)


def triangular(
    key: Any, left: Any, mode: Any, right: Any, shape: Any = None, dtype: Any = None, *,
    out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Triangular floats between `left` and `right`, densest at `mode`."""
    params = (left, mode, right)
    key, shape, dtype = _with_params("triangular", key, shape, dtype, out_sharding, *params)
    left, mode, right = (
        jnp.broadcast_to(lax.convert_element_type(param, dtype), shape) for param in params
    )
    at_mode = (mode - left) / (right - left)
    u = uniform(key, shape, dtype)
    rising = left + lax.sqrt(u * (right - left) * (mode - left))
    falling = right - lax.sqrt((1 - u) * (right - left) * (right - mode))
    return lax.select(u < at_mode, rising, falling)


def lognormal(
    key: Any, sigma: Any = _ONE, shape: Any = None, dtype: Any = None, *,
    out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Floats whose logarithm is normal of deviation `sigma`."""
    key = one_key("lognormal", key)
    check_no_sharding("lognormal", out_sharding)
    dtype = dtypes.check_user_dtype(float if dtype is None else dtype, "lognormal")
    if not dtypes.issubdtype(dtype, np.inexact):
        raise ValueError(
            f"dtype argument to `lognormal` must be a float or complex dtype, got {dtype}"
        )
    shape = check_broadcast_shapes("lognormal", shape, sigma)
    check_safe_to_cast("lognormal", dtype, sigma)
    return lax.exp(normal(key, shape, dtype) * lax.convert_element_type(sigma, dtype))


def maxwell(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Maxwell floats of scale 1."""
    key, shape, dtype = _plain("maxwell", key, shape, dtype, out_sharding)
    return _maxwell(key, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _maxwell(key: Any, shape: Any, dtype: Any) -> Any:
    return jnp.linalg.norm(normal(key, (*shape, 3), dtype), axis=-1)


def double_sided_maxwell(key: Any, loc: Any, scale: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Maxwell floats with a random sign, scaled and shifted."""
    key, shape, dtype = _plain("double_sided_maxwell", key, shape, dtype, None)
    return _double_sided_maxwell(key, loc, scale, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _double_sided_maxwell(key: Any, loc: Any, scale: Any, shape: Any, dtype: Any) -> Any:
    params = lax.broadcast_shapes(np.shape(loc), np.shape(scale))
    shape = (shape or params) + params
    maxwell_key, sign_key = split_key(key)
    magnitude = maxwell(maxwell_key, shape=shape, dtype=dtype)
    return rademacher(sign_key, shape=shape, dtype=dtype) * magnitude * scale + loc


def weibull_min(
    key: Any, scale: Any, concentration: Any, shape: Any = (), dtype: Any = None
) -> Any:
    """Weibull floats."""
    key, shape, dtype = _plain("weibull_min", key, shape, dtype, None)
    return _weibull_min(key, scale, concentration, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _weibull_min(key: Any, scale: Any, concentration: Any, shape: Any, dtype: Any) -> Any:
    u = uniform(key, shape, dtype, minval=0, maxval=1)
    return jnp.power(-jnp.log1p(-u), 1.0 / concentration) * scale
