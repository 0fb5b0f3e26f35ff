"""Sorting: sort, argsort, lexsort, partition and the like.

Composed of lax.sort. Must not import searching.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.core.array import Array
from jaxc.core.trace import Tracer
from jaxc.numpy.manipulation import swapaxes
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    canonicalize_axis,
    check_arraylike,
    convert,
    ensure_arraylike,
    promote_dtypes_complex,
)


def _checked(name: str, kind: Any, order: Any) -> None:
    if kind is not None:
        raise TypeError("'kind' argument to jnp." + name + " is not supported. Only stable=True or "
                        "stable=False are supported.")  # fmt: skip
    if order is not None:
        raise TypeError(f"'order' argument to jnp.{name} is not supported.")


def _flat(a: Any, axis: Any) -> tuple[Any, int]:
    if axis is None:
        return (lax.reshape(a, (a.size,)) if a.ndim != 1 else a), 0
    return a, canonicalize_axis(operator.index(axis), a.ndim)


@nested_jit(static_argnames=("axis", "kind", "order", "stable", "descending"))
def sort(
    a: Any, axis: int | None = -1, *, kind: None = None, order: None = None, stable: bool = True,
    descending: bool = False,
) -> Any:  # fmt: skip
    """The elements in order along an axis (flattened for None), NaN last."""
    a = ensure_arraylike("sort", a)
    _checked("sort", kind, order)
    a, dimension = _flat(a, axis)
    out = lax.sort(a, dimension=dimension, is_stable=stable)
    return lax.rev(out, (dimension,)) if descending else out


@nested_jit(static_argnames=("axis", "kind", "order", "stable", "descending", "dtype"))
def argsort(
    a: Any, axis: int | None = -1, *, kind: None = None, order: None = None, stable: bool = True,
    descending: bool = False, dtype: Any = None,
) -> Any:  # fmt: skip
    """The indices that sort along an axis (flattened for None)."""
    a = ensure_arraylike("argsort", a)
    _checked("argsort", kind, order)
    a, dimension = _flat(a, axis)
    index_dtype = dtypes.default_dtype(int) if dtype is None else np.dtype(dtype)
    index = lax.broadcasted_iota(index_dtype, a.shape, dimension)
    if descending and stable:
        a, index = lax.rev(a, (dimension,)), lax.rev(index, (dimension,))
    _, out = lax.sort((a, index), dimension=dimension, num_keys=1, is_stable=stable)
    return lax.rev(out, (dimension,)) if descending else out


@nested_jit(static_argnames=("axis",))
def lexsort(keys: Any, axis: int = -1) -> Any:
    """The indices that sort by the last key, ties by the one before it, and so on."""
    if isinstance(keys, Array | Tracer | np.ndarray):
        array = array_of(keys)
        keys = [array[i] for i in range(array.shape[0])]
    arrays = [array_of(k) for k in keys]
    check_arraylike("lexsort", *arrays)
    if not arrays:
        raise TypeError("need sequence of keys with len > 0 in lexsort")
    if len({a.shape for a in arrays}) > 1:
        raise ValueError("all keys need to be the same shape")
    if arrays[0].ndim == 0:
        return array_of(np.zeros((), dtypes.default_dtype(int)))
    dimension = canonicalize_axis(axis, arrays[0].ndim)
    index = lax.broadcasted_iota(dtypes.default_dtype(int), arrays[0].shape, dimension)
    operands = (*reversed(arrays), index)
    return lax.sort(operands, dimension=dimension, num_keys=len(arrays))[-1]


def _kth(kth: Any, size: int) -> int:
    kth = operator.index(kth)
    if not -size <= kth < size:
        raise ValueError(f"kth(={kth}) out of bounds ({size})")
    return kth + size if kth < 0 else kth


def _reversed_order(a: Any) -> Any:
    """A decreasing function of the elements, its own inverse."""
    unsigned = dtypes.issubdtype(a.dtype, np.unsignedinteger)
    return lax.bitwise_not(a) if unsigned else lax.neg(a)


@nested_jit(static_argnames=("kth", "axis"))
def partition(a: Any, kth: int, axis: int = -1) -> Any:
    """Rearranged so that smaller elements come before the kth, larger ones after it."""
    a = ensure_arraylike("partition", a)
    if dtypes.issubdtype(a.dtype, np.complexfloating):
        raise NotImplementedError("jnp.partition for complex dtype is not implemented.")
    axis = canonicalize_axis(axis, a.ndim)
    kth = _kth(kth, a.shape[axis])
    a = swapaxes(a, axis, -1)
    low = _reversed_order(lax.top_k(_reversed_order(a), kth + 1)[0])
    high = lax.top_k(a, a.shape[-1] - kth - 1)[0]
    return swapaxes(lax.concatenate([low, high], a.ndim - 1), -1, axis)


@nested_jit(static_argnames=("kth", "axis"))
def argpartition(a: Any, kth: int, axis: int = -1) -> Any:
    """The indices of `partition`."""
    a = ensure_arraylike("argpartition", a)
    if dtypes.issubdtype(a.dtype, np.complexfloating):
        raise NotImplementedError("jnp.argpartition for complex dtype is not implemented.")
    axis = canonicalize_axis(axis, a.ndim)
    size = a.shape[axis]
    kth = _kth(kth, size)
    a = swapaxes(a, axis, -1)
    low = lax.top_k(_reversed_order(a), kth + 1)[1]
    mask = lax.full(a.shape, 0, np.dtype(np.int32))
    grid = [lax.broadcasted_iota(np.int32, low.shape, i) for i in range(a.ndim - 1)]
    mask = mask.at[(*grid, low)].set(1)
    rest = convert(lax.bitwise_not(convert(mask, np.dtype(bool))), np.dtype(np.int32))
    high = lax.top_k(rest, size - kth - 1)[1]
    return swapaxes(lax.concatenate([low, high], a.ndim - 1), -1, axis)


@nested_jit
def sort_complex(a: Any) -> Any:
    """Sorted along the last axis, as complex numbers."""
    a = ensure_arraylike("sort_complex", a)
    out = lax.sort(a, dimension=a.ndim - 1)
    return promote_dtypes_complex(out)[0]
