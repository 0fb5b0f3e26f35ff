"""`jaxc cache`: what is kept of earlier compilations."""

from __future__ import annotations

from typing import Any

import typer

from jaxc_tools.errors import UsageError

app = typer.Typer(help="The cache of compiled programs.", no_args_is_help=True)


@app.command()
def stats() -> None:
    """Show where the cache is and what it holds."""
    found = _cache().stats()
    print(f"directory  {found.directory}{'' if found.enabled else ' (switched off)'}")
    print(f"programs   {found.entries}")
    print(f"size       {found.bytes / 1e6:.1f} MB of {found.max_bytes / 1e6:.0f} MB")


@app.command()
def clear() -> None:
    """Remove every cached program."""
    print(f"removed {_cache().clear()} programs")


def _cache() -> Any:
    from jaxc_runtime.cache import Cache

    try:
        return Cache()
    except ValueError as error:
        raise UsageError(str(error)) from None
