"""The report as lines for a person to read. Imports the report's data only."""

from __future__ import annotations

import linecache
from collections import Counter
from collections.abc import Iterator

from jaxc_compiler.report.data import Line, Node, Report

_UNITS = ("", "k", "M", "G", "T")
_NOT_RECORDED = "IREE forms the dispatches of this target and does not record why."


def amount(value: float, unit: str) -> str:
    """A number of bytes or operations: `4.0 kB`, `88.5 kFLOP`, `12 B`.

    >>> amount(88454, "FLOP"), amount(12, "B")
    ('88.5 kFLOP', '12 B')
    """
    power = 0
    while value >= 1000 and power < len(_UNITS) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.1f} {_UNITS[power]}{unit}" if power else f"{value:.0f} {unit}"


def source_of(line: Line | None, width: int = 60) -> str:
    """The text of a line of the user's program, cut to `width`."""
    text = linecache.getline(line.file, line.line).strip() if line else ""
    return text if len(text) <= width else text[: width - 3] + "..."


def explain(report: Report) -> str:
    """The report as text: dispatches, what is outside of them, loops and updates, with reasons."""
    places = _Places(report)
    parts = [_summary(report), "", "dispatches"]
    for node in report.dispatches:
        parts += _dispatch(node, places, [loop.label for loop in report.around(node)])
    if not report.dispatches:
        parts.append("  none: nothing is computed")
    parts += _section("not in a kernel", _host_ops(report, places))
    parts += _section("loops", _loops(report, places))
    parts += _section("at[] updates", _updates(report, places))
    if not report.target.startswith("cpu"):
        parts += ["", _NOT_RECORDED]
    return "\n".join(parts) + "\n"


class _Places:
    """`file:line  source` in columns of one width."""

    def __init__(self, report: Report):
        lines = {
            *report.lines(),
            *(u.line for u in report.updates),
            *(x.line for x in report.loops),
        }
        known = [line for line in lines if line is not None]
        self.width = max((len(str(line)) for line in known), default=0)
        self.source = max((len(source_of(line)) for line in known), default=0)

    def __call__(self, line: Line | None) -> str:
        name = str(line) if line else "(no line)"
        return f"{name:<{self.width}}  {source_of(line):<{self.source}}"


def _summary(report: Report) -> str:
    count = len(report.dispatches)
    dispatches = f"{count} dispatch{'' if count == 1 else 'es'}"
    outside = sum(node.kind == "host" for node in report.nodes)
    if outside:
        dispatches += f" and {outside} op{'' if outside == 1 else 's'} in no kernel"
    return f"{report.function} for {report.target}: {dispatches}, about {_amounts(report)}"


def _amounts(report: Report) -> str:
    """The work of a call, and that of a step of the loops whose steps nobody can count."""
    flops, moved = [0.0, 0.0], [0.0, 0.0]
    for node in report.nodes:
        times, complete = report.runs_of(node)
        for op in node.ops:
            flops[not (complete and op.counted)] += times * op.flops
        moved[not complete] += times * (node.bytes_read + node.bytes_written)
    whole = f"{amount(flops[0], 'FLOP')}, {amount(moved[0], 'B')} moved"
    if not (flops[1] or moved[1]):
        return whole
    step = f"{amount(flops[1], 'FLOP')}, {amount(moved[1], 'B')} moved"
    return f"{whole}, and per step of loops whose length data decide {step}"


def _section(title: str, lines: Iterator[str]) -> list[str]:
    found = Counter(lines)  # a library function may come to the same on one line many times
    shown = [line if count == 1 else f"{line} (x{count})" for line, count in found.items()]
    return ["", title, *shown] if found else []


def _dispatch(node: Node, places: _Places, around: list[str]) -> Iterator[str]:
    size = f"{len(node.ops)} op{'' if len(node.ops) == 1 else 's'}, {amount(node.flops, 'FLOP')}"
    moved = f"reads {amount(node.bytes_read, 'B')}, writes {amount(node.bytes_written, 'B')}"
    shared = f", runs the code of {node.code}" if node.code not in ("", node.label) else ""
    branch = ", in a branch" if "cond" in around else ""
    every = ", every step of a loop" if {"scan", "while"} & {*around} else ""
    yield f"  {node.label}: {size}, {moved}{shared}{branch}{every}"
    if node.reason:
        yield f"    not fused with the one before: {node.reason}"
    for line in [*node.lines, *([None] if any(not op.line for op in node.ops) else [])]:
        names = Counter(op.name for op in node.ops if op.line == line)
        yield f"    {places(line)}  {', '.join(_times(*item) for item in names.items())}"


def _times(name: str, count: int) -> str:
    return name if count == 1 else f"{name} x{count}"


def _host_ops(report: Report, places: _Places) -> Iterator[str]:
    for node in report.nodes:
        if node.kind == "host":
            line = node.lines[0] if node.lines else None
            yield f"  {places(line)}  {node.label}: {node.reason}"


def _loops(report: Report, places: _Places) -> Iterator[str]:
    for loop in report.loops:
        steps = {None: "as many steps as its condition allows"}.get(
            loop.trips, f"{loop.trips} steps"
        )
        kind = loop.name if loop.name == "cond" else f"{loop.name}, {steps}"
        where = f"runs inside {loop.place}" if loop.place else "runs in the host program"
        reason = f", because {loop.reason}" if loop.reason else ""
        yield f"  {places(loop.line)}  {kind}: {where}{reason}"


def _updates(report: Report, places: _Places) -> Iterator[str]:
    for update in report.updates:
        verdict = f"copies {update.type}: {update.reason}" if update.reason else "in place"
        verdict = verdict if update.known else "not known for this target"
        yield f"  {places(update.line)}  {update.name}: {verdict}"
