"""The `custom_jvp_call` and `custom_vjp_call` primitives.

The function and its rules are flat Python callables until a trace decides which it needs:
evaluation takes the function, a JVP the rule, staging records an equation.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from jaxc.core.jaxpr import ClosedJaxpr, convert_constvars, eval_jaxpr
from jaxc.core.primitive import Primitive, primitive
from jaxc.core.trace import _state, get_aval
from jaxc.transforms import ad
from jaxc.transforms.ad import Zero
from jaxc.transforms.staging import JaxprTrace, trace_to_jaxpr


class CustomCall(Primitive):
    """Base of the two primitives: `bind_custom` takes callables, `bind` an equation's params."""

    __slots__ = ()

    def bind_custom(self, fun: Any, *rules: Any, **params: Any) -> list[Any]:
        raise NotImplementedError


class CustomJVPCall(CustomCall):
    """`custom_jvp_call`."""

    __slots__ = ()

    def bind_custom(self, fun: Any, jvp: Any, *args: Any, **params: Any) -> list[Any]:
        return _state.trace.process_custom_jvp_call(self, fun, jvp, args, params)

    def bind(self, *args: Any, call_jaxpr: ClosedJaxpr, jvp: Any, **params: Any) -> list[Any]:
        return self.bind_custom(_Fun(call_jaxpr), jvp, *args, **params)

    def stage(self, trace: JaxprTrace, fun: Any, jvp: Any, args: Any, params: dict) -> list[Any]:
        closed, consts = _staged(fun, args)
        if consts:
            jvp = _without_leading(jvp, len(consts))
        return trace.record(self, [*consts, *args], {"call_jaxpr": closed, "jvp": jvp, **params})


class CustomVJPCall(CustomCall):
    """`custom_vjp_call`."""

    __slots__ = ()

    def bind_custom(self, fun: Any, fwd: Any, bwd: Any, *args: Any, **params: Any) -> list[Any]:
        return _state.trace.process_custom_vjp_call(self, fun, fwd, bwd, args, params)

    def bind(
        self, *args: Any, call_jaxpr: ClosedJaxpr, fwd: Any, bwd: Any, **params: Any
    ) -> list[Any]:
        return self.bind_custom(_Fun(call_jaxpr), fwd, bwd, *args, **params)

    def stage(
        self, trace: JaxprTrace, fun: Any, fwd: Any, bwd: Any, args: Any, params: dict
    ) -> list[Any]:
        closed, consts = _staged(fun, args)
        if consts:
            fwd, bwd = _vjp_without_leading(fwd, bwd, [get_aval(c) for c in consts])
        return trace.record(
            self, [*consts, *args], {"call_jaxpr": closed, "fwd": fwd, "bwd": bwd, **params}
        )


class _Fun:
    """A closed jaxpr as a callable that stages to itself."""

    __slots__ = ("closed",)

    def __init__(self, closed: ClosedJaxpr):
        self.closed = closed

    def __call__(self, *args: Any) -> list[Any]:
        return eval_jaxpr(self.closed.jaxpr, self.closed.consts, *args)


def _staged(fun: Any, args: Sequence[Any]) -> tuple[ClosedJaxpr, list[Any]]:
    if isinstance(fun, _Fun):
        return fun.closed, []
    closed = trace_to_jaxpr(fun, [get_aval(a) for a in args])
    if not closed.consts:
        return closed, []
    return ClosedJaxpr(convert_constvars(closed.jaxpr), ()), closed.consts


def _without_leading(jvp: Any, n: int) -> Any:
    @functools.wraps(jvp)
    def rule(*args: Any) -> Any:
        half = len(args) // 2
        return jvp(*args[n:half], *args[half + n :])

    return rule


def _vjp_without_leading(fwd: Any, bwd: Any, avals: list[Any]) -> tuple[Any, Any]:
    n = len(avals)

    @functools.wraps(fwd)
    def fwd_rule(*args: Any) -> Any:
        return fwd(*args[n:])

    @functools.wraps(bwd)
    def bwd_rule(*args: Any) -> Any:
        return [*(Zero(ad.tangent_aval(a)) for a in avals), *bwd(*args)]

    return fwd_rule, bwd_rule


def _make(cls: type, name: str) -> Any:
    from jaxc.core import primitive as registry

    found = cls(primitive(name).op)
    registry._PRIMITIVES[name] = found
    return found


custom_jvp_call_p = _make(CustomJVPCall, "custom_jvp_call")


custom_vjp_call_p = _make(CustomVJPCall, "custom_vjp_call")


custom_lin_p = primitive("custom_lin")
