"""The `jaxc` command: its subcommands and their options. The work is in the modules it calls.

Mistakes of the user end as one line on standard error and exit status 2. Imports of the compiler
and of the runtime are inside the commands that need them, so that each command starts fast.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from jaxc_tools.errors import UsageError

USAGE_ERROR = 2

app = typer.Typer(
    name="jaxc",
    help="Run, inspect and compile JAX programs with an MLIR compiler.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cache_app = typer.Typer(help="The cache of compiled programs.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")

Arguments = Annotated[
    str, typer.Option("--args", help='Shapes of its arguments: "f32[8,3], i32[]".')
]
Target = Annotated[str, typer.Option("--target", help="cpu, cuda, vulkan, rocm or metal.")]


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["--help"],
    }
)
def run(context: typer.Context, path: Annotated[str, typer.Argument(help="script.py or x.vmfb")]):
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


@app.command()
def dump(
    source: Annotated[str, typer.Argument(help="file.py:function, a saved stage, or -")],
    arguments: Arguments = "",
    stage: Annotated[
        str, typer.Option(help="jaxpr, lax, kernel, linalg, stablehlo, iree or asm.")
    ] = "jaxpr",
    all_stages: Annotated[str, typer.Option(metavar="DIR", help="Write every stage here.")] = "",
    target: Target = "cpu",
):
    """Print the IR of a function after a stage of the pipeline."""
    from jaxc_tools import dump as dumping

    if all_stages:
        for path in dumping.dump_all(source, arguments, target, all_stages):
            print(path)
        return
    sys.stdout.write(dumping.dump(source, arguments, stage, target))


@app.command(name="compile")
def compile_(
    source: Annotated[str, typer.Argument(help="file.py:function")],
    output: Annotated[str, typer.Option("-o", "--output", help="The file to write.")],
    arguments: Arguments = "",
    target: Target = "cpu",
    chip: Annotated[
        str, typer.Option(help='CPU or GPU model ("generic", "sm_80", ...); default: this CPU.')
    ] = "",
):
    """Compile a function, and all it closes over, to one file that runs alone."""
    from jaxc_tools.compile import compile_reference

    metadata = compile_reference(source, arguments, output, target, chip or None)
    inputs, outputs = (", ".join(map(str, specs)) for specs in (metadata.inputs, metadata.outputs))
    print(f"{output}: {metadata.name}({inputs}) -> ({outputs}) for {metadata.target}")


@app.command()
def bench(names: Annotated[list[str] | None, typer.Argument(help="which; all if none")] = None):
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


@app.command()
def devices():
    """List the devices that compiled programs can run on, and the drivers that find none."""
    from rich.console import Console
    from rich.table import Table

    from jaxc_runtime import device

    table = Table("driver", "device", "address", box=None)
    for found in device.query():
        name = found["name"] if "error" not in found else "[dim]not on this machine[/dim]"
        table.add_row(found["driver"], name, "" if "error" in found else found["uri"])
    Console().print(table)


@cache_app.command()
def stats():
    """Show where the cache is and what it holds."""
    found = _cache().stats()
    print(f"directory  {found.directory}{'' if found.enabled else ' (switched off)'}")
    print(f"programs   {found.entries}")
    print(f"size       {found.bytes / 1e6:.1f} MB of {found.max_bytes / 1e6:.0f} MB")


@cache_app.command()
def clear():
    """Remove every cached program."""
    print(f"removed {_cache().clear()} programs")


def _cache() -> Any:
    from jaxc_runtime.cache import Cache

    try:
        return Cache()
    except ValueError as error:
        raise UsageError(str(error)) from None


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
