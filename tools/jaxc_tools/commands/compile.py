"""`jaxc compile`: functions become one file that runs alone."""

from __future__ import annotations

from typing import Annotated

import typer

from jaxc_tools.commands.options import Load, Pipeline


def command(
    sources: Annotated[
        list[str], typer.Argument(help="file.py:function, one or several, or StableHLO: model.mlir")
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="The file to write.")],
    arguments: Annotated[
        list[str] | None,
        typer.Option("--args", help='Shapes of its arguments: "f32[8,3], i32[]"; one a function.'),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="cpu, cuda:sm_89, vulkan:llvmpipe, ...; several make one file for all."),
    ] = None,
    donate: Annotated[
        list[str] | None,
        typer.Option(help="Arguments that may be overwritten: 0,2; one a function."),
    ] = None,
    weights: Annotated[
        str, typer.Option(help="inline, or file: in a parameter archive beside the output.")
    ] = "inline",
    pipeline: Pipeline = "",
    load: Load = None,
) -> None:
    """Compile functions, and all they close over, to one file that runs alone."""
    from jaxc_tools.compile import compile_references

    metadata = compile_references(
        sources, arguments or [], output, target or ["cpu"], donate or [], weights,
        pipeline=pipeline, load=load or (),
    )  # fmt: skip
    targets = ", ".join(entry.target for entry in metadata.programs)
    for signature in metadata.functions:
        print(f"{output}: {signature} for {targets}")
    if metadata.weights is not None:
        print(f"{metadata.weights.file}: weights, {metadata.weights.size} bytes")
