"""Choosing between arrays by a condition: where, select, clip, choose, ...

Composed of lax functions. Must not import reductions or indexing at load.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import errors, lax
from jaxc.core import dtypes
from jaxc.core.array import Array, wrap
from jaxc.core.trace import Tracer, _state, eval_trace
from jaxc.numpy import promotion
from jaxc.numpy.creation import broadcast_to_shape
from jaxc.numpy.elementwise import _to_bool
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    check_arraylike,
    convert,
    ensure_arraylike,
    promote_dtypes,
    shape_of,
)
from jaxc_compiler.opset.avals import ShapedArray

_BOOL = np.dtype(bool)


def where(
    condition: Any, x: Any = None, y: Any = None, /, *, size: int | None = None,
    fill_value: Any = None,
) -> Any:  # fmt: skip
    """`x` where the condition holds and `y` elsewhere; with one argument, `nonzero(condition)`.

    Example:
      >>> import jaxc.numpy as jnp
      >>> jnp.where(jnp.arange(4) > 1, 1.0, -1.0)
      Array([-1., -1.,  1.,  1.], dtype=float32, weak_type=True)
    """
    if x is None and y is None:
        from jaxc.numpy.searching import nonzero

        check_arraylike("where", condition)
        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None:
        raise ValueError(
            "Either both or neither of the x and y arguments should be provided to "
            f"jax.numpy.where, got {x} and {y}."
        )
    if size is not None or fill_value is not None:
        raise ValueError(
            "size and fill_value arguments cannot be used in three-term where function."
        )
    if _state.trace is eval_trace:
        found = _eager_where(condition, x, y)
        if found is not None:
            return found
    check_arraylike("where", condition, x, y)
    return _where(condition, x, y)


def _eager_where(condition: Any, x: Any, y: Any) -> Any:
    """The common eager case without the broadcasts that select_n needs; None if it is another."""
    if type(condition) is not Array or condition.aval.dtype is not _BOOL:
        return None
    pair = promotion.host_pair(x, y)
    if pair is None:
        return None
    first, second, dtype, weak = pair
    try:
        value = np.where(condition._numpy(), first, second)
    except ValueError:
        return None  # incompatible shapes: the general path words the error
    return wrap(value, ShapedArray(value.shape, dtype, weak))


@nested_jit(name="_where")
def _where(condition: Any, x: Any, y: Any) -> Any:
    check_arraylike("where", condition, x, y)
    condition = _to_bool(promotion.as_operand(condition))
    x, y = promote_dtypes(x, y)
    if isinstance(condition, bool):
        condition = array_of(condition)
    shapes = [shape_of(v) if type(v) is not np.ndarray else v.shape for v in (condition, x, y)]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        listed = ", ".join(map(str, shapes))
        raise ValueError(f"Incompatible shapes for broadcasting: shapes=[{listed}]") from None
    if condition.ndim:
        condition = broadcast_to_shape(condition, shape)
    return lax.select(condition, _spread(x, shape), _spread(y, shape))


def _spread(x: Any, shape: tuple[int, ...]) -> Any:
    if shape_of(x) == shape:
        return x
    if not shape_of(x):
        return lax.broadcast(x, shape)
    return broadcast_to_shape(x, shape)


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """For each element, the choice of the first condition that holds there."""
    if len(condlist) != len(choicelist):
        raise ValueError(
            f"condlist must have length equal to choicelist ({len(condlist)} vs {len(choicelist)})"
        )
    if len(condlist) == 0:
        raise ValueError("condlist must be non-empty")
    check_arraylike("select", *condlist, *choicelist, default)
    from jaxc.numpy.joining import stack
    from jaxc.numpy.manipulation import broadcast_arrays
    from jaxc.numpy.reductions import argmax

    conditions = [array_of(c) for c in condlist]
    default, *choices = promote_dtypes(default, *choicelist)
    arrays = broadcast_arrays(*conditions, default, *choices)
    conditions, cases = arrays[: len(conditions)], arrays[len(conditions) :]
    none = lax.full(conditions[0].shape, False, _BOOL)
    which = argmax(convert(stack([none, *conditions]), _BOOL), axis=0)
    return lax.select_n(which, *cases)


def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """Elements of `choices[a[i]][i]`."""
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.choose is not supported.")
    a, *arrays = ensure_arraylike("choose", a, *choices)
    if not dtypes.issubdtype(a.dtype, np.integer):
        raise ValueError("`a` array must be integer typed")
    count = len(arrays)
    if mode == "raise":
        if isinstance(a, Tracer) and a.to_concrete_value() is None:
            raise errors.ConcretizationTypeError(
                a, "The error occurred because jnp.choose was jit-compiled with mode='raise'. "
                "Use mode='wrap' or mode='clip' instead.")  # fmt: skip
        values = np.asarray(a)
        if ((values < 0) | (values >= count)).any():
            raise ValueError("invalid entry in choice array")
    elif mode == "wrap":
        from jaxc.numpy.arithmetic import remainder

        a = remainder(a, count)
    elif mode == "clip":
        a = clip(a, 0, count - 1)
    else:
        raise ValueError(f"mode={mode!r} not understood. Must be 'raise', 'wrap', or 'clip'")
    from jaxc.numpy.joining import stack
    from jaxc.numpy.manipulation import broadcast_arrays

    a, *arrays = broadcast_arrays(a, *arrays)
    index = tuple(lax.broadcasted_iota(np.int32, a.shape, i) for i in range(a.ndim))
    return stack(promote_dtypes(*arrays))[(a, *index)]


@nested_jit
def clip(arr: Any = None, /, min: Any = None, max: Any = None) -> Any:
    """The elements limited to the interval [min, max]."""
    check_arraylike("clip", arr)
    if any(dtypes.issubdtype(dtypes.dtype_and_weak(v)[0], np.complexfloating)
           for v in (arr, min, max) if v is not None):  # fmt: skip
        raise ValueError(
            "Clip received a complex value either through the input or the min/max keywords. "
            "Complex values have no ordering and cannot be clipped. Please convert to a real "
            "value or array by taking the real or imaginary components via jax.numpy.real/imag "
            "respectively."
        )
    from jaxc.numpy.elementwise import maximum, minimum

    arr = array_of(arr)
    if min is not None:
        arr = maximum(min, arr)
    if max is not None:
        arr = minimum(max, arr)
    return array_of(arr)


@nested_jit
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """NaN replaced by `nan`, infinities by large finite numbers or the given ones."""
    from jaxc.numpy.elementwise import isnan, isneginf, isposinf

    x = ensure_arraylike("nan_to_num", x)
    if not dtypes.issubdtype(x.dtype, np.inexact):
        return x
    if dtypes.issubdtype(x.dtype, np.complexfloating):
        return lax.complex(
            nan_to_num(lax.real(x), nan=nan, posinf=posinf, neginf=neginf),
            nan_to_num(lax.imag(x), nan=nan, posinf=posinf, neginf=neginf),
        )
    info = dtypes.finfo(x.dtype)
    posinf = info.max if posinf is None else posinf
    neginf = info.min if neginf is None else neginf
    x = where(isnan(x), convert(nan, x.dtype), x)
    x = where(isposinf(x), convert(posinf, x.dtype), x)
    return where(isneginf(x), convert(neginf, x.dtype), x)


def piecewise(x: Any, condlist: Any, funclist: list, *args: Any, **kw: Any) -> Any:
    """A function given by pieces: of the last condition that holds, else of the default."""
    check_arraylike("piecewise", x)
    if isinstance(condlist, list | tuple) and condlist and np.ndim(condlist[0]) == 0:
        condlist = [condlist]
    conditions = [array_of(c) for c in condlist]
    if len(funclist) == len(conditions):
        funclist = [*funclist, 0]
    elif len(funclist) != len(conditions) + 1:
        raise ValueError(
            f"with {len(conditions)} condition(s), either {len(conditions)} or "
            f"{len(conditions) + 1} functions are expected; got {len(funclist)}"
        )
    x = array_of(x)
    values = [convert(array_of(f(x, *args, **kw) if callable(f) else f), x.dtype) for f in funclist]
    out = broadcast_to_shape(values[-1], x.shape)
    for condition, value in zip(conditions, values[:-1], strict=True):
        out = where(convert(condition, _BOOL), value, out)
    return out
