"""Runs `jaxc` commands in one process for all tests of a worker, one that never imports real JAX.

A command takes milliseconds there instead of the second that starting a process takes. Commands
that are about a process of their own (`jaxc run script.py`) are run in one.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_SERVER = """
import contextlib, io, json, os, sys, traceback
from jaxc_tools import cli

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what native code prints is no answer
path = list(sys.path)
for line in sys.stdin:
    request = json.loads(line)
    os.chdir(request["folder"])
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        sys.stdin = io.StringIO(request["stdin"])
        try:
            status = cli.main(request["arguments"])
        except SystemExit as exit:
            status = exit.code
        except BaseException:
            traceback.print_exc()
            status = 1
    added = {*sys.path} - {*path}
    for name, module in list(sys.modules.items()):  # another test has files of the same names
        if os.path.dirname(str(getattr(module, "__file__", None))) in added:
            del sys.modules[name]
    sys.path[:] = path
    print(json.dumps([status, out.getvalue(), err.getvalue()]), file=answers, flush=True)
"""

Done = subprocess.CompletedProcess


@functools.cache
def _server() -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-c", _SERVER], text=True, **pipes)
    atexit.register(process.kill)
    return process


def jaxc(*arguments: object, stdin: str = "", folder: Path | None = None) -> Done[str]:
    """What a command printed, and its exit status, run in `folder` (default: the current one)."""
    server = _server()
    words = [str(word) for word in arguments]
    request = {"arguments": words, "stdin": stdin, "folder": str(folder or os.getcwd())}
    assert server.stdin is not None and server.stdout is not None
    print(json.dumps(request), file=server.stdin, flush=True)
    answer = server.stdout.readline()
    if not answer:
        _server.cache_clear()
        raise AssertionError(f"jaxc {' '.join(words)} ended the process: {server.wait()}")
    return Done(words, *json.loads(answer))


def run_commands(commands: Sequence[Sequence[object]], folder: Path) -> list[Done[str]]:
    """The results of the commands, run one after the other in `folder`."""
    return [jaxc(*command, folder=folder) for command in commands]
