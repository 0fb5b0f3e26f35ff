"""Which operations the user's program has defined, and what compiled programs depend on by them.

Imports no transforms: `jaxc.extend` defines the operations.
"""

from __future__ import annotations

from typing import Any, Protocol

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
    prints = {name: DEFINED[name].fingerprint() for name in sorted(_names(jaxpr))}
    return None if None in prints.values() else repr(prints) if prints else ""


def _names(jaxpr: Jaxpr) -> set[str]:
    found = {eqn.primitive.name for eqn in jaxpr.eqns} & DEFINED.keys()
    for eqn in jaxpr.eqns:
        for inner in jaxprs_in_params(eqn.params):
            found |= _names(inner)
    return found
