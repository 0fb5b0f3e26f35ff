"""Shape functions: broadcast, reshape, transpose, concatenate, pad, slice, iota, full...

Owns the primitives of `opset/shape.py`, rules and public functions, and the small checks of axes
and shapes that other families use. Must not import jaxc.numpy.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.array import Array, wrap
from jaxc.core.primitive import primitive
from jaxc.core.trace import Tracer, get_aval
from jaxc.transforms import ad, batching
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray
from jaxc_compiler.opset.elementwise import convert_element_type_numpy

broadcast_in_dim_p = primitive("broadcast_in_dim")
concatenate_p = primitive("concatenate")
copy_p = primitive("copy")
iota_p = primitive("iota")
pad_p = primitive("pad")
reshape_p = primitive("reshape")
rev_p = primitive("rev")
slice_p = primitive("slice")
split_p = primitive("split")
squeeze_p = primitive("squeeze")
stack_p = primitive("stack")
tile_p = primitive("tile")
transpose_p = primitive("transpose")
unstack_p = primitive("unstack")


# ---- checks of axes and shapes ----------------------------------------------------------------


def canonicalize_axis(axis: Any, ndim: int) -> int:
    """The axis as an int in [0, ndim).

    Raises:
      ValueError: if it is out of range.
    """
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of bounds for array of dimension {ndim}")
    return axis + ndim if axis < 0 else axis


def canonicalize_shape(shape: Any) -> tuple[int, ...]:
    """The shape as a tuple of ints; a single int counts as a shape of rank one.

    Raises:
      TypeError: if it holds anything but concrete integers.
    """
    if isinstance(shape, int):
        shape = (shape,)
    try:
        return tuple(map(operator.index, shape))
    except TypeError:
        raise TypeError(
            f"Shapes must be 1D sequences of concrete values of integer type, got {shape}."
            + _traced_shape_hint(shape)
        ) from None


def _traced_shape_hint(shape: Any) -> str:
    if isinstance(shape, Sequence) and any(isinstance(dim, Tracer) for dim in shape):
        return (
            "\nIf using `jit`, try using `static_argnums` or applying `jit` to smaller "
            "subfunctions."
        )
    return ""


def one_later(dims: Sequence[int]) -> tuple[int, ...]:
    """Dimensions shifted by a new leading one; np.int64, which jaxprs print, where JAX has them."""
    return tuple(np.int64(d + 1) for d in dims)


def shape_of(x: Any) -> tuple[int, ...]:
    return get_aval(x).shape


def ndim_of(x: Any) -> int:
    return len(get_aval(x).shape)


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that arrays of the given shapes broadcast to under NumPy's rules.

    Raises:
      ValueError: if a dimension is neither equal nor 1.
    """
    if not shapes:
        return ()
    rank = max(map(len, shapes))
    result = []
    for dims in zip(*[(1,) * (rank - len(s)) + tuple(map(operator.index, s)) for s in shapes]):
        sizes = {d for d in dims if d != 1}
        if len(sizes) > 1:
            raise ValueError(f"Incompatible shapes for broadcasting: shapes={list(shapes)}")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def shape_as_value(shape: Sequence[int]) -> Any:
    """The dimensions of a shape as an integer vector."""
    return np.asarray(shape, np.int32 if all(d < 2**31 for d in shape) else np.int64)


# ---- constants ---------------------------------------------------------------------------------


def cast(x: Any, dtype: Any, weak_type: bool = False) -> Any:
    """`x` as an array or tracer of a dtype, not converted (or traced) if it is one already."""
    aval = getattr(x, "aval", None)
    if aval is not None:
        if aval.dtype == dtype and aval.weak_type == weak_type:
            return x
        return primitive("convert_element_type").bind(
            x, new_dtype=dtype, weak_type=weak_type, sharding=None
        )
    aval = get_aval(x)
    value = np.asarray(x) if type(x) is not int else np.asarray(x, aval.dtype)
    if value.dtype != dtype:
        with np.errstate(all="ignore"):
            value = convert_element_type_numpy(value, new_dtype=dtype)
    elif isinstance(x, np.ndarray):
        value = value.copy()
    return wrap(value, ShapedArray(value.shape, dtype, weak_type))


def as_array(x: Any) -> Any:
    """`x` as an Array or tracer; Python scalars stay weakly typed."""
    if isinstance(x, Array):
        return x
    if isinstance(x, list | tuple):
        raise TypeError(f"expected an array, got {x} of type {type(x)}.")
    if hasattr(x, "__jax_array__"):
        return as_array(x.__jax_array__())
    aval = get_aval(x)
    return cast(x, aval.dtype, aval.weak_type)


def const(example: Any, value: Any) -> Any:
    """A scalar of the dtype of `example`, weakly typed only if that is a weakly typed scalar."""
    aval = get_aval(example)
    if aval.weak_type and not aval.shape:
        scalar = dtypes.scalar_type_of(aval.dtype)(value)
        return scalar if get_aval(scalar).dtype == aval.dtype else np.array(value, aval.dtype)
    return np.array(value, aval.dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None, *, sharding: Any = None) -> Any:
    """An array of one repeated value.

    Args:
      shape: its shape.
      fill_value: a scalar.
      dtype: by default that of fill_value.
      sharding: accepted for compatibility; there is one device.

    Raises:
      TypeError: if fill_value is not a scalar or shape not a shape.

    Example:
      >>> from jaxc import lax
      >>> lax.full((2,), 7)
      Array([7, 7], dtype=int32, weak_type=True)
    """
    shape = canonicalize_shape(shape)
    aval = get_aval(fill_value)
    if aval.shape:
        raise TypeError(
            f"full must be called with scalar fill_value, got fill_value.shape {aval.shape}."
        )
    if dtype is None:
        return broadcast(cast(fill_value, aval.dtype, aval.weak_type), shape)
    return broadcast(cast(fill_value, dtypes.check_user_dtype(dtype, "full")), shape)


def dtype(x: Any) -> Any:
    """The dtype of an array or scalar, or that a scalar type stands for."""
    found = np.dtype(x) if isinstance(x, type) and issubclass(x, np.generic) else dtypes.dtype(x)
    return dtypes.canonicalize_dtype(found)


def empty(shape: Any, dtype: Any, *, out_sharding: Any = None) -> Any:
    """An array whose elements mean nothing yet; they are zeros."""
    return full(shape, 0, dtype)


def full_like(
    x: Any, fill_value: Any, dtype: Any = None, shape: Any = None, sharding: Any = None
) -> Any:
    """An array of one repeated value with the shape and dtype of `x` unless given."""
    target = get_aval(x) if not hasattr(x, "shape") or hasattr(x, "aval") else x
    weak_type = dtype is None and dtypes.is_weakly_typed(x)
    shape = tuple(target.shape) if shape is None else canonicalize_shape(shape)
    found = dtypes.canonicalize_dtype(target.dtype if dtype is None else dtype)
    if get_aval(fill_value).shape:
        raise TypeError(
            f"full must be called with scalar fill_value, got {get_aval(fill_value).shape}."
        )
    if isinstance(found, KeyDtype):
        word = np.full(found.key_shape, fill_value, np.uint32)
        return broadcast(wrap(word, ShapedArray((), found)), shape)
    return broadcast(cast(fill_value, found, weak_type), shape)


def zeros_like(x: Any) -> Any:
    """Zeros with the aval of `x`."""
    return ad.zeros_like_aval(get_aval(x))


def iota(dtype: Any, size: int) -> Any:
    """The vector 0, 1, ..., size - 1."""
    return broadcasted_iota(dtype, (size,), 0)


def broadcasted_iota(dtype: Any, shape: Any, dimension: Any, *, out_sharding: Any = None) -> Any:
    """An array whose elements are their own index along `dimension`."""
    return iota_p.bind(
        dtype=dtypes.check_user_dtype(dtype, "broadcasted_iota"),
        shape=canonicalize_shape(shape),
        dimension=operator.index(dimension),
        sharding=out_sharding,
    )


# ---- broadcast ---------------------------------------------------------------------------------


def broadcast(operand: Any, sizes: Sequence[int], *, out_sharding: Any = None) -> Any:
    """`operand` repeated along new leading dimensions of the given sizes."""
    if not len(sizes):
        return as_array(operand)
    shape = shape_of(operand)
    dims = tuple(range(len(sizes), len(sizes) + len(shape)))
    return broadcast_in_dim(operand, (*sizes, *shape), dims)


def broadcast_in_dim(
    operand: Any, shape: Any, broadcast_dimensions: Sequence[int], *, out_sharding: Any = None
) -> Any:
    """`operand` repeated to `shape`.

    Args:
      operand: array.
      shape: the result's shape.
      broadcast_dimensions: for each dimension of the operand, the one of the result it runs along;
        its size must be equal or 1.
      out_sharding: accepted for compatibility.

    Raises:
      TypeError: if the operand does not fit.

    Example:
      >>> from jaxc import lax
      >>> import jaxc.numpy as jnp
      >>> lax.broadcast_in_dim(jnp.arange(2), (2, 3), (0,)).tolist()
      [[0, 0, 0], [1, 1, 1]]
    """
    if not len(shape) and not len(broadcast_dimensions) and isinstance(operand, Array):
        return operand
    return broadcast_in_dim_p.bind(
        operand,
        shape=tuple(shape),
        broadcast_dimensions=tuple(broadcast_dimensions),
        sharding=out_sharding,
    )


def broadcast_to_rank(x: Any, rank: int) -> Any:
    """`x` with leading dimensions of size one up to the given rank."""
    missing = rank - ndim_of(x)
    return as_array(x) if missing == 0 else broadcast(x, (1,) * missing)


def broadcast_like(arr: Any, like_arr: Any) -> Any:
    """`arr` broadcast, under NumPy's rules, to the shape of another array.

    Raises:
      ValueError: if it cannot be.
    """
    shape, wanted = shape_of(arr), shape_of(like_arr)
    if shape == wanted:
        return as_array(arr)
    lead = len(wanted) - len(shape)
    if lead < 0 or any(d not in (1, w) for d, w in zip(shape, wanted[lead:])):
        raise ValueError(f"Incompatible shapes for broadcasting: {shape} and requested {wanted}")
    return broadcast_in_dim(arr, wanted, tuple(range(lead, len(wanted))))


def _broadcast_in_dim_transpose(ct, operand, *, shape, broadcast_dimensions, sharding):
    unit = [i for i, size in enumerate(operand.aval.shape) if size == 1]
    kept = {d for i, d in enumerate(broadcast_dimensions) if i not in unit}
    axes = tuple(d for d in range(len(shape)) if d not in kept)
    ct = primitive("reduce_sum").bind(ct, axes=axes, out_sharding=None)
    order = [broadcast_dimensions[i] for i in range(operand.aval.ndim) if i not in unit]
    if order != sorted(order):
        ct = transpose(ct, [sorted(order).index(d) for d in order])
    return [expand_dims(ct, unit)]


def _broadcast_in_dim_batch(args, dims, *, shape, broadcast_dimensions, sharding):
    operand = batching.moveaxis(args[0], dims[0], 0)
    new_dims = (0, *one_later(broadcast_dimensions))
    return broadcast_in_dim(operand, (shape_of(operand)[0], *shape), new_dims), 0


ad.deflinear2(broadcast_in_dim_p, _broadcast_in_dim_transpose)
batching.primitive_batchers[broadcast_in_dim_p] = _broadcast_in_dim_batch


# ---- reshape, squeeze, expand_dims -------------------------------------------------------------


def reshape(
    operand: Any, new_sizes: Any, dimensions: Any = None, *, out_sharding: Any = None
) -> Any:
    """The elements in row-major order (or with the dimensions first permuted) in a new shape.

    Raises:
      TypeError: if the new shape has another number of elements.
    """
    new_sizes = canonicalize_shape(new_sizes)
    shape = shape_of(operand)
    dims = None if dimensions is None else tuple(map(operator.index, dimensions))
    if dims == tuple(range(len(shape))):
        dims = None
    if shape and shape == new_sizes and dims is None and isinstance(operand, Array):
        return operand
    return reshape_p.bind(operand, new_sizes=new_sizes, dimensions=dims, sharding=out_sharding)


def collapse(operand: Any, start_dimension: int, stop_dimension: int | None = None) -> Any:
    """The dimensions from `start_dimension` up to `stop_dimension` merged into one."""
    shape = shape_of(operand)
    low, high, _ = builtins.slice(start_dimension, stop_dimension).indices(len(shape))
    if high < low:
        raise ValueError(
            f"Invalid dimension range passed to collapse: {shape}"
            f"[{start_dimension}:{stop_dimension}]"
        )
    return reshape(operand, (*shape[:low], math.prod(shape[low:high]), *shape[high:]))


def squeeze(array: Any, dimensions: Sequence[int]) -> Any:
    """`array` without the given dimensions, which must have size one."""
    ndim = ndim_of(array)
    dims = tuple(sorted(canonicalize_axis(d, ndim) for d in dimensions))
    if not dims and isinstance(array, Array):
        return array
    return squeeze_p.bind(array, dimensions=dims)


def expand_dims(array: Any, dimensions: Sequence[int]) -> Any:
    """`array` with dimensions of size one at the given positions of the result."""
    shape = shape_of(array)
    if not len(dimensions):
        return as_array(array)
    ndim = len(shape) + len(dimensions)
    dims = {canonicalize_axis(d, ndim) for d in dimensions}
    if len(dims) != len(dimensions):
        raise ValueError(f"repeated axis in lax.expand_dims: {tuple(dimensions)}")
    sizes = iter(shape)
    new_shape = [1 if d in dims else next(sizes) for d in range(ndim)]
    return broadcast_in_dim(array, new_shape, [d for d in range(ndim) if d not in dims])


def _reshape_transpose(ct, operand, *, new_sizes, dimensions, sharding):
    shape = operand.aval.shape
    if dimensions is None:
        return [reshape(ct, shape)]
    permuted = reshape(ct, [shape[d] for d in dimensions])
    return [transpose(permuted, np.argsort(dimensions))]


def _reshape_batch(args, dims, *, new_sizes, dimensions, sharding):
    operand = batching.moveaxis(args[0], dims[0], 0)
    if dimensions is not None:
        dimensions = (0, *[d + 1 for d in dimensions])
    return reshape(operand, (shape_of(operand)[0], *new_sizes), dimensions), 0


def _squeeze_batch(args, dims, *, dimensions):
    operand = batching.moveaxis(args[0], dims[0], 0)
    return squeeze(operand, [d + 1 for d in dimensions]), 0


ad.deflinear2(reshape_p, _reshape_transpose)
ad.deflinear2(squeeze_p, lambda ct, _, dimensions: [expand_dims(ct, dimensions)])
batching.primitive_batchers[reshape_p] = _reshape_batch
batching.primitive_batchers[squeeze_p] = _squeeze_batch


# ---- transpose, rev, copy, tile ----------------------------------------------------------------


def transpose(operand: Any, permutation: Sequence[int]) -> Any:
    """The dimensions in another order: result dimension i is operand dimension permutation[i]."""
    perm = tuple(map(operator.index, permutation))
    if perm == tuple(range(ndim_of(operand))) and isinstance(operand, Array):
        return operand
    return transpose_p.bind(operand, permutation=perm)


def rev(operand: Any, dimensions: Sequence[int]) -> Any:
    """The elements in reverse order along the given dimensions."""
    return rev_p.bind(operand, dimensions=tuple(dimensions))


def tile(operand: Any, reps: Sequence[int]) -> Any:
    """`operand` repeated reps[i] times, end to end, along each dimension i."""
    return tile_p.bind(operand, reps=tuple(reps))


def _transpose_batch(args, dims, *, permutation):
    (dim,) = dims
    perm = (dim, *[i + (i >= dim) for i in permutation])
    return transpose(args[0], perm), 0


def _rev_batch(args, dims, *, dimensions):
    return rev(args[0], [d + (d >= dims[0]) for d in dimensions]), dims[0]


def _tile_transpose(ct, operand, *, reps):
    shape = operand.aval.shape
    pairs = reshape(ct, [size for pair in zip(reps, shape) for size in pair])
    axes = tuple(range(0, 2 * len(shape), 2))
    return [primitive("reduce_sum").bind(pairs, axes=axes, out_sharding=None)]


def _tile_batch(args, dims, *, reps):
    return tile(args[0], (*reps[: dims[0]], 1, *reps[dims[0] :])), dims[0]


ad.deflinear2(transpose_p, lambda ct, _, permutation: [transpose(ct, np.argsort(permutation))])
ad.deflinear2(rev_p, lambda ct, _, dimensions: [rev(ct, dimensions)])
ad.deflinear2(copy_p, lambda ct, _: [copy_p.bind(ct)])
ad.deflinear2(tile_p, _tile_transpose)
batching.primitive_batchers[transpose_p] = _transpose_batch
batching.primitive_batchers[rev_p] = _rev_batch
batching.primitive_batchers[tile_p] = _tile_batch
batching.defvectorized(copy_p)
