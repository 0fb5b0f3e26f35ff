"""The `jit` primitive: calling a jaxpr as one operation, and its rules.

Also the jaxprs that are derived from a jaxpr (its JVP, transpose, batched form, known and unknown
parts), remembered for as long as it lives: control flow and `checkpoint` use them too.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from jaxc.core.array import as_array
from jaxc.core.jaxpr import ClosedJaxpr, Literal, convert_constvars, eval_jaxpr
from jaxc.core.primitive import primitive
from jaxc.core.trace import _state
from jaxc.transforms import ad, batching, compiling
from jaxc.transforms import partial_eval as pe
from jaxc.transforms.staging import trace_to_jaxpr
from jaxc.transforms.trace_key import axis_key, flags_key

jit_p = primitive("jit")


def bind_jit(
    closed: ClosedJaxpr,
    args: Sequence[Any],
    name: str,
    donated: Sequence[bool] = (),
    keep_unused: bool = False,
) -> list[Any]:
    """Call a jaxpr as one operation; its constants become leading arguments."""
    if closed.consts:
        args = [*closed.consts, *args]
        donated = (False,) * len(closed.consts) + tuple(donated)
        closed = _without_consts(closed)
    return jit_p.bind(
        *args,
        jaxpr=closed,
        name=name,
        donated_invars=tuple(donated) or (False,) * len(args),
        inline=False,
        keep_unused=keep_unused,
    )


def memoize(cache: weakref.WeakKeyDictionary, closed: ClosedJaxpr, key: Any, make: Any) -> Any:
    """`make()`, remembered for as long as the jaxpr lives."""
    found = cache.setdefault(closed, {})
    key = (key, flags_key())
    if key not in found:
        found[key] = make()
    return found[key]


_open_cache: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_jvp_cache: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_split_cache: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_transpose_cache: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_batch_cache: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _without_consts(closed: ClosedJaxpr) -> ClosedJaxpr:
    return memoize(_open_cache, closed, "open",
                   lambda: ClosedJaxpr(convert_constvars(closed.jaxpr), ()))  # fmt: skip


def jit_impl(*args: Any, jaxpr: ClosedJaxpr, name: str, donated_invars: Any, **_: Any) -> list[Any]:
    return compiling.program_of(jaxpr, (), name)([as_array(a) for a in args])


jit_p.impl = jit_impl


def jvp_jaxpr(
    closed: ClosedJaxpr, nonzero: Sequence[bool], instantiate: bool | Sequence[bool] = False
) -> tuple[ClosedJaxpr, list[bool]]:
    """The JVP of a jaxpr: takes primals then the nonzero tangents, gives results then tangents.

    Returns:
      The jaxpr, and which results have a nonzero tangent.
    """
    from jaxc.transforms.jvp import jvp_flat

    n = len(closed.in_avals)
    force = [instantiate] * len(closed.out_avals) if isinstance(instantiate, bool) else instantiate

    def make() -> Any:
        found: list[list[bool]] = []

        def fun(*args: Any) -> list[Any]:
            given = iter(args[n:])
            tangents = [
                next(given) if nz else ad.Zero(ad.tangent_aval(a))
                for nz, a in zip(nonzero, closed.in_avals)
            ]
            outs, outs_dot = jvp_flat(
                lambda *xs: eval_jaxpr(closed.jaxpr, closed.consts, *xs), args[:n], tangents
            )
            nonzero_out = [f or type(t) is not ad.Zero for f, t in zip(force, outs_dot)]
            found.append(nonzero_out)
            return outs + [ad.instantiate_zeros(t) for t, nz in zip(outs_dot, nonzero_out) if nz]

        avals = list(closed.in_avals)
        avals += [ad.tangent_aval(a) for a, nz in zip(closed.in_avals, nonzero) if nz]
        return trace_to_jaxpr(fun, avals, closed.jaxpr.debug_info), found[0]

    return memoize(_jvp_cache, closed, (tuple(nonzero), tuple(force)), make)


def jit_jvp(primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, name: str, **params: Any) -> Any:
    nonzero = [type(t) is not ad.Zero for t in tangents]
    jvp, nonzero_out = jvp_jaxpr(jaxpr, nonzero)
    args = [*primals, *(t for t in tangents if type(t) is not ad.Zero)]
    outs = bind_jit(jvp, args, name)
    n = len(jaxpr.out_avals)
    dots = iter(outs[n:])
    avals = [ad.tangent_aval(a) for a in jaxpr.out_avals]
    return outs[:n], [next(dots) if nz else ad.Zero(a) for nz, a in zip(nonzero_out, avals)]


ad.primitive_jvps[jit_p] = jit_jvp


def split_jaxpr(closed: ClosedJaxpr, unknown: Sequence[bool], instantiate: Any = False) -> pe.Split:
    key = (tuple(unknown), instantiate if isinstance(instantiate, bool) else tuple(instantiate))
    return memoize(_split_cache, closed, key,
                   lambda: pe.partial_eval_jaxpr(closed, unknown, instantiate))  # fmt: skip


def jit_partial_eval(split: pe.SplitTrace, args: Any, params: dict) -> list[Any]:
    """Two calls: the known part now, the unknown part with the first one's residuals."""
    jaxpr, name = params["jaxpr"], params["name"]
    known_args, unknown = pe.known_values(split, args)
    parts = split_jaxpr(jaxpr, unknown)
    known_outs = parts.known.out_avals
    outs: list[Any] = []
    if known_outs:
        before, _state.trace = _state.trace, split.parent
        try:
            outs = _bind_known(parts, known_args, name)
        finally:
            _state.trace = before
    n = len(outs) - parts.num_residuals
    rest = [a for a, u in zip(args, unknown) if u]
    unknown_outs: list[Any] = []
    if any(parts.out_unknown):
        before, _state.trace = _state.trace, split.unknown
        try:
            unknown_outs = bind_jit(parts.unknown, [*outs[n:], *rest], name)
        finally:
            _state.trace = before
    return pe.merge(parts.out_unknown, outs[:n], unknown_outs)


def _bind_known(parts: pe.Split, args: Sequence[Any], name: str) -> list[Any]:
    """The known part's call; results that are its arguments are passed around it."""
    closed = parts.known
    position = {v: i for i, v in enumerate(closed.jaxpr.invars)}
    forward = [position.get(v) if type(v) is not Literal else None for v in closed.jaxpr.outvars]
    if all(f is None for f in forward):
        return bind_jit(closed, args, name)
    pruned = memoize(_open_cache, closed, "forward", lambda: ClosedJaxpr(
        closed.jaxpr.replace(outvars=[
            v for v, f in zip(closed.jaxpr.outvars, forward) if f is None]),
        closed.consts))  # fmt: skip
    outs = iter(bind_jit(pruned, args, name))
    return [next(outs) if f is None else args[f] for f in forward]


pe.partial_eval_rules[jit_p] = jit_partial_eval


def transpose_jaxpr(
    closed: ClosedJaxpr, linear: Sequence[bool], nonzero_ct: Sequence[bool]
) -> tuple[ClosedJaxpr, list[bool]]:
    """A jaxpr of (non-linear arguments, nonzero cotangents) that gives the linear arguments'
    cotangents, and which of those are nonzero."""
    from jaxc.transforms.transpose import backward_pass

    def make() -> Any:
        found: list[list[bool]] = []
        res_avals = [a for a, lin in zip(closed.in_avals, linear) if not lin]
        ct_avals = [ad.tangent_aval(a) for a, nz in zip(closed.out_avals, nonzero_ct) if nz]

        def fun(*args: Any) -> list[Any]:
            residuals = iter(args[: len(res_avals)])
            given = iter(args[len(res_avals) :])
            full = [
                ad.UndefinedPrimal(a) if lin else next(residuals)
                for a, lin in zip(closed.in_avals, linear)
            ]
            cts = [
                next(given) if nz else ad.Zero(ad.tangent_aval(a))
                for a, nz in zip(closed.out_avals, nonzero_ct)
            ]
            outs = backward_pass(closed.jaxpr, closed.consts, full, cts)
            outs = [o for o, lin in zip(outs, linear) if lin]
            found.append([type(o) is not ad.Zero for o in outs])
            return [o for o in outs if type(o) is not ad.Zero]

        traced = trace_to_jaxpr(fun, res_avals + ct_avals, closed.jaxpr.debug_info)
        pruned, _ = pe.dce_closed(traced, [True] * len(traced.out_avals), True)
        return pruned, found[0]

    return memoize(_transpose_cache, closed, (tuple(linear), tuple(nonzero_ct)), make)


def jit_transpose(cts: Any, *args: Any, jaxpr: ClosedJaxpr, name: str, **params: Any) -> list[Any]:
    linear = [ad.is_undefined_primal(a) for a in args]
    nonzero = [type(ct) is not ad.Zero for ct in cts]
    back, nonzero_out = transpose_jaxpr(jaxpr, linear, nonzero)
    given = [a for a, lin in zip(args, linear) if not lin]
    given += [ct for ct in cts if type(ct) is not ad.Zero]
    outs = iter(bind_jit(back, given, name))
    flags = iter(nonzero_out)
    return [
        None if not lin else next(outs) if next(flags) else ad.Zero(ad.tangent_aval(aval))
        for lin, aval in zip(linear, jaxpr.in_avals)
    ]


ad.primitive_transposes[jit_p] = jit_transpose


def batched_jaxpr(closed: ClosedJaxpr, axis: Any, batched: Sequence[bool], force: Any = False):
    key = (axis.name, axis.size, tuple(batched),
           force if isinstance(force, bool) else tuple(force), axis_key())  # fmt: skip
    return memoize(_batch_cache, closed, key,
                   lambda: batching.batch_jaxpr(closed, axis, batched, force))  # fmt: skip


def jit_batch(axis: Any, args: Any, dims: Any, *, jaxpr: ClosedJaxpr, name: str, **params: Any):
    batched = [d is not None for d in dims]
    new, out_batched = batched_jaxpr(jaxpr, axis, batched)
    args = [batching.moveaxis(a, d, 0) if d is not None else a for a, d in zip(args, dims)]
    return bind_jit(new, args, name), [0 if b else None for b in out_batched]


batching.axis_primitive_batchers[jit_p] = jit_batch


def jit_dce(used: list[bool], eqn: Any) -> tuple[list[bool], Any]:
    closed = eqn.params["jaxpr"]
    if all(used):
        return [True] * len(eqn.invars), eqn
    jaxpr, used_in = pe.dce_jaxpr(closed.jaxpr, used)
    new = eqn.replace(
        invars=[v for v, u in zip(eqn.invars, used_in) if u],
        outvars=[v for v, u in zip(eqn.outvars, used) if u],
        params=eqn.params | {
            "jaxpr": ClosedJaxpr(jaxpr, closed.consts),
            "donated_invars": tuple(d for d, u in zip(eqn.params["donated_invars"], used_in) if u),
        },
    )  # fmt: skip
    return used_in, new


pe.dce_rules[jit_p] = jit_dce


def clear_derived() -> None:
    """Forget the derived jaxprs."""
    for cache in (_open_cache, _jvp_cache, _split_cache, _transpose_cache, _batch_cache):
        cache.clear()
