"""Indexed reads and writes: dynamic slices, gather, index_take.

Owns the public functions and the rules of dynamic_slice, dynamic_update_slice and gather, but for
two that are scatters: see `scatter.py`. Must not import jaxc.numpy.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.lax.joining import concatenate
from jaxc.lax.shape import (
    broadcast,
    broadcast_in_dim,
    canonicalize_shape,
    cast,
    const,
    expand_dims,
    full,
    one_later,
    shape_of,
    squeeze,
)
from jaxc.transforms import ad, batching
from jaxc.transforms.jit import jnp_jit
from jaxc_compiler.opset.avals import KeyDtype
from jaxc_compiler.opset.indexing import default_fill_value
from jaxc_compiler.opset.params import (
    GatherDimensionNumbers,
    GatherScatterMode,
)

dynamic_slice_p = primitive("dynamic_slice")
dynamic_update_slice_p = primitive("dynamic_update_slice")
gather_p = primitive("gather")


# ---- dynamic slices ----------------------------------------------------------------------------


def _start_indices(operand: Any, starts: Any, allow_negative: Any) -> list[Any]:
    """The start indices one by one, negative ones counted from the end where allowed.

    Raises:
      ValueError: if there is not one for each dimension.
    """
    shape = shape_of(operand)
    if len(starts) != len(shape):
        raise ValueError(
            "Length of slice indices must match number of operand dimensions "
            f"({len(starts)} vs {shape})"
        )
    if not isinstance(starts, Sequence):
        if len(shape_of(starts)) != 1:
            raise ValueError(f"Slice indices must be a 1D sequence, got {shape_of(starts)}")
        starts = _elements(starts)
    if isinstance(allow_negative, bool):
        allow_negative = [allow_negative] * len(shape)
    return [_start_index(i, dim, ok) for i, dim, ok in zip(starts, shape, allow_negative)]


def _elements(x: Any) -> list[Any]:
    size = shape_of(x)[0]
    index = primitive("slice")
    return [
        squeeze(index.bind(x, start_indices=(i,), limit_indices=(i + 1,), strides=(1,)), (0,))
        for i in range(size)
    ]


def _start_index(index: Any, size: int, allow_negative: bool) -> Any:
    aval = get_aval(index)
    if dtypes.issubdtype(aval.dtype, np.unsignedinteger):
        return index
    if isinstance(index, int | np.integer):
        if index < 0 and not allow_negative:
            raise ValueError(
                f"Index {index} is out of bounds for dimension {size} if "
                "allow_negative_indices=False"
            )
        return cast(index + size if index < 0 else index, aval.dtype)
    if not allow_negative or aval.shape or not dtypes.issubdtype(aval.dtype, np.integer):
        return index
    negative = primitive("lt").bind(index, const(index, 0))
    wrapped = primitive("add").bind(cast(index, aval.dtype), np.array(size, aval.dtype))
    return primitive("select_n").bind(negative, index, wrapped)


def dynamic_slice(
    operand: Any, start_indices: Any, slice_sizes: Any, *, allow_negative_indices: Any = True
) -> Any:
    """A slice of static size that starts at indices known only at run time.

    Args:
      operand: array.
      start_indices: one integer scalar for each dimension, or a vector of them. The slice is moved
        to lie inside the operand.
      slice_sizes: its size in each dimension.
      allow_negative_indices: whether negative indices count from the end.

    Example:
      >>> from jaxc import lax
      >>> import jaxc.numpy as jnp
      >>> lax.dynamic_slice(jnp.arange(5), (3,), (3,)).tolist()
      [2, 3, 4]
    """
    starts = _start_indices(operand, start_indices, allow_negative_indices)
    return dynamic_slice_p.bind(operand, *starts, slice_sizes=canonicalize_shape(slice_sizes))


def dynamic_update_slice(
    operand: Any, update: Any, start_indices: Any, *, allow_negative_indices: Any = True
) -> Any:
    """`operand` with the slice that starts at `start_indices` replaced by `update`."""
    starts = _start_indices(operand, start_indices, allow_negative_indices)
    return dynamic_update_slice_p.bind(operand, update, *starts)


def _along(operand: Any, start: Any, axis: int, allow: bool) -> tuple[list[Any], list[bool]]:
    ndim = len(shape_of(operand))
    starts, allowed = [const(start, 0)] * ndim, [False] * ndim
    starts[axis], allowed[axis] = start, allow
    return starts, allowed


def dynamic_slice_in_dim(
    operand: Any,
    start_index: Any,
    slice_size: int,
    axis: int = 0,
    *,
    allow_negative_indices: bool = True,
) -> Any:
    """`dynamic_slice` along one axis."""
    axis = int(axis)
    starts, allowed = _along(operand, start_index, axis, allow_negative_indices)
    sizes = list(shape_of(operand))
    sizes[axis] = operator.index(slice_size)
    return dynamic_slice(operand, starts, sizes, allow_negative_indices=allowed)


def dynamic_update_slice_in_dim(
    operand: Any, update: Any, start_index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """`dynamic_update_slice` along one axis."""
    starts, allowed = _along(operand, start_index, int(axis), allow_negative_indices)
    return dynamic_update_slice(operand, update, starts, allow_negative_indices=allowed)


@jnp_jit(static_argnames=("axis", "keepdims", "allow_negative_indices"))
def dynamic_index_in_dim(
    operand: Any,
    index: Any,
    axis: int = 0,
    keepdims: bool = True,
    *,
    allow_negative_indices: bool = True,
) -> Any:
    """The slice at one index, known only at run time, of an axis."""
    out = dynamic_slice_in_dim(
        operand, index, 1, axis, allow_negative_indices=allow_negative_indices
    )
    return out if keepdims else squeeze(out, (axis,))


@jnp_jit(static_argnames=("axis", "allow_negative_indices"))
def dynamic_update_index_in_dim(
    operand: Any, update: Any, index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """`operand` with the slice at one index of an axis replaced by `update`."""
    axis = int(axis)
    if len(shape_of(update)) != len(shape_of(operand)):
        update = expand_dims(update, (axis,))
    return dynamic_update_slice_in_dim(
        operand, update, index, axis, allow_negative_indices=allow_negative_indices
    )


# ---- gather ------------------------------------------------------------------------------------


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Any,
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Any = None,
    fill_value: Any = None,
) -> Any:
    """Slices of `operand` at many places.

    Args:
      operand: array.
      start_indices: integers; the last dimension holds index vectors.
      dimension_numbers: what each dimension means.
      slice_sizes: size of each slice in each operand dimension.
      unique_indices, indices_are_sorted: promises about the indices.
      mode: what to do with an index out of bounds: "clip", "fill" or "promise_in_bounds" (default).
      fill_value: for "fill": by default NaN, the least signed or greatest unsigned integer, True.

    Raises:
      TypeError: if the dimension numbers or sizes do not fit.
      ValueError: if the indices are not integers or the mode is unknown.
    """
    parsed = GatherScatterMode.from_any("promise_in_bounds" if mode is None else mode)
    if parsed is not GatherScatterMode.FILL_OR_DROP:
        fill_value = None
    elif fill_value is None:
        fill_value = _fill_value(get_aval(operand).dtype)
    return gather_p.bind(
        operand,
        start_indices,
        dimension_numbers=dimension_numbers,
        slice_sizes=canonicalize_shape(slice_sizes),
        unique_indices=bool(unique_indices),
        indices_are_sorted=bool(indices_are_sorted),
        mode=parsed,
        fill_value=fill_value,
    )


def _fill_value(dtype: Any) -> Any:
    if dtypes.issubdtype(dtype, np.inexact):
        return float("nan")
    if isinstance(dtype, KeyDtype):
        return int(np.iinfo(np.uint32).max)
    return default_fill_value(dtype).item()


def index_take(src: Any, idxs: Sequence[Any], axes: Sequence[int]) -> Any:
    """The elements at vectors of indices along the given axes; indices wrap around."""
    indices = concatenate([expand_dims(i, (1,)) for i in idxs], 1)
    shape = shape_of(src)
    dtype = get_aval(indices).dtype
    limits = np.array([shape[a] for a in axes], dtype)[None]
    indices = _floor_remainder(indices, broadcast_in_dim(limits, shape_of(indices), (0, 1)))
    sizes = [1 if d in axes else s for d, s in enumerate(shape)]
    numbers = GatherDimensionNumbers(
        offset_dims=tuple(range(1, len(shape) - len(axes) + 1)),
        collapsed_slice_dims=tuple(axes),
        start_index_map=tuple(axes),
    )
    return gather(src, indices, numbers, sizes)


def _floor_remainder(x: Any, y: Any) -> Any:
    rest = primitive("rem").bind(x, y)
    zero = full(shape_of(x), 0, get_aval(x).dtype)
    negative = primitive("lt").bind(rest, zero)
    return primitive("select_n").bind(negative, rest, primitive("add").bind(rest, y))


# ---- rules -------------------------------------------------------------------------------------


def _dynamic_slice_jvp(primals, tangents, *, slice_sizes):
    out = dynamic_slice_p.bind(*primals, slice_sizes=slice_sizes)
    if type(tangents[0]) is ad.Zero:
        return out, ad.Zero.from_primal_value(out)
    return out, dynamic_slice_p.bind(tangents[0], *primals[1:], slice_sizes=slice_sizes)


def _dynamic_slice_transpose(ct, operand, *starts, slice_sizes):
    nones = [None] * len(starts)
    if type(ct) is ad.Zero:
        return [ad.Zero(operand.aval), *nones]
    zeros = full(operand.aval.shape, 0, operand.aval.dtype)
    return [dynamic_update_slice_p.bind(zeros, ct, *starts), *nones]


def index_vectors(starts: Sequence[Any], dims: Sequence[Any]) -> tuple[Any, int | None]:
    """Scalar start indices, some of them batched, as index vectors."""
    if not starts:
        return np.zeros((0,), np.int32), None
    sizes = [shape_of(s)[d] for s, d in zip(starts, dims) if d is not None]
    if not sizes:
        return concatenate([broadcast(s, (1,)) for s in starts], 0), None
    columns = [
        broadcast_in_dim(s, (sizes[0], 1), () if d is None else (0,)) for s, d in zip(starts, dims)
    ]
    return concatenate(columns, 1), 0


def _dynamic_slice_batch(args, dims, *, slice_sizes):
    operand, *starts = args
    axes = tuple(range(len(slice_sizes)))
    indices, indices_dim = index_vectors(starts, dims[1:])
    return _gather_batch(
        (operand, indices),
        (dims[0], indices_dim),
        dimension_numbers=GatherDimensionNumbers(axes, (), axes),
        slice_sizes=slice_sizes,
        unique_indices=True,
        indices_are_sorted=True,
        mode=GatherScatterMode.CLIP,
        fill_value=None,
    )


def _dynamic_update_slice_jvp(primals, tangents):
    starts = primals[2:]
    out = dynamic_update_slice_p.bind(*primals)
    if type(tangents[0]) is ad.Zero and type(tangents[1]) is ad.Zero:
        return out, ad.Zero.from_primal_value(out)
    parts = map(ad.instantiate_zeros, tangents[:2])
    return out, dynamic_update_slice_p.bind(*parts, *starts)


def _dynamic_update_slice_transpose(ct, operand, update, *starts):
    ct_operand = ct_update = None
    undefined_operand, undefined_update = map(ad.is_undefined_primal, (operand, update))
    if type(ct) is ad.Zero:
        ct_operand = ad.Zero(operand.aval) if undefined_operand else None
        ct_update = ad.Zero(update.aval) if undefined_update else None
        return [ct_operand, ct_update, *[None] * len(starts)]
    shape = update.aval.shape if undefined_update else shape_of(update)
    if undefined_operand:
        zeros = full(shape, 0, get_aval(ct).dtype)
        ct_operand = dynamic_update_slice_p.bind(ct, zeros, *starts)
    if undefined_update:
        ct_update = dynamic_slice_p.bind(ct, *starts, slice_sizes=shape)
    return [ct_operand, ct_update, *[None] * len(starts)]


def _gather_jvp(g, operand, indices, *, fill_value, **params):
    return gather(g, indices, fill_value=0, **params)


def shift_numbers(numbers: Any, **leading: tuple[int, ...]) -> Any:
    """Dimension numbers with every dimension one later, and `leading` ones put in front.

    A field of the operand or the result (which get a leading dimension) is shifted; fields of the
    indices are given in `leading` too if the indices get one: None leaves a field as it is.
    """
    changes = {}
    for name, dims in numbers._asdict().items():
        first = leading.get(name, ())
        changes[name] = dims if first is None else (*first, *one_later(dims))
    return type(numbers)(**changes)


def _gather_batch(
    args,
    dims,
    *,
    dimension_numbers,
    slice_sizes,
    unique_indices,
    indices_are_sorted,
    mode,
    fill_value,
):
    (operand, indices), (operand_dim, indices_dim) = args, dims
    numbers = dimension_numbers
    if operand_dim is not None:
        operand = batching.moveaxis(operand, operand_dim, 0)
    if indices_dim is not None:
        indices = batching.moveaxis(indices, indices_dim, 0)
    if indices_dim is None:
        numbers = shift_numbers(numbers, offset_dims=(0,), start_indices_batching_dims=None)
        slice_sizes = (shape_of(operand)[0], *slice_sizes)
    elif operand_dim is None:
        numbers = numbers._replace(
            offset_dims=tuple(d + 1 for d in numbers.offset_dims),
            start_indices_batching_dims=one_later(numbers.start_indices_batching_dims),
        )
        unique_indices = indices_are_sorted = False
    else:
        numbers = shift_numbers(
            numbers, operand_batching_dims=(0,), start_indices_batching_dims=(0,)
        )
        slice_sizes = (min(1, shape_of(operand)[0]), *slice_sizes)
    out = gather(
        operand,
        indices,
        numbers,
        slice_sizes,
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        mode=mode,
        fill_value=fill_value,
    )
    return out, 0


ad.primitive_jvps[dynamic_slice_p] = _dynamic_slice_jvp
ad.primitive_transposes[dynamic_slice_p] = _dynamic_slice_transpose
batching.primitive_batchers[dynamic_slice_p] = _dynamic_slice_batch
ad.primitive_jvps[dynamic_update_slice_p] = _dynamic_update_slice_jvp
ad.primitive_transposes[dynamic_update_slice_p] = _dynamic_update_slice_transpose
ad.defjvp(gather_p, _gather_jvp, None)
batching.primitive_batchers[gather_p] = _gather_batch
