"""What a profile is made of: eager operations, calls of compiled programs, annotations, in time.

Owns the recorder. `current` is None unless something is recorded; the two places that look at it
are where an eager kernel runs and where a program is loaded. Times are `perf_counter_ns`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any, NamedTuple

from jaxc.core import source
from jaxc_compiler.opset.op import OPS
from jaxc_compiler.plugins import PipelineSpec


class Event(NamedTuple):
    """Something that took time.

    Attributes:
      category: `eager`, `program`, `compile` or `annotation`.
      start, duration: ns.
      line: the user's file and line.
      call: for a program, which one (an index of `Recorder.programs`).
    """

    name: str
    category: str
    start: int
    duration: int
    thread: int
    line: tuple[str, int] | None = None
    call: int = -1
    details: dict[str, Any] | None = None


@dataclass
class Program:
    """A compiled program that ran.

    Attributes:
      closed: its jaxpr, for what each dispatch holds.
      donated: for each argument whether its buffer may be overwritten.
      vmfb: what was loaded.
      driver: the driver of the device it was loaded for, or the device's address.
      device: the device, if it is not the host's CPU.
      pipeline: what the user said about its passes.
      inputs: copies of the buffers of its first call, to run it again.
    """

    name: str
    closed: Any
    donated: tuple[bool, ...]
    vmfb: bytes
    driver: str
    device: Any = None
    pipeline: PipelineSpec | None = None
    inputs: list[Any] = field(default_factory=list)


class Recorder:
    """Records from when it is made `current` until it is not."""

    def __init__(self) -> None:
        self.started = perf_counter_ns()
        self.stopped = self.started
        self.events: list[Event] = []
        self.programs: list[Program] = []
        self._names = {op.numpy: name for name, op in OPS.items()}

    def add(self, name: str, category: str, start: int, **more: Any) -> None:
        """An event that began at `start` and ends now."""
        duration = perf_counter_ns() - start
        thread = threading.get_ident()
        self.events.append(Event(name, category, start, duration, thread, **more))

    def eager(self, run: Callable, kernel: Callable, *values: Any, **params: Any) -> Any:
        """Run a kernel and record it under the op's name and the user's line."""
        start = perf_counter_ns()
        result = run(kernel, *values, **params)
        duration = perf_counter_ns() - start
        name = self._names.get(kernel) or getattr(kernel, "__name__", "operation")
        thread = threading.get_ident()
        self.events.append(Event(name, "eager", start, duration, thread, _line()))
        return result

    def watch(self, loaded: Any, program: Program) -> Callable[[list[Any]], list[Any]]:
        """A loaded program whose calls are recorded while this recorder is the current one."""
        number = len(self.programs)
        self.programs.append(program)

        def run(buffers: list[Any]) -> list[Any]:
            if current is not self:
                return loaded(buffers)
            if not program.inputs:
                program.inputs = _copies(program, buffers)
            start = perf_counter_ns()
            results = loaded(buffers)
            self.add(program.name, "program", start, line=_line(), call=number)
            return results

        return run


current: Recorder | None = None


def _copies(program: Program, buffers: list[Any]) -> list[Any]:
    from jaxc.core.array import physical_dtype, physical_shape
    from jaxc_runtime import buffer

    avals = [*(v.aval for v in program.closed.jaxpr.constvars), *program.closed.in_avals]
    fetch = buffer.to_numpy if program.device is None else program.device.runtime.to_numpy
    return [
        fetch(b, physical_shape(a), physical_dtype(a)).copy()
        for b, a in zip(buffers, avals, strict=True)
    ]


def _line() -> tuple[str, int] | None:
    frame = source.user_frame(3)
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else None


@contextmanager
def span(name: str, category: str, details: dict[str, Any] | None = None) -> Iterator[None]:
    """Record what happens inside, if anything is recorded."""
    recorder = current
    if recorder is None:
        yield
        return
    start = perf_counter_ns()
    try:
        yield
    finally:
        recorder.add(name, category, start, line=_line(), details=details)
