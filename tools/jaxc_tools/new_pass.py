"""`jaxc new-pass`: a pass that runs and its test that passes, to start from."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path

from jaxc_tools.errors import UsageError

TEMPLATES = Path(__file__).parent / "templates"


def new_pass(name: str, kind: str, directory: str = ".") -> list[Path]:
    """Write `NAME.py` and `test_NAME.py`; returns them.

    Args:
        name: the pass's: a Python name in small letters, `fold_neg_of_neg`.
        kind: the template, "function" or "pattern".
        directory: where to; it must exist.

    Raises:
        UsageError: for a name that cannot be used, files that exist, a folder that does not.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise UsageError(f"no folder {directory}")
    files = {folder / f"{name}.py": kind, folder / f"test_{name}.py": "test"}
    for path in files:
        if path.exists():
            raise UsageError(f"{path} exists already")
    check_name(name)
    for path, template in files.items():
        text = (TEMPLATES / f"{template}.py.txt").read_text()
        try:
            path.write_text(text.replace("NAME", name))
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
    return list(files)


def check_name(name: str) -> None:
    """Raises UsageError for a name that no pass of a user's can have."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(f"{name!r} is no name of a pass: expected one like fold_neg_of_neg")
    from jaxc_compiler import pipeline_text

    if name in pipeline_text.known_passes() or name in pipeline_text.reserved_names():
        raise UsageError(f"{name!r} is a pass or a stage of jaxc's own")
    if importlib.util.find_spec(name) is not None:
        raise UsageError(f"{name!r} is a Python module, which {name}.py would hide")
