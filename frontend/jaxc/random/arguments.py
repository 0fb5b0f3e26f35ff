"""Argument checks the samplers share. Must not import the samplers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.errors import TypePromotionError
from jaxc.numpy.creation import canonicalize_shape

__all__ = [
    "canonicalize_shape",
    "check_broadcast_shapes",
    "check_no_sharding",
    "check_safe_to_cast",
    "check_shape",
    "const",
    "float_dtype",
]


def float_dtype(name: str, dtype: Any) -> Any:
    """The canonical floating dtype of a sampler's results.

    Raises:
      ValueError: for other dtypes.
    """
    found = dtypes.check_user_dtype(float if dtype is None else dtype, name)
    if not dtypes.issubdtype(found, np.floating):
        raise ValueError(f"dtype argument to `{name}` must be a float dtype, got {found}")
    return found


def check_no_sharding(name: str, out_sharding: Any) -> None:
    if out_sharding is not None:
        raise NotImplementedError(
            f"{name}: out_sharding is not supported: arrays live on one device"
        )


def check_shape(name: str, shape: tuple[int, ...], *param_shapes: tuple[int, ...]) -> None:
    """Raises ValueError unless the parameters broadcast to exactly `shape`."""
    if not param_shapes:
        return
    result = lax.broadcast_shapes(shape, *param_shapes)
    if shape != result:
        raise ValueError(
            f"{name}: the parameters' shapes broadcast with the shape argument {shape} give "
            f"{result}; they must give the shape argument itself"
        )


def check_broadcast_shapes(name: str, shape: Sequence[int] | None, *params: Any) -> Any:
    """The result shape: the parameters' common shape, or `shape` if they broadcast to it."""
    shapes = [np.shape(param) for param in params]
    if shape is None:
        return lax.broadcast_shapes(*shapes) if shapes else ()
    found = canonicalize_shape(shape)
    check_shape(name, found, *shapes)
    return found


def check_safe_to_cast(name: str, dtype: Any, *args: Any) -> None:
    """Raises TypePromotionError if an argument has a dtype that `dtype` cannot hold."""
    for arg in args:
        if dtypes.result_type(arg, dtype) != dtype:
            raise TypePromotionError(
                f"In arguments to {name}, cannot safely cast argument of type "
                f"{dtypes.dtype(arg)} to {dtype}"
            )


def const(like: Any, value: Any) -> Any:
    """A scalar of the dtype of `like`, weak if it is: in a jaxpr, a literal."""
    scalar = np.asarray(value, dtypes.dtype(like))[()]
    return scalar.item() if dtypes.is_weakly_typed(like) else scalar
