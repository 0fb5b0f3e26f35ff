"""`jaxc new-pass`: a pass and its test, from a template."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    name: Annotated[str, typer.Argument(help="The pass: fold_neg_of_neg.")],
    pattern: Annotated[
        bool, typer.Option("--pattern", help="One pattern, not a function.")
    ] = False,
    directory: Annotated[str, typer.Option("--directory", help="Where to write them.")] = ".",
) -> None:
    """Write a pass that runs and its test, to start from."""
    from jaxc_tools.new_pass import new_pass

    written = new_pass(name, "pattern" if pattern else "function", directory)
    for path in written:
        print(path)
    print(f"try: jaxc opt --load {written[0]} --pass-pipeline={name} file.py:function --args ...")
    print(f"     pytest {written[1]}")
