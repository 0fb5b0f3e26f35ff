"""`jaxc explore`: a page that shows a function at every stage."""

from __future__ import annotations

from typing import Annotated

import typer

from jaxc_tools.commands.options import Arguments, Target


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

    size = explore(Request(source, arguments, target, donate=donate), output)
    print(f"{output}: {size / 1e3:.0f} kB")
