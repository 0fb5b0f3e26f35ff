"""Joining and cutting arrays at static places: concatenate, stack, split, pad, slice.

Owns the rules of these primitives of `opset/shape.py` and the public functions. Must not import
jaxc.numpy.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc.core.array import Array
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.lax.shape import (
    as_array,
    broadcast,
    broadcast_in_dim,
    canonicalize_axis,
    concatenate_p,
    const,
    full_like,
    pad_p,
    shape_of,
    slice_p,
    split_p,
    squeeze,
    stack_p,
    unstack_p,
)
from jaxc.transforms import ad, batching


def concatenate(operands: Any, dimension: int) -> Any:
    """The operands, end to end along one dimension.

    Raises:
      ValueError: if there are none.
      TypeError: if their other dimensions or their dtypes differ.
    """
    if len(operands) == 0:
        raise ValueError("concatenate requires a non-empty sequences of arrays")
    if len(operands) == 1 and isinstance(operands[0], Array):
        return operands[0]
    return concatenate_p.bind(*operands, dimension=dimension)


def stack(operands: Sequence[Any], axis: int = 0) -> Any:
    """The operands, of one shape, side by side along a new axis."""
    arrays = [as_array(x) for x in operands]
    axis = canonicalize_axis(axis, arrays[0].ndim + 1)
    return stack_p.bind(*arrays, axis=axis)


def unstack(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """The slices of `x` along an axis, which they do not have: the inverse of `stack`."""
    x = as_array(x)
    return tuple(unstack_p.bind(x, axis=canonicalize_axis(axis, x.ndim)))


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> Sequence[Any]:
    """Consecutive pieces of the given sizes along one axis.

    Raises:
      ValueError: if the sizes do not add up to the axis.
    """
    operand = as_array(operand)
    axis = canonicalize_axis(axis, operand.ndim)
    return split_p.bind(operand, sizes=tuple(sizes), axis=axis)


def pad(operand: Any, padding_value: Any, padding_config: Sequence[tuple[int, int, int]]) -> Any:
    """`operand` with `padding_value` around and between its elements.

    Args:
      operand: array.
      padding_value: scalar of the same dtype.
      padding_config: per dimension (low, high, interior); negative low and high remove elements.

    Example:
      >>> from jaxc import lax
      >>> import jaxc.numpy as jnp
      >>> lax.pad(jnp.array([1., 2.]), 0., [(1, 0, 1)]).tolist()
      [0.0, 1.0, 0.0, 2.0]
    """
    config = tuple(tuple(map(operator.index, entry)) for entry in padding_config)
    return pad_p.bind(operand, padding_value, padding_config=config)


def slice(
    operand: Any,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Any:
    """The elements from start to limit (excluded), every stride-th one, in each dimension."""
    return slice_p.bind(
        operand,
        start_indices=tuple(map(_index, start_indices)),
        limit_indices=tuple(map(_index, limit_indices)),
        strides=None if strides is None else tuple(map(_index, strides)),
    )


def _index(x: Any) -> Any:
    return x if type(x) is int else operator.index(x)


def slice_in_dim(
    operand: Any, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0
) -> Any:
    """`slice` along one axis; negative indices count from its end."""
    shape = shape_of(operand)
    axis = int(axis)
    size = shape[axis]
    start = 0 if start_index is None else operator.index(start_index)
    limit = size if limit_index is None else operator.index(limit_index)
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis] = start + size if start < 0 else start
    limits[axis] = limit + size if limit < 0 else limit
    strides[axis] = operator.index(stride)
    return slice(operand, starts, limits, strides)


def index_in_dim(operand: Any, index: int, axis: int = 0, keepdims: bool = True) -> Any:
    """The slice at one static index of an axis.

    Raises:
      IndexError: if the index is out of bounds.
    """
    index, axis = operator.index(index), int(axis)
    size = shape_of(operand)[axis]
    wrapped = index + size if index < 0 else index
    if not 0 <= wrapped < size:
        raise IndexError(f"index {index} is out of bounds for axis {axis} with size {size}")
    out = slice_in_dim(operand, wrapped, wrapped + 1, 1, axis)
    return out if keepdims else squeeze(out, (axis,))


# ---- rules -------------------------------------------------------------------------------------


def _all_at_front(args: Sequence[Any], dims: Sequence[Any]) -> list[Any]:
    size = next(shape_of(x)[d] for x, d in zip(args, dims) if d is not None)
    return [
        broadcast(x, (size,)) if d is None else batching.moveaxis(x, d, 0)
        for x, d in zip(args, dims)
    ]


def _only_undefined(cts: Sequence[Any], operands: Sequence[Any]) -> list[Any]:
    return [ct if ad.is_undefined_primal(x) else None for ct, x in zip(cts, operands)]


def _aval(x: Any) -> Any:
    return x.aval if ad.is_undefined_primal(x) else get_aval(x)


def _concatenate_transpose(ct, *operands, dimension):
    sizes = tuple(_aval(x).shape[dimension] for x in operands)
    return _only_undefined(split(ct, sizes, dimension), operands)


def _concatenate_batch(args, dims, *, dimension):
    return concatenate(_all_at_front(args, dims), dimension + 1), 0


def _stack_transpose(ct, *operands, axis):
    return _only_undefined(unstack_p.bind(ct, axis=axis), operands)


def _stack_batch(args, dims, *, axis):
    (first, *_) = dims
    if first is not None and all(d == first for d in dims):
        if axis <= first:
            return stack_p.bind(*args, axis=axis), first + 1
        return stack_p.bind(*args, axis=axis + 1), first
    return stack_p.bind(*_all_at_front(args, dims), axis=axis + 1), 0


def _unstack_transpose(cts, operand, *, axis):
    if all(type(ct) is ad.Zero for ct in cts):
        return [ad.Zero(operand.aval)]
    return [stack_p.bind(*map(ad.instantiate_zeros, cts), axis=axis)]


def _unstack_batch(args, dims, *, axis):
    (dim,) = dims
    if axis < dim:
        return unstack_p.bind(args[0], axis=axis), dim - 1
    return unstack_p.bind(args[0], axis=axis + 1), dim


def _split_transpose(cts, operand, *, sizes, axis):
    if all(type(ct) is ad.Zero for ct in cts):
        return [ad.Zero(operand.aval)]
    return [concatenate(list(map(ad.instantiate_zeros, cts)), axis)]


def _split_batch(args, dims, *, sizes, axis):
    return split(args[0], sizes, axis + 1 if axis >= dims[0] else axis), dims[0]


def _pad_transpose(ct, operand, padding_value, *, padding_config):
    low, high, interior = zip(*padding_config) if padding_config else ((), (), ())
    unpad = [(-a, -b, 0) for a, b in zip(low, high)]
    kept = pad(ct, const(ct, 0), unpad)
    kept = slice(kept, [0] * len(low), shape_of(kept), [i + 1 for i in interior])
    ct_value = None
    if ad.is_undefined_primal(padding_value):
        ct_value = primitive("sub").bind(_total(ct), _total(kept))
    return [kept if ad.is_undefined_primal(operand) else None, ct_value]


def _total(x: Any) -> Any:
    axes = tuple(range(len(shape_of(x))))
    return primitive("reduce_sum").bind(x, axes=axes, out_sharding=None)


def _pad_batch(args, dims, *, padding_config):
    operand, value = args
    dim, value_dim = dims
    if dim is None:
        dim = 0
        operand = broadcast(operand, (shape_of(value)[value_dim],))
    config = (*padding_config[:dim], (0, 0, 0), *padding_config[dim:])
    if value_dim is None:
        return pad(operand, value, config), dim
    padded = pad(operand, const(operand, 0), config)
    mask = pad(full_like(operand, True, np.bool_), np.array(False), config)
    values = broadcast_in_dim(value, shape_of(padded), (dim,))
    return primitive("select_n").bind(mask, values, padded), dim


def _slice_transpose(ct, operand, *, start_indices, limit_indices, strides):
    shape = operand.aval.shape
    if strides is None or all(step == 1 for step in strides):
        # NumPy integers where JAX's jaxprs print them
        ends = [np.int64(size - limit) for size, limit in zip(shape, limit_indices)]
        config = list(zip(start_indices, ends, [0] * len(shape)))
    else:
        config = []
        for start, size, count, step in zip(start_indices, shape, shape_of(ct), strides):
            last = start + ((count - 1) * step + 1 if count else 0)
            config.append((start, np.int64(size - last), np.int64(step - 1)))
    return [pad_p.bind(ct, const(ct, 0), padding_config=tuple(config))]


def _slice_batch(args, dims, *, start_indices, limit_indices, strides):
    (operand,), (dim,) = args, dims

    def insert(values: Sequence[int], value: int) -> tuple[int, ...]:
        return (*values[:dim], value, *values[dim:])

    starts = insert(start_indices, 0)
    limits = insert(limit_indices, shape_of(operand)[dim])
    return slice(operand, starts, limits, None if strides is None else insert(strides, 1)), dim


def _define_rules() -> None:
    for prim, transpose_rule, batch_rule in (
        (concatenate_p, _concatenate_transpose, _concatenate_batch),
        (stack_p, _stack_transpose, _stack_batch),
        (unstack_p, _unstack_transpose, _unstack_batch),
        (split_p, _split_transpose, _split_batch),
        (pad_p, _pad_transpose, _pad_batch),
        (slice_p, _slice_transpose, _slice_batch),
    ):
        ad.deflinear2(prim, transpose_rule)
        batching.primitive_batchers[prim] = batch_rule


_define_rules()
