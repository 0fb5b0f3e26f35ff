"""`jaxc dump`: the IR of a function after any stage of the pipeline, and around any pass.

The stages are `jaxpr`, which the frontend prints, and those of `jaxc_compiler.dump`. A stage that
was saved to a file, or comes from standard input, can be taken further.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxc_tools.errors import UsageError, joined
from jaxc_tools.sources import (
    is_function,
    module_of_traced,
    parse_module,
    read_source,
    reject_arguments,
)

JAXPR = "jaxpr"
STABLEHLO = "stablehlo"
# Stages of every target in the order `--help` names them; which a target has, it says itself.
STAGES = (
    JAXPR, "lax", "kernel", "linalg", STABLEHLO, "iree", "llvm", "llvm-opt", "asm", "ptx", "spirv",
    "msl",
)  # fmt: skip
ALL = "all"
_SUFFIXES = {
    JAXPR: "jaxpr", "llvm": "ll", "llvm-opt": "ll", "asm": "s", "ptx": "ptx", "msl": "metal",
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What a user wants to look at.

    Attributes:
        source: `file.py:function`, a file with a saved stage, or `-` for one on standard input.
        arguments: shapes of the function's arguments (see `specs.parse_args`).
        target: a target of `jaxc_compiler.targets`, as users write it.
        locations: whether each op says where it comes from.
        donate: positions of donated arguments, as `0,2`; a jitted function's own if empty.
    """

    source: str
    arguments: str = ""
    target: str = "cpu"
    locations: bool = False
    donate: str = ""


def dump(request: Request, stage: str) -> str:
    """Return the text of one stage.

    Raises:
        UsageError: unknown names, unreadable files, a function that does not trace.
    """
    if stage not in STAGES:
        raise UsageError(f"unknown stage {stage!r}; known are {', '.join(STAGES)}")
    found = stages(request, until=stage)
    if stage not in found:
        raise UsageError(f"no stage {stage!r} here: there are {', '.join(found)}")
    return found[stage]


def dump_all(request: Request, directory: str) -> list[Path]:
    """Write every stage to its own numbered file in `directory`; return the files."""
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for index, (name, text) in enumerate(stages(request).items()):
            path = folder / f"{index:02d}-{name}.{_SUFFIXES.get(name, 'mlir')}"
            path.write_text(text)
            written.append(path)
    except OSError as error:
        raise UsageError(f"cannot write to {directory}: {error.strerror}") from None
    return written


def stages(request: Request, until: str | None = None) -> dict[str, str]:
    """The text of every stage from the source on, in order, up to `until`."""
    from jaxc_compiler import driver
    from jaxc_compiler import dump as dumping
    from jaxc_tools.compile import target_named

    target = target_named(request.target)
    first = (JAXPR,) if is_function(request.source) else ()
    names = tuple(dict.fromkeys((*first, *dumping.stage_names(target), STABLEHLO)))
    if until is not None and until not in names:
        raise UsageError(f"no stage {until!r} for {target}: there are {', '.join(names)}")
    traced = traced_of(request) if is_function(request.source) else None
    found = {JAXPR: f"{traced.closed}\n"} if traced else {}
    if traced and until == JAXPR:
        return found
    with compiling(request.source):
        module = module_of(request, traced, alone=until == STABLEHLO)
        if isinstance(module, bytes):
            return _from_linalg(module, target, until, request.locations)
        return found | driver.dump_stages(module, target, until=until, locations=request.locations)


def _from_linalg(code: bytes, target: Any, until: str | None, locations: bool) -> dict[str, str]:
    from jaxc_compiler import dump as dumping
    from jaxc_compiler import iree

    texts = {"linalg": iree.text_of(code, locations)}
    if until == "linalg":
        return texts
    return texts | dumping.dump_code(code, target, until, locations=locations)


def passes(request: Request, after: str, *, stablehlo: bool = False) -> list[Any]:
    """The passes named `after` (or `all`) with the text before and after each.

    Raises:
        UsageError: no pass of that name runs for the target; the message lists those that do.
    """
    from jaxc_compiler import dump as dumping
    from jaxc_tools.compile import target_named

    target = target_named(request.target)
    with compiling(request.source):
        module = module_of(request)
        if isinstance(module, bytes):
            raise UsageError(f"{request.source}: no pass of jaxc runs after the linalg stage")
        ran = dumping.dump_passes(module, target, stablehlo=stablehlo, locations=request.locations)
    names = list(dict.fromkeys(found.name for found in ran))
    if after != ALL and after not in names:
        raise UsageError(f"no pass {after!r} for {target}: there are {', '.join(names)}, or all")
    return [found for found in ran if after in (found.name, ALL)]


def text_after(found: Any, number: int, diff: bool) -> str:
    """What one pass left, or its changes, under a line that names it."""
    if not diff:
        return f"// after {found.name} ({number}), to stage {found.stage}\n{found.after}"
    names = (f"before {found.name} ({number})", f"after {found.name} ({number})")
    lines = difflib.unified_diff(
        found.before.splitlines(), found.after.splitlines(), *names, lineterm="", n=2
    )
    text = "\n".join(lines)
    return f"{text}\n" if text else f"// {found.name} ({number}): no change\n"


_COLORS = {"+": "\033[32m", "-": "\033[31m", "@": "\033[36m"}


def colored(diff: str) -> str:
    """A diff for a terminal: what a pass adds in green, what it removes in red."""
    lines = (
        f"{_COLORS[line[0]]}{line}\033[0m" if line[:1] in _COLORS else line
        for line in diff.splitlines()
    )
    return "\n".join(lines) + "\n"


def module_of(request: Request, traced: Any = None, *, alone: bool = False) -> Any:
    """The source's module; bytecode where it is a saved `linalg` stage, which IREE prints.

    Args:
        traced: its function, if it was traced already.
        alone: write constants into the module rather than taking them as arguments.
    """
    if is_function(request.source):
        return module_of_traced(traced or traced_of(request), alone=alone)
    reject_arguments(request.source, args=request.arguments, donate=request.donate)
    return _parse(read_source(request.source), request.source)


def traced_of(request: Request) -> Any:
    """The source's function as `jit` traces it (see `tracing.Traced`)."""
    from jaxc_tools.tracing import trace_reference

    return trace_reference(request.source, request.arguments, request.donate)


@contextmanager
def compiling(source: str) -> Iterator[None]:
    from jaxc_compiler.diagnostics import CompileError

    try:
        yield
    except (CompileError, NotImplementedError) as error:
        raise UsageError(f"{source}: {joined(error)}") from None


def _parse(text: str, source: str) -> Any:
    from jaxc_compiler import iree

    if re.search(r"^\s*hal\.executable|= flow\.|util\.optimization_barrier %", text, re.MULTILINE):
        return iree.bytecode_of(text)
    return parse_module(text, source)
