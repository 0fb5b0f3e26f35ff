"""`jaxc dump`: the IR of a function after a stage of the pipeline."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from jaxc_tools.commands.options import Arguments, Target


def command(
    source: Annotated[str, typer.Argument(help="file.py:function, a saved stage, or -")],
    arguments: Arguments = "",
    stage: Annotated[
        str, typer.Option(help="jaxpr, lax, kernel, linalg, stablehlo, iree or asm.")
    ] = "jaxpr",
    all_stages: Annotated[str, typer.Option(metavar="DIR", help="Write every stage here.")] = "",
    target: Target = "cpu",
) -> None:
    """Print the IR of a function after a stage of the pipeline."""
    from jaxc_tools import dump as dumping

    if all_stages:
        for path in dumping.dump_all(source, arguments, target, all_stages):
            print(path)
        return
    sys.stdout.write(dumping.dump(source, arguments, stage, target))
