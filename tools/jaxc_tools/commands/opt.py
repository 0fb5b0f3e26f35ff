"""`jaxc opt`: passes run on IR."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from jaxc_tools.commands.options import Arguments, Load, Pipeline, Target
from jaxc_tools.errors import UsageError

FAILED = 1  # the diagnostics are not those that were expected


def command(
    source: Annotated[str, typer.Argument(help="IR, file.py:function, or - for stdin")] = "-",
    pipeline: Pipeline = "",
    output: Annotated[str, typer.Option("-o", "--output", help="The file to write.")] = "-",
    arguments: Arguments = "",
    target: Target = "cpu",
    load: Load = None,
    verify_diagnostics: Annotated[
        bool, typer.Option("--verify-diagnostics", help="Compare with // expected-error {{...}}.")
    ] = False,
    split_input_file: Annotated[
        bool, typer.Option("--split-input-file", help="Modules are between // ----- lines.")
    ] = False,
    print_before: Annotated[list[str] | None, typer.Option(help="Print the IR before it.")] = None,
    print_after: Annotated[list[str] | None, typer.Option(help="Print the IR after it.")] = None,
    print_before_all: Annotated[bool, typer.Option("--print-before-all")] = False,
    print_after_all: Annotated[bool, typer.Option("--print-after-all")] = False,
    timing: Annotated[bool, typer.Option("--timing", help="Time each pass.")] = False,
    verify_each: Annotated[bool, typer.Option("--verify-each", help="After each pass.")] = False,
    list_passes: Annotated[bool, typer.Option("--list-passes", help="And exit.")] = False,
) -> None:
    """Run passes on IR and print what they leave."""
    from jaxc_tools import opt

    if list_passes:
        print("\n".join(f"{name:36}{does}" for name, does in opt.list_passes()))
        return
    options = opt.Options(
        pipeline=pipeline,
        load=tuple(load or ()),
        target=target,
        print_before=frozenset([*(print_before or ()), *["*"] * print_before_all]),
        print_after=frozenset([*(print_after or ()), *["*"] * print_after_all]),
        timing=timing,
        verify_each=verify_each,
        split=split_input_file,
    )
    if verify_diagnostics:
        raise typer.Exit(_complain(opt.verify_diagnostics(source, options)))
    _write(output, opt.optimize(source, options, arguments))


def _complain(complaints: list[str]) -> int:
    print("\n".join(complaints), end="\n" * bool(complaints), file=sys.stderr)
    return FAILED if complaints else 0


def _write(path: str, text: str) -> None:
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
