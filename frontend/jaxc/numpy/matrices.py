"""Diagonals, triangles and index grids: diag, tril, meshgrid, mgrid, indices, ...

Composed of lax functions and indexing. Must not import sorting.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.core.trace import Tracer
from jaxc.numpy.contractions import matmul
from jaxc.numpy.creation import (
    asarray,
    broadcast_to_shape,
    canonicalize_shape,
    diagonal_mask,
    eye,
    triangle_mask,
    user_dtype,
    zeros,
)
from jaxc.numpy.joining import concatenate, stack
from jaxc.numpy.manipulation import moveaxis, ravel
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import array_of, check_arraylike, convert, ensure_arraylike
from jaxc.numpy.ranges import arange, linspace
from jaxc.numpy.selection import where
from jaxc.transforms.api import vmap


def diag(v: Any, k: int = 0) -> Any:
    """A matrix with the vector on its k-th diagonal, or the k-th diagonal of a matrix."""
    return _diag(ensure_arraylike("diag", v), k=operator.index(k))


@nested_jit(name="_diag", static_argnames=("k",))
def _diag(v: Any, k: int) -> Any:
    if v.ndim == 2:
        return diagonal(v, offset=k)
    if v.ndim != 1:
        raise ValueError("diag input must be 1d or 2d")
    zero = convert(0, v.dtype)
    size = v.shape[0] + abs(k)
    v = lax.pad(v, zero, ((max(0, -k), max(0, k), 0),))
    return where(diagonal_mask((size, size), k), lax.expand_dims(v, (1,)), zero)


@nested_jit(static_argnames=("offset", "axis1", "axis2"))
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of the plane of two axes, as a new last axis."""
    a = ensure_arraylike("diagonal", a)
    if a.ndim < 2:
        raise ValueError("diagonal requires an array of at least two dimensions.")
    offset = operator.index(offset)
    a = moveaxis(a, (axis1, axis2), (-2, -1))
    rows, columns = a.shape[-2:]
    size = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    i, j = arange(size), arange(abs(offset), abs(offset) + size)
    return a[..., i, j] if offset >= 0 else a[..., j, i]


def diagflat(v: Any, k: int = 0) -> Any:
    """A matrix with the flattened array on its k-th diagonal."""
    v = ensure_arraylike("diagflat", v)
    flat = ravel(v)
    size = flat.shape[0] + abs(k)
    i = arange(flat.shape[0])
    at = i + max(0, -k), i + max(0, k)
    position = lax.add(at[1], lax.mul(at[0], convert(size, at[0].dtype)))
    out = zeros((size * size,), flat.dtype)
    return out.at[position].set(flat).reshape(size, size)


def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Any:
    """`a` with its diagonal replaced (in a copy)."""
    if inplace:
        raise NotImplementedError(
            "JAX arrays are immutable, must use inplace=False in jnp.fill_diagonal"
        )
    if wrap:
        raise NotImplementedError("wrap=True is not implemented, must use wrap=False")
    a, val = ensure_arraylike("fill_diagonal", a, val)
    if a.ndim < 2:
        raise ValueError("array must be at least 2-d")
    if a.ndim > 2 and len(set(a.shape)) > 1:
        raise ValueError("All dimensions of input must be of equal length")
    size = min(a.shape)
    index = diag_indices(size, a.ndim)
    if val.ndim == 0:
        return a.at[index].set(val)
    flat = ravel(val)
    from jaxc.numpy.manipulation import resize

    return a.at[index].set(resize(flat, (size,)))


def _triangle(name: str, lower: bool, doc: str) -> Callable:
    @nested_jit(name=name, static_argnames=("k",))
    def run(m: Any, k: int = 0) -> Any:
        m = ensure_arraylike(name, m)
        if m.ndim < 2:
            raise ValueError(f"Argument to jax.numpy.{name} must be at least 2D")
        mask = triangle_mask(m.shape[-2:], k if lower else k - 1)
        mask = broadcast_to_shape(mask, m.shape)
        empty = lax.full_like(m, 0)
        return lax.select(mask, m, empty) if lower else lax.select(mask, empty, m)

    def fun(m: Any, k: int = 0) -> Any:
        check_arraylike(name, m)
        return run(m, k=operator.index(k))

    fun.__name__ = fun.__qualname__ = name
    fun.__doc__ = doc
    return fun


tril = _triangle("tril", True, "The lower triangle, up to the k-th diagonal.")
triu = _triangle("triu", False, "The upper triangle, from the k-th diagonal.")


def _triangle_indices(mask: np.ndarray) -> tuple[Any, ...]:
    kind = dtypes.default_dtype(int)
    return tuple(asarray(i.astype(kind)) for i in np.nonzero(mask))


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, ...]:
    """Indices of the lower triangle of an n by m matrix."""
    return _triangle_indices(np.tri(n, n if m is None else m, k, dtype=bool))


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, ...]:
    """Indices of the upper triangle of an n by m matrix."""
    return _triangle_indices(~np.tri(n, n if m is None else m, k - 1, dtype=bool))


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Any, ...]:
    """Indices of the lower triangle of a matrix of this shape."""
    _need_matrix(arr)
    return tril_indices(arr.shape[-2], k=k, m=arr.shape[-1])


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Any, ...]:
    """Indices of the upper triangle of a matrix of this shape."""
    _need_matrix(arr)
    return triu_indices(arr.shape[-2], k=k, m=arr.shape[-1])


def _need_matrix(arr: Any) -> None:
    if len(arr.shape) != 2:
        raise ValueError("Only 2-D inputs are accepted")


def mask_indices(n: int, mask_func: Callable, k: int = 0, *, size: int | None = None) -> Any:
    """Indices where `mask_func` of an n by n matrix of ones is not zero."""
    from jaxc.numpy.creation import ones
    from jaxc.numpy.searching import nonzero

    return nonzero(mask_func(ones((n, n)), k), size=size)


def diag_indices(n: int, ndim: int = 2) -> tuple[Any, ...]:
    """Indices of the main diagonal of an array with `ndim` axes of size n."""
    n, ndim = operator.index(n), operator.index(ndim)
    if n < 0:
        raise ValueError(f"n argument to diag_indices must be nonnegative, got {n}")
    if ndim < 0:
        raise ValueError(f"ndim argument to diag_indices must be nonnegative, got {ndim}")
    return (arange(n),) * ndim


def diag_indices_from(arr: Any) -> tuple[Any, ...]:
    """Indices of the main diagonal of a square array."""
    arr = ensure_arraylike("diag_indices_from", arr)
    if arr.ndim < 2:
        raise ValueError("input array must be at least 2-d")
    if len(set(arr.shape)) != 1:
        raise ValueError("All dimensions of input must be of equal length")
    return diag_indices(arr.shape[0], ndim=arr.ndim)


@nested_jit(static_argnames=("N", "increasing"))
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Powers of the elements as columns."""
    x = ensure_arraylike("vander", x)
    if x.ndim != 1:
        raise ValueError("x must be a one-dimensional array")
    count = x.shape[0] if N is None else operator.index(N)
    if count < 0:
        raise ValueError("N must be nonnegative")
    powers = lax.iota(x.dtype, count)
    if not increasing:
        powers = lax.sub(convert(count - 1, x.dtype), powers)
    from jaxc.numpy.arithmetic import power

    return power(x[..., None], lax.expand_dims(powers, (0,)))


def matrix_power(a: Any, n: int) -> Any:
    """The n-th power of square matrices."""
    a = ensure_arraylike("jnp.linalg.matrix_power", a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise TypeError(f"{a.ndim}-dimensional array given. Array must be at least two-dimensional "
                        "with square matrices")  # fmt: skip
    try:
        n = operator.index(n)
    except TypeError as error:
        raise TypeError(f"exponent must be an integer, got {n}") from error
    if n == 0:
        return broadcast_to_shape(eye(a.shape[-2], dtype=a.dtype), a.shape)
    if n < 0:
        from jaxc.numpy import linalg

        if not hasattr(linalg, "inv"):
            raise NotImplementedError("negative matrix powers")
        a, n = linalg.inv(a), -n
    out = None
    while n:
        if n & 1:
            out = a if out is None else matmul(out, a)
        n >>= 1
        if n:
            a = matmul(a, a)
    return out


def multi_dot(arrays: Any, *, precision: Any = None) -> Any:
    """Product of several matrices in the cheapest order."""
    check_arraylike("jnp.linalg.multi_dot", *arrays)
    arrays = [array_of(a) for a in arrays]
    if len(arrays) < 2:
        raise ValueError(f"multi_dot requires at least two arrays; got len(arrays)={len(arrays)}")
    from jaxc.numpy.einsum import einsum

    operands: list[Any] = []
    for k, a in enumerate(arrays):
        edge = a.ndim == 1 and k in (0, len(arrays) - 1)
        labels = ([k + 1] if k == 0 else [k]) if edge else [k, k + 1]
        operands += [a, labels]
    out = ([0] if arrays[0].ndim == 2 else []) + ([len(arrays)] if arrays[-1].ndim == 2 else [])
    return einsum(*operands, out, precision=precision, optimize="optimal")


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """Sum of the diagonals of the matrices in the last two axes."""
    from jaxc.numpy import contractions

    return contractions.trace(x, offset=offset, axis1=-2, axis2=-1, dtype=dtype)


# ---- grids ------------------------------------------------------------------------------------


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> list[Any]:
    """Coordinates of a grid, one array an axis."""
    check_arraylike("meshgrid", *xi)
    arrays = [array_of(x) for x in xi]
    if not copy:
        raise ValueError("jax.numpy.meshgrid only supports copy=True")
    if indexing not in ("xy", "ij"):
        raise ValueError(f"Valid values for indexing are 'xy' and 'ij', got {indexing}")
    if any(a.ndim != 1 for a in arrays):
        raise ValueError("Arguments to jax.numpy.meshgrid must be 1D, got shapes "
                         f"{[a.shape for a in arrays]}")  # fmt: skip
    order = list(range(len(arrays)))
    if indexing == "xy" and len(arrays) >= 2:
        order[0], order[1] = 1, 0
    sizes = [0] * len(arrays)
    for k, a in enumerate(arrays):
        sizes[order[k]] = a.shape[0]
    out: list[Any] = [None] * len(arrays)
    for k in order:  # the order in which the axes of the result come
        shape = [n if i == order[k] else 1 for i, n in enumerate(sizes)] if sparse else sizes
        out[k] = lax.broadcast_in_dim(arrays[k], tuple(shape), (order[k],))
    return out


def indices(dimensions: Any, dtype: Any = None, sparse: bool = False) -> Any:
    """The indices of every element of an array of the given shape."""
    dtype = dtypes.default_dtype(int) if dtype is None else user_dtype(dtype, "indices")
    sizes = canonicalize_shape(dimensions)
    out = []
    for k, n in enumerate(sizes):
        row = lax.iota(dtype, n)
        shape = tuple(n if i == k else 1 for i in range(len(sizes))) if sparse else sizes
        out.append(lax.broadcast_in_dim(row, shape, (k,)))
    if sparse:
        return tuple(out)
    return stack(out) if out else zeros((0, *sizes), dtype)


def ix_(*args: Any) -> tuple[Any, ...]:
    """Index arrays that select the product of the given sequences."""
    check_arraylike("ix", *args)
    out = []
    for k, a in enumerate(args):
        a = array_of(a)
        if a.ndim != 1:
            raise ValueError(
                f"Arguments to jax.numpy.ix_ must be 1-dimensional, got shape {a.shape}"
            )
        if a.dtype == np.dtype(bool):
            raise NotImplementedError("Boolean arguments to jax.numpy.ix_ are not implemented")
        shape = tuple(a.shape[0] if i == k else 1 for i in range(len(args)))
        out.append(a if a.shape == shape else lax.reshape(a, shape))
    return tuple(out)


def fromfunction(function: Callable, shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    """An array of the function's values at every index."""
    sizes = canonicalize_shape(shape)
    mapped = function
    for k in range(len(sizes)):
        axes = [0 if i == len(sizes) - 1 - k else None for i in range(len(sizes))]
        mapped = vmap(mapped, in_axes=tuple(axes))
    bound = (lambda *a: mapped(*a)) if not kwargs else None
    if bound is None:
        inner = function
        return fromfunction(lambda *a: inner(*a, **kwargs), shape, dtype=dtype)
    return bound(*(arange(n, dtype=dtype) for n in sizes))


def _grid_axis(key: slice) -> Any:
    start, stop, step = (0 if key.start is None else key.start), key.stop, key.step
    if isinstance(step, complex):
        return linspace(start, stop, int(abs(step)))
    return arange(start, stop, 1 if step is None else step)


class _Mgrid:
    """`jnp.mgrid[0:3, 0:2]`: a dense grid."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return _grid_axis(key)
        axes = [_grid_axis(k) for k in key]
        if not axes:
            return zeros((0,))
        return stack(meshgrid(*_same_dtype(axes), indexing="ij"))


class _Ogrid:
    """`jnp.ogrid[0:3, 0:2]`: an open grid."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return _grid_axis(key)
        axes = [_grid_axis(k) for k in key]
        return meshgrid(*_same_dtype(axes), indexing="ij", sparse=True)


def _same_dtype(axes: list[Any]) -> list[Any]:
    from jaxc.numpy.promotion import promote_dtypes

    return [array_of(a) for a in promote_dtypes(*axes)]


class _Concatenator:
    """`jnp.r_[...]` and `jnp.c_[...]`."""

    def __init__(self, axis: int, ndmin: int, trans1d: int):
        self.axis, self.ndmin, self.trans1d = axis, ndmin, trans1d

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        axis, ndmin, trans1d = self.axis, self.ndmin, self.trans1d
        if keys and isinstance(keys[0], str):
            params, *rest = keys
            keys = tuple(rest)
            if params == "r":
                ndmin = max(ndmin, 2)
            elif params == "c":
                return _Concatenator(-1, 2, 0)[keys]
            else:
                numbers = [int(n) for n in params.split(",")]
                axis = numbers[0]
                ndmin = numbers[1] if len(numbers) > 1 else ndmin
                trans1d = numbers[2] if len(numbers) > 2 else trans1d
        parts = [self._part(k, ndmin, trans1d) for k in keys]
        return concatenate(parts, axis=axis)

    def _part(self, key: Any, ndmin: int, trans1d: int) -> Any:
        from jaxc.numpy.creation import array

        item = _grid_axis(key) if isinstance(key, slice) else array(key)
        if item.ndim >= ndmin:
            return item
        given = item.ndim
        item = item.reshape((1,) * (ndmin - given) + item.shape)
        if trans1d == -1 or not given:
            return item
        start = trans1d if trans1d >= 0 else trans1d + ndmin - given + 1
        order = list(range(ndmin - given))
        order[start:start] = range(ndmin - given, ndmin)
        return item.transpose(order)


class _IndexExpression:
    """`jnp.s_[1:2]`: the index expression itself."""

    def __init__(self, as_tuple: bool):
        self._as_tuple = as_tuple

    def __getitem__(self, key: Any) -> Any:
        return (key,) if self._as_tuple and not isinstance(key, tuple) else key


mgrid, ogrid = _Mgrid(), _Ogrid()
r_ = _Concatenator(0, 1, -1)
c_ = _Concatenator(-1, 2, 0)
s_, index_exp = _IndexExpression(False), _IndexExpression(True)


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """Coordinates of flat indices; out of bounds ones are clamped."""
    from jaxc.numpy.arithmetic import divmod as floor_divmod
    from jaxc.numpy.selection import clip

    flat = ensure_arraylike("unravel_index", indices)
    sizes = [int(n) for n in (shape if isinstance(shape, tuple | list) else np.atleast_1d(shape))]
    total = int(np.prod(sizes, dtype=np.int64))
    rest = where(flat < 0, flat + total, flat)
    rest = clip(rest, 0, max(total - 1, 0))
    out = []
    for n in reversed(sizes):
        rest, coordinate = floor_divmod(rest, convert(n, rest.dtype))
        out.append(coordinate)
    return tuple(reversed(out))


def ravel_multi_index(
    multi_index: Any, dims: Any, mode: str = "raise", order: str = "C", *, dtype: Any = None
) -> Any:
    """Flat indices of coordinates."""
    from jaxc import errors
    from jaxc.numpy.arithmetic import remainder
    from jaxc.numpy.selection import clip

    if len(multi_index) != len(dims):
        raise ValueError(f"len(multi_index)={len(multi_index)} != len(dims)={len(dims)}")
    dims = tuple(operator.index(d) for d in dims)
    check_arraylike("ravel_multi_index", *multi_index)
    arrays = [array_of(i) for i in multi_index]
    if any(not dtypes.issubdtype(a.dtype, np.integer) for a in arrays):
        raise TypeError("only int indices permitted")
    if mode == "raise":
        for a, n in zip(arrays, dims, strict=True):
            if isinstance(a, Tracer) and a.to_concrete_value() is None:
                raise errors.ConcretizationTypeError(
                    a, "The error occurred because ravel_multi_index was jit-compiled with "
                    "mode='raise'. Use mode='wrap' or mode='clip' instead.")  # fmt: skip
            if ((np.asarray(a) < 0) | (np.asarray(a) >= n)).any():
                raise ValueError("invalid entry in coordinates array")
    elif mode == "clip":
        arrays = [clip(a, 0, n - 1) for a, n in zip(arrays, dims, strict=True)]
    elif mode == "wrap":
        arrays = [remainder(a, n) for a, n in zip(arrays, dims, strict=True)]
    elif mode != "ignore":
        raise ValueError(f"invalid mode={mode!r}. Expected 'raise', 'wrap', or 'clip'")
    strides = np.cumprod([1, *(dims[::-1][:-1] if order == "C" else dims[:-1])])
    if order == "C":
        strides = strides[::-1]
    elif order != "F":
        raise ValueError(f"invalid order={order!r}. Expected 'C' or 'F'")
    out = convert(0, dtypes.default_dtype(int)) if dtype is None else convert(0, np.dtype(dtype))
    for a, stride in zip(arrays, strides, strict=True):
        out = out + a * int(stride)
    return array_of(out)
