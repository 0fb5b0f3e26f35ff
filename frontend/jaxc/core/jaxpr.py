"""Jaxprs: the typed, functional IR that functions are traced to. Data only, plus evaluation.

Printing is `core.printer`, checking `core.check`; both work on these classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, final

from jaxc.core.source import SourceInfo
from jaxc.core.trace import get_aval
from jaxc_compiler.opset.avals import ShapedArray

# Calls that run their jaxpr and nothing else, and the parameter that holds it.
CALLS = {
    "jit": "jaxpr",
    "remat2": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}

_ids = itertools.count()


class Var:
    """A variable; two variables are the same only if they are the same object."""

    __slots__ = ("aval", "count")

    def __init__(self, aval: ShapedArray):
        self.aval = aval
        self.count = next(_ids)

    def __repr__(self) -> str:
        return f"Var(id={self.count}):{self.aval.str_short()}"


class DropVar(Var):
    """A result that is not used: printed `_`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "_"


@final  # so that `type(x) is Literal` tells the other branch that x is a Var
class Literal:
    """A scalar constant inside an equation."""

    __slots__ = ("aval", "val")

    def __init__(self, val: Any, aval: ShapedArray | None = None):
        self.val = val
        self.aval = get_aval(val) if aval is None else aval

    def __repr__(self) -> str:
        return f"{self.val}:{self.aval.str_short()}"


Atom = Var | Literal


class JaxprEqn:
    """One operation: `outvars = primitive[params] invars`."""

    __slots__ = ("effects", "invars", "outvars", "params", "primitive", "source_info")

    def __init__(
        self,
        invars: Sequence[Atom],
        outvars: Sequence[Var],
        primitive: Any,
        params: dict[str, Any],
        effects: frozenset = frozenset(),
        source_info: SourceInfo | None = None,
    ):
        self.invars = list(invars)
        self.outvars = list(outvars)
        self.primitive = primitive
        self.params = params
        self.effects = effects
        self.source_info = source_info

    def replace(self, **changes: Any) -> JaxprEqn:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return JaxprEqn(**(fields | changes))

    def __repr__(self) -> str:
        from jaxc.core.printer import format_eqn

        return format_eqn(self)


new_jaxpr_eqn = JaxprEqn


class DebugInfo:
    """Name and argument paths of the traced function, for messages and printing."""

    __slots__ = ("arg_names", "func_name", "result_paths", "traced_for")

    def __init__(
        self,
        traced_for: str = "",
        func_name: str = "<unknown>",
        arg_names: tuple[str, ...] | None = None,
        result_paths: tuple[str, ...] | None = None,
    ):
        self.traced_for = traced_for
        self.func_name = func_name
        self.arg_names = arg_names
        self.result_paths = result_paths


class Jaxpr:
    """`{ lambda constvars ; invars. let eqns in outvars }`."""

    __slots__ = ("__weakref__", "constvars", "debug_info", "effects", "eqns", "invars", "outvars")

    def __init__(
        self,
        constvars: Sequence[Var],
        invars: Sequence[Var],
        outvars: Sequence[Atom],
        eqns: Sequence[JaxprEqn],
        effects: frozenset = frozenset(),
        debug_info: DebugInfo | None = None,
    ):
        self.constvars = list(constvars)
        self.invars = list(invars)
        self.outvars = list(outvars)
        self.eqns = list(eqns)
        self.effects = effects
        self.debug_info = debug_info or DebugInfo()

    def replace(self, **changes: Any) -> Jaxpr:
        fields = {n: getattr(self, n) for n in self.__slots__ if n != "__weakref__"}
        return Jaxpr(**(fields | changes))

    @property
    def in_avals(self) -> list[ShapedArray]:
        return [v.aval for v in self.invars]

    @property
    def out_avals(self) -> list[ShapedArray]:
        return [v.aval for v in self.outvars]

    @property
    def is_high(self) -> bool:
        return False

    def pretty_print(self, **kwargs: Any) -> str:
        from jaxc.core.printer import format_jaxpr

        return format_jaxpr(self, **kwargs)

    def __repr__(self) -> str:
        return self.pretty_print()


class ClosedJaxpr:
    """A jaxpr with the values of its constvars."""

    __slots__ = ("__weakref__", "consts", "jaxpr")

    def __init__(self, jaxpr: Jaxpr, consts: Sequence[Any] = ()):
        if len(consts) != len(jaxpr.constvars):
            raise ValueError(f"{len(consts)} constants for {len(jaxpr.constvars)} constvars")
        self.jaxpr = jaxpr
        self.consts = list(consts)

    @property
    def in_avals(self) -> list[ShapedArray]:
        return self.jaxpr.in_avals

    @property
    def out_avals(self) -> list[ShapedArray]:
        return self.jaxpr.out_avals

    @property
    def eqns(self) -> list[JaxprEqn]:
        return self.jaxpr.eqns

    @property
    def effects(self) -> frozenset:
        return self.jaxpr.effects

    @property
    def literals(self) -> list[Any]:
        return self.consts

    def replace(self, jaxpr: Jaxpr | None = None, consts: Sequence[Any] | None = None):
        return ClosedJaxpr(
            self.jaxpr if jaxpr is None else jaxpr, self.consts if consts is None else consts
        )

    def map_jaxpr(self, function: Callable[[Jaxpr], Jaxpr]) -> ClosedJaxpr:
        return ClosedJaxpr(function(self.jaxpr), self.consts)

    def pretty_print(self, **kwargs: Any) -> str:
        return self.jaxpr.pretty_print(**kwargs)

    def __repr__(self) -> str:
        return self.jaxpr.pretty_print()


def eval_jaxpr(jaxpr: Jaxpr, consts: Sequence[Any], *args: Any) -> list[Any]:
    """Run the equations on values (arrays or tracers) and return the list of results."""
    env: dict[Var, Any] = dict(zip(jaxpr.constvars, consts))
    env.update(zip(jaxpr.invars, args, strict=True))
    last = last_uses(jaxpr)

    def read(atom: Atom) -> Any:
        return atom.val if type(atom) is Literal else env[atom]

    for i, eqn in enumerate(jaxpr.eqns):
        outs = eqn.primitive.bind(*map(read, eqn.invars), **eqn.params)
        if not eqn.primitive.multiple_results:
            outs = (outs,)
        env.update(zip(eqn.outvars, outs))
        for var in last.get(i, ()):
            env.pop(var, None)
    return [_read_out(env, v) for v in jaxpr.outvars]


def _read_out(env: dict[Var, Any], atom: Atom) -> Any:
    return atom.val if type(atom) is Literal else env[atom]


def last_uses(jaxpr: Jaxpr) -> dict[int, list[Var]]:
    """Equation index -> variables used there for the last time (results excluded)."""
    keep = {v for v in jaxpr.outvars if type(v) is not Literal}
    last: dict[Var, int] = {}
    for i, eqn in enumerate(jaxpr.eqns):
        for v in itertools.chain(eqn.invars, eqn.outvars):
            if type(v) is not Literal and v not in keep:
                last[v] = i
    uses: dict[int, list[Var]] = {}
    for v, i in last.items():
        uses.setdefault(i, []).append(v)
    return uses


def jaxpr_as_fun(closed: ClosedJaxpr) -> Callable[..., list[Any]]:
    """A function of the flat arguments that evaluates the jaxpr."""

    def fun(*args: Any) -> list[Any]:
        return eval_jaxpr(closed.jaxpr, closed.consts, *args)

    fun.__name__ = closed.jaxpr.debug_info.func_name
    return fun


def jaxprs_in_params(params: dict[str, Any]) -> Iterator[Jaxpr]:
    """The jaxprs among an equation's parameters."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, Jaxpr):
                yield item
            elif isinstance(item, ClosedJaxpr):
                yield item.jaxpr


def subjaxprs(jaxpr: Jaxpr) -> Iterator[Jaxpr]:
    """The jaxprs directly inside a jaxpr's equations."""
    for eqn in jaxpr.eqns:
        yield from jaxprs_in_params(eqn.params)


def close(jaxpr: Jaxpr) -> ClosedJaxpr:
    """A closed jaxpr without constants; constvars become leading arguments."""
    if jaxpr.constvars:
        jaxpr = convert_constvars(jaxpr)
    return ClosedJaxpr(jaxpr, ())


def convert_constvars(jaxpr: Jaxpr) -> Jaxpr:
    """Move the constvars in front of the arguments."""
    return jaxpr.replace(constvars=[], invars=[*jaxpr.constvars, *jaxpr.invars])


def is_literalable(x: Any) -> bool:
    """Whether a constant is written into the equation (scalars) rather than made a constvar."""
    aval = getattr(x, "aval", None)
    if aval is not None:
        return aval.shape == () and getattr(aval.dtype, "kind", None) is not None
    import numpy as np

    return type(x) in (bool, int, float, complex) or (
        isinstance(x, np.ndarray | np.generic) and x.shape == () and x.dtype.names is None
    )
