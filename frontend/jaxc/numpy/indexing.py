"""Reading elements: `x[idx]`, take, take_along_axis and the like.

Static indices become slice and squeeze, scalar dynamic ones dynamic_slice, index arrays gather.
Must not import reductions or sorting at load.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.core.array import Array, wrap
from jaxc.core.trace import Tracer, _state, eval_trace
from jaxc.numpy.creation import broadcast_to_shape
from jaxc.numpy.index_parsing import GatherPlan, Parsed, Span, parse, plan_gather
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    canonicalize_axis,
    check_arraylike,
    convert,
    ensure_arraylike,
    to_array,
)
from jaxc.numpy.selection import where
from jaxc_compiler.opset.avals import ShapedArray

_Mode = lax.GatherScatterMode
_MODES = {
    "clip": _Mode.CLIP,
    "fill": _Mode.FILL_OR_DROP,
    "drop": _Mode.FILL_OR_DROP,
    "promise_in_bounds": _Mode.PROMISE_IN_BOUNDS,
}


def gather_mode(mode: Any) -> Any:
    """The mode a user named; None stays None.

    Raises:
      ValueError: for a name that is no mode.
    """
    if mode is None or isinstance(mode, _Mode):
        return mode
    if mode not in _MODES:
        raise ValueError(f'Unknown gather mode "{mode}"')
    return _MODES[mode]


def getitem(x: Any, idx: Any) -> Any:
    """`x[idx]`."""
    if type(x) is Array and _state.trace is eval_trace:
        if type(idx) is int and x.aval.shape:
            return _eager_row(x, idx)
        parsed = parse(idx, x.aval.shape)
        found = _eager_getitem(x, parsed)
        if found is not None:
            return found
    else:
        parsed = parse(idx, x.shape)
    return take_parsed(x, parsed)


def _eager_row(x: Array, i: int) -> Array:
    aval = x.aval
    size = aval.shape[0]
    if not -size <= i < size:
        if size == 0:
            raise IndexError("index is out of bounds for axis 0 with size 0")
        i = 0 if i < 0 else size - 1
    row = x._numpy()[i]
    if len(aval.shape) > 1:
        row = row.copy()
    return wrap(row, ShapedArray(aval.shape[1:], aval.dtype, aval.weak_type))


def _host_index(entry: Any, size: int) -> Any:
    """One entry as NumPy takes it, out of bounds indices clamped; None if it is traced."""
    if isinstance(entry, Span):
        if entry.size == 0:
            return slice(0, 0)
        stop = entry.start + entry.step * entry.size
        return slice(entry.start, stop if stop >= 0 else None, entry.step)
    if isinstance(entry, int):
        return min(max(entry + size if entry < 0 else entry, 0), size - 1)
    if isinstance(entry, Tracer):
        return None
    index = np.asarray(entry)
    if index.dtype.kind == "i":
        index = np.where(index < 0, index.astype(np.int64) + size, index)
    return np.clip(index, 0, size - 1)


def _eager_getitem(x: Array, parsed: Parsed) -> Any:
    """Indexing by NumPy, with JAX's clamping; None where an index is traced or x too small."""
    if parsed.new_axes_of_x:
        return None
    shape = x.aval.shape
    index: list[Any] = []
    axis = 0
    for k, entry in enumerate(parsed.entries):
        if k == parsed.dots:
            index.append(Ellipsis)
        if entry is None:
            index.append(None)
            continue
        if shape[axis] == 0 and not isinstance(entry, Span):
            return None
        found = _host_index(entry, shape[axis])
        if found is None:
            return None
        index.append(found)
        axis += 1
    try:
        value = x._numpy()[tuple(index)]
    except IndexError:
        return None  # incompatible index shapes: the general path words the error
    rank = value.ndim - (x._numpy().ndim - len(shape))  # keys have trailing words
    aval = ShapedArray(value.shape[:rank], x.aval.dtype, x.aval.weak_type)
    return wrap(value.copy(order="C") if isinstance(value, np.ndarray) else value, aval)


def take_parsed(
    x: Any,
    parsed: Parsed,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
    fill_value: Any = None,
    wrap_negative_indices: bool = True,
) -> Any:
    """The elements that a parsed index selects, by the simplest operations."""
    mode = gather_mode(mode)
    if parsed.new_axes_of_x:
        shape = list(x.shape)
        for axis in parsed.new_axes_of_x:
            shape.insert(axis, 1)
        plan = plan_gather(parsed, tuple(shape), wrap_negative_indices)
        x = lax.expand_dims(x, tuple(parsed.new_axes_of_x))
        return _gather(x, plan, indices_are_sorted, unique_indices, mode, fill_value)
    if mode in (None, _Mode.CLIP, _Mode.PROMISE_IN_BOUNDS) and wrap_negative_indices:
        if parsed.basic and (mode is _Mode.CLIP or _in_bounds(parsed, x.shape)):
            return _static_slice(x, parsed)
        if _is_dynamic_slice(parsed) and mode is not _Mode.CLIP:
            return _dynamic_slice(x, parsed)
    plan = plan_gather(parsed, x.shape, wrap_negative_indices)
    return _gather(x, plan, indices_are_sorted, unique_indices, mode, fill_value)


def _by_axis(parsed: Parsed) -> list[Any]:
    return [e for e in parsed.entries if e is not None]


def _in_bounds(parsed: Parsed, shape: tuple[int, ...]) -> bool:
    return all(
        isinstance(e, Span) or -size <= e < size
        for e, size in zip(_by_axis(parsed), shape, strict=True)
    )


def _static_slice(x: Any, parsed: Parsed) -> Any:
    starts, limits, strides, flipped, dropped = [], [], [], [], []
    for axis, (entry, size) in enumerate(zip(_by_axis(parsed), x.shape, strict=True)):
        if isinstance(entry, int):
            start = min(max(entry + size if entry < 0 else entry, 0), size - 1)
            first, last, step = start, start, 1
            dropped.append(axis)
        else:
            first = entry.start
            step = entry.step
            last = first + step * (entry.size - 1)
            if step < 0:
                first, last, step = last, first, -step
                flipped.append(axis)
            if entry.size == 0:
                first, last = min(max(entry.start, 0), size), min(max(entry.start, 0), size) - 1
        starts.append(first)
        limits.append(last + 1)
        strides.append(step)
    limits = [
        min(size, limit) if step == 1 else _limit(start, limit, step, size)
        for start, limit, step, size in zip(starts, limits, strides, x.shape, strict=True)
    ]
    if any(starts) or tuple(limits) != x.shape or any(s != 1 for s in strides):
        unit = all(s == 1 for s in strides)
        x = lax.slice(x, tuple(starts), tuple(limits), None if unit else tuple(strides))
    if flipped:
        x = lax.rev(x, tuple(flipped))
    if dropped:
        x = lax.squeeze(x, tuple(dropped))
    return _with_new_axes(x, parsed)


def _limit(start: int, limit: int, step: int, size: int) -> int:
    # any limit up to the next element selects the same; the size is what a full slice has
    return size if limit + step > size else limit


def _with_new_axes(x: Any, parsed: Parsed) -> Any:
    """`x`, scalar-indexed axes dropped, with the unit axes that None asks for."""
    axes, position = [], 0
    for entry in parsed.entries:
        if entry is None:
            axes.append(position)
        position += entry is None or isinstance(entry, Span)
    return lax.expand_dims(x, tuple(axes)) if axes else x


def _is_dynamic_slice(parsed: Parsed) -> bool:
    if parsed.advanced:
        return False
    return all(e is None or not isinstance(e, Span) or e.step == 1 for e in parsed.entries)


def _dynamic_slice(x: Any, parsed: Parsed) -> Any:
    starts, sizes, dropped = [], [], []
    for axis, entry in enumerate(_by_axis(parsed)):
        span = isinstance(entry, Span)
        starts.append(entry.start if span else entry)
        sizes.append(entry.size if span else 1)
        if not span:
            dropped.append(axis)
    if any(n == 0 for n in x.shape) and dropped:
        for axis in dropped:
            if x.shape[axis] == 0:
                raise IndexError(f"index is out of bounds for axis {axis} with size 0")
    from jaxc.numpy.promotion import promoted_dtype

    dtype = promoted_dtype(*starts)[0]
    indices = [
        to_array(s, dtype) if isinstance(s, int) else convert(_device(s), dtype) for s in starts
    ]
    out = lax.dynamic_slice(x, indices, tuple(sizes))
    if dropped:
        out = lax.squeeze(out, tuple(dropped))
    return _with_new_axes(out, parsed)


def _device(x: Any) -> Any:
    return to_array(x) if isinstance(x, np.ndarray | np.generic) else x


def _gather(x: Any, plan: GatherPlan, is_sorted, unique, mode, fill_value) -> Any:
    if 0 in plan.shape and fill_value is None and 0 in x.shape:
        return lax.full(plan.shape, 0, x.dtype)
    numbers = lax.GatherDimensionNumbers(
        offset_dims=plan.offset_dims,
        collapsed_slice_dims=plan.collapsed_dims,
        start_index_map=plan.start_index_map,
    )
    indices = plan.indices if not isinstance(plan.indices, np.ndarray) else to_array(plan.indices)
    out = lax.gather(
        x,
        indices,
        numbers,
        plan.slice_sizes,
        unique_indices=unique or plan.static,
        indices_are_sorted=is_sorted or plan.static,
        mode=mode,
        fill_value=fill_value,
    )
    if plan.flipped:
        out = lax.rev(out, plan.flipped)
    return lax.expand_dims(out, plan.new_axes) if plan.new_axes else out


# ---- functions --------------------------------------------------------------------------------


def take(
    a: Any,
    indices: Any,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Any:
    """Slices at the given indices of an axis; out of bounds ones give `fill_value` or NaN."""
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.take is not supported.")
    check_arraylike("take", a, indices)
    return _take(a, indices, axis=axis, mode=mode, unique_indices=unique_indices,
                 indices_are_sorted=indices_are_sorted, fill_value=fill_value)  # fmt: skip


@nested_jit(name="_take", static_argnames=("axis", "mode", "unique_indices",
                                           "indices_are_sorted", "fill_value"))  # fmt: skip
def _take(a, indices, axis=None, mode=None, unique_indices=False, indices_are_sorted=False,
          fill_value=None):  # fmt: skip
    a, indices = array_of(a), array_of(indices)
    if not dtypes.issubdtype(indices.dtype, np.integer):
        raise ValueError("indices must have an integer type")
    if axis is None:
        a, axis = (lax.reshape(a, (a.size,)) if a.ndim != 1 else a), 0
    axis = canonicalize_axis(axis, a.ndim)
    if mode == "raise":
        raise NotImplementedError("The 'raise' mode to jnp.take is not supported.")
    size = a.shape[axis]
    if indices.size and size == 0:
        raise IndexError("Cannot do a non-empty jnp.take() from an empty axis.")
    if mode == "wrap":
        from jaxc.numpy.arithmetic import remainder

        indices = remainder(indices, convert(size, indices.dtype))
        found = _Mode.PROMISE_IN_BOUNDS
    else:
        found = gather_mode("fill" if mode is None else mode)
        if found is not _Mode.CLIP and not dtypes.issubdtype(indices.dtype, np.unsignedinteger):
            negative = lax.lt(indices, convert(0, indices.dtype))
            wrapped = lax.add(indices, convert(size, indices.dtype, indices.weak_type))
            indices = where(negative, wrapped, indices)
    sizes = list(a.shape)
    sizes[axis] = 1
    offset = (*range(axis), *range(axis + indices.ndim, a.ndim + indices.ndim - 1))
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(offset), collapsed_slice_dims=(axis,), start_index_map=(axis,)
    )
    rank = indices.ndim
    spread = lax.broadcast_in_dim(indices, (*indices.shape, 1), tuple(range(rank)))
    return lax.gather(a, spread, numbers, tuple(sizes), mode=found, unique_indices=unique_indices,
                      indices_are_sorted=indices_are_sorted, fill_value=fill_value)  # fmt: skip


def take_along_axis(
    arr: Any,
    indices: Any,
    axis: int | None = -1,
    mode: Any = None,
    fill_value: Any = None,
    *,
    wrap_negative_indices: bool | None = None,
) -> Any:
    """Elements `arr[..., indices[..., j, ...], ...]` along an axis, the others in step."""
    check_arraylike("take_along_axis", arr, indices)
    return _take_along_axis(arr, indices, axis=axis, mode=mode, fill_value=fill_value,
                            wrap_negative_indices=wrap_negative_indices)  # fmt: skip


@nested_jit(name="take_along_axis",
            static_argnames=("axis", "mode", "fill_value", "wrap_negative_indices"))  # fmt: skip
def _take_along_axis(arr, indices, axis=-1, mode=None, fill_value=None,
                     wrap_negative_indices=None):  # fmt: skip
    a, idx = array_of(arr), array_of(indices)
    if not dtypes.issubdtype(idx.dtype, np.integer):
        raise TypeError(f"take_along_axis indices must be of integer type, got {idx.dtype}")
    if axis is None:
        if idx.ndim != 1:
            raise ValueError("take_along_axis indices must be 1D if axis=None, "
                             f"got shape {idx.shape}")  # fmt: skip
        a, axis = (lax.reshape(a, (a.size,)) if a.ndim != 1 else a), 0
    rank = a.ndim
    if idx.ndim != rank:
        raise ValueError("indices and arr must have the same number of dimensions; "
                         f"{idx.ndim} vs. {rank}")  # fmt: skip
    axis = canonicalize_axis(axis, rank)
    if mode == "one_hot":  # out of bounds indices match nothing
        mode, fill_value = "fill", 0
    found = gather_mode("fill" if mode is None else mode)
    a, idx = _matched(a, idx, axis)
    size = a.shape[axis]
    if wrap_negative_indices is not False and not dtypes.issubdtype(idx.dtype, np.unsignedinteger):
        zero = convert(0, idx.dtype)
        idx = lax.select(lax.lt(idx, zero), lax.add(idx, convert(size, idx.dtype)), idx)
    batch = tuple(i for i in range(rank) if i != axis and idx.shape[i] != 1)
    fixed = tuple(i for i in range(rank) if i != axis and i not in batch)
    numbers = lax.GatherDimensionNumbers(
        offset_dims=fixed,
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
        operand_batching_dims=batch,
        start_indices_batching_dims=tuple(k for k, i in enumerate(
            j for j in range(rank) if j not in fixed) if i in batch),
    )  # fmt: skip
    sizes = tuple(a.shape[i] if i in fixed else 1 for i in range(rank))
    kept = tuple(idx.shape[i] for i in range(rank) if i not in fixed)
    spread = lax.reshape(idx, (*kept, 1))
    return lax.gather(a, spread, numbers, sizes, mode=found, fill_value=fill_value)


def _matched(a: Any, idx: Any, axis: int) -> tuple[Any, Any]:
    """Both with equal sizes off the axis, except where the index has size 1."""
    off = [i for i in range(a.ndim) if i != axis]
    for i in off:
        if a.shape[i] != idx.shape[i] and 1 not in (a.shape[i], idx.shape[i]):
            raise ValueError(f"Incompatible shapes for broadcasting: {a.shape} and {idx.shape}")
    sizes = tuple(idx.shape[i] if i in off and a.shape[i] == 1 else n
                  for i, n in enumerate(a.shape))  # fmt: skip
    return broadcast_to_shape(a, sizes), idx


def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = True) -> Any:
    """`a` with the elements at flat indices replaced (in a copy)."""
    _need_copy("put", inplace)
    a, ind, v = ensure_arraylike("put", a, ind, v)
    flat_v, flat_ind = v.reshape(-1), ind.reshape(-1)
    if not a.size or not flat_ind.size or not flat_v.size:
        return a
    if mode is None:
        scatter = "drop"
    elif mode == "clip":
        flat_ind, scatter = flat_ind.clip(0, a.size - 1), "promise_in_bounds"
    elif mode == "wrap":
        flat_ind, scatter = flat_ind % a.size, "promise_in_bounds"
    else:
        raise ValueError(f"mode should be one of 'wrap' or 'clip'; got {mode=}")
    from jaxc.numpy.manipulation import resize

    values = resize(flat_v, flat_ind.shape)
    return a.reshape(-1).at[flat_ind].set(values, mode=scatter).reshape(a.shape)


def _need_copy(name: str, inplace: bool) -> None:
    if inplace:
        raise ValueError(
            f"jax.numpy.{name} cannot modify arrays in-place, because JAX arrays are immutable. "
            "Pass inplace=False to instead return an updated array."
        )


def put_along_axis(
    arr: Any, indices: Any, values: Any, axis: int | None, inplace: bool = True, *,
    mode: str | None = None,
) -> Any:  # fmt: skip
    """`arr` with elements along an axis replaced (in a copy)."""
    _need_copy("put_along_axis", inplace)
    arr, indices, values = ensure_arraylike("put_along_axis", arr, indices, values)
    shape = arr.shape
    if axis is None:
        arr, axis = arr.reshape(-1), 0
    axis = canonicalize_axis(axis, arr.ndim)
    if not dtypes.issubdtype(indices.dtype, np.integer):
        raise TypeError("put_along_axis indices must be of integer type")
    sizes = tuple(indices.shape[i] if i == axis else max(arr.shape[i], indices.shape[i])
                  for i in range(arr.ndim))  # fmt: skip
    indices = broadcast_to_shape(indices, sizes)
    grid = [lax.broadcasted_iota(np.int32, sizes, i) for i in range(arr.ndim)]
    grid[axis] = indices
    return arr.at[tuple(grid)].set(values, mode=mode or "drop").reshape(shape)


def place(arr: Any, mask: Any, vals: Any, *, inplace: bool = True) -> Any:
    """`arr` with elements where the mask holds replaced in turn by `vals` (in a copy)."""
    _need_copy("place", inplace)
    data, mask, vals = ensure_arraylike("place", arr, mask, vals)
    if data.size != mask.size:
        raise ValueError("place: arr and mask must be the same size")
    if not vals.size:
        raise ValueError("Cannot place values from an empty array")
    if not data.size:
        return data
    from jaxc.numpy.searching import nonzero

    at = nonzero(mask.reshape(-1), size=mask.size, fill_value=mask.size)[0]
    from jaxc.numpy.manipulation import resize

    values = resize(vals.reshape(-1), at.shape)
    return data.reshape(-1).at[at].set(values, mode="drop").reshape(data.shape)
