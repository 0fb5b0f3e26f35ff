"""Where in the user's program an operation came from: file, line, column, function, name stack."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, NamedTuple

_ROOTS = tuple(
    os.path.dirname(os.path.abspath(__file__)).rsplit(os.sep, 1)[:1]
)  # the frontend package: frames below it are not the user's


class Frame(NamedTuple):
    """One line of the user's program (1-based line and column)."""

    file: str
    line: int
    column: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.function})"


class SourceInfo(NamedTuple):
    """A lazily resolved position: the code object and instruction of the user's frame."""

    code: CodeType | None
    lasti: int
    lineno: int
    name_stack: tuple[str, ...]

    def frame(self) -> Frame | None:
        if self.code is None:
            return None
        column = 0
        for i, position in enumerate(self.code.co_positions()):
            if i == self.lasti // 2:
                column = (position[2] or 0) + 1
                break
        return Frame(self.code.co_filename, self.lineno, column, self.code.co_name)


_internal: dict[str, bool] = {}


def is_internal(filename: str) -> bool:
    """Whether a file belongs to jaxc (or to the import machinery), not to the user."""
    known = _internal.get(filename)
    if known is None:
        known = filename.startswith((*_ROOTS, "<frozen")) or filename.endswith("contextlib.py")
        _internal[filename] = known
    return known


class _NameStack(threading.local):
    names: tuple[str, ...] = ()
    replayed: SourceInfo | None = None


_name_stack = _NameStack()


@contextmanager
def named_scope(name: str) -> Iterator[None]:
    """Adds `name` to the name stack of the operations traced inside the block."""
    if not isinstance(name, str):
        raise TypeError(f"named_scope: name must be a string, got {name!r}")
    before = _name_stack.names
    _name_stack.names = (*before, name)
    try:
        yield
    finally:
        _name_stack.names = before


@contextmanager
def at(info: SourceInfo | None) -> Iterator[None]:
    """Operations traced inside the block are said to come from `info` (a rewritten equation)."""
    before = _name_stack.replayed
    _name_stack.replayed = info
    try:
        yield
    finally:
        _name_stack.replayed = before


def user_frame(skip: int = 1) -> FrameType | None:
    """The innermost frame outside jaxc, or None."""
    frame: FrameType | None = sys._getframe(skip)
    while frame is not None and is_internal(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def current() -> SourceInfo:
    """The position of the user's call that is being traced."""
    if _name_stack.replayed is not None:
        return _name_stack.replayed
    frame = user_frame(2)
    if frame is None:
        return SourceInfo(None, 0, 0, _name_stack.names)
    return SourceInfo(frame.f_code, frame.f_lasti, frame.f_lineno, _name_stack.names)


def named(fun: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
    """`fun` with its operations in a name scope (`jax.named_call`)."""
    scope = name or getattr(fun, "__name__", "fun")

    @functools.wraps(fun)
    def scoped(*args: Any, **kwargs: Any) -> Any:
        with named_scope(scope):
            return fun(*args, **kwargs)

    return scoped
