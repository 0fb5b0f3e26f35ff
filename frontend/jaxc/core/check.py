"""Type checking of jaxprs: every equation's result types are what its op infers."""

from __future__ import annotations

from typing import Any

from jaxc.core.jaxpr import ClosedJaxpr, Jaxpr, Literal, Var, subjaxprs
from jaxc_compiler.opset.avals import typematch


class JaxprTypeError(TypeError):
    """A jaxpr that does not type check; the message names the equation."""


def check_jaxpr(jaxpr: Jaxpr | ClosedJaxpr) -> None:
    """Check scoping and types of a jaxpr and of those inside it.

    Raises:
      JaxprTypeError: for an unbound variable, a variable bound twice, or a wrong result type.
    """
    if isinstance(jaxpr, ClosedJaxpr):
        jaxpr = jaxpr.jaxpr
    bound: set[Var] = set()

    def bind(var: Var, where: Any) -> None:
        if var in bound:
            raise JaxprTypeError(f"variable {var} is bound twice, by {where}")
        bound.add(var)

    for var in (*jaxpr.constvars, *jaxpr.invars):
        bind(var, "the arguments")
    for eqn in jaxpr.eqns:
        for atom in eqn.invars:
            if type(atom) is not Literal and atom not in bound:
                raise JaxprTypeError(f"variable {atom} is not defined in\n{eqn}")
        _check_eqn(eqn)
        for var in eqn.outvars:
            bind(var, eqn)
    for atom in jaxpr.outvars:
        if type(atom) is not Literal and atom not in bound:
            raise JaxprTypeError(f"result {atom} is not defined")
    for sub in subjaxprs(jaxpr):
        check_jaxpr(sub)


def _check_eqn(eqn: Any) -> None:
    out = eqn.primitive.abstract_eval(*[v.aval for v in eqn.invars], **eqn.params)
    avals = out if eqn.primitive.multiple_results else [out]
    if len(avals) != len(eqn.outvars):
        raise JaxprTypeError(f"{len(eqn.outvars)} results, expected {len(avals)} in\n{eqn}")
    for var, aval in zip(eqn.outvars, avals):
        if not typematch(var.aval, aval):
            raise JaxprTypeError(f"result {var} should be {aval.str_short()} in\n{eqn}")
