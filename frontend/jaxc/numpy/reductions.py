"""Reductions along axes: sum, prod, max, min, any, all, mean, var, std, argmax, ...

Composed of lax functions. Must not import indexing or sorting at load.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc import errors, lax
from jaxc.core import dtypes
from jaxc.core.trace import Tracer
from jaxc.numpy.creation import broadcast_to_shape, user_dtype
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    canonicalize_axis,
    check_arraylike,
    convert,
    ensure_arraylike,
    promote_dtypes_inexact,
)
from jaxc.numpy.selection import where as choose

_BOOL = np.dtype(bool)
_F32 = np.dtype(np.float32)
_HALF = {np.dtype(np.float16), dtypes.bfloat16}


def reduced_axes(axis: Any, rank: int) -> tuple[int, ...]:
    """The axes to reduce, sorted as given; ValueError for repeated or missing ones."""
    if axis is None:
        return tuple(range(rank))
    if isinstance(axis, Tracer):
        raise errors.ConcretizationTypeError(axis, "The axis of a reduction must be static.")
    given = axis if isinstance(axis, tuple | list) else (operator.index(axis),)
    axes = tuple(canonicalize_axis(i, rank) for i in given)
    if len(set(axes)) != len(axes):
        raise ValueError(f"duplicate value in 'axis': {axis}")
    return axes


def _no_out(name: str, out: Any) -> None:
    if out is not None:
        raise NotImplementedError(f"The 'out' argument to jnp.{name} is not supported.")


def _kept(out: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return lax.expand_dims(out, tuple(sorted(axes))) if keepdims and axes else out


def _compute_dtype(found: Any) -> Any:
    """Half precision floats are accumulated in float32."""
    return _F32 if found in _HALF else found


def _promoted_int(found: Any) -> Any:
    """Sums of small integers are taken in the default integer of the same signedness."""
    if found == _BOOL:
        return dtypes.default_dtype(int)
    if dtypes.issubdtype(found, np.unsignedinteger):
        wide = dtypes.canonicalize_dtype(np.uint64)
    elif dtypes.issubdtype(found, np.integer):
        wide = dtypes.default_dtype(int)
    else:
        return found
    return wide if found.itemsize < wide.itemsize else found


def _reduce(
    name: str,
    lax_reduce: Callable,
    combine: Callable,
    identity: Any,
    a: Any,
    axis: Any,
    dtype: Any,
    keepdims: bool,
    initial: Any,
    where: Any,
    promote: bool,
    has_identity: bool = True,
) -> Any:
    a = ensure_arraylike(name, a)
    _check_where(name, where)
    axes = reduced_axes(axis, a.ndim)
    if not has_identity:
        _check_identity(name, a, axes, initial, where)
    found = user_dtype(dtype, name)
    if found is None:
        found = _promoted_int(a.dtype) if promote else a.dtype
        if found == _BOOL and has_identity:  # booleans are counted; not promoted means 32 bits
            found = np.dtype(np.int32)
    compute = _compute_dtype(found)
    if compute == _BOOL and has_identity:
        compute = dtypes.default_dtype(int)
    a = a if a.dtype == compute and not a.weak_type else lax.convert_element_type(a, compute)
    if where is not None:
        a = choose(where, a, _scalar(identity, compute))
    out = lax_reduce(a, axes)
    if initial is not None:
        first = array_of(initial)
        if first.ndim:
            raise ValueError(f"initial value must be a scalar. Got array of shape {first.shape}")
        out = combine(convert(initial, compute), out)
    out = _kept(out, axes, keepdims)
    return out if out.dtype == found else lax.convert_element_type(out, found)


def _check_where(name: str, where: Any) -> None:
    if where is None:
        return
    check_arraylike(name, where)
    if dtypes.dtype_and_weak(where)[0] != _BOOL:
        raise ValueError(
            f"jnp.{name}: where must be None or a boolean array; got "
            f"where.dtype={dtypes.dtype_and_weak(where)[0]!r}."
        )


def _scalar(value: Any, dtype: Any) -> Any:
    return convert(value(dtype) if callable(value) else value, dtype)


def _check_identity(name: str, a: Any, axes: tuple, initial: Any, where: Any) -> None:
    if initial is None and any_zero(a.shape[i] for i in axes):
        raise ValueError(f"zero-size array to reduction operation {name} which has no identity")
    if where is not None and initial is None:
        raise ValueError(
            f"reduction operation {name} does not have an identity, so to use a where mask one "
            "has to specify 'initial'"
        )


def any_zero(sizes: Any) -> bool:
    return 0 in list(sizes)


def _lowest(dtype: Any) -> Any:
    if dtype == _BOOL:
        return False
    if dtypes.issubdtype(dtype, np.integer):
        return int(dtypes.iinfo(dtype).min)
    return -np.inf


def _highest(dtype: Any) -> Any:
    if dtype == _BOOL:
        return True
    if dtypes.issubdtype(dtype, np.integer):
        return int(dtypes.iinfo(dtype).max)
    return np.inf


def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """Sum of the elements along the given axes.

    Example:
      >>> import jaxc.numpy as jnp
      >>> jnp.sum(jnp.ones((2, 3)), axis=0)
      Array([2., 2., 2.], dtype=float32)
    """
    _no_out("sum", out)
    return _reduce("sum", lax.reduce_sum, _add, 0, a, axis, dtype, keepdims, initial, where,
                   promote_integers)  # fmt: skip


def _add(x: Any, y: Any) -> Any:
    return lax.bitwise_or(x, y) if y.dtype == _BOOL else lax.add(x, y)


def _mul(x: Any, y: Any) -> Any:
    return lax.bitwise_and(x, y) if y.dtype == _BOOL else lax.mul(x, y)


def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """Product of the elements along the given axes."""
    _no_out("prod", out)
    return _reduce("prod", lax.reduce_prod, _mul, 1, a, axis, dtype, keepdims, initial, where,
                   promote_integers)  # fmt: skip


def max(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
    where: Any = None,
) -> Any:  # fmt: skip
    """The largest elements along the given axes; NaN if there is one."""
    _no_out("max", out)
    return _reduce("max", lax.reduce_max, lax.max, _lowest, a, axis, None, keepdims, initial,
                   where, False, has_identity=False)  # fmt: skip


def min(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
    where: Any = None,
) -> Any:  # fmt: skip
    """The smallest elements along the given axes; NaN if there is one."""
    _no_out("min", out)
    return _reduce("min", lax.reduce_min, lax.min, _highest, a, axis, None, keepdims, initial,
                   where, False, has_identity=False)  # fmt: skip


amax, amin = max, min


def _logical(name: str, lax_reduce: Callable, identity: bool, a, axis, keepdims, where) -> Any:
    a = ensure_arraylike(name, a)
    _check_where(name, where)
    axes = reduced_axes(axis, a.ndim)
    a = a if a.dtype == _BOOL else lax.convert_element_type(a, _BOOL)
    if where is not None:
        a = choose(where, a, np.bool_(identity))
    return _kept(lax_reduce(a, axes), axes, keepdims)


def all(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Whether all elements along the given axes are true."""
    _no_out("all", out)
    return _logical("all", lax.reduce_and, True, a, axis, keepdims, where)


def any(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Whether any element along the given axes is true."""
    _no_out("any", out)
    return _logical("any", lax.reduce_or, False, a, axis, keepdims, where)


# ---- mean and variance ------------------------------------------------------------------------


def _count(a: Any, axes: tuple[int, ...]) -> int:
    count = 1
    for i in axes:
        count *= a.shape[i]
    return count


def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, *,
    where: Any = None,
) -> Any:  # fmt: skip
    """Arithmetic mean along the given axes."""
    _no_out("mean", out)
    return _mean("mean", a, axis, dtype, keepdims, where)


def _mean(name: str, a: Any, axis: Any, dtype: Any, keepdims: bool, where: Any) -> Any:
    a = ensure_arraylike(name, a)
    axes = reduced_axes(axis, a.ndim)
    found = user_dtype(dtype, name) or dtypes.to_inexact_dtype(a.dtype)
    compute = _compute_dtype(found)
    if where is None:
        count = convert(_count(a, axes), compute)
    else:
        _check_where(name, where)
        mask = broadcast_to_shape(array_of(where), a.shape)
        mask_count = lax.convert_element_type(mask, dtypes.default_dtype(int))
        count = sum(lax.convert_element_type(mask_count, compute), axis=axes, keepdims=keepdims)
    total = sum(a, axis=axes, dtype=compute, keepdims=keepdims, where=where)
    out = lax.div(total, count)
    return out if out.dtype == found else lax.convert_element_type(out, found)


def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """Mean with weights."""
    if weights is None:
        a = ensure_arraylike("average", a)
        out = mean(a, axis=axis, keepdims=keepdims)
        axes = reduced_axes(axis, a.ndim)
        total = lax.full_like(out, _count(a, axes)) if returned else None
        return (out, total) if returned else out
    a, weights = ensure_arraylike("average", a, weights)
    a, weights = promote_dtypes_inexact(a, weights)
    axes = None if axis is None else reduced_axes(axis, a.ndim)
    if a.shape != weights.shape:
        weights = _aligned_weights(a, weights, axis, axes)
    total = sum(weights, axis=axes, keepdims=keepdims)
    out = lax.div(
        sum(lax.mul(a, weights), axis=axes, keepdims=keepdims), _fit(total, a, axes, keepdims)
    )
    if returned:
        return out, broadcast_to_shape(total, out.shape)
    return out


def _fit(total: Any, a: Any, axes: Any, keepdims: bool) -> Any:
    sizes = [s for i, s in enumerate(a.shape) if keepdims or (axes is not None and i not in axes)]
    return total if total.ndim == len(sizes) else broadcast_to_shape(total, tuple(sizes))


def _aligned_weights(a: Any, weights: Any, axis: Any, axes: Any) -> Any:
    if axis is None:
        raise ValueError("Axis must be specified when shapes of a and weights differ.")
    if isinstance(axis, tuple | list):
        if weights.shape != tuple(a.shape[i] for i in axes):
            raise ValueError("Shape of weights must be consistent with shape of a along specified "
                             "axis.")  # fmt: skip
    elif weights.ndim != 1:
        raise ValueError("1D weights expected when shapes of a and weights differ.")
    elif weights.shape[0] != a.shape[axes[0]]:
        raise ValueError("Length of weights not compatible with specified axis.")
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    weights = lax.transpose(weights, tuple(order))
    return lax.broadcast_in_dim(weights, a.shape, tuple(sorted(axes)))


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """Variance along the given axes, divided by the count minus `ddof` (= `correction`)."""
    _no_out("var", out)
    _check_where("var", where)
    return _var(ensure_arraylike("var", a), _correction(ddof, correction), where, mean,
                axis=_static(axis), dtype=dtype, keepdims=keepdims)  # fmt: skip


def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """Standard deviation along the given axes."""
    _no_out("std", out)
    _check_where("std", where)
    if dtype is not None and not dtypes.issubdtype(dtype, np.inexact):
        raise ValueError(f"dtype argument to jnp.std must be inexact; got {dtype}")
    return _std(ensure_arraylike("std", a), _correction(ddof, correction), where, mean,
                axis=_static(axis), dtype=dtype, keepdims=keepdims)  # fmt: skip


def _static(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _correction(ddof: Any, correction: Any) -> Any:
    if correction is None:
        return ddof
    if not isinstance(ddof, int) or ddof != 0:
        raise ValueError("ddof and correction can't be provided simultaneously.")
    return correction


@nested_jit(name="_std", static_argnames=("axis", "dtype", "keepdims"))
def _std(a, correction, where, mean, axis=None, dtype=None, keepdims=False):
    return lax.sqrt(_var(a, correction, where, mean, axis=axis, dtype=dtype, keepdims=keepdims))


@nested_jit(name="_var", static_argnames=("axis", "dtype", "keepdims"))
def _var(a, correction, where, mean, axis=None, dtype=None, keepdims=False):
    compute, found = _variance_dtypes(a.dtype, dtype)
    a = a if a.dtype == compute else lax.convert_element_type(a, compute)
    center = mean if mean is not None else _mean("mean", a, axis, compute, True, where)
    from jaxc.numpy.elementwise import subtract

    centered = subtract(a, center)
    if dtypes.issubdtype(compute, np.complexfloating):
        squares = lax.real(lax.mul(centered, lax.conj(centered)))
        compute = squares.dtype
    else:
        squares = lax.square(centered)
    axes = reduced_axes(axis, a.ndim)
    if where is None:
        count = convert(_count(a, axes), compute)
    else:
        mask = broadcast_to_shape(array_of(where), a.shape)
        count = sum(mask, axis=axes, dtype=compute, keepdims=keepdims)
    count = lax.sub(count, convert(correction, compute))
    total = sum(squares, axis=axes, keepdims=keepdims, where=where)
    out = lax.div(total, count)
    out = choose(lax.gt(count, convert(0, compute)), out, np.nan)
    return out if out.dtype == found else lax.convert_element_type(out, found)


def _variance_dtypes(a_dtype: Any, dtype: Any) -> tuple[Any, Any]:
    """(the dtype to compute in, the dtype of the result)."""
    if dtype is not None:
        dtype = user_dtype(dtype, "var")
        if not dtypes.issubdtype(dtype, np.complexfloating) and dtypes.issubdtype(
            a_dtype, np.complexfloating
        ):
            raise ValueError(
                "jax.numpy.var does not yet support real dtype parameters when computing the "
                "variance of an array of complex values. The semantics of numpy.var seem unclear "
                "in this case. Please comment on https://github.com/jax-ml/jax/issues/2283 if "
                "this behavior is important to you."
            )
        compute = dtypes.to_inexact_dtype(dtypes.promote_types(a_dtype, dtype))
        return _compute_dtype(dtypes.canonicalize_dtype(compute)), dtype
    if not dtypes.issubdtype(a_dtype, np.inexact):
        compute = dtypes.to_inexact_dtype(a_dtype)
        return compute, compute
    found = np.zeros((), a_dtype).real.dtype if a_dtype.kind == "c" else a_dtype
    return _compute_dtype(a_dtype), found


# ---- positions and ranges ---------------------------------------------------------------------


def _arg_reduce(name: str, lax_fun: Callable, a: Any, axis: Any, keepdims: Any) -> Any:
    a = ensure_arraylike(name, a)
    if a.size == 0 and axis is None:
        raise ValueError(f"attempt to get {name} of an empty sequence")
    rank = a.ndim
    if axis is None:
        axes = tuple(range(rank))
        a, dim = lax.reshape(a, (a.size,)) if rank != 1 else a, 0
    else:
        if isinstance(axis, tuple | list):
            raise TypeError(f"{name} expects an integer axis, got {axis}")
        dim = canonicalize_axis(axis, rank)
        axes = (dim,)
    if a.shape[dim] == 0:
        raise ValueError(f"attempt to get {name} of an empty sequence")
    out = lax_fun(a, dim, dtypes.default_dtype(int))
    return lax.expand_dims(out, axes) if keepdims and axes else out


def argmax(a: Any, axis: Any = None, out: None = None, keepdims: bool | None = None) -> Any:
    """Index of the first largest element along an axis (of the flattened array for None)."""
    _no_out("argmax", out)
    return _arg_reduce("argmax", lax.argmax, a, axis, keepdims)


def argmin(a: Any, axis: Any = None, out: None = None, keepdims: bool | None = None) -> Any:
    """Index of the first smallest element along an axis (of the flattened array for None)."""
    _no_out("argmin", out)
    return _arg_reduce("argmin", lax.argmin, a, axis, keepdims)


def ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """Largest minus smallest element along the given axes."""
    _no_out("ptp", out)
    return _ptp(ensure_arraylike("ptp", a), axis=_static(axis), keepdims=keepdims)


@nested_jit(name="_ptp", static_argnames=("axis", "keepdims"))
def _ptp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return lax.sub(max(a, axis=axis, keepdims=keepdims), min(a, axis=axis, keepdims=keepdims))


@nested_jit(static_argnames=("axis", "keepdims"))
def count_nonzero(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Number of elements that are not zero."""
    a = ensure_arraylike("count_nonzero", a)
    mask = lax.ne(a, convert(0, a.dtype))
    return sum(mask, axis=axis, dtype=dtypes.default_dtype(int), keepdims=keepdims)
