"""Sums, products and extrema of the elements that share a segment number."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.core.trace import concrete_or_error
from jaxc.numpy.promotion import check_arraylike


def _identity(reduction: str, dtype: Any) -> Any:
    """What a segment without elements gives."""
    if reduction in ("sum", "prod"):
        return np.asarray(0 if reduction == "sum" else 1, dtype)
    if dtypes.issubdtype(dtype, np.inexact):
        return np.asarray(np.inf if reduction == "min" else -np.inf, dtype)
    if dtype == np.bool_:
        return np.asarray(reduction == "min")
    info = dtypes.iinfo(dtype)
    return np.asarray(info.max if reduction == "min" else info.min, dtype)


# Of `lax.<name>` and `lax.scatter_<name>`.
_NAMES = {"sum": "add", "prod": "mul", "min": "min", "max": "max"}


def _segment(
    reduction: str,
    data: Any,
    segment_ids: Any,
    num_segments: int | None,
    indices_are_sorted: bool,
    unique_indices: bool,
    bucket_size: int | None,
    mode: Any,
) -> Any:
    check_arraylike(f"segment_{reduction}", data, segment_ids)
    data, segment_ids = jnp.asarray(data), jnp.asarray(segment_ids)
    if num_segments is None:
        num_segments = concrete_or_error(
            int,
            jnp.max(segment_ids) + 1,
            f"segment_{reduction}() `num_segments` argument, required under a transformation.",
        )
    num_segments = int(num_segments)
    if num_segments < 0:
        raise ValueError("num_segments must be non-negative.")
    shape = (num_segments, *data.shape[segment_ids.ndim :])
    start = jnp.full(shape, _identity(reduction, data.dtype), data.dtype)

    def reduce(data: Any, ids: Any) -> Any:
        batch = ids.ndim
        numbers = lax.ScatterDimensionNumbers(
            update_window_dims=tuple(range(batch, data.ndim)),
            inserted_window_dims=(0,),
            scatter_dims_to_operand_dims=(0,),
        )
        return getattr(lax, f"scatter_{_NAMES[reduction]}")(
            start,
            lax.expand_dims(ids, (batch,)),
            data,
            numbers,
            indices_are_sorted=indices_are_sorted,
            unique_indices=unique_indices,
            mode=lax.GatherScatterMode.FILL_OR_DROP if mode is None else mode,
        )

    if bucket_size is None:
        return reduce(data, segment_ids)
    starts = range(0, max(segment_ids.shape[0], 1), bucket_size)
    parts = [reduce(data[i : i + bucket_size], segment_ids[i : i + bucket_size]) for i in starts]
    result = parts[0]
    for part in parts[1:]:
        result = getattr(lax, _NAMES[reduction])(result, part)
    return result.astype(data.dtype)


def segment_sum(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
) -> Any:
    """Sum of the elements of every segment.

    Args:
      data: elements along the leading axis.
      segment_ids: integer segment of each element; those outside the range are dropped.
      num_segments: number of segments; under a transformation it must be given.
      indices_are_sorted: promise that `segment_ids` is sorted.
      unique_indices: promise that it has no duplicates.
      bucket_size: add up this many elements at a time, for accuracy.
      mode: what is done with segments out of range.

    >>> import jaxc as jax
    >>> ids = jax.numpy.array([0, 0, 1])
    >>> jax.ops.segment_sum(jax.numpy.arange(3), ids, num_segments=2)
    Array([1, 2], dtype=int32)
    """
    flags = (indices_are_sorted, unique_indices, bucket_size, mode)
    return _segment("sum", data, segment_ids, num_segments, *flags)


def segment_prod(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
) -> Any:
    """Product of the elements of every segment; arguments as `segment_sum`."""
    flags = (indices_are_sorted, unique_indices, bucket_size, mode)
    return _segment("prod", data, segment_ids, num_segments, *flags)


def segment_max(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
) -> Any:
    """Maximum of every segment, the smallest value for empty ones; arguments as `segment_sum`."""
    flags = (indices_are_sorted, unique_indices, bucket_size, mode)
    return _segment("max", data, segment_ids, num_segments, *flags)


def segment_min(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
) -> Any:
    """Minimum of every segment, the largest value for empty ones; arguments as `segment_sum`."""
    flags = (indices_are_sorted, unique_indices, bucket_size, mode)
    return _segment("min", data, segment_ids, num_segments, *flags)
