"""`jaxc compile model.stablehlo.mlir`: a StableHLO module becomes one file that runs alone."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import jaxc
from jaxc import stablehlo
from jaxc.lowering import lower_jaxpr
from jaxc.physical import physicalize
from jaxc_compiler import driver, targets
from jaxc_compiler.diagnostics import CompileError
from jaxc_runtime import ArraySpec, Metadata, artifact
from jaxc_tools.compile import target_named
from jaxc_tools.errors import UsageError

SUFFIXES = (".mlir", ".mlirbc", ".stablehlo")
_VERSIONS = ("jaxc", "iree-base-compiler", "torch-mlir")


@dataclass(frozen=True)
class Compiled:
    """A StableHLO module compiled for a target.

    Attributes:
        name: the module's name.
        artifact: the program.
        inputs: one spec per argument of `main`.
        outputs: one spec per result.
    """

    name: str
    artifact: driver.Artifact
    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]


def is_stablehlo(source: str) -> bool:
    """Whether what a user named is a file of StableHLO and not `file.py:function`."""
    return source.endswith(SUFFIXES)


def compile_stablehlo(data: bytes | str, target: targets.Target) -> Compiled:
    """Compile a StableHLO module by way of `lax`, so that indices are clamped and casts saturate.

    Args:
        data: text, MLIR bytecode, or the portable encoding (`Exported.mlir_module_serialized`).
        target: what for.

    Raises:
        CompileError: no StableHLO, or with an op that is not supported, at its line.
    """
    program = stablehlo.read(data)
    with jaxc.enable_x64(True):  # types are as the module says
        closed = physicalize(program.closed)
        module = lower_jaxpr(closed, program.name, program.donated, embed_constants=True)
        made = driver.compile(module, target)
    specs = [
        tuple(ArraySpec(tuple(aval.shape), aval.dtype.name) for aval in avals)
        for avals in (closed.in_avals, closed.out_avals)
    ]
    return Compiled(program.name, made, *specs)


def compile_file(source: str, output: str, target: str) -> Metadata:
    """Compile a file of StableHLO and write the program with its signature as one file.

    Raises:
        UsageError: an unreadable or unwritable file, no StableHLO, or an op that is not supported.
    """
    compile_for = target_named(target)
    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from None
    try:
        compiled = compile_stablehlo(data, compile_for)
    except CompileError as error:
        raise UsageError(f"{source}: {' '.join(str(error).split())}") from None
    metadata = _metadata(compiled, compile_for)
    try:
        Path(output).write_bytes(artifact.pack(compiled.artifact.vmfb, metadata))
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from None
    return metadata


def _metadata(compiled: Compiled, target: targets.Target) -> Metadata:
    """Arguments by position; one result is returned alone."""
    results = list(range(len(compiled.outputs)))
    return Metadata(
        name=compiled.name,
        target=str(target),
        driver=target.driver,
        inputs=compiled.inputs,
        outputs=compiled.outputs,
        in_structure={"tuple": list(range(len(compiled.inputs)))},
        out_structure=results[0] if len(results) == 1 else {"tuple": results},
        versions={p: importlib.metadata.version(p) for p in _VERSIONS} | compiled.artifact.about,
    )
