"""Platforms: the devices of this machine under JAX's names, each with all that runs on it.

Owns the table platform -> opener and `Device`, what the frontend sees of a device whatever its
runtime: IREE's HAL here, XLA's plugins in `pjrt`, which is imported when one is asked for. A device
of IREE's is opened when something is first put on it.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from jaxc_runtime import buffer, device, executable
from jaxc_runtime.chips import cuda_chip, vulkan_chip
from jaxc_runtime.config import chosen_vulkan_chip
from jaxc_runtime.errors import DeviceError

Run = Callable[[list[Any]], list[Any]]


class Device(Protocol):
    """One device of a platform; its buffers are opaque to everybody else.

    Attributes:
        platform: "cpu", "cuda", "rocm", "metal", "vulkan", or a plugin's.
        kind: the driver's name of the model.
        index: its number among the platform's devices.
    """

    platform: str
    kind: str
    index: int

    def target(self, chip: str | None = None) -> str:
        """What programs for it are compiled for, as the compiler's `name:chip`."""
        ...

    def to_device(self, array: np.ndarray) -> Any:
        """A buffer that holds the array's elements."""
        ...

    def to_numpy(self, held: Any, shape: tuple[int, ...], dtype: np.dtype, /) -> np.ndarray:
        """The elements of a buffer, of the shape and dtype that the caller knows it has."""
        ...

    def holds(self, held: Any, shape: tuple[int, ...], dtype: np.dtype, /) -> bool:
        """Whether a buffer is an array of this shape and dtype."""
        ...

    def wait(self, held: Any, /) -> None:
        """Wait until a buffer is computed; ExecutionError if what should have made it failed."""
        ...

    def load(self, program: bytes, function: str = "main") -> Run:
        """A compiled program as a function of buffers."""
        ...


class IreeDevice:
    """A device of one of IREE's HAL drivers."""

    def __init__(self, platform: str, index: int, info: dict[str, Any]):
        self.platform = platform
        self.index = index
        self.uri: str = info["uri"]
        # Vulkan's listing appends the driver's version to the name.
        named = re.match(r"name: (.+)", info["details"])
        self.kind: str = named[1].strip() if named else info["name"] or platform
        self._details: str = info["details"]

    @functools.cached_property
    def hal(self) -> device.Device:
        """The opened device.

        Raises:
            DeviceError: it does not start.
        """
        return device.get(self.uri)

    def target(self, chip: str | None = None) -> str:
        """What programs for it are compiled for.

        Args:
            chip: the user's choice for a Vulkan device; it goes before the table of chips.

        Raises:
            DeviceError: a Vulkan device of an unknown chip, or a CUDA device that is too old.
        """
        if self.platform == "vulkan":
            return f"vulkan:{vulkan_chip(self.kind, chip)}"
        if self.platform == "cuda":
            return f"cuda:{cuda_chip(self._details)}"
        found = re.search(r"\b(gfx[0-9a-f]{3,5})\b", self._details)
        if self.platform == "rocm" and found:
            return f"rocm:{found[1]}"
        return self.platform  # the default chip: later ones run its programs

    def to_device(self, array: np.ndarray) -> Any:
        """A buffer that holds the array's elements.

        Raises:
            TypeError: the dtype has no counterpart on the device.
            ExecutionError: no memory left on the device.
        """
        return buffer.to_device(array, self.hal)

    def to_numpy(self, held: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The elements of a buffer."""
        return buffer.to_numpy(held, shape, dtype, self.hal)

    def holds(self, held: Any, shape: tuple[int, ...], dtype: np.dtype) -> bool:
        """Whether a buffer is an array of this shape and dtype; integers may have any sign."""
        return buffer.holds(held, shape, dtype)

    def wait(self, held: Any) -> None:
        """Nothing to wait for: a call returns when its results are computed, on every driver."""

    def load(self, program: bytes, function: str = "main") -> Run:
        """A compiled program as a function of buffers.

        Raises:
            ArtifactError: not a program, or one for another kind of device.
        """
        return executable.load(program, self.hal, function=function).call

    def __repr__(self) -> str:
        return f"IreeDevice({self.uri!r}, {self.kind!r})"


def _opener(platform: str, driver: str) -> Callable[[], Sequence[Device]]:
    def find() -> list[Device]:
        infos = device.query([driver])
        if infos and "error" in infos[0]:
            raise DeviceError(infos[0]["error"])
        if platform == "cpu":  # one device, shared with whoever asks for the driver by its name
            return [IreeDevice("cpu", 0, {"name": "cpu", "uri": driver, "details": ""})]
        return [IreeDevice(platform, i, info) for i, info in enumerate(infos)]

    return find


_OPENERS: dict[str, Callable[[], Sequence[Device]]] = {
    name: _opener(name, driver)
    for name, driver in [
        ("cpu", device.DEFAULT_DRIVER),
        ("cuda", "cuda"),
        ("rocm", "hip"),
        ("metal", "metal"),
        ("vulkan", "vulkan"),
    ]
}
_found: dict[str, tuple[Device, ...]] = {}
_lock = threading.RLock()


def names() -> tuple[str, ...]:
    """The platforms there may be on any machine, and the plugins that were opened."""
    return tuple(dict.fromkeys([*_OPENERS, *_found]))


def is_known(platform: str) -> bool:
    """Whether `devices` can say more of a platform than that it is unknown."""
    if platform in _OPENERS:
        return True
    from jaxc_runtime import pjrt

    return platform in pjrt.names() or platform in pjrt.PACKAGES


def _open_plugin(platform: str) -> Sequence[Device]:
    from jaxc_runtime import pjrt  # a program for IREE's drivers is loaded without it

    return pjrt.devices(platform)


def devices(platform: str) -> tuple[Device, ...]:
    """The devices of a platform, looked for once in a process.

    Args:
        platform: one of `names()`, or a plugin of XLA's.

    Raises:
        DeviceError: the platform is unknown, its driver does not start, or it finds no device.

    >>> [d.platform for d in devices("cpu")]
    ['cpu']
    """
    found = _found.get(platform)
    if found is not None:
        return found
    with _lock:
        if platform not in _found:
            opener = _OPENERS.get(platform)
            listed = tuple(opener() if opener else _open_plugin(platform))
            if not listed:
                raise DeviceError(f"the driver of platform {platform!r} finds no device")
            _found[platform] = listed
        return _found[platform]


def _forget_devices() -> None:
    """A forked child looks for itself: what its parent opened may not work there."""
    global _lock
    _lock = threading.RLock()
    _found.clear()


os.register_at_fork(after_in_child=_forget_devices)


def hal_device(address: str) -> IreeDevice:
    """The device of one of IREE's drivers at an address, or its default one; opened when used.

    >>> hal_device("local-task").platform
    'cpu'
    """
    name = address.partition("://")[0]
    platform = "cpu" if name in device.HOST_DRIVERS else name
    return IreeDevice(platform, 0, {"name": platform, "uri": address, "details": ""})


def at(address: str) -> Device:
    """The device of a platform, its first one, or that of an address as `xla_cpu://1`.

    Raises:
        DeviceError: there is no such device.
    """
    name, _, number = address.partition("://")
    found = devices(name)
    if number in ("", "0"):
        return found[0]
    if not number.isdecimal() or int(number) >= len(found):
        raise DeviceError(f"there is no device {address!r}: {name} has {len(found)}")
    return found[int(number)]


def chip_of(uri: str) -> str | None:
    """The Vulkan chip of the device at an address (`vulkan://...`); None of other drivers'.

    Raises:
        DeviceError: no such device, or one of an unknown chip.
    """
    if not uri.startswith("vulkan"):
        return None
    chosen = chosen_vulkan_chip()
    for found in devices("vulkan"):
        if uri in ("vulkan", getattr(found, "uri", None)):
            return found.target(chosen).partition(":")[2]
    known = ", ".join(str(getattr(d, "uri", d)) for d in devices("vulkan"))
    raise DeviceError(f"there is no Vulkan device {uri!r}; there are: {known}")
