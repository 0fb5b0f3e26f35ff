"""Sorting: sort, sort_key_val, top_k. Owns their rules. Must not import jaxc.numpy."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.lax.indexing import gather
from jaxc.lax.shape import (
    broadcast_in_dim,
    broadcasted_iota,
    canonicalize_axis,
    expand_dims,
    ndim_of,
    reshape,
    shape_of,
)
from jaxc.lax.unary import neg
from jaxc.transforms import ad, batching
from jaxc_compiler.opset.params import GatherDimensionNumbers

sort_p = primitive("sort")
top_k_p = primitive("top_k")


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """The operand, or several at once, in ascending order along one dimension.

    Args:
      operand: an array, or a sequence of arrays of one shape that are put in one order.
      dimension: which to sort along.
      is_stable: keep equal keys in their order.
      num_keys: how many of the operands are compared, the first one first.

    Returns:
      An array, or a tuple of arrays for a sequence. NaN comes last.

    Example:
      >>> from jaxc import lax
      >>> import jaxc.numpy as jnp
      >>> [x.tolist() for x in lax.sort((jnp.array([2, 1]), jnp.array([5, 6])))]
      [[1, 2], [6, 5]]
    """
    if not isinstance(operand, Sequence):
        if num_keys != 1:
            raise ValueError(f"{num_keys=} must equal 1 for a single operand.")
        dimension = canonicalize_axis(dimension, ndim_of(operand))
        return sort_p.bind(operand, dimension=dimension, is_stable=is_stable, num_keys=1)[0]
    if len(operand) == 0:
        raise TypeError("Sort requires at least one operand")
    if not 1 <= num_keys <= len(operand):
        raise ValueError(f"{num_keys=} must be between 1 and len(operand)={len(operand)}")
    dimension = canonicalize_axis(dimension, ndim_of(operand[0]))
    outs = sort_p.bind(*operand, dimension=dimension, is_stable=is_stable, num_keys=num_keys)
    return tuple(outs)


def sort_key_val(keys: Any, values: Any, dimension: int = -1, is_stable: bool = True) -> Any:
    """`keys` in ascending order along a dimension, and `values` in the same order."""
    dimension = canonicalize_axis(dimension, ndim_of(keys))
    out = sort_p.bind(keys, values, dimension=dimension, is_stable=is_stable, num_keys=1)
    return tuple(out)


def top_k(operand: Any, k: int, *, axis: int = -1) -> Any:
    """The k greatest elements along an axis, greatest first, and their indices.

    Raises:
      ValueError: if k is negative or larger than the axis.
    """
    k = operator.index(k)
    if k < 0:
        raise ValueError(f"k argument to top_k must be nonnegative, got {k}")
    axis = canonicalize_axis(axis, ndim_of(operand))
    return top_k_p.bind(operand, k=k, axis=axis)


def approx_max_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> Any:
    """The k greatest elements along a dimension and their indices.

    The search is exact, whatever the recall wanted.

    Raises:
      ValueError: if k or `recall_target` is out of range, or the elements are not floating.
      NotImplementedError: if `aggregate_to_topk` is false.
    """
    _check_approximate("approx_max_k", operand, recall_target, aggregate_to_topk)
    return top_k(operand, k, axis=reduction_dimension)


def approx_min_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> Any:
    """The k smallest elements along a dimension and their indices, as `approx_max_k`."""
    _check_approximate("approx_min_k", operand, recall_target, aggregate_to_topk)
    values, places = top_k(neg(operand), k, axis=reduction_dimension)
    return [neg(values), places]


def _check_approximate(name: str, operand: Any, recall_target: float, aggregate: bool) -> None:
    if not dtypes.issubdtype(get_aval(operand).dtype, np.floating):
        raise ValueError(f"{name} takes floating operands, got {get_aval(operand).dtype}")
    if not 0 < recall_target <= 1:
        raise ValueError(f"{name}: recall_target must be in (0, 1], got {recall_target}")
    if not aggregate:
        raise NotImplementedError(f"{name} with aggregate_to_topk=False: partial results")


def _elements_along(ndim: int, axis: int) -> GatherDimensionNumbers:
    """Dimension numbers of taking single elements along one axis, all others in step."""
    others = tuple(d for d in range(ndim) if d != axis)
    return GatherDimensionNumbers((), (axis,), (axis,), others, others)


def _sort_jvp(primals, tangents, *, dimension, is_stable, num_keys):
    shape = shape_of(primals[0])
    index_dtype = np.uint32 if all(d < 2**32 for d in shape) else np.uint64
    places = broadcasted_iota(index_dtype, shape, dimension)
    *outs, order = sort_p.bind(
        *primals, places, dimension=dimension, is_stable=is_stable, num_keys=num_keys
    )
    indices = expand_dims(order, (len(shape),))
    numbers = _elements_along(len(shape), dimension)
    ones = (1,) * len(shape)
    tangents_out = [
        ad.Zero.from_primal_value(out)
        if type(t) is ad.Zero
        else gather(t, indices, numbers, ones, mode="promise_in_bounds")
        for t, out in zip(tangents, outs)
    ]
    return outs, tangents_out


def _sort_batch(args, dims, *, dimension, is_stable, num_keys):
    shape, at = next((shape_of(x), d) for x, d in zip(args, dims) if d is not None)
    kept = [d for d in range(len(shape)) if d != at]
    full = [
        broadcast_in_dim(x, shape, kept) if d is None else batching.moveaxis(x, d, at)
        for x, d in zip(args, dims)
    ]
    dimension += at <= dimension
    outs = sort_p.bind(*full, dimension=dimension, is_stable=is_stable, num_keys=num_keys)
    return outs, [at] * len(outs)


def _top_k_jvp(primals, tangents, *, k, axis):
    values, places = top_k(*primals, k=k, axis=axis)
    zero = ad.Zero.from_primal_value(places)
    if type(tangents[0]) is ad.Zero:
        return [values, places], [ad.Zero.from_primal_value(values), zero]
    ndim = ndim_of(places)
    indices = reshape(places, (*shape_of(places), 1))
    tangent = gather(tangents[0], indices, _elements_along(ndim, axis), (1,) * ndim)
    return [values, places], [tangent, zero]


def _top_k_batch(args, dims, *, k, axis):
    return top_k(args[0], k, axis=axis + (dims[0] <= axis)), [dims[0]] * 2


ad.primitive_jvps[sort_p] = _sort_jvp
ad.primitive_jvps[top_k_p] = _top_k_jvp
batching.primitive_batchers[sort_p] = _sort_batch
batching.primitive_batchers[top_k_p] = _top_k_batch
