"""`jaxc run`: a script whose jax is jaxc, or a compiled program."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jaxc_tools.errors import UsageError

# Everything after the path is the script's own.
SETTINGS = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
    "help_option_names": ["--help"],
}


def command(
    context: typer.Context,
    path: Annotated[str, typer.Argument(help="script.py or x.vmfb")],
) -> None:
    """Run a script whose jax is jaxc, or a compiled program.

    jaxc run script.py [its arguments]

    jaxc run model.vmfb --input x.npy --input "f32[3]=1,2,3" [--output y.npy] [--function f]
    """
    if path.endswith(".vmfb"):
        _run_vmfb(path, context.args)
        return
    from jaxc_tools.script import run_script

    raise typer.Exit(run_script(path, context.args))


def _run_vmfb(path: str, arguments: list[str]) -> None:
    options = _options(arguments, {"--input": [], "--output": [], "--function": [], "--driver": []})
    import numpy as np

    from jaxc_tools.program import run_program

    function, driver = (options[name][-1:] or [None] for name in ("--function", "--driver"))
    results = run_program(path, options["--input"], function[0], driver[0])
    outputs = options["--output"]
    if len(outputs) > len(results):
        raise UsageError(f"{path} has {len(results)} results, {len(outputs)} --output given")
    for index, result in enumerate(results):
        if index < len(outputs):
            _save(np, outputs[index], result)
        else:
            shape = ",".join(map(str, result.shape))
            print(f"result {index}: {result.dtype.name}[{shape}]\n{result}")


def _save(np: Any, path: str, array: Any) -> None:
    try:
        np.save(path, array)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def _options(arguments: list[str], options: dict[str, list[str]]) -> dict[str, list[str]]:
    """Sort `--name value` and `--name=value` by name."""
    rest = list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name not in options:
            raise UsageError(f"unknown option {name!r}; known are {', '.join(options)}")
        if not equals:
            if not rest:
                raise UsageError(f"option {name} needs a value")
            value = rest.pop(0)
        options[name].append(value)
    return options
