"""Runs several `jaxc` commands in one process that has not imported real JAX."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_RUNNER = """
import contextlib, io, json, sys
from jaxc_tools import cli
for arguments in json.loads(sys.stdin.read()):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(arguments)
    print(json.dumps([status, out.getvalue(), err.getvalue()]))
"""


class Done(NamedTuple):
    """What one command did."""

    status: int
    out: str
    err: str


def run_commands(commands: Sequence[Sequence[object]], folder: Path) -> list[Done]:
    """The results of the commands, run one after the other in `folder`."""
    arguments = json.dumps([[str(word) for word in command] for command in commands])
    process = subprocess.run(
        [sys.executable, "-c", _RUNNER], input=arguments, capture_output=True, text=True, cwd=folder
    )
    assert process.returncode == 0, process.stderr
    return [Done(*json.loads(line)) for line in process.stdout.splitlines()]
