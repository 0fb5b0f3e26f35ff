"""Finds the function a user means by `file.py:function`, with jaxc as the file's jax."""

from __future__ import annotations

import difflib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxc_tools import alias
from jaxc_tools.errors import UsageError, one_line


def load_function(reference: str) -> Callable[..., Any]:
    """Import a file and return the function (or `object.method`) it names.

    Raises:
        UsageError: no such file or name, or the file fails when imported.
    """
    path_text, _, name = reference.rpartition(":")
    if not path_text or not name:
        raise UsageError(f"{reference!r}: expected file.py:function")
    path = _readable(path_text)
    alias.install()
    found: Any = _import_file(path)
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{path} has no {name!r}{_suggestion(found, part)}")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"{reference}: {name} is a {type(found).__name__}, not a function")
    return found


def load_pass(path: str) -> Callable[..., None]:
    """The pass of a user's file: the function or pattern that is named like the file.

    What `jax` means is left as it is: a process that tests passes may compare with real JAX.

    Raises:
        UsageError: no such file, it fails when imported, or holds no such pass.
    """
    from jaxc_compiler.plugins import check_pass

    name = Path(path).stem
    module = _import_file(_readable(path))
    if not hasattr(module, name):
        passes = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == name]
        has = f"; it has {', '.join(passes)}" if passes else ""
        raise UsageError(f"{path} has no {name!r}: a pass is named like its file{has}")
    try:
        return check_pass(getattr(module, name))
    except TypeError as error:
        raise UsageError(f"{path}: {error}") from None


def load_passes(paths: Sequence[str]) -> dict[str, Callable[..., None]]:
    """The passes of files by name, with jaxc as the files' jax.

    Raises:
        UsageError: of `load_pass`, and for two files of one name.
    """
    if paths:
        alias.install()
    found: dict[str, Callable[..., None]] = {}
    for path in paths:
        name = Path(path).stem
        if name in found:
            raise UsageError(f"--load {path}: there is a pass {name!r} already; rename one")
        found[name] = load_pass(path)
    return found


def user_error(error: BaseException, path: str) -> UsageError:
    """An error raised by the user's code, as one line that names their line."""
    frames = traceback.extract_tb(error.__traceback__)
    resolved = str(Path(path).resolve())
    lines = [frame.lineno for frame in frames if str(Path(frame.filename).resolve()) == resolved]
    where = f"{path}:{lines[-1]}" if lines else path
    return UsageError(f"{where}: {type(error).__name__}: {one_line(error)}")


def _readable(path: str) -> Path:
    if not Path(path).is_file():
        what = "is a directory" if Path(path).is_dir() else "no such file"
        raise UsageError(f"cannot read {path}: {what}")
    return Path(path)


def _import_file(path: Path) -> Any:
    sys.path.insert(0, str(path.resolve().parent))
    name = path.stem if path.stem not in sys.modules else f"_jaxc_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"cannot read {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UsageError(f"{path}:{error.lineno}: SyntaxError: {error.msg}") from None
    except (Exception, SystemExit) as error:
        raise user_error(error, str(path)) from None
    return module


def _suggestion(module: Any, name: str) -> str:
    close = difflib.get_close_matches(name, dir(module), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
