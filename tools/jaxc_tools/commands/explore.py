"""`jaxc explore`: a page that shows a function at every stage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from jaxc_tools.commands.options import Arguments, Target

FAILED = 1  # the page ends at the stage that does not compile


def command(
    source: Annotated[str, typer.Argument(help="file.py:function")],
    output: Annotated[str, typer.Option("-o", "--output", help="The page to write.")],
    arguments: Arguments = "",
    target: Target = "cpu",
    donate: Annotated[
        str, typer.Option(metavar="N,...", help="Arguments whose memory may be overwritten.")
    ] = "",
) -> None:
    """Write one page with every stage side by side, the dispatch graph and the passes."""
    from jaxc_tools.dump import Request
    from jaxc_tools.explore import explore

    page = explore(Request(source, arguments, target, donate=donate), output)
    print(f"{output}: {Path(output).stat().st_size / 1e3:.0f} kB")
    if page.problem:
        print(f"jaxc: {source} does not compile: {page.problem}", file=sys.stderr)
        raise typer.Exit(FAILED)
