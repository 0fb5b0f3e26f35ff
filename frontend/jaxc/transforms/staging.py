"""Tracing a function to a jaxpr: `JaxprTrace` records every primitive as an equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc.core import source
from jaxc.core.array import Array
from jaxc.core.jaxpr import (
    Atom,
    ClosedJaxpr,
    DebugInfo,
    DropVar,
    Jaxpr,
    JaxprEqn,
    Literal,
    Var,
    is_literalable,
)
from jaxc.core.trace import (
    Trace,
    Tracer,
    escaped_tracer_error,
    get_aval,
    set_current_trace,
)
from jaxc_compiler.opset.avals import ShapedArray


class JaxprTracer(Tracer):
    """A variable of the jaxpr being recorded."""

    __slots__ = ("_aval", "_var")

    def __init__(self, trace: JaxprTrace, aval: ShapedArray, var: Var):
        self._trace = trace
        self._aval = aval
        self._var = var

    @property
    def aval(self) -> ShapedArray:
        return self._aval

    def _origin_msg(self) -> str:
        return self._trace.describe(self._var)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"JitTracer({self._aval.str_short(short_dtypes=False)})"


# primitive -> function(trace, args, params) that stages it in another way than one equation
staging_rules: dict[Any, Callable[..., Any]] = {}


class JaxprTrace(Trace):
    """Records equations. Values of other traces become constants of the jaxpr."""

    __slots__ = ("const_refs", "consts", "debug_info", "eqns", "invars")

    def __init__(self, debug_info: DebugInfo | None = None):
        super().__init__()
        self.eqns: list[JaxprEqn] = []
        self.invars: list[Var] = []
        self.consts: dict[int, tuple[Var, Any]] = {}
        self.debug_info = debug_info or DebugInfo()

    def new_arg(self, aval: ShapedArray) -> JaxprTracer:
        var = Var(aval)
        self.invars.append(var)
        return JaxprTracer(self, aval, var)

    def atom(self, x: Any) -> Atom:
        """The variable or literal that stands for a value in this jaxpr."""
        if type(x) is JaxprTracer and x._trace is self:
            return x._var
        if isinstance(x, Tracer):
            if not x._trace.valid:
                raise escaped_tracer_error(x)
        elif is_literalable(x):
            return Literal(_literal_value(x), get_aval(x))
        return self._const(x)

    def _const(self, x: Any) -> Var:
        found = self.consts.get(id(x))
        if found is None:
            var = Var(get_aval(x))
            value = x.copy() if type(x) is np.ndarray else x  # the caller may write theirs
            found = self.consts[id(x)] = (var, (value, x))
        return found[0]

    def process_primitive(self, primitive: Any, args: tuple[Any, ...], params: dict) -> Any:
        rule = staging_rules.get(primitive)
        if rule is not None:
            return rule(self, args, params)
        return self.record(primitive, args, params)

    def record(self, primitive: Any, args: Sequence[Any], params: dict, effects=frozenset()) -> Any:
        """Append one equation and return its results' tracers."""
        invars = [self.atom(a) for a in args]
        out_avals = primitive.abstract_eval(*[v.aval for v in invars], **params)
        avals = out_avals if primitive.multiple_results else (out_avals,)
        outs = [JaxprTracer(self, aval, Var(aval)) for aval in avals]
        self.eqns.append(
            JaxprEqn(invars, [o._var for o in outs], primitive, params, effects, source.current())
        )
        return outs if primitive.multiple_results else outs[0]

    def process_custom_jvp_call(self, primitive: Any, fun: Any, jvp: Any, args: Any, params: dict):
        return primitive.stage(self, fun, jvp, args, params)

    def process_custom_vjp_call(
        self, primitive: Any, fun: Any, fwd: Any, bwd: Any, args: Any, params: dict
    ):
        return primitive.stage(self, fun, fwd, bwd, args, params)

    def to_jaxpr(self, outs: Sequence[Any]) -> tuple[Jaxpr, list[Any]]:
        """The recorded jaxpr with the given results, and the values of its constvars."""
        outvars = [self.atom(o) for o in outs]
        used = {v for v in outvars if type(v) is not Literal}
        for eqn in self.eqns:
            used.update(v for v in eqn.invars if type(v) is not Literal)
        for eqn in self.eqns:
            eqn.outvars = [v if v in used else DropVar(v.aval) for v in eqn.outvars]
        pairs = [pair for pair in self.consts.values() if pair[0] in used]
        effects = frozenset().union(*(e.effects for e in self.eqns)) if self.eqns else frozenset()
        jaxpr = Jaxpr(
            [v for v, _ in pairs], self.invars, outvars, self.eqns, effects, self.debug_info
        )
        return jaxpr, [value for _, (value, _) in pairs]

    def describe(self, var: Var) -> str:
        """Where a variable came from, for error messages."""
        where = self.debug_info
        for_ = f" for {where.traced_for}" if where.traced_for else ""
        for i, v in enumerate(self.invars):
            if v is var:
                name = where.arg_names[i] if where.arg_names and i < len(where.arg_names) else ""
                argument = f"the argument {name}" if name else f"argument {i}"
                return (
                    f"\nThe error occurred while tracing the function {where.func_name}{for_}. "
                    f"This value depends on {argument}."
                )
        for eqn in self.eqns:
            if any(v is var for v in eqn.outvars):
                frame = eqn.source_info.frame() if eqn.source_info else None
                line = f" at {frame}" if frame else ""
                return (
                    f"\nThe error occurred while tracing the function {where.func_name}{for_}. "
                    f"The value is the result of {eqn.primitive}{line}."
                )
        return ""


def _literal_value(x: Any) -> Any:
    if type(x) in (bool, int, float, complex):
        return x
    if isinstance(x, Array):
        return x
    return np.asarray(x)[()]


def trace_to_jaxpr(
    fun: Callable[..., Sequence[Any]],
    in_avals: Sequence[ShapedArray],
    debug_info: DebugInfo | None = None,
) -> ClosedJaxpr:
    """Trace a function of flat arguments, returning a flat list, at the given avals."""
    trace = JaxprTrace(debug_info)
    args = [trace.new_arg(aval) for aval in in_avals]
    with set_current_trace(trace):
        outs = fun(*args)
        jaxpr, consts = trace.to_jaxpr(outs)
    trace.invalidate()
    return ClosedJaxpr(jaxpr, consts)
