"""`jaxc dump`: the IR of a function after a stage or around a pass."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from jaxc_tools.commands.options import Arguments, Target
from jaxc_tools.errors import UsageError


def command(
    source: Annotated[str, typer.Argument(help="file.py:function, a saved stage, or -")],
    arguments: Arguments = "",
    stage: Annotated[
        str,
        typer.Option(
            help="jaxpr (if not said), lax, kernel, linalg, stablehlo, iree, llvm, llvm-opt; asm, "
            "ptx or spirv."
        ),
    ] = "",
    after: Annotated[
        str, typer.Option(metavar="PASS", help="The IR after this pass; all: after each.")
    ] = "",
    diff: Annotated[bool, typer.Option("--diff", help="What the pass (or each) changes.")] = False,
    all_stages: Annotated[str, typer.Option(metavar="DIR", help="Write every stage here.")] = "",
    target: Target = "cpu",
    loc: Annotated[bool, typer.Option("--loc", help="Print where each op comes from.")] = False,
) -> None:
    """Print the IR of a function after a stage of the pipeline, or after a pass."""
    from jaxc_tools import dump as dumping

    request = dumping.Request(source, arguments, target, loc)
    if all_stages and (stage or after or diff):
        raise UsageError("--all-stages writes every stage: leave out --stage, --after and --diff")
    if all_stages:
        print("\n".join(map(str, dumping.dump_all(request, all_stages))))
        return
    if not after and not diff:
        sys.stdout.write(dumping.dump(request, stage or dumping.JAXPR))
        return
    if stage not in ("", dumping.STABLEHLO):
        raise UsageError(f"--stage {stage}: --after and --diff show what a pass leaves, no stage")
    found = dumping.passes(request, after or dumping.ALL, stablehlo=stage == dumping.STABLEHLO)
    for number, ran in enumerate(found, 1):
        text = dumping.text_after(ran, number, diff)
        sys.stdout.write(dumping.colored(text) if diff and sys.stdout.isatty() else text)
