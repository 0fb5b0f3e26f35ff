"""Whether a program runs on a device, and if not, why: the question before it is loaded.

A CPU program that uses instructions the machine lacks would end the process, and a Vulkan program
for another chip may give wrong values. The chip and the CPU's architecture are always compared; the
CPU's instructions where the system lists them (`/proc/cpuinfo` of Linux). Imports the devices.
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path

from jaxc_runtime import platforms
from jaxc_runtime.artifact import CompiledProgram
from jaxc_runtime.device import HOST_DRIVERS, Device
from jaxc_runtime.errors import DeviceError

_ARCH_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}


# What XLA's plugins compile; the plugin looks itself at whether the program is for its device.
_PLUGIN_TARGETS = ("pjrt", "tpu")


def is_for_plugin(program: CompiledProgram) -> bool:
    """Whether a plugin of XLA's runs a program, and not IREE.

    >>> is_for_plugin(CompiledProgram("tpu:v5e:2x2", "tpu"))
    True
    """
    return program.target.partition(":")[0] in _PLUGIN_TARGETS


def takes(driver: str, program: CompiledProgram) -> bool:
    """Whether a driver, or the address of one of its devices, is of the kind a program wants."""
    name = driver.partition("://")[0]
    return name == program.driver or {name, program.driver} <= HOST_DRIVERS


def mismatch(program: CompiledProgram, on: Device) -> str | None:
    """Why a program must not run on a device; None if it may.

    Args:
        program: its target is what it was compiled for.
        on: a device of a driver that `takes` it.

    >>> from jaxc_runtime import device
    >>> mismatch(CompiledProgram("cpu:arm", "local-sync", arch="armv5"), device.get())
    'made for armv5, this machine is ...'
    """
    if on.is_host:
        return _cpu_mismatch(program)
    chip = program.target.partition(":")[2]
    try:
        here = platforms.chip_of(on.driver)
    except DeviceError as error:
        return str(error)
    if here is not None and chip != here:
        return f"made for the chip {chip}, the device is {here}: results could be wrong"
    return None


def _cpu_mismatch(program: CompiledProgram) -> str | None:
    here = _arch(platform.machine())
    if program.arch and program.arch != here:
        return f"made for {program.arch}, this machine is {here}"
    features = cpu_features()
    missing = [] if features is None else [f for f in program.features if f not in features]
    if missing:
        return f"uses {', '.join(missing)}, which this CPU does not have"
    return None


def _arch(machine: str) -> str:
    return _ARCH_NAMES.get(machine.lower(), machine.lower())


@functools.cache
def cpu_features() -> frozenset[str] | None:
    """What this CPU can do, in Linux's words; None on systems that do not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(words.split())
    return None
