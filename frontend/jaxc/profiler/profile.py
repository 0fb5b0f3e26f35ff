"""From what was recorded to a profile: programs, their dispatches, and the user's lines.

The time of a call is measured where it happened. How a call's time divides among its dispatches is
measured by running the program again, alone, on copies of its first inputs, under IREE's profiler.
How a dispatch's time divides among the user's lines is estimated from what their ops cost.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from jaxc.core.recording import Program, Recorder

Line = tuple[str, int]


@dataclass
class DispatchTime:
    """A dispatch of a program.

    Attributes:
      count: how often it runs in one call.
      seconds: that it takes of one call, all its runs together.
      shares: of its time, by the user's line: an estimate.
      flops: estimated, of one run; 0 if unknown.
    """

    name: str
    count: float
    seconds: float
    shares: dict[Line, float]
    flops: float = 0.0


@dataclass
class ProgramTime:
    """A compiled program: its calls and what they spend their time on.

    Attributes:
      calls: the seconds of each call.
      problem: why the dispatches are not known; empty if they are.
    """

    name: str
    calls: list[float] = field(default_factory=list)
    dispatches: list[DispatchTime] = field(default_factory=list)
    problem: str = ""

    @property
    def seconds(self) -> float:
        return sum(self.calls)

    @property
    def scale(self) -> float:
        """Of a dispatch's time when run alone, what fits into a call: 1, or less if it was slower.

        The first calls may have been slower, never faster, than what the program did alone.
        """
        alone = sum(d.seconds for d in self.dispatches) * len(self.calls)
        return min(1.0, self.seconds / alone) if alone else 1.0


@dataclass
class LineTime:
    """A line of the user: seconds of eager operations (measured) and in programs (estimated)."""

    eager: float = 0.0
    compiled: float = 0.0
    operations: int = 0


@dataclass
class Profile:
    """A whole profile; `seconds` is the time that was recorded."""

    recorder: Recorder
    seconds: float
    programs: list[ProgramTime]
    lines: dict[Line, LineTime]


def profile_of(recorder: Recorder) -> Profile:
    """The profile of what was recorded; runs each program again for its dispatches."""
    programs = [ProgramTime(program.name) for program in recorder.programs]
    lines: dict[Line, LineTime] = defaultdict(LineTime)
    for event in recorder.events:
        if event.category == "program":
            programs[event.call].calls.append(event.duration / 1e9)
        elif event.category == "eager" and event.line:
            lines[event.line].eager += event.duration / 1e9
            lines[event.line].operations += 1
    for program, time in zip(recorder.programs, programs):
        if time.calls:
            _time_dispatches(program, time)
            _add_lines(time, lines)
    seconds = (recorder.stopped - recorder.started) / 1e9
    return Profile(recorder, seconds, programs, dict(lines))


def _time_dispatches(program: Program, time: ProgramTime) -> None:
    from jaxc.backend import dispatches_of
    from jaxc_runtime import replay

    mean = time.seconds / len(time.calls)
    try:
        runs = replay.time_dispatches(program.vmfb, program.inputs, program.driver, mean)
    except replay.ReplayError as error:
        time.problem = str(error)
        return
    nodes = dispatches_of(program)
    for run in runs:
        node = nodes.get(run.name)
        shares = _shares(node) if node is not None else {}
        flops = node.flops if node is not None else 0.0
        time.dispatches.append(DispatchTime(run.name, run.count, run.seconds, shares, flops))


def _shares(node: Any) -> dict[Line, float]:
    """How a dispatch's work divides among the user's lines."""
    work: dict[Line, float] = defaultdict(float)
    for op in node.ops:
        if op.line is not None:
            work[tuple(op.line)] += max(op.work, 1.0)
    whole = sum(work.values())
    return {line: share / whole for line, share in work.items()}


def _add_lines(time: ProgramTime, lines: dict[Line, LineTime]) -> None:
    for dispatch in time.dispatches:
        seconds = dispatch.seconds * time.scale * len(time.calls)
        for line, share in dispatch.shares.items():
            lines[line].compiled += seconds * share
