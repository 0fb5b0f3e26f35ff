"""Indexed reads and writes of slices: dynamic_slice, dynamic_update_slice and gather.

Owns their book entries and what gather shares with scatter: the checks of dimension numbers and the
indices of the elements that a set of windows covers. Imports NumPy and the op book only. Writes at
many places at once (scatter) are in `scatter.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.inference import INTEGER, check_same_dtypes, dtype_class
from jaxc_compiler.opset.op import Sample, define
from jaxc_compiler.opset.params import GatherDimensionNumbers, GatherScatterMode

CLIP = GatherScatterMode.CLIP
FILL_OR_DROP = GatherScatterMode.FILL_OR_DROP
PROMISE_IN_BOUNDS = GatherScatterMode.PROMISE_IN_BOUNDS


# ---- dynamic_slice, dynamic_update_slice: the start is clamped so that the slice fits ----------


def _check_starts(op: str, starts: Sequence[ShapedArray], ndim: int) -> None:
    if len(starts) != ndim:
        raise TypeError(f"{op}: expected {ndim} start indices, got {len(starts)}.")
    if any(s.ndim for s in starts):
        raise TypeError(f"{op}: start indices must be scalars, got {tuple(starts)}")
    dtypes = {s.dtype for s in starts}
    if len(dtypes) > 1 or any(dtype_class(d) not in INTEGER for d in dtypes):
        names = ", ".join(s.dtype.name for s in starts)
        raise TypeError(f"{op}: start indices must be integers of one dtype, got: {names}")


def dynamic_slice_infer(operand, *starts, slice_sizes):
    if len(slice_sizes) != operand.ndim or any(
        not 0 <= size <= dim for size, dim in zip(slice_sizes, operand.shape)
    ):
        raise TypeError(
            f"dynamic_slice: slice_sizes {tuple(slice_sizes)} must be at least zero and at most "
            f"the operand's shape {operand.shape}."
        )
    _check_starts("dynamic_slice", starts, operand.ndim)
    return ShapedArray(tuple(slice_sizes), operand.dtype, operand.weak_type)


def _clamped_slices(shape, starts, sizes):
    index = []
    for dim, start, size in zip(shape, starts, sizes):
        first = min(max(int(start), 0), dim - size)
        index.append(slice(first, first + size))
    return (*index, ...)


def dynamic_slice_numpy(operand, *starts, slice_sizes):
    return np.array(operand[_clamped_slices(operand.shape, starts, slice_sizes)], order="C")


def dynamic_update_slice_infer(operand, update, *starts):
    if operand.ndim != update.ndim:
        raise TypeError(
            "dynamic_update_slice: update must have the same rank as operand, got update shape "
            f"{update.shape} for operand shape {operand.shape}."
        )
    if any(size > dim for size, dim in zip(update.shape, operand.shape)):
        raise TypeError(
            "dynamic_update_slice: update must not be larger than operand, got update shape "
            f"{update.shape} for operand shape {operand.shape}."
        )
    _check_starts("dynamic_update_slice", starts, operand.ndim)
    check_same_dtypes("dynamic_update_slice", operand, update)
    weak_type = all(aval.weak_type for aval in (operand, update, *starts))
    return ShapedArray(operand.shape, operand.dtype, weak_type)


def dynamic_update_slice_numpy(operand, update, *starts):
    out = operand.copy()
    out[_clamped_slices(out.shape, starts, update.shape)] = update
    return out


# ---- checks of dimension numbers ---------------------------------------------------------------


def check_dims(op: str, name: str, dims: Sequence[int], rank: int, ordered: bool = True) -> None:
    """Reject dimension numbers that repeat, lie outside [0, rank) or are not sorted."""
    if len(set(dims)) != len(dims):
        raise TypeError(f"{name} in {op} op must not repeat; got: {dims}.")
    if ordered and list(dims) != sorted(dims):
        raise TypeError(f"{name} in {op} op must be sorted; got {dims}")
    for dim in dims:
        if not 0 <= dim < rank:
            raise TypeError(f"{op}: {name} must lie in [0, {rank}); got: {dim}.")


def check_disjoint(op: str, names: tuple[str, str], first: Any, second: Any) -> None:
    """Reject two lists of dimensions that share one."""
    if set(first) & set(second):
        raise TypeError(f"{op}: {names[0]} and {names[1]} must be disjoint, got {first}, {second}.")


def check_batching(op: str, operand, indices, operand_dims, indices_dims) -> None:
    """The checks of batching dimensions that gather and scatter share."""
    check_dims(op, "operand_batching_dims", operand_dims, operand.ndim)
    check_dims(op, "indices batching dims", indices_dims, indices.ndim, ordered=False)
    if indices.ndim - 1 in indices_dims:
        raise TypeError(
            f"{op}: the index vector dimension cannot be a batching dimension; got {indices_dims}."
        )
    operand_shape = tuple(operand.shape[d] for d in operand_dims)
    indices_shape = tuple(indices.shape[d] for d in indices_dims)
    if operand_shape != indices_shape:
        raise TypeError(
            f"{op}: operand and indices batching dimensions must have the same shape, got "
            f"{operand_shape} and {indices_shape}."
        )


def check_index_map(op: str, name: str, index_map, operand, indices) -> None:
    """Each component of an index vector must address one dimension of the operand."""
    if indices.ndim == 0:
        raise TypeError(f"{op}: indices must have at least one dimension, the index vector.")
    if len(index_map) != indices.shape[-1]:
        raise TypeError(
            f"{op}: {name} has {len(index_map)} entries and an index vector {indices.shape[-1]}: "
            "these numbers must be equal."
        )
    check_dims(op, name, index_map, operand.ndim, ordered=False)


# ---- gather ------------------------------------------------------------------------------------


def gather_infer(
    operand,
    indices,
    *,
    dimension_numbers,
    fill_value,
    indices_are_sorted,
    mode,
    slice_sizes,
    unique_indices,
):
    numbers = dimension_numbers
    if dtype_class(indices.dtype) not in INTEGER:
        raise ValueError("gather: indices must have an integer type")
    check_index_map("gather", "start_index_map", numbers.start_index_map, operand, indices)
    rank = len(numbers.offset_dims) + indices.ndim - 1
    check_dims("gather", "offset_dims", numbers.offset_dims, rank)
    collapsed, batching = numbers.collapsed_slice_dims, numbers.operand_batching_dims
    check_dims("gather", "collapsed_slice_dims", collapsed, operand.ndim)
    check_batching("gather", operand, indices, batching, numbers.start_indices_batching_dims)
    names = ("collapsed_slice_dims", "operand_batching_dims")
    check_disjoint("gather", names, collapsed, batching)
    names = ("start_index_map", "operand_batching_dims")
    check_disjoint("gather", names, numbers.start_index_map, batching)
    if (
        not operand.ndim
        == len(slice_sizes)
        == len(numbers.offset_dims) + len(collapsed) + len(batching)
    ):
        raise TypeError(
            f"gather: slice_sizes {tuple(slice_sizes)} must have one entry for each dimension of "
            f"the operand's shape {operand.shape}, and each must be an offset, collapsed or "
            f"batching dimension of {numbers}."
        )
    for dim, (size, bound) in enumerate(zip(slice_sizes, operand.shape)):
        if indices.size and not 0 <= size <= bound:
            raise TypeError(
                f"gather: slice size {size} of dimension {dim} must lie in [0, {bound}]."
            )
        if dim in collapsed and size != 1:
            raise TypeError(f"gather: collapsed dimension {dim} must have slice size 1: {size}.")
        if dim in batching and size > 1:
            raise TypeError(f"gather: batching dimension {dim} must have slice size <= 1: {size}.")
    offsets = iter([s for d, s in enumerate(slice_sizes) if d not in (*collapsed, *batching)])
    batch = iter(indices.shape[:-1])
    shape = tuple(next(offsets if d in numbers.offset_dims else batch) for d in range(rank))
    return ShapedArray(shape, operand.dtype, operand.weak_type)


def signed_indices(indices: np.ndarray) -> np.ndarray:
    """The indices as int64; unsigned values beyond its range become its maximum."""
    if indices.dtype == np.uint64:
        indices = np.minimum(indices, np.uint64(2**63 - 1))
    return indices.astype(np.int64)


def window_starts(
    indices: np.ndarray,
    index_map: Sequence[int],
    batching: Sequence[tuple[int, int]],
    shape: Sequence[int],
    sizes: Sequence[int],
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Where windows of `sizes` start, clamped into `shape`, and which starts needed no clamping.

    Args:
      indices: int64, index vectors in the last dimension.
      index_map: operand dimension of each component.
      batching: pairs (operand dimension, dimension of the indices) walked in step.

    Returns:
      For each addressed operand dimension, starts that broadcast with indices.shape[:-1]; and a
      bool array of shape indices.shape[:-1].
    """
    starts, valid = {}, np.ones(indices.shape[:-1], bool)
    for component, dim in enumerate(index_map):
        start, last = indices[..., component], shape[dim] - sizes[dim]
        valid &= (start >= 0) & (start <= last)
        starts[dim] = np.clip(start, 0, max(last, 0))
    for dim, axis in batching:
        expanded = [1] * (indices.ndim - 1)
        expanded[axis] = shape[dim]
        starts[dim] = np.arange(shape[dim]).reshape(expanded)
    return starts, valid


def element_indices(
    starts: dict[int, np.ndarray], shape: Sequence[int], sizes: Sequence[int], batch_ndim: int
) -> tuple[list[int], list[int], list[np.ndarray]]:
    """Which dimensions must be indexed, and with what, to reach every element of the windows.

    Returns:
      (indexed, whole, index): operand.transpose(indexed + whole)[tuple(index)] has the starts'
      shape, then the window's size in each indexed dimension, then the whole dimensions.
    """
    ndim = len(shape)
    indexed = [d for d in range(ndim) if d in starts or sizes[d] != shape[d]]
    whole = [d for d in range(ndim) if d not in indexed]
    index = []
    for position, dim in enumerate(indexed):
        after = len(indexed) - position - 1
        start = starts.get(dim, np.zeros((1,) * batch_ndim, np.int64))
        offsets = np.arange(sizes[dim]).reshape((-1,) + (1,) * after)
        index.append(start.reshape(start.shape + (1,) * len(indexed)) + offsets)
    return indexed, whole, index


def gather_numpy(
    operand,
    indices,
    *,
    dimension_numbers,
    fill_value=None,
    mode=None,
    slice_sizes,
    indices_are_sorted=False,
    unique_indices=False,
):
    numbers, ndim = dimension_numbers, len(slice_sizes)
    dropped = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    batch = indices.shape[:-1]
    window = [d for d in range(ndim) if d not in dropped]
    tail = operand.shape[ndim:]
    order = _result_order(len(batch), numbers.offset_dims, len(tail))
    if operand.size and takes_whole_slices(numbers.start_index_map, dropped, slice_sizes, operand):
        return _take(operand, indices[..., 0], dropped[0], mode, fill_value, order)
    if not indices.size * operand.size and indices.shape[-1]:
        shape = (*batch, *[slice_sizes[d] for d in window], *tail)
        return np.ascontiguousarray(np.zeros(shape, operand.dtype).transpose(order))
    pairs = list(zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims))
    starts, valid = window_starts(
        signed_indices(indices), numbers.start_index_map, pairs, operand.shape, slice_sizes
    )
    indexed, whole, index = element_indices(starts, operand.shape[:ndim], slice_sizes, len(batch))
    source = operand.transpose(*indexed, *whole, *range(ndim, operand.ndim))
    if len(indexed) == 1:
        out = source.take(index[0], axis=0)
    else:
        out = source[tuple(index)]
    # (batch, indexed, whole) -> (batch, window dimensions in the operand's order)
    found = [*indexed, *whole]
    kept = [found.index(d) + len(batch) for d in window]
    rest = [i + len(batch) for i, d in enumerate(found) if d in dropped]
    if not numbers.start_index_map:  # every index vector is empty: no index has the batch shape
        lead = out.ndim - (len(found) + len(tail))
        out = np.broadcast_to(out, (*batch, *out.shape[lead:]))
    out = out.transpose(*range(len(batch)), *kept, *rest, *range(len(batch) + ndim, out.ndim))
    out = out.reshape((*batch, *[slice_sizes[d] for d in window], *tail))
    if mode is FILL_OR_DROP and not valid.all():
        out = np.array(out)
        out[~valid] = _fill(fill_value, operand.dtype)
    return np.array(out.transpose(order), order="C")


def takes_whole_slices(
    index_map: Sequence[int], dropped: Sequence[int], sizes: Sequence[int], operand: np.ndarray
) -> bool:
    """Whether windows are all of the operand but for one index of one dimension."""
    return (
        len(dropped) == 1
        and tuple(index_map) == tuple(dropped)
        and all(d == dropped[0] or s == operand.shape[d] for d, s in enumerate(sizes))
    )


def _take(operand, places, axis, mode, fill_value, order):
    """The commonest gather, whole slices at single indices of one axis, by NumPy's own function."""
    places = signed_indices(places)
    source = operand if axis == 0 else np.moveaxis(operand, axis, 0)
    out = source.take(places, axis=0, mode="clip")
    if mode is FILL_OR_DROP:
        outside = (places < 0) | (places >= operand.shape[axis])
        if outside.any():
            out = np.asarray(out)
            out[outside] = _fill(fill_value, operand.dtype)
    return np.array(out.transpose(order), order="C") if _moves(order) else np.asarray(out)


def _moves(order: Sequence[int]) -> bool:
    return any(i != place for i, place in enumerate(order))


def _result_order(batch_ndim: int, offset_dims: Sequence[int], tail: int) -> list[int]:
    """The permutation from (batch, window) to the layout that offset_dims asks for."""
    rank = batch_ndim + len(offset_dims)
    batch, window = iter(range(batch_ndim)), iter(range(batch_ndim, rank))
    order = [next(window if d in offset_dims else batch) for d in range(rank)]
    return [*order, *range(rank, rank + tail)]


def _fill(value: Any, dtype: np.dtype) -> Any:
    if value is not None:
        return np.asarray(value).astype(dtype)
    return default_fill_value(dtype)


def default_fill_value(dtype: Any) -> Any:
    """What an out-of-bounds read gives: NaN, True, the least signed, the greatest unsigned."""
    found = dtype_class(dtype)
    if found in ("floating", "complex"):
        return np.array(np.nan, dtype)
    if found == "bool":
        return np.array(True)
    if found == "key":
        return np.array(np.iinfo(np.uint32).max, np.uint32)
    info = np.iinfo(dtype)
    return np.array(info.min if found == "signed integer" else info.max, dtype)


def _gather_samples():
    def gather(shape, indices, numbers, sizes, mode=CLIP, fill_value=None):
        params = {
            "dimension_numbers": GatherDimensionNumbers(*numbers),
            "slice_sizes": sizes,
            "mode": mode,
            "fill_value": fill_value,
            "indices_are_sorted": False,
            "unique_indices": False,
        }
        return Sample((ShapedArray(shape, np.float32), np.asarray(indices, np.int32)), params)

    yield gather((5, 3), [[0], [4], [2]], ((1,), (0,), (0,)), (1, 3))
    yield gather((5, 3), [[0], [7], [-1]], ((1,), (0,), (0,)), (1, 3), FILL_OR_DROP, float("nan"))
    yield gather((5, 6), [[0, 4], [3, 9]], ((1, 2), (), (0, 1)), (2, 3))
    yield gather((2, 5), [[[1], [2]], [[0], [4]]], ((), (1,), (1,), (0,), (0,)), (1, 1))


_X = ShapedArray((4, 5), np.float32)
_START = (np.array(1, np.int32), np.array(9, np.int32))

define(
    "dynamic_slice",
    kind="indexing",
    params=("slice_sizes",),
    infer=dynamic_slice_infer,
    numpy=dynamic_slice_numpy,
    samples=lambda: [Sample((_X, *_START), {"slice_sizes": (2, 3)})],
)
define(
    "dynamic_update_slice",
    kind="indexing",
    infer=dynamic_update_slice_infer,
    numpy=dynamic_update_slice_numpy,
    samples=lambda: [Sample((_X, ShapedArray((2, 3), np.float32), *_START))],
)
define(
    "gather",
    kind="indexing",
    params=(
        "dimension_numbers",
        "fill_value",
        "indices_are_sorted",
        "mode",
        "slice_sizes",
        "unique_indices",
    ),
    infer=gather_infer,
    numpy=gather_numpy,
    samples=_gather_samples,
)
