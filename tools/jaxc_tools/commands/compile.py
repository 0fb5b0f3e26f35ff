"""`jaxc compile`: a function becomes one file that runs alone."""

from __future__ import annotations

from typing import Annotated

import typer

from jaxc_tools.commands.options import Arguments, Target


def command(
    source: Annotated[str, typer.Argument(help="file.py:function, or StableHLO: model.mlir")],
    output: Annotated[str, typer.Option("-o", "--output", help="The file to write.")],
    arguments: Arguments = "",
    target: Target = "cpu",
) -> None:
    """Compile a function, and all it closes over, to one file that runs alone."""
    from jaxc_tools import stablehlo

    if stablehlo.is_stablehlo(source):
        metadata = stablehlo.compile_file(source, output, target)
    else:
        from jaxc_tools.compile import compile_reference

        metadata = compile_reference(source, arguments, output, target)
    inputs, outputs = (", ".join(map(str, specs)) for specs in (metadata.inputs, metadata.outputs))
    print(f"{output}: {metadata.name}({inputs}) -> ({outputs}) for {metadata.target}")
