"""Arrays on devices other than the host's CPU.

`PlacedArray` is an `Array` whose elements are in a device's buffer. Every short cut for host arrays
asks `type(x) is Array` and so passes it by; what is left reaches the current trace, which runs the
operation on the device (`transforms.placed`). Must not import transforms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxc.core.array import Array, physical_dtype, physical_shape
from jaxc.core.devices import Device
from jaxc.core.trace import NotOnHost, off_host
from jaxc_compiler.opset.avals import ShapedArray


class OnOtherDevice(Exception):
    """A program of the CPU was given an array of another device: the caller takes the long path."""


class PlacedArray(Array, NotOnHost):
    """An immutable array in a device's memory; `_value` keeps a copy of it once one was fetched."""

    __slots__ = ("_committed", "_held")

    def __init__(self, held: Any, aval: ShapedArray, device: Device, committed: bool):
        self._value = self._buffer = self._pending = None
        self.aval = aval
        self._exported = False
        self._held = held  # the device's buffer
        self._device = device
        self._committed = committed
        off_host.used = True

    def _fetch(self) -> np.ndarray:
        if self._held is None:
            raise RuntimeError(f"Array has been deleted with shape={self.aval.str_short()}.")
        shape, dtype = physical_shape(self.aval), physical_dtype(self.aval)
        value = self._device.runtime.to_numpy(self._held, shape, dtype)
        value.flags.writeable = False
        self._value = value
        return value

    def _take_buffer(self) -> Any:
        raise OnOtherDevice

    @property
    def committed(self) -> bool:
        return self._committed

    def copy_to_host_async(self) -> None:
        """Fetches the elements now; a later `np.asarray` finds them."""
        self._numpy()

    def is_deleted(self) -> bool:
        return self._held is None

    def delete(self) -> None:
        """Drops the storage; later uses raise RuntimeError."""
        self._held = self._value = None

    def block_until_ready(self) -> Array:
        """Waits for the computation; a plugin's device returns from calls before it is done."""
        if self.is_deleted():
            self._fetch()  # raises
        self._device.runtime.wait(self._held)
        return self

    def __iter__(self) -> Iterator[Any]:
        rows = super().__iter__()  # one copy out, and a row at a time back
        return (place(row, self._device, self._committed) for row in rows)

    def __deepcopy__(self, memo: Any) -> Array:
        return place(super().__deepcopy__(memo), self._device, self._committed)


def place(array: Array, device: Device, committed: bool) -> Array:
    """`array` on a device; itself if it is there and as much committed.

    Raises:
      RuntimeError: the array was deleted, or the device does not start.
    """
    if array.device == device and array.committed == committed:
        return array
    return alias(array, device, committed)


def alias(array: Array, device: Device, committed: bool) -> Array:
    """`place`, but always a new array: one outlives the deletion or donation of the other.

    Raises:
      RuntimeError: the array was deleted, or the device does not start.
    """
    if isinstance(array, PlacedArray) and array._device == device:
        if array._held is None:
            array._fetch()  # raises
        array._exported = True  # two arrays of one buffer: neither may be overwritten
        out = PlacedArray(array._held, array.aval, device, committed)
        out._exported = True
        return out
    if device.is_host:
        return _on_host(array, device, committed)
    value = array._numpy().reshape(physical_shape(array.aval))
    return PlacedArray(device.runtime.to_device(value), array.aval, device, committed)


def _on_host(array: Array, device: Device, committed: bool) -> Array:
    buffer = None if isinstance(array, PlacedArray) else array._take_buffer()
    value = array._numpy() if buffer is None else array._value
    array._exported = True
    out = Array(value, array.aval, buffer)
    out._exported = True
    out._device = device if committed else None
    return out
