"""`jaxc compile` and `compile_function`: Python functions become one file that runs alone."""

from __future__ import annotations

import importlib.metadata
import keyword
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jaxc
from jaxc import tree_util
from jaxc.lowering import EntryPoint, Weights, lower_entry_points, lower_jaxpr
from jaxc.physical import physicalize
from jaxc.stablehlo import Program as StablehloProgram
from jaxc_compiler import driver, targets
from jaxc_compiler.diagnostics import CompileError
from jaxc_compiler.plugins import PipelineSpec, pipeline_spec
from jaxc_runtime import ArraySpec, CompiledProgram, Metadata, Signature, archive, artifact
from jaxc_runtime import structure as structures
from jaxc_tools.errors import UsageError, joined
from jaxc_tools.function_reports import FunctionReports
from jaxc_tools.loading import load_function, load_passes, user_error
from jaxc_tools.sources import reject_arguments
from jaxc_tools.specs import ArgSpec, parse_args, parse_positions
from jaxc_tools.stablehlo import is_stablehlo, read_file
from jaxc_tools.tracing import Traced, is_spec, trace

_VERSIONS = ("jaxc", "iree-base-compiler", "torch-mlir")
INLINE, FILE = "inline", "file"
ARCHIVE = ".irpa"  # the suffix of the file of weights


@dataclass(frozen=True)
class Request:
    """A function to compile.

    Attributes:
        function: of arrays, jitted or not, or a StableHLO program. What it closes over becomes
            part of the program.
        arguments: its positional arguments, or `ArgSpec`s and other things with a shape and a
            dtype in their place. Only shapes and dtypes are used.
        donate: the arguments whose memory it may overwrite; if none, those a jitted function
            donates itself.
    """

    function: Any
    arguments: Sequence[Any]
    donate: Sequence[int] = ()

    @property
    def name(self) -> str:
        found = self.function
        return found.name if self.is_foreign else getattr(found, "__name__", "function")

    @property
    def is_foreign(self) -> bool:
        """Whether it is StableHLO: its types are as the module says, whatever JAX's defaults."""
        return isinstance(self.function, StablehloProgram)

    def traced(self) -> Traced:
        """Its jaxpr, donated inputs and the shapes of its results.

        Raises:
            ValueError: for a donated argument that there is not.
        """
        for number in self.donate:
            if not 0 <= number < len(self.arguments):
                count = len(self.arguments)
                raise ValueError(f"{self.name} has {count} arguments, no {number} to donate")
        if not self.is_foreign:
            return trace(self.function, self.arguments, self.donate)
        program = self.function
        shapes = tuple(jaxc.ShapeDtypeStruct(a.shape, a.dtype) for a in program.closed.out_avals)
        results = shapes[0] if len(shapes) == 1 else shapes
        return Traced(program, program.name, program.closed, tuple(program.donated), results)


def compile_function(
    fn: Callable[..., Any],
    arguments: Sequence[Any],
    path: str | os.PathLike,
    target: str = "cpu",
    *,
    donate: Sequence[int] = (),
    weights: str = INLINE,
    pipeline: Any = None,
) -> Metadata:
    """`compile_functions` of one function for one target.

    >>> import jaxc.numpy as jnp, jaxc_runtime, tempfile  # doctest: +SKIP
    >>> compile_function(jnp.sin, [ArgSpec((3,), np.dtype("f4"))], "sin.vmfb")  # doctest: +SKIP
    """
    return compile_functions(
        [Request(fn, arguments, donate)], path, [target], weights=weights, pipeline=pipeline
    )


def compile_functions(
    requests: Sequence[Request],
    path: str | os.PathLike,
    target_names: Sequence[str] = ("cpu",),
    *,
    weights: str = INLINE,
    pipeline: Any = None,
) -> Metadata:
    """Compile functions and write them, with their constants and signatures, as one file.

    Args:
        requests: the functions; they share their constants. A call of the loaded program runs the
            first.
        path: where the `.vmfb` goes.
        target_names: of `jaxc_compiler.targets`; the file holds a program for each.
        weights: `inline` in each program, or `file` for one parameter archive beside it, of the
            same name with the suffix `.irpa`.
        pipeline: passes of your own, as `jaxc.jit` takes them.

    Returns:
        The metadata in the file; `jaxc_runtime.load(path)` gives the callable.

    Raises:
        TypeError: an argument or result that is no array, or a container a file cannot describe.
        ValueError: an unknown target, unknown `weights`, a path with the suffix of their archive,
            a donated argument that there is not, a pipeline that names no pass.
        CompileError: naming the user's line.
    """
    _check_weights(weights, path)
    traced = [(request, request.traced()) for request in requests]
    return _compile_traced(traced, path, target_names, weights, pipeline)


def _check_weights(weights: str, path: str | os.PathLike) -> None:
    if weights not in (INLINE, FILE):
        raise ValueError(f"unknown weights {weights!r}: expected {INLINE} or {FILE}")
    if weights == FILE and Path(path).suffix == ARCHIVE:
        raise ValueError(f"{path} is where the weights go: expected another suffix than {ARCHIVE}")


def _compile_traced(
    traced: Sequence[tuple[Request, Traced]],
    path: str | os.PathLike,
    target_names: Sequence[str],
    weights: str,
    pipeline: Any,
) -> Metadata:
    wanted = [targets.get(name, portable=True) for name in target_names]
    passes = None if pipeline is None else pipeline_spec(pipeline)
    collected = Weights(inline=weights == INLINE)
    entries, signatures = _entries(traced)
    compiled = [_compile_for(target, entries, collected, passes) for target in wanted]
    programs = [program for program, _ in compiled]
    kept = None
    if weights == FILE and collected.arrays:
        kept = archive.write(Path(path).with_suffix(ARCHIVE), collected.arrays)
    versions = {package: importlib.metadata.version(package) for package in _VERSIONS}
    metadata = Metadata(tuple(signatures), tuple(about for _, about in compiled), versions, kept)
    Path(path).write_bytes(artifact.pack(programs, metadata))
    return artifact.placed(programs, metadata)


def _compile_for(
    target: targets.Target,
    entries: list[EntryPoint],
    weights: Weights,
    pipeline: PipelineSpec | None,
) -> tuple[bytes, CompiledProgram]:
    if target.backend == "pjrt":
        return _compile_for_plugin(target, entries, pipeline)
    seen = FunctionReports()
    module = lower_entry_points(entries, weights)
    compiled = driver.compile(module, target, instruments=[seen], pipeline=pipeline)
    arch, features = driver.cpu_requirements(target)
    reports = {entry.symbol: seen.of(entry.symbol) for entry in entries}
    return compiled.vmfb, CompiledProgram(str(target), target.driver, arch, features, reports)


def _compile_for_plugin(
    target: targets.Target, entries: list[EntryPoint], pipeline: PipelineSpec | None
) -> tuple[bytes, CompiledProgram]:
    """XLA's plugins compile one function, with its constants in it."""
    if len(entries) > 1:
        raise ValueError(f"a program for {target} holds one function, not {len(entries)}")
    with entries[0].flags():
        module = lower_jaxpr(entries[0].jaxpr, embed_constants=True)
    compiled = driver.compile(module, target, pipeline=pipeline)
    return compiled.vmfb, CompiledProgram(str(target), target.driver, about=compiled.about)


def _entries(
    traced: Sequence[tuple[Request, Traced]],
) -> tuple[list[EntryPoint], list[Signature]]:
    entries: list[EntryPoint] = []
    signatures: list[Signature] = []
    for request, found in traced:
        if any(request.name == other.name for other in signatures):
            raise ValueError(f"two functions are called {request.name!r}")
        symbol = _symbol(request.name, [other.symbol for other in signatures])
        entry = EntryPoint(symbol, found.closed, _donatable(found), wide=request.is_foreign)
        with entry.flags():
            entry = replace(entry, jaxpr=physicalize(found.closed))
        entries.append(entry)
        signatures.append(Signature(
            name=request.name,
            symbol=symbol,
            inputs=_array_specs(entry.jaxpr.in_avals),
            outputs=_array_specs(entry.jaxpr.out_avals),
            in_structure=_structure(tuple(request.arguments)),
            out_structure=_structure(found.results),
            donated=tuple(n for n, is_donated in enumerate(entry.donated) if is_donated),
        ))  # fmt: skip
    return entries, signatures


def _donatable(traced: Traced) -> tuple[bool, ...]:
    """For each input whether it is donated. One that is returned as it is cannot be."""
    jaxpr = traced.closed.jaxpr
    returned = {id(var) for var in jaxpr.outvars}
    return tuple(
        flag and id(var) not in returned for flag, var in zip(traced.donated, jaxpr.invars)
    )


def _symbol(name: str, taken: Sequence[str]) -> str:
    """A C identifier for a function; `kernel_...` are the dispatches'."""
    symbol = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "function"
    if symbol[0].isdigit() or symbol.startswith("kernel_") or keyword.iskeyword(symbol):
        symbol = f"f_{symbol}"
    while symbol in taken:
        symbol += "_"
    return symbol


def target_named(spec: str) -> targets.Target:
    """The target a user named, or a `UsageError`."""
    try:
        return targets.get(spec, portable=True)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _structure(nested: Any) -> Any:
    leaves, treedef = tree_util.tree_flatten(nested, is_leaf=is_spec)
    return structures.encode(tree_util.tree_unflatten(treedef, range(len(leaves))))


def _array_specs(avals: Sequence[Any]) -> tuple[ArraySpec, ...]:
    return tuple(ArraySpec(tuple(aval.shape), aval.dtype.name) for aval in avals)


# -- what a user typed -----------------------------------------------------------------------------


def compile_references(
    sources: Sequence[str],
    arguments: Sequence[str],
    output: str,
    target_names: Sequence[str],
    donate: Sequence[str] = (),
    weights: str = INLINE,
    *,
    pipeline: str = "",
    load: Sequence[str] = (),
) -> Metadata:
    """`compile_functions` for what a user typed.

    Args:
        sources: `file.py:function` of each.
        arguments: for each function the shapes of its arguments (see `specs.parse_args`).
        output: the file to write.
        target_names: a target's `name` or `name:chip`, of each target.
        donate: for each function the numbers of its donated arguments, as `0,2`.
        weights: `inline` or `file`.
        pipeline: text of `jaxc_compiler.pipeline_text`; empty for what the target runs by itself.
        load: files of passes. Without a pipeline they run when the `lax` stage is simplified.

    Raises:
        UsageError: unknown names, wrong shapes, unreadable or unwritable files.
    """
    typed = zip(
        sources, _one_each("--args", arguments, sources), _one_each("--donate", donate, sources)
    )
    _ = [target_named(name) for name in target_names]
    passes = tuple(load_passes(load).values())
    spec = PipelineSpec(pipeline, named=passes) if pipeline else pipeline_spec(passes or "")
    try:
        _check_weights(weights, output)
        traced = [_traced_reference(*words) for words in typed]
        return _compile_traced(traced, output, target_names, weights, spec)
    except OSError as error:
        raise UsageError(f"cannot write {error.filename or output}: {error.strerror}") from None
    except (CompileError, NotImplementedError, TypeError, ValueError) as error:
        raise UsageError(f"{', '.join(sources)}: {joined(error)}") from None


def _one_each(option: str, given: Sequence[str], sources: Sequence[str]) -> Sequence[str]:
    if given and len(given) != len(sources):
        raise UsageError(f"{len(sources)} functions and {len(given)} {option}: give one for each")
    return given or [""] * len(sources)


def _traced_reference(source: str, arguments: str, donate: str) -> tuple[Request, Traced]:
    if is_stablehlo(source):
        reject_arguments(source, args=arguments, donate=donate)
        program = read_file(source)
        specs = [ArgSpec(tuple(aval.shape), aval.dtype) for aval in program.closed.in_avals]
        request = Request(program, specs)
        return request, request.traced()
    request = Request(load_function(source), parse_args(arguments), parse_positions(donate))
    try:
        return request, request.traced()
    except Exception as error:
        raise user_error(error, source.rpartition(":")[0]) from None
