"""Gamma variates and the distributions made of them.

`random_gamma_p` samples by Marsaglia and Tsang's rejection method ("A simple method for generating
gamma variables", 2000), each element with its own key; its derivative is the implicit one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.core.primitive import primitive
from jaxc.numpy.nested import nested_jit
from jaxc.random import expand
from jaxc.random.arguments import (
    canonicalize_shape,
    check_broadcast_shapes,
    check_no_sharding,
    check_safe_to_cast,
    check_shape,
    const,
    float_dtype,
)
from jaxc.random.continuous import exponential
from jaxc.random.keys import one_key, split_key, wrap_words
from jaxc.random.uniform import _normal_real, _uniform, normal, rademacher
from jaxc.transforms import ad, batching
from jaxc.transforms.api import vmap

random_gamma_p = primitive("random_gamma")
_unit = {"shape": ()}


def _sample_one(key: Any, alpha: Any, log_space: bool) -> Any:
    """A gamma variate (or its logarithm) of concentration `alpha`, a scalar."""
    dtype = alpha.dtype
    zero, one = const(alpha, 0), const(alpha, 1)
    third = const(alpha, 1.0 / 3.0)
    # Below 1 sample alpha + 1 and multiply by Uniform ** (1 / alpha).
    needs_no_boost = lax.ge(alpha, one)
    boosted = lax.select(needs_no_boost, alpha, lax.add(alpha, one))
    d = lax.sub(boosted, third)
    c = lax.div(third, lax.sqrt(d))

    def rejected(state: Any) -> Any:
        _, x, v, u = state
        squeeze = lax.sub(one, lax.mul(const(alpha, 0.0331), lax.mul(x, x)))
        tail = lax.mul(d, lax.add(lax.sub(one, v), lax.log(v)))
        bound = lax.add(lax.mul(x, const(alpha, 0.5)), tail)
        return lax.bitwise_and(lax.ge(u, squeeze), lax.ge(lax.log(u), bound))

    def draw_positive(state: Any) -> Any:
        key, subkey = split_key(state[0])
        x = _normal_real(subkey, dtype=dtype, **_unit)
        return key, x, lax.add(one, lax.mul(x, c))

    def draw(state: Any) -> Any:
        key, normal_key, uniform_key = split_key(state[0], 3)
        start = (normal_key, zero, const(alpha, -1))
        _, x, v = lax.while_loop(lambda s: lax.le(s[2], zero), draw_positive, start)
        cubed = lax.mul(lax.mul(v, v), v)
        u = _uniform(uniform_key, 0.0, 1.0, dtype=dtype, **_unit)
        return key, lax.mul(x, x), cubed, u

    key, boost_key = split_key(key)
    _, _, v, _ = lax.while_loop(rejected, draw, (key, zero, one, const(alpha, 2)))
    if log_space:
        logs = lax.neg(exponential(boost_key, (), dtype))
        no_boost = needs_no_boost | (logs == 0)
        log_boost = lax.select(no_boost, zero, lax.mul(logs, lax.div(one, alpha)))
        return lax.add(lax.add(lax.log(d), lax.log(v)), log_boost)
    samples = 1 - _uniform(boost_key, 0.0, 1.0, dtype=dtype, **_unit)
    boost = lax.select(needs_no_boost, one, lax.pow(samples, lax.div(one, alpha)))
    return lax.mul(lax.mul(d, v), boost)


def random_gamma(keys: Any, a: Any, *, log_space: bool) -> Any:
    """Samples of `a`'s shape; every element gets a key split off its batch's key."""
    per_key = math.prod(a.shape[keys.ndim :])
    flat_keys = lax.reshape(keys, (math.prod(keys.shape),))
    split = vmap(lambda key: split_key(key, per_key))(flat_keys)
    element_keys = lax.reshape(split, (math.prod(a.shape),))
    alphas = lax.reshape(a, (math.prod(a.shape),))
    samples = vmap(lambda key, alpha: _sample_one(key, alpha, log_space))(element_keys, alphas)
    return lax.reshape(samples, a.shape)


def _expand_random_gamma(words: Any, a: Any, *, log_space: bool) -> Any:
    return random_gamma(wrap_words(words, "fry"), a, log_space=log_space)


def random_gamma_jvp(g: Any, ans: Any, keys: Any, a: Any, *, log_space: bool) -> Any:
    sample, scale = ans, None
    if log_space:  # d log(s) = ds / s; a sample that rounds to 0 counts as the smallest float
        sample = lax.exp(ans)
        tiny = lax.full_like(sample, dtypes.finfo(sample.dtype).tiny)
        sample = lax.select(lax.eq(sample, const(sample, 0)), tiny, sample)
        scale = sample
    grad = lax.random_gamma_grad(a, sample)
    return g * (grad if scale is None else grad / scale)


def random_gamma_batch(args: Any, dims: Any, *, log_space: bool) -> tuple[Any, int]:
    size = next(x.shape[d] for x, d in zip(args, dims) if d is not batching.not_mapped)
    keys, a = (batching.bdim_at_front(x, d, size) for x, d in zip(args, dims))
    return random_gamma_p.bind(keys, a, log_space=log_space), 0


random_gamma_p.impl = random_gamma
expand.RULES["random_gamma"] = _expand_random_gamma
ad.defjvp2(random_gamma_p, None, random_gamma_jvp)
batching.primitive_batchers[random_gamma_p] = random_gamma_batch


def gamma(
    key: Any, a: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Gamma floats of concentration `a` and rate 1.

    Args:
      key: a single key.
      a: concentration, positive.
      shape: of the result; `a`'s by default.
      dtype: floating.
    """
    return _checked_gamma("gamma", key, a, shape, dtype, out_sharding, False)


def loggamma(
    key: Any, a: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Logarithms of gamma floats: exact where `gamma` underflows to 0 (small `a`)."""
    return _checked_gamma("loggamma", key, a, shape, dtype, out_sharding, True)


def _checked_gamma(
    name: str, key: Any, a: Any, shape: Any, dtype: Any, out_sharding: Any, log_space: bool
) -> Any:
    key = one_key(name, key)
    check_no_sharding(name, out_sharding)
    dtype = float_dtype("gamma", dtype)
    shape = None if shape is None else canonicalize_shape(shape)
    return _gamma(key, a, shape=shape, dtype=dtype, log_space=log_space)


@nested_jit(static_argnames=("shape", "dtype", "log_space"))
def _gamma(key: Any, a: Any, shape: Any, dtype: Any, log_space: bool = False) -> Any:
    if shape is None:
        shape = np.shape(a)
    else:
        check_shape("gamma", shape, np.shape(a))
    a = lax.convert_element_type(a, dtype)
    if np.shape(a) != shape:
        a = jnp.broadcast_to(a, shape)
    return random_gamma_p.bind(key, a, log_space=log_space)


def _with_params(
    name: str, key: Any, shape: Any, dtype: Any, out_sharding: Any, *params: Any
) -> tuple[Any, Any, Any]:
    key = one_key(name, key)
    check_no_sharding(name, out_sharding)
    dtype = float_dtype(name, dtype)
    check_safe_to_cast(name, dtype, *params)
    return key, check_broadcast_shapes(name, shape, *params), dtype


def beta(
    key: Any, a: Any, b: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Beta floats."""
    key, shape, dtype = _with_params("beta", key, shape, dtype, out_sharding, a, b)
    return _beta(key, a, b, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _beta(key: Any, a: Any, b: Any, shape: Any, dtype: Any) -> Any:
    a, b = lax.convert_element_type(a, dtype), lax.convert_element_type(b, dtype)
    key_a, key_b = split_key(key)
    log_a = loggamma(key_a, jnp.broadcast_to(a, shape), shape, dtype)
    log_b = loggamma(key_b, jnp.broadcast_to(b, shape), shape, dtype)
    largest = lax.max(log_a, log_b)
    scaled_a, scaled_b = jnp.exp(log_a - largest), jnp.exp(log_b - largest)
    return scaled_a / (scaled_a + scaled_b)


def dirichlet(
    key: Any, alpha: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Dirichlet vectors along the last axis; `shape` is the batch shape before it."""
    key = one_key("dirichlet", key)
    check_no_sharding("dirichlet", out_sharding)
    dtype = float_dtype("dirichlet", dtype)
    shape = None if shape is None else canonicalize_shape(shape)
    return _dirichlet(key, alpha, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _dirichlet(key: Any, alpha: Any, shape: Any, dtype: Any) -> Any:
    if np.ndim(alpha) < 1:
        raise ValueError(f"dirichlet requires alpha.ndim >= 1, got alpha.ndim == {np.ndim(alpha)}")
    if shape is None:
        shape = np.shape(alpha)[:-1]
    else:
        check_shape("dirichlet", shape, np.shape(alpha)[:-1])
    alpha = lax.convert_element_type(alpha, dtype)
    logs = loggamma(key, alpha, shape + np.shape(alpha)[-1:], dtype)
    shifted = jnp.exp(logs - lax.stop_gradient(logs.max(-1, keepdims=True)))
    return shifted / shifted.sum(-1, keepdims=True)


def chisquare(
    key: Any, df: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Chi-square floats of `df` degrees of freedom."""
    key, shape, dtype = _with_params("chisquare", key, shape, dtype, out_sharding, df)
    return _chisquare(key, df, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _chisquare(key: Any, df: Any, shape: Any, dtype: Any) -> Any:
    df = lax.convert_element_type(df, dtype)
    two = const(df, 2)
    return lax.mul(jnp.exp(loggamma(key, lax.div(df, two), shape, dtype)), two)


def f(
    key: Any, dfnum: Any, dfden: Any, shape: Any = None, dtype: Any = None, *,
    out_sharding: Any = None,
) -> Any:  # fmt: skip
    """F-distributed floats."""
    key, shape, dtype = _with_params("f", key, shape, dtype, out_sharding, dfnum, dfden)
    return _f(key, dfnum, dfden, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _f(key: Any, dfnum: Any, dfden: Any, shape: Any, dtype: Any) -> Any:
    dfden = lax.convert_element_type(dfden, dtype)
    dfnum = lax.convert_element_type(dfnum, dtype)
    den_key, num_key = split_key(key)
    num = lax.div(chisquare(num_key, dfnum, shape, dtype), dfnum)
    return lax.div(num, lax.div(chisquare(den_key, dfden, shape, dtype), dfden))


def t(key: Any, df: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Student-t floats of `df` degrees of freedom."""
    key, shape, dtype = _with_params("t", key, shape, dtype, out_sharding, df)
    return _t(key, df, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _t(key: Any, df: Any, shape: Any, dtype: Any) -> Any:
    df = lax.convert_element_type(df, dtype)
    normal_key, gamma_key = split_key(key)
    numbers = normal(normal_key, shape, dtype)
    half = lax.div(df, const(numbers, 2))
    return numbers * jnp.sqrt(half / gamma(gamma_key, half, shape, dtype))


def generalized_normal(
    key: Any, p: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Floats of density proportional to exp(-|x|**p)."""
    key, shape = one_key("generalized_normal", key), canonicalize_shape(shape)
    check_no_sharding("generalized_normal", out_sharding)
    dtype = dtypes.check_user_dtype(float if dtype is None else dtype, "generalized_normal")
    return _generalized_normal(key, p, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _generalized_normal(key: Any, p: Any, shape: Any, dtype: Any) -> Any:
    gamma_key, sign_key = split_key(key)
    magnitude = gamma(gamma_key, 1 / p, shape, dtype)
    return rademacher(sign_key, shape, dtype) * magnitude ** (1 / p)


def ball(
    key: Any, d: int, p: float = 2, shape: Any = (), dtype: Any = None, *,
    out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Points uniform in the unit ball of the p-norm in `d` dimensions, along the last axis."""
    key, shape = one_key("ball", key), canonicalize_shape(shape)
    check_no_sharding("ball", out_sharding)
    dtype = dtypes.check_user_dtype(float if dtype is None else dtype, "ball")
    (d,) = canonicalize_shape((d,))
    return _ball(key, p, d=d, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("d", "shape", "dtype"))
def _ball(key: Any, p: Any, d: int, shape: Any, dtype: Any) -> Any:
    direction_key, radius_key = split_key(key)
    g = generalized_normal(direction_key, p, (*shape, d), dtype)
    e = exponential(radius_key, shape, dtype)
    return g / (((jnp.abs(g) ** p).sum(-1) + e) ** (1 / p))[..., None]
