"""`jaxc devices`: what compiled programs can run on."""

from __future__ import annotations


def command() -> None:
    """List the devices that compiled programs can run on, and the drivers that find none."""
    from rich.console import Console
    from rich.table import Table

    from jaxc_runtime import device

    table = Table("driver", "device", "address", box=None)
    for found in device.query():
        name = found["name"] if "error" not in found else "[dim]not on this machine[/dim]"
        table.add_row(found["driver"], name, "" if "error" in found else found["uri"])
    Console().print(table)
