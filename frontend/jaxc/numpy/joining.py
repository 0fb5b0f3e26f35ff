"""Joining and splitting arrays: concatenate, stack, split, block, append, insert, delete.

Composed of lax functions. Must not import reductions at load.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from jaxc import errors, lax
from jaxc.core import dtypes
from jaxc.core.array import Array
from jaxc.core.trace import Tracer
from jaxc.numpy.creation import user_dtype, zeros
from jaxc.numpy.manipulation import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_to_shape,
    expand_dims,
    moveaxis,
    ravel,
)
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    canonicalize_axis,
    check_arraylike,
    convert,
    ensure_arraylike,
    promote_dtypes,
)
from jaxc.transforms.api import vmap


def _is_array(x: Any) -> bool:
    return isinstance(x, Array | Tracer | np.ndarray)


def _converted(arrays: list[Any], dtype: Any) -> list[Any]:
    if dtype is None:
        return [array_of(a) for a in promote_dtypes(*arrays)]
    return [convert(array_of(a), dtype) for a in arrays]


def _items(name: str, arrays: Any) -> list[Any]:
    if not isinstance(arrays, tuple | list):
        raise TypeError(f"{name} requires ndarray or sequence of arrays, got {type(arrays)}.")
    return list(arrays)


def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Any:
    """The arrays one after the other along an existing axis (flattened for None)."""
    dtype = user_dtype(dtype, "concatenate")
    if _is_array(arrays):
        return _concatenate_rows(array_of(arrays), axis, dtype)
    items = _items("concatenate", arrays)
    check_arraylike("concatenate", *items)
    if not items:
        raise ValueError("Need at least one array to concatenate.")
    if axis is None:
        return concatenate([ravel(a) for a in items], axis=0, dtype=dtype)
    items = [array_of(a) for a in items]
    if items[0].ndim == 0:
        raise ValueError("Zero-dimensional arrays cannot be concatenated.")
    axis = canonicalize_axis(axis, items[0].ndim)
    items = _converted(items, dtype)
    return items[0] if len(items) == 1 else lax.concatenate(items, axis)


def _concatenate_rows(x: Any, axis: int | None, dtype: Any) -> Any:
    x = x if dtype is None else convert(x, dtype)
    if axis is None:
        return ravel(x)
    if x.ndim < 2:
        raise ValueError("Zero-dimensional arrays cannot be concatenated.")
    rank = x.ndim - 1
    axis = canonicalize_axis(axis, rank)
    sizes = list(x.shape[1:])
    sizes[axis] *= x.shape[0]
    order = (*range(1, axis + 1), 0, *range(axis + 1, x.ndim))
    return lax.reshape(x, tuple(sizes), None if axis == 0 else order)


def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
    """The same as `concatenate`."""
    return concatenate(list(arrays) if _is_array(arrays) else arrays, axis=axis)


def stack(arrays: Any, axis: int = 0, out: None = None, dtype: Any = None) -> Any:
    """The arrays along a new axis."""
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.stack is not supported.")
    if _is_array(arrays):
        x = array_of(arrays)
        axis = canonicalize_axis(axis, x.ndim)
        return concatenate(expand_dims(x, axis + 1), axis=axis, dtype=dtype)
    if not isinstance(arrays, tuple | list):
        raise TypeError(f"stack requires ndarray or sequence of arrays, got {type(arrays)}.")
    if not arrays:
        raise ValueError("Need at least one array to stack.")
    check_arraylike("stack", *arrays)
    items = [array_of(a) for a in arrays]
    shapes = [a.shape for a in items]
    if len({len(s) for s in shapes}) > 1:
        listed = ", ".join(map(str, shapes))
        raise ValueError(f"Cannot stack arrays with different numbers of dimensions: got {listed}.")
    if len(set(shapes)) > 1:
        raise ValueError("All input arrays must have the same shape.")
    axis = canonicalize_axis(axis, items[0].ndim + 1)
    return lax.stack(_converted(items, user_dtype(dtype, "stack")), axis=axis)


def _each(tup: Any, fun: Any) -> Any:
    if _is_array(tup):
        return vmap(fun)(array_of(tup))
    return [fun(a) for a in tup]


def _checked(name: str, tup: Any) -> None:
    if not _is_array(tup):
        if not isinstance(tup, tuple | list):
            raise TypeError(f"{name} requires ndarray or sequence of arrays, got {type(tup)}.")
        check_arraylike(name, *tup)


def vstack(tup: Any, dtype: Any = None) -> Any:
    """The arrays (as rows, if they have one dimension) along the first axis."""
    _checked("vstack", tup)
    return concatenate(_each(tup, atleast_2d), axis=0, dtype=dtype)


def hstack(tup: Any, dtype: Any = None) -> Any:
    """The arrays along the second axis, or the first if they have one dimension."""
    _checked("hstack", tup)
    arrays = _each(tup, atleast_1d)
    if _is_array(arrays):
        rank = arrays.ndim - 1
    else:
        if not arrays:
            raise ValueError("Need at least one array to concatenate.")
        rank = arrays[0].ndim
    return concatenate(arrays, axis=0 if rank == 1 else 1, dtype=dtype)


def dstack(tup: Any, dtype: Any = None) -> Any:
    """The arrays along the third axis."""
    _checked("dstack", tup)
    return concatenate(_each(tup, atleast_3d), axis=2, dtype=dtype)


def column_stack(tup: Any) -> Any:
    """One-dimensional arrays as columns of a matrix."""
    _checked("column_stack", tup)

    def column(x: Any) -> Any:
        x = array_of(x)
        return x if x.ndim >= 2 else lax.transpose(atleast_2d(x), (1, 0))

    return concatenate(_each(tup, column), axis=1)


# ---- split ------------------------------------------------------------------------------------


def _static_ints(name: str, x: Any, argument: int) -> Any:
    parts = x if isinstance(x, tuple | list) else (x,)
    for part in parts:
        if isinstance(part, Tracer) and part.to_concrete_value() is None:
            raise errors.ConcretizationTypeError(part, f"in jax.numpy.{name} argument {argument}")
    return np.asarray(x) if not isinstance(x, int) else x


def _split(name: str, ary: Any, indices_or_sections: Any, axis: Any) -> list[Any]:
    x = ensure_arraylike(name, ary)
    axis = canonicalize_axis(axis, x.ndim)
    length = x.shape[axis]
    where = _static_ints(name, indices_or_sections, 1)
    if np.ndim(where):
        edges = [0, *(int(i) for i in where), length]
        edges = [e + length if e < 0 else e for e in edges]
        sizes = [b - a for a, b in pairwise(edges)]
    else:
        count = int(where)
        if count <= 0:
            raise ValueError("number sections must be larger than 0.")
        part, rest = divmod(length, count)
        if rest and name != "array_split":
            raise ValueError(f"array split does not result in an equal division: rest is {rest}")
        sizes = [part + 1] * rest + [part] * (count - rest)
    # NumPy integers, as JAX's jaxprs print them
    return list(lax.split(x, tuple(np.int64(s) for s in sizes), axis=axis))


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Equal parts, or the parts between the given indices."""
    return _split("split", ary, indices_or_sections, axis)


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Like `split`; the first parts are one longer if the length does not divide."""
    return _split("array_split", ary, indices_or_sections, axis)


def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Split along the first axis."""
    return _split("vsplit", ary, indices_or_sections, 0)


def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Split along the second axis (the first of a vector)."""
    x = ensure_arraylike("hsplit", ary)
    return _split("hsplit", x, indices_or_sections, 0 if x.ndim == 1 else 1)


def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Split along the third axis."""
    return _split("dsplit", ary, indices_or_sections, 2)


# ---- append, block, insert, delete ------------------------------------------------------------


@nested_jit(static_argnames=("axis",))
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """`values` at the end of `arr` (both flattened for axis None)."""
    check_arraylike("append", arr, values)
    if axis is None:
        return concatenate([ravel(arr), ravel(values)], axis=0)
    return concatenate([arr, values], axis=axis)


@nested_jit
def block(arrays: Any) -> Any:
    """An array from nested lists of blocks."""
    return _block(arrays)[0]


def _block(nested: Any) -> tuple[Any, int]:
    if isinstance(nested, tuple):
        raise ValueError(f"jax.numpy.block does not allow tuples, got {nested}")
    if not isinstance(nested, list):
        return array_of(nested), 1
    if not nested:
        raise ValueError("List at arrays cannot be empty")
    parts = [_block(part) for part in nested]
    depth = parts[0][1]
    if any(d != depth for _, d in parts):
        raise ValueError("List depths are mismatched")
    rank = (
        max(depth, *(x.ndim for x, _ in parts)) if len(parts) > 1 else max(depth, parts[0][0].ndim)
    )
    arrays = [broadcast_to_shape(x, (1,) * (rank - x.ndim) + x.shape) for x, _ in parts]
    return concatenate(arrays, axis=-depth), depth + 1


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """`values` inserted before the given indices."""
    check_arraylike("insert", arr, values)
    if not isinstance(obj, slice):
        check_arraylike("insert", obj)
    a, values = array_of(arr), array_of(values)
    if axis is None:
        a, axis = ravel(a), 0
    axis = canonicalize_axis(axis, a.ndim)
    length = a.shape[axis]
    if isinstance(obj, slice):
        from jaxc.numpy.ranges import arange

        where = arange(*obj.indices(length))
    else:
        where = array_of(obj)
    if where.ndim > 1:
        raise ValueError("jnp.insert(): obj must be a slice, a one-dimensional array, or a scalar; "
                         f"got {obj}")  # fmt: skip
    if not dtypes.issubdtype(where.dtype, np.integer):
        if where.size == 0 and not isinstance(obj, Array):
            where = where.astype(np.int32)
        else:
            raise ValueError("jnp.insert(): obj array must be an integer array; "
                             f"got {obj}")  # fmt: skip
    values = convert(
        broadcast_to_shape(values, (1,) * (a.ndim - values.ndim) + values.shape), a.dtype
    )
    if where.ndim == 0 and values.ndim:
        values = moveaxis(values, 0, axis)
    if where.ndim == 0:
        where = lax.reshape(where, (1,))
    if where.size == 1 and values.shape[axis] != 1:
        where = broadcast_to_shape(where, (values.shape[axis],))
    return _insert(a, where, values, axis)


def _insert(a: Any, where: Any, values: Any, axis: int) -> Any:
    from jaxc.numpy.ranges import arange
    from jaxc.numpy.selection import clip
    from jaxc.numpy.selection import where as choose
    from jaxc.numpy.sorting import argsort

    length, count = a.shape[axis], where.shape[0]
    where = clip(choose(where < 0, where + length, where), 0, length)
    sizes = (*a.shape[:axis], count, *a.shape[axis + 1 :])
    values = broadcast_to_shape(values, sizes)
    out = zeros((*a.shape[:axis], length + count, *a.shape[axis + 1 :]), a.dtype)
    at_new = where.at[argsort(where)].add(arange(count, dtype=where.dtype))
    keep = zeros(length + count, bool).at[at_new].set(True)
    from jaxc.numpy.searching import nonzero

    at_old = nonzero(~keep, size=length)[0]
    prefix = (slice(None),) * axis
    return out.at[(*prefix, at_new)].set(values).at[(*prefix, at_old)].set(a)


def delete(
    arr: Any, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False
) -> Any:
    """`arr` without the entries at the given indices."""
    check_arraylike("delete", arr)
    a = array_of(arr)
    if axis is None:
        a, axis = ravel(a), 0
    axis = canonicalize_axis(axis, a.ndim)
    length = a.shape[axis]
    if isinstance(obj, int | np.integer) or (hasattr(obj, "ndim") and obj.ndim == 0):
        return _delete_one(a, obj, axis)
    if isinstance(obj, slice):
        drop = np.arange(length)[obj]
    else:
        if (
            isinstance(obj, Tracer)
            and obj.to_concrete_value() is None
            and not assume_unique_indices
        ):
            raise errors.ConcretizationTypeError(obj, "'obj' array argument of jnp.delete()")
        if assume_unique_indices:
            return _delete_unique(a, array_of(obj), axis)
        drop = np.asarray(obj)
        if drop.dtype == bool:
            if drop.shape != (length,):
                raise ValueError(
                    "np.delete(arr, obj): for boolean indices, obj must be one-dimensional "
                    "with length matching specified axis."
                )
            drop = np.flatnonzero(drop)
        elif drop.size == 0:
            drop = drop.astype(int)
    keep = np.ones(length, bool)
    drop = np.where(drop < 0, drop + length, drop)
    keep[np.clip(drop, 0, length)[drop < length]] = False
    return a[(slice(None),) * axis + (np.flatnonzero(keep),)]


def _delete_one(a: Any, obj: Any, axis: int) -> Any:
    from jaxc.numpy.ranges import arange
    from jaxc.numpy.selection import clip
    from jaxc.numpy.selection import where as choose

    length = a.shape[axis]
    if isinstance(obj, int | np.integer):
        at = obj + length if obj < 0 else obj
        at = min(max(at, 0), length - 1)
        before = (slice(None),) * axis
        return lax.concatenate([a[(*before, slice(at))], a[(*before, slice(at + 1, None))]], axis)
    index = array_of(obj)
    if not dtypes.issubdtype(index.dtype, np.integer):
        raise ValueError("index array argument to delete must be one-dimensional integer array")
    index = clip(choose(index < 0, index + length, index), 0, length - 1)
    position = arange(length - 1)
    return a[(slice(None),) * axis + (choose(position >= index, position + 1, position),)]


def _delete_unique(a: Any, index: Any, axis: int) -> Any:
    from jaxc.numpy.ranges import arange
    from jaxc.numpy.reductions import sum
    from jaxc.numpy.selection import clip
    from jaxc.numpy.selection import where as choose
    from jaxc.numpy.sorting import sort

    length = a.shape[axis]
    index = ravel(index)
    index = clip(choose(index < 0, index + length, index), 0, length - 1)
    first = sort(index)
    first = first - arange(first.size, dtype=first.dtype)
    position = arange(length - first.size, dtype=first.dtype)
    position = position + sum(position[:, None] >= first, axis=1, dtype=position.dtype)
    return a[(slice(None),) * axis + (position,)]
