"""Shape ops: each result element is one operand element, or a constant, chosen by its index.

Owns the book entries of broadcast_in_dim, reshape, transpose, squeeze, concatenate, stack, unstack,
split, pad, slice, rev, tile, iota and copy. Imports NumPy and the op book only, never MLIR or the
frontend. Kernels return fresh C-contiguous arrays; an array of random keys arrives with one more
dimension than its type says, so kernels address dimensions from the front.
"""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import KeyDtype, ShapedArray
from jaxc_compiler.opset.op import Sample, define


def check_shapelike(op: str, param: str, value: Any, minimum: int = 0) -> None:
    """Reject a parameter that is not a sequence of integers of at least `minimum`."""
    if not isinstance(value, tuple | list | np.ndarray):
        raise TypeError(f"{op}: {param} must be a tuple, list or 1D array, got {type(value)}.")
    for item in value:
        try:
            operator.index(item)
        except TypeError:
            raise TypeError(f"{op}: {param} must hold integers, got {value}.") from None
        if item < minimum:
            raise TypeError(f"{op}: {param} must hold integers of at least {minimum}: {value}.")


def check_same_dtypes(op: str, *avals: ShapedArray) -> None:
    """Reject operands of different dtypes."""
    first = avals[0].dtype
    for aval in avals[1:]:
        if aval.dtype != first:
            names = ", ".join(a.dtype.name for a in avals)
            raise TypeError(
                f"lax.{op} requires arguments to have the same dtypes, got {names}. "
                "(Tip: jnp functions promote their arguments, lax functions do not.)"
            )


def all_weak(*avals: ShapedArray) -> bool:
    """The weak type of a result all of whose operands' elements may end up in it."""
    return all(aval.weak_type for aval in avals)


def _same(x: ShapedArray, shape: tuple[int, ...]) -> ShapedArray:
    return ShapedArray(shape, x.dtype, x.weak_type)


# broadcast_in_dim: result dimension broadcast_dimensions[i] runs over operand dimension i.


def broadcast_in_dim_infer(x, *, shape, broadcast_dimensions, sharding):
    check_shapelike("broadcast_in_dim", "shape", shape)
    check_shapelike("broadcast_in_dim", "broadcast_dimensions", broadcast_dimensions)
    dims = tuple(broadcast_dimensions)
    if len(dims) != x.ndim:
        raise TypeError(
            f"broadcast_in_dim: broadcast_dimensions {dims} must have one entry for each of the "
            f"operand's {x.ndim} dimensions."
        )
    if len(set(dims)) != len(dims) or not set(dims) <= set(range(len(shape))):
        raise TypeError(
            f"broadcast_in_dim: broadcast_dimensions {dims} must be distinct dimensions of the "
            f"result shape {tuple(shape)}."
        )
    for size, dim in zip(x.shape, dims):
        if size not in (1, shape[dim]):
            raise TypeError(
                f"broadcast_in_dim: each operand dimension must be 1 or equal to its result "
                f"dimension, got operand shape {x.shape}, result shape {tuple(shape)} and "
                f"broadcast_dimensions {dims}."
            )
    return _same(x, tuple(shape))


def broadcast_in_dim_numpy(x, *, shape, broadcast_dimensions, sharding=None):
    ndim = len(broadcast_dimensions)
    tail = x.shape[ndim:]
    out = np.empty((*shape, *tail), x.dtype)
    if ndim == 0 and not tail:
        out.fill(x[()])
        return out
    if any(a > b for a, b in itertools.pairwise(broadcast_dimensions)):
        order = sorted(range(ndim), key=broadcast_dimensions.__getitem__)
        x = x.transpose(*order, *range(ndim, x.ndim))
        broadcast_dimensions = sorted(broadcast_dimensions)
    expanded = [1] * len(shape)
    for size, dim in zip(x.shape, broadcast_dimensions):
        expanded[dim] = size
    out[...] = x.reshape(*expanded, *tail)
    return out


# reshape


def reshape_infer(x, *, new_sizes, dimensions, sharding):
    check_shapelike("reshape", "new_sizes", new_sizes)
    if math.prod(new_sizes) != x.size:
        raise ValueError(  # as the compiler of JAX does; jnp.reshape checks before
            f"reshape: cannot reshape array of shape {x.shape} (size {x.size}) into shape "
            f"{tuple(new_sizes)} (size {math.prod(new_sizes)})."
        )
    if dimensions is not None and sorted(dimensions) != list(range(x.ndim)):
        raise TypeError(
            f"reshape: dimensions {dimensions} must be a permutation of the dimensions of the "
            f"operand's shape {x.shape}."
        )
    return _same(x, tuple(new_sizes))


def reshape_numpy(x, *, new_sizes, dimensions, sharding=None):
    if dimensions is not None:
        x = x.transpose(*dimensions, *range(len(dimensions), x.ndim))
    if x.size == math.prod(new_sizes):
        return x.reshape(new_sizes).copy()
    return x.reshape(*new_sizes, x.shape[-1]).copy()  # keys: the last dimension holds the words


# transpose, squeeze, rev, copy


def transpose_infer(x, *, permutation):
    if not isinstance(permutation, tuple | list | np.ndarray):
        raise TypeError(f"transpose: permutation must be a sequence, got {type(permutation)}.")
    if sorted(permutation) != list(range(x.ndim)):
        raise TypeError(
            f"transpose: {tuple(permutation)} is not a permutation of the dimensions of the "
            f"operand's shape {x.shape}."
        )
    return _same(x, tuple(x.shape[i] for i in permutation))


def transpose_numpy(x, *, permutation):
    return x.transpose(*permutation, *range(len(permutation), x.ndim)).copy("C")


def squeeze_infer(x, *, dimensions):
    if len(set(dimensions)) != len(dimensions):
        raise ValueError(f"squeeze: dimensions are not unique: {dimensions}")
    if not all(0 <= d < x.ndim for d in dimensions):
        raise ValueError(f"squeeze: dimensions {dimensions} are not all in [0, {x.ndim}).")
    if any(x.shape[d] != 1 for d in dimensions):
        raise ValueError(
            f"squeeze: cannot select an axis to squeeze out which has size not equal to one, got "
            f"shape={x.shape} and {dimensions=}"
        )
    return _same(x, tuple(s for i, s in enumerate(x.shape) if i not in dimensions))


def squeeze_numpy(x, *, dimensions):
    return x.reshape([s for i, s in enumerate(x.shape) if i not in dimensions]).copy()


def rev_infer(x, *, dimensions):
    check_shapelike("rev", "dimensions", dimensions)
    if len(set(dimensions)) != len(dimensions):
        raise TypeError(f"rev: dimensions must be unique, got {dimensions}.")
    if dimensions and max(dimensions) >= x.ndim:
        raise TypeError(f"rev: dimensions {dimensions} must be less than the rank {x.ndim}.")
    return x


def rev_numpy(x, *, dimensions):
    index = [slice(None)] * x.ndim
    for dim in dimensions:
        index[dim] = slice(None, None, -1)
    return np.array(x[(*index, ...)], order="C")


def copy_infer(x):
    return x


def copy_numpy(x):
    return np.array(x, order="C")


# concatenate, stack and their inverses


def concatenate_infer(*xs, dimension):
    if not xs:
        raise TypeError("concatenate expects at least one operand, got 0.")
    shapes = ", ".join(str(x.shape) for x in xs)
    if len({x.ndim for x in xs}) != 1:
        raise TypeError(f"Cannot concatenate arrays of different ranks: got {shapes}.")
    first = xs[0]
    if not 0 <= dimension < first.ndim:
        raise TypeError(f"concatenate dimension {dimension} is out of bounds for shapes {shapes}.")
    if len({x.shape[:dimension] + x.shape[dimension + 1 :] for x in xs}) != 1:
        raise TypeError(
            f"Cannot concatenate along dimension {dimension} arrays whose other dimensions differ: "
            f"{shapes}."
        )
    check_same_dtypes("concatenate", *xs)
    size = sum(x.shape[dimension] for x in xs)
    shape = (*first.shape[:dimension], size, *first.shape[dimension + 1 :])
    return ShapedArray(shape, first.dtype, all_weak(*xs))


def concatenate_numpy(*xs, dimension):
    return np.concatenate(xs, dimension)


def stack_infer(*xs, axis):
    if not xs:
        raise ValueError("stack expects at least one operand, got 0.")
    if len({x.shape for x in xs}) != 1:
        shapes = ", ".join(str(x.shape) for x in xs)
        raise ValueError(f"stack: all operands must have the same shape, got {shapes}.")
    check_same_dtypes("stack", *xs)
    shape = list(xs[0].shape)
    shape.insert(axis, len(xs))
    return ShapedArray(tuple(shape), xs[0].dtype, all_weak(*xs))


def stack_numpy(*xs, axis):
    return np.stack(xs, axis)


def unstack_infer(x, *, axis):
    if x.ndim == 0:
        raise ValueError("unstack requires an array of rank > 0, got a scalar.")
    part = _same(x, x.shape[:axis] + x.shape[axis + 1 :])
    return [part] * x.shape[axis]


def unstack_numpy(x, *, axis):
    rows = np.moveaxis(x, axis, 0)
    return [np.array(row, order="C") for row in rows]


def split_infer(x, *, sizes, axis):
    if any(size < 0 for size in sizes):
        raise ValueError(f"Sizes passed to split must be nonnegative, got {list(sizes)}")
    if x.shape[axis] != sum(sizes):
        raise ValueError(
            f"split: sizes {tuple(sizes)} must add up to dimension {axis} of the operand's "
            f"shape {x.shape}."
        )
    return [_same(x, (*x.shape[:axis], size, *x.shape[axis + 1 :])) for size in sizes]


def split_numpy(x, *, sizes, axis):
    parts, start, lead = [], 0, (slice(None),) * axis
    for size in sizes:
        parts.append(x[(*lead, slice(start, start + size))].copy())
        start += size
    return parts


# pad: low, high and interior padding; negative low and high remove elements.


def pad_infer(x, value, *, padding_config):
    if x.dtype != value.dtype:
        raise TypeError(
            f"pad: operand and padding_value must have the same dtype: got {x.dtype} and "
            f"{value.dtype}."
        )
    if value.ndim:
        raise ValueError(f"pad: padding_value must be a scalar, got shape {value.shape}.")
    if len(padding_config) != x.ndim:
        raise ValueError(
            f"pad: padding_config {padding_config} must have one entry for each dimension of the "
            f"operand's shape {x.shape}."
        )
    if any(interior < 0 for _, _, interior in padding_config):
        raise ValueError(f"pad: interior padding must be nonnegative, got {padding_config}.")
    shape = tuple(
        low + high + (size + (size - 1) * interior if size else 0)
        for (low, high, interior), size in zip(padding_config, x.shape)
    )
    if any(size < 0 for size in shape):
        raise ValueError(
            f"pad: dimension sizes after padding must not be negative, got {shape} for "
            f"padding_config {padding_config} and operand shape {x.shape}."
        )
    return ShapedArray(shape, x.dtype, all_weak(x, value))


def pad_numpy(x, value, *, padding_config):
    shape, into, source = [], [], []
    for (low, high, interior), size in zip(padding_config, x.shape):
        step = interior + 1
        total = low + high + ((size - 1) * step + 1 if size else 0)
        # Elements first..last-1 of the operand land inside the result, at low + step * i.
        first = max(0, -(low // step)) if low < 0 else 0
        last = min(size, (total - low - 1) // step + 1)
        last = max(first, last)
        start = low + step * first
        shape.append(total)
        source.append(slice(first, last))
        into.append(slice(start, start + step * (last - first), step) if last > first else slice(0))
    out = np.empty((*shape, *x.shape[len(padding_config) :]), x.dtype)
    out[...] = value
    out[tuple(into)] = x[tuple(source)]
    return out


# slice, tile, iota


def slice_infer(x, *, start_indices, limit_indices, strides):
    check_shapelike("slice", "start_indices", start_indices, -(2**63))
    check_shapelike("slice", "limit_indices", limit_indices, -(2**63))
    if not x.ndim == len(start_indices) == len(limit_indices):
        raise TypeError(
            f"slice: start_indices {start_indices} and limit_indices {limit_indices} must have one "
            f"entry for each dimension of the operand's shape {x.shape}."
        )
    for start, limit, size in zip(start_indices, limit_indices, x.shape):
        if not 0 <= start <= limit <= size:
            raise TypeError(
                f"slice: each start and limit must satisfy 0 <= start <= limit <= size, got "
                f"start_indices {start_indices}, limit_indices {limit_indices} and operand shape "
                f"{x.shape}."
            )
    steps = (1,) * x.ndim if strides is None else strides
    check_shapelike("slice", "strides", steps, 1)
    if len(steps) != x.ndim:
        raise TypeError(f"slice: strides {strides} must have length {x.ndim}.")
    spans = zip(start_indices, limit_indices, steps)
    return _same(x, tuple(-((start - limit) // step) for start, limit, step in spans))


def slice_numpy(x, *, start_indices, limit_indices, strides):
    steps = itertools.repeat(None) if strides is None else strides
    index = map(slice, start_indices, limit_indices, steps)
    return np.array(x[(*index, ...)], order="C")


def tile_infer(x, *, reps):
    if len(reps) != x.ndim:
        raise TypeError(f"tile: reps {reps} must have one entry for each of {x.ndim} dimensions.")
    return _same(x, tuple(size * rep for size, rep in zip(x.shape, reps)))


def tile_numpy(x, *, reps):
    return np.tile(x, (*reps, *(1,) * (x.ndim - len(reps))))


def iota_infer(*, dtype, shape, dimension, sharding):
    check_shapelike("iota", "shape", shape)
    if isinstance(dtype, KeyDtype) or np.dtype(dtype).kind not in "iufcV":
        raise TypeError(f"iota does not accept dtype {dtype.name}.")
    if not 0 <= dimension < len(shape):
        raise ValueError(f"iota: dimension {dimension} must be a dimension of shape {shape}.")
    return ShapedArray(tuple(shape), dtype)


def iota_numpy(*, dtype, shape, dimension, sharding=None):
    dtype = np.dtype(dtype)
    if len(shape) == 1 and dtype.kind in "iuf" and dtype.itemsize > 2:
        return np.arange(shape[0], dtype=dtype)
    expanded = [1] * len(shape)
    expanded[dimension] = shape[dimension]
    out = np.empty(shape, dtype)
    out[...] = np.arange(shape[dimension]).astype(dtype).reshape(expanded)
    return out


_A = ShapedArray((2, 3), np.float32)
_I = ShapedArray((2, 3), np.int32)
_S = ShapedArray((), np.float32)

define(
    "broadcast_in_dim",
    kind="shape",
    params=("broadcast_dimensions", "shape", "sharding"),
    infer=broadcast_in_dim_infer,
    numpy=broadcast_in_dim_numpy,
    samples=lambda: [
        Sample((_A,), {"shape": (4, 2, 3), "broadcast_dimensions": (1, 2), "sharding": None}),
        Sample((_A,), {"shape": (3, 5, 2), "broadcast_dimensions": (2, 0), "sharding": None}),
        Sample((_S,), {"shape": (2,), "broadcast_dimensions": (), "sharding": None}),
    ],
)
define(
    "reshape",
    kind="shape",
    params=("dimensions", "new_sizes", "sharding"),
    infer=reshape_infer,
    numpy=reshape_numpy,
    samples=lambda: [
        Sample((_A,), {"new_sizes": (3, 2), "dimensions": None, "sharding": None}),
        Sample((_I,), {"new_sizes": (6,), "dimensions": (1, 0), "sharding": None}),
    ],
)
define(
    "transpose",
    kind="shape",
    params=("permutation",),
    infer=transpose_infer,
    numpy=transpose_numpy,
    samples=lambda: [Sample((_A,), {"permutation": (1, 0)})],
)
define(
    "squeeze",
    kind="shape",
    params=("dimensions",),
    infer=squeeze_infer,
    numpy=squeeze_numpy,
    samples=lambda: [Sample((ShapedArray((2, 1, 3), np.float32),), {"dimensions": (1,)})],
)
define(
    "rev",
    kind="shape",
    params=("dimensions",),
    infer=rev_infer,
    numpy=rev_numpy,
    samples=lambda: [Sample((_A,), {"dimensions": (1,)}), Sample((_A,), {"dimensions": (0, 1)})],
)
define("copy", kind="shape", infer=copy_infer, numpy=copy_numpy, samples=lambda: [Sample((_A,))])
define(
    "concatenate",
    kind="shape",
    params=("dimension",),
    infer=concatenate_infer,
    numpy=concatenate_numpy,
    samples=lambda: [Sample((_A, _A), {"dimension": 1}), Sample((_I,), {"dimension": 0})],
)
define(
    "stack",
    kind="shape",
    params=("axis",),
    infer=stack_infer,
    numpy=stack_numpy,
    samples=lambda: [Sample((_A, _A), {"axis": 1}), Sample((_S, _S, _S), {"axis": 0})],
)
define(
    "unstack",
    kind="shape",
    params=("axis",),
    infer=unstack_infer,
    numpy=unstack_numpy,
    multiple_results=True,
    samples=lambda: [Sample((_A,), {"axis": 1})],
)
define(
    "split",
    kind="shape",
    params=("axis", "sizes"),
    infer=split_infer,
    numpy=split_numpy,
    multiple_results=True,
    samples=lambda: [Sample((_A,), {"sizes": (1, 2), "axis": 1})],
)
define(
    "pad",
    kind="shape",
    params=("padding_config",),
    infer=pad_infer,
    numpy=pad_numpy,
    samples=lambda: [
        Sample((_A, _S), {"padding_config": ((1, 2, 0), (0, 1, 2))}),
        Sample((_A, _S), {"padding_config": ((-1, 1, 0), (2, -1, 1))}),
    ],
)
define(
    "slice",
    kind="shape",
    params=("limit_indices", "start_indices", "strides"),
    infer=slice_infer,
    numpy=slice_numpy,
    samples=lambda: [
        Sample((_A,), {"start_indices": (0, 1), "limit_indices": (2, 3), "strides": None}),
        Sample((_A,), {"start_indices": (0, 0), "limit_indices": (2, 3), "strides": (1, 2)}),
    ],
)
define(
    "tile",
    kind="shape",
    params=("reps",),
    infer=tile_infer,
    numpy=tile_numpy,
    samples=lambda: [Sample((_A,), {"reps": (2, 1)})],
)
define(
    "iota",
    kind="shape",
    params=("dimension", "dtype", "shape", "sharding"),
    infer=iota_infer,
    numpy=iota_numpy,
    samples=lambda: [
        Sample((), {"dtype": np.dtype(d), "shape": (2, 3), "dimension": 1, "sharding": None})
        for d in (np.int32, np.float32)
    ],
)
