"""Threads that poll instead of sleeping, made to run only when a core has nothing else to do.

IREE's Vulkan queues wait for any of two semaphores. On Mesa's software device, llvmpipe, such a
wait is a loop without a pause: every opened device takes cores from all that runs beside it, as
long as the process lives. Imports nothing of ours.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")
_NICE = 10  # a tenth of the time of a thread that works
_LOOKS, _APART = 10, 0.005  # seconds: a thread that polls is seen running in one of them


@contextmanager
def set_back() -> Iterator[None]:
    """Set back those of the threads started in this context that go on running; Linux only."""
    before = _threads()
    yield
    started, polling = _threads() - before, set()
    for _ in range(_LOOKS if started else 0):
        time.sleep(_APART)
        polling |= {thread for thread in started if _state(thread) == "R"}
    for thread in polling:
        with suppress(OSError):  # it has ended
            os.setpriority(os.PRIO_PROCESS, thread, _NICE)


def _threads() -> set[int]:
    return {int(each.name) for each in _THREADS.iterdir()} if _THREADS.is_dir() else set()


def _state(thread: int) -> str:
    try:
        return (_THREADS / str(thread) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # it has ended
        return ""
