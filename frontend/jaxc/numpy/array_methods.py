"""Operators, methods and properties of `Array` and of tracers, attached when this is imported.

The same table serves both classes. Must be imported by `jaxc.numpy` only.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.core.array import Array
from jaxc.core.placement import device_put
from jaxc.core.trace import Tracer
from jaxc.numpy import (
    arithmetic,
    contractions,
    cumulative,
    elementwise,
    indexing,
    manipulation,
    matrices,
    reductions,
    searching,
    selection,
    sorting,
)
from jaxc.numpy.at import _IndexUpdateHelper
from jaxc.numpy.creation import array, user_dtype
from jaxc.numpy.promotion import convert

_ACCEPTED = (Array, Tracer, np.ndarray, np.generic, bool, int, float, complex)
_REJECTED = (list, tuple, set, dict)


def _binary(symbol: str, fun: Callable, reflected: bool = False) -> Callable:
    """An operator that leaves operands it does not know to their own class."""

    def op(self: Any, other: Any) -> Any:
        if not isinstance(other, _ACCEPTED) and not hasattr(other, "__jax_array__"):
            if isinstance(other, _REJECTED):
                raise TypeError(
                    f"unsupported operand type(s) for {symbol}: "
                    f"{type(self).__name__!r} and {type(other).__name__!r}"
                )
            return NotImplemented
        return fun(other, self) if reflected else fun(self, other)

    return op


def _equality(symbol: str, fun: Callable) -> Callable:
    compare = _binary(symbol, fun)

    def op(self: Any, other: Any) -> Any:
        return compare(self, other)

    return op


def _round(self: Any, ndigits: int | None = None) -> Any:
    out = arithmetic.round(self, decimals=ndigits or 0)
    if ndigits is None and dtypes.issubdtype(out.dtype, np.inexact):
        return out.astype(dtypes.default_dtype(int))
    return out


_BINARY = {
    "add": ("+", elementwise.add),
    "sub": ("-", elementwise.subtract),
    "mul": ("*", elementwise.multiply),
    "truediv": ("/", elementwise.divide),
    "floordiv": ("//", arithmetic.floor_divide),
    "divmod": ("divmod", arithmetic.divmod),
    "mod": ("%", arithmetic.remainder),
    "pow": ("**", arithmetic.power),
    "matmul": ("@", contractions.matmul),
    "and": ("&", elementwise.bitwise_and),
    "or": ("|", elementwise.bitwise_or),
    "xor": ("^", elementwise.bitwise_xor),
    "lshift": ("<<", elementwise.left_shift),
    "rshift": (">>", elementwise.right_shift),
}
_COMPARISONS = {
    "lt": ("<", elementwise.less),
    "le": ("<=", elementwise.less_equal),
    "eq": ("==", elementwise.equal),
    "ne": ("!=", elementwise.not_equal),
    "gt": (">", elementwise.greater),
    "ge": (">=", elementwise.greater_equal),
}


def _operators() -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, (symbol, fun) in _BINARY.items():
        table[f"__{name}__"] = _binary(symbol, fun)
        table[f"__r{name}__"] = _binary(symbol, fun, reflected=True)
    for name, (symbol, fun) in _COMPARISONS.items():
        table[f"__{name}__"] = _equality(symbol, fun)
    table["__neg__"] = lambda self: elementwise.negative(self)
    table["__pos__"] = lambda self: elementwise.positive(self)
    table["__abs__"] = lambda self: elementwise.absolute(self)
    table["__invert__"] = lambda self: elementwise.bitwise_not(self)
    table["__getitem__"] = indexing.getitem
    table["__setitem__"] = _setitem
    table["__round__"] = _round
    table["__contains__"] = _contains
    table["__array_namespace__"] = _namespace
    table["__array_module__"] = _array_module
    return table


def _contains(self: Any, x: Any) -> bool:
    if self.ndim != 1:
        raise ValueError(
            f"Array.__contains__: search array must be one-dimensional, got arr.shape={self.shape}."
        )
    if np.ndim(x) if not hasattr(x, "ndim") else x.ndim:
        raise ValueError(
            f"Array.__contains__: query value must be a scalar, got query.shape={x.shape}"
        )
    return bool(reductions.any(elementwise.equal(self, x)))


def _setitem(self: Any, i: Any, x: Any) -> None:
    raise TypeError(
        "JAX arrays are immutable and do not support in-place item assignment. Instead of "
        "x[idx] = y, use x = x.at[idx].set(y) or another .at[] method: "
        "https://docs.jax.dev/en/latest/_autosummary/jax.numpy.ndarray.at.html"
    )


def _namespace(self: Any, *, api_version: str | None = None) -> Any:
    import jaxc.numpy

    if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
        raise ValueError(f"{api_version=!r} is not available")
    return jaxc.numpy


def _array_module(self: Any, types: Any) -> Any:
    import jaxc.numpy

    if all(issubclass(t, _ACCEPTED) for t in types):
        return jaxc.numpy
    return NotImplemented


# ---- methods ----------------------------------------------------------------------------------


def _reshape(self: Any, *args: Any, order: str = "C", copy: Any = None, out_sharding: Any = None):
    """The elements in a new shape, given as a tuple or as separate sizes."""
    shape = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
    return manipulation.reshape(self, shape, order, copy=copy)


def _transpose(self: Any, *args: Any) -> Any:
    """Axes in the given order (reversed if none is given)."""
    if not args:
        axes = None
    elif len(args) == 1:
        axes = args[0] if args[0] is None or not isinstance(args[0], int) else args
    else:
        axes = args
    return manipulation.transpose(self, axes)


def _astype(self: Any, dtype: Any, copy: bool = False, device: Any = None) -> Any:
    """Converted to another dtype."""
    return manipulation.astype(self, dtype, copy=copy, device=device)


def _view(self: Any, dtype: Any = None, type: None = None) -> Any:
    """The same bits as another dtype."""
    if type is not None:
        raise NotImplementedError("`type` argument of array.view() is not supported.")
    if dtype is None:
        return self
    target = user_dtype(dtype, "view")
    if target == self.dtype:
        return self
    if self.ndim == 0 and target.itemsize != self.dtype.itemsize:
        raise ValueError("view() of a 0d array is only supported if the itemsize is unchanged.")
    old, new = self.dtype.itemsize * 8, target.itemsize * 8
    source = self
    if target == np.dtype(bool):
        return convert(_view(self, np.uint8), target)
    if source.dtype == np.dtype(bool):
        source = convert(source, np.dtype(np.uint8))
    if source.dtype.kind == "c":
        parts = lax.concatenate(
            [lax.expand_dims(p, (p.ndim,)) for p in (lax.real(source), lax.imag(source))],
            source.ndim,
        )
        return _view(parts.reshape(*source.shape[:-1], -1), target)
    if target.kind == "c":
        halves = _view(source, np.zeros((), target).real.dtype)
        return lax.complex(halves[..., 0::2], halves[..., 1::2])
    if old == new:
        return lax.bitcast_convert_type(source, target)
    if (source.shape[-1] * old) % new:
        raise ValueError(
            "When changing to a larger dtype, its size must be a divisor of the total size in "
            "bytes of the last axis of the array."
        )
    if old < new:
        factor = new // old
        source = source.reshape(*source.shape[:-1], source.shape[-1] // factor, factor)
        return lax.bitcast_convert_type(source, target)
    out = lax.bitcast_convert_type(source, target)
    return out.reshape(*source.shape[:-1], -1)


def _byteswap(self: Any, inplace: bool = False) -> Any:
    """The bytes of every element in reverse order."""
    if inplace:
        raise ValueError("Array.byteswap: inplace=True is not supported for JAX arrays")
    found = self.dtype
    if found.itemsize == 1:
        return self
    if found.kind == "c":
        return lax.complex(_byteswap(lax.real(self)), _byteswap(lax.imag(self)))
    words = lax.bitcast_convert_type(self, np.dtype(np.uint8))
    return lax.bitcast_convert_type(lax.rev(words, (self.ndim,)), found)


def _item(self: Any, *args: Any) -> Any:
    """One element as a Python scalar."""
    if args:
        index = args[0] if isinstance(args[0], tuple) else args
        if len(index) == 1 and self.ndim != 1:
            return self.reshape(-1)[index[0]].item()
        return self[tuple(operator.index(i) for i in index)].item()
    from jaxc import errors

    raise errors.ConcretizationTypeError(self, "The item() method was called on a traced array.")


def _clip(self: Any, min: Any = None, max: Any = None) -> Any:
    """The elements limited to an interval."""
    return selection.clip(self, min=min, max=max)


def _compress(self: Any, condition: Any, axis: Any = None, *, out: None = None, size: Any = None,
              fill_value: Any = 0) -> Any:  # fmt: skip
    """The slices where the condition holds."""
    return searching.compress(condition, self, axis=axis, out=out, size=size, fill_value=fill_value)


def _flatten(self: Any, order: str = "C", *, out_sharding: Any = None) -> Any:
    """The elements in one dimension."""
    return manipulation.ravel(self, order)


def _to_device(self: Any, device: Any, *, stream: Any = None) -> Any:
    """The array on another device."""
    if stream is not None:
        raise NotImplementedError("stream argument of array.to_device()")
    return device_put(self, device)


def _copy(self: Any) -> Any:
    """A copy."""
    return array(self, copy=True)


def _no_flat(self: Any) -> Any:
    raise NotImplementedError(
        "JAX Arrays do not implement the arr.flat property: consider arr.flatten() instead."
    )


def _nbytes(self: Any) -> int:
    return self.size * self.dtype.itemsize


_METHODS: dict[str, Callable] = {
    "all": reductions.all,
    "any": reductions.any,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "argpartition": sorting.argpartition,
    "argsort": sorting.argsort,
    "astype": _astype,
    "byteswap": _byteswap,
    "choose": selection.choose,
    "clip": _clip,
    "compress": _compress,
    "conj": elementwise.conj,
    "conjugate": elementwise.conj,
    "copy": _copy,
    "cumprod": cumulative.cumprod,
    "cumsum": cumulative.cumsum,
    "diagonal": matrices.diagonal,
    "dot": contractions.dot,
    "flatten": _flatten,
    "max": reductions.max,
    "mean": reductions.mean,
    "min": reductions.min,
    "nonzero": searching.nonzero,
    "prod": reductions.prod,
    "ptp": reductions.ptp,
    "ravel": manipulation.ravel,
    "repeat": manipulation.repeat,
    "reshape": _reshape,
    "round": arithmetic.round,
    "searchsorted": searching.searchsorted,
    "sort": sorting.sort,
    "squeeze": manipulation.squeeze,
    "std": reductions.std,
    "sum": reductions.sum,
    "swapaxes": manipulation.swapaxes,
    "take": indexing.take,
    "to_device": _to_device,
    "trace": contractions.trace,
    "transpose": _transpose,
    "var": reductions.var,
    "view": _view,
}


def _real(self: Any) -> Any:
    return elementwise.real(self)


def _imag(self: Any) -> Any:
    return elementwise.imag(self)


_PROPERTIES = {
    "at": property(_IndexUpdateHelper, doc="`x.at[idx].set(y)`: updated copies."),
    "T": property(lambda self: manipulation.transpose(self), doc="Axes reversed."),
    "mT": property(lambda self: manipulation.matrix_transpose(self), doc="Last two axes swapped."),
    "real": property(_real, doc="Real part."),
    "imag": property(_imag, doc="Imaginary part."),
    "flat": property(_no_flat, doc="Not available: use flatten()."),
    "nbytes": property(_nbytes, doc="Size of the elements in bytes."),
    "itemsize": property(lambda self: self.dtype.itemsize, doc="Size of an element in bytes."),
}


def _method(name: str, fun: Callable) -> Callable:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return fun(self, *args, **kwargs)

    method.__name__ = name
    method.__qualname__ = f"Array.{name}"
    method.__doc__ = fun.__doc__
    return method


def _array_iter(self: Any) -> Any:
    if not self.aval.shape:
        raise TypeError("iteration over a 0-d array")
    return iter([indexing.getitem(self, i) for i in range(self.aval.shape[0])])


def _tracer_iter(self: Any) -> Any:
    if not self.aval.shape:
        raise TypeError("iteration over a 0-d array")
    return iter([_row(self, i) for i in range(self.shape[0])])


def _row(x: Any, i: int) -> Any:
    return lax.index_in_dim(x, i, keepdims=False)


def attach() -> None:
    """Put the operators, methods and properties on Array and on Tracer."""
    for cls in (Array, Tracer):
        for name, op in _operators().items():
            setattr(cls, name, op)
        for name, fun in _METHODS.items():
            setattr(cls, name, _method(name, fun))
        for name, prop in _PROPERTIES.items():
            if not (cls is Array and name in ("nbytes", "itemsize")):
                setattr(cls, name, prop)
    Tracer.item = _item  # type: ignore[attr-defined]
    Tracer.__iter__ = _tracer_iter  # type: ignore[method-assign]
    Array.__iter__ = _array_iter  # type: ignore[method-assign]


attach()
