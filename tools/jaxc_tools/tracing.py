"""Functions traced as `jit` traces them: what the commands show, explain and compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jaxc
from jaxc import tree_util
from jaxc.core.jaxpr import ClosedJaxpr
from jaxc.transforms.jit import JitFunction
from jaxc_tools.loading import load_function, user_error
from jaxc_tools.specs import ArgSpec, parse_args, parse_positions


@dataclass(frozen=True)
class Traced:
    """A function at the shapes of some arguments.

    Attributes:
      function: what was traced.
      name: its name.
      closed: its jaxpr.
      donated: for each input, whether its memory may be overwritten.
      results: the shapes of its results, nested as they are.
    """

    function: Any
    name: str
    closed: ClosedJaxpr
    donated: tuple[bool, ...]
    results: Any


def trace(fn: Callable[..., Any], arguments: Sequence[Any], donate: Sequence[int] = ()) -> Traced:
    """Trace a function on the shapes of its arguments.

    Args:
      fn: of arrays, jitted or not.
      arguments: arrays, or `ArgSpec`s and other things with a shape and a dtype in their place.
      donate: positions of donated arguments; if none, those a jitted function donates itself.

    Raises:
      TypeError: for a function with static arguments: what is traced takes arrays only.
    """
    _reject_statics(fn, len(arguments))
    jitted = fn
    if donate or not isinstance(fn, JitFunction):
        jitted = jaxc.jit(fn, donate_argnums=tuple(donate))
    found = jitted.trace(*shapes_of(arguments))
    flags = tuple(info.donated for info in tree_util.tree_leaves(found.args_info))
    return Traced(fn, found.fun_name, found.jaxpr, flags, found.out_info)


def _reject_statics(fn: Callable[..., Any], count: int) -> None:
    statics = fn._signature.static_nums if isinstance(fn, JitFunction) else ()
    for number in statics:
        if number < count:
            raise TypeError(f"argument {number} is static: expected a function of arrays only")


def trace_reference(source: str, arguments: str, donate: str = "") -> Traced:
    """Load `file.py:function` and trace it.

    Args:
      source: the function.
      arguments: the shapes of its arguments (see `specs.parse_args`).
      donate: positions of donated arguments (see `specs.parse_positions`).

    Raises:
      UsageError: if it cannot be loaded or traced.
    """
    specs, positions = parse_args(arguments), parse_positions(donate)
    function = load_function(source)
    try:
        return trace(function, specs, positions)
    except Exception as error:  # whatever the user's function raises is one line for the user
        raise user_error(error, source.rpartition(":")[0]) from None


def shapes_of(arguments: Sequence[Any]) -> Any:
    """The arguments with a shape in the place of each array or `ArgSpec`."""
    return tree_util.tree_map(_shape_of, tuple(arguments), is_leaf=is_spec)


def is_spec(value: Any) -> bool:
    """Whether a value stands for an array in nested arguments."""
    return isinstance(value, ArgSpec)


def _shape_of(value: Any) -> Any:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return jaxc.ShapeDtypeStruct(value.shape, value.dtype)
    return value
