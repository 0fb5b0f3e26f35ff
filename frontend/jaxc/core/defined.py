"""Which operations the user's program has defined, and what compiled programs depend on by them.

Imports no transforms: `jaxc.extend` defines the operations.
"""

from __future__ import annotations

from typing import Any, Protocol

from jaxc.core.config import config
from jaxc.core.jaxpr import Jaxpr, jaxprs_in_params


class Defined(Protocol):
    """An operation of the user's."""

    fun: Any  # what it computes, in other operations

    @property
    def stays(self) -> bool:
        """Whether it is an op of its own in the compiler, not the program `fun`."""
        ...

    def fingerprint(self) -> str | None:
        """Text that changes when the operation does; None if that cannot be told."""
        ...


DEFINED: dict[str, Defined] = {}


def fingerprint(jaxpr: Jaxpr) -> str | None:
    """What the operations in a jaxpr that the user defined depend on; None if nobody can tell."""
    if not DEFINED:
        return ""
    uses = _uses(jaxpr)
    prints = {name: DEFINED[name].fingerprint() for name in sorted({name for name, _ in uses})}
    if None in prints.values():
        return None
    return repr((prints, uses, config.trace_context())) if uses else ""


def _uses(jaxpr: Jaxpr) -> list[tuple[str, tuple[bool, ...]]]:
    """Each use of such an operation and which operands have a weak type, which no text shows."""
    found = []
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in DEFINED:
            found.append((eqn.primitive.name, tuple([a.aval.weak_type for a in eqn.invars])))
        for inner in jaxprs_in_params(eqn.params):
            found += _uses(inner)
    return found
