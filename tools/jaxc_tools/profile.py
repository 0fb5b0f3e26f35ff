"""`jaxc profile`: runs a script whose jax is jaxc and says where its time went."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxc_tools.errors import UsageError
from jaxc_tools.script import run_script


def writable(output: str) -> Path:
    """The absolute path of a file that can be written, as it is before a script changes folders.

    Raises:
        UsageError: if it cannot.
    """
    path = Path(output).resolve()
    existed = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from None
    if not existed:
        path.unlink()
    return path


def profile_script(path: str, arguments: Sequence[str]) -> tuple[int, Any]:
    """Run a script and return its exit status and its profile.

    Raises:
        UsageError: an unreadable script.
    """
    from jaxc import profiler

    with profiler.record() as recorder:
        try:
            status = run_script(path, arguments)
        except SystemExit as left:
            status = _status_of(left)
    return status, profiler.profile_of(recorder)


def write(found: Any, path: Path) -> None:
    """Write the trace of a profile.

    Raises:
        UsageError: if it cannot be written.
    """
    from jaxc import profiler

    try:
        profiler.write_trace(found, path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def _status_of(left: SystemExit) -> int:
    """The exit status; a message is printed, as Python does when a program ends with one."""
    if left.code is None or isinstance(left.code, int):
        return left.code or 0
    print(left.code, file=sys.stderr)
    return 1


def show(profile: Any, top: int, console: Console) -> None:
    """Print the tables of a profile: programs with their dispatches, lines, eager operations."""
    events = profile.recorder.events
    spent = {
        kind: sum(e.duration for e in events if e.category == kind) / 1e9
        for kind in ("program", "compile", "eager")
    }
    console.print(
        f"{_time(profile.seconds)} in all: {_time(spent['program'])} in compiled programs, "
        f"{_time(spent['eager'])} in eager operations, {_time(spent['compile'])} compiling"
    )
    _print(console, "compiled programs, and their dispatches when run alone", _programs(profile))
    _print(console, "lines (in programs: estimated from what their ops cost)", _lines(profile, top))
    _print(console, "eager operations", _eager(events, top))
    for program in profile.programs:
        if program.problem:
            console.print(f"{program.name}: no times of dispatches: {program.problem}")


def _print(console: Console, title: str, table: Table) -> None:
    if table.row_count:
        console.print()
        console.print(Text(title, style="bold"))
        console.print(table)


def _programs(profile: Any) -> Table:
    table = Table("", "calls", "a call", "total", "", "", box=None)
    whole = profile.seconds
    for program in sorted(profile.programs, key=lambda p: -p.seconds):
        count = len(program.calls)
        if not count:
            continue
        row = (str(count), _time(program.seconds / count), _time(program.seconds))
        table.add_row(program.name, *row, f"{100 * program.seconds / whole:.1f} %", "")
        for dispatch in program.dispatches:
            runs = f"{count * dispatch.count:.0f}"
            total = _time(count * dispatch.seconds)
            rate = dispatch.flops * dispatch.count / dispatch.seconds if dispatch.seconds else 0
            speed = f"{rate / 1e9:.1f} GFLOP/s" if rate else ""
            table.add_row(f"  {dispatch.name}", runs, _time(dispatch.seconds), total, "", speed)
        if program.dispatches:
            alone = sum(dispatch.seconds for dispatch in program.dispatches)
            rest = max(program.seconds - alone * count, 0.0)
            table.add_row("  the rest of the calls", "", _time(rest / count), _time(rest), "", "")
    return table


def _lines(profile: Any, top: int) -> Table:
    table = Table("line", "", "eager", "in programs", "", box=None)
    lines = sorted(profile.lines.items(), key=lambda item: -_line_seconds(item[1]))
    for (file, number), time in lines[:top]:
        text = linecache.getline(file, number).strip()
        share = f"{100 * _line_seconds(time) / profile.seconds:.1f} %"
        eager = _time(time.eager) if time.operations else ""
        compiled = _time(time.compiled) if time.compiled else ""
        source = Text(text if len(text) < 56 else text[:53] + "...")
        table.add_row(f"{Path(file).name}:{number}", source, eager, compiled, share)
    return table


def _line_seconds(time: Any) -> float:
    return time.eager + time.compiled


def _eager(events: list[Any], top: int) -> Table:
    table = Table("op", "calls", "a call", "total", box=None)
    found: dict[str, list[int]] = {}
    for event in events:
        if event.category == "eager":
            found.setdefault(event.name, []).append(event.duration)
    for name, times in sorted(found.items(), key=lambda item: -sum(item[1]))[:top]:
        total = sum(times) / 1e9
        table.add_row(name, str(len(times)), _time(total / len(times)), _time(total))
    return table


def _time(seconds: float) -> str:
    """`12.3 ms`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e6:.1f} us"
