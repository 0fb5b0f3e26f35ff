"""Tracing the functions that control-flow operations take, and rearranging their jaxprs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxc import tree_util
from jaxc.core.jaxpr import ClosedJaxpr, JaxprEqn, Var, convert_constvars
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.transforms.jit import trace_function
from jaxc.transforms.signature import debug_info
from jaxc_compiler.opset.avals import ShapedArray, typematch


def trace_body(
    name: str, fun: Callable[..., Any], args_tree: Any, avals: Sequence[ShapedArray]
) -> tuple[ClosedJaxpr, list[Any], Any]:
    """Trace `fun(*args)`; values it closes over become leading arguments.

    Returns:
      The jaxpr without constants, those constants, and the structure of the results.
    """
    in_tree = tree_util.treedef_tuple([args_tree, tree_util.tree_structure({})])
    closed, out_tree = trace_function(fun, in_tree, avals, debug_info(name, fun, in_tree))
    if not closed.consts:
        return closed, [], out_tree
    return ClosedJaxpr(convert_constvars(closed.jaxpr), ()), closed.consts, out_tree


def avals_of(xs: Sequence[Any]) -> list[ShapedArray]:
    return [get_aval(x) for x in xs]


def rearrange(
    closed: ClosedJaxpr, inputs: Sequence[int] | None = None, outputs: Sequence[int] | None = None
) -> ClosedJaxpr:
    """The jaxpr with its arguments and results in another order (input i is old `inputs[i]`)."""
    jaxpr = closed.jaxpr
    invars = jaxpr.invars if inputs is None else [jaxpr.invars[i] for i in inputs]
    outvars = jaxpr.outvars if outputs is None else [jaxpr.outvars[i] for i in outputs]
    return ClosedJaxpr(jaxpr.replace(invars=invars, outvars=outvars), closed.consts)


def open_consts(closed: ClosedJaxpr) -> tuple[ClosedJaxpr, list[Any]]:
    """The jaxpr with its constants as leading arguments, and the constants."""
    if not closed.consts:
        return closed, []
    return ClosedJaxpr(convert_constvars(closed.jaxpr), ()), closed.consts


def with_unused_args(closed: ClosedJaxpr, avals: Sequence[ShapedArray], at: int) -> ClosedJaxpr:
    """The jaxpr with arguments it ignores inserted at position `at`."""
    invars = list(closed.jaxpr.invars)
    invars[at:at] = [Var(a) for a in avals]
    return ClosedJaxpr(closed.jaxpr.replace(invars=invars), closed.consts)


def convert_outputs(closed: ClosedJaxpr, avals: Sequence[ShapedArray]) -> ClosedJaxpr:
    """The jaxpr with results converted to the given dtypes and weak types where they differ."""
    jaxpr = closed.jaxpr
    if all(v.aval == a for v, a in zip(jaxpr.outvars, avals)):
        return closed
    eqns, outvars = list(jaxpr.eqns), []
    for atom, aval in zip(jaxpr.outvars, avals):
        if atom.aval == aval:
            outvars.append(atom)
            continue
        var = Var(aval)
        params = {"new_dtype": aval.dtype, "weak_type": aval.weak_type, "sharding": None}
        eqns.append(JaxprEqn([atom], [var], primitive("convert_element_type"), params))
        outvars.append(var)
    return ClosedJaxpr(jaxpr.replace(eqns=eqns, outvars=outvars), closed.consts)


def join_weak_types(all_avals: Sequence[Sequence[ShapedArray]]) -> list[ShapedArray]:
    """For each position the aval, weak only if it is weak in every list."""
    return [avals[0].update(weak_type=all(a.weak_type for a in avals)) for avals in zip(*all_avals)]


def promote_weak(init: Sequence[Any], before: Sequence[Any], after: Sequence[Any]) -> Any:
    """Weakly typed initial values converted to the dtypes the body returns.

    Returns:
      The new initial values, or None if there is nothing to convert.
    """
    from jaxc.core import dtypes

    changed, new = False, []
    for x, a, b in zip(init, before, after):
        if (
            not typematch(a, b)
            and a.weak_type
            and a.shape == b.shape
            and (dtypes.promote_types(a.dtype, b.dtype) == b.dtype)
        ):
            changed = True
            x = primitive("convert_element_type").bind(
                x, new_dtype=b.dtype, weak_type=False, sharding=None
            )
        new.append(x)
    return new if changed else None


def describe_mismatch(
    what: str, in_tree: Any, out_tree: Any, before: Sequence[Any], after: Sequence[Any]
) -> str:
    """Why a carry's types do not agree, leaf by leaf."""
    if in_tree != out_tree:
        return f"{what} must have the same pytree structure: {in_tree} before, {out_tree} after."
    paths = tree_util.tree_leaves_with_path(
        tree_util.tree_unflatten(in_tree, range(in_tree.num_leaves))
    )
    lines = [
        f"  * {'the carry' + tree_util.keystr(p)} has type {a.str_short()} before and "
        f"{b.str_short()} after"
        for (p, _), a, b in zip(paths, before, after)
        if not typematch(a, b)
    ]
    return "\n".join(
        [f"{what} must have equal types (shapes and dtypes), but they differ:", *lines]
    )
