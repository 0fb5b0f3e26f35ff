"""Devices and single-device shardings as JAX programs see them.

Owns the names: which backends there are, which is the default, how devices print. What a device can
do is its runtime's (`jaxc_runtime.platforms`), which is imported when the first device other than
the CPU is asked for.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from jaxc.core.config import config

# JAX calls every GPU's platform "gpu"; the runtime's platforms are the names one can also ask for.
_FAMILIES = {"gpu": ("cuda", "rocm")}
_PLATFORM_OF = {name: family for family, names in _FAMILIES.items() for name in names}


@dataclass(frozen=True)
class Device:
    """One device. `platform` is "cpu", "gpu", "vulkan", ...; `backend` says whose GPU it is."""

    id: int
    platform: str
    device_kind: str
    process_index: int = 0
    backend: str = "cpu"

    @property
    def client(self) -> Any:
        return self

    @property
    def host_id(self) -> int:
        return self.process_index

    @property
    def local_hardware_id(self) -> int:
        return self.id

    @property
    def is_host(self) -> bool:
        """Whether its arrays are in the host's memory, where NumPy kernels reach them."""
        return self.backend == "cpu"

    @functools.cached_property
    def runtime(self) -> Any:
        """What moves arrays there and runs programs: a `jaxc_runtime.platforms.Device`."""
        from jaxc_runtime import platforms

        return platforms.devices(self.backend)[self.id]

    def memory_stats(self) -> None:
        return None

    def __str__(self) -> str:
        return f"{self.backend}:{self.id}"

    def __repr__(self) -> str:
        return f"{self.backend.capitalize()}Device(id={self.id})"


_CPU = Device(0, "cpu", "cpu")


def cpu() -> Device:
    """The host's CPU."""
    return _CPU


@functools.cache
def _open(backend: str) -> tuple[Device, ...]:
    """The devices of a platform of the runtime; DeviceError where it is not there."""
    if backend == "cpu":
        return (_CPU,)
    from jaxc_runtime import platforms

    return tuple(
        Device(d.index, _PLATFORM_OF.get(backend, backend), d.kind, backend=backend)
        for d in platforms.devices(backend)
    )


def _requested() -> list[str]:
    """The backends of `jax_platforms`, the first of which is the default."""
    return _allowed() or _names(config.jax_platform_name) or ["cpu"]


def _allowed() -> list[str]:
    """The backends of `jax_platforms`; empty if all are allowed."""
    return _names(config.jax_platforms)


def _names(listed: str | None) -> list[str]:
    return [part.strip().lower() for part in (listed or "").split(",") if part.strip()]


def _present() -> list[str]:
    """The backends that start, the default one first."""
    from jaxc_runtime import platforms
    from jaxc_runtime.errors import DeviceError

    found = []
    for name in _allowed() or ("cpu", *platforms.names()):
        try:
            _open(name)
        except DeviceError:
            continue
        if name not in found:
            found.append(name)
    return found


def devices(backend: str | None = None) -> list[Device]:
    """All devices of a backend; of the default one, the CPU unless `jax_platforms` says otherwise.

    Args:
      backend: "cpu", "gpu", "cuda", "rocm", "vulkan", "metal", or a plugin's name.

    Raises:
      RuntimeError: for a backend that is not present.

    Example:
      >>> import jaxc as jax
      >>> jax.devices("cpu")
      [CpuDevice(id=0)]
    """
    if backend is None:
        return _default_devices()
    if isinstance(backend, Device):
        return devices(backend.backend)
    backend = backend.lower()
    allowed = _allowed()
    for name in _FAMILIES.get(backend, (backend,)):
        found = _devices_of(name) if not allowed or {name, backend} & {*allowed} else None
        if found:
            return found
    if backend in _FAMILIES:
        raise RuntimeError(
            f"Unknown backend: {backend!r} requested, but no platforms that are instances of "
            f"{backend} are present. Platforms present are: {','.join(_present())}"
        )
    raise RuntimeError(f"{_problem(backend)} Available backends are {_present()}")


def _devices_of(name: str) -> list[Device] | None:
    if name == "cpu":
        return [_CPU]
    from jaxc_runtime.errors import DeviceError

    try:
        return list(_open(name))
    except DeviceError:
        return None


def _problem(backend: str) -> str:
    """What is wrong with a backend, in its driver's words."""
    from jaxc_runtime import platforms
    from jaxc_runtime.errors import DeviceError

    if not platforms.is_known(backend):
        return f"Unknown backend {backend}."
    try:
        _open(backend)
    except DeviceError as error:
        return f"Backend {backend!r} failed to initialize: {error}."
    return f"Backend {backend!r} is left out by jax_platforms."


def _default_devices() -> list[Device]:
    name = _requested()[0]
    try:
        return devices(name)
    except RuntimeError as error:
        reason = str(error).removeprefix(f"Backend {name!r} failed to initialize: ")
        raise RuntimeError(
            f"Unable to initialize backend {name!r}: {reason} (set JAX_PLATFORMS=cpu to skip it)"
        ) from None


def check_default_device(value: Any) -> None:
    """Raises ValueError unless `value` can be `jax_default_device`."""
    if value is None or isinstance(value, Device):
        return
    if isinstance(value, str):
        from jaxc_runtime import platforms

        if value in _FAMILIES or platforms.is_known(value):
            return
    raise ValueError(
        "jax.default_device must be passed either a Device object (e.g. `jax.devices('cpu')[0]`) "
        f"or a platform name string like 'cpu' or 'gpu', got: {value!r}"
    )


def default_is_host() -> bool:
    """Whether uncommitted computations run on the host. Opens no device."""
    chosen = config.jax_default_device
    if isinstance(chosen, Device):
        return chosen.is_host
    return (chosen or _requested()[0]) == "cpu"


def default_device() -> Device:
    """Where uncommitted computations run: `jax_default_device`, or the first default device.

    Raises:
      RuntimeError: it names a backend that is not present.
    """
    chosen = config.jax_default_device
    if isinstance(chosen, Device):
        return chosen
    return devices(chosen)[0]


def local_devices(
    process_index: int | None = None, backend: str | None = None, host_id: int | None = None
) -> list[Device]:
    """The devices of this process: `devices(backend)`.

    Raises:
      ValueError: for a process other than this one, which is number 0.
    """
    index = process_index if host_id is None else host_id
    if index not in (None, 0):
        raise ValueError(f"Unknown process_index {index}")
    return devices(backend)


def device_count(backend: str | None = None) -> int:
    """How many devices a backend has."""
    return len(devices(backend))


def local_device_count(backend: str | None = None) -> int:
    """How many devices of a backend this process has."""
    return len(devices(backend))


def process_index(backend: str | None = None) -> int:
    return 0


def process_count(backend: str | None = None) -> int:
    return 1


def default_backend() -> str:
    """The platform of the default devices: "cpu", "gpu", "vulkan", ..."""
    return devices()[0].platform


@dataclass(frozen=True)
class SingleDeviceSharding:
    """The sharding of an array that lives on one device."""

    device: Device

    @property
    def device_set(self) -> set[Device]:
        return {self.device}

    @property
    def is_fully_replicated(self) -> bool:
        return True

    @property
    def is_fully_addressable(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"SingleDeviceSharding(device={self.device!r}, memory_kind=device)"


def only_device(sharding: Any) -> Device:
    """The device of a sharding.

    Raises:
      NotImplementedError: it spans several.
    """
    found = list(sharding.device_set)
    if len(found) != 1:
        raise NotImplementedError(f"{sharding}: arrays over {len(found)} devices are not supported")
    return found[0]


@dataclass(frozen=True)
class Shard:
    """The part of an array on one device."""

    device: Device
    index: tuple[slice, ...]
    replica_id: int
    data: Any
