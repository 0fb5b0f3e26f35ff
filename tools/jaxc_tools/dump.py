"""`jaxc dump`: the IR of a function after any stage of the pipeline.

The stages are `jaxpr`, which the frontend prints, and those of `jaxc_compiler.driver`. A stage
that was saved to a file, or comes from standard input, can be taken further.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from jaxc_tools.errors import UsageError
from jaxc_tools.loading import load_function, user_error
from jaxc_tools.specs import parse_args

JAXPR = "jaxpr"
STAGES = (JAXPR, "lax", "kernel", "linalg", "stablehlo", "iree", "asm")


def dump(source: str, arguments: str, stage: str, target: str) -> str:
    """Return the text of one stage.

    Args:
        source: `file.py:function`, a file with a saved stage, or `-` for one on standard input.
        arguments: shapes of the function's arguments (see `specs.parse_args`).
        stage: one of `STAGES`.
        target: a target of `jaxc_compiler.targets`.

    Raises:
        UsageError: unknown names, unreadable files, a function that does not trace.
    """
    if stage not in STAGES:
        raise UsageError(f"unknown stage {stage!r}; known are {', '.join(STAGES)}")
    if stage == JAXPR and _is_function(source):
        return str(trace_function(source, arguments)) + "\n"
    found = stages(source, arguments, target, until=stage)
    if stage not in found:
        raise UsageError(f"no stage {stage!r} here: there are {', '.join(found)}")
    return found[stage]


def dump_all(source: str, arguments: str, target: str, directory: str) -> list[Path]:
    """Write every stage to its own numbered file in `directory`; return the files."""
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for index, (name, text) in enumerate(stages(source, arguments, target).items()):
            suffix = {"jaxpr": "jaxpr", "asm": "s"}.get(name, "mlir")
            path = folder / f"{index:02d}-{name}.{suffix}"
            path.write_text(text)
            written.append(path)
    except OSError as error:
        raise UsageError(f"cannot write to {directory}: {error.strerror}") from None
    return written


def stages(source: str, arguments: str, target: str, until: str | None = None) -> dict[str, str]:
    """The text of every stage from the source on, in order, up to `until`."""
    from jaxc.lowering import lower_jaxpr
    from jaxc.physical import physicalize
    from jaxc_compiler import driver
    from jaxc_compiler.diagnostics import CompileError
    from jaxc_tools.compile import target_named

    compile_for = target_named(target)
    found = {}
    if _is_function(source):
        closed = trace_function(source, arguments)
        found[JAXPR] = f"{closed}\n"
        name, alone = source.rpartition(":")[2], until == "stablehlo"
        module = lower_jaxpr(physicalize(closed), name, embed_constants=alone)
    else:
        module = _parse(_read(source), source)
    try:
        return found | driver.dump_stages(module, compile_for, until=until)
    except (CompileError, NotImplementedError) as error:
        raise UsageError(f"{source}: {' '.join(str(error).split())}") from None


def _parse(text: str, source: str) -> Any:
    from jaxc_compiler import mlir
    from jaxc_compiler.diagnostics import from_mlir_error
    from jaxc_compiler.dialects import definition, kernel, lax

    if not text.strip():
        raise UsageError(f"{source}: no IR there")
    with mlir.LOCK:
        lax.load()
        kernel.load()
        try:
            return definition.parse(text)
        except mlir.ir.MLIRError as error:
            found = from_mlir_error("parse", error).diagnostics[0]
            raise UsageError(f"{source}: {' '.join(found.message.split())}") from None


def trace_function(source: str, arguments: str) -> Any:
    """The closed jaxpr of `file.py:function` on the given shapes."""
    function = load_function(source)
    specs = parse_args(arguments)
    from jaxc_tools.compile import trace

    try:
        return trace(function, specs)[0]
    except Exception as error:  # whatever the user's function raises is one line for the user
        raise user_error(error, source.rpartition(":")[0]) from None


def _is_function(source: str) -> bool:
    return re.search(r"\.py:[\w.]+\Z", source) is not None


def _read(source: str) -> str:
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
