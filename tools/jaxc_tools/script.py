"""`jaxc run script.py`: runs a Python script as `python script.py` would, with jaxc as its jax.

Owns `sys.argv`, `sys.path`, `__main__`, exit codes and tracebacks of the script.
"""

from __future__ import annotations

import importlib.machinery
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

from jaxc_tools import alias
from jaxc_tools.errors import UsageError

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def run_script(path: str, arguments: Sequence[str]) -> int:
    """Run the script at `path` and return its exit status.

    Raises:
        UsageError: the file cannot be read.
        SystemExit: the script exits; its status is in the exception.
    """
    source = _read(path)
    alias.install()
    module = ModuleType("__main__")
    module.__file__ = path
    module.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    module.__dict__["__builtins__"] = __builtins__
    sys.argv[:] = [path, *arguments]
    sys.path.insert(0, str(Path(path).resolve().parent))
    sys.modules["__main__"] = module
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        traceback.print_exception(error.with_traceback(None))
        return 1
    return _execute(code, module)


def _execute(code: CodeType, module: ModuleType) -> int:
    try:
        exec(code, module.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        error.__traceback__ = _below_this_file(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _below_this_file(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that is the script's own."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace
