"""Updated copies: `x.at[idx].set(y)`, add, multiply, min, max, apply, get.

Every update is one scatter. Must not import reductions or sorting at load.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.core.array import Array, wrap
from jaxc.core.trace import Tracer, _state, eval_trace
from jaxc.numpy.creation import asarray, broadcast_to_shape, ones_like
from jaxc.numpy.index_parsing import Parsed, parse, plan_gather
from jaxc.numpy.indexing import _host_index, gather_mode, take_parsed
from jaxc.numpy.promotion import convert, promoted_dtype, to_array
from jaxc_compiler.opset.avals import KeyDtype


class _IndexUpdateHelper:
    """`x.at`: index it to name the elements to update."""

    __slots__ = ("array",)

    def __init__(self, array: Any):
        self.array = array

    def __getitem__(self, index: Any) -> _IndexUpdateRef:
        return _IndexUpdateRef(self.array, index)

    def __repr__(self) -> str:
        return f"_IndexUpdateHelper({self.array!r})"


class _IndexUpdateRef:
    """`x.at[idx]`: its methods return updated copies of x."""

    __slots__ = ("array", "index")

    def __init__(self, array: Any, index: Any):
        self.array = array
        self.index = index

    def __repr__(self) -> str:
        return f"_IndexUpdateRef({self.array!r}, {self.index!r})"

    def get(
        self, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
        fill_value: Any = None, out_sharding: Any = None, wrap_negative_indices: bool = True,
    ) -> Any:  # fmt: skip
        """`x[idx]`, with control over out of bounds indices."""
        x = self.array
        return take_parsed(
            x, parse(self.index, x.shape), indices_are_sorted=indices_are_sorted,
            unique_indices=unique_indices, mode=mode, fill_value=fill_value,
            wrap_negative_indices=wrap_negative_indices,
        )  # fmt: skip

    def set(self, values: Any, **options: Any) -> Any:
        """A copy with `x[idx] = values`."""
        return scatter_update(self.array, self.index, values, lax.scatter, _assign, **options)

    def add(self, values: Any, **options: Any) -> Any:
        """A copy with `x[idx] += values`; repeated indices add up."""
        return scatter_update(self.array, self.index, values, lax.scatter_add, np.add, **options)

    def subtract(self, values: Any, **options: Any) -> Any:
        """A copy with `x[idx] -= values`; repeated indices add up."""
        return scatter_update(
            self.array, self.index, values, lax.scatter_sub, np.subtract, **options
        )

    def multiply(self, values: Any, **options: Any) -> Any:
        """A copy with `x[idx] *= values`."""
        return scatter_update(
            self.array, self.index, values, lax.scatter_mul, np.multiply, **options
        )

    mul = multiply

    def min(self, values: Any, **options: Any) -> Any:
        """A copy with `x[idx] = minimum(x[idx], values)`."""
        return scatter_update(self.array, self.index, values, lax.scatter_min, None, **options)

    def max(self, values: Any, **options: Any) -> Any:
        """A copy with `x[idx] = maximum(x[idx], values)`."""
        return scatter_update(self.array, self.index, values, lax.scatter_max, None, **options)

    def divide(self, values: Any, **options: Any) -> Any:
        """A copy with `x[idx] /= values`."""
        from jaxc.numpy.elementwise import divide

        return divide(self.array, self._factors(values, options))

    def power(self, values: Any, **options: Any) -> Any:
        """A copy with `x[idx] **= values`."""
        from jaxc.numpy.arithmetic import power

        return power(self.array, self._factors(values, options))

    def _factors(self, values: Any, options: dict[str, Any]) -> Any:
        return scatter_update(
            ones_like(self.array), self.index, values, lax.scatter_mul, np.multiply, **options
        )

    def apply(self, func: Callable[[Any], Any], **options: Any) -> Any:
        """A copy with `x[idx] = func(x[idx])`, func elementwise."""

        def scatter(x, indices, y, numbers, **kwargs):
            return lax.scatter_apply(x, indices, func, numbers, update_shape=y.shape, **kwargs)

        return scatter_update(
            self.array, self.index, _zero_like(self.array), scatter, None, **options
        )


def _zero_like(x: Any) -> Any:
    return convert(0, x.dtype)


def scatter_update(
    x: Any,
    idx: Any,
    y: Any,
    scatter: Callable[..., Any],
    host_op: Any,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
    out_sharding: Any = None,
    wrap_negative_indices: bool = True,
) -> Any:
    """A copy of `x` with the elements that `idx` selects combined with `y` by `scatter`."""
    if not isinstance(y, Array | Tracer | bool | int | float | complex):
        y = asarray(y)
    parsed = parse(idx, x.shape)
    mode = gather_mode(mode)
    if type(x) is Array and host_op is not None and _state.trace is eval_trace:
        y = _as_element(x, y)
        found = _eager_update(x, parsed, y, host_op)
        if found is not None:
            return found
    if parsed.new_axes_of_x:
        wide = lax.expand_dims(x, tuple(parsed.new_axes_of_x))
        out = _scatter(wide, parsed, y, scatter, indices_are_sorted, unique_indices, mode,
                       wrap_negative_indices)  # fmt: skip
        return lax.squeeze(out, tuple(parsed.new_axes_of_x))
    return _scatter(
        x, parsed, y, scatter, indices_are_sorted, unique_indices, mode, wrap_negative_indices
    )


def _as_element(x: Any, y: Any) -> Any:
    """`y` in the dtype of x, with a warning where that may lose something."""
    if isinstance(x.dtype, KeyDtype):
        return y
    kind = promoted_dtype(x, y)[0]
    if kind != x.dtype and not (isinstance(y, int) and not isinstance(y, bool)):
        warnings.warn(
            "scatter inputs have incompatible types: cannot safely cast value from dtype="
            f"{dtypes.dtype_and_weak(y)[0]} to dtype={x.dtype} with jax_numpy_dtype_promotion="
            "'standard'. In future JAX releases this will result in an error.",
            FutureWarning,
            stacklevel=6,
        )
    weak = bool(x.weak_type) and isinstance(y, int | float | complex)
    if isinstance(y, Array | Tracer) and x.weak_type:
        weak = y.weak_type
    return convert(y, x.dtype, weak)


def _scatter(x, parsed, y, scatter, is_sorted, unique, mode, wrap_negative) -> Any:
    plan = plan_gather(parsed, x.shape, wrap_negative)
    y = _as_element(x, y)
    if 0 in plan.shape:
        return x
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=plan.offset_dims,
        inserted_window_dims=plan.collapsed_dims,
        scatter_dims_to_operand_dims=plan.start_index_map,
    )
    y = _spread(y, plan.shape)
    if plan.new_axes:
        y = lax.squeeze(y, plan.new_axes)
    if plan.flipped:
        y = lax.rev(y, plan.flipped)
    indices = to_array(plan.indices) if isinstance(plan.indices, np.ndarray) else plan.indices
    return scatter(
        x,
        indices,
        y,
        numbers,
        indices_are_sorted=is_sorted or plan.static,
        unique_indices=unique or plan.static,
        mode=mode,
    )


def _spread(y: Any, shape: tuple[int, ...]) -> Any:
    if not isinstance(y, Array | Tracer):
        return lax.broadcast(y, shape) if shape else y
    while y.ndim > len(shape) and y.shape[0] == 1 and len(shape):
        y = lax.squeeze(y, (0,))
    if y.ndim > len(shape):
        raise ValueError(
            f"Cannot broadcast to shape with fewer dimensions: arr_shape={y.shape} shape={shape}"
        )
    return broadcast_to_shape(y, shape)


# ---- eager updates with static indices --------------------------------------------------------

_assign = "set"


def _eager_update(x: Array, parsed: Parsed, y: Any, host_op: Any) -> Any:
    """The update by NumPy assignment; None where that could differ from the scatter."""
    if not parsed.basic or parsed.new_axes_of_x or isinstance(x.aval.dtype, KeyDtype):
        return None
    if isinstance(y, Tracer) or (x.aval.dtype.kind == "b" and host_op is not _assign):
        return None
    index, axis = [], 0
    for entry in parsed.entries:
        if entry is None:
            index.append(None)
            continue
        size = x.aval.shape[axis]
        if isinstance(entry, int) and not -size <= entry < size:
            return None  # dropped by the scatter
        index.append(_host_index(entry, size))
        axis += 1
    at = (*index, Ellipsis)
    out = x._numpy().copy(order="C")
    target = out[at]
    value = np.asarray(y._numpy() if type(y) is Array else y, out.dtype)
    if value.ndim > target.ndim or any(
        v not in (1, t) for v, t in zip(value.shape[::-1], target.shape[::-1], strict=False)
    ):
        return None  # the general path words the error
    with np.errstate(all="ignore"):
        if host_op is _assign:
            target[...] = value
        else:
            host_op(target, value, out=target, casting="unsafe")
    weak = (
        x.aval.weak_type and bool(getattr(y, "weak_type", True)) and not isinstance(y, np.generic)
    )
    return wrap(out, x.aval if weak or not x.aval.weak_type else x.aval.strip_weak_type())
