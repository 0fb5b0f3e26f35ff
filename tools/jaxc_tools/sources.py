"""What a user names as a program: `file.py:function`, a file of IR, or `-` for standard input."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from jaxc_tools.errors import UsageError
from jaxc_tools.loading import load_function, user_error
from jaxc_tools.specs import parse_args


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


def trace_function(source: str, arguments: str) -> Any:
    """The closed jaxpr of `file.py:function` on the given shapes.

    Raises:
        UsageError: if it cannot be loaded or traced.
    """
    function = load_function(source)
    specs = parse_args(arguments)
    from jaxc_tools.compile import trace

    try:
        return trace(function, specs)[0]
    except Exception as error:  # whatever the user's function raises is one line for the user
        raise user_error(error, source.rpartition(":")[0]) from None


def lower_function(source: str, arguments: str) -> Any:
    """The `lax` module of `file.py:function`, its constants inside."""
    from jaxc.lowering import lower_jaxpr
    from jaxc.physical import physicalize

    closed = physicalize(trace_function(source, arguments))
    return lower_jaxpr(closed, source.rpartition(":")[2], embed_constants=True)


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
        return kernel.parse(text)
    except CompileError as error:
        raise UsageError(located(error.diagnostics[0], source)) from None


def located(diagnostic: Any, source: str) -> str:
    """A diagnostic as one line; MLIR calls a text that is no file `-`."""
    message = " ".join(diagnostic.message.split())
    if not diagnostic.file:
        return f"{source}: error: {message}"
    file = source if diagnostic.file == "-" else diagnostic.file
    return f"{file}:{diagnostic.line}:{diagnostic.column}: {diagnostic.severity}: {message}"
