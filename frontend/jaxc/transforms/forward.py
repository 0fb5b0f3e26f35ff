"""Forward mode as users call it: `jvp`, `linearize`, `linear_transpose`."""

from __future__ import annotations

from typing import Any

from jaxc import tree_util
from jaxc.core.array import Array, as_array
from jaxc.core.trace import Tracer, get_aval
from jaxc.transforms import ad
from jaxc.transforms.arguments import (
    Fun,
    check_callable,
    check_primal,
    concrete_leaf,
    instantiate,
    split_arrays,
    split_aux,
    wraps,
)
from jaxc.transforms.jit import trace_function
from jaxc.transforms.jvp import jvp_flat
from jaxc.transforms.reverse import vjp_of
from jaxc.transforms.signature import debug_info
from jaxc_compiler.opset.avals import float0


def jvp(fun: Fun, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """The value of a function and its directional derivative.

    Args:
      fun: the function.
      primals: tuple of arguments.
      tangents: tuple of tangents, of the arguments' structure, shapes and dtypes.

    Returns:
      `(value, tangent)`, or `(value, tangent, aux)` with `has_aux`.

    Raises:
      TypeError: if tangents do not fit the primals.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> [float(v) for v in jax.jvp(jnp.sin, (0.0,), (1.0,))]
      [0.0, 1.0]
    """
    check_callable(fun)
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise TypeError(
            "primal and tangent arguments to jax.jvp must be tuples or lists; found "
            f"{type(primals).__name__} and {type(tangents).__name__}."
        )
    ps, tree = tree_util.tree_flatten(tuple(primals))
    ts, t_tree = tree_util.tree_flatten(tuple(tangents))
    if tree != t_tree:
        raise TypeError(
            "primal and tangent arguments to jax.jvp must have the same tree "
            f"structure; primals have tree structure {tree} whereas tangents have "
            f"tree structure {t_tree}."
        )
    pairs = [_check_tangent(p, t) for p, t in zip(ps, ts)]
    found: list[Any] = []

    def flat_fun(*xs: Any) -> list[Any]:
        result = fun(*tree_util.tree_unflatten(tree, xs))
        aux: Any = ()
        if has_aux:
            result, aux = split_aux(result)
        leaves, out_tree = tree_util.tree_flatten(result)
        aux_arrays, rebuild = split_arrays(aux)
        found[:] = [out_tree, rebuild, len(leaves)]
        return [x if isinstance(x, Tracer | Array) else as_array(x) for x in (*leaves, *aux_arrays)]

    outs, outs_dot = jvp_flat(flat_fun, [p for p, _ in pairs], [t for _, t in pairs])
    out_tree, rebuild, n = found
    dots = [instantiate(t, get_aval(o)) for t, o in zip(outs_dot[:n], outs[:n])]
    value = tree_util.tree_unflatten(out_tree, outs[:n])
    tangent = tree_util.tree_unflatten(out_tree, dots)
    if has_aux:
        return value, tangent, rebuild(outs[n:])
    return value, tangent


def _check_tangent(p: Any, t: Any) -> tuple[Any, Any]:
    check_primal("jvp", p)
    aval, got = ad.tangent_aval(get_aval(p)), get_aval(t)
    if aval.dtype != got.dtype:
        raise TypeError(
            "primal and tangent arguments to jax.jvp do not match; dtypes must be "
            "equal, or in case of int/bool primal dtype the tangent dtype must be "
            f"float0. Got primal dtype {get_aval(p).dtype.name} and so expected "
            f"tangent dtype {aval.dtype}, but got tangent dtype {got.dtype.name} "
            "instead."
        )
    if aval.shape != got.shape:
        raise ValueError(
            "jvp called with different primal and tangent shapes; Got primal shape "
            f"{aval.shape} and tangent shape as {got.shape}"
        )
    if aval.dtype == float0:
        return concrete_leaf(p), ad.Zero(aval)
    return concrete_leaf(p), concrete_leaf(t)


def linearize(fun: Fun, *primals: Any, has_aux: bool = False) -> Any:
    """The value of a function and its derivative there as a linear function of tangents.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> y, df = jax.linearize(jnp.sin, 0.0)
      >>> float(df(2.0))
      2.0
    """
    check_callable(fun)
    out = vjp_of(fun, primals, has_aux)
    pullback = out[1]
    linear, in_tree, out_tree = pullback._linear, pullback.in_tree, pullback.out_tree

    def pushforward(*tangents: Any) -> Any:
        flat, tree = tree_util.tree_flatten(tuple(tangents))
        if tree != in_tree:
            raise ValueError(
                f"linearized function called with arguments of structure {tree}, expected {in_tree}"
            )
        for t, aval in zip(flat, linear.in_avals):
            got = get_aval(t)
            if got.shape != aval.shape or got.dtype != aval.dtype:
                raise ValueError(
                    "linearized function called on tangent values inconsistent with "
                    f"the original primal values: got {got.str_short()}, expected "
                    f"{aval.str_short()}"
                )
        outs = linear.apply([concrete_leaf(t) for t in flat])
        return tree_util.tree_unflatten(out_tree, outs)

    partial = tree_util.Partial(wraps(fun)(pushforward))
    return (out[0], partial, out[2]) if has_aux else (out[0], partial)


def linear_transpose(fun: Fun, *primals: Any, reduce_axes: Any = ()) -> Fun:
    """The transpose of a linear function, given example arguments (or their avals)."""
    flat, tree = tree_util.tree_flatten(tuple(primals))
    in_avals = [get_aval(x) for x in flat]
    full_tree = tree_util.treedef_tuple([tree, tree_util.tree_structure({})])
    closed, out_tree = trace_function(fun, full_tree, in_avals, debug_info("", fun, None))
    from jaxc.transforms.transpose import backward_pass

    def transposed(cotangent: Any) -> Any:
        cts, ct_tree = tree_util.tree_flatten(cotangent)
        if ct_tree != out_tree:
            raise TypeError(
                "cotangent tree does not match function output, expected "
                f"{out_tree} but got {ct_tree}"
            )
        for ct, aval in zip(cts, closed.out_avals):
            got = get_aval(ct)
            if got.shape != aval.shape or got.dtype != aval.dtype:
                raise TypeError(
                    "cotangent type does not match function output, expected "
                    f"{aval.str_short()} but got {got.str_short()}"
                )
        args = [ad.UndefinedPrimal(a) for a in in_avals]
        outs = backward_pass(closed.jaxpr, closed.consts, args, [concrete_leaf(c) for c in cts])
        return tree_util.tree_unflatten(tree, [ad.instantiate_zeros(o) for o in outs])

    return transposed
