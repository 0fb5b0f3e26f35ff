"""A profile in the trace event format that Perfetto and chrome://tracing open."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from jaxc.core.recording import Event
from jaxc.profiler.profile import Profile, ProgramTime

# Each thread's events, and beside them what its programs run.
_DISPATCHES = "dispatches"


def write_trace(profile: Profile, path: str | Path) -> None:
    """Write a profile as JSON; times are microseconds from the start of the recording.

    Raises:
      OSError: if the file cannot be written.
    """
    document = {"traceEvents": _events(profile), "displayTimeUnit": "ms"}
    Path(path).write_text(json.dumps(document), encoding="utf-8")


def _events(profile: Profile) -> list[dict[str, Any]]:
    process = os.getpid()
    threads = sorted({event.thread for event in profile.recorder.events})
    numbers = {thread: 2 * index + 1 for index, thread in enumerate(threads)}
    found = [_name("process_name", "jaxc", process, 0)]
    for index, number in enumerate(numbers.values()):
        label = "Python" if index == 0 else f"Python thread {index}"
        found.append(_name("thread_name", label, process, number))
        found.append(_name("thread_name", f"{label}: {_DISPATCHES}", process, number + 1))
    for event in profile.recorder.events:
        where = {"pid": process, "tid": numbers[event.thread]}
        start = (event.start - profile.recorder.started) / 1e3
        found.append(_span(event, start) | where)
        if event.category == "program":
            program = profile.programs[event.call]
            where["tid"] += 1
            found += [slice_ | where for slice_ in _dispatches(program, event, start)]
    return found


def _name(kind: str, label: str, process: int, thread: int) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": label}}


def _span(event: Event, start: float) -> dict[str, Any]:
    args: dict[str, Any] = {k: str(v) for k, v in (event.details or {}).items()}
    if event.line:
        args["line"] = f"{event.line[0]}:{event.line[1]}"
    return {
        "ph": "X",
        "name": event.name,
        "cat": event.category,
        "ts": start,
        "dur": event.duration / 1e3,
        "args": args,
    }


def _dispatches(program: ProgramTime, event: Event, start: float) -> list[dict[str, Any]]:
    """The dispatches of one call, in the order and the proportions they have when run alone."""
    whole = sum(dispatch.seconds for dispatch in program.dispatches) * 1e6
    scale = min(1.0, event.duration / 1e3 / whole) if whole else 1.0
    found = []
    for dispatch in program.dispatches:
        duration = dispatch.seconds * 1e6 * scale
        lines = sorted(dispatch.shares, key=dispatch.shares.__getitem__, reverse=True)
        args = {
            "measured": "when the program ran alone",
            "runs": dispatch.count,
            "lines": ", ".join(f"{file}:{line}" for file, line in lines[:8]),
        }
        name = f"{program.name}: {dispatch.name}"
        slice_ = {"ph": "X", "name": name, "cat": "dispatch", "ts": start, "dur": duration}
        found.append(slice_ | {"args": args})
        start += duration
    return found
