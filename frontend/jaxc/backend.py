"""Where the frontend meets the compiler and the runtime: a jaxpr in, something that runs out.

Looks in the disk cache first: a program seen by an earlier process loads without MLIR.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from jaxc.core.jaxpr import ClosedJaxpr
from jaxc.core.printer import format_jaxpr
from jaxc.physical import physicalize
from jaxc_compiler import driver
from jaxc_runtime import executable
from jaxc_runtime.cache import Cache

Run = Callable[[list[Any]], list[Any]]
# One compilation at a time; of threads that want the same program, the others find it in the cache.
_COMPILING = threading.RLock()


@functools.cache
def disk_cache() -> Cache:
    return Cache()


def build(closed: ClosedJaxpr, *, name: str, donated: Sequence[bool] = ()) -> Run:
    """Compile and load a jaxpr.

    Returns:
      A function of device buffers: the jaxpr's constants, then its arguments.
    """
    closed = physicalize(closed)
    cache = disk_cache()
    key = driver.cache_key(format_jaxpr(closed), extra=(name, tuple(donated)))
    vmfb = cache.get(key)
    if vmfb is None:
        with _COMPILING:
            vmfb = cache.get(key) if cache.enabled else None
            if vmfb is None:
                vmfb = _compile(closed, name, donated)
                cache.put(key, vmfb)
    return executable.load(vmfb)


def _compile(closed: ClosedJaxpr, name: str, donated: Sequence[bool]) -> bytes:
    from jaxc.lowering import lower_jaxpr

    return driver.compile(lower_jaxpr(closed, name, donated)).vmfb


def stage_text(
    closed: ClosedJaxpr, stage: str, *, name: str = "main", donated: Sequence[bool] = ()
) -> str:
    """The IR of a jaxpr at a stage of the compiler.

    Raises:
      ValueError: for a stage that does not exist.
    """
    from jaxc.lowering import lower_jaxpr

    alone = stage == "stablehlo"  # a program for other tools, which know no hidden arguments
    module = lower_jaxpr(physicalize(closed), name, donated, embed_constants=alone)
    texts = driver.dump_stages(module, until=stage)
    if stage not in texts:
        raise ValueError(f"unknown stage {stage!r}: expected jaxpr, {', '.join(texts)}")
    return texts[stage]
