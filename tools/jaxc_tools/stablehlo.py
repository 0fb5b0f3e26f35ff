"""`jaxc compile model.stablehlo.mlir`: StableHLO of other tools instead of a Python function."""

from __future__ import annotations

from pathlib import Path

from jaxc import stablehlo
from jaxc_compiler.diagnostics import CompileError
from jaxc_tools.errors import UsageError, joined

SUFFIXES = (".mlir", ".mlirbc", ".stablehlo")


def is_stablehlo(source: str) -> bool:
    """Whether what a user named is a file of StableHLO and not `file.py:function`."""
    return source.endswith(SUFFIXES)


def read_file(source: str) -> stablehlo.Program:
    """The program in a file: text, MLIR bytecode, or the portable encoding.

    Raises:
        UsageError: an unreadable file, no StableHLO, or an op that is not supported, at its line.
    """
    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from None
    try:
        return stablehlo.read(data)
    except CompileError as error:
        raise UsageError(f"{source}: {joined(error)}") from None
