"""Poisson, binomial and multinomial counts: rejection loops over whole arrays.

Small means are counted by inversion (one uniform per event), large ones by Hormann's transformed
rejection ("The transformed rejection method for generating Poisson random variables", 1993, and
"The generation of binomial random variates", 1993).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import check_arraylike, promote_dtypes_inexact
from jaxc.random.arguments import (
    canonicalize_shape,
    check_no_sharding,
    check_shape,
    const,
    float_dtype,
)
from jaxc.random.keys import one_key, split_key
from jaxc.random.uniform import uniform


def poisson(
    key: Any, lam: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Poisson counts.

    Args:
      key: a single key.
      lam: rates.
      shape: of the result; the rates' by default.
      dtype: integer; int32 by default (int64 with x64).
    """
    key = one_key("poisson", key)
    check_no_sharding("poisson", out_sharding)
    dtype = dtypes.check_user_dtype(int if dtype is None else dtype, "poisson")
    shape = np.shape(lam) if shape is None else canonicalize_shape(shape)
    lam = lax.convert_element_type(jnp.broadcast_to(lam, shape), np.dtype(np.float32))
    return _poisson(key, lam, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _poisson(key: Any, lam: Any, shape: Any, dtype: Any) -> Any:
    small = lax.ne(lam, lam) | (lam < 10)
    small_lam = lax.select(small, lam, lax.full_like(lam, 0.0))
    large_lam = lax.select(small, lax.full_like(lam, 100000.0), lam)
    limit = dtype.type(dtypes.iinfo(dtype).max)
    counted = _poisson_knuth(key, small_lam, shape=shape, dtype=dtype, max_iters=limit)
    drawn = _poisson_rejection(key, large_lam, shape=shape, dtype=dtype, max_iters=limit)
    result = lax.select(small, counted, drawn)
    return lax.select(lam == 0, jnp.zeros_like(result), result)


@nested_jit(static_argnames=("shape", "dtype", "max_iters"))
def _poisson_knuth(key: Any, lam: Any, shape: Any, dtype: Any, max_iters: Any) -> Any:
    f32 = np.dtype(np.float32)

    def body(carry: Any) -> Any:
        i, k, key, log_product = carry
        key, subkey = split_key(key)
        k = lax.select(log_product > -lam, k + 1, k)
        return i + 1, k, key, log_product + jnp.log(uniform(subkey, shape, f32))

    def cond(carry: Any) -> Any:
        return (carry[3] > -lam).any() & (carry[0] < max_iters)

    start = (0, lax.full_like(lam, 0, dtype, shape), key, lax.full_like(lam, 0, f32, shape))
    return (lax.while_loop(cond, body, start)[1] - 1).astype(dtype)


@nested_jit(static_argnames=("shape", "dtype", "max_iters"))
def _poisson_rejection(key: Any, lam: Any, shape: Any, dtype: Any, max_iters: Any) -> Any:
    log_lam = lax.log(lam)
    b = 0.931 + 2.53 * lax.sqrt(lam)
    a = -0.059 + 0.02483 * b
    inv_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)

    def body(carry: Any) -> Any:
        i, k_out, accepted, key = carry
        key, u_key, v_key = split_key(key, 3)
        u = uniform(u_key, shape, lam.dtype) - 0.5
        v = uniform(v_key, shape, lam.dtype)
        us = 0.5 - abs(u)
        k = lax.floor((2 * a / us + b) * u + lam + 0.43)
        s = lax.log(v * inv_alpha / (a / (us * us) + b))
        log_density = -lam + k * log_lam - lax.lgamma(k + 1)
        at_once = (us >= 0.07) & (v <= v_r)
        reject = (k < 0) | ((us < 0.013) & (v > us))
        accept = at_once | (~reject & (s <= log_density))
        return i + 1, lax.select(accept, k, k_out), accepted | accept, key

    def cond(carry: Any) -> Any:
        return (~carry[2]).any() & (carry[0] < max_iters)

    none = lax.full_like(lam, False, np.dtype(bool), shape)
    start = (0, lax.full_like(lam, -1, lam.dtype, shape), none, key)
    return lax.while_loop(cond, body, start)[1].astype(dtype)


def binomial(key: Any, n: Any, p: Any, shape: Any = None, dtype: Any = None) -> Any:
    """Binomial counts, as floats.

    Args:
      key: a single key.
      n: numbers of trials.
      p: probabilities of success.
      shape: of the result; the parameters' common shape by default.
      dtype: floating.
    """
    key = one_key("binomial", key)
    check_arraylike("binomial", n, p)
    dtype = float_dtype("binomial", dtype)
    if shape is None:
        shape = jnp.broadcast_shapes(np.shape(n), np.shape(p))
    else:
        shape = canonicalize_shape(shape)
        check_shape("binomial", shape, np.shape(n), np.shape(p))
    (p,) = promote_dtypes_inexact(jnp.asarray(p))
    n = jnp.broadcast_to(lax.convert_element_type(n, p.dtype), shape)
    return _binomial(key, n, jnp.broadcast_to(p, shape), shape, dtype)


def _binomial(key: Any, n: Any, p: Any, shape: Any, dtype: Any) -> Any:
    below_half = p < 0.5
    q = lax.select(below_half, p, 1.0 - p)
    bad_n = lax.ne(n, n) | (n < 0.0)
    infinite = jnp.isinf(n)
    q_nan, q_negative = lax.ne(q, q), q < 0.0
    q = lax.select(q_nan | q_negative, lax.full_like(q, 0.01), q)
    small = bad_n | (n * q <= 10.0)
    n = jnp.floor(n)
    small_n = lax.select(small, n, lax.full_like(n, 0.0))
    large_n = lax.select(small, lax.full_like(n, 10000.0), n)
    large_q = lax.select(small, lax.full_like(q, 0.5), q)
    limit = dtype.type(dtypes.finfo(dtype).max)
    counted = _binomial_inversion(key, small_n, q, shape, dtype, limit)
    drawn = _binomial_rejection(key, large_n, large_q, shape, dtype, limit)
    samples = lax.select(small, counted, drawn)
    invalid = q_negative | q_nan | bad_n
    samples = lax.select(invalid, jnp.full_like(samples, np.nan, dtype), samples)
    samples = lax.select(infinite & ~invalid, jnp.full_like(samples, np.inf, dtype), samples)
    direct = below_half | bad_n | q_nan | infinite
    return lax.select(direct, samples, n.astype(dtype) - samples)


def _binomial_inversion(key: Any, n: Any, p: Any, shape: Any, dtype: Any, max_iters: Any) -> Any:
    """Counts how many geometric waiting times fit into n trials."""
    log_failure = jnp.log1p(-p)

    def body(carry: Any) -> Any:
        i, count, trials, key = carry
        subkey, key = split_key(key)
        count = lax.select(trials <= n, count + 1, count)
        waited = jnp.ceil(jnp.log(uniform(subkey, shape, p.dtype)) / log_failure)
        return i + 1, count, trials + waited, key

    def cond(carry: Any) -> Any:
        return (carry[2] <= n).any() & (carry[0] < max_iters)

    zeros = lax.full_like(p, 0, p.dtype, shape)
    return (lax.while_loop(cond, body, (0, zeros, zeros, key))[1] - 1).astype(dtype)


_STIRLING_TAIL = (
    0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509,
    0.0166446911898211, 0.0138761288230707, 0.0118967099458917, 0.010411265261972,
    0.00925546218271273, 0.00833056343336287,
)  # fmt: skip


def _stirling_tail(k: Any) -> Any:
    """log(k!) minus Stirling's formula: tabled below 10, a series above."""
    table = jnp.array(_STIRLING_TAIL, dtype=k.dtype)
    tabled = k <= 9
    k = lax.clamp(const(k, 0.0), k, const(k, 9.0))
    square = (k + 1) * (k + 1)
    series = (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1)
    return lax.select(tabled, table[jnp.asarray(jnp.floor(k), dtype="int32")], series)


def _binomial_rejection(key: Any, n: Any, p: Any, shape: Any, dtype: Any, max_iters: Any) -> Any:
    deviation = jnp.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c = n * p + 0.5
    v_r = 0.92 - 4.2 / b
    r = p / (1 - p)
    alpha = (2.83 + 5.1 / b) * deviation
    m = jnp.floor((n + 1) * p)

    def log_bound(k: Any) -> Any:
        return (
            (m + 0.5) * jnp.log((m + 1) / (r * (n - m + 1)))
            + (n + 1) * jnp.log((n - m + 1) / (n - k + 1))
            + (k + 0.5) * jnp.log(r * (n - k + 1) / (k + 1))
            + _stirling_tail(m)
            + _stirling_tail(n - m)
            - _stirling_tail(k)
            - _stirling_tail(n - k)
        )

    def body(carry: Any) -> Any:
        i, k_out, accepted, key = carry
        key, u_key, v_key = split_key(key, 3)
        u = uniform(u_key, shape, p.dtype)
        v = uniform(v_key, shape, p.dtype)
        u = u - 0.5
        us = 0.5 - jnp.abs(u)
        at_once = (us >= 0.07) & (v <= v_r)
        k = jnp.floor((2 * a / us + b) * u + c)
        reject = (k < 0) | (k > n)
        v = jnp.log(v * alpha / (a / (us * us) + b))
        accept = at_once | (~reject & (v <= log_bound(k)))
        return i + 1, lax.select(accept, k, k_out), accepted | accept, key

    def cond(carry: Any) -> Any:
        return (~carry[2]).any() & (carry[0] < max_iters)

    start = (0, lax.full_like(p, -1, p.dtype, shape), jnp.full(shape, False, bool), key)
    return lax.while_loop(cond, body, start)[1].astype(dtype)


def multinomial(
    key: Any, n: Any, p: Any, *, shape: Any = None, dtype: Any = None, unroll: int | bool = 1
) -> Any:
    """Counts of outcomes along the last axis.

    Args:
      key: a single key.
      n: numbers of trials, broadcast to `p.shape[:-1]`.
      p: probabilities of the outcomes along the last axis.
      shape: of `p` after broadcasting.
      dtype: floating.
      unroll: of the scan over outcomes.
    """
    key = one_key("multinomial", key)
    check_arraylike("multinomial", n, p)
    n, p = promote_dtypes_inexact(jnp.asarray(n), jnp.asarray(p))
    shape = p.shape if shape is None else tuple(shape)
    n, p = jnp.broadcast_to(n, shape[:-1]), jnp.broadcast_to(p, shape)

    def draw(remaining: Any, ratio_and_key: Any) -> Any:
        ratio, subkey = ratio_and_key
        count = binomial(subkey, remaining, ratio.clip(0, 1), dtype=remaining.dtype)
        return remaining - count, count

    p = jnp.moveaxis(p, -1, 0)
    left = lax.cumsum(p, 0, reverse=True)
    ratios = p / jnp.where(left == 0, 1, left)
    keys = split_key(key, ratios.shape[0])
    _, counts = lax.scan(draw, n, (ratios, keys), unroll=unroll)
    return jnp.moveaxis(counts, 0, -1).astype(float if dtype is None else dtype)
