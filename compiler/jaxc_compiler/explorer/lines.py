"""Where each line of a stage's text comes from: the user's lines, and the dispatch it belongs to.

MLIR is read with its `loc(...)` suffixes, which are removed; LLVM IR with its debug metadata,
assembly and PTX with `.loc`. Knows texts only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from jaxc_compiler.report.data import Line

# Parameters that are None, which the generic form of our ops prints by name.
_UNSET = re.compile(
    r"(?:, (?:accuracy|sharding|out_sharding|precision|out_dtype|fill_value|dimensions)(?=[,}]))"
    r"|(?: \{(?:accuracy|sharding|out_sharding|precision|out_dtype)\})"
    r"|(?:(?<=\{)(?:accuracy|out_dtype|precision|dimensions|fill_value), )"
)
_LONGEST = 400  # characters: what is longer (a CPU's features) is cut


@dataclass
class Row:
    """One line of a stage: its text, the user's lines, the dispatch it is part of."""

    text: str
    lines: list[Line] = field(default_factory=list)
    node: str = ""


def read(stage: str, text: str, known: Iterable[Line] = ()) -> list[Row]:
    """The rows of a stage's text.

    Args:
      stage: as `jaxc dump` names it.
      text: printed with locations, where the stage has them.
      known: the user's lines in the program: below MLIR only line numbers are left.
    """
    if stage in ("llvm", "llvm-opt"):
        rows = _llvm(text, known)
    elif stage in ("asm", "ptx"):
        rows = _assembly(text, known)
    else:
        rows = _mlir(_UNSET.sub("", text) if stage in ("lax", "kernel") else text)
    for row in rows:
        if len(row.text) > _LONGEST:
            row.text = row.text[:_LONGEST] + " ..."
    return rows


# -- MLIR ----------------------------------------------------------------------------------------

_ALIAS = re.compile(r"^(#loc\d*) = loc\((.*)\)$")
_PART = re.compile(r'"(?P<file>[^"]+)":(?P<line>\d+):\d+|(?P<alias>#loc\d*)\b')
_DISPATCH = re.compile(
    r"hal\.executable(?:\.source)? (?:private |public )?@(?P<hal>\w+)"
    r"|flow\.executable (?:private |public )?@(?P<flow>\w+)"
    r"|(?:llvm\.func|spirv\.func|spirv\.module) .*?@(?P<func>\w+)"
)
_CALL = re.compile(r"(?:flow|stream\.cmd|stream\.async)\.dispatch\b.*?@\w+::(?:@\w+::)?@(\w+)")


def _mlir(text: str) -> list[Row]:
    lines = text.rstrip().split("\n")
    aliases = {m[1]: m[2] for line in lines if (m := _ALIAS.match(line))}
    frames = {name: _frames(body, aliases) for name, body in aliases.items()}
    rows: list[Row] = []
    opened: dict[int, Row] = {}
    for line in lines:
        if _ALIAS.match(line):
            continue
        stripped, location = _without_locations(line)
        row = Row(stripped, _frames(location, aliases, frames))
        indent = len(stripped) - len(stripped.lstrip())
        if stripped.lstrip().startswith("}") and indent in opened:
            header = opened[indent]
            header.lines = header.lines or row.lines
        elif stripped.rstrip().endswith(("{", "({")):
            opened[indent] = row
        rows.append(row)
    while rows and not rows[-1].text.strip():
        rows.pop()
    _mark_dispatches(rows)
    return rows


def _frames(body: str, aliases: dict[str, str], known: dict | None = None) -> list[Line]:
    found: list[Line] = []
    for part in _PART.finditer(body):
        name = part["alias"]
        if name is None:
            found.append(Line(part["file"], int(part["line"])))
        elif known is not None:
            found += known.get(name, [])
        else:
            found += _frames(aliases.get(name, ""), aliases)
    return list(dict.fromkeys(found))


def _without_locations(line: str) -> tuple[str, str]:
    """A line without its `loc(...)`s, and the content of the one at its end."""
    out, position, last = "", 0, ""
    while (start := line.find(" loc(", position)) >= 0:
        end = _closing(line, start + 4)
        out += line[position:start]
        last = line[start + 5 : end] if end == len(line.rstrip()) - 1 else ""
        position = end + 1
    return out + line[position:], last


def _closing(line: str, start: int) -> int:
    depth, quoted = 0, False
    for k in range(start, len(line)):
        if line[k] == '"':
            quoted = not quoted
        elif not quoted:
            depth += (line[k] == "(") - (line[k] == ")")
            if depth == 0:
                return k
    return len(line) - 1


def _mark_dispatches(rows: list[Row]) -> None:
    """Name the dispatch of every row: kernels by number, executables by their functions."""
    kernels, current, limit = 0, "", -1
    for row in rows:
        indent = len(row.text) - len(row.text.lstrip())
        if current and indent <= limit and row.text.lstrip().startswith("}"):
            row.node, current = current, ""
            continue
        if not current:
            name = ""
            if '"kernel.fused' in row.text:
                name, kernels = f"kernel_{kernels}", kernels + 1
            elif (match := _DISPATCH.search(row.text)) and row.text.rstrip().endswith("{"):
                name = match["hal"] or match["flow"] or match["func"]
            if name:
                current, limit = name, indent
            elif call := _CALL.search(row.text):
                row.node = call[1]
        row.node = row.node or current


# -- LLVM IR and assembly ------------------------------------------------------------------------

_DEBUG = re.compile(r"^(![0-9]+) = (?:distinct )?!DILocation\(line: (\d+)")
_DBG = re.compile(r",? !dbg (![0-9]+)")
_DEFINE = re.compile(r'^define .*@"?([\w.]+)"?\(')
_LOC = re.compile(r"^\s*\.loc\s+\d+\s+(\d+)")
_LABEL = re.compile(r'^"?([A-Za-z_][\w.$]*)"?:')
_ENTRY = re.compile(r"\.entry (\w+)\(")
_NOISE = re.compile(
    r"^\s*(\.cfi_|\.loc\b|\.file\b|\.prefalign|\.Ltmp|\$L__tmp|//\s*(begin|end) in)"
)


def _by_number(known: Iterable[Line]) -> dict[int, Line | None]:
    """Line numbers that one file of the program has; debug information here keeps no file."""
    found: dict[int, Line | None] = {}
    for line in known:
        found[line.line] = line if found.get(line.line, line) == line else None
    return found


def _llvm(text: str, known: Iterable[Line]) -> list[Row]:
    numbers = _by_number(known)
    lines = text.split("\n")
    debug = {m[1]: int(m[2]) for line in lines if (m := _DEBUG.match(line))}
    rows, current = [], ""
    for line in lines:
        if line.startswith("!"):
            continue
        if define := _DEFINE.match(line):
            current = define[1]
        match = _DBG.search(line)
        found = numbers.get(debug.get(match[1], 0)) if match else None
        rows.append(Row(_DBG.sub("", line), [found] if found else [], current))
        if line == "}":
            current = ""
    return _trimmed(rows)


def _assembly(text: str, known: Iterable[Line]) -> list[Row]:
    numbers = _by_number(known)
    rows: list[Row] = []
    current, line_now = "", None
    for line in text.split("\n"):
        if re.match(r"\s*\.section\s+\.debug", line):
            break
        if loc := _LOC.match(line):
            line_now = numbers.get(int(loc[1]), line_now if loc[1] == "0" else None)
        if _NOISE.match(line):
            continue
        if entry := _ENTRY.search(line):
            current, line_now = entry[1], None
        elif (label := _LABEL.match(line)) and not label[1].startswith((".L", "$L")):
            current, line_now = label[1], None
        code = line.startswith(("\t", " ")) and not line.strip().startswith(".")
        rows.append(Row(line.expandtabs(8), [line_now] if code and line_now else [], current))
    return _trimmed(rows)


def _trimmed(rows: list[Row]) -> list[Row]:
    while rows and not rows[-1].text.strip():
        rows.pop()
    return rows
