"""Samples from sets and counts: permutations, choices, categories, Poisson, binomial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.core.trace import concrete_or_error
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import check_arraylike, promote_dtypes_inexact
from jaxc.random.arguments import (
    canonicalize_shape,
    check_broadcast_shapes,
    check_no_sharding,
    check_shape,
)
from jaxc.random.continuous import gumbel
from jaxc.random.keys import one_key, random_bits, split_key
from jaxc.random.uniform import randint, uniform


def permutation(
    key: Any, x: Any, axis: int = 0, independent: bool = False, *, out_sharding: Any = None
) -> Any:
    """A random permutation of the integers below `x`, or of an array along one axis.

    Args:
      key: a single key.
      x: a concrete integer or an array.
      axis: the axis to permute along.
      independent: permute every line along the axis by itself.
    """
    key = one_key("permutation", key)
    check_no_sharding("permutation", out_sharding)
    check_arraylike("permutation", x)
    axis = _canonical_axis(axis, np.ndim(x) or 1)
    if not np.ndim(x):
        if not dtypes.issubdtype(dtypes.dtype(x), np.integer):
            raise TypeError("x must be an integer or at least 1-dimensional")
        count = concrete_or_error(int, x, "argument x of jax.random.permutation()")
        return _shuffle(key, jnp.arange(count), axis=axis)
    if independent or np.ndim(x) == 1:
        return _shuffle(key, x, axis=axis)
    order = _shuffle(key, jnp.arange(np.shape(x)[axis]), axis=0)
    return jnp.take(x, order, axis, unique_indices=True)


def _canonical_axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of bounds for array of dimension {ndim}")
    return axis % ndim


@nested_jit(static_argnames=("axis",))
def _shuffle(key: Any, x: Any, axis: int) -> Any:
    # Sorting by random words shuffles, up to words that collide; enough rounds make it unlikely
    # that two elements collide in all of them.
    size = math.prod(np.shape(x))
    rounds = int(np.ceil(3 * np.log(max(1, size)) / np.log(np.iinfo(np.uint32).max)))
    for _ in range(rounds):
        key, subkey = split_key(key)
        _, x = lax.sort_key_val(random_bits(subkey, 32, np.shape(x)), x, axis)
    return x


def choice(
    key: Any,
    a: Any,
    shape: Sequence[int] = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    mode: str | None = None,
) -> Any:
    """Random elements of an array, or of the integers below `a`.

    Args:
      key: a single key.
      a: a concrete integer or an array.
      shape: of the draws; it takes the place of `axis` in the result's shape.
      replace: draw with replacement.
      p: probabilities of the elements; uniform by default.
      axis: the axis to draw along.
      mode: `gumbel`'s mode, used without replacement and with probabilities.
    """
    key = one_key("choice", key)
    if not isinstance(shape, Sequence):
        raise TypeError(f"shape argument of jax.random.choice must be a sequence, got {shape}")
    check_arraylike("choice", a)
    arr = jnp.asarray(a)
    if arr.ndim == 0:
        inputs = concrete_or_error(int, a, "The error occurred in jax.random.choice()")
    else:
        axis = _canonical_axis(axis, arr.ndim)
        inputs = arr.shape[axis]
    draws = math.prod(shape)
    if draws == 0:
        return jnp.zeros(shape, dtype=arr.dtype)
    if inputs <= 0:
        raise ValueError("a must be greater than 0 unless no samples are taken")
    if not replace and draws > inputs:
        raise ValueError(
            f"Cannot take a larger sample (size {draws}) than population (size {inputs}) when "
            "'replace=False'"
        )
    if p is None and not replace:
        index = (slice(None),) * axis + (slice(draws),)
        result = permutation(key, inputs if arr.ndim == 0 else arr, axis)[index]
    else:
        drawn = _draw(key, inputs, tuple(shape), draws, replace, p, mode)
        result = drawn if arr.ndim == 0 else jnp.take(arr, drawn, axis)
    if arr.ndim == 0:
        return result.reshape(shape)
    return result.reshape(arr.shape[:axis] + tuple(shape) + arr.shape[axis + 1 :])


def _draw(
    key: Any, inputs: int, shape: Any, draws: int, replace: bool, p: Any, mode: str | None
) -> Any:
    """Indices below `inputs`."""
    if p is None:
        return randint(key, shape, 0, inputs)
    check_arraylike("choice", p)
    (probabilities,) = promote_dtypes_inexact(jnp.asarray(p))
    if probabilities.shape != (inputs,):
        raise ValueError(
            "p must be None or a 1D vector with the same size as a.shape[axis]. p has shape "
            f"{probabilities.shape} and a.shape[axis] is {inputs}."
        )
    if replace:
        cumulative = jnp.cumsum(probabilities)
        r = cumulative[-1] * (1 - uniform(key, shape, dtype=cumulative.dtype))
        return jnp.searchsorted(cumulative, r).astype(int)
    # The largest of log-probabilities plus Gumbel noise are a sample without replacement.
    noise = gumbel(key, (inputs,), dtype=probabilities.dtype, mode=mode)
    return lax.top_k(noise + jnp.log(probabilities), k=draws)[1].astype(int)


def categorical(
    key: Any,
    logits: Any,
    axis: int = -1,
    shape: Any = None,
    replace: bool = True,
    mode: str | None = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Category numbers with probabilities softmax(logits).

    Args:
      key: a single key.
      logits: unnormalized log-probabilities.
      axis: the axis of the categories.
      shape: of the result; it ends with the logits' shape without `axis`, the default.
      replace: draw with replacement.
      mode: `gumbel`'s mode.
    """
    key = one_key("categorical", key)
    check_no_sharding("categorical", out_sharding)
    check_arraylike("categorical", logits)
    logits = jnp.asarray(logits)
    batch = tuple(np.delete(logits.shape, axis).tolist())
    if shape is None:
        shape = batch
    else:
        shape = canonicalize_shape(shape)
        check_shape("categorical", shape, batch)
    prefix = shape[: len(shape) - len(batch)]
    if not replace:
        return _categories_without_replacement(key, logits, axis, shape, prefix, mode)
    if axis >= 0:
        axis -= logits.ndim
    drawn = list(shape[len(prefix) :])
    drawn.insert(axis % logits.ndim, logits.shape[axis])
    noise = gumbel(key, (*prefix, *drawn), logits.dtype, mode=mode)
    return jnp.argmax(noise + lax.expand_dims(logits, tuple(range(len(prefix)))), axis=axis)


def _categories_without_replacement(
    key: Any, logits: Any, axis: int, shape: Any, prefix: Any, mode: str | None
) -> Any:
    logits = logits + gumbel(key, logits.shape, logits.dtype, mode=mode)
    count = math.prod(prefix)
    if count > logits.shape[axis]:
        raise ValueError(
            f"Number of samples without replacement ({count}) cannot exceed number of categories "
            f"({logits.shape[axis]})."
        )
    _, indices = lax.top_k(jnp.moveaxis(logits, axis, -1), count)
    return lax.reshape(indices, shape, (indices.ndim - 1, *range(indices.ndim - 1)))


def geometric(
    key: Any, p: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Number of trials up to the first success of probability `p`."""
    key = one_key("geometric", key)
    check_no_sharding("geometric", out_sharding)
    dtype = dtypes.check_user_dtype(int if dtype is None else dtype, "geometric")
    if not dtypes.issubdtype(dtype, np.integer):
        raise ValueError(f"dtype argument to `geometric` must be an int dtype, got {dtype}")
    shape = check_broadcast_shapes("geometric", shape, p)
    return _geometric(key, p, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("shape", "dtype"))
def _geometric(key: Any, p: Any, shape: Any, dtype: Any) -> Any:
    check_arraylike("geometric", p)
    (p,) = promote_dtypes_inexact(jnp.asarray(p))
    u = uniform(key, shape, p.dtype)
    log_u = lax.log(jnp.where(u == 0, 1, u))
    log_failure = jnp.broadcast_to(lax.log1p(-p), shape)
    return (lax.floor(lax.div(log_u, log_failure)) + 1).astype(dtype)
