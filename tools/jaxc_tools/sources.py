"""What a user names as a program: `file.py:function`, a file of IR, or `-` for standard input."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from jaxc_tools.errors import UsageError


def is_function(source: str) -> bool:
    """Whether a source is `file.py:function`, not IR."""
    return re.search(r"\.py:[\w.]+\Z", source) is not None


def read_source(source: str) -> str:
    """The text of a file, or of standard input for `-`.

    Raises:
        UsageError: if it cannot be read.
    """
    if source == "-":
        return sys.stdin.read()
    try:
        return Path(source).read_text()
    except UnicodeDecodeError:
        raise UsageError(f"cannot read {source}: not a text file") from None
    except OSError as error:
        raise UsageError(
            f"cannot read {source}: {error.strerror} (expected file.py:function or saved IR)"
        ) from None


def lower_function(source: str, arguments: str) -> Any:
    """The `lax` module of `file.py:function`, its constants inside."""
    from jaxc_tools.tracing import trace_reference

    return module_of_traced(trace_reference(source, arguments), alone=True)


def module_of_traced(traced: Any, *, alone: bool = False) -> Any:
    """The `lax` module of a function.

    Args:
        traced: a `tracing.Traced`.
        alone: write constants into the module rather than taking them as arguments.
    """
    from jaxc.lowering import lower_jaxpr
    from jaxc.physical import physicalize

    closed = physicalize(traced.closed)
    return lower_jaxpr(closed, traced.name, traced.donated, embed_constants=alone)


def reject_arguments(source: str, **options: str) -> None:
    """Raises UsageError for `--args` or `--donate` of a program that says itself what they are."""
    if any(text.strip() for text in options.values()):
        names = " and ".join(f"--{name}" for name in options)
        raise UsageError(f"{source} says what its arguments are: leave out {names}")


def parse_module(text: str, source: str) -> Any:
    """A module of IR, every op of ours in it known and verified.

    Raises:
        UsageError: with the position of the first mistake.
    """
    from jaxc_compiler.diagnostics import CompileError
    from jaxc_compiler.dialects import kernel

    if not text.strip():
        raise UsageError(f"{source}: no IR there")
    try:
        return kernel.parse(text, source if Path(source).is_file() else None)
    except CompileError as error:
        raise UsageError(located(error.diagnostics[0], source)) from None


def located(diagnostic: Any, source: str) -> str:
    """A diagnostic as one line; MLIR calls a text that is no file `-`."""
    message = " ".join(diagnostic.message.split())
    if not diagnostic.file:
        return f"{source}: error: {message}"
    file = source if diagnostic.file == "-" else diagnostic.file
    return f"{file}:{diagnostic.line}:{diagnostic.column}: {diagnostic.severity}: {message}"
