"""From a `lax` module to an artifact: the one entry point of the compile path.

Owns `compile`, the dump of every stage, and the keys of the compile cache. Importing it is cheap:
MLIR and IREE are imported by `compile`, so that a warm start, which finds its artifact in the cache
by `cache_key`, loads neither.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxc_compiler import targets
from jaxc_compiler.targets import Target

if TYPE_CHECKING:
    from jaxc_compiler.explorer import Page
    from jaxc_compiler.mlir import ir
    from jaxc_compiler.pipelines import Instrument, Pipeline
    from jaxc_compiler.plugins import PipelineSpec
    from jaxc_compiler.report import Node, Report


@dataclass(frozen=True)
class Artifact:
    """A compiled module.

    Attributes:
      vmfb: what the runtime loads. For a plugin of XLA it is
        StableHLO, or the plugin's own executable if the target names a topology.
      target: what it was compiled for.
      about: of an executable the plugin, the topology and the plugin's version text.
    """

    vmfb: bytes
    target: Target
    about: dict[str, str] = field(default_factory=dict)


def compile(
    module: ir.Module,
    target: Target | None = None,
    *,
    donated: Sequence[bool] | None = None,
    instruments: Iterable[Instrument] = (),
    pipeline: PipelineSpec | None = None,
) -> Artifact:
    """Compile a `lax` module. The module is consumed: it is lowered in place.

    Args:
      module: its function is `main`.
      target: default is this machine's CPU.
      donated: for each argument, whether its buffer may be overwritten; default is what the
        module's `jaxc.donated` attributes say.
      instruments: what watches the passes.
      pipeline: what the user says about it; default is the target's own.

    Raises:
      CompileError: naming the user's line.
      ValueError: for a pipeline that names no pass.
    """
    from jaxc_compiler import pipelines

    target = target or targets.get("cpu")
    if donated is not None:
        pipelines.mark_donated(module, donated)
    code = pipelines.run(module, target, instruments, _resolve(pipeline, target))
    if target.is_ahead_of_time:
        return Artifact(*_ahead_of_time(code, target))
    return Artifact(code, target)


def _ahead_of_time(code: bytes, target: Target) -> tuple[bytes, Target, dict[str, str]]:
    from jaxc_compiler import ahead_of_time

    executable, about = ahead_of_time.compile_for_topology(code, target)
    return executable, target, about


def to_stablehlo(module: ir.Module) -> bytes:
    """A `lax` module, which is consumed, as StableHLO in the portable encoding.

    Raises:
      CompileError: naming the user's line, for an op that has no StableHLO form.
    """
    from jaxc_compiler import pipelines

    return pipelines.run(module, targets.get("pjrt:any"))


def stablehlo_text(portable: bytes) -> str:
    """The text of StableHLO in the portable encoding, of any version up to the bindings'.

    Raises:
      CompileError: not StableHLO, or of a later version.
    """
    from jaxc_compiler import mlir

    with mlir.LOCK, mlir.CONTEXT:
        return mlir.from_portable_stablehlo(portable).operation.get_asm()


def _resolve(pipeline: PipelineSpec | None, target: Target) -> Pipeline | None:
    if pipeline is None:
        return None
    from jaxc_compiler import pipeline_text

    return pipeline_text.resolve(pipeline, target)


def cpu_requirements(target: Target) -> tuple[str, tuple[str, ...]]:
    """The machine and the CPU features without which a program does not run; none of a GPU's."""
    from jaxc_compiler import iree_quick

    if target.name != "cpu":
        return "", ()
    return targets.cpu_requirements(iree_quick.compiler(target.flags).device)


def dump_stages(
    module: ir.Module,
    target: Target | None = None,
    *,
    until: str | None = None,
    locations: bool = False,
    pipeline: PipelineSpec | None = None,
) -> dict[str, str]:
    """The module's text at every stage from the one it is at, in order, up to `until`.

    To `stablehlo`, the stages and passes of a pipeline are those that XLA's plugins have.

    Raises:
      CompileError: naming the user's line.
      ValueError: for a stage that the target has not, or a pipeline that does not lead there.

    Example:
      >>> list(dump_stages(lower_jaxpr(jaxpr)))  # doctest: +SKIP
      ['lax', 'kernel', 'linalg', 'iree', 'llvm', 'llvm-opt', 'asm']
    """
    from jaxc_compiler import dump

    target = target or targets.get("cpu")
    to_xla = until == "stablehlo" and target.backend != "pjrt"
    passes = _resolve(pipeline, targets.get("pjrt:any") if to_xla else target)
    return dump.dump_stages(module, target, until, locations=locations, pipeline=passes)


def report(
    module: ir.Module, target: Target | None = None, pipeline: PipelineSpec | None = None
) -> Report:
    """What became of a `lax` module: its dispatches, loops and updates; it is lowered in place.

    Raises:
      CompileError: naming the user's line.
    """
    from jaxc_compiler import report as reporting

    target = target or targets.get("cpu")
    return reporting.report_of(module, target, _resolve(pipeline, target))


def dispatches(
    module: ir.Module, target: Target | None = None, pipeline: PipelineSpec | None = None
) -> dict[str, Node]:
    """The dispatches of a `lax` module by the name of their function in the executable."""
    from jaxc_compiler import report as reporting

    target = target or targets.get("cpu")
    return reporting.dispatches_of(module, target, _resolve(pipeline, target))


def explore(
    module: ir.Module,
    target: Target | None = None,
    *,
    jaxpr: Sequence[tuple[str, Sequence[tuple[str, int]]]] = (),
    defined_at: tuple[str, int] | None = None,
    pipeline: PipelineSpec | None = None,
) -> Page:
    """The explorer's page of a program: every stage side by side, the dispatch graph, the passes.

    Args:
      module: the `lax` module, which is lowered in place.
      jaxpr: the rows of the frontend's stage, each with the user's files and lines.
      defined_at: the file and line of the user's function.
      pipeline: what the user says about it; default is the target's own.
    """
    from jaxc_compiler import explorer

    target = target or targets.get("cpu")
    passes = _resolve(pipeline, target)
    return explorer.page_of(module, target, jaxpr, defined_at, passes)


# -- the key of the compile cache ----------------------------------------------------------------


def cache_key(program: str, target: Target | None = None, *, extra: Any = ()) -> str:
    """The key under which a program's artifact is cached, without looking at any MLIR.

    Args:
      program: the jaxpr's canonical text, with parameters, types and donated arguments: two
        programs of one text must compute the same.
      target: what it is compiled for.
      extra: anything else, of stable `repr`, that changes the result.
    """
    digest = hashlib.sha256(flags_fingerprint(target).encode())
    digest.update(repr(extra).encode())
    digest.update(program.encode())
    return digest.hexdigest()


def flags_fingerprint(target: Target | None = None) -> str:
    """What an artifact depends on besides the program: versions, flags, the CPU, this compiler."""
    target = target or targets.get("cpu")
    parts = [*_versions(), str(target), *target.flags, _own_sources()]
    if not target.portable:
        parts += [platform.machine(), _cpu_model()]
    return "\n".join(parts)


@cache
def _versions() -> tuple[str, ...]:
    names = ("iree-base-compiler", "torch-mlir")
    return tuple(f"{name} {importlib.metadata.version(name)}" for name in names)


@cache
def _own_sources() -> str:
    """Changes when a file of this package does: name, size and time of each (about 1 ms)."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        status = path.stat()
        digest.update(f"{path.relative_to(root)} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()


@cache
def _cpu_model() -> str:
    """The CPU's name and features: an artifact compiled for `host` runs only there."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    lines = text.split("\n\n", 1)[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(wanted))
