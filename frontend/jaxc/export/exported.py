"""`Exported`: a function traced at one signature, and how it is called again.

Owns export, the call inside other programs and the exported VJP. The compiler is loaded when a
program is exported, not when one is read back and called eagerly.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core.config import config, flag_context
from jaxc.core.devices import default_backend
from jaxc.core.jaxpr import ClosedJaxpr
from jaxc.core.trace import Tracer, get_aval
from jaxc.physical import physicalize
from jaxc.random.primitives import random_unwrap_p, random_wrap_p
from jaxc.transforms import ad
from jaxc.transforms.api import vjp
from jaxc.transforms.calls import bind_jit
from jaxc.transforms.custom_vjp import custom_vjp
from jaxc.transforms.jit import JitFunction
from jaxc.transforms.placed import placement
from jaxc.transforms.staging import trace_to_jaxpr
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray, float0

# The versions of JAX's calling convention: a program for one platform without symbolic shapes is
# the same in all of them.
minimum_supported_calling_convention_version = 9
maximum_supported_calling_convention_version = 10

_partitionable = flag_context("jax_threefry_partitionable")


class DisabledSafetyCheck:
    """A check that is left out when an exported program is called."""

    def __init__(self, name: str):
        self._name = name

    @classmethod
    def platform(cls) -> DisabledSafetyCheck:
        """Let the program run on another platform than it was exported for."""
        return cls("platform")

    @classmethod
    def custom_call(cls, target_name: str) -> DisabledSafetyCheck:
        """Accept a custom call; no program of ours has one."""
        return cls(f"custom_call:{target_name}")

    def is_custom_call(self) -> str | None:
        """The custom call it accepts."""
        match = re.match(r"custom_call:(.+)$", self._name)
        return match[1] if match else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DisabledSafetyCheck) and self._name == other._name

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return self._name


class Exported:
    """A function traced at one signature, independent of the process it was traced in.

    Attributes:
      fun_name: the function's name.
      in_tree, out_tree: the structure of `(args, kwargs)` and of the result.
      in_avals, out_avals: shape and dtype of each leaf of them.
      platforms: the platforms it may run on.
      disabled_safety_checks: checks that `call` leaves out.
      module_kept_var_idx: which leaves the program takes: all but those of dtype float0.
      mlir_module_serialized: the program as StableHLO in the portable encoding.
    """

    nr_devices = 1
    calling_convention_version = maximum_supported_calling_convention_version
    ordered_effects: tuple[()] = ()
    unordered_effects: tuple[()] = ()
    uses_global_constants = False

    def __init__(
        self,
        fun_name: str,
        program: ClosedJaxpr,
        trees: tuple[Any, Any],
        avals: tuple[tuple[ShapedArray, ...], tuple[ShapedArray, ...]],
        platforms: tuple[str, ...],
        disabled_checks: Sequence[DisabledSafetyCheck] = (),
        *,
        partitionable: bool,
        donated: tuple[bool, ...] = (),
        stablehlo: bytes | None = None,
        make_vjp: Callable[[], Exported] | None = None,
    ):
        self.fun_name = fun_name
        self.in_tree, self.out_tree = trees
        self.in_avals, self.out_avals = avals
        self.platforms = platforms
        self.disabled_safety_checks = tuple(disabled_checks)
        self.module_kept_var_idx = _kept(self.in_avals)
        self._program = program
        self._partitionable = partitionable  # its random stream: the flag's of when it was exported
        self._donated = donated
        self._stablehlo = stablehlo
        self._make_vjp = make_vjp

    @functools.cached_property
    def mlir_module_serialized(self) -> bytes:
        """The program as StableHLO, which any XLA plugin and most MLIR compilers read."""
        if self._stablehlo is None:
            with _partitionable(self._partitionable):
                return _to_stablehlo(self._program, self.fun_name, self._donated)
        return self._stablehlo

    def mlir_module(self) -> str:
        """The program as the text of StableHLO."""
        from jaxc_compiler import driver

        return driver.stablehlo_text(self.mlir_module_serialized)

    def has_vjp(self) -> bool:
        """Whether it can be differentiated."""
        return self._make_vjp is not None

    def vjp(self) -> Exported:
        """The exported VJP: takes the flat arguments, then a cotangent of each result.

        Raises:
          ValueError: it was serialized without.
        """
        if self._make_vjp is None:
            raise ValueError("No VJP is available")
        return self._vjp

    @functools.cached_property
    def _vjp(self) -> Exported:
        assert self._make_vjp is not None
        return self._make_vjp()

    def serialize(self, vjp_order: int = 0) -> bytearray:
        """The program as bytes for `deserialize`.

        Args:
          vjp_order: how many orders of reverse-mode derivatives to include.

        Raises:
          ValueError: a negative order, or a pytree class that is not registered for serialization.
        """
        from jaxc.export.container import serialize

        return serialize(self, vjp_order)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the program, in a function that is traced or not.

        Raises:
          ValueError: arguments nested otherwise or of another shape or dtype than exported for,
            another platform, or a derivative that was not included.

        Example:
          >>> import jaxc as jax
          >>> from jaxc import export
          >>> exported = export.export(jax.jit(lambda x: 2 * x))(jax.numpy.arange(3.0))
          >>> export.deserialize(exported.serialize()).call(jax.numpy.ones(3))
          Array([2., 2., 2.], dtype=float32)
        """
        flat, in_tree = tree_util.tree_flatten((args, kwargs))
        if in_tree != self.in_tree:
            raise ValueError(
                "The invocation args and kwargs must have the same pytree structure as when the "
                f"function '{self.fun_name}' was exported: expected {self.in_tree}, got {in_tree}"
            )
        self._check_arguments(flat)
        return tree_util.tree_unflatten(self.out_tree, self._flat_function(*flat))

    @functools.cached_property
    def _flat_function(self) -> Any:
        """The flat function with the exported VJP as its derivative."""

        @custom_vjp
        def call_exported(*flat: Any) -> list[Any]:
            return self._run(flat)

        def forward(*flat: Any) -> tuple[list[Any], tuple[Any, ...]]:
            return self._run(flat), flat

        def backward(flat: tuple[Any, ...], cotangents: list[Any]) -> tuple[Any, ...]:
            return tuple(self.vjp()._flat_function(*flat, *cotangents))

        call_exported.defvjp(forward, backward)
        return call_exported

    def _run(self, flat: Sequence[Any]) -> list[Any]:
        """Run the program; float0 has no data and is not passed to it."""
        given = [flat[i] for i in self.module_kept_var_idx]
        if config.jax_threefry_partitionable == self._partitionable:
            outs = iter(bind_jit(self._program, given, self.fun_name))
        else:
            outs = iter(self._run_expanded(given))
        return [np.zeros(a.shape, float0) if a.dtype == float0 else next(outs)
                for a in self.out_avals]  # fmt: skip

    def _run_expanded(self, given: Sequence[Any]) -> list[Any]:
        """Run it with its own random stream, on the words of keys."""
        words = [random_unwrap_p.bind(x) if _is_key(get_aval(x)) else x for x in given]
        outs = bind_jit(self._expanded, words, self.fun_name)
        return [
            random_wrap_p.bind(out, impl=aval.dtype.impl) if _is_key(aval) else out
            for out, aval in zip(outs, self._program.out_avals)
        ]

    @functools.cached_property
    def _expanded(self) -> ClosedJaxpr:
        """The program without random operations, which take the stream from the flag."""
        with _partitionable(self._partitionable):
            return physicalize(self._program)

    def _check_arguments(self, flat: Sequence[Any]) -> None:
        concrete = [x for x in flat if not isinstance(x, Tracer)]  # of others it is not known yet
        here = placement(concrete, self.fun_name, lambda i: f"args[{i}]")[0]
        unchecked = DisabledSafetyCheck.platform() in self.disabled_safety_checks
        if not {here.platform, here.backend} & {*self.platforms} and not unchecked:
            raise ValueError(
                f"Function '{self.fun_name}' was exported for platforms '{self.platforms}' but it "
                f"is used on '({here.platform!r},)'."
            )
        for index, (x, wanted) in enumerate(zip(flat, self.in_avals)):
            problem = _mismatch(get_aval(x), wanted)
            if problem:
                kind, where, expected, got = problem
                path = _path(self.in_tree, index)
                raise ValueError(
                    f"{kind} mismatch for {path}{where}: expected {expected} and called with {got}"
                )

    def __repr__(self) -> str:
        return f"Exported(fun_name={self.fun_name}, ...)"


def _mismatch(got: ShapedArray, wanted: ShapedArray) -> tuple[str, str, Any, Any] | None:
    if len(got.shape) != len(wanted.shape):
        return "Rank", ".shape", wanted.shape, got.shape
    if got.dtype != wanted.dtype:
        return "Dtype", "", wanted.dtype, got.dtype
    for dim, (a, b) in enumerate(zip(got.shape, wanted.shape)):
        if a != b:
            where = f".shape[{dim}] (expected same constant)"
            return "Shape", where, wanted.shape, got.shape
    return None


def _path(in_tree: Any, index: int) -> str:
    numbered = tree_util.tree_unflatten(in_tree, range(in_tree.num_leaves))
    paths = [path for path, _ in tree_util.tree_leaves_with_path(numbered)]
    kind, *rest = paths[index]
    return ("args" if kind.idx == 0 else "kwargs") + tree_util.keystr(tuple(rest))


def _is_key(aval: ShapedArray) -> bool:
    return isinstance(aval.dtype, KeyDtype)


def _kept(avals: Sequence[ShapedArray]) -> tuple[int, ...]:
    return tuple(i for i, aval in enumerate(avals) if aval.dtype != float0)


def default_export_platform() -> str:
    """The platform that `export` exports for if none is named."""
    return default_backend()


def export(
    fun_jit: Any,
    *,
    platforms: Sequence[str] | None = None,
    disabled_checks: Sequence[DisabledSafetyCheck] = (),
) -> Callable[..., Exported]:
    """Export a jitted function for later use.

    Args:
      fun_jit: what `jit` returns.
      platforms: where it may run (`cpu`, `tpu`, `cuda`, ...); default is this process's.
      disabled_checks: checks that `call` leaves out.

    Returns:
      A function of arrays or `ShapeDtypeStruct`s that gives the `Exported` for their shapes.

    Raises:
      ValueError: the function is not jitted.
    """
    if not isinstance(fun_jit, JitFunction):
        raise ValueError(f"Function to be exported must be the result of `jit` but is: {fun_jit}")
    if isinstance(platforms, str):
        raise TypeError(f"platforms must be a sequence of strings, got {platforms!r}")
    wanted = tuple(platforms) if platforms else (default_export_platform(),)

    def do_export(*args: Any, **kwargs: Any) -> Exported:
        traced, flat = fun_jit._trace(args, kwargs)
        call = fun_jit._signature.resolve(args, kwargs)
        trees = tree_util.tree_structure((call.args, call.kwargs)), traced.out_tree
        made = _exported(traced.name, traced.closed, trees, wanted, disabled_checks, traced.donated)
        assert len(flat) == len(made.in_avals)
        _ = made.mlir_module_serialized  # what cannot be exported is said now
        return made

    return do_export


def _exported(
    name: str,
    program: ClosedJaxpr,
    trees: tuple[Any, Any],
    platforms: tuple[str, ...],
    disabled_checks: Sequence[DisabledSafetyCheck],
    donated: tuple[bool, ...],
) -> Exported:
    avals = tuple(program.in_avals), tuple(program.out_avals)
    make_vjp = lambda: _export_vjp(made)  # noqa: E731
    made = Exported(
        name, program, trees, avals, platforms, disabled_checks,
        partitionable=config.jax_threefry_partitionable, donated=donated, make_vjp=make_vjp,
    )  # fmt: skip
    return made


def _export_vjp(of: Exported) -> Exported:
    """The VJP of a program that is traced here, with its custom derivatives."""
    in_avals, out_avals = avals_of_vjp(of)
    kept = _kept(in_avals)

    def pull_back(*given: Any) -> list[Any]:
        full = _filled(given, kept, in_avals)
        primals, cts = full[: len(of.in_avals)], full[len(of.in_avals) :]
        results = vjp(lambda *xs: of._run(xs), *primals)[1](cts)
        return [r for r, aval in zip(results, out_avals) if aval.dtype != float0]

    with _partitionable(of._partitionable):
        program = trace_to_jaxpr(pull_back, [in_avals[i] for i in kept])
    trees = (
        tree_util.tree_structure(((0,) * len(in_avals), {})),
        tree_util.tree_structure((0,) * len(out_avals)),
    )
    made = Exported(
        f"{of.fun_name}_vjp", program, trees, (in_avals, out_avals), of.platforms,
        of.disabled_safety_checks,
        partitionable=of._partitionable, make_vjp=lambda: _export_vjp(made),
    )  # fmt: skip
    return made


def avals_of_vjp(of: Exported) -> tuple[tuple[ShapedArray, ...], tuple[ShapedArray, ...]]:
    """What the exported VJP takes and gives."""
    cotangents, results = (
        tuple(ad.tangent_aval(a.strip_weak_type()) for a in avals)
        for avals in (of.out_avals, of.in_avals)
    )
    return (*of.in_avals, *cotangents), results


def _filled(given: Sequence[Any], kept: Sequence[int], avals: Sequence[ShapedArray]) -> list[Any]:
    """All arguments, given those that have data."""
    values = dict(zip(kept, given))
    return [values[i] if i in values else np.zeros(a.shape, float0) for i, a in enumerate(avals)]


def _to_stablehlo(program: ClosedJaxpr, name: str, donated: tuple[bool, ...]) -> bytes:
    from jaxc.lowering import lower_jaxpr
    from jaxc_compiler import driver

    module = lower_jaxpr(physicalize(program), name, donated, embed_constants=True)
    return driver.to_stablehlo(module)
