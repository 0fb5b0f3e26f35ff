"""Shardings (`jax.sharding`): names over a mesh of devices. There is one device, so they place
nothing, but programs that are written with them run.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from jaxc.core.devices import SingleDeviceSharding

__all__ = ["Mesh", "NamedSharding", "PartitionSpec", "Sharding", "SingleDeviceSharding"]


class Sharding:
    """How an array is laid out over devices."""

    @property
    def device_set(self) -> set[Any]:
        raise NotImplementedError

    @property
    def is_fully_addressable(self) -> bool:
        return True


class PartitionSpec(tuple):
    """For each dimension the mesh axes it is split over, or None.

    Example:
      >>> from jaxc.sharding import PartitionSpec
      >>> PartitionSpec("x", None)
      PartitionSpec('x', None)
    """

    __slots__ = ()
    UNCONSTRAINED = object()

    def __new__(cls, *partitions: Any) -> PartitionSpec:
        return tuple.__new__(cls, partitions)

    def __reduce__(self) -> Any:
        return PartitionSpec, tuple(self)

    def __repr__(self) -> str:
        return f"PartitionSpec{tuple.__repr__(self)}"


class Mesh:
    """A named grid of devices.

    Args:
      devices: array (or nested sequence) of devices.
      axis_names: one name for each of its dimensions.

    Raises:
      ValueError: if the numbers of names and dimensions differ.
    """

    def __init__(self, devices: Any, axis_names: Any, *, axis_types: Any = None):
        self.devices = np.array(devices, dtype=object)
        self.axis_names = (axis_names,) if isinstance(axis_names, str) else tuple(axis_names)
        if self.devices.ndim != len(self.axis_names):
            raise ValueError(
                "Mesh requires the ndim of its first argument (`devices`) to equal "
                "the length of its second argument (`axis_names`), but got "
                f"devices.ndim == {self.devices.ndim} and len(axis_names) == "
                f"{len(self.axis_names)}."
            )
        if len(set(self.axis_names)) != len(self.axis_names):
            raise ValueError(f"Mesh axis names must be unique, got {self.axis_names}")

    @property
    def shape(self) -> OrderedDict[str, int]:
        return OrderedDict(zip(self.axis_names, self.devices.shape))

    @property
    def size(self) -> int:
        return self.devices.size

    @property
    def empty(self) -> bool:
        return self.devices.size == 0

    def __enter__(self) -> Mesh:
        return self

    def __exit__(self, *exc: Any) -> None:
        return None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Mesh)
            and self.axis_names == other.axis_names
            and np.array_equal(self.devices, other.devices)
        )

    def __hash__(self) -> int:
        return hash((self.axis_names, tuple(self.devices.flat)))

    def __repr__(self) -> str:
        shape = ", ".join(f"'{k}': {v}" for k, v in self.shape.items())
        return f"Mesh({shape})"


class NamedSharding(Sharding):
    """A mesh and a PartitionSpec.

    Raises:
      ValueError: if the spec names an axis the mesh lacks.
    """

    def __init__(self, mesh: Mesh, spec: PartitionSpec, *, memory_kind: Any = None):
        self.mesh = mesh
        self.spec = spec
        self.memory_kind = memory_kind
        for entry in spec:
            for name in entry if isinstance(entry, tuple) else (entry,):
                if isinstance(name, str) and name not in mesh.axis_names:
                    raise ValueError(
                        f"Resource axis: {name} of {spec} is not found in mesh: {mesh.axis_names}."
                    )

    @property
    def device_set(self) -> set[Any]:
        return set(self.mesh.devices.flat)

    @property
    def is_fully_replicated(self) -> bool:
        return self.mesh.size == 1 or all(entry is None for entry in self.spec)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, NamedSharding) and self.mesh == other.mesh and self.spec == other.spec
        )

    def __hash__(self) -> int:
        return hash((self.mesh, self.spec))

    def __repr__(self) -> str:
        return f"NamedSharding(mesh={self.mesh}, spec={self.spec!r})"
