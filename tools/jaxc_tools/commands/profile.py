"""`jaxc profile`: where a script's time went, as tables and a trace."""

from __future__ import annotations

from typing import Annotated

import typer

# Everything after the script is its own.
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True,
            "allow_interspersed_args": False}  # fmt: skip


def command(
    context: typer.Context,
    script: Annotated[str, typer.Argument(help="script.py; what follows is its own")],
    output: Annotated[
        str, typer.Option("-o", "--output", help="The trace, for ui.perfetto.dev.")
    ] = "trace.json",
    top: Annotated[int, typer.Option(min=1, help="Rows of the tables.")] = 15,
) -> None:
    """Run a script whose jax is jaxc; show time per dispatch and per line, and write a trace."""
    from rich.console import Console

    from jaxc_tools import profile

    path = profile.writable(output)
    status, found = profile.profile_script(script, context.args)
    console = Console(stderr=False, width=110, highlight=False)
    console.print()
    profile.show(found, top, console)
    profile.write(found, path)
    console.print(f"\n{output}: {len(found.recorder.events)} events")
    raise typer.Exit(status)
