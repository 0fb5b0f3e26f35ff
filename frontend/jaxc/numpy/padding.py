"""`pad` in all its modes.

Composed of lax functions. Must not import indexing or sorting at load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.numpy import reductions
from jaxc.numpy.creation import asarray
from jaxc.numpy.flipping import flip
from jaxc.numpy.manipulation import broadcast_to
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import array_of, convert, ensure_arraylike
from jaxc.numpy.ranges import linspace
from jaxc.transforms.api import vmap

_ALLOWED: dict[str, set[str]] = {
    "constant": {"constant_values"},
    "edge": set(),
    "empty": set(),
    "linear_ramp": {"end_values"},
    "maximum": {"stat_length"},
    "mean": {"stat_length"},
    "median": {"stat_length"},
    "minimum": {"stat_length"},
    "reflect": {"reflect_type"},
    "symmetric": {"reflect_type"},
    "wrap": set(),
}


def _static_pairs(pad_width: Any, rank: int) -> tuple[tuple[Any, Any], ...]:
    if isinstance(pad_width, dict):
        raise TypeError("`pad_width` must be of integral type.")
    widths = np.asarray(pad_width)
    if widths.dtype.kind not in "iu":
        raise TypeError("`pad_width` must be of integral type.")
    return _pairs(widths, rank, "pad_width")


def _pairs(values: Any, rank: int, name: str) -> tuple[tuple[Any, Any], ...]:
    """(before, after) for every axis, from a scalar, a pair, or one of them an axis."""
    shape = np.shape(values)
    if shape == () or shape == (1,) or shape == (1, 1):
        one = np.asarray(values).reshape(())[()]
        return ((one, one),) * rank
    if shape == (2,) or shape == (1, 2):
        before, after = np.asarray(values).reshape(2)
        return ((before, after),) * rank
    if shape == (rank, 2):
        return tuple((v[0], v[1]) for v in np.asarray(values))
    raise ValueError(
        f"jnp.pad: {name} with nd={rank} has unsupported shape {shape}. "
        f"Valid shapes are ({rank}, 2), (1, 2), (2,), (1,), or ()."
    )


def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """The array with elements added at the ends of its axes.

    Example:
      >>> import jaxc.numpy as jnp
      >>> jnp.pad(jnp.array([1, 2, 3]), 1, mode="reflect")
      Array([2, 1, 2, 3, 2], dtype=int32)
    """
    array = ensure_arraylike("pad", array)
    widths = _static_pairs(pad_width, array.ndim)
    if callable(mode):
        return _pad_callable(array, widths, mode, **kwargs)
    if mode not in _ALLOWED:
        raise NotImplementedError(f"Unimplemented padding mode '{mode}' for np.pad.")
    unknown = set(kwargs) - _ALLOWED[mode]
    if unknown:
        raise ValueError(f"unsupported keyword arguments for mode '{mode}': {unknown}")
    if any(w < 0 for pair in widths for w in pair):
        raise ValueError("index can't contain negative values")
    stat_length = kwargs.get("stat_length")
    if stat_length is not None:
        stat_length = _pairs(np.asarray(stat_length), array.ndim, "stat_length")
    return _pad(
        array, kwargs.get("constant_values", 0),
        pad_width=widths, mode=mode, stat_length=stat_length,
        end_values=_hashable(kwargs.get("end_values", 0), array.ndim),
        reflect_type=kwargs.get("reflect_type", "even"),
    )  # fmt: skip


def _hashable(values: Any, rank: int) -> Any:
    return tuple(
        tuple(v.item() for v in pair) for pair in _pairs(np.asarray(values), rank, "end_values")
    )


@nested_jit(
    name="_pad",
    static_argnames=("pad_width", "mode", "stat_length", "end_values", "reflect_type"),
)
def _pad(array, constant_values, pad_width, mode, stat_length, end_values, reflect_type):
    if array.size == 0 and mode not in ("constant", "empty"):
        for size, (before, after) in zip(array.shape, pad_width, strict=True):
            if size == 0 and (before > 0 or after > 0):
                raise ValueError(f"Cannot apply '{mode}' padding to empty axis")
    if mode == "constant":
        return _pad_constant(array, pad_width, constant_values)
    if mode == "wrap":
        return _pad_wrap(array, pad_width)
    if mode in ("reflect", "symmetric"):
        return _pad_mirror(array, pad_width, mode, reflect_type)
    if mode == "edge":
        return _pad_edge(array, pad_width)
    if mode == "linear_ramp":
        return _pad_ramp(array, pad_width, end_values)
    if mode == "empty":
        return _pad_empty(array, pad_width)
    return _pad_stat(array, pad_width, mode, stat_length)


def _pad_constant(array: Any, widths: Any, values: Any) -> Any:
    rank = array.ndim
    if not isinstance(values, list | tuple) and not getattr(values, "ndim", 0):
        # bound directly: the widths stay the NumPy integers that JAX's jaxprs print
        config = tuple((np.int64(b), np.int64(a), 0) for b, a in widths)
        return lax.pad_p.bind(array, convert(values, array.dtype), padding_config=config)
    values = asarray(values).astype(array.dtype)
    if values.shape not in ((), (1,), (2,), (1, 2), (rank, 1), (rank, 2), (1, 1)):
        raise ValueError(
            f"jnp.pad: constant_values with nd={rank} has unsupported shape {values.shape}. If the "
            "shape is 1D or 2D, the last dimension must be of size 1 or 2."
        )
    pairs = broadcast_to(values, (rank, 2))
    for axis, (before, after) in enumerate(widths):
        config = [(0, 0, 0)] * rank
        config[axis] = (before, 0, 0)
        array = lax.pad(array, pairs[axis, 0], tuple(config))
        config[axis] = (0, after, 0)
        array = lax.pad(array, pairs[axis, 1], tuple(config))
    return array


def _pad_wrap(array: Any, widths: Any) -> Any:
    for axis, (before, after) in enumerate(widths):
        before, after, size = int(before), int(after), array.shape[axis]
        if size == 0:
            continue
        whole_before, rest_before = divmod(before, size)
        whole_after, rest_after = divmod(after, size)
        parts = []
        if rest_before:
            parts.append(lax.slice_in_dim(array, size - rest_before, size, axis=axis))
        parts += [array] * (whole_before + 1 + whole_after)
        if rest_after:
            parts.append(lax.slice_in_dim(array, 0, rest_after, axis=axis))
        array = lax.concatenate(parts, axis)
    return array


def _pad_mirror(array: Any, widths: Any, mode: str, reflect_type: str) -> Any:
    if reflect_type not in ("even", "odd"):
        raise ValueError(f"Unsupported reflect_type: {reflect_type}")
    offset = 1 if mode == "reflect" else 0
    for axis, (before, after) in enumerate(widths):
        if array.shape[axis] == 0:
            continue
        size = array.shape[axis]
        if size == 1 and mode == "reflect":
            array = _edge_axis(array, axis, int(before), int(after))
            continue
        array = _mirror_side(array, axis, int(before), True, offset, reflect_type, size)
        array = _mirror_side(array, axis, int(after), False, offset, reflect_type, size)
    return array


def _mirror_side(x: Any, axis: int, width: int, front: bool, offset: int, kind: str, size: int):
    while width > 0:
        count = min(width, size - offset)
        length = x.shape[axis]
        edge_at = 0 if front else length - 1
        edge = lax.slice_in_dim(x, edge_at, edge_at + 1, axis=axis)
        start = offset if front else length - offset - count
        part = flip(lax.slice_in_dim(x, start, start + count, axis=axis), axis)
        if kind == "odd":
            part = lax.sub(lax.mul(convert(2, x.dtype), edge), part)
        x = lax.concatenate([part, x] if front else [x, part], axis)
        width -= count
    return x


def _repeat_edge(x: Any, axis: int, at: int, count: int) -> Any:
    from jaxc.numpy.manipulation import repeat

    return repeat(lax.slice_in_dim(x, at, at + 1, axis=axis), count, axis=axis)


def _edge_axis(x: Any, axis: int, before: int, after: int) -> Any:
    size = x.shape[axis]
    parts = [_repeat_edge(x, axis, 0, before), x, _repeat_edge(x, axis, size - 1, after)]
    return lax.concatenate(parts, axis)


def _pad_edge(array: Any, widths: Any) -> Any:
    for axis, (before, after) in enumerate(widths):
        if array.shape[axis]:
            array = _edge_axis(array, axis, int(before), int(after))
    return array


def _pad_ramp(array: Any, widths: Any, end_values: Any) -> Any:
    for axis, (before, after) in enumerate(widths):
        if before == 0 and after == 0:
            continue
        size = array.shape[axis]
        first = lax.squeeze(lax.slice_in_dim(array, 0, 1, axis=axis), (axis,))
        last = lax.squeeze(lax.slice_in_dim(array, size - 1, size, axis=axis), (axis,))
        low, high = end_values[axis]
        options = {"endpoint": False, "dtype": array.dtype, "axis": axis}
        front = linspace(low, first, int(before), **options)
        back = flip(linspace(high, last, int(after), **options), axis)
        array = lax.concatenate([front, array, back], axis)
    return array


def _pad_empty(array: Any, widths: Any) -> Any:
    for axis, (before, after) in enumerate(widths):
        sizes = [list(array.shape), list(array.shape)]
        sizes[0][axis], sizes[1][axis] = int(before), int(after)
        front, back = (lax.full(tuple(s), 0, array.dtype) for s in sizes)
        array = lax.concatenate([front, array, back], axis)
    return array


def _pad_stat(array: Any, widths: Any, mode: str, stat_length: Any) -> Any:
    from jaxc.numpy.manipulation import repeat

    fun = _stat(mode)
    for axis, (before, after) in enumerate(widths):
        size = array.shape[axis]
        if stat_length is None:
            front = back = fun(array, axis=axis, keepdims=True)
        else:
            low, high = (min(int(n), size) for n in stat_length[axis])
            if 0 in (low, high) and mode in ("maximum", "minimum"):
                raise ValueError("stat_length of 0 yields no value for padding")
            front = fun(lax.slice_in_dim(array, 0, low, axis=axis), axis=axis, keepdims=True)
            back = fun(lax.slice_in_dim(array, size - high, size, axis=axis), axis=axis,
                       keepdims=True)  # fmt: skip
        if dtypes.issubdtype(array.dtype, np.integer) and mode in ("mean", "median"):
            front, back = (_rounded(x) for x in (front, back))
        front, back = (convert(x, array.dtype) for x in (front, back))
        array = lax.concatenate(
            [repeat(front, int(before), axis=axis), array, repeat(back, int(after), axis=axis)],
            axis,
        )
    return array


def _stat(mode: str) -> Callable:
    if mode == "median":
        from jaxc.numpy.statistics import median

        return median
    return {"maximum": reductions.max, "minimum": reductions.min, "mean": reductions.mean}[mode]


def _rounded(x: Any) -> Any:
    return lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN) if x.dtype.kind == "f" else x


def _pad_callable(array: Any, widths: Any, fun: Callable, **kwargs: Any) -> Any:
    padded = lax.pad(array, convert(0, array.dtype), tuple((b, a, 0) for b, a in widths))
    for axis in range(padded.ndim):
        width = tuple(int(w) for w in widths[axis])

        def on_vector(x: Any, width: Any = width, axis: int = axis) -> Any:
            out = fun(x, width, axis, kwargs)
            return x if out is None else out

        moved = lax.transpose(padded, (*(i for i in range(padded.ndim) if i != axis), axis))
        if padded.ndim > 1:
            flat = moved.reshape(-1, padded.shape[axis])
            rows = vmap(on_vector)(flat).reshape(moved.shape)
        else:
            rows = on_vector(moved)
        order = list(range(padded.ndim - 1))
        order.insert(axis, padded.ndim - 1)
        padded = lax.transpose(array_of(rows), tuple(order))
    return padded
