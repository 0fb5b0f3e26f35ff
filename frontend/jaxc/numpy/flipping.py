"""Elements in another order along axes: flip, rot90, roll.

Composed of lax functions. Must not import reductions or indexing at load.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core.array import Array
from jaxc.core.trace import Tracer
from jaxc.numpy.creation import asarray, broadcast_to_shape
from jaxc.numpy.manipulation import transpose
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    canonicalize_axes,
    canonicalize_axis,
    check_arraylike,
    convert,
    ensure_arraylike,
)


def flip(m: Any, axis: Any = None) -> Any:
    """Elements in reverse order along the given axes (all for None)."""
    check_arraylike("flip", m)
    axis = tuple(axis) if isinstance(axis, list) else axis
    return _flip(m, axis=axis)


@nested_jit(name="_flip", static_argnames=("axis",))
def _flip(m: Any, axis: Any = None) -> Any:
    m = array_of(m)
    return lax.rev(m, canonicalize_axes(axis, m.ndim))


def fliplr(m: Any) -> Any:
    """Columns in reverse order."""
    return flip(ensure_arraylike("fliplr", m), 1)


def flipud(m: Any) -> Any:
    """Rows in reverse order."""
    return flip(ensure_arraylike("flipud", m), 0)


@nested_jit(static_argnames=("k", "axes"))
def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """Rotated by k quarter turns in the plane of two axes."""
    m = ensure_arraylike("rot90", m)
    if m.ndim < 2:
        raise ValueError(f"rot90 requires its first argument to have ndim at least two, but got "
                         f"first argument of shape {m.shape}")  # fmt: skip
    first, second = (canonicalize_axis(i, m.ndim) for i in axes)
    if first == second:
        raise ValueError("Axes must be different")
    k = k % 4
    if k == 0:
        return m
    if k == 2:
        return flip(flip(m, first), second)
    order = list(range(m.ndim))
    order[first], order[second] = second, first
    if k == 1:
        return transpose(flip(m, second), order)
    return flip(transpose(m, order), second)


def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Elements shifted along the axes, those pushed out coming in on the other side."""
    a = ensure_arraylike("roll", a)
    if isinstance(shift, list):
        shift = tuple(shift)
    if axis is None:
        return roll(a.reshape(-1), shift, 0).reshape(a.shape) if a.ndim != 1 else roll(a, shift, 0)
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    axes = tuple(canonicalize_axis(i, a.ndim) for i in axes)
    static = _static_shifts(shift)
    if static is None:
        return _roll_dynamic(a, asarray(shift), axis=axes)
    try:
        pairs = np.broadcast(np.asarray(static), np.asarray(axes))
    except ValueError:
        raise ValueError("Mismatched lengths between shift and axis in jnp.roll.") from None
    if pairs.ndim > 1:
        raise ValueError("'shift' and 'axis' arguments to jnp.roll must be scalars or 1D arrays")
    shifts = tuple((int(s), int(i)) for s, i in pairs)
    return _roll_static(a, shifts=shifts)


def _static_shifts(shift: Any) -> Any:
    items = shift if isinstance(shift, tuple) else (shift,)
    if any(isinstance(s, Array | Tracer) for s in items):
        return None
    found = np.asarray(shift)
    if found.dtype.kind not in "iub":
        raise TypeError("shift must be an integer or a sequence of integers")
    return found


@nested_jit(name="_roll_static", static_argnames=("shifts",))
def _roll_static(a: Any, shifts: tuple) -> Any:
    for shift, axis in shifts:
        if a.size == 0:
            continue
        length = a.shape[axis]
        cut = (-shift) % length
        tail = lax.slice_in_dim(a, cut, length, axis=axis)
        head = lax.slice_in_dim(a, 0, cut, axis=axis)
        a = lax.concatenate([tail, head], axis)
    return a


@nested_jit(name="_roll_dynamic", static_argnames=("axis",))
def _roll_dynamic(a: Any, shift: Any, axis: tuple) -> Any:
    from jaxc.numpy.arithmetic import remainder

    shifts = broadcast_to_shape(
        shift if shift.ndim else lax.broadcast_in_dim(shift, (1,), ()),
        np.broadcast_shapes(shift.shape or (1,), (len(axis),)),
    )
    axes = np.broadcast_to(axis, shifts.shape)
    if shifts.ndim != 1:
        raise ValueError("'shift' and 'axis' arguments to jnp.roll must be scalars or 1D arrays")
    for k, i in enumerate(axes):
        one = convert(lax.index_in_dim(shifts, k, keepdims=False), np.dtype(np.int32))
        length = a.shape[i]
        amount = remainder(one, lax.max(np.int32(length), np.int32(1)))
        doubled = lax.concatenate([a, a], int(i))
        a = lax.dynamic_slice_in_dim(
            doubled, lax.sub(np.int32(length), amount), length, axis=int(i)
        )
    return a
