"""A rough cost of a jaxpr: floating-point operations and bytes read and written."""

from __future__ import annotations

from jaxc.core.jaxpr import ClosedJaxpr, JaxprEqn, Literal, jaxprs_in_params

_FREE = {"broadcast_in_dim", "reshape", "transpose", "squeeze", "slice", "copy", "iota", "rev"}


def cost_of(closed: ClosedJaxpr) -> dict[str, float]:
    """`{"flops": ..., "bytes accessed": ...}`, counting one operation for each result element."""
    flops = sum(_flops(eqn) for eqn in closed.jaxpr.eqns)
    arrays = [*closed.in_avals, *closed.out_avals]
    size = sum(float(a.size * a.dtype.itemsize) for a in arrays)
    return {"flops": float(flops), "bytes accessed": size}


def _flops(eqn: JaxprEqn) -> float:
    name = eqn.primitive.name
    inner = sum(_flops(e) for j in jaxprs_in_params(eqn.params) for e in j.eqns)
    if name == "scan":
        return inner * eqn.params["length"]
    if inner or name in _FREE:
        return inner
    out = sum(v.aval.size for v in eqn.outvars)
    if name == "dot_general":
        (contract, _), _ = eqn.params["dimension_numbers"]
        lhs = eqn.invars[0].aval.shape
        depth = 1
        for axis in contract:
            depth *= lhs[axis]
        return 2.0 * out * depth
    if eqn.primitive.op.kind == "reduction":
        return float(sum(v.aval.size for v in eqn.invars if type(v) is not Literal))
    return float(out)
