"""Clients of PJRT plugins and their devices.

Owns opening a plugin, once for a process, and `Device`: what a device of IREE's is to `jit`.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from jaxc_runtime.errors import ArtifactError, DeviceError
from jaxc_runtime.pjrt import buffer as buffers
from jaxc_runtime.pjrt import executable, plugins
from jaxc_runtime.pjrt.api import FORKED, STRUCTS, Api, raising, text_fields
from jaxc_runtime.pjrt.buffer import Buffer
from jaxc_runtime.pjrt.executable import ArrayType, Executable

_INT64 = 1  # PJRT_NamedValue_Type

_lock = threading.RLock()
_apis: dict[str, Api] = {}
_clients: dict[str, Client] = {}
_lost: set[str] = set()  # libraries of the process that this one was forked from


class Device:
    """One device of a plugin.

    Attributes:
        platform: the plugin's name: `tpu`, `xla_cpu`, ...
        kind: what the device calls itself: `TPU v5 lite`, `cpu`, ...
        index: its position among the devices of this process.
        id: its number among the devices of all processes.
    """

    def __init__(self, client: Client, pointer: int, index: int):
        api = client.api
        description = api.call("Device_GetDescription", device=pointer).description
        self.client = client
        self.pointer = pointer
        self.index = index
        self.id = api.call("DeviceDescription_Id", description=description).id
        self.kind = api.text("DeviceDescription_Kind", description=description)
        self.platform = client.name

    def target(self, chip: str | None = None) -> str:
        """What programs for it are compiled for, in the compiler's words."""
        del chip  # the plugin knows its own
        return self.platform if self.platform == "tpu" else f"pjrt:{self.platform}"

    def to_device(self, array: np.ndarray) -> Buffer:
        """Copy an array to the device.

        Raises:
            TypeError: XLA has no such dtype.
            ExecutionError: no memory left on the device.
        """
        return buffers.from_numpy(self.client.api, self.client.pointer, self, array)

    def to_numpy(self, buffer: Buffer, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Copy a buffer to a new array; waits until it is computed.

        Raises:
            TypeError: the buffer is of another shape or dtype.
            ExecutionError: the program that makes it failed, or it was donated.
        """
        return buffers.to_numpy(self.client.api, buffer, shape, dtype)

    def holds(self, held: Buffer, shape: tuple[int, ...], dtype: np.dtype) -> bool:
        """Whether a buffer is an array of this shape and dtype."""
        return held.shape == shape and held.dtype == dtype

    def wait(self, held: Buffer) -> None:
        """Wait until a buffer is computed.

        Raises:
            ExecutionError: the program that should have made it failed.
        """
        held.wait()

    def load(
        self,
        program: bytes | str,
        function: str = "main",
        *,
        inputs: Sequence[ArrayType] | None = None,
    ) -> Executable:
        """Load a program: StableHLO as text or bytecode, or an executable of this plugin.

        Args:
            program: StableHLO, whose function is `main`, or what the plugin made of it.
            function: `main`, the only one a plugin knows.
            inputs: shape and dtype of each argument; found in the program if not given.

        Raises:
            ArtifactError: the plugin does not take it, with the plugin's own words.
        """
        if function != "main":
            raise ArtifactError(f"the program has no function {function!r}; it has: main")
        code = program.encode() if isinstance(program, str) else bytes(program)
        return executable.load(self.client.api, self.client.pointer, self, code, inputs)

    def __repr__(self) -> str:
        return f"Device({self.platform}:{self.index})"


class Client:
    """An opened plugin: its devices and their memory.

    Attributes:
        name: the plugin's name.
        platform: what the plugin calls its platform: `cpu`, `tpu`, ...
    """

    def __init__(self, plugin: plugins.Plugin, options: Mapping[str, int]):
        self.name = plugin.name
        self.options = dict(options)
        listed = [_named_value(key, value) for key, value in options.items()]
        array = (STRUCTS["NamedValue"] * len(listed))(*[value for value, _ in listed])
        with plugins.prepared(plugin.name), raising(DeviceError, f"no {plugin.name} device"):
            self.api = load_api(plugin)
            self.pointer: int = self.api.call(
                "Client_Create", options=ctypes.addressof(array), num_options=len(listed)
            ).client
        self.platform = self.api.text("Client_PlatformName", client=self.pointer)

    @cached_property
    def devices(self) -> list[Device]:
        """The devices of this process, in order."""
        found = self.api.call("Client_AddressableDevices", client=self.pointer)
        if not found.num_devices:
            raise DeviceError(f"{self.name} has no device in this process")
        pointers = (ctypes.c_void_p * found.num_devices).from_address(found.devices)
        return [Device(self, pointer, index) for index, pointer in enumerate(pointers) if pointer]

    def __repr__(self) -> str:
        return f"Client({self.name!r})"


def get(name: str, **options: int) -> Client:
    """The process's client of a plugin, opened the first time.

    Args:
        name: one of `plugins.names()`.
        options: what the plugin's client takes, such as `cpu_device_count`.

    Raises:
        DeviceError: no such plugin, no device, or it is open with other options.
    """
    with _lock:
        found = _clients.get(name)
        if found is None:
            found = _clients[name] = Client(plugins.find(name), options)
    if options and options != found.options:
        raise DeviceError(f"{name} is open with {found.options}: it cannot take {options} now")
    return found


def devices(name: str) -> list[Device]:
    """The devices of a plugin.

    Raises:
        DeviceError: no such plugin, or no device.

    Example:
        >>> devices("xla_cpu")[0].kind
        'cpu'
    """
    return get(name).devices


def load_api(plugin: plugins.Plugin) -> Api:
    """The plugin's library, loaded once: it can be initialized only once in a process.

    Raises:
        DeviceError: it does not start, or the parent that this process was forked from has it.
    """
    with _lock:
        path = os.path.realpath(plugin.path)
        if path in _lost:
            raise DeviceError(
                f"no {plugin.name} device: {FORKED}; open it in one of them only, or start "
                "children by 'spawn'"
            )
        if path not in _apis:
            _apis[path] = Api(path)
        return _apis[path]


def _named_value(name: str, value: int) -> tuple[ctypes.Structure, bytes]:
    text = name.encode()
    fields = text_fields(text, "name")
    return STRUCTS["NamedValue"](type=_INT64, value=value, size=1, **fields), text


def _forget_clients() -> None:
    """A forked child has the memory of the plugins but not their threads."""
    global _lock
    _lock = threading.RLock()
    _lost.update(_apis)
    _apis.clear()
    _clients.clear()


os.register_at_fork(after_in_child=_forget_clients)
