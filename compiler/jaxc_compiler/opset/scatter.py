"""Scatters: writing, adding, multiplying... updates at many places of an array.

Owns the book entries of scatter, scatter-add, -sub, -mul, -min and -max. An update whose window
does not lie inside the operand is dropped, or moved inside in CLIP mode. Updates to one element are
applied in order, so that the last write wins. Imports NumPy and the op book only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.indexing import (
    CLIP,
    FILL_OR_DROP,
    check_batching,
    check_dims,
    check_disjoint,
    check_index_map,
    element_indices,
    signed_indices,
    takes_whole_slices,
    window_starts,
)
from jaxc_compiler.opset.inference import INTEGER, check_same_dtypes, dtype_class
from jaxc_compiler.opset.op import Sample, define
from jaxc_compiler.opset.params import ScatterDimensionNumbers
from jaxc_compiler.opset.scalar_jaxpr import evaluate_elementwise

# Windows of at least this many elements are combined one by one, each by a single NumPy call.
_WIDE_WINDOW = 128


def window_sizes(operand_ndim: int, numbers: ScatterDimensionNumbers, updates_shape) -> list[int]:
    """The extent of one update's window in each operand dimension."""
    missing = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    sizes = iter([updates_shape[d] for d in numbers.update_window_dims])
    return [1 if d in missing else next(sizes) for d in range(operand_ndim)]


def scatter_infer(
    operand,
    indices,
    updates,
    *,
    dimension_numbers,
    indices_are_sorted,
    mode,
    unique_indices,
    update_consts,
    update_jaxpr,
):
    numbers = dimension_numbers
    if dtype_class(indices.dtype) not in INTEGER:
        raise ValueError("scatter: indices must have an integer type")
    check_same_dtypes("scatter", operand, updates)
    index_map = numbers.scatter_dims_to_operand_dims
    check_index_map("scatter", "scatter_dims_to_operand_dims", index_map, operand, indices)
    if updates.ndim != indices.ndim - 1 + len(numbers.update_window_dims):
        raise TypeError(
            f"scatter: updates of shape {updates.shape} must have rank "
            f"{indices.ndim - 1 + len(numbers.update_window_dims)}."
        )
    check_dims("scatter", "update_window_dims", numbers.update_window_dims, updates.ndim)
    inserted, batching = numbers.inserted_window_dims, numbers.operand_batching_dims
    check_dims("scatter", "inserted_window_dims", inserted, operand.ndim)
    check_batching("scatter", operand, indices, batching, numbers.scatter_indices_batching_dims)
    names = ("inserted_window_dims", "operand_batching_dims")
    check_disjoint("scatter", names, inserted, batching)
    names = ("scatter_dims_to_operand_dims", "operand_batching_dims")
    check_disjoint("scatter", names, index_map, batching)
    if operand.ndim != len(numbers.update_window_dims) + len(inserted) + len(batching):
        raise TypeError(
            f"scatter: update_window_dims, inserted_window_dims and operand_batching_dims of "
            f"{numbers} must cover the operand's {operand.ndim} dimensions."
        )
    for size, bound in zip(window_sizes(operand.ndim, numbers, updates.shape), operand.shape):
        if size > bound and bound not in (0,):
            raise TypeError(
                "scatter: the windows of updates must not be larger than the operand, got updates "
                f"of shape {updates.shape} for operand of shape {operand.shape}."
            )
    batch = tuple(s for d, s in enumerate(updates.shape) if d not in numbers.update_window_dims)
    if batch != indices.shape[:-1]:
        raise TypeError(
            "scatter: the scatter dimensions of updates must be those of the indices, got updates "
            f"of shape {updates.shape} and indices of shape {indices.shape}."
        )
    return ShapedArray(operand.shape, operand.dtype, operand.weak_type)


def _scatter(operand, indices, updates, combine, dimension_numbers, mode) -> np.ndarray:
    """`combine(target, index, values)` writes `values` at distinct or repeated places of target."""
    numbers, out = dimension_numbers, operand.copy()
    batch_ndim = indices.ndim - 1
    tail = updates.ndim - batch_ndim - len(numbers.update_window_dims)  # the words of keys
    ndim = operand.ndim - tail
    shape = operand.shape[:ndim]
    if not updates.size or not operand.size:
        return out
    sizes = window_sizes(ndim, numbers, updates.shape)
    pairs = list(zip(numbers.operand_batching_dims, numbers.scatter_indices_batching_dims))
    index_map = numbers.scatter_dims_to_operand_dims
    dropped = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    if takes_whole_slices(index_map, dropped, sizes, operand):
        order = _batch_then_window(updates, numbers, tail)
        _at_indices(out, indices[..., 0], updates.transpose(order), dropped[0], combine, mode)
        return out
    starts, valid = window_starts(signed_indices(indices), index_map, pairs, shape, sizes)
    indexed, whole, index = element_indices(starts, shape, sizes, batch_ndim)
    target = out.transpose(*indexed, *whole, *range(ndim, operand.ndim))
    # updates -> (batch, window sizes in the order of target's dimensions)
    values = updates.transpose(_batch_then_window(updates, numbers, tail))
    values = values.reshape((*indices.shape[:-1], *sizes, *updates.shape[updates.ndim - tail :]))
    order = [batch_ndim + d for d in (*indexed, *whole)]
    rest = range(batch_ndim + ndim, values.ndim)
    values = values.transpose(*range(batch_ndim), *order, *rest)
    if not indexed:  # every window is the whole operand
        values = values.reshape(-1, *target.shape)[valid.ravel()]
        for value in values:
            combine(target, ..., value)
        return out
    if not index_map:  # every index vector is empty: no index has the batch shape
        index = [np.broadcast_to(i, (*valid.shape, *i.shape[batch_ndim:])) for i in index]
    if mode is not CLIP and not valid.all():
        index = [np.broadcast_to(i, (*valid.shape, *i.shape[batch_ndim:]))[valid] for i in index]
        values = values[valid]
    elif batch_ndim > 1:  # one axis of windows, so that `combine` may go along it
        index = [np.broadcast_to(i, (*valid.shape, *i.shape[batch_ndim:])) for i in index]
        index = [i.reshape(-1, *i.shape[batch_ndim:]) for i in index]
        values = values.reshape(-1, *values.shape[batch_ndim:])
    combine(target, tuple(index), values)
    return out


def _batch_then_window(updates, numbers, tail) -> list[int]:
    window, ndim = numbers.update_window_dims, updates.ndim - tail
    batch = [d for d in range(ndim) if d not in window]
    return [*batch, *window, *range(ndim, updates.ndim)]


def _at_indices(out, places, values, axis, combine, mode) -> None:
    """The commonest scatter: whole slices at single indices of one axis."""
    places, last = signed_indices(places), out.shape[axis] - 1
    if mode is CLIP:
        places = np.minimum(np.maximum(places, 0), last)
    else:
        valid = (places >= 0) & (places <= last)
        if not valid.all():
            places, values = places[valid], values[valid]
    if places.ndim != 1:
        values = values.reshape(-1, *values.shape[places.ndim :])
        places = places.reshape(-1)
    combine(out if axis == 0 else np.moveaxis(out, axis, 0), (places,), values)


def _set(target, index, values):
    target[index] = values


def _combine_at(ufunc: Any):
    """Combines by a ufunc, in a way that counts repeated places."""

    def combine(target, index, values):
        if index is ...:
            ufunc(target, values, out=target)
            return
        width = values[0].size if len(values) else 0
        if width >= _WIDE_WINDOW and len(index[0]) == len(values):
            full = [np.broadcast_to(i, (len(values), *i.shape[1:])) for i in index]
            for position, value in enumerate(values):
                place = tuple(i[position] for i in full)
                target[place] = ufunc(target[place], value)
            return
        if len(index) == target.ndim > 1 and target.flags.c_contiguous:
            # NumPy is several times faster with one index array on a flat target
            index = np.ravel_multi_index(np.broadcast_arrays(*index), target.shape)
            target, values = target.reshape(-1), np.broadcast_to(values, index.shape).ravel()
            index = index.ravel()
        ufunc.at(target, index, values)

    return combine


def _combine_rounds(function: Any):
    """Combines by any function of (old, new): repeated places take one round each."""

    def combine(target, index, values):
        if index is ...:
            target[...] = function(target, values)
            return
        linear = np.arange(target.size).reshape(target.shape)[index].ravel()
        new = np.broadcast_to(values, target[index].shape).ravel()
        order = np.argsort(linear, kind="stable")
        first = np.r_[True, np.diff(linear[order]) != 0]
        began = np.maximum.accumulate(np.where(first, np.arange(order.size), 0))
        turn = np.empty(order.size, np.int64)
        turn[order] = np.arange(order.size) - began
        flat = target.reshape(-1) if target.flags.c_contiguous else target.flatten()
        for number in range(int(turn.max(initial=-1)) + 1):
            now = turn == number
            flat[linear[now]] = function(flat[linear[now]], new[now])
        target[...] = flat.reshape(target.shape)

    return combine


def scatter_numpy(
    operand,
    indices,
    updates,
    *,
    dimension_numbers,
    mode=None,
    update_jaxpr=None,
    update_consts=(),
    indices_are_sorted=False,
    unique_indices=False,
):
    if update_jaxpr is None:
        return _scatter(operand, indices, updates, _set, dimension_numbers, mode)

    def update(old, new):
        return evaluate_elementwise(update_jaxpr, update_consts, old, new)[0]

    combine = _combine_rounds(update)
    return _scatter(operand, indices, updates, combine, dimension_numbers, mode)


def _accumulating(ufunc: Any):
    """The kernel of a scatter that combines by a ufunc (its update_jaxpr says the same)."""
    combine = _combine_at(ufunc)

    def kernel(operand, indices, updates, *, dimension_numbers, mode=None, **unused):
        return _scatter(operand, indices, updates, combine, dimension_numbers, mode)

    return kernel


def _scatter_samples():
    def scatter(shape, indices, updates, numbers, mode=FILL_OR_DROP):
        params = {
            "dimension_numbers": ScatterDimensionNumbers(*numbers),
            "mode": mode,
            "indices_are_sorted": False,
            "unique_indices": False,
            "update_jaxpr": None,
            "update_consts": (),
        }
        operands = (ShapedArray(shape, np.float32), np.asarray(indices, np.int32))
        return Sample((*operands, ShapedArray(updates, np.float32)), params)

    yield scatter((5, 3), [[0], [4], [7]], (3, 3), ((1,), (0,), (0,)))
    yield scatter((5, 3), [[0], [4], [7]], (3, 3), ((1,), (0,), (0,)), CLIP)
    yield scatter((5, 6), [[0, 4], [3, 2]], (2, 2, 2), ((1, 2), (), (0, 1)))
    yield scatter((2, 5), [[[1], [2]], [[0], [4]]], (2, 2), ((), (1,), (1,), (0,), (0,)))


_KERNELS = {
    "scatter": scatter_numpy,
    "scatter-add": _accumulating(np.add),
    "scatter-sub": _accumulating(np.subtract),
    "scatter-mul": _accumulating(np.multiply),
    "scatter-min": _accumulating(np.minimum),
    "scatter-max": _accumulating(np.maximum),
}
for _name, _kernel in _KERNELS.items():
    define(
        _name,
        kind="indexing",
        params=(
            "dimension_numbers",
            "indices_are_sorted",
            "mode",
            "unique_indices",
            "update_consts",
            "update_jaxpr",
        ),
        infer=scatter_infer,
        numpy=_kernel,
        samples=_scatter_samples,
    )
