"""`jit`: trace once for each signature, compile, then call the executable.

The call path of a signature seen before is one dictionary lookup on interned avals and one call of
the executable. Owns the `jit` primitive and its rules.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from jaxc import tree_util
from jaxc.core import devices
from jaxc.core.array import Array, as_array
from jaxc.core.config import config
from jaxc.core.devices import Device
from jaxc.core.jaxpr import ClosedJaxpr, DebugInfo, eval_jaxpr
from jaxc.core.placed import PlacedArray, place
from jaxc.core.trace import EvalTrace, _state, eval_trace, get_aval, off_host, placed_trace
from jaxc.transforms import compiling
from jaxc.transforms.calls import bind_jit, clear_derived
from jaxc.transforms.partial_eval import dce_jaxpr
from jaxc.transforms.placed import Chosen, chosen_device, forget_operations, placement
from jaxc.transforms.signature import Signature, debug_info
from jaxc.transforms.staging import JaxprTrace, trace_to_jaxpr
from jaxc.transforms.trace_key import axis_key, flags_key, version
from jaxc_compiler.plugins import PipelineSpec, check_pass, pipeline_spec

# ---- tracing ----------------------------------------------------------------------------------


class Traced:
    """One signature of a jitted function: its jaxpr, result structure and compiled program."""

    __slots__ = (
        "closed",
        "donated",
        "keep_unused",
        "name",
        "out_tree",
        "pipeline",
        "program",
        "single",
        "used",
    )

    def __init__(
        self,
        closed: ClosedJaxpr,
        out_tree: Any,
        name: str,
        donated: tuple[bool, ...],
        keep_unused: bool = False,
        pipeline: PipelineSpec | None = None,
    ):
        self.closed = closed
        self.keep_unused = keep_unused
        self.used: list[bool] | None = None
        self.out_tree = out_tree
        self.name = name
        self.donated = donated
        self.pipeline = pipeline
        self.program: compiling.Program | None = None
        self.single = out_tree == _leaf_tree

    def run(self, flat: Sequence[Array], device: Device | None = None) -> Any:
        """Run where the arguments are, or on `device`."""
        if off_host.used or device is not None:
            device, committed = self.placement(flat) if device is None else (device, True)
            if not device.is_host:
                return self._run_on(device, flat, committed)
            flat = [place(a, device, a.committed) if u else a for a, u in zip(flat, self._used())]
        program = self.program or self._compiled()
        return self._finish(program, program(flat), flat)

    def _run_on(self, device: Device, flat: Sequence[Array], committed: bool) -> Any:
        program = self._placed(device)
        return self._finish(program, program.run(flat, committed), flat)

    def _finish(self, program: compiling.Program, outs: list[Array], flat: Sequence[Array]) -> Any:
        if program.donated:
            for i in program.donated:
                flat[i].delete()
        if self.single:
            return outs[0]
        return tree_util.tree_unflatten(self.out_tree, outs)

    def placement(self, flat: Sequence[Any]) -> tuple[Device, bool]:
        """The device a call with these arguments runs on, and whether its results are committed.

        Arguments that the function does not use have no say, as in JAX.

        Raises:
          ValueError: arguments committed to different devices.
        """
        args = [a if used else None for a, used in zip(flat, self._used())]
        return placement(args, self.name, self.argument_name)

    def _used(self) -> list[bool]:
        """Which arguments are used; found out when devices come into play."""
        if self.used is None:
            jaxpr = self.closed.jaxpr
            self.used = [True] * len(jaxpr.invars)
            if not self.keep_unused:
                self.used = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[1]
        return self.used

    def argument_name(self, i: int) -> str:
        """The name of flat argument `i`, for errors."""
        names = self.closed.jaxpr.debug_info.arg_names or ()
        return names[i] if i < len(names) else f"args[{i}]"

    def program_on(self, device: Device) -> compiling.Program:
        """The program for a device, compiled on first use."""
        if not device.is_host:
            return self._placed(device)
        return self.program or self._compiled()

    def _placed(self, device: Device) -> compiling.PlacedProgram:
        return compiling.placed_program_of(
            self.closed, self.donated, self.name, device, self.pipeline
        )

    def _compiled(self) -> compiling.Program:
        self.program = compiling.program_of(self.closed, self.donated, self.name, self.pipeline)
        return self.program

    def direct(self, long: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """`run` by the shortest path there is (after it has run once)."""
        short = self.program.direct(long) if self.program and self.single else None
        return short or long

    def direct_on(self, device: Device, long: Callable[[Any, dict], Any]) -> Callable[[Any], Any]:
        """`run` for arguments committed to a device; others take the long path."""
        program = self._placed(device)

        def run(args: Sequence[Any]) -> Any:
            for a in args:
                if type(a) is not PlacedArray or a._device is not device or not a._committed:
                    return long(args, {})
            return self._finish(program, program.run(args, True), args)

        return run


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

    def __init__(
        self,
        fun: Callable[..., Any],
        signature: Signature,
        inline: bool = False,
        keep_unused: bool = False,
        name: str | None = None,
        chosen: Chosen | None = None,
        pipeline: PipelineSpec | None = None,
    ):
        functools.update_wrapper(self, fun)
        self._chosen = chosen
        self._fun = fun
        self._signature = signature
        self._inline = inline
        self._keep_unused = keep_unused
        self._pipeline = pipeline
        self._name = name or getattr(fun, "__name__", type(fun).__name__)
        self._direct: dict[Any, Callable[[Any], Any]] = {}
        self._direct_version = -1
        self._by_signature: dict[Any, Traced] = {}
        self._plain = signature.plain

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # Arrays only, of avals seen before, under the flags of then: one lookup and one call.
        if not kwargs and self._direct_version == version[0] and _state.trace is eval_trace:
            try:
                run = self._direct[
                    args[0].aval if len(args) == 1 else tuple([a.aval for a in args])
                ]
            except (KeyError, AttributeError):
                return self._call(args, kwargs)
            return run(args)
        return self._call(args, kwargs)

    def _remember(self, args: tuple[Any, ...], traced: Traced) -> None:
        """Let later calls with such arguments take the short path."""
        if config.overridden or not self._plain:
            return
        if self._chosen and not self._chosen.device().is_host:
            return
        if _state.trace is not eval_trace:
            return
        if traced.program is not None and all(type(a) is Array for a in args):
            run = traced.direct((lambda args: self._call(args, {})) if self._chosen else traced.run)
        elif self._chosen:
            return
        elif traced.program is None and any(traced._used()) and type(args[0]) is PlacedArray:
            run = traced.direct_on(args[0]._device, self._call)
        else:
            return
        if self._direct_version != version[0]:
            self._direct.clear()
            self._direct_version = version[0]
        key = args[0].aval if len(args) == 1 else tuple([a.aval for a in args])
        self._direct[key] = run

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if config.jax_disable_jit:
            return self._fun(*args, **kwargs)
        traced, flat = self._trace(args, kwargs)
        if isinstance(_state.trace, EvalTrace):
            arrays = [as_array(x) for x in flat]
            out = traced.run(arrays, self._chosen and self._chosen.for_call(traced, arrays))
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
        key = (in_tree, tuple(avals), call.statics, flags_key(), axis_key())
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
        return Traced(closed, out_tree, self._name, donated, self._keep_unused, self._pipeline)

    # ---- ahead of time

    def trace(self, *args: Any, **kwargs: Any) -> Any:
        """Trace at the given arguments (arrays or ShapeDtypeStructs): `.jaxpr`, `.lower()`."""
        from jaxc.transforms import stages

        traced, flat = self._trace(args, kwargs)
        in_tree = tree_util.tree_structure((args, kwargs))
        chosen = self._chosen
        device = chosen.for_call(traced, flat) if chosen else traced.placement(flat)[0]
        return stages.Traced(traced, in_tree, [get_aval(x) for x in flat], self._signature, device)

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


def jit(
    fun: Callable[..., Any] | None = None,
    /,
    *,
    static_argnums: Any = None,
    static_argnames: Any = None,
    donate_argnums: Any = None,
    donate_argnames: Any = None,
    keep_unused: bool = False,
    inline: bool = False,
    device: Any = None,
    backend: Any = None,
    in_shardings: Any = None,
    out_shardings: Any = None,
    abstracted_axes: Any = None,
    compiler_options: Any = None,
    pipeline: Any = None,
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
      device: where it runs, whatever its arguments (deprecated: `jax.device_put` them).
      backend: the same by the backend's name.
      in_shardings, out_shardings: shardings of one device: it runs there. Results are not moved:
        arguments committed to another device than `out_shardings` alone names are an error.
      pipeline: passes of your own: a `jaxc.pipeline(...)`, a pipeline's text, or a pass or list of
        passes that are to run after the simplification of the `lax` stage. Inside another jitted
        function the outer one's holds.

    Returns:
      A function with the same signature.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.jit(lambda x: jnp.sum(x * x))(jnp.arange(3.0))
      Array(5., dtype=float32)
    """
    if fun is None:
        return functools.partial(jit, **{k: v for k, v in locals().items() if k != "fun"})
    if not callable(fun):
        raise TypeError(f"Expected a callable value, got {fun!r}")
    signature = Signature(fun, static_argnums, static_argnames, donate_argnums, donate_argnames)
    chosen = chosen_device(device, backend, in_shardings, out_shardings)
    passes = None if pipeline is None else pipeline_spec(pipeline)
    jitted = JitFunction(fun, signature, inline, keep_unused, chosen=chosen, pipeline=passes)
    _all_functions.add(jitted)
    return jitted


def pipeline(text: str = "", *passes: Callable[..., Any]) -> PipelineSpec:
    """A pipeline to put passes of your own into, for `jit(f, pipeline=...)`.

    Args:
      text: names of passes, stages or of a whole pipeline, separated by commas; empty for what the
        target runs by itself. `jaxc opt --list-passes` shows the names.
      passes: your own that the text names.

    Returns:
      A pipeline with methods `before(name, *passes)`, `after(name, *passes)`, `without(name)`.

    Example:
      >>> import jaxc
      >>> import jaxc.numpy as jnp
      >>> def count_ops(module, target):
      ...     print(str(module).count('"lax.'), "ops")
      >>> f = jaxc.jit(lambda x: jnp.sin(x) + x, pipeline=jaxc.pipeline().before("fuse", count_ops))
      >>> f(jnp.zeros(2))  # doctest: +SKIP
      2 ops
      Array([0., 0.], dtype=float32)
    """
    return PipelineSpec(text, named=tuple(map(check_pass, passes)))


def jnp_jit(
    fun: Callable[..., Any] | None = None,
    *,
    static_argnames: Any = (),
    static_argnums: Any = None,
    inline: bool = False,
    name: str | None = None,
) -> Any:
    """A library function that shows as one `jit` equation in jaxprs and runs eagerly otherwise."""
    if fun is None:
        return functools.partial(
            jnp_jit,
            static_argnames=static_argnames,
            static_argnums=static_argnums,
            inline=inline,
            name=name,
        )
    signature = Signature(fun, static_argnums, static_argnames, None, None)
    jitted = JitFunction(fun, signature, inline, name=name)

    @functools.wraps(fun)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not is_staging() and (not off_host.used or runs_on_host(*args, *kwargs.values())):
            return fun(*args, **kwargs)
        return jitted._call(args, kwargs)

    return call


def is_staging() -> bool:
    """Whether operations end up in a jaxpr (however many transformations are in between)."""
    trace = _state.trace
    while trace is not eval_trace:
        if isinstance(trace, JaxprTrace):
            return True
        if trace is placed_trace:
            return False
        trace = trace.parent  # type: ignore[attr-defined]
    return False


def runs_on_host(*values: Any) -> bool:
    """Whether an operation on these values is run at once, by NumPy kernels."""
    if is_staging() or any(isinstance(v, PlacedArray) for v in values):
        return False
    return devices.default_is_host()


def clear_caches() -> None:
    """Forget every trace and compiled program in this process (the disk cache stays)."""
    for fun in list(_all_functions):
        fun.clear_cache()
    compiling.clear_programs()
    forget_operations()
    clear_derived()
