"""`jaxc why`: what was fused, what copies, which loops became kernels, and why."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from jaxc_tools.commands.options import Arguments, Target
from jaxc_tools.errors import UsageError


def command(
    source: Annotated[str, typer.Argument(help="file.py:function, or a saved lax stage")],
    arguments: Arguments = "",
    target: Target = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    donate: Annotated[
        str, typer.Option(metavar="N,...", help="Arguments whose memory may be overwritten.")
    ] = "",
    forbid_copies: Annotated[
        bool,
        typer.Option(
            "--forbid-copies",
            help="Exit with status 1 if an update copies, 2 if that is not known.",
        ),
    ] = False,
) -> None:
    """Explain what became of a function: its dispatches, loops and at[] updates, with reasons."""
    from jaxc_tools import why
    from jaxc_tools.dump import Request

    report = why.report_of(Request(source, arguments, target, donate=donate))
    if as_json:
        json.dump(report.as_json(), sys.stdout, indent=1)
        print()
    else:
        sys.stdout.write(str(report))
    if forbid_copies and report.copies:
        raise typer.Exit(1)
    if forbid_copies and report.unknown_updates:
        count = len(report.unknown_updates)
        message = f"whether {count} of the updates copy is not known for {report.target}"
        raise UsageError(f"{source}: {message}")
