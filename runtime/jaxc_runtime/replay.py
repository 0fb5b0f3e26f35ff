"""Runs a program again, alone, under IREE's profiler: how long each of its dispatches takes.

IREE's Python bindings cannot hold a profile, its benchmark tool can: the program and its inputs go
through files of a temporary folder. Imports NumPy and finds IREE's tools; knows no jaxpr.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from jaxc_runtime.device import HOST_DRIVERS
from jaxc_runtime.errors import readable


@dataclass(frozen=True)
class _Profiler:
    """How a driver is asked for the times of dispatches, and in which records it gives them."""

    modes: str
    record: str
    start: str


_HOST = _Profiler(
    "queue-events,host-execution,executable-metadata", "host_execution_event", "start_host_time_ns"
)
_PROFILERS = dict.fromkeys(HOST_DRIVERS, _HOST) | {
    "vulkan": _Profiler("dispatch-events,executable-metadata", "dispatch_event", "start_tick"),
}
_SECONDS = 0.4  # of running, about; a slow program runs a few times all the same
_FEWEST, _MOST = 3, 40
_PATIENCE = 300  # seconds


class ReplayError(RuntimeError):
    """A program whose dispatches cannot be timed; the message says why."""


@dataclass(frozen=True)
class DispatchRun:
    """One dispatch: its function, how often it runs in a call, and the seconds of all its runs."""

    name: str
    count: float
    seconds: float


def time_dispatches(
    vmfb: bytes, inputs: Sequence[np.ndarray], driver: str, call_seconds: float
) -> list[DispatchRun]:
    """Time the dispatches of a program, in the order they first run.

    Args:
        vmfb: the program; its function is `main`.
        inputs: its arguments.
        driver: the device driver it is for, or the address of its device; only a CPU's and
            Vulkan's report dispatches.
        call_seconds: about what one call takes: decides how often it runs.

    Raises:
        ReplayError: another device, a program that does not run alone or does not end, no tool.
    """
    profiler = _PROFILERS.get(driver.partition("://")[0])
    if profiler is None:
        raise ReplayError(f"driver {driver!r} does not report the times of dispatches")
    times = int(min(max(_SECONDS / max(call_seconds, 1e-6), _FEWEST), _MOST))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "program.vmfb").write_bytes(vmfb)
        command = [
            _tool("iree-benchmark-module"),
            f"--module={path / 'program.vmfb'}",
            f"--device={driver}",
            "--function=main",
            *[_input(path, number, array) for number, array in enumerate(inputs)],
            f"--device_profiling_mode={profiler.modes}",
            f"--device_profiling_output={path / 'run.ireeprof'}",
            f"--benchmark_min_time={times}x",
        ]
        _run(command)
        rows = _run([
            _tool("iree-profile"), "export", "--format=ireeperf-jsonl", str(path / "run.ireeprof"),
        ])  # fmt: skip
    found = [row for row in map(json.loads, rows.splitlines()) if _is_time(row, profiler)]
    found.sort(key=lambda row: row[profiler.start])
    return _summary(found, times)


def _is_time(row: dict[str, Any], profiler: _Profiler) -> bool:
    right = row["record_type"] == profiler.record and row.get("op", "dispatch") == "dispatch"
    return right and "duration_ns" in row


def _summary(events: list[dict[str, Any]], times: int) -> list[DispatchRun]:
    """Of all calls, the median: the first ones find cold caches."""
    per_call = max(len(events) // times, 1)
    order = list(dict.fromkeys(row["key"] for row in events))
    sums: dict[str, list[float]] = defaultdict(list)
    for first in range(0, len(events) - per_call + 1, per_call):
        call: dict[str, float] = dict.fromkeys(order, 0.0)
        for row in events[first : first + per_call]:
            call[row["key"]] += row["duration_ns"] / 1e9
        for name, seconds in call.items():
            sums[name].append(seconds)
    counts = {name: sum(row["key"] == name for row in events) / times for name in order}
    return [DispatchRun(name, counts[name], median(sums[name])) for name in order]


_LETTERS = {"i": "i", "u": "i", "f": "f"}


def _input(folder: Path, number: int, array: np.ndarray) -> str:
    """An argument of the tool that reads an array from a file."""
    dtype = array.dtype
    if dtype.kind == "c":  # its notation has no complex numbers, its files do
        np.save(folder / f"{number}.npy", array)
        return f"--input=@{folder / f'{number}.npy'}"
    if dtype.kind == "b":
        element = "i1"
    elif dtype.kind in _LETTERS:
        element = f"{_LETTERS[dtype.kind]}{dtype.itemsize * 8}"
    elif dtype.name == "bfloat16":
        element = "bf16"
    else:
        raise ReplayError(f"an argument of dtype {dtype.name} cannot be read from a file")
    file = folder / f"{number}.bin"
    file.write_bytes(np.ascontiguousarray(array).tobytes())
    shape = "".join(f"{extent}x" for extent in array.shape)
    return f"--input={shape}{element}=@{file}"


def _tool(name: str) -> str:
    import iree._runtime_libs as libraries

    path = Path(libraries.__path__[0]) / name
    if not path.exists():
        raise ReplayError(f"IREE's tool {name} is not installed")
    return str(path)


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise ReplayError(f"it does not run alone: no end after {_PATIENCE} seconds") from None
    if done.returncode != 0:
        problem = readable(done.stderr.strip() or "no message")
        raise ReplayError(f"it does not run alone: {problem[:200]}")
    return done.stdout
