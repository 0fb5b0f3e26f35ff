"""Parameter initializers: functions `(key, shape, dtype) -> array` and their makers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxc import numpy as jnp
from jaxc import random
from jaxc.core import dtypes
from jaxc.numpy.creation import canonicalize_shape


@runtime_checkable
class Initializer(Protocol):
    """A function that makes a parameter array from a key."""

    def __call__(
        self, key: Any, shape: Sequence[int], dtype: Any = None, out_sharding: Any = None
    ) -> Any: ...


def _default(dtype: Any) -> Any:
    return dtypes.canonicalize_dtype(float if dtype is None else dtype)


def _initializer(fun: Callable[[Any, Any, Any], Any], dtype: Any) -> Initializer:
    """An initializer of `fun(key, shape, dtype)` with a default dtype."""
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = default, out_sharding: Any = None) -> Any:
        if out_sharding is not None:
            raise NotImplementedError("out_sharding is not supported: arrays live on one device")
        return fun(key, shape, _default(dtype))

    return init


def zeros(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
    """Zeros, whatever the key."""
    return jnp.zeros(shape, _default(dtype))


def ones(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
    """Ones, whatever the key."""
    return jnp.ones(shape, _default(dtype))


def constant(value: Any, dtype: Any = None) -> Initializer:
    """An initializer of one value everywhere."""
    return _initializer(lambda key, shape, dtype: jnp.full(shape, value, dtype=dtype), dtype)


def uniform(scale: Any = 1e-2, dtype: Any = None) -> Initializer:
    """Uniform in [0, scale)."""

    def fun(key: Any, shape: Any, dtype: Any) -> Any:
        return random.uniform(key, shape, dtype) * jnp.array(scale, dtype)

    return _initializer(fun, dtype)


def normal(stddev: Any = 1e-2, dtype: Any = None) -> Initializer:
    """Normal with mean 0."""

    def fun(key: Any, shape: Any, dtype: Any) -> Any:
        return random.normal(key, shape, dtype) * jnp.array(stddev, dtype)

    return _initializer(fun, dtype)


def truncated_normal(
    stddev: Any = 1e-2, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Initializer:
    """`stddev` times a standard normal cut to [lower, upper]."""

    def fun(key: Any, shape: Any, dtype: Any) -> Any:
        numbers = random.truncated_normal(key, lower, upper, shape, dtype)
        return numbers * jnp.array(stddev, dtype)

    return _initializer(fun, dtype)


Axes = int | Sequence[int]


def _size_along(shape: Sequence[int], axes: Axes) -> int:
    if isinstance(axes, int):
        return shape[axes]
    return math.prod([shape[axis] for axis in axes])


def _fans(
    shape: Sequence[int], in_axis: Axes, out_axis: Axes, batch_axis: Axes
) -> tuple[float, float]:
    """Inputs and outputs of one unit, the receptive field included."""
    if isinstance(in_axis, int) and in_axis == -2 and len(shape) <= 1:
        raise ValueError(
            f"Can't compute input and output sizes of a {len(shape)}-dimensional weights tensor "
            "with default in_axis. Must be at least 2D or specify in_axis explicitly."
        )
    inputs, outputs = _size_along(shape, in_axis), _size_along(shape, out_axis)
    field = math.prod(shape) / inputs / outputs / _size_along(shape, batch_axis)
    return inputs * field, outputs * field


_DENOMINATORS = {
    "fan_in": lambda fan_in, fan_out: fan_in,
    "fan_out": lambda fan_in, fan_out: fan_out,
    "fan_avg": lambda fan_in, fan_out: (fan_in + fan_out) / 2,
    "fan_geo_avg": lambda fan_in, fan_out: (fan_in * fan_out) ** 0.5,
}
# Deviations of a (complex) standard normal cut at 2.
_CUT_REAL = 0.87962566103423978
_CUT_COMPLEX = 0.95311164380491208


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Initializer:
    """An initializer of variance `scale / n`.

    Args:
      scale: positive.
      mode: what n is: "fan_in", "fan_out", "fan_avg" or "fan_geo_avg".
      distribution: "truncated_normal", "normal" or "uniform".
      in_axis: axes of the inputs.
      out_axis: axes of the outputs.
      batch_axis: axes to leave out.
      dtype: default of the initializer.
    """

    def fun(key: Any, shape: Any, dtype: Any) -> Any:
        shape = canonicalize_shape(shape)
        fans = _fans(shape, in_axis, out_axis, batch_axis)
        if mode not in _DENOMINATORS:
            raise ValueError(f"invalid mode for variance scaling initializer: {mode}")
        variance = jnp.array(scale / _DENOMINATORS[mode](*fans), dtype=dtype)
        return _of_variance(key, shape, dtype, variance, distribution)

    return _initializer(fun, dtype)


def _of_variance(key: Any, shape: Any, dtype: Any, variance: Any, distribution: str) -> Any:
    real = dtypes.issubdtype(dtype, np.floating)
    if distribution == "normal":
        return random.normal(key, shape, dtype) * jnp.sqrt(variance)
    if distribution == "uniform":
        if real:
            return random.uniform(key, shape, dtype, -1) * jnp.sqrt(3 * variance)
        return _complex_uniform(key, shape, dtype) * jnp.sqrt(variance)
    if distribution != "truncated_normal":
        raise ValueError(f"invalid distribution for variance scaling initializer: {distribution}")
    stddev = jnp.sqrt(variance) / jnp.array(_CUT_REAL if real else _CUT_COMPLEX, dtype)
    if real:
        return random.truncated_normal(key, -2, 2, shape, dtype) * stddev
    return _complex_truncated_normal(key, 2, shape, dtype) * stddev


def _complex_uniform(key: Any, shape: Any, dtype: Any) -> Any:
    """Uniform in the disc of radius sqrt(2)."""
    radius_key, angle_key = random.split(key)
    part = np.zeros((), dtype).real.dtype
    radius = jnp.sqrt(2 * random.uniform(radius_key, shape, part)).astype(dtype)
    angle = 2 * np.pi * random.uniform(angle_key, shape, part).astype(dtype)
    return radius * jnp.exp(1j * angle)


def _complex_truncated_normal(key: Any, upper: Any, shape: Any, dtype: Any) -> Any:
    radius_key, angle_key = random.split(key)
    part = np.zeros((), dtype).real.dtype
    inside = 1 - jnp.exp(jnp.array(-(upper**2), dtype))
    t = inside * random.uniform(radius_key, shape, part).astype(dtype)
    radius = jnp.sqrt(-jnp.log(1 - t))
    angle = 2 * np.pi * random.uniform(angle_key, shape, part).astype(dtype)
    return radius * jnp.exp(1j * angle)


def _scaled(scale: float, mode: str, distribution: str, name: str, what: str) -> Any:
    def make(
        in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
    ) -> Initializer:
        axes = {"in_axis": in_axis, "out_axis": out_axis, "batch_axis": batch_axis}
        return variance_scaling(scale, mode, distribution, **axes, dtype=dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = what
    return make


glorot_uniform = _scaled(
    1.0, "fan_avg", "uniform", "glorot_uniform", "Uniform of variance 2 / (fan_in + fan_out)."
)
glorot_normal = _scaled(
    1.0,
    "fan_avg",
    "truncated_normal",
    "glorot_normal",
    "Truncated normal of variance 2 / (fan_in + fan_out).",
)
lecun_uniform = _scaled(
    1.0, "fan_in", "uniform", "lecun_uniform", "Uniform of variance 1 / fan_in."
)
lecun_normal = _scaled(
    1.0, "fan_in", "truncated_normal", "lecun_normal", "Truncated normal of variance 1 / fan_in."
)
he_uniform = _scaled(2.0, "fan_in", "uniform", "he_uniform", "Uniform of variance 2 / fan_in.")
he_normal = _scaled(
    2.0, "fan_in", "truncated_normal", "he_normal", "Truncated normal of variance 2 / fan_in."
)
xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An initializer of uniformly random orthogonal matrices.

    Args:
      scale: factor.
      column_axis: the axis of the columns; the others are flattened into rows.
      dtype: default of the initializer.
    """

    def fun(key: Any, shape: Any, dtype: Any) -> Any:
        if len(shape) < 2:
            raise ValueError("orthogonal initializer requires at least a 2D shape")
        if 0 in shape:
            return jnp.zeros(shape, dtype=dtype)
        columns = shape[column_axis]
        q = random.orthogonal(key, math.prod(shape) // columns, (), dtype, columns)
        rows = tuple(np.delete(shape, column_axis).tolist())
        return jnp.array(scale, dtype) * jnp.moveaxis(
            jnp.reshape(q, (*rows, columns)), -1, column_axis
        )

    return _initializer(fun, dtype)


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An initializer of convolution kernels: orthogonal at the centre, zero elsewhere."""

    def fun(key: Any, shape: Any, dtype: Any) -> Any:
        if len(shape) not in (3, 4, 5):
            raise ValueError("Delta orthogonal initializer requires a 3D, 4D or 5D shape.")
        if shape[-1] < shape[-2]:
            raise ValueError("`fan_in` must be less or equal than `fan_out`. ")
        matrix = orthogonal(scale, column_axis, dtype)(key, shape[-2:])
        centre = tuple((size - 1) // 2 for size in shape[:-2])
        return jnp.zeros(shape, dtype=dtype).at[(*centre, ...)].set(matrix)

    return _initializer(fun, dtype)
