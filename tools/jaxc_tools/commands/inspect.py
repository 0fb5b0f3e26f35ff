"""`jaxc inspect`: what a compiled program says of itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jaxc_tools.errors import UsageError


def command(
    path: Annotated[str, typer.Argument(help="a file of `jaxc compile`")],
    as_json: Annotated[bool, typer.Option("--json", help="As data.")] = False,
    number: Annotated[
        int | None, typer.Option("--extract", help="Write this program as a plain .vmfb.")
    ] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="Where --extract writes.")] = "",
) -> None:
    """Show a compiled program's functions, targets, sizes, dispatches and updates in place."""
    from jaxc_tools.program import describe, extract

    if (number is None) != (not output):
        raise UsageError("--extract N needs -o FILE, and -o is for --extract")
    if number is not None:
        print(f"{output}: {extract(path, number, output)} bytes")
        return
    found = describe(path)
    if as_json:
        import json

        print(json.dumps(found, indent=1))
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    print(f"{found['file']}: {found['size']} bytes, made by {versions}")
    for function in found["functions"]:
        exported = f" (exported as {function['symbol']})"
        hidden = function["symbol"] == function["name"]
        print(f"  {function['signature']}{'' if hidden else exported}")
    if found["weights"]:
        weights = found["weights"]
        print(f"  weights in {weights['file']}, {weights['size']} bytes")
    for number, program in enumerate(found["programs"]):
        print(f"program {number}: {program['target']}, {program['length']} bytes")
        if program["arch"]:
            features = " ".join(program["features"]) or "no special features"
            print(f"  needs {program['arch']} with {features}")
        if program["about"]:
            print(f"  {', '.join(f'{key} {text}' for key, text in program['about'].items())}")
        for symbol, report in program["reports"].items():
            _show_report(symbol, report)


def _show_report(symbol: str, report: dict[str, Any]) -> None:
    count = report["dispatches"]
    print(f"  {symbol}: {count} dispatch{'' if count == 1 else 'es'}")
    for argument in report["reused"] or ():
        print(f"    input {argument}: its memory becomes a result's")
    if report["updates"] is None:
        print("    at[] updates: not known for this target")
    for update in report["updates"] or ():
        verdict = f"copies, because {update['reason']}" if update["reason"] else "in place"
        print(f"    {update['where']}: {update['op']}: {verdict}")
