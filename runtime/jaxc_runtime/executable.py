"""Executables: a loaded `.vmfb` and the shortest way to call it.

Owns loading and the call path. Imports iree.runtime; knows nothing of arrays, pytrees or
signatures (see `artifact`).

One call is: pack the buffers natively, invoke, take the results out. Argument and result lists
are made anew for each call: a reused result list would keep the last results alive, and new ones
make calls from several threads at once safe without a lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import iree.runtime as rt
from iree.runtime import HalBufferView, VmVariantList

from jaxc_runtime.device import Device, get, instance
from jaxc_runtime.errors import ArtifactError, ExecutionError, readable

Call = Callable[[Sequence[HalBufferView]], list[HalBufferView]]
Source = bytes | bytearray | memoryview | str | os.PathLike


class Executable:
    """One function of a loaded program. Calling it maps buffers to buffers.

    Attributes:
        call: what `__call__` calls; a loop that counts microseconds may keep and call it itself.
        call_pending: runs functions of one result and gives what `take` makes a buffer of: a
            result that is never looked at is never unwrapped.
    """

    __slots__ = ("_context", "_module", "call", "call_pending", "device", "name")

    def __init__(self, module: rt.VmModule, context: rt.VmContext, name: str, device: Device):
        function = module.lookup_function(name)
        if function is None:
            known = ", ".join(sorted(n for n in module.function_names if not n.startswith("__")))
            raise ArtifactError(f"the program has no function {name!r}; it has: {known or 'none'}")
        self.name = name
        self.device = device
        self._module = module
        self._context = context
        invocation = (function, context.invoke, device.pack, device.pack_context)
        self.call = _caller(*invocation)
        self.call_pending = _pending_caller(*invocation)

    def __call__(self, buffers: Sequence[HalBufferView]) -> list[HalBufferView]:
        """Run the function.

        Args:
            buffers: one buffer per argument, in order.

        Raises:
            ExecutionError: arguments of another number, shape or element type than compiled for,
                no memory left, or a failing host callback.
        """
        return self.call(buffers)

    def function(self, name: str) -> Executable:
        """Another function of the same program, sharing its state."""
        return Executable(self._module, self._context, name, self.device)

    @property
    def function_names(self) -> list[str]:
        """The functions the program exports."""
        return [n for n in self._module.function_names if not n.startswith("__")]

    def __repr__(self) -> str:
        return f"Executable({self.name!r}, {self.device!r})"


def _caller(function: Any, invoke: Any, pack: Any, context: Any) -> Call:
    """The call path as a closure: its variables are found faster than an object's attributes."""
    new_list, buffer_type, no_keywords = VmVariantList, HalBufferView, {}

    def call(buffers: Sequence[HalBufferView]) -> list[HalBufferView]:
        results = new_list(1)
        try:
            invoke(function, pack(context, buffers, no_keywords), results)
        except (ValueError, RuntimeError, IndexError) as error:
            raise ExecutionError(readable(error)) from error
        count = len(results)
        if count == 1:
            return [results.get_as_object(0, buffer_type)]
        take = results.get_as_object
        return [take(i, buffer_type) for i in range(count)]

    return call


def _pending_caller(function: Any, invoke: Any, pack: Any, context: Any) -> Any:
    new_list, no_keywords = VmVariantList, {}

    def call_pending(buffers: Sequence[HalBufferView]) -> VmVariantList:
        results = new_list(1)
        try:
            invoke(function, pack(context, buffers, no_keywords), results)
        except (ValueError, RuntimeError, IndexError) as error:
            raise ExecutionError(readable(error)) from error
        return results

    return call_pending


def take(pending: VmVariantList) -> HalBufferView:
    """The buffer in a result of `call_pending`."""
    return pending.get_as_object(0, HalBufferView)


def load(
    source: Source,
    device: Device | None = None,
    *,
    function: str = "main",
    modules: Sequence[Any] = (),
) -> Executable:
    """Load a compiled program.

    Args:
        source: the bytes of a `.vmfb`, or the path of one (which is memory-mapped, not read).
        device: where it runs; the default device if not given.
        function: which exported function a call runs.
        modules: further VM modules it imports from, such as host callbacks.

    Raises:
        ArtifactError: not a program, cut off, or made for another IREE version.
        FileNotFoundError, PermissionError, IsADirectoryError: the path cannot be read.
    """
    device = device or get()
    device.attach()
    vm = instance()
    try:
        module = _load_module(vm, source)
        context = rt.VmContext(vm, [device.hal_module, *modules, module])
    except (ValueError, RuntimeError, IndexError, KeyError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"{_describe(source)} cannot be loaded: {readable(error)}") from error
    return Executable(module, context, function, device)


def _load_module(vm: rt.VmInstance, source: Source) -> rt.VmModule:
    if isinstance(source, bytes | bytearray | memoryview):
        if not len(source):
            raise ArtifactError("an empty byte string is not a compiled program")
        return rt.VmModule.copy_buffer(vm, bytes(source))
    path = Path(source)
    with path.open("rb") as file:  # for the OSError that says what is wrong with the path
        if not file.read(1):
            raise ArtifactError(f"{path} is empty, not a compiled program")
    return rt.VmModule.mmap(vm, str(path))


def _describe(source: Source) -> str:
    if isinstance(source, bytes | bytearray | memoryview):
        return f"a program of {len(source)} bytes"
    return os.fspath(source)
