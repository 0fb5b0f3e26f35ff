"""`jaxc bench`: the speed of a compiled program, or of named programs relative to JAX."""

from __future__ import annotations

from typing import Annotated

import typer

from jaxc_tools.errors import UsageError


def command(
    names: Annotated[
        list[str] | None, typer.Argument(help="model.vmfb, or names of programs; all if none")
    ] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="Of model.vmfb; random if none is given.")
    ] = None,
    function: Annotated[str | None, typer.Option(help="Of model.vmfb; all by default.")] = None,
    driver: Annotated[str | None, typer.Option(help="The device driver for model.vmfb.")] = None,
) -> None:
    """Time a compiled program, or programs on jaxc and on JAX: below 1 jaxc is faster.

    jaxc bench model.vmfb [--input "f32[3]=1,2,3"] [--function f] [--driver local-task]

    jaxc bench [matmul sort ...]
    """
    if names and names[0].endswith(".vmfb"):
        if len(names) > 1:
            raise UsageError("jaxc bench takes one .vmfb")
        _bench_file(names[0], inputs or [], function, driver)
        return
    if inputs or function or driver:
        raise UsageError("--input, --function and --driver are for a .vmfb")
    _bench_named(names or [])


def _bench_file(path: str, inputs: list[str], function: str | None, driver: str | None) -> None:
    from jaxc_tools.program import time_program

    for found in time_program(path, inputs, function, driver):
        count = found.dispatches
        launches = "" if count is None else f", {count} dispatch{'' if count == 1 else 'es'}"
        print(f"{found.signature} on {found.target}{launches}")
        print(
            f"  min {1e6 * found.least:.1f} us, median {1e6 * found.median:.1f} us per call "
            f"of {found.calls}"
        )


def _bench_named(names: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from jaxc_tools.bench import PROGRAMS, measure

    table = Table("program", "jaxc, us", "JAX, us", "ratio", box=None)
    does = {program.__name__: program.__doc__ or "" for program in PROGRAMS}
    for found in measure(tuple(names)):
        times = (f"{1e6 * found.jaxc:.1f}", f"{1e6 * found.jax:.1f}", f"{found.ratio:.2f}")
        table.add_row(f"{found.name}: {does[found.name].rstrip('.')}", *times)
    Console(width=110).print(table)
