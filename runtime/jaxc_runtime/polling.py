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
_SETTLED_AFTER = 0.03  # seconds in which a thread that sleeps has gone to sleep


@contextmanager
def set_back() -> Iterator[None]:
    """Set back those of the threads started in this context that go on running; Linux only."""
    before = _running()
    yield
    if not _THREADS.is_dir():
        return
    time.sleep(_SETTLED_AFTER)
    for thread in _running() - before:
        with suppress(OSError):  # it has ended
            os.setpriority(os.PRIO_PROCESS, thread, _NICE)


def _running() -> set[int]:
    """The threads of this process that run or want to."""
    if not _THREADS.is_dir():
        return set()
    return {int(thread.name) for thread in _THREADS.iterdir() if _state(thread) == "R"}


def _state(thread: Path) -> str:
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # it has ended
        return ""
