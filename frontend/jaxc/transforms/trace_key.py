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


def axis_key() -> Any:
    return tuple(_state.axis_env.items()) if _state.axis_env else ()
