"""`jit`: trace once for each signature, compile, then call the executable.

The call path of a signature seen before is one dictionary lookup on interned avals and one call of
the executable. Owns the `jit` primitive and its rules.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from jaxc import tree_util
from jaxc.core.array import Array, as_array
from jaxc.core.config import config
from jaxc.core.jaxpr import ClosedJaxpr, DebugInfo, Literal, convert_constvars, eval_jaxpr
from jaxc.core.primitive import primitive
from jaxc.core.trace import _state, eval_trace, get_aval
from jaxc.transforms import ad, batching, compiling
from jaxc.transforms import partial_eval as pe
from jaxc.transforms.signature import Signature, debug_info
from jaxc.transforms.staging import JaxprTrace, trace_to_jaxpr

jit_p = primitive("jit")


# ---- the flags a trace depends on, kept as one key per thread ---------------------------------


class _Flags(threading.local):
    version = -1
    key: Any = None


_flags = _Flags()
_version = [0]  # of the flags: a list, so that reading it on the call path is one index


def _flags_changed() -> None:
    _version[0] += 1


config.on_change(_flags_changed)


def flags_key() -> Any:
    if _flags.version != _version[0]:
        _flags.key = config.trace_context()
        _flags.version = _version[0]
    return _flags.key


# ---- tracing ----------------------------------------------------------------------------------


class Traced:
    """One signature of a jitted function: its jaxpr, result structure and compiled program."""

    __slots__ = ("closed", "donated", "effects", "name", "out_tree", "program", "single")

    def __init__(self, closed: ClosedJaxpr, out_tree: Any, name: str, donated: tuple[bool, ...]):
        self.closed = closed
        self.out_tree = out_tree
        self.name = name
        self.donated = donated
        self.program: compiling.Program | None = None
        self.single = out_tree == _leaf_tree

    def run(self, flat: Sequence[Array]) -> Any:
        program = self.program
        if program is None:
            program = self.program = compiling.program_of(self.closed, self.donated, self.name)
        outs = program(flat)
        if program.donated:
            for i in program.donated:
                flat[i].delete()
        if self.single:
            return outs[0]
        return tree_util.tree_unflatten(self.out_tree, outs)


    def direct(self) -> Callable[[Any], Any]:
        """`run` by the shortest path there is (after it has run once)."""
        short = self.program.direct() if self.program and self.single else None
        return short or self.run


_leaf_tree = tree_util.tree_structure(0)


def trace_function(
    fun: Callable[..., Any], in_tree: Any, in_avals: Sequence[Any], info: DebugInfo
) -> tuple[ClosedJaxpr, Any]:
    """Trace `fun(*args, **kwargs)`, its arguments given as `in_tree` of avals.

    Returns:
      The closed jaxpr and the structure of the results.
    """
    found: list[Any] = []

    def flat_fun(*flat: Any) -> list[Any]:
        args, kwargs = tree_util.tree_unflatten(in_tree, flat)
        leaves, out_tree = tree_util.tree_flatten(fun(*args, **kwargs))
        found.append(out_tree)
        for path, leaf in enumerate(leaves):
            _check_result(leaf, path, out_tree, info)
        return leaves

    closed = trace_to_jaxpr(flat_fun, in_avals, info)
    return closed, found[0]


def _check_result(leaf: Any, index: int, out_tree: Any, info: DebugInfo) -> None:
    try:
        get_aval(leaf)
    except TypeError:
        paths = tree_util.tree_leaves_with_path(
            tree_util.tree_unflatten(out_tree, range(out_tree.num_leaves))
        )
        where = tree_util.keystr(paths[index][0])
        raise TypeError(
            f"function {info.func_name} traced for {info.traced_for or 'jit'} returned a value of "
            f"type {type(leaf)} at output component {'result' + where}, which is not a valid JAX "
            "type"
        ) from None


def valid_leaf_aval(leaf: Any, fun_name: str) -> Any:
    try:
        return get_aval(leaf)
    except TypeError:
        raise TypeError(
            f"Error interpreting argument to {fun_name} as an abstract array. The problematic "
            f"value is of type {type(leaf)}. Mark non-array arguments with static_argnums or "
            "static_argnames."
        ) from None


# ---- the jitted function ---------------------------------------------------------------------


class JitFunction:
    """What `jit` returns: callable, with `.lower`, `.trace`, `.eval_shape`, `.clear_cache`."""

    def __init__(self, fun: Callable[..., Any], signature: Signature, inline: bool = False,
                 keep_unused: bool = False, name: str | None = None):
        functools.update_wrapper(self, fun)
        self._fun = fun
        self._signature = signature
        self._inline = inline
        self._keep_unused = keep_unused
        self._name = name or getattr(fun, "__name__", type(fun).__name__)
        self._direct: dict[Any, Callable[[Any], Any]] = {}
        self._direct_version = -1
        self._by_signature: dict[Any, Traced] = {}
        self._plain = signature.plain

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # Arrays only, of avals seen before, under the flags of then: one lookup and one call.
        if not kwargs and self._direct_version == _version[0] and _state.trace is eval_trace:
            try:
                run = self._direct[tuple([a.aval for a in args])]
            except (KeyError, AttributeError):
                return self._call(args, kwargs)
            return run(args)
        return self._call(args, kwargs)

    def _remember(self, args: tuple[Any, ...], traced: Traced) -> None:
        """Let later calls with such arguments take the short path."""
        if config.overridden or not self._plain or not all(type(a) is Array for a in args):
            return
        if self._direct_version != _version[0]:
            self._direct.clear()
            self._direct_version = _version[0]
        self._direct[tuple([a.aval for a in args])] = traced.direct()

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if config.jax_disable_jit:
            return self._fun(*args, **kwargs)
        traced, flat = self._trace(args, kwargs)
        if _state.trace is eval_trace:
            arrays = [as_array(x) for x in flat]
            out = traced.run(arrays)
            if not kwargs:
                self._remember(args, traced)
            return out
        if self._inline:
            outs = eval_jaxpr(traced.closed.jaxpr, traced.closed.consts, *flat)
        else:
            outs = bind_jit(traced.closed, flat, traced.name, traced.donated, self._keep_unused)
        return tree_util.tree_unflatten(traced.out_tree, outs)

    def _trace(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Traced, list[Any]]:
        call = self._signature.resolve(args, kwargs)
        flat, in_tree = tree_util.tree_flatten((call.args, call.kwargs))
        avals = [valid_leaf_aval(x, self._name) for x in flat]
        key = (in_tree, tuple(avals), call.statics, flags_key(), _axis_key())
        try:
            found = self._by_signature.get(key)
        except TypeError:
            raise ValueError(
                f"Non-hashable static arguments are used in a jit function {self._name}: "
                f"{call.statics}. Static arguments must be hashable."
            ) from None
        if found is None:
            found = self._trace_new(call, in_tree, avals)
            if not any(map(_is_tracer, found.closed.consts)):
                self._by_signature[key] = found
        return found, flat

    def _trace_new(self, call: Any, in_tree: Any, avals: list[Any]) -> Traced:
        info = debug_info("jit", self._fun, in_tree, self._name)
        fun = call.bind_statics(self._fun)
        closed, out_tree = trace_function(fun, in_tree, avals, info)
        donated = call.donated(in_tree)
        return Traced(closed, out_tree, self._name, donated)

    # ---- ahead of time

    def trace(self, *args: Any, **kwargs: Any) -> Any:
        """Trace at the given arguments (arrays or ShapeDtypeStructs): `.jaxpr`, `.lower()`."""
        from jaxc.transforms import stages

        traced, flat = self._trace(args, kwargs)
        in_tree = tree_util.tree_structure((args, kwargs))
        return stages.Traced(traced, in_tree, [get_aval(x) for x in flat], self._signature)

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """Lower for the given arguments: `.as_text(dialect)`, `.compile()`."""
        return self.trace(*args, **kwargs).lower()

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Shapes and dtypes of the results, without computing anything."""
        return self.trace(*args, **kwargs).out_info

    def clear_cache(self) -> None:
        """Forget every trace and executable of this function."""
        self._direct.clear()
        self._by_signature.clear()

    def _cache_size(self) -> int:
        return len(self._by_signature)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<PjitFunction of {self._fun!r}>"


_all_functions: weakref.WeakSet[JitFunction] = weakref.WeakSet()


def _is_tracer(x: Any) -> bool:
    from jaxc.core.trace import Tracer

    return isinstance(x, Tracer)


def _axis_key() -> Any:
    return tuple(_state.axis_env.items()) if _state.axis_env else ()


def jit(
    fun: Callable[..., Any] | None = None, /, *, static_argnums: Any = None,
    static_argnames: Any = None, donate_argnums: Any = None, donate_argnames: Any = None,
    keep_unused: bool = False, inline: bool = False, device: Any = None, backend: Any = None,
    in_shardings: Any = None, out_shardings: Any = None, abstracted_axes: Any = None,
    compiler_options: Any = None,
) -> Any:
    """Compile a function of arrays.

    Args:
      fun: a pure function of pytrees of arrays.
      static_argnums: positions of arguments that are Python values: one compilation for each.
      static_argnames: names of such arguments.
      donate_argnums: positions of arguments whose storage the results may take over.
      donate_argnames: names of such arguments.
      keep_unused: keep arguments that the function does not use.
      inline: when traced, insert the operations rather than one `jit` equation.

    Returns:
      A function with the same signature.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.jit(lambda x: jnp.sum(x * x))(jnp.arange(3.0))
      Array(5., dtype=float32)
    """
    if fun is None:
        return functools.partial(
            jit, static_argnums=static_argnums, static_argnames=static_argnames,
            donate_argnums=donate_argnums, donate_argnames=donate_argnames,
            keep_unused=keep_unused, inline=inline,
        )  # fmt: skip
    if not callable(fun):
        raise TypeError(f"Expected a callable value, got {fun!r}")
    signature = Signature(fun, static_argnums, static_argnames, donate_argnums, donate_argnames)
    jitted = JitFunction(fun, signature, inline, keep_unused)
    _all_functions.add(jitted)
    return jitted


def jnp_jit(
    fun: Callable[..., Any] | None = None, *, static_argnames: Any = (), static_argnums: Any = None,
    inline: bool = False, name: str | None = None,
) -> Any:
    """A library function that shows as one `jit` equation in jaxprs and runs eagerly otherwise."""
    if fun is None:
        return functools.partial(jnp_jit, static_argnames=static_argnames,
                                 static_argnums=static_argnums, inline=inline, name=name)
    signature = Signature(fun, static_argnums, static_argnames, None, None)
    jitted = JitFunction(fun, signature, inline, name=name)

    @functools.wraps(fun)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not is_staging():
            return fun(*args, **kwargs)
        return jitted._call(args, kwargs)

    return call


def is_staging() -> bool:
    """Whether operations end up in a jaxpr (however many transformations are in between)."""
    trace = _state.trace
    while trace is not eval_trace:
        if isinstance(trace, JaxprTrace):
            return True
        trace = trace.parent  # type: ignore[attr-defined]
    return False


def clear_caches() -> None:
    """Forget every trace and compiled program in this process (the disk cache stays)."""
    for fun in list(_all_functions):
        fun.clear_cache()
    compiling.clear_programs()
    for cache in (_jvp_cache, _split_cache, _transpose_cache, _batch_cache):
        cache.clear()


# ---- the primitive ---------------------------------------------------------------------------


def bind_jit(
    closed: ClosedJaxpr, args: Sequence[Any], name: str, donated: Sequence[bool] = (),
    keep_unused: bool = False,
) -> list[Any]:
    """Call a jaxpr as one operation; its constants become leading arguments."""
    if closed.consts:
        args = [*closed.consts, *args]
        donated = (False,) * len(closed.consts) + tuple(donated)
        closed = _without_consts(closed)
    return jit_p.bind(
        *args, jaxpr=closed, name=name, donated_invars=tuple(donated) or (False,) * len(args),
        inline=False, keep_unused=keep_unused,
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
           force if isinstance(force, bool) else tuple(force), _axis_key())  # fmt: skip
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
