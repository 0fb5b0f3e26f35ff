"""Which arguments of a jitted function are static or donated, by position and by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from jaxc import tree_util
from jaxc.core.jaxpr import DebugInfo


def _as_tuple(x: Any, kind: type) -> tuple[Any, ...]:
    if x is None:
        return ()
    return (x,) if isinstance(x, kind) else tuple(x)


class Signature:
    """The static and donated arguments of a function, positions and names made consistent."""

    __slots__ = (
        "donate_names",
        "donate_nums",
        "parameters",
        "plain",
        "static_names",
        "static_nums",
    )

    def __init__(
        self,
        fun: Callable[..., Any],
        static_argnums: Any,
        static_argnames: Any,
        donate_argnums: Any,
        donate_argnames: Any,
    ):
        self.parameters = _parameters(fun)
        self.static_nums, self.static_names = self._both(
            static_argnums, static_argnames, "static_argnums"
        )
        self.donate_nums, self.donate_names = self._both(
            donate_argnums, donate_argnames, "donate_argnums"
        )
        overlap = set(self.static_nums) & set(self.donate_nums)
        if overlap:
            raise ValueError(
                f"static_argnums {self.static_nums} and donate_argnums "
                f"{self.donate_nums} cannot intersect."
            )
        self.plain = not self.static_nums and not self.static_names

    def _both(self, nums: Any, names: Any, what: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
        given_nums, given_names = _as_tuple(nums, int), _as_tuple(names, str)
        for n in given_nums:
            if not isinstance(n, int):
                raise TypeError(f"{what} must be int or a tuple of ints; got {nums}")
        positional = self.parameters
        if positional is None:
            return given_nums, given_names
        order = [p.name for p in positional if p.kind in _POSITIONAL]
        variadic = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in positional)
        for n in given_nums:
            if not variadic and not -len(order) <= n < len(order):
                raise ValueError(
                    f"jitted function has {what}={given_nums} but only accepts "
                    f"{len(order)} positional arguments."
                )
        has_kwargs = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in positional)
        known = {p.name for p in positional}
        for name in given_names:
            if name not in known and not has_kwargs:
                raise ValueError(
                    f"jitted function has invalid argnames {{{name!r}}} in "
                    f"static_argnames. Function does not take these args."
                )
        given_nums = tuple(n % len(order) if n < 0 and order else n for n in given_nums)
        if nums is None and names is not None:
            given_nums = tuple(order.index(n) for n in given_names if n in order)
        elif names is None and nums is not None:
            keyword_ok = {
                p.name for p in positional if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            }
            given_names = tuple(
                order[n] for n in given_nums if n < len(order) and order[n] in keyword_ok
            )
        return given_nums, given_names

    def resolve(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Separate the static arguments of a call from the others."""
        if self.plain:
            return Call(self, args, kwargs, (), len(args))
        statics = [("", i, Static(args[i])) for i in self.static_nums if i < len(args)]
        statics += [(n, -1, Static(kwargs[n])) for n in self.static_names if n in kwargs]
        dynamic = tuple(a for i, a in enumerate(args) if i not in self.static_nums)
        named = {k: v for k, v in kwargs.items() if k not in self.static_names}
        return Call(self, dynamic, named, tuple(statics), len(args))


class Static:
    """A static value in a cache key: equal in value and in type (1, 1.0 and True differ)."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Static)
            and type(self.value) is type(other.value)
            and bool(self.value == other.value)
        )

    def __repr__(self) -> str:
        return repr(self.value)


class Call:
    """One call: its dynamic arguments, and its static ones by position or name."""

    __slots__ = ("args", "kwargs", "num_args", "signature", "statics")

    def __init__(
        self,
        signature: Signature,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        statics: tuple[Any, ...],
        num_args: int,
    ):
        self.signature = signature
        self.args = args
        self.kwargs = kwargs
        self.statics = statics
        self.num_args = num_args

    def bind_statics(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        """`fun` as a function of the dynamic arguments alone."""
        if not self.statics:
            return fun
        by_position = {i: s.value for name, i, s in self.statics if not name}
        by_name = {name: s.value for name, _, s in self.statics if name}

        def bound(*args: Any, **kwargs: Any) -> Any:
            dynamic = iter(args)
            full = [
                by_position[i] if i in by_position else next(dynamic) for i in range(self.num_args)
            ]
            return fun(*full, **kwargs, **by_name)

        return bound

    def donated(self, in_tree: Any) -> tuple[bool, ...]:
        """Which leaves of the dynamic arguments are donated."""
        signature = self.signature
        if not signature.donate_nums and not signature.donate_names:
            return ()
        positions = [i for i in range(self.num_args) if i not in signature.static_nums]
        flags: list[bool] = []
        for i, arg in zip(positions, self.args):
            flags += [i in signature.donate_nums] * len(tree_util.tree_leaves(arg))
        for name in sorted(self.kwargs):
            count = len(tree_util.tree_leaves(self.kwargs[name]))
            flags += [name in signature.donate_names] * count
        return tuple(flags)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _parameters(fun: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(fun).parameters.values())
    except (ValueError, TypeError):
        return None


def debug_info(traced_for: str, fun: Callable[..., Any], in_tree: Any, name: str = "") -> DebugInfo:
    """Names of a function and of its flat arguments, for messages."""
    code = getattr(inspect.unwrap(fun) if hasattr(fun, "__wrapped__") else fun, "__code__", None)
    shown = name or getattr(fun, "__name__", repr(fun))
    where = f"{shown} at {code.co_filename}:{code.co_firstlineno}" if code is not None else shown
    info = DebugInfo(traced_for, shown, _arg_names(fun, in_tree))
    info.func_name = where if traced_for else shown
    return info


def _arg_names(fun: Callable[..., Any], in_tree: Any) -> tuple[str, ...] | None:
    parameters = _parameters(fun)
    if parameters is None or in_tree is None:
        return None
    try:
        args, kwargs = tree_util.tree_unflatten(in_tree, range(in_tree.num_leaves))
    except (ValueError, TypeError):
        return None
    order = [p.name for p in parameters if p.kind in _POSITIONAL]
    names = [
        (order[i] if i < len(order) else f"args[{i}]") + tree_util.keystr(path)
        for i, arg in enumerate(args)
        for path, _ in tree_util.tree_leaves_with_path(arg)
    ]
    names += [
        key + tree_util.keystr(path)
        for key in sorted(kwargs)
        for path, _ in tree_util.tree_leaves_with_path(kwargs[key])
    ]
    return tuple(names)


def normalize_argnums(argnums: Any, num_args: int) -> tuple[int, ...]:
    """Argument positions as a tuple of non-negative ints.

    Raises:
      ValueError: for a position the call does not have.
    """
    nums: Iterable[int] = (argnums,) if isinstance(argnums, int) else argnums
    out = []
    for n in nums:
        if not -num_args <= n < num_args:
            raise ValueError(
                f"Positional argument indices, e.g. for `argnums`, need to be less "
                f"than the number of positional arguments, got {n} for {num_args}"
            )
        out.append(n % num_args)
    return tuple(out)
