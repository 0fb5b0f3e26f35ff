"""Buffers of a PJRT client: NumPy arrays in and out.

Owns the dtype <-> PJRT element type table and the life of a buffer. Imports the API only.
"""

from __future__ import annotations

import ctypes
from typing import Any

import ml_dtypes
import numpy as np

from jaxc_runtime.errors import ExecutionError
from jaxc_runtime.pjrt.api import STRUCTS, Api, raising

# Position = number of `PJRT_Buffer_Type`. What NumPy has no dtype for is left empty.
_NAMES = (
    "- bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 bfloat16"
    " complex64 complex128 float8_e5m2 float8_e4m3fn float8_e4m3b11fnuz float8_e5m2fnuz"
    " float8_e4m3fnuz int4 uint4 - int2 uint2 float8_e4m3 float8_e3m4 float8_e8m0fnu"
    " float4_e2m1fn"
)
DTYPES: dict[int, np.dtype] = {
    number: np.dtype(getattr(ml_dtypes, name, name))
    for number, name in enumerate(_NAMES.split())
    if name != "-"
}
ELEMENT_TYPES = {dtype: number for number, dtype in DTYPES.items()}

# The part of `MemoryLayout` that is a struct of its own, up to `num_tiles`.
_TILED_SIZE = STRUCTS["MemoryLayout"].kind.offset - STRUCTS["MemoryLayout"].tiled_size.offset
_COPY_DURING_CALL = 0  # PJRT_HostBufferSemantics: the plugin keeps no reference to our memory


class Buffer:
    """An array on a device, perhaps not computed yet. Freed with the object.

    Attributes:
        spec: (device, shape, dtype).
    """

    __slots__ = ("_api", "pointer", "spec")

    def __init__(self, api: Api, pointer: int, spec: tuple[Any, tuple[int, ...], np.dtype]):
        self._api = api
        self.pointer = pointer
        self.spec = spec

    @property
    def device(self) -> Any:
        return self.spec[0]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.spec[1]

    @property
    def dtype(self) -> np.dtype:
        return self.spec[2]

    def wait(self) -> None:
        """Wait until the array is computed.

        Raises:
            ExecutionError: the program that should have made it failed.
        """
        with raising(ExecutionError, "the program failed"):
            self._api.wait(self._api.call("Buffer_ReadyEvent", buffer=self.pointer).event)

    def __del__(self) -> None:
        self._api.destroy("Buffer_Destroy", buffer=self.pointer)

    def __repr__(self) -> str:
        return f"Buffer({self.dtype}{list(self.shape)}, {self.device!r})"


def element_type(dtype: np.dtype) -> int:
    """The PJRT element type of a dtype.

    Raises:
        TypeError: XLA has no such type.
    """
    found = ELEMENT_TYPES.get(dtype)
    if found is None:
        raise TypeError(f"arrays of dtype {dtype} cannot be passed to a compiled program")
    return found


def from_numpy(api: Api, client: int, device: Any, array: np.ndarray) -> Buffer:
    """Copy an array to a device.

    Raises:
        TypeError: XLA has no such dtype.
        ExecutionError: no memory left on the device.
    """
    array = np.asarray(array, order="C")
    kind = element_type(array.dtype)
    dims = (ctypes.c_int64 * array.ndim)(*array.shape)
    with raising(ExecutionError, "an array cannot be copied to the device"):
        made = api.call(
            "Client_BufferFromHostBuffer",
            client=client,
            data=array.ctypes.data,
            type=kind,
            dims=ctypes.addressof(dims),
            num_dims=array.ndim,
            semantics=_COPY_DURING_CALL,
            device=device.pointer,
        )
        buffer = Buffer(api, made.buffer, (device, array.shape, array.dtype))
        api.wait(made.done)
    return buffer


def to_numpy(api: Api, buffer: Buffer, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Copy a buffer to a new array, when it is computed.

    Raises:
        TypeError: the buffer is of another shape or dtype.
        ExecutionError: the program failed, or the buffer was donated.
    """
    if buffer.shape != tuple(shape) or buffer.dtype != dtype:
        wanted = f"{np.dtype(dtype)}{list(shape)}"
        raise TypeError(f"expected a buffer of {wanted}, got {buffer.dtype}{list(buffer.shape)}")
    out = np.empty(shape, dtype)
    order = (ctypes.c_int64 * out.ndim)(*reversed(range(out.ndim)))
    # Asked for row by row: a device may keep another order of dimensions.
    layout = STRUCTS["MemoryLayout"](
        tiled_size=_TILED_SIZE, minor_to_major=ctypes.addressof(order), rank=out.ndim
    )
    with raising(ExecutionError, "a result cannot be read"):
        copied = api.call(
            "Buffer_ToHostBuffer",
            buffer=buffer.pointer,
            layout=ctypes.addressof(layout),
            data=out.ctypes.data,
            size=out.nbytes,
        )
        api.wait(copied.event)
    return out
