"""Pages of files and commands: the files are written, the commands run, the outputs compared.

A block of code after a line "`name`:" is a file of that name. A line of a `console` block that
begins with `$` is a command; what follows is its output, `...` standing for anything.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jaxc_compiler import pipeline_text
from jaxc_tools import pass_docs

pytestmark = pytest.mark.compiler
DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"(?:^`([\w.]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAMS = {"jaxc": "jaxc_tools", "pytest": "pytest"}


def run(command: str, folder: Path) -> str:
    program, *arguments = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-m", _PROGRAMS[program], *arguments],
        cwd=folder,
        env=os.environ | {"COLUMNS": "80", "PYTEST_ADDOPTS": "-p no:cacheprovider"},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def matches(output: str, expected: str) -> bool:
    pattern = re.escape(expected).replace(re.escape("..."), ".*?")
    return re.fullmatch(pattern, output, re.DOTALL) is not None


@pytest.mark.parametrize("page", ["writing_passes.md"])
def test_commands_print_what_the_page_shows(page, tmp_path):
    commands = 0
    for name, language, body in _BLOCK.findall((DOCS / page).read_text()):
        if name:
            (tmp_path / name).write_text(body)
        if language != "console":
            continue
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            output = run(command, tmp_path)
            assert matches(output, expected), f"$ {command}\n{output}"
            commands += 1
    assert commands


def test_the_page_of_passes_is_up_to_date():
    assert (DOCS / "passes.md").read_text() == pass_docs.document(), "run jaxc_tools.pass_docs"


def test_every_pass_shows_what_it_does():
    for name, run_pass in pipeline_text.known_passes().items():
        assert "->" in pipeline_text.description(run_pass), f"{name}: no IR before and after"
