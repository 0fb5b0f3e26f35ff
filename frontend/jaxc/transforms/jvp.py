"""Forward-mode differentiation: `JVPTrace` pushes tangents along with primals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxc.core.trace import Trace, Tracer, current_trace, get_aval, set_current_trace
from jaxc.transforms import ad
from jaxc.transforms.ad import Zero
from jaxc_compiler.opset.avals import ShapedArray


class JVPTracer(Tracer):
    """A primal with its tangent."""

    __slots__ = ("primal", "tangent")

    def __init__(self, trace: JVPTrace, primal: Any, tangent: Any):
        self._trace = trace
        self.primal = primal
        self.tangent = tangent

    @property
    def aval(self) -> ShapedArray:
        return get_aval(self.primal)

    def to_concrete_value(self) -> Any:
        if isinstance(self.primal, Tracer):
            return self.primal.to_concrete_value()
        return self.primal

    def __repr__(self) -> str:
        return f"JVPTracer(primal={self.primal!r}, tangent={self.tangent!r})"


class JVPTrace(Trace):
    """Interprets primitives on (primal, tangent) pairs; hands the arithmetic to its parent."""

    __slots__ = ("parent",)

    def __init__(self, parent: Trace):
        super().__init__()
        self.parent = parent

    def pair(self, x: Any) -> tuple[Any, Any]:
        if isinstance(x, JVPTracer) and x._trace is self:
            return x.primal, x.tangent
        return x, Zero.from_primal_value(x)

    def wrap(self, primal: Any, tangent: Any) -> Any:
        return primal if type(tangent) is Zero else JVPTracer(self, primal, tangent)

    def _pairs(self, args: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        pairs = [self.pair(a) for a in args]
        return [p for p, _ in pairs], [t for _, t in pairs]

    def process_primitive(self, primitive: Any, args: tuple[Any, ...], params: dict) -> Any:
        primals, tangents = self._pairs(args)
        if all(type(t) is Zero for t in tangents):
            return primitive.bind_with_trace(self.parent, tuple(primals), params)
        rule = ad.jvp_rule(primitive)
        with set_current_trace(self.parent):
            primal_out, tangent_out = rule(primals, tangents, **params)
        if primitive.multiple_results:
            return [self.wrap(p, t) for p, t in zip(primal_out, tangent_out)]
        return self.wrap(primal_out, tangent_out)

    def process_custom_jvp_call(self, primitive: Any, fun: Any, jvp: Any, args: Any, params: dict):
        primals, tangents = self._pairs(args)
        if all(type(t) is Zero for t in tangents):
            with set_current_trace(self.parent):
                return primitive.bind_custom(fun, jvp, *primals, **params)
        with set_current_trace(self.parent):
            if not params.get("symbolic_zeros"):
                tangents = [ad.instantiate_zeros(t) for t in tangents]
            outs = jvp(*primals, *tangents)
        half = len(outs) // 2
        return [self.wrap(p, _as_tangent(t)) for p, t in zip(outs[:half], outs[half:])]

    def process_custom_vjp_call(
        self, primitive: Any, fun: Any, fwd: Any, bwd: Any, args: Any, params: dict
    ):
        primals, tangents = self._pairs(args)
        if all(type(t) is Zero for t in tangents):
            with set_current_trace(self.parent):
                return primitive.bind_custom(fun, fwd, bwd, *primals, **params)
        from jaxc.transforms.custom_vjp import custom_lin

        with set_current_trace(self.parent):
            outs, residuals, out_avals = fwd(*primals)
            tangents_in = [ad.instantiate_zeros(t) for t in tangents]
            tangents_out = custom_lin(bwd, residuals, tangents_in, out_avals)
        return [self.wrap(p, t) for p, t in zip(outs, tangents_out)]


def _as_tangent(t: Any) -> Any:
    """A rule's tangent; arrays of float0 are symbolic zeros."""
    return Zero(get_aval(t)) if getattr(t, "dtype", None) == ad.float0 else t


def jvp_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """JVP of a function on flat lists; tangents may be Zero, in and out."""
    trace = JVPTrace(current_trace())
    args = [trace.wrap(p, t) for p, t in zip(primals, tangents)]
    with set_current_trace(trace):
        outs = fun(*args)
    pairs = [trace.pair(o) for o in outs]
    trace.invalidate()
    return [p for p, _ in pairs], [t for _, t in pairs]
