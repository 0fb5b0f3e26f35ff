"""docs/seeing.md is executed: its files are written, its commands print what the page shows.

Numbers of a profile are not compared; `...` in an expected line stands for anything.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools.commands import run_commands

pytestmark = pytest.mark.compiler

PAGE = Path(__file__).parents[2] / "docs" / "seeing.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_page_shows_what_its_commands_print(tmp_path):
    commands: list[list[str]] = []
    expected: list[str] = []
    for language, body in _BLOCK.findall(PAGE.read_text()):
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", body)
            assert name, body
            (tmp_path / name[1]).write_text(body)
        elif language == "sh":
            commands.append(_words(body))
        else:
            expected.append(body)
    assert len(commands) == len(expected) > 5
    # The profiled script runs as __main__ and imports the model by name: it comes last.
    assert [words[0] for words in commands[:-1]].count("profile") == 0
    for words, done, text in zip(commands, run_commands(commands, tmp_path), expected, strict=True):
        shown = done.stdout or done.stderr
        if words[0] == "profile":
            shown, text = _without_numbers(shown), _without_numbers(text)
        pattern = re.escape(text.strip()).replace(re.escape("..."), ".*")
        assert re.fullmatch(pattern, shown.strip()), f"{' '.join(words)}: {shown}{done.stderr}"


def _words(command: str) -> list[str]:
    words = re.findall(r'"([^"]*)"|(\S+)', command)
    found = [quoted or plain for quoted, plain in words]
    assert found[0] == "jaxc", command
    return found[1:]


_MEASURED = re.compile(r"[\d.]+ (s|ms|us|%|GFLOP/s)")


def _without_numbers(text: str) -> str:
    """A profile's tables without what differs from run to run: times, rates, and their order."""
    lines = [" ".join(_MEASURED.sub(" ", line).split()) for line in text.splitlines()]
    return "\n".join(sorted(filter(None, lines)))
