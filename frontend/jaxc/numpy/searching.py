"""Searching: nonzero, argwhere, searchsorted, digitize, unique and set operations.

Sizes that depend on values need `size=` under tracing. Must not import statistics.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np

from jaxc import errors, lax
from jaxc.core import dtypes
from jaxc.core.trace import EvalTrace, Tracer, _state
from jaxc.numpy.creation import asarray, full_like, zeros
from jaxc.numpy.cumulative import cumsum
from jaxc.numpy.elementwise import _to_bool
from jaxc.numpy.joining import concatenate
from jaxc.numpy.manipulation import atleast_1d, moveaxis, ravel
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    canonicalize_axis,
    convert,
    ensure_arraylike,
    promote_dtypes,
)
from jaxc.numpy.selection import clip, where
from jaxc.numpy.sorting import argsort, lexsort


def _host(x: Any, message: str) -> np.ndarray:
    """The values of `x`, which must not be traced."""
    if isinstance(x, Tracer):
        value = x.to_concrete_value()
        if value is None:
            raise errors.ConcretizationTypeError(x, message)
        x = value
    return np.asarray(x)


def _is_traced(*arrays: Any) -> bool:
    return not isinstance(_state.trace, EvalTrace) or any(isinstance(a, Tracer) for a in arrays)


def _indices(values: np.ndarray) -> Any:
    return asarray(values.astype(dtypes.default_dtype(int)))


# ---- where the elements are -------------------------------------------------------------------


def nonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> tuple[Any, ...]:
    """Coordinates of the elements that are not zero; `size` makes the count static."""
    a = ensure_arraylike("nonzero", a)
    if a.ndim == 0:
        raise ValueError("Calling nonzero on 0d arrays is not allowed. Use jnp.atleast_1d(scalar)"
                         ".nonzero() instead.")  # fmt: skip
    if size is None:
        message = ("The size argument of jnp.nonzero must be statically specified to use "
                   "jnp.nonzero within JAX transformations.")  # fmt: skip
        return tuple(_indices(i) for i in np.nonzero(_host(a, message)))
    size = _static_size(size, "nonzero")
    fills = fill_value if isinstance(fill_value, tuple) else (fill_value or 0,) * a.ndim
    if fill_value is not None and not isinstance(fill_value, tuple):
        fills = (fill_value,) * a.ndim
    if any(np.ndim(f) for f in fills):
        raise ValueError("fill_value must be a scalar or a tuple of length matching a.ndim; "
                         f"got {fill_value}")  # fmt: skip
    if len(fills) != a.ndim:
        raise ValueError("fill_value must be a scalar or a tuple of length "
                         f"matching a.ndim; got {fill_value}")  # fmt: skip
    if a.size == 0 or size == 0:
        kind = dtypes.default_dtype(int)
        return tuple(lax.full((size,), convert(f, kind)) for f in fills)
    return _nonzero_sized(_to_bool(a), size, fills, fill_value is not None)


def _static_size(size: Any, name: str) -> int:
    if isinstance(size, Tracer):
        raise errors.ConcretizationTypeError(
            size, f"The size argument of jnp.{name} must be statically specified."
        )
    return operator.index(size)


def _nonzero_sized(mask: Any, size: int, fills: tuple, filled: bool) -> tuple[Any, ...]:
    from jaxc.numpy.arithmetic import floor_divide, remainder
    from jaxc.numpy.reductions import sum

    # the n-th true element is where the running count of true elements passes n
    counts = bincount_sized(cumsum(mask), size)
    flat = cumsum(counts)
    strides = np.cumprod([1, *mask.shape[::-1]])[:-1][::-1]
    out = [
        remainder(floor_divide(flat, np.asarray(stride, flat.dtype)[()]), n)
        for stride, n in zip(strides, mask.shape, strict=True)
    ]
    if not filled:
        return tuple(out)
    found = sum(convert(mask, dtypes.default_dtype(int)))
    beyond = lax.ge(lax.iota(dtypes.default_dtype(int), size), found)
    return tuple(where(beyond, fill, x) for fill, x in zip(fills, out, strict=True))


def bincount_sized(x: Any, length: int, weights: Any = None) -> Any:
    """Number (or weight) of each value below `length`; larger ones are dropped."""
    if weights is None:
        weights = np.int32(1) if not dtypes.config.jax_enable_x64 else np.int64(1)
    dtype = weights.dtype
    return zeros((length,), dtype).at[clip(x, 0)].add(weights, mode="drop")


def flatnonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """Flat indices of the elements that are not zero."""
    return nonzero(ravel(ensure_arraylike("flatnonzero", a)), size=size, fill_value=fill_value)[0]


def argwhere(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """Coordinates of the elements that are not zero, one row each."""
    from jaxc.numpy.joining import vstack
    from jaxc.numpy.manipulation import transpose

    a = ensure_arraylike("argwhere", a)
    found = nonzero(atleast_1d(a), size=size, fill_value=fill_value)
    out = transpose(vstack(found))
    if a.ndim == 0:
        return out[:0].reshape(out.shape[0], 0)
    return out.reshape(out.shape[0], a.ndim)


def extract(condition: Any, arr: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """The elements where the condition holds."""
    return compress(ravel(condition), ravel(arr), size=size, fill_value=fill_value)


def compress(
    condition: Any, a: Any, axis: int | None = None, *, size: int | None = None,
    fill_value: Any = 0, out: None = None,
) -> Any:  # fmt: skip
    """The slices along an axis where the condition holds."""
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.compress is not supported.")
    condition, a = ensure_arraylike("compress", condition, a)
    if condition.ndim != 1:
        raise ValueError("condition must be a 1D array")
    if axis is None:
        a, axis = ravel(a), 0
    a = moveaxis(a, axis, 0)
    condition, extra = condition[: a.shape[0]], condition[a.shape[0] :]
    a = a[: condition.shape[0]]
    if size is None:
        message = "The size argument of jnp.compress must be specified under tracing."
        keep = np.flatnonzero(_host(condition, message))
        if extra.size and np.any(_host(extra, message)):
            raise ValueError("condition contains entries that are out of bounds")
        return moveaxis(a[keep], 0, axis)
    at = nonzero(condition, size=size, fill_value=a.shape[0])[0]
    out = a.at[at].get(mode="fill", fill_value=fill_value)
    return moveaxis(out, 0, axis)


# ---- positions in sorted arrays ---------------------------------------------------------------


def searchsorted(
    a: Any, v: Any, side: str = "left", sorter: Any = None, *, method: str = "scan"
) -> Any:
    """Where each of `v` would be inserted into the sorted array to keep it sorted."""
    if sorter is None:
        a, v = ensure_arraylike("searchsorted", a, v)
    else:
        a, v, sorter = ensure_arraylike("searchsorted", a, v, sorter)
    if side not in ("left", "right"):
        raise ValueError(f"{side!r} is an invalid value for keyword 'side'. "
                         "Expected one of ['left', 'right'].")  # fmt: skip
    if method not in ("scan", "scan_unrolled", "sort", "compare_all"):
        raise ValueError(f"{method!r} is an invalid value for keyword 'method'. Expected one of "
                         "['sort', 'scan', 'scan_unrolled', 'compare_all'].")  # fmt: skip
    if a.ndim != 1:
        raise ValueError("a should be 1-dimensional")
    a, v = (array_of(x) for x in promote_dtypes(a, v))
    if sorter is not None:
        a = a[sorter]
    kind = np.dtype(np.int32)
    if a.size == 0:
        return lax.full_like(v, 0, dtype=kind)
    if not _is_traced(a, v):
        wide = np.float32 if a.dtype.kind == "V" else a.dtype
        found = np.searchsorted(np.asarray(a, wide), np.asarray(v, wide), side=side)
        return asarray(np.asarray(found).astype(kind))
    return _searchsorted(a, v, side=side, method=method)


@nested_jit(name="searchsorted", static_argnames=("side", "method"))
def _searchsorted(a: Any, v: Any, side: str, method: str) -> Any:
    search = {"sort": _searchsorted_sort_impl, "compare_all": _searchsorted_compare_all_impl}
    return search.get(method, _searchsorted_scan_impl)(a, v, side=side)


def _before(x: Any, y: Any, side: str) -> Any:
    """x <= y (left) or x < y (right), with -0.0 equal to 0.0 and NaN after everything."""
    found = lax.le(x, y) if side == "left" else lax.lt(x, y)
    if not dtypes.issubdtype(x.dtype, np.inexact):
        return found
    y_nan = lax.ne(y, y)
    x_nan = lax.ne(x, x)
    if side == "left":
        return lax.bitwise_or(found, y_nan)
    return lax.bitwise_or(found, lax.bitwise_and(y_nan, lax.bitwise_not(x_nan)))


@nested_jit(name="_searchsorted_scan_impl", static_argnames=("side",))
def _searchsorted_scan_impl(sorted_arr: Any, query: Any, side: str) -> Any:
    from jaxc.numpy.arithmetic import floor_divide

    index = np.dtype(np.uint32)
    size = sorted_arr.shape[0]

    def step(bounds: Any, _: Any) -> Any:
        low, high = bounds
        middle = lax.add(low, floor_divide(lax.sub(high, low), 2))
        found = sorted_arr.at[middle].get(mode="clip")
        left = _before(query, found, side)
        return (where(left, low, middle), where(left, middle, high)), ()

    levels = int(np.ceil(np.log2(size + 1)))
    start = (lax.full(query.shape, 0, index), lax.full(query.shape, size, index))
    (_, high), _ = lax.scan(step, start, None, length=levels)
    return convert(high, np.dtype(np.int32))


@nested_jit(name="_searchsorted_sort_impl", static_argnames=("side",))
def _searchsorted_sort_impl(sorted_arr: Any, query: Any, side: str) -> Any:
    flat = ravel(query)
    if side == "left":
        index = _rank(concatenate([flat, sorted_arr]))[: flat.size]
    else:
        index = _rank(concatenate([sorted_arr, flat]))[sorted_arr.size :]
    return lax.sub(index, _rank(flat)).reshape(query.shape)


def _rank(x: Any) -> Any:
    index = lax.iota(dtypes.default_dtype(int), x.size)
    return lax.full_like(index, 0).at[argsort(x)].set(index)


@nested_jit(name="_searchsorted_compare_all_impl", static_argnames=("side",))
def _searchsorted_compare_all_impl(sorted_arr: Any, query: Any, side: str) -> Any:
    from jaxc.numpy.reductions import sum

    column = lax.broadcast_in_dim(sorted_arr, (sorted_arr.size,) + (1,) * query.ndim, (0,))
    other = "right" if side == "left" else "left"
    after = _before(column, lax.expand_dims(query, (0,)), other)
    return sum(convert(after, np.dtype(np.int32)), axis=0)


@nested_jit(static_argnames=("right", "method"))
def digitize(x: Any, bins: Any, right: bool = False, *, method: str | None = None) -> Any:
    """Index of the bin that each element falls in."""
    x, bins = ensure_arraylike("digitize", x, bins)
    if bins.ndim != 1:
        raise ValueError(f"digitize: bins must be a 1-dimensional array; got {bins=}")
    if bins.shape[0] == 0:
        return full_like(x, 0, dtype=np.int32)
    method = method or "scan"
    side = "right" if not right else "left"
    rising = searchsorted(bins, x, side=side, method=method)
    falling = bins.shape[0] - searchsorted(bins[::-1], x, side=side, method=method)
    return where(bins[-1] >= bins[0], rising, falling)


# ---- unique elements --------------------------------------------------------------------------


class _UniqueAllResult(NamedTuple):
    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class _UniqueCountsResult(NamedTuple):
    values: Any
    counts: Any


class _UniqueInverseResult(NamedTuple):
    values: Any
    inverse_indices: Any


def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False,
    return_counts: bool = False, axis: int | None = None, *, equal_nan: bool = True,
    size: int | None = None, fill_value: Any = None, sorted: bool = True,
) -> Any:  # fmt: skip
    """The distinct elements (or slices along an axis), sorted; `size` makes the count static."""
    ar = ensure_arraylike("unique", ar)
    flat = axis is None
    shape = ar.shape
    axis = 0 if flat else canonicalize_axis(operator.index(axis), ar.ndim)
    x = ravel(ar) if flat else ar
    if size is None or not _is_traced(ar):
        message = ("The size argument of jnp.unique must be statically specified to use "
                   "jnp.unique within JAX transformations.")  # fmt: skip
        results = _unique_host(_host(x, message), axis, equal_nan, size, fill_value)
    else:
        results = _unique_sized(x, axis, equal_nan, _static_size(size, "unique"), fill_value)
    values, index, inverse, counts = results
    if flat:
        inverse = inverse.reshape(shape)
    out = [values]
    out += [index] if return_index else []
    out += [inverse] if return_inverse else []
    out += [counts] if return_counts else []
    return out[0] if len(out) == 1 else tuple(out)


def _unique_host(x: np.ndarray, axis: int, equal_nan: bool, size: Any, fill: Any) -> Any:
    if x.dtype.kind == "V":
        small = np.unique(x.astype(np.float32), True, True, True, axis, equal_nan=equal_nan)
        values, index, inverse, counts = small[0].astype(x.dtype), *small[1:]
    else:
        values, index, inverse, counts = np.unique(x, True, True, True, axis, equal_nan=equal_nan)
    inverse = inverse.reshape(-1) if x.ndim == 1 else inverse.reshape(x.shape[axis])
    if size is not None:
        values, index, counts = _resized(values, index, counts, axis, operator.index(size), fill)
    return asarray(values), _indices(index), _indices(inverse), _indices(counts)


def _resized(values: Any, index: Any, counts: Any, axis: int, size: int, fill: Any) -> Any:
    found = values.shape[axis]
    keep = min(found, size)
    values = np.take(values, range(keep), axis)
    index, counts = index[:keep], counts[:keep]
    if size <= found:
        return values, index, counts
    if fill is None and found:
        pad = np.take(values, [0], axis)
    else:
        shape = list(values.shape)
        shape[axis] = 1
        pad = np.broadcast_to(np.asarray(0 if fill is None else fill, values.dtype), shape)
    values = np.concatenate([values, np.repeat(pad, size - keep, axis)], axis)
    first = index[:1] if found else np.zeros(1, int)
    index = np.concatenate([index, np.repeat(first, size - keep)])
    return values, index, np.concatenate([counts, np.zeros(size - keep, counts.dtype)])


@nested_jit(name="_unique_sorted_mask", static_argnames=("axis", "equal_nan"))
def _unique_sorted_mask(x: Any, axis: int, equal_nan: bool) -> Any:
    from jaxc.numpy.reductions import any

    x = moveaxis(x, axis, 0)
    rest = int(np.prod(x.shape[1:], dtype=np.int64))
    keys = lax.rev(lax.transpose(lax.reshape(x, (x.shape[0], rest)), (1, 0)), (0,))
    order = lexsort(keys)
    ordered = x[order]
    differs = lax.ne(ordered[1:], ordered[:-1])
    if equal_nan and dtypes.issubdtype(x.dtype, np.inexact):
        nan = lax.ne(ordered, ordered)
        differs = lax.bitwise_and(differs, lax.bitwise_not(lax.bitwise_and(nan[1:], nan[:-1])))
    new = any(differs, axis=tuple(range(1, x.ndim)))
    mask = lax.full((x.shape[0],), True, np.dtype(bool)).at[1:].set(new)
    return ordered, mask, order


def _unique_sized(x: Any, axis: int, equal_nan: bool, size: int, fill: Any) -> Any:
    from jaxc.numpy.reductions import sum

    length = x.shape[axis]
    ordered, mask, order = _unique_sorted_mask(x, axis=axis, equal_nan=equal_nan)
    at = nonzero(mask, size=size)[0]
    values = ordered[at]
    count = sum(mask)
    position = lax.iota(np.dtype(np.int32), size)
    valid = lax.lt(position, convert(count, np.dtype(np.int32)))
    if fill is not None:
        wide = valid.reshape(size, *(1,) * (values.ndim - 1))
        values = where(wide, values, convert(fill, values.dtype))
    inverse = lax.full((length,), 0, np.dtype(np.int32)).at[order].set(cumsum(mask) - 1)
    ends = concatenate([at[1:], array_of(np.full(1, length, np.int32))]) if size else at
    ends = where(lax.lt(position + 1, convert(count, np.dtype(np.int32))), ends, length)
    counts = where(valid, ends - at, 0)
    return moveaxis(values, 0, axis), order[at], inverse, counts


def unique_all(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """Distinct values with first indices, inverse and counts."""
    found = unique(x, True, True, True, equal_nan=False, size=size, fill_value=fill_value)
    return _UniqueAllResult(*found)


def unique_counts(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """Distinct values with their counts."""
    return _UniqueCountsResult(
        *unique(x, return_counts=True, equal_nan=False, size=size, fill_value=fill_value)
    )


def unique_inverse(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """Distinct values with the index of each element among them."""
    return _UniqueInverseResult(
        *unique(x, return_inverse=True, equal_nan=False, size=size, fill_value=fill_value)
    )


def unique_values(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """Distinct values."""
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)


# ---- sets -------------------------------------------------------------------------------------


def isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *,
    method: str = "auto",
) -> Any:  # fmt: skip
    """Where the elements are among the test elements."""
    x, tests = ensure_arraylike("isin", element, test_elements)
    return _in1d(ravel(x), ravel(tests), invert=invert).reshape(x.shape)


@nested_jit(name="_in1d", static_argnames=("invert",))
def _in1d(x: Any, tests: Any, invert: bool) -> Any:
    from jaxc.numpy.reductions import all, any

    x, tests = (array_of(a) for a in promote_dtypes(x, tests))
    column = lax.expand_dims(x, (1,))
    row = lax.expand_dims(tests, (0,))
    if invert:
        return all(lax.ne(column, row), axis=-1)
    return any(lax.eq(column, row), axis=-1)


def union1d(ar1: Any, ar2: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The distinct elements of both arrays, sorted."""
    ar1, ar2 = ensure_arraylike("union1d", ar1, ar2)
    both = concatenate([ravel(ar1), ravel(ar2)])
    return unique(both, size=size, fill_value=fill_value)


def intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False, *,
    size: int | None = None, fill_value: Any = None,
) -> Any:  # fmt: skip
    """The distinct elements in both arrays, sorted (values must be known unless size is given)."""
    ar1, ar2 = (array_of(a) for a in promote_dtypes(*ensure_arraylike("intersect1d", ar1, ar2)))
    message = "Error arose in jnp.intersect1d()"
    found = np.intersect1d(_host(ar1, message), _host(ar2, message), assume_unique, True)
    values, first, second = found
    if size is not None:
        values, first, second = (_padded(v, size, f) for v, f in zip(
            found, (fill_value, ar1.size, ar2.size), strict=True))  # fmt: skip
    if return_indices:
        return asarray(values), _indices(first), _indices(second)
    return asarray(values)


def _padded(values: np.ndarray, size: int, fill: Any) -> np.ndarray:
    values = values[:size]
    if fill is None:
        fill = values[0] if len(values) else 0
    return np.concatenate([values, np.full(size - len(values), fill, values.dtype)])


def setdiff1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, *, size: int | None = None,
    fill_value: Any = None,
) -> Any:  # fmt: skip
    """The distinct elements of the first array that are not in the second."""
    ar1, ar2 = ensure_arraylike("setdiff1d", ar1, ar2)
    if size is None:
        message = "Error arose in jnp.setdiff1d()"
        return asarray(np.setdiff1d(_host(ar1, message), _host(ar2, message), assume_unique))
    fill = 0 if fill_value is None else fill_value
    if ar1.size == 0 or size == 0:
        return lax.full((size,), fill, ar1.dtype)
    flat = ravel(ar1) if assume_unique else unique(ar1, size=ar1.size)
    keep = isin(flat, ar2, invert=True)
    if not assume_unique:
        repeated = concatenate([array_of(np.zeros(1, bool)), lax.eq(flat[1:], flat[:1])])
        keep = lax.bitwise_and(keep, lax.bitwise_not(repeated))
    at = nonzero(keep, size=size, fill_value=flat.size)[0]
    return flat.at[at].get(mode="fill", fill_value=fill)


def setxor1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, *, size: int | None = None,
    fill_value: Any = None,
) -> Any:  # fmt: skip
    """The distinct elements in exactly one of the arrays, sorted."""
    ar1, ar2 = (array_of(a) for a in promote_dtypes(*ensure_arraylike("setxor1d", ar1, ar2)))
    message = "Error arose in jnp.setxor1d()"
    found = np.setxor1d(_host(ar1, message), _host(ar2, message), assume_unique)
    return asarray(found if size is None else _padded(found, size, fill_value))
