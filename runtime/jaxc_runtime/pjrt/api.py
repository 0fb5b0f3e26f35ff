"""PJRT's C API as data: the table of functions, the argument struct of each, and its errors.

Owns loading a plugin's library and calling it. Imports nothing of ours but the errors.

Every function takes a pointer to a struct of its own that begins with the struct's size, by which
the plugin tells what its caller knows, and returns null or an error to be freed. The table only
grows at its end, so that these names are right for every plugin of major version 0 that has them.
Source: `pjrt_c_api.h` of XLA, version 0.81.
"""

from __future__ import annotations

import atexit
import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from jaxc_runtime.errors import DeviceError

# In the order of `struct PJRT_Api`; what is after the last one is not used here.
_TABLE = (
    ("Error", "Destroy Message GetCode"),
    ("Plugin", "Initialize Attributes"),
    ("Event", "Destroy IsReady Error Await OnReady"),
    ("Client", "Create Destroy PlatformName ProcessIndex PlatformVersion Devices"),
    ("Client", "AddressableDevices LookupDevice LookupAddressableDevice AddressableMemories"),
    ("Client", "Compile DefaultDeviceAssignment BufferFromHostBuffer"),
    ("DeviceDescription", "Id ProcessIndex Attributes Kind DebugString ToString"),
    ("Device", "GetDescription IsAddressable LocalHardwareId AddressableMemories"),
    ("Device", "DefaultMemory MemoryStats"),
    ("Memory", "Id Kind DebugString ToString AddressableByDevices"),
    ("Executable", "Destroy Name NumReplicas NumPartitions NumOutputs"),
    ("Executable", "SizeOfGeneratedCodeInBytes GetCostAnalysis OutputMemoryKinds"),
    ("Executable", "OptimizedProgram Serialize"),
    ("LoadedExecutable", "Destroy GetExecutable AddressableDevices Delete IsDeleted Execute"),
    ("Executable", "DeserializeAndLoad"),
    ("LoadedExecutable", "Fingerprint"),
    ("Buffer", "Destroy ElementType Dimensions UnpaddedDimensions DynamicDimensionIndices"),
    ("Buffer", "GetMemoryLayout OnDeviceSizeInBytes Device Memory Delete IsDeleted"),
    ("Buffer", "CopyToDevice ToHostBuffer IsOnCpu ReadyEvent UnsafePointer"),
    ("Buffer", "IncreaseExternalReferenceCount DecreaseExternalReferenceCount"),
    ("Buffer", "OpaqueDeviceMemoryDataPointer"),
    ("CopyToDeviceStream", "Destroy AddChunk TotalBytes GranuleSize CurrentBytes"),
    ("TopologyDescription", "Create Destroy PlatformName PlatformVersion"),
    ("TopologyDescription", "GetDeviceDescriptions Serialize Attributes"),
    ("", "Compile"),
    ("Executable", "OutputElementTypes OutputDimensions"),
)

# The fields after `struct_size` and `extension_start`: pointers where no type is written.
_FIELDS = {
    "Error_Destroy": "error",
    "Error_Message": "error text text_size:size",
    "Error_GetCode": "error code:int",
    "Plugin_Initialize": "",
    "Event_Destroy": "event",
    "Event_Await": "event",
    "Client_Create": "options num_options:size kv_get kv_get_arg kv_put kv_put_arg client"
    " kv_try_get kv_try_get_arg",
    "Client_PlatformName": "client text text_size:size",
    "Client_AddressableDevices": "client devices num_devices:size",
    "Client_Compile": "client program options options_size:size executable",
    "Client_BufferFromHostBuffer": "client data type:int dims num_dims:size strides"
    " num_strides:size semantics:int device memory layout done buffer",
    "Device_GetDescription": "device description",
    "DeviceDescription_Id": "description id:int",
    "DeviceDescription_Kind": "description text text_size:size",
    "Executable_Destroy": "executable",
    "Executable_Name": "executable text text_size:size",
    "Executable_OptimizedProgram": "executable program",
    "Executable_Serialize": "executable text text_size:size owner deleter",
    "Executable_DeserializeAndLoad": "client text text_size:size executable"
    " options options_size:size",
    "Executable_OutputElementTypes": "executable types num_types:size",
    "Executable_OutputDimensions": "executable num_outputs:size dims ranks",
    "LoadedExecutable_Destroy": "executable",
    "LoadedExecutable_GetExecutable": "loaded executable",
    "LoadedExecutable_Execute": "executable options arguments num_devices:size num_args:size"
    " outputs events device",
    "Buffer_Destroy": "buffer",
    "Buffer_ReadyEvent": "buffer event",
    "Buffer_ToHostBuffer": "buffer layout data size:size event",
    "TopologyDescription_Create": "text text_size:size options num_options:size topology",
    "TopologyDescription_Destroy": "topology",
    "TopologyDescription_PlatformVersion": "topology text text_size:size",
    "Compile": "topology program options options_size:size client executable",
    # Structs that arguments point to.
    "Program": "code code_size:size format format_size:size",
    "NamedValue": "name name_size:size type:int value:int64 size:size",
    "ExecuteOptions": "send recv num_send:size num_recv:size launch_id:int"
    " not_donated num_not_donated:size context call_location num_tasks:size task_ids"
    " incarnation_ids",
    "MemoryLayout": "tiled_size:size tiled_extension minor_to_major rank:size"
    " tiles tile_ranks num_tiles:size kind:int",
}  # fmt: skip

_TYPES = {
    "": ctypes.c_void_p,
    "size": ctypes.c_size_t,
    "int": ctypes.c_int,
    "int64": ctypes.c_int64,
}


def _struct(name: str, fields: str) -> type[ctypes.Structure]:
    """A struct type that knows its own size when it is made."""
    listed: list[tuple[str, Any]] = [("struct_size", ctypes.c_size_t), ("extension", _TYPES[""])]
    for field in fields.split():
        label, _, kind = field.partition(":")
        listed.append((label, _TYPES[kind]))

    def init(self: Any, **values: Any) -> None:
        ctypes.Structure.__init__(self, ctypes.sizeof(self), **values)

    return type(name, (ctypes.Structure,), {"_fields_": listed, "__init__": init})


STRUCTS = {name: _struct(name, fields) for name, fields in _FIELDS.items()}
FUNCTIONS = tuple(f"{p}_{n}".lstrip("_") for p, names in _TABLE for n in names.split())

_CODES = (
    "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS"
    " PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED"
    " INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED"
)

FORKED = "the plugin was opened by the process that this one was forked from"
Function = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)


class PluginError(RuntimeError):
    """What a plugin answered instead of doing what it was asked: its status and first line."""

    def __init__(self, code: str, message: str):
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


@contextmanager
def raising(kind: type[Exception], what: str) -> Iterator[None]:
    """Turn a plugin's error into one of the runtime's, with what was tried before it."""
    try:
        yield
    except PluginError as error:
        raise kind(f"{what}: {error}") from None


class _Header(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("extension", ctypes.c_void_p),
        ("version_size", ctypes.c_size_t),
        ("version_extension", ctypes.c_void_p),
        ("major", ctypes.c_int),
        ("minor", ctypes.c_int),
    )


class Api:
    """A loaded plugin.

    Attributes:
        version: (major, minor) of the C API the plugin was built with.
        closed: why nothing may be called or freed any more, because the plugin's threads are
            gone; empty as long as it may.
    """

    def __init__(self, path: str | os.PathLike):
        try:
            library = ctypes.CDLL(os.fspath(path))
            entry = library.GetPjrtApi
        except (OSError, AttributeError) as error:
            raise DeviceError(f"{os.fspath(path)} is not a PJRT plugin: {error}") from None
        entry.restype = ctypes.c_void_p
        address = entry()
        header = _Header.from_address(address)
        self.version = (header.major, header.minor)
        self.closed = ""
        if header.major != 0:
            raise DeviceError(f"{os.fspath(path)} has PJRT API {header.major}, expected 0")
        self._functions = _functions(address, header.struct_size)
        try:
            self.call("Plugin_Initialize")
        except PluginError as error:
            raise DeviceError(f"{os.fspath(path)} does not start: {error}") from None
        atexit.register(self.close, "the process is ending")
        os.register_at_fork(after_in_child=partial(self.close, FORKED))

    def close(self, reason: str) -> None:
        """Call nothing any more; what is not freed yet goes with the process."""
        self.closed = self.closed or reason

    def call(self, name: str, **fields: Any) -> Any:
        """Call a function with the fields of its struct, and return the struct.

        Raises:
            PluginError: what the plugin answered.
        """
        args = STRUCTS[name](**fields)
        error = self.function(name)(ctypes.byref(args))
        if error:
            raise self.error(error)
        return args

    def function(self, name: str) -> Any:
        """A function of the table, to be called with a pointer to its struct.

        Raises:
            PluginError: the plugin does not have it, or is closed.
        """
        if self.closed:
            raise PluginError("FAILED_PRECONDITION", self.closed)
        found = self._functions.get(name)
        if found is None:
            raise PluginError("UNIMPLEMENTED", f"the plugin has no {name}")
        return found

    def text(self, name: str, **fields: Any) -> str:
        """The string that a function returns."""
        args = self.call(name, **fields)
        return ctypes.string_at(args.text, args.text_size).decode() if args.text else ""

    def destroy(self, name: str, **pointer: Any) -> None:
        """Free something: never fails, and does nothing in a process that ends."""
        if not self.closed:
            self._functions[name](ctypes.byref(STRUCTS[name](**pointer)))

    def wait(self, event: int | None) -> None:
        """Wait for an event and free it.

        Raises:
            PluginError: what was waited for failed.
        """
        if not event:
            return
        try:
            self.call("Event_Await", event=event)
        finally:
            self.destroy("Event_Destroy", event=event)

    def error(self, pointer: int) -> PluginError:
        """The error behind a pointer, which is freed."""
        message = STRUCTS["Error_Message"](error=pointer)
        self._functions["Error_Message"](ctypes.byref(message))
        text = ctypes.string_at(message.text, message.text_size).decode(errors="replace")
        code = STRUCTS["Error_GetCode"](error=pointer)
        self._functions["Error_GetCode"](ctypes.byref(code))
        self.destroy("Error_Destroy", error=pointer)
        known = _CODES.split()
        name = known[code.code] if 0 <= code.code < len(known) else str(code.code)
        return PluginError(name, text.strip().split("\n", 1)[0])


def _functions(address: int, size: int) -> dict[str, Any]:
    """The functions a plugin has: its table may be shorter, and may have holes."""
    start = ctypes.sizeof(_Header)
    count = min(len(FUNCTIONS), (size - start) // ctypes.sizeof(ctypes.c_void_p))
    table = (ctypes.c_void_p * count).from_address(address + start)
    return {name: Function(entry) for name, entry in zip(FUNCTIONS, table) if entry}


def text_fields(text: bytes, name: str = "text") -> dict[str, Any]:
    """The two fields of a string: a pointer, valid as long as `text` lives, and its length."""
    pointer = ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p)
    return {name: pointer, f"{name}_size": len(text)}
