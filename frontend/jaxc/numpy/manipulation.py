"""Shapes and orders of axes: reshape, transpose, broadcast, roll, flip, repeat, tile, ...

Composed of lax functions. Must not import reductions or indexing at load.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jaxc import errors, lax
from jaxc.core import dtypes
from jaxc.core.trace import Tracer
from jaxc.numpy.creation import (
    array,
    asarray,
    broadcast_to_shape,
    canonicalize_shape,
    placed,
    user_dtype,
)
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    canonicalize_axes,
    canonicalize_axis,
    check_arraylike,
    convert,
    ensure_arraylike,
)


def shape(a: Any) -> tuple[int, ...]:
    """Sizes of the dimensions."""
    if hasattr(a, "shape"):
        return a.shape
    return np.shape(a)


def ndim(a: Any) -> int:
    """Number of dimensions."""
    return a.ndim if hasattr(a, "ndim") else np.ndim(a)


def size(a: Any, axis: Any = None) -> int:
    """Number of elements, in all or along the given axes."""
    sizes = shape(a)
    if axis is None:
        return int(np.prod(sizes, dtype=np.int64)) if sizes else 1
    return int(np.prod([sizes[i] for i in canonicalize_axes(axis, len(sizes))], dtype=np.int64))


def astype(x: Any, dtype: Any, /, *, copy: bool = False, device: Any = None) -> Any:
    """`x` converted to `dtype` (the default float for None)."""
    x = ensure_arraylike("astype", x)
    target = dtypes.default_dtype(float) if dtype is None else user_dtype(dtype, "astype")
    return placed(cast(x, target, copy), device)


def cast(x: Any, dtype: Any, copy: bool = False) -> Any:
    """Conversion with NumPy's meaning: complex to real drops the imaginary part."""
    found = x.dtype
    if getattr(found, "kind", "") == "c" and getattr(dtype, "kind", "") not in ("c", ""):
        if dtype == np.dtype(bool):
            return lax.ne(x, convert(0, found))
        return lax.convert_element_type(x, dtype)
    if found == dtype and not x.weak_type:
        return array(x, copy=True) if copy else x
    return lax.convert_element_type(x, dtype)


# ---- reshape ----------------------------------------------------------------------------------


def _target_shape(a: Any, shape: Any) -> tuple[int, ...]:
    if isinstance(shape, str):
        raise TypeError(
            f"Shapes must be 1D sequences of concrete values of integer type, got {shape}."
        )
    sizes = canonicalize_shape(shape)
    unknown = [i for i, s in enumerate(sizes) if s == -1]
    total = int(np.prod(a.shape, dtype=np.int64))
    if len(unknown) > 1:
        raise TypeError(f"can only specify one unknown axis size with a `-1` value, got {sizes}")
    if not unknown:
        asked = int(np.prod(sizes, dtype=np.int64))
        if asked != total:
            raise TypeError(
                f"cannot reshape array of shape {a.shape} (size {total}) into shape {sizes} "
                f"(size {asked})"
            )
        return sizes
    known = int(np.prod([s for s in sizes if s != -1], dtype=np.int64))
    if known == 0 or total % known:
        raise TypeError(
            f"cannot reshape array of shape {a.shape} (size {total}) into shape {sizes} because "
            f"the product of specified axis sizes ({known}) does not evenly divide {total}"
        )
    at = unknown[0]
    return (*sizes[:at], total // known, *sizes[at + 1 :])


def reshape(
    a: Any, shape: Any, order: str = "C", *, copy: bool | None = None, out_sharding: Any = None
) -> Any:
    """The elements in a new shape; one size may be -1."""
    a = ensure_arraylike("reshape", a)
    if copy is False:
        raise NotImplementedError("jnp.reshape: copy=False is not supported")
    sizes = _target_shape(a, shape)
    if order == "C":
        return lax.reshape(a, sizes)
    if order != "F":
        if order == "A":
            raise NotImplementedError("np.reshape order=A is not implemented.")
        raise ValueError(f"Unexpected value for 'order' argument: {order}.")
    reverse = tuple(range(a.ndim))[::-1]
    return lax.transpose(lax.reshape(a, sizes[::-1], reverse), tuple(range(len(sizes)))[::-1])


def ravel(a: Any, order: str = "C", *, out_sharding: Any = None) -> Any:
    """The elements in one dimension."""
    a = ensure_arraylike("ravel", a)
    if order == "K":
        raise NotImplementedError("Ravel not implemented for order='K'.")
    return reshape(a, (a.size,), order)


def squeeze(a: Any, axis: Any = None) -> Any:
    """Without the dimensions of size 1 (all, or the given ones)."""
    a = ensure_arraylike("squeeze", a)
    if axis is None:
        axis = tuple(i for i, s in enumerate(a.shape) if s == 1)
    axes = axis if isinstance(axis, tuple | list) else (operator.index(axis),)
    return lax.squeeze(a, tuple(axes))


def expand_dims(a: Any, axis: Any) -> Any:
    """With new dimensions of size 1 at the given positions of the result."""
    a = ensure_arraylike("expand_dims", a)
    axes = axis if isinstance(axis, tuple | list) else (operator.index(axis),)
    return lax.expand_dims(a, tuple(axes))


def atleast_1d(*arys: Any) -> Any:
    """The arguments with at least one dimension."""
    return _atleast(_atleast_1d, arys)


def atleast_2d(*arys: Any) -> Any:
    """The arguments with at least two dimensions, new ones in front."""
    return _atleast(_atleast_2d, arys)


def atleast_3d(*arys: Any) -> Any:
    """The arguments with at least three dimensions."""
    return _atleast(_atleast_3d, arys)


def _atleast(one: Any, arys: tuple) -> Any:
    check_arraylike(one.__name__, *arys)
    found = [one(a) for a in arys]
    return found[0] if len(found) == 1 else found


@nested_jit(name="atleast_1d")
def _atleast_1d(x: Any) -> Any:
    x = array_of(x)
    return x if x.ndim else lax.broadcast_in_dim(x, (1,), ())


@nested_jit(name="atleast_2d")
def _atleast_2d(x: Any) -> Any:
    x = array_of(x)
    return x if x.ndim >= 2 else broadcast_to_shape(x, (1,) * (2 - x.ndim) + x.shape)


@nested_jit(name="atleast_3d")
def _atleast_3d(x: Any) -> Any:
    x = array_of(x)
    if x.ndim == 0:
        return broadcast_to_shape(x, (1, 1, 1))
    if x.ndim == 1:
        return lax.broadcast_in_dim(x, (1, x.shape[0], 1), (1,))
    return lax.broadcast_in_dim(x, (*x.shape, 1), (0, 1)) if x.ndim == 2 else x


# ---- broadcast --------------------------------------------------------------------------------


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that the given shapes broadcast to."""
    sizes = [(s,) if isinstance(s, int | np.integer) else tuple(s) for s in shapes]
    try:
        return tuple(int(d) for d in np.broadcast_shapes(*sizes))
    except ValueError:
        raise ValueError(f"Incompatible shapes for broadcasting: shapes={sizes}") from None


def broadcast_to(array: Any, shape: Any, *, out_sharding: Any = None) -> Any:
    """`array` repeated along new or unit dimensions to the given shape."""
    array = ensure_arraylike("broadcast_to", array)
    return broadcast_to_shape(array, canonicalize_shape(shape))


def broadcast_arrays(*args: Any) -> list[Any]:
    """The arguments broadcast against each other."""
    check_arraylike("broadcast_arrays", *args)
    operands = [array_of(a) for a in args]
    if not operands:
        return []
    target = broadcast_shapes(*(a.shape for a in operands))
    return [broadcast_to_shape(a, target) for a in operands]


# ---- order of axes ----------------------------------------------------------------------------


def transpose(a: Any, axes: Any = None) -> Any:
    """Axes in the given order (reversed for None)."""
    a = ensure_arraylike("transpose", a)
    order = range(a.ndim)[::-1] if axes is None else [_axis_index(i, a.ndim) for i in axes]
    return lax.transpose(a, tuple(order))


def _axis_index(axis: Any, rank: int) -> int:
    return canonicalize_axis(axis, rank)


def permute_dims(a: Any, /, axes: Any) -> Any:
    """Axes in the given order."""
    return transpose(a, axes)


def matrix_transpose(x: Any, /) -> Any:
    """The last two axes swapped."""
    x = ensure_arraylike("matrix_transpose", x)
    if x.ndim < 2:
        raise ValueError(
            f"x must be at least two-dimensional for matrix_transpose; got ndim={x.ndim}"
        )
    return swapaxes(x, -1, -2)


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    a = ensure_arraylike("swapaxes", a)
    order = np.arange(a.ndim)
    for axis in (axis1, axis2):
        if not -a.ndim <= operator.index(axis) < a.ndim:
            raise IndexError(f"index {axis} is out of bounds for axis 0 with size {a.ndim}")
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return lax.transpose(a, tuple(int(i) for i in order))


def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Axes moved to new positions, the others in their order."""
    a = ensure_arraylike("moveaxis", a)
    sources = source if isinstance(source, tuple | list) else (source,)
    targets = destination if isinstance(destination, tuple | list) else (destination,)
    sources = [canonicalize_axis(i, a.ndim) for i in sources]
    targets = [canonicalize_axis(i, a.ndim) for i in targets]
    for name, axes in (("source", sources), ("destination", targets)):
        if len(set(axes)) != len(axes):
            raise ValueError(f"repeated axis in `{name}` argument")
    if len(sources) != len(targets):
        raise ValueError(f"Inconsistent number of elements: {len(sources)} vs {len(targets)}")
    order = [i for i in range(a.ndim) if i not in sources]
    for target, source_axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source_axis)
    return lax.transpose(a, tuple(order))


@nested_jit(static_argnames=("axis", "start"))
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """One axis moved before position `start`."""
    a = ensure_arraylike("rollaxis", a)
    axis = canonicalize_axis(axis, a.ndim)
    if not -a.ndim <= start <= a.ndim:
        raise ValueError(f"start={start} must satisfy {-a.ndim}<=start<={a.ndim}")
    start = start + a.ndim if start < 0 else start
    start = start - 1 if start > axis else start
    return moveaxis(a, axis, start)


# ---- repeat -----------------------------------------------------------------------------------


def tile(A: Any, reps: Any) -> Any:
    """The array repeated whole along each axis."""
    A = ensure_arraylike("tile", A)
    try:
        counts = tuple(operator.index(r) for r in reps)
    except TypeError:
        counts = (operator.index(reps),)
    rank = max(len(counts), A.ndim)
    counts = (1,) * (rank - len(counts)) + counts
    A = broadcast_to_shape(A, (1,) * (rank - A.ndim) + A.shape)
    return lax.tile(A, counts)


def repeat(
    a: Any,
    repeats: Any,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
    out_sharding: Any = None,
) -> Any:
    """Each element repeated; `total_repeat_length` makes traced counts possible."""
    check_arraylike("repeat", a, repeats)
    a = array_of(a)
    if axis is None:
        a, axis = (lax.reshape(a, (a.size,)) if a.ndim != 1 else a), 0
    axis = canonicalize_axis(operator.index(axis), a.ndim)
    traced = isinstance(repeats, Tracer) and repeats.to_concrete_value() is None
    if total_repeat_length is None:
        if traced:
            raise errors.ConcretizationTypeError(
                repeats,
                "When jit-compiling jnp.repeat, the total number of repeats must be static. To "
                "fix this, either specify a static value for `repeats`, or pass a static value "
                "to `total_repeat_length`.",
            )
        counts = np.asarray(repeats)
        if counts.dtype.kind not in "iub":
            raise TypeError("repeats must be integers")
        if counts.size == 1:
            return _repeat_uniform(a, int(counts.reshape(())), axis)
        if a.shape[axis] != 1 and counts.shape != (a.shape[axis],):
            raise ValueError(f"Incompatible shapes for broadcasting: {counts.shape} and requested "
                             f"shape {(a.shape[axis],)}")  # fmt: skip
        total_repeat_length = int(counts.sum())
    return _repeat_varied(a, asarray(repeats), axis, total_repeat_length)


def _repeat_uniform(a: Any, count: int, axis: int) -> Any:
    wide = (*a.shape[: axis + 1], count, *a.shape[axis + 1 :])
    kept = tuple(i if i <= axis else i + 1 for i in range(a.ndim))
    out = lax.broadcast_in_dim(a, wide, kept)
    return lax.reshape(out, (*a.shape[:axis], a.shape[axis] * count, *a.shape[axis + 1 :]))


def _repeat_varied(a: Any, repeats: Any, axis: int, total: int) -> Any:
    from jaxc.numpy.creation import zeros
    from jaxc.numpy.cumulative import cumsum
    from jaxc.numpy.flipping import roll
    from jaxc.numpy.indexing import take

    if repeats.ndim == 0:
        repeats = lax.broadcast_in_dim(repeats, (1,), ())
    if repeats.shape == (1,) and a.shape[axis] != 1:
        repeats = broadcast_to_shape(repeats, (a.shape[axis],))
    if a.shape[axis] == 1 and repeats.shape[0] != 1:
        wide = list(a.shape)
        wide[axis] = repeats.shape[0]
        a = broadcast_to_shape(a, tuple(wide))
    if repeats.shape != (a.shape[axis],):
        repeats = broadcast_to_shape(repeats, (a.shape[axis],))
    if total == 0:
        return zeros((*a.shape[:axis], 0, *a.shape[axis + 1 :]), a.dtype)
    exclusive = roll(repeats, shift=1).at[0].set(0)
    marks = zeros((total,), np.int32).at[cumsum(exclusive)].add(1)
    gathered = lax.sub(cumsum(marks), np.int32(1))
    return take(a, gathered, axis=axis)


@nested_jit(name="resize", static_argnames=("new_shape",))
def _resize(a: Any, new_shape: tuple) -> Any:
    total = int(np.prod(new_shape, dtype=np.int64))
    if a.size == 0 or total == 0:
        from jaxc.numpy.creation import zeros

        return zeros(new_shape, a.dtype)
    flat = tile(ravel(a), -(-total // a.size))
    return reshape(lax.slice(flat, (0,), (total,)), new_shape)


def resize(a: Any, new_shape: Any) -> Any:
    """The elements, repeated as needed, in a new shape."""
    a = ensure_arraylike("resize", a)
    sizes = canonicalize_shape(new_shape)
    if any(s < 0 for s in sizes):
        raise ValueError("all elements of `new_shape` must be non-negative")
    return _resize(a, new_shape=sizes)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The slices along an axis."""
    x = ensure_arraylike("unstack", x)
    if x.ndim == 0:
        raise ValueError(
            "Unstack requires arrays with rank > 0, however a scalar array was passed."
        )
    axis = canonicalize_axis(axis, x.ndim)
    if x.shape[axis] == 0:
        return ()
    return tuple(lax.unstack(x, axis=axis))
