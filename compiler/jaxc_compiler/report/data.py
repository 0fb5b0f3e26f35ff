"""The report as plain data, and how types and locations of any MLIR context are read into it.

Imports no MLIR: both our context's IR and IREE's are read with this.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Line(NamedTuple):
    """A line of the user's program (1-based)."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file.rpartition('/')[2]}:{self.line}"


@dataclass(frozen=True)
class OpUse:
    """One op of a dispatch.

    Attributes:
      name: in the op book.
      line: the user's, or None.
      type: of its first result, as `f32[8,3]`.
      flops: estimated operations, over all steps of the loops around it.
      work: its weight when the dispatch's time is split among ops.
      counted: false inside a loop whose steps depend on data, of which `flops` counts one.
    """

    name: str
    line: Line | None
    type: str
    flops: float
    work: float
    counted: bool = True


@dataclass
class Node:
    """A node of the dispatch graph.

    Attributes:
      id: unique in the report.
      kind: `argument`, `dispatch`, `host` (an op left to IREE or a call), `loop` or `result`.
      label: a dispatch's is its function's name in the executable.
      code: the executable function; two equal kernels share one.
      bytes_read, bytes_written: estimated, of one run.
      reason: why it is not part of the dispatch before it, or not in a kernel.
      inside: the id of the host loop or branch it runs in, or "".
      trips: of a loop, how often it runs; None if that depends on data. Of `n` branches each is
        said to run in one of `n` cases.
    """

    id: str
    kind: str
    label: str
    ops: list[OpUse] = field(default_factory=list)
    code: str = ""
    bytes_read: int = 0
    bytes_written: int = 0
    reason: str = ""
    inside: str = ""
    trips: float | None = 1

    @property
    def flops(self) -> float:
        return sum(op.flops for op in self.ops)

    @property
    def lines(self) -> list[Line]:
        """Where its ops come from, in order, each once."""
        return list(dict.fromkeys(op.line for op in self.ops if op.line))


@dataclass(frozen=True)
class Edge:
    """An array that goes from node to node; `in_place`: the target overwrites its memory."""

    source: str
    target: str
    type: str
    bytes: int
    in_place: bool = False


@dataclass(frozen=True)
class Loop:
    """A loop or branch of the program.

    Attributes:
      name: `scan`, `while` or `cond`.
      trips: how often it runs; None if that depends on data.
      place: the dispatch it runs in; "" for the host program.
      reason: why the host program runs it, if that is known.
    """

    name: str
    line: Line | None
    trips: int | None
    place: str
    reason: str = ""


@dataclass(frozen=True)
class Update:
    """An `at[]` update.

    Attributes:
      reason: why it copies its operand; empty if it works in place.
      known: whether that is known; IREE does not say it of all updates.
    """

    name: str
    line: Line | None
    place: str
    type: str
    reason: str = ""
    known: bool = True


@dataclass
class Report:
    """All that is known of one compiled function."""

    function: str
    target: str
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)

    @property
    def dispatches(self) -> list[Node]:
        return [node for node in self.nodes if node.kind == "dispatch"]

    @property
    def copies(self) -> list[Update]:
        """The updates that copy their operand."""
        return [update for update in self.updates if update.reason]

    @property
    def unknown_updates(self) -> list[Update]:
        """The updates of which nothing is known."""
        return [update for update in self.updates if not update.known]

    def around(self, node: Node) -> list[Node]:
        """The host loops and branches a node is in, from the inside out."""
        by_id = {loop.id: loop for loop in self.nodes if loop.kind == "loop"}
        found: list[Node] = []
        while node.inside:
            node = by_id[node.inside]
            found.append(node)
        return found

    def runs_of(self, node: Node) -> tuple[float, bool]:
        """How often a node runs, and whether that is all: false where a loop's steps depend on
        data, of which one is counted."""
        trips = [loop.trips for loop in self.around(node)]
        return math.prod(n for n in trips if n is not None), None not in trips

    def lines(self) -> dict[Line, list[tuple[Node, OpUse]]]:
        """What was made of each of the user's lines."""
        found: dict[Line, list[tuple[Node, OpUse]]] = defaultdict(list)
        for node in self.nodes:
            for op in node.ops:
                if op.line:
                    found[op.line].append((node, op))
        return dict(sorted(found.items()))

    def __str__(self) -> str:
        from jaxc_compiler.report.text import explain  # reads the user's sources

        return explain(self)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON's types."""
        data = dataclasses.asdict(self)
        for shown, node in zip(data["nodes"], self.nodes):
            shown["flops"] = node.flops
            shown["lines"] = [list(line) for line in node.lines]
        return data


_FRAME = re.compile(r'(?:"(?P<name>(?:[^"\\]|\\.)*)"\()?"(?P<file>[^"\n]+)":(?P<line>\d+):\d+')


def frames_of(location: Any) -> Iterator[tuple[str, Line]]:
    """The (op name, line) pairs of a location; a fused one has several."""
    for match in _FRAME.finditer(str(location)):
        name = (match["name"] or "").rpartition("/")[2]
        yield name, Line(match["file"], int(match["line"]))


def line_of(location: Any) -> Line | None:
    """The user's line of a location."""
    return next((line for _, line in frames_of(location)), None)


def type_name(mlir_type: Any) -> str:
    """`f32[8,3]` for a tensor type."""
    element = str(mlir_type.element_type).replace("!lax.key", "key").removeprefix("u")
    if str(mlir_type.element_type).startswith("ui"):
        element = "u" + element[1:]
    return f"{element}[{','.join('?' if d < 0 else str(d) for d in mlir_type.shape)}]"


def byte_size(mlir_type: Any) -> int:
    """What a tensor takes in memory."""
    name = str(mlir_type.element_type)
    bits = int((re.findall(r"\d+", name) or ["64"])[0]) * (2 if name.startswith("complex") else 1)
    return math.prod(mlir_type.shape) * max(bits // 8, 1)
