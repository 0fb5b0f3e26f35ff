"""Linearization: the value of a function and the jaxpr of its derivative there.

A JVP whose tangent arithmetic is recorded (see `partial_eval.SplitTrace`), whose primal arithmetic
is done at once. Reverse mode transposes the recorded jaxpr.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxc.core.jaxpr import ClosedJaxpr, Jaxpr
from jaxc.core.trace import current_trace, get_aval, set_current_trace
from jaxc.transforms import ad
from jaxc.transforms.ad import Zero
from jaxc.transforms.jvp import JVPTrace
from jaxc.transforms.partial_eval import JaxprTrace, SplitTrace
from jaxc.transforms.transpose import backward_pass


class Linear:
    """The derivative of a function at a point, as a jaxpr of the tangents.

    Attributes:
      jaxpr: takes the tangents `nonzero_in` marks; gives those `nonzero_out` marks.
      consts: the residuals.
    """

    __slots__ = ("consts", "in_avals", "jaxpr", "nonzero_in", "nonzero_out", "out_avals")

    def __init__(
        self,
        jaxpr: Jaxpr,
        consts: list[Any],
        nonzero_in: list[bool],
        nonzero_out: list[bool],
        in_avals: list[Any],
        out_avals: list[Any],
    ):
        self.jaxpr = jaxpr
        self.consts = consts
        self.nonzero_in = nonzero_in
        self.nonzero_out = nonzero_out
        self.in_avals = in_avals
        self.out_avals = out_avals

    def closed(self) -> ClosedJaxpr:
        return ClosedJaxpr(self.jaxpr, self.consts)

    def transpose(self, cotangents: Sequence[Any]) -> list[Any]:
        """Cotangents of the arguments (Zero where there are none)."""
        cts = [ct for ct, nz in zip(cotangents, self.nonzero_out) if nz]
        args = [ad.UndefinedPrimal(v.aval) for v in self.jaxpr.invars]
        found = iter(backward_pass(self.jaxpr, self.consts, args, cts))
        return [
            next(found) if nz else Zero(aval) for nz, aval in zip(self.nonzero_in, self.in_avals)
        ]

    def apply(self, tangents: Sequence[Any]) -> list[Any]:
        """Tangents of the results, zeros instantiated."""
        from jaxc.core.jaxpr import eval_jaxpr

        given = [t for t, nz in zip(tangents, self.nonzero_in) if nz]
        outs = iter(eval_jaxpr(self.jaxpr, self.consts, *given))
        return [
            next(outs) if nz else ad.zeros_like_aval(aval)
            for nz, aval in zip(self.nonzero_out, self.out_avals)
        ]


def linearize_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], nonzero: Sequence[bool] | None = None
) -> tuple[list[Any], Linear]:
    """Value and derivative of a function on flat lists."""
    parent = current_trace()
    tangents = JaxprTrace()
    trace = JVPTrace(SplitTrace(parent, tangents))
    in_avals = [ad.tangent_aval(get_aval(p)) for p in primals]
    if nonzero is None:
        nonzero = [aval.dtype != ad.float0 for aval in in_avals]
    args = [
        trace.wrap(p, tangents.new_arg(aval)) if nz else p
        for p, aval, nz in zip(primals, in_avals, nonzero)
    ]
    with set_current_trace(trace):
        outs = fun(*args)
    pairs = [trace.pair(o) for o in outs]
    trace.invalidate()
    nonzero_out = [type(t) is not Zero for _, t in pairs]
    jaxpr, consts = tangents.to_jaxpr([t for _, t in pairs if type(t) is not Zero])
    tangents.invalidate()
    out_avals = [ad.tangent_aval(get_aval(p)) for p, _ in pairs]
    linear = Linear(jaxpr, consts, list(nonzero), nonzero_out, in_avals, out_avals)
    return [p for p, _ in pairs], linear
