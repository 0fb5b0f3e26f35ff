"""Partial evaluation: splitting a computation into what is known now and what is not.

`SplitTrace` sends each primitive to its parent trace if all operands are known, and records it in a
jaxpr of unknowns otherwise. Linearization is a JVP under a SplitTrace whose unknowns are tangents.
Also dead-code elimination of jaxprs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxc.core.jaxpr import ClosedJaxpr, DropVar, Jaxpr, JaxprEqn, Literal, eval_jaxpr
from jaxc.core.trace import Trace, current_trace, get_aval, set_current_trace
from jaxc.transforms.staging import JaxprTrace, JaxprTracer, trace_to_jaxpr
from jaxc_compiler.opset.avals import ShapedArray

__all__ = [
    "JaxprTrace", "JaxprTracer", "SplitTrace", "dce_jaxpr", "dce_rules", "partial_eval_jaxpr",
    "partial_eval_rules", "trace_to_jaxpr",
]  # fmt: skip

# primitive -> rule(split_trace, args, params) -> results: splits one equation in two
partial_eval_rules: dict[Any, Callable[..., Any]] = {}


class SplitTrace(Trace):
    """Known operations go to `parent`, the others are recorded in `unknown`."""

    __slots__ = ("parent", "unknown")

    def __init__(self, parent: Trace, unknown: JaxprTrace):
        super().__init__()
        self.parent = parent
        self.unknown = unknown

    def is_unknown(self, x: Any) -> bool:
        return isinstance(x, JaxprTracer) and x._trace is self.unknown

    def process_primitive(self, primitive: Any, args: tuple[Any, ...], params: dict) -> Any:
        if not any(self.is_unknown(a) for a in args):
            return primitive.bind_with_trace(self.parent, args, params)
        rule = partial_eval_rules.get(primitive)
        if rule is not None:
            return rule(self, args, params)
        return primitive.bind_with_trace(self.unknown, args, params)

    def process_custom_jvp_call(self, primitive: Any, fun: Any, jvp: Any, args: Any, params: dict):
        if any(self.is_unknown(a) for a in args):
            return fun(*args)
        with set_current_trace(self.parent):
            return primitive.bind_custom(fun, jvp, *args, **params)

    def process_custom_vjp_call(
        self, primitive: Any, fun: Any, fwd: Any, bwd: Any, args: Any, params: dict
    ):
        if any(self.is_unknown(a) for a in args):
            with set_current_trace(self.unknown):
                return primitive.bind_custom(fun, fwd, bwd, *args, **params)
        with set_current_trace(self.parent):
            return primitive.bind_custom(fun, fwd, bwd, *args, **params)


class Split:
    """Result of `partial_eval_jaxpr`.

    Attributes:
      known: jaxpr of the known arguments; results are the known results, then the residuals.
      unknown: jaxpr of residuals and unknown arguments; results are the unknown results.
      out_unknown: which results of the original are unknown.
      num_residuals: how many values `known` hands to `unknown`.
    """

    __slots__ = ("known", "num_residuals", "out_unknown", "unknown")

    def __init__(self, known: ClosedJaxpr, unknown: ClosedJaxpr, out_unknown: list[bool], n: int):
        self.known = known
        self.unknown = unknown
        self.out_unknown = out_unknown
        self.num_residuals = n


def partial_eval_jaxpr(
    closed: ClosedJaxpr, in_unknown: Sequence[bool], instantiate: Sequence[bool] | bool = False
) -> Split:
    """Split a jaxpr by which arguments are unknown.

    `instantiate` marks results to be made unknown even where they could be known.
    """
    avals = closed.in_avals
    force = [instantiate] * len(closed.out_avals) if isinstance(instantiate, bool) else instantiate
    found: dict[str, Any] = {}

    def known_fun(*known_args: Any) -> list[Any]:
        parent = current_trace()
        unknown = JaxprTrace(closed.jaxpr.debug_info)
        split = SplitTrace(parent, unknown)
        known = iter(known_args)
        args = [unknown.new_arg(a) if u else next(known) for a, u in zip(avals, in_unknown)]
        with set_current_trace(split):
            outs = eval_jaxpr(closed.jaxpr, closed.consts, *args)
        out_unknown = [f or split.is_unknown(o) for f, o in zip(force, outs)]
        jaxpr, residuals = unknown.to_jaxpr([o for o, u in zip(outs, out_unknown) if u])
        unknown.invalidate()
        found.update(jaxpr=jaxpr, out_unknown=out_unknown, n=len(residuals))
        return [o for o, u in zip(outs, out_unknown) if not u] + residuals

    known_avals = [a for a, u in zip(avals, in_unknown) if not u]
    known = trace_to_jaxpr(known_fun, known_avals, closed.jaxpr.debug_info)
    jaxpr = found["jaxpr"]
    unknown = Jaxpr(
        [],
        [*jaxpr.constvars, *jaxpr.invars],
        jaxpr.outvars,
        jaxpr.eqns,
        jaxpr.effects,
        jaxpr.debug_info,
    )
    return Split(known, ClosedJaxpr(unknown, ()), found["out_unknown"], found["n"])


# ---- dead code ------------------------------------------------------------------------------

# primitive -> rule(used_outputs, eqn) -> (used_inputs, new eqn or None)
dce_rules: dict[Any, Callable[..., Any]] = {}


def dce_jaxpr(
    jaxpr: Jaxpr, used_outputs: Sequence[bool], instantiate: bool | Sequence[bool] = False
) -> tuple[Jaxpr, list[bool]]:
    """Drop unused results, the equations only they need, and unused arguments.

    Returns:
      The smaller jaxpr and which arguments it still takes.
    """
    keep = [instantiate] * len(jaxpr.invars) if isinstance(instantiate, bool) else instantiate
    outvars = [v for v, u in zip(jaxpr.outvars, used_outputs) if u]
    live = {v for v in outvars if type(v) is not Literal}
    eqns: list[JaxprEqn] = []
    for eqn in reversed(jaxpr.eqns):
        used = [v in live for v in eqn.outvars]
        if not any(used) and not eqn.effects:
            continue
        rule = dce_rules.get(eqn.primitive)
        new = rule(used, eqn)[1] if rule is not None else eqn
        if new is None:
            continue
        live.update(v for v in new.invars if type(v) is not Literal)
        eqns.append(new)
    used_inputs = [k or v in live for v, k in zip(jaxpr.invars, keep)]
    eqns = [_mark_dropped(eqn, live) for eqn in reversed(eqns)]
    invars = [v for v, u in zip(jaxpr.invars, used_inputs) if u]
    return jaxpr.replace(invars=invars, outvars=outvars, eqns=eqns), used_inputs


def _mark_dropped(eqn: JaxprEqn, live: set) -> JaxprEqn:
    if all(v in live for v in eqn.outvars):
        return eqn
    outvars = [v if v in live else DropVar(v.aval) for v in eqn.outvars]
    return eqn.replace(outvars=outvars)


def dce_closed(closed: ClosedJaxpr, used_outputs: Sequence[bool], instantiate: Any = False):
    """`dce_jaxpr` of a closed jaxpr (its constants are kept)."""
    jaxpr, used = dce_jaxpr(closed.jaxpr, used_outputs, instantiate)
    return ClosedJaxpr(jaxpr, closed.consts), used


# ---- residuals ------------------------------------------------------------------------------


def known_values(split: SplitTrace, args: Sequence[Any]) -> tuple[list[Any], list[bool]]:
    """The known ones among `args`, and which are unknown."""
    unknown = [split.is_unknown(a) for a in args]
    return [a for a, u in zip(args, unknown) if not u], unknown


def avals_of(xs: Sequence[Any]) -> list[ShapedArray]:
    return [get_aval(x) for x in xs]


def merge(choice: Sequence[bool], if_false: Sequence[Any], if_true: Sequence[Any]) -> list[Any]:
    """Interleave two lists: element i comes from `if_true` where `choice[i]`."""
    falses, trues = iter(if_false), iter(if_true)
    return [next(trues) if c else next(falses) for c in choice]


def partition(choice: Sequence[bool], xs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """(where false, where true)."""
    return [x for x, c in zip(xs, choice) if not c], [x for x, c in zip(xs, choice) if c]
