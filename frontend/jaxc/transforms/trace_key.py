"""What a trace depends on besides its arguments: flags and named axes, as part of cache keys."""

from __future__ import annotations

import threading
from typing import Any

from jaxc.core.config import config
from jaxc.core.trace import _state


class _Flags(threading.local):
    version = -1
    key: Any = None


_flags = _Flags()
version = [0]  # of the flags: a list, so that reading it on the call path is one index


def _flags_changed() -> None:
    version[0] += 1


config.on_change(_flags_changed)


def flags_key() -> Any:
    if _flags.version != version[0]:
        _flags.key = config.trace_context()
        _flags.version = version[0]
    return _flags.key


def typed(params: dict[str, Any]) -> tuple[Any, ...]:
    """Parameters as part of a key: 1 and 1.0 are equal, but not what they make of an array."""
    return tuple([(name, _typed(params[name])) for name in sorted(params)])


def _typed(value: Any) -> Any:
    kind = type(value)
    return (kind, tuple(map(_typed, value)) if kind is tuple else value)


def axis_key() -> Any:
    return tuple(_state.axis_env.items()) if _state.axis_env else ()
