"""Compiler errors that name the user's own source line.

Owns `CompileError`, how MLIR's and IREE's diagnostics become one, and who hears what stops nothing.
Imports nothing of ours.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnostic:
    """One message of the compiler; file is None where the position is not known."""

    severity: str  # "error", "warning", "note", "remark"
    message: str
    file: str | None = None
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.file else ""
        return f"{where}{self.severity}: {self.message}"


class CompileError(RuntimeError):
    """A module that does not compile. `diagnostics` holds all messages, the cause first."""

    def __init__(self, stage: str, diagnostics: list[Diagnostic]):
        self.stage = stage
        self.diagnostics = diagnostics
        errors = [d for d in diagnostics if d.severity == "error"] or diagnostics
        text = "\n".join(map(str, errors[:5])) or "no message"
        super().__init__(f"compiling failed at the {stage} stage:\n{text}")


_collecting: list[list[Diagnostic]] = []  # the innermost last; a pass runs under the context's lock


def emit(diagnostic: Diagnostic) -> None:
    """Say something that stops nothing: to who collects, or else as a line of the log `jaxc`."""
    if _collecting:
        _collecting[-1].append(diagnostic)
    else:
        logging.getLogger("jaxc").warning(str(diagnostic))


@contextmanager
def collected() -> Iterator[list[Diagnostic]]:
    """What is emitted meanwhile, as a list that grows."""
    found: list[Diagnostic] = []
    _collecting.append(found)
    try:
        yield found
    finally:
        _collecting.pop()


# MLIR prints `"file":1:2: error: text` and `loc("name"("file":1:2))`, IREE `file:1:2: error: text`.
_QUOTED = re.compile(r'"(?P<file>[^"\n]+)":(?P<line>\d+):(?P<column>\d+)\)*:?\s*(?P<rest>.*)', re.S)
_PLAIN = re.compile(r"(?P<file>[^:\n]+):(?P<line>\d+):(?P<column>\d+):\s*(?P<rest>.*)", re.S)


def parse_diagnostic(text: str, severity: str = "error") -> Diagnostic:
    """Read a message with its position, or a location alone."""
    text = text.strip().removeprefix("loc(unknown):").strip()
    match = _PLAIN.match(text) or _QUOTED.search(text)
    if match is None:
        return Diagnostic(severity, _without_severity(text))
    position = match["file"].strip('"'), int(match["line"]), int(match["column"])
    return Diagnostic(severity, _without_severity(match["rest"]), *position)


def _without_severity(text: str) -> str:
    """The first paragraph (call stacks follow), without the long list of the CPU's features."""
    text = text.strip().split("\n\n")[0]
    text = re.sub(r"#hal\.executable\.target<.*", "", text, flags=re.S)
    return re.sub(r"^(error|warning|note|remark):\s*", "", text)


def error_at(stage: str, location: object, message: str) -> CompileError:
    """A CompileError at an op's location (an MLIR location: its text is what is read)."""
    where = parse_diagnostic(str(location))
    return CompileError(stage, [Diagnostic("error", message, where.file, where.line, where.column)])


def from_mlir_error(stage: str, error: Exception) -> CompileError:
    """The CompileError of an exception that the MLIR bindings raised."""
    found = getattr(error, "error_diagnostics", None)
    if not found:
        return CompileError(stage, [Diagnostic("error", str(error))])
    return CompileError(stage, [parse_diagnostic(f"{d.location}: {d.message}") for d in found])
