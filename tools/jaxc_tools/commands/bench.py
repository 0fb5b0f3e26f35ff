"""`jaxc bench`: the speed of programs relative to JAX."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    names: Annotated[list[str] | None, typer.Argument(help="which; all if none")] = None,
) -> None:
    """Time programs on jaxc and on JAX in one process; a ratio below 1 means jaxc is faster."""
    from rich.console import Console
    from rich.table import Table

    from jaxc_tools.bench import PROGRAMS, measure

    table = Table("program", "jaxc, us", "JAX, us", "ratio", box=None)
    does = {program.__name__: program.__doc__ or "" for program in PROGRAMS}
    for found in measure(tuple(names or ())):
        times = (f"{1e6 * found.jaxc:.1f}", f"{1e6 * found.jax:.1f}", f"{found.ratio:.2f}")
        table.add_row(f"{found.name}: {does[found.name].rstrip('.')}", *times)
    Console(width=110).print(table)
