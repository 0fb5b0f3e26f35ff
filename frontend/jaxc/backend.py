"""Where the frontend meets the compiler and the runtime: a jaxpr in, something that runs out.

Looks in the disk cache first: a program seen by an earlier process loads without MLIR.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from jaxc.core import defined, recording
from jaxc.core.config import config
from jaxc.core.devices import Device
from jaxc.core.jaxpr import ClosedJaxpr
from jaxc.core.printer import format_jaxpr, format_with_lines
from jaxc.core.recording import Program
from jaxc.errors import CopyInPlaceError
from jaxc.physical import physicalize
from jaxc_compiler import driver, targets
from jaxc_compiler.plugins import PipelineSpec
from jaxc_compiler.targets import Target
from jaxc_runtime import executable
from jaxc_runtime.cache import Cache

Run = Callable[[list[Any]], list[Any]]
# One compilation at a time; of threads that want the same program, the others find it in the cache.
_COMPILING = threading.RLock()
# A fork waits for a compilation of another thread: the child would have half of it.
os.register_at_fork(
    before=_COMPILING.acquire,
    after_in_parent=_COMPILING.release,
    after_in_child=_COMPILING.release,
)


@functools.cache
def disk_cache() -> Cache:
    return Cache()


def build(
    closed: ClosedJaxpr,
    *,
    name: str,
    donated: Sequence[bool] = (),
    pipeline: PipelineSpec | None = None,
) -> Run:
    """Compile and load a jaxpr.

    Returns:
      A function of device buffers: the jaxpr's constants, then its arguments.
    """
    vmfb = _artifact(closed, name, donated, None, pipeline)
    loaded = executable.load(vmfb)
    if recording.current is None:
        return loaded
    program = Program(
        name, physicalize(closed), tuple(donated), vmfb, loaded.device.driver, pipeline=pipeline
    )
    return recording.current.watch(loaded, program)


def build_for(
    device: Device,
    closed: ClosedJaxpr,
    *,
    name: str,
    donated: Sequence[bool] = (),
    pipeline: PipelineSpec | None = None,
) -> Run:
    """`build` for a device other than the host's CPU.

    Raises:
      DeviceError: a Vulkan device of an unknown chip.
      CompileError: the target cannot do what the program asks.
    """
    vmfb = _artifact(closed, name, donated, target_of(device), pipeline)
    loaded = device.runtime.load(vmfb)
    if recording.current is None:
        return loaded
    address = getattr(device.runtime, "uri", device.backend)
    program = Program(
        name, physicalize(closed), tuple(donated), vmfb, address, device, pipeline=pipeline
    )
    return recording.current.watch(loaded, program)


def target_of(device: Device) -> Target | None:
    """What programs for a device are compiled for; None for the host's CPU."""
    if device.is_host:
        return None
    return targets.get(device.runtime.target(config.jaxc_vulkan_chip or None))


def _artifact(
    closed: ClosedJaxpr,
    name: str,
    donated: Sequence[bool],
    target: Target | None,
    pipeline: PipelineSpec | None,
) -> bytes:
    closed = physicalize(closed)
    cache = disk_cache()
    users = _of_the_user(closed, pipeline)
    if users is None or config.jaxc_copy_in_place != "allow":  # copies are looked for every time
        with _COMPILING:
            return _compile(closed, name, donated, target, pipeline)
    extra = (name, tuple(donated), *users)
    key = driver.cache_key(format_jaxpr(closed), target, extra=extra)
    vmfb = cache.get(key)
    if vmfb is None:
        with _COMPILING:
            vmfb = cache.get(key) if cache.enabled else None
            if vmfb is None:
                vmfb = _compile(closed, name, donated, target, pipeline)
                cache.put(key, vmfb)
    return vmfb


def _of_the_user(closed: ClosedJaxpr, pipeline: PipelineSpec | None) -> tuple[str, ...] | None:
    """What passes and operations of the user's a program depends on.

    None if nobody can tell whether they are those of last time: it is not cached then.
    """
    passes = "" if pipeline is None else pipeline.fingerprint()
    operations = defined.fingerprint(closed.jaxpr)
    if passes is None or operations is None:
        return None
    flags = repr(config.trace_context()) if operations else ""  # their functions are traced now
    return passes, operations, flags


def _compile(
    closed: ClosedJaxpr,
    name: str,
    donated: Sequence[bool],
    target: Target | None,
    pipeline: PipelineSpec | None,
) -> bytes:
    from jaxc.lowering import lower_jaxpr

    with recording.span(f"compile {name}", "compile"):
        if config.jaxc_copy_in_place != "allow":
            _check_copies(lower_jaxpr(closed, name, donated), target, name, pipeline)
        module = lower_jaxpr(closed, name, donated)
        return driver.compile(module, target, pipeline=pipeline).vmfb


def _check_copies(
    module: Any, target: Target | None, name: str, pipeline: PipelineSpec | None
) -> None:
    """Act on `jaxc_copy_in_place`: log the updates that copy, or raise for the first.

    What is not known, as of all programs that XLA compiles, is logged.

    Raises:
      CopyInPlaceError: naming the user's line.
    """
    log = logging.getLogger("jaxc").warning
    if target is not None and target.backend == "pjrt":
        log(f"{name}: XLA compiles for {target}: which updates copy is not known")
        return
    report = driver.report(module, target, pipeline)
    for update in report.unknown_updates:
        log(f"{update.line or name}: {update.name}: whether it copies is not known for {target}")
    for update in report.copies:
        message = f"{update.line or name}: {update.name} copies {update.type}: {update.reason}"
        if config.jaxc_copy_in_place == "error":
            raise CopyInPlaceError(message)
        log(message)


def stage_text(
    closed: ClosedJaxpr,
    stage: str,
    *,
    name: str = "main",
    donated: Sequence[bool] = (),
    device: Device | None = None,
    pipeline: PipelineSpec | None = None,
) -> str:
    """The IR of a jaxpr at a stage of the compiler, for a device (default: the host's CPU).

    Raises:
      ValueError: for a stage that does not exist.
    """
    from jaxc.lowering import lower_jaxpr

    alone = stage == "stablehlo"  # a program for other tools, which know no hidden arguments
    target = None if device is None else target_of(device)
    with _COMPILING:
        module = lower_jaxpr(physicalize(closed), name, donated, embed_constants=alone)
        texts = driver.dump_stages(module, target, until=stage, pipeline=pipeline)
    return texts[stage]


def report_of(
    closed: ClosedJaxpr,
    device: Device,
    *,
    name: str = "main",
    donated: Sequence[bool] = (),
    pipeline: PipelineSpec | None = None,
) -> Any:
    """What the compiler makes of a jaxpr for a device: see `jaxc_compiler.report`.

    Raises:
      CompileError: XLA compiles for the device.
    """
    from jaxc.lowering import lower_jaxpr

    with _COMPILING:
        module = lower_jaxpr(physicalize(closed), name, donated)
        return driver.report(module, target_of(device), pipeline)


def explore(
    closed: ClosedJaxpr,
    device: Device,
    *,
    name: str = "main",
    donated: Sequence[bool] = (),
    pipeline: PipelineSpec | None = None,
) -> Any:
    """The explorer's page of a jaxpr for a device: see `jaxc_compiler.explorer`."""
    from jaxc.lowering import lower_jaxpr

    with _COMPILING:
        module = lower_jaxpr(physicalize(closed), name, donated)
        return driver.explore(
            module, target_of(device), jaxpr=format_with_lines(closed), pipeline=pipeline
        )


def dispatches_of(program: Program) -> Any:
    """The dispatches of a recorded program by the name of their function in the executable."""
    from jaxc.lowering import lower_jaxpr

    target = None if program.device is None else target_of(program.device)
    with _COMPILING:
        module = lower_jaxpr(program.closed, program.name, program.donated)
        return driver.dispatches(module, target, program.pipeline)
