"""`docs/deploy.md` does what it shows: its files are written, its commands run, and print that."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[tuple[str, str]]:
    """Each `$` line with the lines below it."""
    parts = [part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(command, output) for command, _, output in parts]


@pytest.mark.compiler
def test_the_page(tmp_path):
    tools = Path(sys.executable).parent
    path = os.pathsep.join([str(tools), os.environ.get("PATH", "")])
    ran = []
    for _, block in _BLOCK.findall(PAGE.read_text()):
        named = re.match(r"# (\w+\.py)\n", block)
        if named:
            (tmp_path / named[1]).write_text(block)
        for command, output in commands(block):
            words = re.sub(r"^jaxc ", f"{sys.executable} -m jaxc_tools ", command)
            done = subprocess.run(
                words, shell=True, cwd=tmp_path, capture_output=True, text=True,
                env=os.environ | {"PATH": path},
            )  # fmt: skip
            assert done.returncode == 0, (command, done.stderr)
            assert output.strip() in done.stdout, command
            ran.append(command)
    assert len(ran) == 8
    assert "8x16xf32=[-0.734493 -0.671402" in done.stdout
