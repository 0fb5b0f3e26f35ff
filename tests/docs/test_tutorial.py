"""The tutorial is executed: every block prints what the page says it prints."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """(code, expected output) pairs of a page; output "" where the page shows none."""
    found: list[tuple[str, str]] = []
    for language, body in _BLOCK.findall(page.read_text()):
        if language == "python":
            found.append((body, ""))
        elif language == "text" and found:
            found[-1] = (found[-1][0], body)
    return found


@pytest.mark.parametrize("page", ["tutorial.md", "new_op.md"])
def test_page_prints_what_it_shows(page: str) -> None:
    pairs = blocks(DOCS / page)
    assert len(pairs) > 5
    namespace: dict[str, object] = {"__name__": "__tutorial__"}
    for code, expected in pairs:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page, "exec"), namespace)
        assert printed.getvalue() == expected, code
