"""Activation functions and softmax, composed of `numpy` and `lax`."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.core.config import config
from jaxc.numpy.creation import canonicalize_shape
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    check_arraylike,
    ensure_arraylike,
    promote_dtypes_inexact,
)
from jaxc.ops.special import logsumexp
from jaxc.transforms.custom_jvp import custom_jvp
from jaxc.transforms.jit import jnp_jit


@nested_jit
def identity(x: Any) -> Any:
    """`x` as an array."""
    return ensure_arraylike("identity", x)


@custom_jvp
@nested_jit
def relu(x: Any) -> Any:
    """max(x, 0), with derivative 0 at 0.

    >>> import jaxc as jax
    >>> jax.nn.relu(jax.numpy.array([-1.0, 2.0]))
    Array([0., 2.], dtype=float32)
    """
    return jnp.maximum(x, 0)


relu.defjvps(lambda g, ans, x: lax.select(x > 0, g, lax.full_like(g, 0)))


@custom_jvp
@nested_jit
def relu6(x: Any) -> Any:
    """min(max(x, 0), 6)."""
    return jnp.minimum(jnp.maximum(x, 0), 6.0)


relu6.defjvps(lambda g, ans, x: lax.select((x > 0) & (x < 6), g, lax.full_like(g, 0)))


@nested_jit
def squareplus(x: Any, b: Any = 4) -> Any:
    """(x + sqrt(x**2 + b)) / 2."""
    x, b = ensure_arraylike("squareplus", x, b)
    return (x + jnp.sqrt(jnp.square(x) + b)) / 2


@nested_jit
def softplus(x: Any) -> Any:
    """log(1 + exp(x))."""
    return jnp.logaddexp(x, 0)


@nested_jit
def sparse_plus(x: Any) -> Any:
    """0 below -1, x above 1, the parabola (x + 1)**2 / 4 between."""
    x = ensure_arraylike("sparse_plus", x)
    return jnp.where(x <= -1.0, 0.0, jnp.where(x >= 1.0, x, (x + 1.0) ** 2 / 4))


@nested_jit
def soft_sign(x: Any) -> Any:
    """x / (|x| + 1)."""
    x = ensure_arraylike("soft_sign", x)
    return x / (jnp.abs(x) + 1)


@functools.partial(jnp_jit, inline=True)
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return lax.logistic(x)


@nested_jit
def sparse_sigmoid(x: Any) -> Any:
    """The line from 0 at -1 to 1 at 1, constant outside."""
    return 0.5 * jnp.clip(x + 1.0, 0.0, 2.0)


@nested_jit
def silu(x: Any) -> Any:
    """x * sigmoid(x), also called swish."""
    x = ensure_arraylike("silu", x)
    return x * sigmoid(x)


swish = silu


@nested_jit
def mish(x: Any) -> Any:
    """x * tanh(softplus(x))."""
    x = ensure_arraylike("mish", x)
    return x * jnp.tanh(softplus(x))


@nested_jit
def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x))."""
    x = ensure_arraylike("log_sigmoid", x)
    return -softplus(-x)


@nested_jit
def elu(x: Any, alpha: Any = 1.0) -> Any:
    """x above 0, alpha * (exp(x) - 1) below."""
    x = ensure_arraylike("elu", x)
    # The inner `where` keeps exp from overflowing where its value is not used (and its gradient).
    return jnp.where(x > 0, x, alpha * jnp.expm1(jnp.where(x > 0, 0.0, x)))


@nested_jit
def leaky_relu(x: Any, negative_slope: Any = 1e-2) -> Any:
    """x above 0, negative_slope * x below."""
    x = ensure_arraylike("leaky_relu", x)
    return jnp.where(x >= 0, x, negative_slope * x)


@nested_jit
def hard_tanh(x: Any) -> Any:
    """x cut to [-1, 1]."""
    x = ensure_arraylike("hard_tanh", x)
    return jnp.where(x > 1, 1, jnp.where(x < -1, -1, x))


@nested_jit
def celu(x: Any, alpha: Any = 1.0) -> Any:
    """max(x, 0) + alpha * (exp(min(x, 0) / alpha) - 1)."""
    return jnp.maximum(x, 0.0) + alpha * jnp.expm1(jnp.minimum(x, 0.0) / alpha)


@nested_jit
def selu(x: Any) -> Any:
    """Scaled `elu` that keeps mean 0 and variance 1 through layers."""
    alpha = 1.6732632423543772848170429916717
    scale = 1.0507009873554804934193349852946
    return scale * elu(x, alpha)


def gelu(x: Any, approximate: bool = True) -> Any:
    """x times the normal distribution function.

    Args:
      x: array.
      approximate: by tanh, the default, or else by erfc.
    """
    check_arraylike("gelu", x)
    (x,) = promote_dtypes_inexact(jnp.asarray(x))
    if not approximate:
        sqrt_half = np.sqrt(0.5).astype(x.dtype)
        return jnp.array(0.5 * x * lax.erfc(-x * sqrt_half), dtype=x.dtype)
    sqrt_2_over_pi = np.sqrt(2 / np.pi).astype(x.dtype)
    return x * (0.5 * (1.0 + jnp.tanh(sqrt_2_over_pi * (x + 0.044715 * (x**3)))))


@nested_jit(static_argnames=("axis",))
def glu(x: Any, axis: int = -1) -> Any:
    """First half along an axis times the sigmoid of the second half."""
    x = ensure_arraylike("glu", x)
    size = x.shape[axis]
    if size % 2:
        raise AssertionError(f"glu: axis size must be divisible by 2, got {size}")
    values, gates = jnp.split(x, 2, axis)
    return values * sigmoid(gates)


@nested_jit
def hard_sigmoid(x: Any) -> Any:
    """relu6(x + 3) / 6."""
    return relu6(x + 3.0) / 6.0


@nested_jit
def hard_silu(x: Any) -> Any:
    """x * hard_sigmoid(x), also called hard_swish."""
    x = ensure_arraylike("hard_silu", x)
    return x * hard_sigmoid(x)


hard_swish = hard_silu


@custom_jvp
@nested_jit
def log1mexp(x: Any) -> Any:
    """log(1 - exp(-x)), accurate near 0 and far from it."""
    x = ensure_arraylike("log1mexp", x)
    return jnp.where(x < jnp.log(2.0), jnp.log(-jnp.expm1(-x)), jnp.log1p(-jnp.exp(-x)))


log1mexp.defjvps(lambda g, ans, x: g / jnp.expm1(x))


@nested_jit(static_argnames=("axis", "keepdims"))
def logmeanexp(x: Any, axis: Any = None, where: Any = None, keepdims: bool = False) -> Any:
    """log(mean(exp(x))) along axes."""
    total = logsumexp(x, axis=axis, where=where, keepdims=keepdims)
    counted = jnp.ones(np.shape(x), total.dtype)
    return total - jnp.log(jnp.sum(counted, axis=axis, where=where, keepdims=keepdims))


@nested_jit(static_argnames=("axis",))
def log_softmax(x: Any, axis: Any = -1, where: Any = None) -> Any:
    """log(softmax(x)) along an axis; -inf where `where` is False."""
    x = ensure_arraylike("log_softmax", x)
    largest = jnp.max(x, axis, where=where, initial=-np.inf, keepdims=True)
    kept = x if where is None else jnp.where(where, x, -np.inf)
    shifted = kept - lax.stop_gradient(largest)
    total = jnp.sum(jnp.exp(shifted), axis, where=where, keepdims=True)
    result = shifted - jnp.log(total)
    return result if where is None else jnp.where(where, result, -np.inf)


def softmax(x: Any, axis: Any = -1, where: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along an axis; 0 where `where` is False.

    >>> import jaxc as jax
    >>> jax.nn.softmax(jax.numpy.zeros(4))
    Array([0.25, 0.25, 0.25, 0.25], dtype=float32)
    """
    if config.jax_softmax_custom_jvp:
        return _softmax(x, axis, where)
    return _softmax_of_shifted(x, axis, where, -np.inf, lax.stop_gradient)


@functools.partial(custom_jvp, nondiff_argnums=(1,))
def _softmax(x: Any, axis: Any = -1, where: Any = None, initial: Any = -np.inf) -> Any:
    return _softmax_of_shifted(x, axis, where, initial, lambda largest: largest)


def _softmax_of_shifted(x: Any, axis: Any, where: Any, initial: Any, held: Any) -> Any:
    largest = jnp.max(x, axis, where=where, initial=initial, keepdims=True)
    kept = x if where is None else jnp.where(where, x, initial)
    unnormalized = jnp.exp(kept - held(largest))
    result = unnormalized / jnp.sum(unnormalized, axis, where=where, keepdims=True)
    return result if where is None else jnp.where(where, result, 0)


@_softmax.defjvp
def _softmax_jvp(axis: Any, primals: Any, tangents: Any) -> tuple[Any, Any]:
    (x, where, initial), (x_dot, _, _) = primals, tangents
    y = _softmax(x, axis, where, initial)
    return y, y * (x_dot - (y * x_dot).sum(axis, where=where, keepdims=True))


@nested_jit(static_argnames=("axis", "algorithm"))
def standardize(
    x: Any,
    axis: Any = -1,
    mean: Any = None,
    variance: Any = None,
    epsilon: Any = 1e-5,
    where: Any = None,
    *,
    algorithm: str = "fast",
) -> Any:
    """(x - mean) / sqrt(variance + epsilon) along axes.

    Args:
      x: array.
      axis: axes to normalize over.
      mean: computed if not given.
      variance: computed if not given.
      epsilon: added to the variance.
      where: which elements count.
      algorithm: "fast" takes E[x**2] - E[x]**2 for the variance, "stable" E[(x - mean)**2].
    """
    check_arraylike("standardize", x)
    check_arraylike("standardize", mean, variance, where, none_ok=True)
    if mean is None:
        mean = jnp.mean(x, axis, keepdims=True, where=where)
    if variance is None:
        if algorithm == "stable":
            deviation = jnp.square(jnp.subtract(x, mean))
            variance = jnp.mean(deviation, axis, keepdims=True, where=where)
        elif algorithm == "fast":
            second_moment = jnp.mean(jnp.square(x), axis, keepdims=True, where=where)
            variance = jnp.clip(second_moment - jnp.square(mean), 0)
        else:
            raise ValueError(f"Unknown algorithm '{algorithm}'. Expected 'fast' or 'stable'.")
    return jnp.subtract(x, mean) * lax.rsqrt(variance + epsilon)


def one_hot(x: Any, num_classes: int, *, dtype: Any = None, axis: Any = -1) -> Any:
    """Ones at the given positions of a new axis, zeros elsewhere (and for positions outside).

    Args:
      x: integer positions.
      num_classes: length of the new axis.
      dtype: of the result; the default float.
      axis: where the new axis is, or the name of a mapped axis.

    >>> import jaxc as jax
    >>> jax.nn.one_hot(jax.numpy.array([1, 0]), 2)
    Array([[0., 1.],
           [1., 0.]], dtype=float32)
    """
    x = jnp.asarray(x)
    if not dtypes.issubdtype(x.dtype, np.integer):
        warnings.warn(
            f"jax.nn.one_hot input should be integer-typed; got dtype={x.dtype}",
            DeprecationWarning,
            stacklevel=2,
        )
    (num_classes,) = canonicalize_shape((num_classes,))
    dtype = dtypes.canonicalize_dtype(float if dtype is None else dtype)
    return _one_hot(x, num_classes=num_classes, dtype=dtype, axis=axis)


@nested_jit(static_argnames=("num_classes", "dtype", "axis"))
def _one_hot(x: Any, num_classes: int, *, dtype: Any, axis: Any) -> Any:
    if not isinstance(axis, int | np.integer):
        size = lax.axis_size(axis)
        if num_classes != size:
            raise ValueError(
                f"Expected num_classes to match the size of axis {axis}, but {num_classes} != "
                f"{size}"
            )
        return jnp.asarray(x == lax.axis_index(axis), dtype=dtype)
    ndim = x.ndim + 1
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of bounds for array of dimension {ndim}")
    shape = [1] * x.ndim
    shape.insert(axis % ndim, num_classes)
    expanded = lax.expand_dims(x, (axis,))
    classes = lax.broadcasted_iota(x.dtype, shape, axis % ndim)
    return (expanded == classes).astype(dtype)


tanh = jnp.tanh
