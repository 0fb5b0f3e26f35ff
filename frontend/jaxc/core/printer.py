"""Jaxprs as text, laid out as JAX prints them: users read them and compare."""

from __future__ import annotations

import itertools
import re
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc.core.jaxpr import ClosedJaxpr, DropVar, Jaxpr, JaxprEqn, Literal, Var, jaxprs_in_params
from jaxc.core.layout import Doc, concat, group, join, layout, line, mark, nest, text

# Params that are printed only when they say something.
_HIDDEN_IF_NONE = {
    "accuracy": ("cbrt", "cos", "exp", "exp2", "expm1", "log", "log1p", "logistic", "rsqrt", "sin",
                 "sqrt", "tan", "tanh"),
    "sharding": ("broadcast_in_dim", "convert_element_type"),
    "out_dtype": ("mul",),
    "precision": ("dot_general",),
    "out_sharding": ("dot_general",),
    "preferred_element_type": ("dot_general",),
}  # fmt: skip
_HIDDEN = {
    "broadcast_in_dim": ("shape",),
    "custom_jvp_call": ("num_consts", "jvp_jaxpr_fun"),
    "custom_vjp_call": ("num_consts", "out_trees"),
}
_SHARE_ABOVE = 10  # equations: longer jaxprs of named calls are printed once, before the rest


class _Names:
    """Variable names in order of appearance, and the jaxprs that are printed once under a name."""

    def __init__(self) -> None:
        self.names: dict[Var, str] = {}
        self.shared: dict[Jaxpr, str] = {}
        self.dropped: set[Var] = set()  # unused results of the outermost equations: printed `_`
        self.fresh = (
            name for i in itertools.count() if (name := _letters(i)) not in self.shared.values()
        )

    def of(self, var: Var) -> str:
        if var in self.dropped:
            return "_"
        found = self.names.get(var)
        if found is None:
            found = self.names[var] = next(self.fresh)
        return found

    def alias(self, inner: Sequence[Any], outer: Sequence[Any]) -> None:
        """A call's inner variables go by the names of the outer ones they are bound to."""
        used: set[Any] = set()
        for i, o in zip(inner, outer):
            if type(o) is Literal or type(i) is Literal or o in used or i in self.names:
                continue
            used.add(o)
            self.names[i] = self.of(o)


def _letters(n: int) -> str:
    """a, b, ..., z, ba, bb, ... (base 26 without leading a)."""
    s = ""
    while True:
        n, digit = divmod(n, 26)
        s = chr(97 + digit) + s
        if n == 0:
            return s


def format_jaxpr(jaxpr: Jaxpr | ClosedJaxpr, width: int = 80, **_: Any) -> str:
    """The text of a jaxpr; `let name = ... in` for those used more than once."""
    return layout(_document(jaxpr), width)


def format_with_lines(
    jaxpr: Jaxpr | ClosedJaxpr, width: int = 80
) -> list[tuple[str, list[tuple[str, int]]]]:
    """The rows of a jaxpr's text, each with the user's files and lines it comes from."""
    marks: list[tuple[int, Any]] = []
    rows = layout(_document(jaxpr), width, marks).split("\n")
    found: list[list[tuple[str, int]]] = [[] for _ in rows]
    open_eqns: list[tuple[int, JaxprEqn]] = []
    for row, eqn in marks:
        if eqn is not None:
            open_eqns.append((row, eqn))
            continue
        start, ended = open_eqns.pop()
        frame = ended.source_info.frame() if ended.source_info is not None else None
        for k in range(start, row + 1):
            position = (frame.file, frame.line) if frame else None
            own = not found[k] or k in (start, row)  # rows of inner equations are theirs
            if position and own and position not in found[k]:
                found[k].append(position)
    return list(zip(rows, found))


def _document(jaxpr: Jaxpr | ClosedJaxpr) -> Doc:
    top = jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
    names = _Names()
    names.shared = _shared_jaxprs(top)
    names.dropped = {v for e in top.eqns for v in e.outvars if type(v) is DropVar}
    docs = [
        concat((text(f"let {name} = "), _skeleton(shared, names), text(" in"), line()))
        for shared, name in names.shared.items()
    ]
    return concat((*docs, _jaxpr(top, names)))


def format_eqn(eqn: JaxprEqn) -> str:
    return layout(_eqn(eqn, _Names()))


def _shared_jaxprs(top: Jaxpr) -> dict[Jaxpr, str]:
    counts: Counter[Jaxpr] = Counter()
    names: dict[Jaxpr, str] = {top: "main"}
    queue = deque([top])
    while queue:
        jaxpr = queue.popleft()
        counts[jaxpr] += 1
        if jaxpr is not top and len(jaxpr.eqns) > _SHARE_ABOVE:
            counts[jaxpr] += 1
        for eqn in jaxpr.eqns:
            name = eqn.params.get("name")
            for sub in jaxprs_in_params(eqn.params):
                queue.append(sub)
                if name is not None:
                    names.setdefault(sub, name.strip("<>"))
    shared: dict[Jaxpr, str] = {}
    taken: Counter[str] = Counter()
    for jaxpr, count in counts.items():
        if count == 1 or jaxpr not in names:
            continue
        name = names[jaxpr]
        number = taken[name]
        taken[name] += 1
        if number:
            name += str(number)
            taken[name] += 1
        shared[jaxpr] = name
    return shared


def _jaxpr(jaxpr: Jaxpr, names: _Names) -> Doc:
    name = names.shared.get(jaxpr)
    return text(name) if name is not None else _skeleton(jaxpr, names)


def _skeleton(jaxpr: Jaxpr, names: _Names) -> Doc:
    constvars = _vars(jaxpr.constvars, names, types=True)
    invars = _vars(jaxpr.invars, names, types=True)
    eqns = join(line("; "), [_eqn(e, names) for e in jaxpr.eqns])
    outvars = _vars(jaxpr.outvars, names, separator=",")
    close = ",)" if len(jaxpr.outvars) == 1 else ")"
    body = concat((
        text("{ lambda "), constvars, text("; "), invars, text(". let"),
        nest(2, line() + eqns), line(), text("in ("), outvars, text(close),
    ))  # fmt: skip
    return group(nest(2, body) + text(" }"))


def _vars(atoms: Sequence[Any], names: _Names, types: bool = False, separator: str = "") -> Doc:
    docs = []
    for atom in atoms:
        if type(atom) is Literal:
            docs.append(text(_literal(atom)))
        else:
            suffix = f":{atom.aval.str_short()}" if types else ""
            docs.append(text(names.of(atom) + suffix))
    return nest(2, group(join(concat((text(separator), group(line()))), docs)))


def _literal(literal: Literal) -> str:
    value = literal.val
    if not isinstance(value, bool | int | float | complex):
        value = np.asarray(value).item() if hasattr(value, "dtype") else value
        if literal.aval.dtype.name == "bfloat16":
            value = np.asarray(literal.val).astype(np.float32).item()
    return f"{value}:{literal.aval.str_short()}"


def _eqn(eqn: JaxprEqn, names: _Names) -> Doc:
    lhs = _vars(eqn.outvars, names, types=True)
    name = eqn.primitive.name
    if name == "jit":
        jaxpr = eqn.params["jaxpr"].jaxpr
        if jaxpr not in names.shared:
            names.alias(jaxpr.invars, eqn.invars)
            names.alias(jaxpr.outvars, eqn.outvars)
    params = _params(_shown_params(name, eqn.params), names)
    rhs = (text(name), params, text(" "), _vars(eqn.invars, names))
    parts = (lhs, text(" = "), *rhs) if eqn.outvars else rhs
    return concat((mark(eqn), *parts, mark(None)))


def _shown_params(name: str, params: dict[str, Any]) -> list[tuple[str, Any]]:
    if name == "jit":
        shown = [("name", params["name"]), ("jaxpr", params["jaxpr"])]
        if any(params.get("donated_invars", ())):
            shown.insert(1, ("donated_invars", params["donated_invars"]))
        return shown
    shown = []
    for key in sorted(params):
        value = params[key]
        if name in _HIDDEN_IF_NONE.get(key, ()) and value is None:
            continue
        if key in _HIDDEN.get(name, ()) or key.startswith("_"):
            continue
        if name == "broadcast_in_dim" and key == "broadcast_dimensions" and not value:
            continue
        if name == "dot_general" and key == "dimension_numbers":
            value = tuple((list(lhs), list(rhs)) for lhs, rhs in value)
        shown.append((key, value))
    shown.sort(key=lambda kv: kv[0] != "name") if name.startswith("custom_") else None
    return shown


def _params(shown: list[tuple[str, Any]], names: _Names) -> Doc:
    if not shown:
        return text("")
    pairs = join(line(), [text(f"{k}=") + _value(v, names) for k, v in shown])
    return group(concat((nest(2, concat((text("["), line(""), pairs))), line(""), text("]"))))


def _value(value: Any, names: _Names) -> Doc:
    if isinstance(value, ClosedJaxpr):
        return _jaxpr(value.jaxpr, names)
    if isinstance(value, Jaxpr):
        return _jaxpr(value, names)
    if type(value) is tuple and value and all(isinstance(v, Jaxpr | ClosedJaxpr) for v in value):
        inner = join(line(), [_value(v, names) for v in value])
        return group(concat((nest(2, concat((text("("), line(""), inner))), line(""), text(")"))))
    if callable(value) and not isinstance(value, type) and hasattr(value, "__name__"):
        return text(value.__name__)
    if isinstance(value, type) and issubclass(value, np.generic):
        return text(np.dtype(value).name)
    return text(re.sub(r" at 0x([0-9a-f]+)", lambda m: " at 0x" + "X" * len(m[1]), str(value)))
