"""`jax.profiler`: a trace of what a program spends its time on.

    with jax.profiler.trace("profile"):
        step(parameters, batch)

writes `profile/jaxc.trace.json`, which https://ui.perfetto.dev and chrome://tracing open:
eager operations, calls of compiled programs with their dispatches, compilations, annotations.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from jaxc.core import recording
from jaxc.core.recording import Recorder
from jaxc.profiler.chrome import write_trace
from jaxc.profiler.profile import Profile, profile_of
from jaxc.transforms.jit import clear_caches

__all__ = [
    "Profile", "StepTraceAnnotation", "TraceAnnotation", "annotate_function", "profile_of",
    "record", "start_trace", "stop_trace", "trace", "write_trace",
]  # fmt: skip

FILE_NAME = "jaxc.trace.json"
_running: list[tuple[Recorder, Path]] = []


def start_trace(
    log_dir: Any,
    create_perfetto_link: bool = False,
    create_perfetto_trace: bool = False,
    profiler_options: Any = None,
) -> None:
    """Begin to record. Compiled programs are loaded anew, so that their calls are seen.

    Args:
      log_dir: the folder the trace is written to by `stop_trace`.
      create_perfetto_link, create_perfetto_trace, profiler_options: accepted as JAX does; the trace
        is always one that Perfetto opens.

    Raises:
      RuntimeError: if a trace is running.
      TypeError: if `log_dir` is no path.
    """
    folder = Path(log_dir)
    if recording.current is not None:
        raise RuntimeError("Profile has already been started. Only one profile may be run at once.")
    _running.append((_begin(), folder))


def stop_trace() -> None:
    """End the trace and write it.

    Raises:
      RuntimeError: if none is running.
    """
    if not _running:
        raise RuntimeError("No profile started")
    recorder, folder = _running.pop()
    _end(recorder)
    folder.mkdir(parents=True, exist_ok=True)
    write_trace(profile_of(recorder), folder / FILE_NAME)


@contextmanager
def trace(log_dir: Any, *args: Any, **kwargs: Any) -> Iterator[None]:
    """Record what happens inside and write it to `log_dir` (see `start_trace`)."""
    start_trace(log_dir, *args, **kwargs)
    try:
        yield
    finally:
        stop_trace()


@contextmanager
def record() -> Iterator[Recorder]:
    """Record what happens inside; `profile_of` makes a profile of what this gives.

    Example:
      >>> import jaxc as jax
      >>> with jax.profiler.record() as recorder:
      ...     _ = jax.numpy.sin(jax.numpy.ones(3))
      >>> [event.name for event in recorder.events][-1]
      'sin'
    """
    if recording.current is not None:
        raise RuntimeError("Profile has already been started. Only one profile may be run at once.")
    recorder = _begin()
    try:
        yield recorder
    finally:
        _end(recorder)


def _begin() -> Recorder:
    clear_caches()
    recording.current = Recorder()
    return recording.current


def _end(recorder: Recorder) -> None:
    recorder.stopped = perf_counter_ns()
    recording.current = None
    clear_caches()


class TraceAnnotation:
    """A span of the trace with a name of the user's.

    Example:
      >>> import jaxc as jax
      >>> with jax.profiler.TraceAnnotation("load batch"):
      ...     batch = jax.numpy.ones(3)
    """

    def __init__(self, name: str, **details: Any):
        self._name, self._details = name, details
        self._span: Any = None

    def __enter__(self) -> TraceAnnotation:
        self._span = recording.span(self._name, "annotation", self._details)
        self._span.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._span.__exit__(*error)


class StepTraceAnnotation(TraceAnnotation):
    """One step of a training loop: `StepTraceAnnotation("train", step_num=step)`."""


def annotate_function(
    func: Callable[..., Any], name: str | None = None, **details: Any
) -> Callable[..., Any]:
    """`func`, its calls named in the trace."""
    label = name or getattr(func, "__qualname__", "function")

    @functools.wraps(func)
    def annotated(*args: Any, **kwargs: Any) -> Any:
        with TraceAnnotation(label, **details):
            return func(*args, **kwargs)

    return annotated
