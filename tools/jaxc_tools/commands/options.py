"""Options that several commands take, stated once."""

from __future__ import annotations

from typing import Annotated

import typer

Arguments = Annotated[
    str, typer.Option("--args", help='Shapes of its arguments: "f32[8,3], i32[]".')
]
Target = Annotated[
    str, typer.Option("--target", help="cpu, cuda, vulkan, rocm, metal; with a chip: cuda:sm_89.")
]
Pipeline = Annotated[
    str, typer.Option("--pass-pipeline", help="Names: passes, stages, cpu, mlir(cse).")
]
Load = Annotated[list[str] | None, typer.Option("--load", help="A file of a pass of yours.")]
