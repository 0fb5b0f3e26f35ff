"""Looking at functions without running them: `make_jaxpr`, `eval_shape`, `closure_convert`."""

from __future__ import annotations

from typing import Any

from jaxc import tree_util
from jaxc.core.trace import Tracer, extend_axis_env, get_aval
from jaxc.transforms.arguments import (
    Fun,
    check_callable,
    wraps,
)
from jaxc.transforms.jit import trace_function, valid_leaf_aval
from jaxc.transforms.signature import debug_info
from jaxc.transforms.stages import struct_of


def make_jaxpr(
    fun: Fun,
    static_argnums: Any = (),
    axis_env: Any = None,
    return_shape: bool = False,
    abstracted_axes: Any = None,
) -> Fun:
    """A function that gives the jaxpr of `fun` at its arguments.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.make_jaxpr(lambda x: jnp.sin(x) * 2.0)(1.0)
      { lambda ; a:f32[]. let b:f32[] = sin a; c:f32[] = mul b 2.0:f32[] in (c,) }
    """
    check_callable(fun)
    from jaxc.transforms.signature import Signature

    signature = Signature(fun, static_argnums or None, None, None, None)

    @wraps(fun)
    def jaxpr_maker(*args: Any, **kwargs: Any) -> Any:
        call = signature.resolve(args, kwargs)
        flat, in_tree = tree_util.tree_flatten((call.args, call.kwargs))
        avals = [valid_leaf_aval(x, getattr(fun, "__name__", str(fun))) for x in flat]
        contexts = [extend_axis_env(name, size) for name, size in axis_env or ()]
        info = debug_info("make_jaxpr", fun, in_tree)
        with _all(contexts):
            closed, out_tree = trace_function(call.bind_statics(fun), in_tree, avals, info)
        if not return_shape:
            return closed
        structs = [struct_of(a) for a in closed.out_avals]
        return closed, tree_util.tree_unflatten(out_tree, structs)

    jaxpr_maker.__name__ = f"make_jaxpr({getattr(fun, '__name__', fun)})"
    return jaxpr_maker


def _all(contexts: list[Any]) -> Any:
    from contextlib import ExitStack

    stack = ExitStack()
    for c in contexts:
        stack.enter_context(c)
    return stack


def eval_shape(fun: Fun, *args: Any, **kwargs: Any) -> Any:
    """Shapes and dtypes of a function's results, without computing anything.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.eval_shape(jnp.dot, jnp.ones((2, 3)), jax.ShapeDtypeStruct((3,), jnp.float32))
      ShapeDtypeStruct(shape=(2,), dtype=float32)
    """
    check_callable(fun)
    flat, in_tree = tree_util.tree_flatten((args, kwargs))
    avals = [valid_leaf_aval(x, getattr(fun, "__name__", str(fun))) for x in flat]
    closed, out_tree = trace_function(fun, in_tree, avals, debug_info("eval_shape", fun, in_tree))
    return tree_util.tree_unflatten(out_tree, [struct_of(a) for a in closed.out_avals])


def closure_convert(fun: Fun, *example_args: Any) -> tuple[Fun, list[Any]]:
    """A function without captured tracers, and the captured values to pass it as more arguments."""
    flat, tree = tree_util.tree_flatten(example_args)
    in_tree = tree_util.treedef_tuple([tree, tree_util.tree_structure({})])
    avals = [get_aval(x) for x in flat]
    closed, out_tree = trace_function(fun, in_tree, avals, debug_info("", fun, in_tree))
    hoist = [isinstance(c, Tracer) for c in closed.consts]
    hoisted = [c for c, h in zip(closed.consts, hoist) if h]
    n = len(hoisted)

    def converted(*args: Any) -> Any:
        from jaxc.core.jaxpr import eval_jaxpr

        given = iter(args[len(args) - n :] if n else ())
        consts = [next(given) if h else c for c, h in zip(closed.consts, hoist)]
        leaves = tree_util.tree_leaves(args[: len(args) - n] if n else args)
        return tree_util.tree_unflatten(out_tree, eval_jaxpr(closed.jaxpr, consts, *leaves))

    return converted, hoisted
