"""Writes `docs/passes.md` from the pipelines and the passes' docstrings.

python -m jaxc_tools.pass_docs > docs/passes.md
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxc_compiler import pipeline_text, pipelines
from jaxc_compiler.pipelines import Pipeline

_HEAD = """\
# The passes

Written by `python -m jaxc_tools.pass_docs` from the pipelines and the passes' own docstrings.
`jaxc opt --pass-pipeline=NAMES` runs any of them on IR, `jaxc opt --list-passes` lists them, and
[writing_passes.md](writing_passes.md) shows how to write one.

A program becomes a module of the `lax` dialect. Each stage is reached by the passes listed for it
and checked when they are done: an op that is not legal there is an error that names the user's
line.
"""
_ROOT = Path(__file__).parents[2]


def document() -> str:
    """The whole page."""
    whole = pipelines.all_pipelines()
    parts = [_HEAD, "## Pipelines\n"]
    for name, pipeline in whole.items():
        parts.append(f"`{name}`:\n\n" + _table(pipeline))
    parts.append("## Passes\n")
    for name, run_pass in pipeline_text.known_passes().items():
        parts.append(_section(name, run_pass))
    upstream = ", ".join(f"`mlir({name})`" for name in pipeline_text.UPSTREAM)
    parts.append(f"## Passes of MLIR's\n\nKnown to `--pass-pipeline`: {upstream}.\n")
    return "\n".join(parts)


def _table(pipeline: Pipeline) -> str:
    rows = ["| stage | pass | |", "|---|---|---|"]
    for stage, passes in pipeline:
        label = f"`{stage.name}`"
        for each in passes:
            first = pipeline_text.description(each).partition("\n")[0]
            rows.append(f"| {label} | [`{each.__name__}`](#{each.__name__}) | {first} |")
            label = ""
    return "\n".join(rows) + "\n"


def _section(name: str, run_pass: Callable) -> str:
    file = inspect.getsourcefile(run_pass) or ""
    where = ", ".join(dict.fromkeys(_places(name)))
    source = Path(file).relative_to(_ROOT).as_posix()
    body = "\n\n".join(_paragraphs(pipeline_text.description(run_pass)))
    reasons = "".join(f" There because: {reason}." for reason in _reasons(name))
    return f"### {name}\n\n{body}\n\nStage {where}.{reasons} [{source}](../{source})\n"


def _reasons(name: str) -> list[str]:
    """The comments of the list in `pipelines.py`: why the pass stands where it does."""
    lines = re.findall(rf"^ +{name},  # (.+)$", inspect.getsource(pipelines), re.MULTILINE)
    return list(dict.fromkeys(lines))


def _places(name: str) -> Iterator[str]:
    for pipeline_name, pipeline in pipelines.all_pipelines().items():
        for stage, passes in pipeline:
            if name in (each.__name__ for each in passes):
                yield f"`{stage.name}` of `{pipeline_name}`"


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of a docstring; those that show IR become blocks of code."""
    for paragraph in text.split("\n\n"):
        shows_ir = "->" in paragraph and ("%" in paragraph or '"' in paragraph)
        yield f"```mlir\n{textwrap.dedent(paragraph)}\n```" if shows_ir else paragraph


if __name__ == "__main__":
    sys.stdout.write(document())
