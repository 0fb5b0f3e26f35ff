"""Devices: an IREE HAL device, opened when first asked for and then shared.

Owns the VM instance of the process and one `Device` per driver. Imports iree.runtime and of
ours the errors and CUDA's contexts.

`local-sync` runs a program on the calling thread and is the default: a call costs about 2 us
against 8 to 14 us of `local-task`, whose thread pool only pays for programs that have several
workgroups: artifacts name `local-sync`, and `load(path, "local-task")` asks for the other.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import iree.runtime as rt
from iree.runtime import _binding  # ArgumentPacker is not re-exported by the package

from jaxc_runtime import cuda_context, polling
from jaxc_runtime.errors import DeviceError, readable

DEFAULT_DRIVER = "local-sync"
PARALLEL_DRIVER = "local-task"
HOST_DRIVERS = frozenset({DEFAULT_DRIVER, PARALLEL_DRIVER})

_lock = threading.RLock()
_devices: dict[str, Device] = {}
_instance: rt.VmInstance | None = None


class Device:
    """One opened device. Make it with `get`, so that buffers and programs share it."""

    __slots__ = (
        "attach",
        "driver",
        "hal",
        "hal_module",
        "is_host",
        "pack",
        "pack_context",
    )

    def __init__(self, driver: str):
        self.driver = driver
        name, _, selector = driver.partition("://")
        self.is_host = name in HOST_DRIVERS
        try:
            hal_driver = _open_driver(name)
            with polling.set_back() if _polls(driver) else nullcontext():
                if selector:
                    self.hal = hal_driver.create_device_by_uri(driver)
                else:
                    self.hal = hal_driver.create_default_device()
        except (RuntimeError, ValueError, KeyError, IndexError) as error:
            raise DeviceError(
                f"device driver {driver!r} does not start: {readable(error)}"
            ) from None
        self.hal_module = rt.create_hal_module(instance(), self.hal)
        # pack(pack_context, buffers, {}) -> argument list: half the time of `push_ref` calls.
        self.pack_context = _binding.InvokeContext(self.hal)
        self.pack = _binding.ArgumentPacker(_binding._invoke_statics, None).pack
        self.attach = _nothing_to_attach
        if name == "cuda":
            self.attach = cuda_context.attacher()
        if name == PARALLEL_DRIVER:
            self.attach = _process_checker()
        if self.attach is not _nothing_to_attach:
            self.pack = _attached(self.pack, self.attach)

    def __repr__(self) -> str:
        return f"Device({self.driver!r})"


def _nothing_to_attach() -> None:
    """Other drivers' devices belong to no thread or process."""


def _process_checker() -> Callable[[], None]:
    """Raises in a forked child, where a call would wait for threads that do not exist."""
    opened_by = os.getpid()

    def check() -> None:
        if os.getpid() != opened_by:
            raise DeviceError(
                f"the threads of {PARALLEL_DRIVER} are in the process that this one was forked "
                "from: load the program again"
            )

    return check


def _attached(pack: Any, attach: Callable[[], None]) -> Any:
    """Packing arguments is the first step of every call."""

    def attach_and_pack(*arguments: Any) -> Any:
        attach()
        return pack(*arguments)

    return attach_and_pack


def instance() -> rt.VmInstance:
    """The VM instance all modules of the process are loaded into."""
    global _instance
    with _lock:
        if _instance is None:
            _instance = rt.VmInstance()
        return _instance


def get(driver: str = DEFAULT_DRIVER) -> Device:
    """Return the process-wide device of `driver`, opening it the first time.

    Args:
        driver: an IREE driver name (`local-sync`, `local-task`, `cuda`, `vulkan`), or a device
            address such as `cuda://0`.

    Raises:
        DeviceError: the driver is unknown or finds no device.
    """
    device = _devices.get(driver)
    if device is not None:
        return device
    with _lock:
        address = _first_address(driver)
        if address not in _devices:
            _devices[address] = Device(address)
        device = _devices[driver] = _devices[address]
        return device


def _first_address(driver: str) -> str:
    """The address of Vulkan's default device, so that it is not opened a second time by that."""
    found = query([driver]) if driver == "vulkan" else []
    return found[0]["uri"] if found else driver


def _polls(driver: str) -> bool:
    """Whether a device's threads never sleep: Vulkan's on the CPU."""
    if driver.partition("://")[0] != "vulkan":
        return False
    return any(one["uri"] == driver and "llvmpipe" in one["name"] for one in query(["vulkan"]))


def query(drivers: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Describe every device of the drivers (default: all). Opens no device.

    Returns:
        For each device `driver`, `name`, `uri` (what `get` opens it by) and `details` (the
        driver's own text about it); for a driver that does not start `driver`, `name`, `uri` and
        `error`.
    """
    found = []
    for name in rt.query_available_drivers() if drivers is None else drivers:
        try:
            driver = _open_driver(name)
            infos = driver.query_available_devices()
        except (RuntimeError, ValueError, KeyError) as error:
            found.append({"driver": name, "name": "", "uri": name, "error": readable(error)})
            continue
        for index, info in enumerate(infos):
            path = info.get("path") or (str(index) if index else "")
            found.append({
                "driver": name, "name": info.get("name", ""),
                "uri": f"{name}://{path}" if path else name, "details": _details(driver, info),
            })  # fmt: skip
    return found


def _open_driver(name: str) -> Any:
    # `get_driver`'s outlives a fork; the binding's stubs do not list this one
    return getattr(_binding, "create_hal_driver")(name)  # noqa: B009


def _details(driver: Any, info: dict[str, Any]) -> str:
    try:
        return driver.dump_device_info(info["device_id"])
    except (RuntimeError, ValueError, KeyError):
        return ""


def _keep_devices() -> None:
    """A forked child has the memory of its parent's devices but not their threads.

    `local-task` needs them to run: let the child open a new one. No device of the parent's is
    destroyed, not even when the child ends: that would wait for threads that do not exist.
    """
    global _lock
    _lock = threading.RLock()
    for kept in (*_devices.values(), _instance):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    for address in [a for a in _devices if a.partition("://")[0] == PARALLEL_DRIVER]:
        del _devices[address]
    _binding.disable_leak_checker()  # which would print what is kept


os.register_at_fork(after_in_child=_keep_devices)
