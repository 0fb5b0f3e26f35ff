"""Transposition: running a linear jaxpr backwards on cotangents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from jaxc.core import source
from jaxc.core.jaxpr import Atom, Jaxpr, JaxprEqn, Literal, Var
from jaxc.core.trace import get_aval
from jaxc.transforms import ad
from jaxc.transforms.ad import UndefinedPrimal, Zero, is_undefined_primal


def backward_pass(
    jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any], cotangents: Sequence[Any]
) -> list[Any]:
    """Cotangents of `args` (Zero where nothing flows); linear ones are `UndefinedPrimal`s.

    Equations that do not depend on linear arguments are evaluated forwards first. The cotangent of
    an argument that is not linear is a Zero too.
    """
    env: dict[Var, Any] = dict(zip(jaxpr.constvars, consts))
    linear: set[Var] = set()
    for v, a in zip(jaxpr.invars, args, strict=True):
        if is_undefined_primal(a):
            linear.add(v)
        else:
            env[v] = a

    def read(atom: Atom) -> Any:
        if type(atom) is Literal:
            return atom.val
        return UndefinedPrimal(atom.aval) if atom in linear else env[atom]

    backward = []
    for eqn in jaxpr.eqns:
        if any(type(v) is Var and v in linear for v in eqn.invars):
            linear.update(eqn.outvars)
            backward.append((eqn, [read(v) for v in eqn.invars]))
            continue
        outs = eqn.primitive.bind(*map(read, eqn.invars), **eqn.params)
        env.update(zip(eqn.outvars, outs if eqn.primitive.multiple_results else (outs,)))
    cts = _transpose(backward, linear, zip(jaxpr.outvars, cotangents, strict=True))
    return [
        cts.get(v, Zero(ad.tangent_aval(v.aval)))
        if is_undefined_primal(a)
        else Zero(ad.tangent_aval(get_aval(a)))
        for v, a in zip(jaxpr.invars, args)
    ]


def _transpose(
    equations: Sequence[tuple[JaxprEqn, list[Any]]],
    linear: set[Var],
    given: Iterable[tuple[Atom, Any]],
) -> dict[Var, Any]:
    """The cotangents of linear variables, by the transposes of equations, the last first.

    Args:
      equations: each with its operands; linear ones are `UndefinedPrimal`s.
      given: the cotangents of results.
    """
    cts: dict[Var, Any] = {}

    def accumulate(atom: Atom, ct: Any) -> None:
        if ct is None or type(ct) is Zero or type(atom) is Literal or atom not in linear:
            return
        cts[atom] = ad.add_tangents(cts[atom], ct) if atom in cts else ct

    for v, ct in given:
        accumulate(v, ct)
    for eqn, operands in reversed(equations):
        found = [cts.pop(v, None) for v in eqn.outvars]
        if all(ct is None for ct in found):
            continue
        full = [
            Zero(ad.tangent_aval(v.aval)) if ct is None else ct for v, ct in zip(eqn.outvars, found)
        ]
        ct_in: Any = full if eqn.primitive.multiple_results else full[0]
        rule = ad.transpose_rule(eqn.primitive)
        with source.at(eqn.source_info):  # the line it is the derivative of, not that of `grad`
            outs = rule(ct_in, *operands, **eqn.params)
        for v, ct in zip(eqn.invars, outs, strict=True):
            accumulate(v, ct)
    return cts
