"""The explorer: a page that shows a program at every stage, with what was decided about it.

`page_of` is the entry point. One HTML file, no network: the data is JSON inside it, the template,
style and script are files of this folder. Knows no frontend: it is handed the jaxpr's rows.
"""

from __future__ import annotations

import difflib
import html
import json
import linecache
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jaxc_compiler import dump, pipelines
from jaxc_compiler.diagnostics import CompileError
from jaxc_compiler.dump import PassText
from jaxc_compiler.explorer.lines import Row, read
from jaxc_compiler.mlir import ir
from jaxc_compiler.pipelines import Pipeline
from jaxc_compiler.report import AtKernelStage, Report
from jaxc_compiler.report.data import Line
from jaxc_compiler.report.flow import report_of_flow
from jaxc_compiler.report.updates import updates_of
from jaxc_compiler.stages import Stage
from jaxc_compiler.targets import Target

_LARGEST_STAGE = 4000  # rows; the rest is one `jaxc dump` away
_LARGEST_FILE = 1500
_AROUND = 40  # lines of a larger file that are shown before and after those that are used
_SCRIPTS = ("columns.js", "graph.js", "decisions.js", "keys.js")
_LEFT_OUT = frozenset({"llvm-opt"})  # the assembly says the same

# One row of the frontend's stage and the user's files and lines it comes from.
JaxprRow = tuple[str, Sequence[tuple[str, int]]]


class Page:
    """The page: a notebook shows it, `save` writes it.

    Attributes:
      html: the whole document.
      problem: why IREE does not compile the program; empty if it does.
    """

    def __init__(self, document: str, problem: str = ""):
        self.html = document
        self.problem = problem

    def save(self, path: str | Path) -> None:
        """Write the page to a file."""
        Path(path).write_text(self.html, encoding="utf-8")

    def _repr_html_(self) -> str:
        """What a notebook shows: the page in a frame of its own."""
        source = html.escape(self.html, quote=True)
        style = "width:100%;height:820px;border:1px solid #8886"
        return f'<iframe srcdoc="{source}" style="{style}" title="jaxc explore"></iframe>'

    def __repr__(self) -> str:
        return f"Page({len(self.html)} characters)"


class _Watch(dump.PassTexts):
    """Keeps texts with locations at stages and without around passes."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}

    def after_stage(self, stage: Stage, module: ir.Module) -> None:
        self.texts[stage.name] = dump.text_of(module, locations=True)


def page_of(
    module: ir.Module,
    target: Target,
    jaxpr: Sequence[JaxprRow] = (),
    defined_at: tuple[str, int] | None = None,
    pipeline: Pipeline | None = None,
) -> Page:
    """Compile a program stage by stage and make its page.

    Args:
      module: the `lax` module, which is lowered in place.
      target: what it is compiled for.
      jaxpr: the frontend's stage.
      defined_at: the file and line of the function.
      pipeline: what lowers it; default is the target's own.

    Raises:
      CompileError: if one of our passes fails.
    """
    watch, kernels = _Watch(), AtKernelStage(target)
    name = module.operation.attributes["sym_name"].value
    updates = updates_of(module)
    code = pipelines.lower(module, target, [watch, kernels], pipeline)
    report, below, problem = kernels.report or Report(name, str(target)), {}, ""
    try:
        if dump.is_irees(target):
            report = kernels.report or report_of_flow(code, target, updates)
            below = dump.dump_code(code, target, locations=True)
    except CompileError as error:  # the stages before the one that fails are worth a look
        problem = " ".join(str(error).split())
    known = list(report.lines())
    found: dict[str, list[Row]] = {}
    if jaxpr:
        found["jaxpr"] = [Row(text, [Line(*line) for line in lines]) for text, lines in jaxpr]
    for name, text in (watch.texts | below).items():
        if name not in _LEFT_OUT:
            found[name] = read(name, dump.without_large_constants(text), known)
    data = _data(report, found, watch.passes, defined_at) | {"problem": problem}
    return Page(_document(data), problem)


def _data(
    report: Report,
    found: dict[str, list[Row]],
    passes: list[PassText],
    defined_at: tuple[str, int] | None,
) -> dict[str, Any]:
    keys: dict[Line, int] = {}

    def key(line: Line) -> int:
        return keys.setdefault(line, len(keys))

    for line in sorted(report.lines()):
        key(line)
    shown = [_stage(name, rows, key) for name, rows in found.items()]
    for decided in (*report.updates, *report.loops):
        if decided.line is not None:
            key(decided.line)
    start = Line(*defined_at) if defined_at else None
    files = sorted({line.file for line in [*keys, *([start] if start else [])]})
    files.sort(key=lambda file: start is None or file != start.file)
    used = {file: [line.line for line in keys if line.file == file] for file in files}
    return {
        "start": start.line if start else 0,
        "report": report.as_json(),
        "summary": str(report).split("\n", 1)[0] if report.nodes else "",
        "files": [_source(file, used[file] or [start.line if start else 1]) for file in files],
        "keys": [[files.index(line.file), line.line] for line in keys],
        "stages": shown,
        "passes": [_pass(ran) for ran in passes],
    }


def _stage(name: str, rows: list[Row], key: Callable[[Line], int]) -> dict[str, Any]:
    kept = rows[:_LARGEST_STAGE]
    return {
        "name": name,
        "text": [row.text for row in kept],
        "keys": [[key(line) for line in row.lines] for row in kept],
        "nodes": [row.node for row in kept],
        "cut": len(rows) - len(kept),
    }


def _source(file: str, used: list[int]) -> dict[str, Any]:
    """A file of the user's program; of a large one the part that is used."""
    lines = [line.rstrip("\n") for line in linecache.getlines(file)]
    first = 1
    if len(lines) > _LARGEST_FILE:
        first = max(min(used) - _AROUND, 1)
        lines = lines[first - 1 : max(used) + _AROUND]
    kept = lines[:_LARGEST_FILE]
    cut = len(lines) - len(kept)
    return {"name": Path(file).name, "path": file, "first": first, "lines": kept, "cut": cut}


def _pass(ran: PassText) -> dict[str, Any]:
    before, after = (
        dump.without_large_constants(text).splitlines() for text in (ran.before, ran.after)
    )
    changes = [] if before == after else list(difflib.unified_diff(before, after, lineterm="", n=3))
    return {
        "name": ran.name,
        "stage": ran.stage,
        "added": sum(line.startswith("+") for line in changes[2:]),
        "removed": sum(line.startswith("-") for line in changes[2:]),
        "diff": [line[:500] for line in changes[2:_LARGEST_STAGE]],
    }


def _document(data: dict[str, Any]) -> str:
    """The template with its parts; in JSON `<` is escaped, so no text of the user ends a script."""
    page, style = _file("page.html"), _file("page.css")
    script = "\n".join(map(_file, _SCRIPTS))
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    title = f"{data['report']['function']} for {data['report']['target']}"
    parts = {"@TITLE@": html.escape(title), "@STYLE@": style, "@SCRIPT@": script, "@DATA@": text}
    for mark, part in parts.items():
        page = page.replace(mark, part, 1)
    return page


def _file(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")
