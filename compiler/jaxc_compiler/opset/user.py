"""Ops that a user's program adds to the book while it runs.

Owns which ops these are and the element rules they bring along. The dialect and the lowerings look
here when they are loaded, and are told of later changes. Imports no MLIR.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from jaxc_compiler import marks
from jaxc_compiler.opset.op import IMPLIED_PARAMS, OPS, REGION_PARAMS, Op

USER_OPS: dict[str, Op] = {}
# rule(s, *scalars, **params) -> scalar: see `lowering/element/user.py`.
RULES: dict[str, Callable[..., Any]] = {}
_listeners: list[Callable[[str], None]] = []
# Ops of the `lax` dialect without an entry in the book.
_TAKEN = frozenset({"constant", "yield", "branch"})
# What cannot be a parameter: an attribute of the name says something else, or there is none.
_NO_PARAMS = REGION_PARAMS | IMPLIED_PARAMS | {marks.IN_PLACE, marks.COPIES}


def add(op: Op, *, replace: bool = False) -> None:
    """Add an op to the book.

    Raises:
      TypeError: for a name that is no text.
      ValueError: for a name that is taken or that no op or no parameter can have.
    """
    check_name(op.name, replace)
    if refused := sorted(_NO_PARAMS.intersection(op.params)):
        raise ValueError(f"op {op.name!r} cannot have a parameter named {refused[0]!r}")
    OPS[op.name] = USER_OPS[op.name] = op
    RULES.pop(op.name, None)
    _tell(op.name)


def check_name(name: str, replace: bool = False) -> None:
    """Raise for a name that a user's op cannot have."""
    if not isinstance(name, str):
        raise TypeError(f"expected the name of an op, such as 'soft_clip', got {name!r}")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or re.search(r"_\d+to\d+$", name):
        raise ValueError(f"{name!r} is no name of an op: expected one like soft_clip")
    if name.startswith("scatter_"):
        raise ValueError(f"{name!r}: names with 'scatter_' in front are those of jaxc's scatters")
    if name in USER_OPS and not replace:
        raise ValueError(f"op {name!r} is defined already: replace=True defines it anew")
    if name in _TAKEN or (name in OPS and name not in USER_OPS):
        raise ValueError(f"{name!r} is an op of jaxc's own")


def add_rule(name: str, rule: Callable[..., Any]) -> None:
    """Give an op of the user's its own lowering, an element at a time."""
    RULES[name] = rule
    _tell(name)


def remove(name: str) -> None:
    """Take an op of the user's out of the book."""
    del USER_OPS[name], OPS[name]
    RULES.pop(name, None)
    _tell(name)


def on_change(listener: Callable[[str], None]) -> None:
    """Call a function with the name of each op of the user's, those there are and later ones."""
    _listeners.append(listener)
    for name in USER_OPS:
        listener(name)


def _tell(name: str) -> None:
    for listener in _listeners:
        listener(name)
