"""`checkpoint` (rematerialization): recompute in the backward pass rather than keep residuals."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from jaxc import tree_util
from jaxc.core.jaxpr import ClosedJaxpr, Jaxpr, convert_constvars, eval_jaxpr
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval, set_current_trace
from jaxc.transforms import ad, batching
from jaxc.transforms import partial_eval as pe
from jaxc.transforms.calls import batched_jaxpr, jvp_jaxpr, split_jaxpr, transpose_jaxpr
from jaxc.transforms.jit import trace_function
from jaxc.transforms.signature import Signature, debug_info
from jaxc.transforms.staging import trace_to_jaxpr

remat_p = primitive("remat2")


def checkpoint(
    fun: Callable[..., Any] | None = None,
    *,
    prevent_cse: bool = True,
    policy: Any = None,
    static_argnums: Any = (),
    concrete: bool = False,
) -> Any:
    """A function whose intermediate values are recomputed when it is differentiated.

    Args:
      fun: the function.
      prevent_cse: keep the compiler from undoing it by common-subexpression elimination.
      policy: which intermediates may be kept (see `checkpoint_policies`); None keeps none.
      static_argnums: positions of arguments that are Python values.

    Returns:
      A function with the same results.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> float(jax.grad(jax.checkpoint(lambda x: jnp.sin(jnp.sin(x))))(0.0))
      1.0
    """
    if fun is None:
        return functools.partial(
            checkpoint, prevent_cse=prevent_cse, policy=policy, static_argnums=static_argnums
        )
    if concrete:
        raise NotImplementedError("The 'concrete' option to jax.checkpoint is not supported.")
    signature = Signature(fun, static_argnums or None, None, None, None)

    @functools.wraps(fun)
    def remat(*args: Any, **kwargs: Any) -> Any:
        call = signature.resolve(args, kwargs)
        flat, in_tree = tree_util.tree_flatten((call.args, call.kwargs))
        info = debug_info("checkpoint / remat", fun, in_tree)
        closed, out_tree = trace_function(
            call.bind_statics(fun), in_tree, [get_aval(x) for x in flat], info
        )
        outs = remat_p.bind(
            *closed.consts,
            *flat,
            jaxpr=convert_constvars(closed.jaxpr),
            prevent_cse=prevent_cse,
            differentiated=False,
            policy=policy,
        )
        return tree_util.tree_unflatten(out_tree, outs)

    return remat


def _closed(jaxpr: Jaxpr) -> ClosedJaxpr:
    """One ClosedJaxpr for each jaxpr, so that what is derived from it is remembered."""
    found = _wrapped.get(jaxpr)
    if found is None:
        found = _wrapped[jaxpr] = ClosedJaxpr(jaxpr, ())
    return found


_wrapped: weakref.WeakKeyDictionary[Jaxpr, ClosedJaxpr] = weakref.WeakKeyDictionary()


def _bind(closed: ClosedJaxpr, args: Any, params: dict) -> list[Any]:
    return remat_p.bind(
        *closed.consts, *args, **(params | {"jaxpr": convert_constvars(closed.jaxpr)})
    )


def remat_impl(*args: Any, jaxpr: Jaxpr, **_: Any) -> list[Any]:
    return eval_jaxpr(jaxpr, (), *args)


remat_p.impl = remat_impl


def remat_jvp(primals: Any, tangents: Any, *, jaxpr: Jaxpr, **params: Any) -> Any:
    nonzero = [type(t) is not ad.Zero for t in tangents]
    jvp, nonzero_out = jvp_jaxpr(_closed(jaxpr), nonzero)
    args = [*primals, *(t for t in tangents if type(t) is not ad.Zero)]
    outs = _bind(jvp, args, params)
    n = len(jaxpr.outvars)
    dots = iter(outs[n:])
    avals = [ad.tangent_aval(a) for a in jaxpr.out_avals]
    return outs[:n], [next(dots) if nz else ad.Zero(a) for nz, a in zip(nonzero_out, avals)]


ad.primitive_jvps[remat_p] = remat_jvp


def remat_partial_eval(split: pe.SplitTrace, args: Any, params: dict) -> list[Any]:
    """Known results are computed now; the unknown part recomputes what it needs of them."""
    jaxpr = params["jaxpr"]
    if params["policy"] is everything_saveable:
        with set_current_trace(split):
            return eval_jaxpr(jaxpr, (), *args)
    known_args, unknown = pe.known_values(split, args)
    parts = pe.partial_eval_jaxpr(_closed(jaxpr), unknown)
    known_n = len(parts.known.out_avals) - parts.num_residuals
    with set_current_trace(split.parent):
        known = pe.dce_jaxpr(
            parts.known.jaxpr, [i < known_n for i in range(len(parts.known.out_avals))], True
        )[0]
        outs = eval_jaxpr(known, parts.known.consts, *known_args)
    if not any(parts.out_unknown):
        return pe.merge(parts.out_unknown, outs, [])
    rest, used = pe.dce_jaxpr(jaxpr, parts.out_unknown)
    with set_current_trace(split.unknown):
        unknown_outs = remat_p.bind(
            *(a for a, u in zip(args, used) if u),
            **(params | {"jaxpr": rest, "differentiated": True}),
        )
    return pe.merge(parts.out_unknown, outs, unknown_outs)


pe.partial_eval_rules[remat_p] = remat_partial_eval


def remat_transpose(cts: Any, *args: Any, jaxpr: Jaxpr, **params: Any) -> list[Any]:
    linear = [ad.is_undefined_primal(a) for a in args]
    nonzero = [type(ct) is not ad.Zero for ct in cts]
    back, nonzero_out = _recompute_and_transpose(_closed(jaxpr), linear, nonzero)
    given = [a for a, lin in zip(args, linear) if not lin]
    given += [ct for ct in cts if type(ct) is not ad.Zero]
    outs = iter(_bind(back, given, params))
    flags = iter(nonzero_out)
    return [
        None if not lin else next(outs) if next(flags) else ad.Zero(ad.tangent_aval(v.aval))
        for lin, v in zip(linear, jaxpr.invars)
    ]


def _recompute_and_transpose(closed: ClosedJaxpr, linear: Any, nonzero: Any) -> Any:
    """The transposed jaxpr; what does not depend on linear arguments is computed in it first."""
    parts = split_jaxpr(closed, linear, True)
    n = parts.num_residuals
    back, nonzero_out = transpose_jaxpr(parts.unknown, [False] * n + [True] * sum(linear), nonzero)
    known_avals = parts.known.in_avals

    def fun(*args: Any) -> list[Any]:
        residuals = eval_jaxpr(parts.known.jaxpr, parts.known.consts, *args[: len(known_avals)])
        return eval_jaxpr(back.jaxpr, back.consts, *residuals, *args[len(known_avals) :])

    return trace_to_jaxpr(fun, [*known_avals, *back.in_avals[n:]]), nonzero_out


ad.primitive_transposes[remat_p] = remat_transpose


def remat_batch(axis: Any, args: Any, dims: Any, *, jaxpr: Jaxpr, **params: Any) -> Any:
    batched, out_batched = batched_jaxpr(_closed(jaxpr), axis, [d is not None for d in dims])
    args = [batching.moveaxis(a, d, 0) if d is not None else a for a, d in zip(args, dims)]
    return _bind(batched, args, params), [0 if b else None for b in out_batched]


batching.axis_primitive_batchers[remat_p] = remat_batch


def remat_dce(used: list[bool], eqn: Any) -> tuple[list[bool], Any]:
    jaxpr, used_in = pe.dce_jaxpr(eqn.params["jaxpr"], used)
    return used_in, eqn.replace(
        invars=[v for v, u in zip(eqn.invars, used_in) if u],
        outvars=[v for v, u in zip(eqn.outvars, used) if u],
        params=eqn.params | {"jaxpr": jaxpr},
    )


pe.dce_rules[remat_p] = remat_dce


# ---- policies -----------------------------------------------------------------------------------
# What may be kept. Only the two extremes change what is recomputed here; the others keep nothing,
# which costs time but never memory or a different result.


def everything_saveable(*_: Any, **__: Any) -> bool:
    """Keep every intermediate: no recomputation."""
    return True


def nothing_saveable(*_: Any, **__: Any) -> bool:
    """Keep none: recompute all (the default)."""
    return False


def dots_saveable(prim: Any, *_: Any, **__: Any) -> bool:
    """Results of contractions may be kept."""
    return prim.name in ("dot_general", "conv_general_dilated")


def dots_with_no_batch_dims_saveable(prim: Any, *_: Any, **params: Any) -> bool:
    """Results of contractions without batch dimensions may be kept."""
    return prim.name == "dot_general" and not params["dimension_numbers"][1][0]


class checkpoint_policies:
    """The policies by JAX's names (`jax.checkpoint_policies`)."""

    everything_saveable = staticmethod(everything_saveable)
    nothing_saveable = staticmethod(nothing_saveable)
    dots_saveable = staticmethod(dots_saveable)
    checkpoint_dots = staticmethod(dots_saveable)
    dots_with_no_batch_dims_saveable = staticmethod(dots_with_no_batch_dims_saveable)
    checkpoint_dots_with_no_batch_dims = staticmethod(dots_with_no_batch_dims_saveable)
