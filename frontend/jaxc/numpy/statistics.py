"""Order statistics, histograms and correlations: median, quantile, bincount, cov, ...

Composed of lax functions, reductions and searching.
"""

from __future__ import annotations

import operator
from builtins import range as builtin_range
from typing import Any

import numpy as np

from jaxc import errors, lax
from jaxc.core import dtypes
from jaxc.core.trace import Tracer
from jaxc.numpy.creation import zeros
from jaxc.numpy.elementwise import isnan
from jaxc.numpy.manipulation import ravel
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    check_arraylike,
    convert,
    ensure_arraylike,
    promote_dtypes_inexact,
)
from jaxc.numpy.reductions import any as any_true
from jaxc.numpy.reductions import max as largest
from jaxc.numpy.reductions import min as smallest
from jaxc.numpy.reductions import ptp, reduced_axes, sum
from jaxc.numpy.searching import bincount_sized, searchsorted
from jaxc.numpy.selection import clip, where

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")
_STATIC = ("axis", "overwrite_input", "keepdims", "method", "out")


def _no_out(name: str, out: Any, overwrite_input: bool) -> None:
    if overwrite_input or out is not None:
        raise ValueError(f"jax.numpy.{name} does not support overwrite_input=True or out != None")


@nested_jit(static_argnames=_STATIC)
def quantile(
    a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, *,
    weights=None,
):  # fmt: skip
    """The value below which a fraction q of the elements lies; NaN if there is one."""
    a, q = ensure_arraylike("quantile", a, q)
    _no_out("quantile", out, overwrite_input)
    return _quantile(q, a, axis, method, keepdims, squash_nans=False)


@nested_jit(static_argnames=_STATIC)
def nanquantile(
    a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, *,
    weights=None,
):  # fmt: skip
    """Like `quantile` of the elements that are not NaN."""
    a, q = ensure_arraylike("nanquantile", a, q)
    _no_out("nanquantile", out, overwrite_input)
    return _quantile(q, a, axis, method, keepdims, squash_nans=True)


@nested_jit(static_argnames=_STATIC)
def percentile(
    a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, *,
    weights=None, out_sharding=None,
):  # fmt: skip
    """Like `quantile` with q in percent."""
    check_arraylike("percentile", a, q)
    (q,) = promote_dtypes_inexact(q)
    q = lax.div(q, convert(100.0, array_of(q).dtype, bool(array_of(q).weak_type)))
    return quantile(a, q, axis=axis, out=out, overwrite_input=overwrite_input, method=method,
                    keepdims=keepdims)  # fmt: skip


@nested_jit(static_argnames=_STATIC)
def nanpercentile(
    a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, *,
    weights=None,
):  # fmt: skip
    """Like `nanquantile` with q in percent."""
    check_arraylike("nanpercentile", a, q)
    (q,) = promote_dtypes_inexact(q)
    q = lax.div(q, convert(100.0, array_of(q).dtype, bool(array_of(q).weak_type)))
    return nanquantile(a, q, axis=axis, out=out, overwrite_input=overwrite_input, method=method,
                       keepdims=keepdims)  # fmt: skip


@nested_jit(static_argnames=("axis", "out", "overwrite_input", "keepdims"))
def median(a, axis=None, out=None, overwrite_input=False, keepdims=False):
    """The middle element in order, or the mean of the two middle ones."""
    a = ensure_arraylike("median", a)
    return quantile(a, 0.5, axis=axis, out=out, overwrite_input=overwrite_input,
                    method="midpoint", keepdims=keepdims)  # fmt: skip


@nested_jit(static_argnames=("axis", "out", "overwrite_input", "keepdims"))
def nanmedian(a, axis=None, out=None, overwrite_input=False, keepdims=False):
    """Like `median` of the elements that are not NaN."""
    a = ensure_arraylike("nanmedian", a)
    return nanquantile(a, 0.5, axis=axis, out=out, overwrite_input=overwrite_input,
                       method="midpoint", keepdims=keepdims)  # fmt: skip


def _quantile(q: Any, a: Any, axis: Any, method: str, keepdims: bool, squash_nans: bool) -> Any:
    if method not in _METHODS:
        raise ValueError("method can only be 'linear', 'lower', 'higher', 'midpoint', or 'nearest'")
    a, q = (array_of(promote_dtypes_inexact(x)[0]) for x in (a, q))
    if dtypes.issubdtype(a.dtype, np.complexfloating):
        raise ValueError("quantile does not support complex input, as the operation is poorly "
                         "defined.")  # fmt: skip
    if q.ndim > 1:
        raise ValueError(f"q must be have rank <= 1, got shape {q.shape}")
    a, axis, kept = _one_axis(a, axis, keepdims)
    if squash_nans:
        out = _nan_quantile(a, q, axis, method)
    else:
        out = _plain_quantile(a, q, axis, method)
    if kept is not None:
        out = out.reshape(q.shape + kept)
    return out


def _one_axis(a: Any, axis: Any, keepdims: bool) -> Any:
    """The array with the axes to reduce merged into one, and the shape keepdims asks for."""
    shape = a.shape
    if axis is None:
        kept = (1,) * a.ndim if keepdims else None
        return (ravel(a) if a.ndim != 1 else a), 0, kept
    axes = reduced_axes(axis, a.ndim)
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape)) if keepdims else None
    if len(axes) == 1:
        return a, axes[0], kept
    rest = [i for i in range(a.ndim) if i not in axes]
    a = lax.transpose(a, (*axes, *rest))
    count = int(np.prod([shape[i] for i in axes], dtype=np.int64))
    return a.reshape(count, *(shape[i] for i in rest)), 0, kept


def _take_sorted(a: Any, index: Any, axis: int) -> Any:
    """Slices of `a` at one or several positions (all in bounds), positions first."""
    rank = a.ndim
    sizes = tuple(1 if i == axis else n for i, n in enumerate(a.shape))
    lead = index.ndim
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(range(lead, rank - 1 + lead)),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
    )
    spread = lax.broadcast_in_dim(index, (*index.shape, 1), tuple(range(lead)))
    return lax.gather(a, spread, numbers, sizes, mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS)


def _plain_quantile(a: Any, q: Any, axis: int, method: str) -> Any:
    nan = any_true(isnan(a), axis=axis, keepdims=True)
    a = where(nan, np.nan, a)
    a = lax.sort(a, dimension=axis)
    kind = q.dtype
    count = convert(a.shape[axis], kind)
    one, zero = convert(1, kind), convert(0, kind)
    q = lax.mul(q, lax.sub(count, one))
    low, high = lax.floor(q), lax.ceil(q)
    high_weight = lax.sub(q, low)
    low_weight = lax.sub(one, high_weight)
    low = lax.clamp(zero, low, lax.sub(count, one))
    high = lax.clamp(zero, high, lax.sub(count, one))
    index = np.dtype(np.int32)
    low, high = convert(low, index), convert(high, index)
    low_value, high_value = _take_sorted(a, low, axis), _take_sorted(a, high, axis)
    lead, rest = q.ndim, low_value.ndim - q.ndim
    if rest and lead:
        low_weight = lax.broadcast_in_dim(low_weight, low_value.shape, (0,))
        high_weight = lax.broadcast_in_dim(high_weight, high_value.shape, (0,))
    return _interpolated(low_value, high_value, low_weight, high_weight, method)


def _interpolated(low: Any, high: Any, low_weight: Any, high_weight: Any, method: str) -> Any:
    found = low.dtype
    if method == "linear":
        return lax.add(lax.mul(low, convert(low_weight, found)),
                       lax.mul(high, convert(high_weight, found)))  # fmt: skip
    if method == "lower":
        return low
    if method == "higher":
        return high
    if method == "nearest":
        half = convert(0.5, low_weight.dtype)
        nearer = lax.le(high_weight, half)
        return lax.select(_wide(nearer, low.shape), low, high)
    return lax.mul(lax.add(low, high), convert(0.5, found))


def _wide(x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == shape else lax.broadcast_in_dim(x, shape, tuple(range(x.ndim)))


def _nan_quantile(a: Any, q: Any, axis: int, method: str) -> Any:
    from jaxc.numpy.indexing import take_along_axis

    a = where(isnan(a), np.nan, a)
    a = lax.sort(a, dimension=axis)
    kind = q.dtype
    mask = lax.convert_element_type(lax.bitwise_not(isnan(a)), dtypes.default_dtype(int))
    count = sum(mask, axis=axis, dtype=kind, keepdims=True)
    one, zero = convert(1, kind), convert(0, kind)
    # positions for every q (in front) and every column
    wide_q = q.reshape(q.shape + (1,) * a.ndim)
    at = wide_q * (count - one)
    low, high = lax.floor(at), lax.ceil(at)
    high_weight = at - low
    low_weight = one - high_weight
    last = count - one
    from jaxc.numpy.elementwise import maximum, minimum

    low = maximum(zero, minimum(low, last))
    high = maximum(zero, minimum(high, last))
    index = np.dtype(np.int32)
    dim = axis + q.ndim
    wide_a = lax.broadcast_in_dim(a, q.shape + a.shape, tuple(range(q.ndim, q.ndim + a.ndim)))
    low_value = take_along_axis(wide_a, convert(low, index), axis=dim)
    high_value = take_along_axis(wide_a, convert(high, index), axis=dim)
    drop = (dim,)
    parts = [lax.squeeze(x, drop) for x in (low_value, high_value, low_weight, high_weight)]
    return _interpolated(*parts, method)


# ---- counting ---------------------------------------------------------------------------------


def bincount(
    x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None,
    out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Number (or total weight) of each non-negative integer."""
    x = ensure_arraylike("bincount", x)
    if x.dtype == np.dtype(bool):
        x = convert(x, np.dtype(np.int32))
    if not dtypes.issubdtype(x.dtype, np.integer):
        raise TypeError(f"x argument to bincount must have an integer type; got {x.dtype}")
    if x.ndim != 1:
        raise ValueError("only 1-dimensional input supported.")
    minlength = operator.index(minlength)
    if length is None:
        if isinstance(x, Tracer) and x.to_concrete_value() is None:
            raise errors.ConcretizationTypeError(
                x, "The error occurred because of argument 'x' of jnp.bincount. To avoid this "
                "error, pass a static `length` argument.")  # fmt: skip
        found = int(np.asarray(x).max(initial=-1)) + 1
        length = max(minlength, found)
    else:
        length = operator.index(length)
    if weights is None:
        return bincount_sized(x, length)
    weights = array_of(weights)
    if weights.shape != x.shape:
        raise ValueError("shape of weights must match shape of x.")
    return zeros((length,), weights.dtype).at[clip(x, 0)].add(weights, mode="drop")


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """The edges of the bins that `histogram` uses."""
    del weights
    if isinstance(bins, str):
        raise NotImplementedError("string values for `bins` not implemented.")
    check_arraylike("histogram_bin_edges", a)
    (a,) = promote_dtypes_inexact(a)
    a = array_of(a)
    if np.ndim(bins) == 1 or getattr(bins, "ndim", 0) == 1:
        return array_of(convert(array_of(np.asarray(bins) if isinstance(bins, list | tuple)
                                         else bins), a.dtype))  # fmt: skip
    count = operator.index(bins)
    from jaxc.numpy.creation import asarray
    from jaxc.numpy.ranges import linspace

    if range is None:
        if a.size == 0:
            ends = asarray([0.0, 1.0], dtype=a.dtype)
        else:
            ends = asarray([smallest(a), largest(a)], dtype=a.dtype)
    else:
        ends = asarray(range, dtype=a.dtype)
    if ends.shape != (2,):
        raise ValueError("`range` must be either None or a sequence of scalars.")
    low = where(ptp(ends) == 0, ends[0] - 0.5, ends[0])
    high = where(ptp(ends) == 0, ends[1] + 0.5, ends[1])
    return linspace(low, high, count + 1, dtype=a.dtype)


def histogram(
    a: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None
) -> tuple[Any, Any]:
    """Counts in bins, and the bin edges."""
    from jaxc.numpy.cumulative import diff

    if weights is None:
        a = ensure_arraylike("histogram", a)
        (a,) = promote_dtypes_inexact(a)
        weights = lax.full_like(a, 1)
    else:
        a, weights = ensure_arraylike("histogram", a, weights)
        if a.shape != weights.shape:
            raise ValueError("weights should have the same shape as a.")
        a, weights = promote_dtypes_inexact(a, weights)
    edges = histogram_bin_edges(a, bins, range, weights)
    at = searchsorted(edges, a, side="right")
    at = where(a == edges[-1], edges.shape[0] - 1, at)
    counts = zeros((edges.shape[0],), weights.dtype).at[ravel(at)].add(ravel(weights))[1:]
    if density:
        counts = counts / diff(edges) / sum(counts)
    return counts, edges


def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: Any = None
) -> tuple[Any, Any, Any]:
    """Counts in a grid of bins."""
    from jaxc.numpy.joining import stack

    x, y = ensure_arraylike("histogram2d", x, y)
    try:
        count = len(bins)
    except TypeError:
        count = 1
    if count not in (1, 2):
        edges = array_of(bins)
        bins = [edges, edges]
    sample = stack([ravel(x), ravel(y)]).T
    counts, edges = histogramdd(sample, bins, range, weights, density)
    return counts, edges[0], edges[1]


def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: Any = None
) -> tuple[Any, list[Any]]:
    """Counts in bins of several dimensions."""
    from jaxc.numpy.cumulative import diff

    sample = ensure_arraylike("histogramdd", sample)
    total, rank = sample.shape
    if weights is not None and np.shape(weights) != (total,):
        raise ValueError("should have one weight for each sample.")
    if range is not None and len(range) != rank:
        raise ValueError(f"For sample.shape={sample.shape}, range should have length {rank}")
    try:
        sizes = list(bins)
        if len(sizes) != rank:
            raise ValueError("should be a bin for each dimension.")
    except TypeError:
        sizes = [bins] * rank
    spans = [None] * rank if range is None else list(range)
    edges = [histogram_bin_edges(sample[:, i], sizes[i], spans[i]) for i in builtin_range(rank)]
    flat, size = None, 1
    for i in builtin_range(rank):
        at = searchsorted(edges[i], sample[:, i], side="right")
        at = where(sample[:, i] == edges[i][-1], at - 1, at)
        n = edges[i].shape[0] + 1
        flat = at if flat is None else flat * n + at
        size *= n
    if weights is not None:
        (weights,) = promote_dtypes_inexact(array_of(weights))
    counts = bincount(flat, weights=weights, length=size)
    counts = counts.reshape([e.shape[0] + 1 for e in edges])
    counts = counts[(slice(1, -1),) * rank]
    if density:
        counts = counts.astype(sample.dtype) / sum(counts)
        for i, e in enumerate(edges):
            counts = counts / diff(e).reshape([-1 if k == i else 1 for k in builtin_range(rank)])
    return counts, edges


# ---- correlation ------------------------------------------------------------------------------


@nested_jit(static_argnames=("rowvar", "bias", "ddof", "dtype"))
def cov(
    m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None, dtype=None
):  # fmt: skip
    """Covariance matrix of variables in rows (or columns if `rowvar` is false)."""
    from jaxc.numpy.contractions import dot
    from jaxc.numpy.joining import concatenate
    from jaxc.numpy.manipulation import atleast_2d, squeeze
    from jaxc.numpy.reductions import average

    given = [m] if y is None else [m, y]
    check_arraylike("cov", *given)
    arrays = [array_of(x) for x in promote_dtypes_inexact(*given)]
    if any(x.ndim > 2 for x in arrays):
        raise ValueError(f"{'m' if arrays[0].ndim > 2 else 'y'} has more than 2 dimensions")
    if dtype is not None:
        kind = dtypes.check_user_dtype(dtype, "cov")
        if not dtypes.issubdtype(kind, np.inexact):
            raise ValueError(f"cov: dtype must be a subclass of float or complex; got {dtype=}")
        arrays = [convert(x, kind) for x in arrays]
    x = atleast_2d(arrays[0])
    if not rowvar and arrays[0].ndim != 1:
        x = x.T
    if x.shape[0] == 0:
        return zeros((0, 0), x.dtype)
    if y is not None:
        other = atleast_2d(arrays[1])
        if not rowvar and arrays[1].ndim != 1:
            other = other.T
        x = concatenate([x, other], axis=0)
    if ddof is None:
        ddof = 1 if bias == 0 else 0
    weights = _cov_weights(x, fweights, aweights)
    mean, total = average(x, axis=1, weights=weights, returned=True)
    total = total[0]
    if weights is None:
        factor = max(x.shape[1] - ddof, 0)
    elif ddof == 0:
        factor = total
    elif aweights is None:
        factor = total - ddof
    else:
        factor = total - ddof * sum(weights * array_of(aweights)) / total
    x = x - mean[:, None]
    scaled = x.T if weights is None else (x * weights).T
    product = dot(x, scaled.conj() if scaled.dtype.kind == "c" else scaled)
    return squeeze(product / factor)


def _cov_weights(x: Any, fweights: Any, aweights: Any) -> Any:
    weights = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        check_arraylike("cov", given)
        one = array_of(given)
        if one.ndim != 1:
            raise RuntimeError(f"cannot handle multidimensional {name}")
        if one.shape[0] != x.shape[1]:
            raise RuntimeError(f"incompatible numbers of samples and {name}")
        if name == "fweights" and not dtypes.issubdtype(one.dtype, np.integer):
            raise TypeError("fweights must be integer.")
        one = abs(one)
        weights = one if weights is None else weights * one
    return weights


@nested_jit(static_argnames=("rowvar", "dtype"))
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Any:
    """Correlation matrix of variables in rows (or columns if `rowvar` is false)."""
    from jaxc.numpy.elementwise import imag, real, sqrt
    from jaxc.numpy.matrices import diag

    check_arraylike("corrcoef", x)
    if dtype is not None and not dtypes.issubdtype(dtypes.dtype(dtype), np.inexact):
        raise ValueError(f"corrcoef: dtype must be a subclass of float or complex; got {dtype=}")
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    spread = sqrt(real(diag(c)))
    c = c / spread[:, None] / spread[None, :]
    re = clip(real(c), -1, 1)
    if c.dtype.kind == "c":
        return lax.complex(re, clip(imag(c), -1, 1))
    return re
