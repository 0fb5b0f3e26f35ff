"""What an index expression `x[idx]` selects: one entry per axis, and the gather that does it.

Owns checks and errors of index expressions. Must not import indexing or at.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from jaxc import errors, lax
from jaxc.core import dtypes
from jaxc.core.array import Array
from jaxc.core.trace import Tracer
from jaxc.numpy.promotion import convert, promoted_dtype, to_array

_ISSUE = "See https://github.com/jax-ml/jax/issues/4564 for more information."


@dataclass(frozen=True)
class Span:
    """A slice with static bounds: `size` elements from `start`, `step` apart."""

    start: int
    step: int
    size: int


@dataclass
class Parsed:
    """An index expression with one entry per axis of `x`, plus None for new axes.

    Attributes:
      entries: None (new axis), Span, int, or an integer array (host or traced).
      new_axes_of_x: where x gets a unit axis first (scalar bools index those).
      dots: the entry before which an Ellipsis that stands for no axis was written (else None);
        it separates index arrays.
    """

    entries: list[Any]
    new_axes_of_x: list[int]
    dots: int | None = None

    @property
    def advanced(self) -> bool:
        return any(_is_array(e) and np.ndim(e) > 0 if not isinstance(e, Tracer) else e.ndim > 0
                   for e in self.entries)  # fmt: skip

    @property
    def basic(self) -> bool:
        """Only ints, slices and new axes, all static."""
        return all(e is None or isinstance(e, Span | int) for e in self.entries)


def _is_array(x: Any) -> bool:
    return isinstance(x, Array | Tracer | np.ndarray | np.generic)


def as_tuple(idx: Any) -> tuple[Any, ...]:
    """The index expression as a tuple; TypeError for lists, which NumPy would treat otherwise."""
    if isinstance(idx, tuple):
        return idx
    if isinstance(idx, list):
        if any(isinstance(i, slice | list | tuple) or i is None or i is Ellipsis for i in idx):
            what = "`arr[tuple(seq)]`"
        else:
            what = "`arr[array(seq)]`"
        raise TypeError(
            "Using a non-tuple sequence for multidimensional indexing is not allowed; use "
            f"{what} instead of `arr[seq]`. {_ISSUE}"
        )
    return (idx,)


def parse(idx: Any, shape: tuple[int, ...]) -> Parsed:
    """Check an index expression and give one entry per axis.

    Raises:
      IndexError: for too many indices, two ellipses or mismatched bool masks.
      TypeError: for indices that are no integers.
      NonConcreteBooleanIndexError: for traced bool masks.
    """
    items = [_checked(i, idx) for i in as_tuple(idx)]
    used = sum(_axes_used(i) for i in items)
    if used > len(shape):
        raise IndexError(f"Too many indices: array is {len(shape)}-dimensional, "
                         f"but {used} were indexed")  # fmt: skip
    dots = [k for k, i in enumerate(items) if i is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    rest = [slice(None)] * (len(shape) - used)
    at = dots[0] if dots else len(items)
    dotted = bool(dots) and not rest
    items = items[:at] + rest + items[at + 1 :]
    entries: list[Any] = []
    new_axes: list[int] = []
    axis, dots_entry = 0, None
    for position, item in enumerate(items):
        if dotted and position == at:
            dots_entry = len(entries)
        if item is None:
            entries.append(None)
        elif _is_scalar_bool(item):
            new_axes.append(axis + len(new_axes))
            entries.append(np.zeros(1 if bool(item) else 0, np.int32))
        elif _is_bool(item):
            entries.extend(_mask_indices(item, shape, axis, position))
            axis += item.ndim
        else:
            entries.append(_entry(item, shape[axis], axis))
            axis += 1
    return Parsed(entries, new_axes, dots_entry)


def _checked(item: Any, idx: Any) -> Any:
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, str):
        raise TypeError(f"JAX does not support string indexing; got idx={idx!r}")
    if isinstance(item, list | tuple):
        from jaxc.numpy.creation import asarray

        item = asarray(item) if len(item) else np.zeros((0,), np.int32)
    elif hasattr(item, "__jax_array__"):
        item = item.__jax_array__()
    if isinstance(item, bool | int | np.integer):
        return item if isinstance(item, bool) else int(item)
    if isinstance(item, float | complex):
        kind = np.result_type(item).name
        raise TypeError(f"Indexer must have integer or boolean type, got indexer with type {kind}")
    if _is_array(item):
        if not (dtypes.issubdtype(item.dtype, np.integer) or item.dtype == np.dtype(bool)):
            raise TypeError(
                "Indexer must have integer or boolean type, got indexer with type "
                f"{item.dtype} at position 0, indexer value {item}"
            )
        return item
    try:
        return operator.index(item)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), newaxis (`None`) and integer or "
            f"boolean arrays are valid indices. Got {item}"
        ) from None


def _is_bool(item: Any) -> bool:
    return isinstance(item, bool) or (_is_array(item) and item.dtype == np.dtype(bool))


def _is_scalar_bool(item: Any) -> bool:
    if isinstance(item, bool):
        return True
    if not (_is_bool(item) and item.ndim == 0):
        return False
    _concrete_mask(item)
    return True


def _axes_used(item: Any) -> int:
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.ndim if _is_bool(item) else 1


def _concrete_mask(mask: Any) -> np.ndarray:
    if isinstance(mask, Tracer):
        value = mask.to_concrete_value()
        if value is None:
            raise errors.NonConcreteBooleanIndexError(mask)
        mask = value
    return np.asarray(mask)


def _mask_indices(mask: Any, shape: tuple[int, ...], axis: int, position: int) -> list[Any]:
    value = _concrete_mask(mask)
    expected = shape[axis : axis + value.ndim]
    if value.shape != tuple(expected):
        raise IndexError(
            f"boolean index did not match shape of indexed array in index {position}: "
            f"got {value.shape}, expected {list(expected)}"
        )
    return [i.astype(np.int32) for i in np.nonzero(value)]


def _entry(item: Any, size: int, axis: int) -> Any:
    if isinstance(item, slice):
        return _span(item, size)
    if isinstance(item, int) and size == 0:
        raise IndexError(f"index is out of bounds for axis {axis} with size 0")
    return item


def _span(item: slice, size: int) -> Span:
    try:
        start, stop, step = item.indices(size)
    except (errors.TracerIntegerConversionError, TypeError) as error:
        if not any(isinstance(v, Tracer) for v in (item.start, item.stop, item.step)):
            raise
        raise IndexError(
            "Array slice indices must have static start/stop/step to be used with NumPy indexing "
            f"syntax. Found slice({item.start}, {item.stop}, {item.step}). To index a statically "
            "sized array at a dynamic position, try lax.dynamic_slice/dynamic_update_slice (JAX "
            "does not support dynamically sized arrays within JIT compiled functions)."
        ) from error
    return Span(start, step, len(range(start, stop, step)))


# ---- the gather (or scatter) that selects the same elements -----------------------------------


@dataclass
class GatherPlan:
    """A gather over `x`, and what its result still needs.

    Attributes:
      indices: the index array, last dimension = start_index_map.
      shape: of the selection, as the user sees it, new axes included.
      flipped: axes of the gathered result that run backwards.
      new_axes: axes of the selection that are new.
    """

    indices: Any
    offset_dims: tuple[int, ...] = ()
    collapsed_dims: tuple[int, ...] = ()
    start_index_map: tuple[int, ...] = ()
    slice_sizes: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    flipped: tuple[int, ...] = ()
    new_axes: tuple[int, ...] = ()
    static: bool = True  # no index arrays: sorted and unique


def normalize(index: Any, size: int) -> Any:
    """Negative indices counted from the end; an operation only where the value is not static."""
    if isinstance(index, int):
        return index + size if index < 0 else index
    found = index.dtype
    if dtypes.issubdtype(found, np.unsignedinteger):
        return index
    if size > dtypes.iinfo(found).max:
        found = np.dtype(np.int32)
        index = index.astype(found) if isinstance(index, np.ndarray) else convert(index, found)
    if isinstance(index, np.ndarray | np.generic):
        negative: Any = to_array(index < 0)
        index = to_array(index)
    else:
        negative = lax.lt(index, convert(0, found))
    return lax.select(negative, lax.add(index, convert(size, index.dtype)), index)


@dataclass
class _Builder:
    """Axis counters while the entries are walked from left to right."""

    batch: list[int] = field(default_factory=list)  # shape of the index array
    parts: list[tuple[Any, int, int]] = field(default_factory=list)  # index, batch axis, x axis
    offset: list[int] = field(default_factory=list)
    collapsed: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    shape: list[int] = field(default_factory=list)
    flipped: list[int] = field(default_factory=list)
    new: list[int] = field(default_factory=list)
    y: int = 0  # axis of the gathered result (new axes not counted)


def plan_gather(parsed: Parsed, x_shape: tuple[int, ...], wrap_negative: bool) -> GatherPlan:
    """The gather that selects what the parsed index says."""
    entries = parsed.entries
    axes, x_axis = [], 0
    for entry in entries:
        axes.append(x_axis)
        x_axis += entry is not None
    arrays = [k for k, e in enumerate(entries) if not (e is None or isinstance(e, Span))]
    if not parsed.advanced:
        arrays = []
    joint, first = _joint_indices(entries, arrays, axes, x_shape, wrap_negative, parsed.dots)
    build = _Builder()
    for k, entry in enumerate(entries):
        if arrays and k == first:
            start = len(build.batch)
            for index, axis in joint:
                build.parts.append((index, start, axis))
            joint_shape = np.broadcast_shapes(*(np.shape(i) if isinstance(i, int) else i.shape
                                                for i, _ in joint))  # fmt: skip
            build.batch += joint_shape
            build.shape += joint_shape
            build.y += len(joint_shape)
        _add_entry(build, entry, axes[k], x_shape, k in arrays, wrap_negative)
    return GatherPlan(
        _index_array(build),
        tuple(build.offset),
        tuple(sorted(build.collapsed)),
        tuple(axis for _, _, axis in build.parts),
        tuple(build.sizes),
        tuple(build.shape),
        tuple(build.flipped),
        tuple(build.new),
        static=not arrays,
    )


def _joint_indices(entries, arrays, axes, x_shape, wrap_negative, dots):
    """Index arrays broadcast together, and the entry before which their dimensions go."""
    if not arrays:
        return [], -1
    contiguous = all(b - a == 1 and b != dots for a, b in pairwise(arrays))
    first = arrays[0] if contiguous else 0
    found = []
    for k in arrays:
        index = entries[k]
        if wrap_negative:
            index = normalize(index, x_shape[axes[k]])
        found.append((index, axes[k]))
    shapes = [() if isinstance(i, int) else i.shape for i, _ in found]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"Incompatible shapes for broadcasting: shapes={shapes}") from None
    return [(_broadcast_index(i, shape), axis) for i, axis in found], first


def _broadcast_index(index: Any, shape: tuple[int, ...]) -> Any:
    from jaxc.numpy.creation import broadcast_to_shape

    if isinstance(index, int):
        return lax.full(shape, index)
    if isinstance(index, np.ndarray):
        index = to_array(index)
    return broadcast_to_shape(index, shape)


def _add_entry(build, entry, axis, x_shape, is_array, wrap_negative) -> None:
    if entry is None:
        build.new.append(len(build.shape))
        build.shape.append(1)
        return
    if is_array:
        build.collapsed.append(axis)
        build.sizes.append(1)
        return
    if not isinstance(entry, Span):  # a scalar index
        index = normalize(entry, x_shape[axis]) if wrap_negative else entry
        build.parts.append((index, len(build.batch), axis))
        build.collapsed.append(axis)
        build.sizes.append(1)
        return
    build.shape.append(entry.size)
    whole = entry.step == 1 and entry.start == 0 and entry.size == x_shape[axis]
    if entry.step == 1:
        if not whole:
            build.parts.append((entry.start, len(build.batch), axis))
        build.sizes.append(entry.size)
        build.offset.append(build.y)
    else:
        build.parts.append((_spaced(entry), len(build.batch), axis))
        build.batch.append(entry.size)
        build.collapsed.append(axis)
        build.sizes.append(1)
        if entry.step < 0:
            build.flipped.append(build.y)
    build.y += 1


def _spaced(span: Span) -> Any:
    kind = dtypes.default_dtype(int)
    steps = lax.mul(convert(span.step, kind), lax.iota(kind, span.size))
    found = lax.add(convert(span.start, kind), steps)
    return lax.rev(found, (0,)) if span.step < 0 else found


def _index_array(build: _Builder) -> Any:
    """The indices of all mapped axes side by side in a new last dimension."""
    if not build.parts:
        return np.zeros((0,), np.int32)
    kinds = [i for i, _, _ in build.parts]
    dtype = promoted_dtype(*kinds)[0]
    batch = tuple(build.batch)
    columns = [
        convert(index if isinstance(index, int) else _as_device(index), dtype)
        for index, _, _ in build.parts
    ]
    spread = []
    for column, (_, start, _) in zip(columns, build.parts, strict=True):
        rank = getattr(column, "ndim", 0)
        axes = tuple(range(start, start + rank))
        spread.append(lax.broadcast_in_dim(column, (*batch, 1), axes))
    return spread[0] if len(spread) == 1 else lax.concatenate(spread, len(batch))


def _as_device(index: Any) -> Any:
    return to_array(index) if isinstance(index, np.ndarray | np.generic) else index
