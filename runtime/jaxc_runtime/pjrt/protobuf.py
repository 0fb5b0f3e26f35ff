"""The few protocol buffer messages that PJRT's C API passes as bytes, written and read by hand.

Owns XLA's CompileOptionsProto (written) and the entry signature of an HloModuleProto (read). Field
numbers are those of `xla/pjrt/proto/compile_options.proto`, `xla/xla_data.proto` and
`xla/service/hlo.proto`; protocol buffers never change the number of a field. Imports nothing of
ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import ml_dtypes
import numpy as np

# XLA's PrimitiveType: other numbers than the C API's element types.
_PRIMITIVE_TYPES = {
    1: "bool", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "uint8", 7: "uint16",
    8: "uint32", 9: "uint64", 10: "float16", 11: "float32", 12: "float64", 15: "complex64",
    16: "bfloat16", 18: "complex128", 19: "float8_e5m2", 20: "float8_e4m3fn", 21: "int4",
    22: "uint4", 23: "float8_e4m3b11fnuz", 24: "float8_e5m2fnuz", 25: "float8_e4m3fnuz",
    26: "int2", 27: "uint2", 28: "float8_e4m3", 29: "float8_e3m4", 32: "float4_e2m1fn",
    33: "float8_e8m0fnu",
}  # fmt: skip


def compile_options(device: int | None = None, overrides: Mapping[str, bool] = {}) -> bytes:
    """CompileOptionsProto of a program for one device.

    Args:
        device: the device's id; None leaves it to the plugin, as for compiling ahead of time.
        overrides: flags of XLA's DebugOptions by name.
    """
    build = _field(4, 1) + _field(5, 1)  # num_replicas, num_partitions
    if device is not None:
        computation = _field(1, device)  # replica_device_ids
        assignment = _field(1, 1) + _field(2, 1) + _field(3, computation)
        build += _field(9, assignment)
    message = _field(3, build)  # executable_build_options
    for name, value in overrides.items():
        entry = _field(1, name.encode()) + _field(2, _field(2, int(value)))  # key, bool_field
        message += _field(7, entry)  # env_option_overrides
    return message


def entry_parameters(
    module: bytes, with_config: bool
) -> list[tuple[tuple[int, ...], np.dtype]] | None:
    """Shape and dtype of each argument of an HLO module; None if one is no array.

    Args:
        module: an HloModuleProto, or an HloModuleProtoWithConfig that holds one.
        with_config: which of the two.
    """
    if with_config:
        module = _first(module, 1)
    program_shape = _first(module, 4)
    found = []
    for number, shape in _fields(program_shape):
        if number != 1 or not isinstance(shape, bytes):
            continue
        spec = _array_shape(shape)
        if spec is None:
            return None
        found.append(spec)
    return found


def _array_shape(message: bytes) -> tuple[tuple[int, ...], np.dtype] | None:
    dtype, dims = None, []
    for number, value in _fields(message):
        if number == 2:
            dtype = _PRIMITIVE_TYPES.get(value) if isinstance(value, int) else None
        elif number == 3:
            dims += _packed(value) if isinstance(value, bytes) else [value]
    if dtype is None:
        return None
    return tuple(dims), np.dtype(getattr(ml_dtypes, dtype, dtype))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _first(message: bytes, number: int) -> bytes:
    for found, value in _fields(message):
        if found == number and isinstance(value, bytes):
            return value
    return b""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The number and value of every field of a message."""
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _read_varint(message, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _read_varint(message, position)
        else:
            size = {1: 8, 5: 4}[wire]
        yield number, message[position : position + size]
        position += size


def _packed(data: bytes) -> list[int]:
    values, position = [], 0
    while position < len(data):
        value, position = _read_varint(data, position)
        values.append(value)
    return values


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
