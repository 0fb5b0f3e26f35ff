"""Programs of a PJRT client: compiled from StableHLO or read back, and called.

Owns the call path. Plugins compare only the sizes of arguments with what a program was compiled
for, if anything, so that number, shape, dtype and device are checked here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc_runtime.errors import ArtifactError, ExecutionError
from jaxc_runtime.pjrt import protobuf
from jaxc_runtime.pjrt.api import STRUCTS, Api, PluginError, raising, text_fields
from jaxc_runtime.pjrt.buffer import DTYPES, Buffer

ArrayType = tuple[tuple[int, ...], np.dtype]
_BYTECODE = b"ML\xefR"


class Executable:
    """A program loaded on one device. Calling it maps buffers to buffers; it returns at once,
    and reading a result waits for it.

    Attributes:
        inputs: shape and dtype of each argument.
        outputs: shape and dtype of each result.
    """

    def __init__(
        self, api: Api, pointer: int, device: Any, inputs: Sequence[ArrayType] | None = None
    ):
        self._api = api
        self._pointer = pointer
        self.device = device
        program = api.call("LoadedExecutable_GetExecutable", loaded=pointer).executable
        try:
            self.name = api.text("Executable_Name", executable=program)
            self.outputs = output_types(api, program)
            self.inputs = list(inputs) if inputs is not None else input_types(api, program)
        finally:
            api.destroy("Executable_Destroy", executable=program)
        self._expected = [(device, shape, dtype) for shape, dtype in self.inputs]
        self._results = [(device, shape, dtype) for shape, dtype in self.outputs]
        self._execute = api.function("LoadedExecutable_Execute")
        self._options = STRUCTS["ExecuteOptions"]()
        self._argument_array = ctypes.c_void_p * len(self.inputs)
        self._result_array = ctypes.c_void_p * len(self.outputs)

    def __call__(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """Run the program.

        Args:
            buffers: one buffer per argument, on the program's device. Donated ones are used up.

        Raises:
            ExecutionError: arguments of another number, shape, dtype or device than the program
                takes, one that is used up, or a failure of the program.
        """
        try:
            specs = [buffer.spec for buffer in buffers]
        except AttributeError:
            raise TypeError(f"{self.name}: expected buffers of Device.to_device") from None
        if specs != self._expected:
            raise ExecutionError(self._mismatch(specs))
        api = self._api
        if api.closed:
            raise ExecutionError(f"{self.name} cannot run: {api.closed}")
        arguments = self._argument_array(*[buffer.pointer for buffer in buffers])
        results = self._result_array()
        arguments_list = ctypes.c_void_p(ctypes.addressof(arguments))
        results_list = ctypes.c_void_p(ctypes.addressof(results))
        args = STRUCTS["LoadedExecutable_Execute"](
            executable=self._pointer,
            options=ctypes.addressof(self._options),
            arguments=ctypes.addressof(arguments_list),
            num_devices=1,
            num_args=len(specs),
            outputs=ctypes.addressof(results_list),
        )
        error = self._execute(ctypes.byref(args))
        if error:
            raise ExecutionError(f"{self.name} failed: {api.error(error)}")
        return [Buffer(api, result, spec) for result, spec in zip(results, self._results)]

    def serialize(self) -> bytes:
        """The compiled program as bytes that `Device.load` of the same plugin version takes.

        Raises:
            ExecutionError: the plugin cannot.
        """
        api = self._api
        with raising(ExecutionError, f"{self.name} cannot be serialized"):
            program = api.call("LoadedExecutable_GetExecutable", loaded=self._pointer).executable
            try:
                return serialized(api, program)
            finally:
                api.destroy("Executable_Destroy", executable=program)

    def __del__(self) -> None:
        self._api.destroy("LoadedExecutable_Destroy", executable=self._pointer)

    def __repr__(self) -> str:
        return f"Executable({self.name!r}, {self.device!r})"

    def _mismatch(self, specs: Sequence[tuple]) -> str:
        if len(specs) != len(self._expected):
            return f"{self.name}: expected {len(self._expected)} arguments, got {len(specs)}"
        for index, (got, wanted) in enumerate(zip(specs, self._expected)):
            if got != wanted:
                return f"{self.name}: argument {index}: expected {_text(wanted)}, got {_text(got)}"
        raise AssertionError("equal lists")


def _text(spec: tuple[Any, tuple[int, ...], np.dtype]) -> str:
    return f"{spec[2]}{list(spec[1])} on {spec[0]}"


def load(
    api: Api, client: int, device: Any, program: bytes, inputs: Sequence[ArrayType] | None
) -> Executable:
    """Compile StableHLO, or load what `serialize` or compiling ahead of time made.

    Raises:
        ArtifactError: the plugin does not take it.
    """
    if not program:
        raise ArtifactError("an empty byte string is not a program")
    try:
        pointer = (_compile if is_mlir(program) else _deserialize)(api, client, device, program)
        return Executable(api, pointer, device, inputs)
    except PluginError as error:
        raise ArtifactError(
            f"a program of {len(program)} bytes cannot be loaded: {error}"
        ) from None


def is_mlir(program: bytes) -> bool:
    """Whether bytes are MLIR, as text or bytecode, and not an executable."""
    if program.startswith(_BYTECODE):
        return True
    return b"\x00" not in program and b"func" in program


# By what a plugin calls its platform. XLA's CPU backend would leave out NaN in max and min.
_OVERRIDES: dict[str, dict[str, bool]] = {"cpu": {"xla_cpu_enable_fast_min_max": False}}


def _compile(api: Api, client: int, device: Any, program: bytes) -> int:
    options = protobuf.compile_options(device.id, _OVERRIDES.get(device.client.platform, {}))
    source, _kept = mlir_program(program)
    return api.call(
        "Client_Compile",
        client=client,
        program=ctypes.addressof(source),
        **text_fields(options, "options"),
    ).executable


def mlir_program(program: bytes) -> tuple[ctypes.Structure, Any]:
    """The struct of a StableHLO program, and what must live as long as it."""
    kind = b"mlir"
    made = STRUCTS["Program"](**text_fields(program, "code"), **text_fields(kind, "format"))
    return made, (program, kind)


def _deserialize(api: Api, client: int, device: Any, program: bytes) -> int:
    options = protobuf.compile_options(device.id)
    return api.call(
        "Executable_DeserializeAndLoad",
        client=client,
        **text_fields(program),
        **text_fields(options, "options"),
    ).executable


def serialized(api: Api, executable: int) -> bytes:
    """The bytes of an executable.

    Raises:
        PluginError: the plugin cannot write it.
    """
    made = api.call("Executable_Serialize", executable=executable)
    try:
        return ctypes.string_at(made.text, made.text_size)
    finally:
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(made.deleter)(made.owner)


def output_types(api: Api, executable: int) -> list[ArrayType]:
    """Shape and dtype of each result of an executable.

    Raises:
        ArtifactError: a result that is no array of a known dtype.
    """
    kinds = api.call("Executable_OutputElementTypes", executable=executable)
    numbers = (ctypes.c_int * kinds.num_types).from_address(kinds.types) if kinds.num_types else ()
    unknown = [f"{n} of type {number}" for n, number in enumerate(numbers) if number not in DTYPES]
    if unknown:
        raise ArtifactError(f"the program has results that are no arrays: {', '.join(unknown)}")
    dtypes = [DTYPES[number] for number in numbers]
    shapes = api.call("Executable_OutputDimensions", executable=executable)
    if not dtypes:
        return []
    ranks = list((ctypes.c_size_t * len(dtypes)).from_address(shapes.ranks))
    total = sum(ranks)
    dims = iter((ctypes.c_int64 * total).from_address(shapes.dims) if total else ())
    return [(tuple(next(dims) for _ in range(rank)), dtype) for rank, dtype in zip(ranks, dtypes)]


def input_types(api: Api, executable: int) -> list[ArrayType]:
    """Shape and dtype of each argument of an executable: the C API has no call for it, but the
    executable's HLO says it.

    Raises:
        ArtifactError: the plugin does not give the HLO.
    """
    with raising(ArtifactError, "the program's arguments cannot be found"):
        size = STRUCTS["Program"]()
        api.call(
            "Executable_OptimizedProgram", executable=executable, program=ctypes.addressof(size)
        )
        code = ctypes.create_string_buffer(size.code_size)
        size.code = ctypes.addressof(code)
        api.call(
            "Executable_OptimizedProgram", executable=executable, program=ctypes.addressof(size)
        )
    kind = ctypes.string_at(size.format, size.format_size)
    found = protobuf.entry_parameters(code.raw, with_config=kind == b"hlo_with_config")
    if found is None:
        raise ArtifactError("the program takes arguments that are no arrays")
    return found
