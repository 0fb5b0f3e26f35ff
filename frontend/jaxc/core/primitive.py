"""Primitives: the operations that traces interpret. One per op of the op book.

`bind` hands the operation to the current trace; `impl` runs it at once on the book's NumPy kernel.
Must not import transforms: their rules live in tables keyed by primitive.
"""

from __future__ import annotations

import contextvars
import threading
from typing import Any

import numpy as np

import jaxc_compiler.opset.book  # noqa: F401  (fills OPS)
from jaxc.core import recording
from jaxc.core.array import Array, raw, wrap
from jaxc.core.config import config
from jaxc.core.trace import _state, get_aval
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.op import OPS, Op


class _Quiet(threading.local):
    """A context in which NumPy does not warn: entering one made before is cheaper than errstate."""

    def __init__(self) -> None:
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


_quiet = _Quiet()


def quietly(kernel: Any, *values: Any, **params: Any) -> Any:
    """Call a kernel without NumPy's warnings. The kernel must not call back into user code."""
    if recording.current is not None:
        return recording.current.eager(_quiet.run, kernel, *values, **params)
    return _quiet.run(kernel, *values, **params)


def _operands(args: tuple[Any, ...]) -> tuple[list[ShapedArray], list[np.ndarray]]:
    avals, values = [], []
    for a in args:
        if type(a) is Array:
            value = a._value
            avals.append(a.aval)
            values.append(a._fetch() if value is None else value)
        else:
            avals.append(get_aval(a))
            values.append(raw(a))
    return avals, values


class Primitive:
    """An operation with its op-book entry.

    Attributes:
      name: as printed in jaxprs.
      op: the op book's entry.
      multiple_results: whether `bind` takes and returns lists of results.
      impl: runs it at once; calls and control flow set their own, which run jaxprs.
    """

    __slots__ = (
        "_avals",
        "impl",
        "kernel",
        "multiple_results",
        "name",
        "op",
    )

    def __init__(self, op: Op):
        self.op = op
        self.name = op.name
        self.multiple_results = op.multiple_results
        self.kernel = op.numpy
        self._avals: dict[Any, Any] = {}
        self.impl = self._run_many if op.multiple_results else self._run

    def bind(self, *args: Any, **params: Any) -> Any:
        return _state.trace.process_primitive(self, args, params)

    def bind_with_trace(self, trace: Any, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Hand the operation to `trace` rather than to the current one."""
        before = _state.trace
        _state.trace = trace
        try:
            return trace.process_primitive(self, args, params)
        finally:
            _state.trace = before

    def abstract_eval(self, *avals: ShapedArray, **params: Any) -> Any:
        """The results' avals (a list if `multiple_results`), cached by avals and params."""
        try:
            key = (avals, *params.items()) if params else avals
            found = self._avals.get(key)
        except TypeError:  # an unhashable parameter
            return self.op.infer(*avals, **params)
        if found is None:
            if len(self._avals) > 4096:
                self._avals.clear()
            found = self._avals[key] = self.op.infer(*avals, **params)
        return found

    def _run(self, *args: Any, **params: Any) -> Any:
        avals, values = _operands(args)
        aval = self.abstract_eval(*avals, **params)
        out = wrap(quietly(self.kernel, *values, **params), aval)
        if config.jax_debug_nans:
            check_nans(self.name, (out,))
        return out

    def _run_many(self, *args: Any, **params: Any) -> Any:
        avals, values = _operands(args)
        out_avals = self.abstract_eval(*avals, **params)
        outs = quietly(self.kernel, *values, **params)
        return [wrap(v, a) for v, a in zip(outs, out_avals, strict=True)]

    def __repr__(self) -> str:
        return self.name


def check_nans(name: str, outs: Any) -> None:
    """Raises FloatingPointError if a result of operation `name` holds a NaN (`jax_debug_nans`)."""
    for out in outs:
        inexact = isinstance(out, Array) and getattr(out.dtype, "kind", "") in "fc"
        if inexact and np.isnan(np.asarray(out)).any():
            raise FloatingPointError(f"invalid value (nan) encountered in {name}")


_PRIMITIVES: dict[str, Primitive] = {}


def primitive(name: str) -> Primitive:
    """The primitive of op `name` of the op book."""
    found = _PRIMITIVES.get(name)
    if found is None:
        found = _PRIMITIVES[name] = Primitive(OPS[name])
    return found


def register(made: Primitive) -> None:
    """Have `primitive(made.name)` find a primitive of a class of its own."""
    _PRIMITIVES[made.name] = made


def forget(name: str) -> None:
    """Let the next `primitive(name)` be a new one: the op was defined anew, or is gone."""
    _PRIMITIVES.pop(name, None)
