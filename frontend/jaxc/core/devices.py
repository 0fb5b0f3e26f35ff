"""Devices and single-device shardings as JAX programs see them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Device:
    """One device. `platform` is "cpu", "gpu" or "vulkan"."""

    id: int
    platform: str
    device_kind: str
    process_index: int = 0

    @property
    def client(self) -> Any:
        return self

    @property
    def host_id(self) -> int:
        return self.process_index

    @property
    def local_hardware_id(self) -> int:
        return self.id

    def memory_stats(self) -> None:
        return None

    def __str__(self) -> str:
        return f"{self.platform}:{self.id}"

    def __repr__(self) -> str:
        return (
            f"{self.platform.capitalize() if self.platform != 'cpu' else 'Cpu'}Device(id={self.id})"
        )


@functools.cache
def _cpu() -> Device:
    return Device(0, "cpu", "cpu")


def default_device() -> Device:
    return _cpu()


def devices(backend: str | None = None) -> list[Device]:
    """All devices of a backend ("cpu" by default).

    Raises:
      RuntimeError: for a backend that is not present.
    """
    if backend not in (None, "cpu"):
        raise RuntimeError(f"Unknown backend {backend!r}: expected one of ['cpu']")
    return [_cpu()]


def local_devices(process_index: int | None = None, backend: str | None = None) -> list[Device]:
    return devices(backend)


def device_count(backend: str | None = None) -> int:
    return len(devices(backend))


def local_device_count(backend: str | None = None) -> int:
    return len(devices(backend))


def process_index(backend: str | None = None) -> int:
    return 0


def process_count(backend: str | None = None) -> int:
    return 1


def default_backend() -> str:
    return "cpu"


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


@dataclass(frozen=True)
class Shard:
    """The part of an array on one device."""

    device: Device
    index: tuple[slice, ...]
    replica_id: int
    data: Any
