"""Buffers: NumPy memory in and out of a device, without a copy where that is safe.

Owns the dtype <-> HAL element type table, alignment and lifetime of shared memory. A buffer is
IREE's own `HalBufferView`; nothing wraps it, because the call path pays for every object.

Facts this rests on: kernels load with 64-byte aligned vector moves, so unaligned memory must be
copied; DLPack import keeps the array alive and checks the alignment, whereas
`import_host_allocation` does neither. A mapping keeps its buffer alive, so it must be the array's
base: `mapping.asarray()` ties it to the array object it returns, and views of that array dangle.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from iree.runtime import BufferUsage, HalBufferView, HalElementType, HalFence, MemoryType

from jaxc_runtime.device import Device, get
from jaxc_runtime.errors import ExecutionError, readable

ALIGNMENT = 64
# Below this a native allocate-and-copy (0.6 us) beats trying to share memory that NumPy, which
# aligns to 16 bytes only, has probably placed wrongly.
SHARE_FROM_BYTES = 16384
# Above this NumPy's copy is several times faster than IREE's staged one.
NATIVE_COPY_BELOW_BYTES = 1 << 20

_HOST_MEMORY = int(MemoryType.HOST_LOCAL | MemoryType.DEVICE_VISIBLE)
_DEVICE_MEMORY = int(MemoryType.DEVICE_LOCAL)
_HOST_USAGE = int(BufferUsage.DEFAULT | BufferUsage.MAPPING)
_DEVICE_USAGE = int(BufferUsage.DEFAULT)
_STAGING_USAGE = int(BufferUsage.TRANSFER_TARGET | BufferUsage.MAPPING_SCOPED)

_ELEMENT_TYPES: dict[np.dtype, HalElementType] = {
    np.dtype(key): value
    for key, value in {
        np.bool_: HalElementType.BOOL_8,
        np.int8: HalElementType.SINT_8,
        np.int16: HalElementType.SINT_16,
        np.int32: HalElementType.SINT_32,
        np.int64: HalElementType.SINT_64,
        np.uint8: HalElementType.UINT_8,
        np.uint16: HalElementType.UINT_16,
        np.uint32: HalElementType.UINT_32,
        np.uint64: HalElementType.UINT_64,
        np.float16: HalElementType.FLOAT_16,
        np.float32: HalElementType.FLOAT_32,
        np.float64: HalElementType.FLOAT_64,
        np.complex64: HalElementType.COMPLEX_64,
        np.complex128: HalElementType.COMPLEX_128,
        ml_dtypes.bfloat16: HalElementType.BFLOAT_16,
        ml_dtypes.float8_e4m3fn: HalElementType.FLOAT_8_E4M3_FN,
        ml_dtypes.float8_e4m3fnuz: HalElementType.FLOAT_8_E4M3_FNUZ,
        ml_dtypes.float8_e5m2: HalElementType.FLOAT_8_E5M2,
        ml_dtypes.float8_e5m2fnuz: HalElementType.FLOAT_8_E5M2_FNUZ,
        ml_dtypes.float8_e8m0fnu: HalElementType.FLOAT_8_E8M0_FNU,
        # One to a byte, as NumPy keeps them; compiled programs take bytes.
        ml_dtypes.int2: HalElementType.SINT_8,
        ml_dtypes.int4: HalElementType.SINT_8,
        ml_dtypes.uint2: HalElementType.UINT_8,
        ml_dtypes.uint4: HalElementType.UINT_8,
    }.items()
}

_BY_NAME = {dtype.name: dtype for dtype in _ELEMENT_TYPES}
_SIGNLESS, _UNSIGNED = 0x10, 0x12  # the first byte of the element types of integers

# NumPy's buffer protocol and DLPack do not know the dtypes of ml_dtypes: those cross as integers.
_CARRIERS: dict[np.dtype, np.dtype] = {
    dtype: np.dtype(f"u{dtype.itemsize}") for dtype in _ELEMENT_TYPES if dtype.kind == "V"
} | {np.dtype(ml_dtypes.bfloat16): np.dtype(np.uint16)}


def element_type(dtype: np.dtype) -> HalElementType:
    """Return the HAL element type of a NumPy dtype.

    Raises:
        TypeError: IREE has no such element type (strings, objects, structured dtypes, int128).
    """
    found = _ELEMENT_TYPES.get(dtype)
    if found is None:
        raise TypeError(f"arrays of dtype {dtype} cannot be passed to a compiled program")
    return found


def is_dtype(name: str) -> bool:
    """Whether arrays of the dtype of this name can be passed to a compiled program.

    >>> is_dtype("bfloat16"), is_dtype("object")
    (True, False)
    """
    return name in _BY_NAME


def dtype_named(name: str) -> np.dtype:
    """The dtype of a name for which `is_dtype` is true."""
    return _BY_NAME[name]


def holds(buffer: HalBufferView, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Whether a buffer is an array of this shape and dtype; integers may have any signedness."""
    found: Any = (element_type(dtype), buffer.element_type)
    wanted, got = map(int, found)
    integers = all(_SIGNLESS <= kind >> 24 <= _UNSIGNED for kind in (wanted, got))
    same = wanted == got or (integers and wanted & 0xFF == got & 0xFF)
    return same and tuple(buffer.shape) == shape


def empty_aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an uninitialised array that `to_device` shares instead of copying.

    >>> empty_aligned((3,), np.dtype(np.float32)).ctypes.data % ALIGNMENT
    0
    """
    dtype = np.dtype(dtype)
    size = dtype.itemsize
    for extent in shape:
        size *= extent
    raw = np.empty(size + ALIGNMENT, np.uint8)
    offset = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[offset : offset + size].view(dtype).reshape(shape)


def to_device(array: np.ndarray, device: Device | None = None) -> HalBufferView:
    """Make a buffer from an array, sharing its memory if that is safe.

    Memory is shared for large, C-contiguous, writable, 64-byte aligned arrays (see
    `empty_aligned`); the buffer then keeps the array alive, and writing to the array changes the
    buffer. Everything else is copied once.

    Raises:
        TypeError: the dtype has no counterpart on the device.
        ExecutionError: no memory left on the device.
    """
    device = device or get()
    dtype = array.dtype
    kind = element_type(dtype)
    if not array.flags.c_contiguous:
        array = aligned_copy(array)
    if dtype in _CARRIERS:
        array = array.view(_CARRIERS[dtype])
    if not device.is_host:
        device.attach()
        return _copied(array, device, kind, _DEVICE_MEMORY, _DEVICE_USAGE)
    nbytes = array.nbytes
    if nbytes >= SHARE_FROM_BYTES:
        shared = _share(array, device, kind)
        if shared is not None:
            return shared
        if nbytes >= NATIVE_COPY_BELOW_BYTES:
            shared = _share(aligned_copy(array), device, kind)
            assert shared is not None, "a fresh aligned array can always be shared"
            return shared
    return _copied(array, device, kind, _HOST_MEMORY, _HOST_USAGE)


def to_numpy(
    buffer: HalBufferView, shape: tuple[int, ...], dtype: np.dtype, device: Device | None = None
) -> np.ndarray:
    """View a buffer as an array of the given shape and dtype (which must be a `np.dtype`).

    On the host this copies nothing and the array keeps the memory alive; from another device it
    is one transfer. The dtype is the caller's because the device does not tell `uint32` from
    `int32`.

    Raises:
        ExecutionError: the transfer fails.
    """
    if device is not None and not device.is_host:
        return _staged(buffer, shape, dtype, device)
    mapping: Any = buffer.map()  # has the buffer protocol
    return np.ndarray(shape, dtype, mapping)


def _staged(
    buffer: HalBufferView, shape: tuple[int, ...], dtype: np.dtype, device: Device
) -> np.ndarray:
    """Copy out through a buffer the host can map: importing host memory fails on some drivers."""
    source = buffer.get_buffer()
    size = source.byte_length()
    if not size:
        return np.empty(shape, dtype)
    device.attach()
    try:
        target = device.hal.allocator.allocate_buffer(_HOST_MEMORY, _STAGING_USAGE, size)
        semaphore = device.hal.create_semaphore(0)
        arrived = HalFence.create_at(semaphore, 1)
        device.hal.queue_copy(source, target, HalFence.create_at(semaphore, 0), arrived)
        arrived.wait()
        mapping: Any = target.map()
    except RuntimeError as error:
        raise ExecutionError(readable(error)) from error
    # Mapped memory may be uncached, and is scarce: it is read once.
    return np.array(np.ndarray(shape, dtype, mapping))


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """A copy that `to_device` shares."""
    copy = empty_aligned(array.shape, array.dtype)
    copy[...] = array
    return copy


def _copied(
    array: np.ndarray, device: Device, kind: HalElementType, memory: int, usage: int
) -> HalBufferView:
    make: Any = device.hal.allocator.allocate_buffer_copy  # a view, as an element type is given
    try:
        return make(memory, usage, device.hal, array, kind)
    except RuntimeError as error:
        raise ExecutionError(readable(error)) from error


def _share(array: np.ndarray, device: Device, kind: HalElementType) -> HalBufferView | None:
    """Import the array's memory, or None where its alignment or its flags forbid that."""
    if not array.flags.writeable:
        return None
    try:
        buffer = device.hal.from_dlpack_capsule(array.__dlpack__())
    except (IndexError, BufferError):
        return None
    if buffer.element_type == kind:
        return buffer
    return HalBufferView(buffer.get_buffer(), array.shape, kind)
