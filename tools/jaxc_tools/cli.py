"""The `jaxc` command: its list of subcommands, and how a user's mistake is reported.

A mistake ends as one line on standard error and exit status 2.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import typer

from jaxc_tools.errors import UsageError

USAGE_ERROR = 2

# A module of `jaxc_tools.commands` each, in the order `--help` lists them.
COMMANDS = (
    "run", "dump", "why", "explore", "profile", "compile", "inspect", "opt", "new-pass", "bench",
    "devices", "cache",
)  # fmt: skip

app = typer.Typer(
    name="jaxc",
    help="Run, inspect and compile JAX programs with an MLIR compiler.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _add(name: str) -> None:
    module: Any = importlib.import_module(f"jaxc_tools.commands.{name.replace('-', '_')}")
    if hasattr(module, "app"):
        app.add_typer(module.app, name=name)
        return
    app.command(name, context_settings=getattr(module, "SETTINGS", None))(module.command)


for _name in COMMANDS:
    _add(_name)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the entry point of `jaxc`. Returns the exit status."""
    command = typer.main.get_command(app)
    try:
        status = command.main(arguments, prog_name="jaxc", standalone_mode=False)
    except UsageError as error:
        return _complain(str(error))
    except typer.Abort:
        return 130
    except Exception as error:
        if not hasattr(error, "format_message"):  # not the parser's: a bug, so show it all
            raise
        message = " ".join(error.format_message().split())
        if message:
            return _complain(message)
        return USAGE_ERROR
    return status if isinstance(status, int) else 0


def _complain(message: str) -> int:
    print(f"jaxc: {message}", file=sys.stderr)
    return USAGE_ERROR


if __name__ == "__main__":
    sys.exit(main())
