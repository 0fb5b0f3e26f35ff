"""Deployed programs: one `.vmfb` file that knows its own signature.

Owns the file format and the NumPy-in, NumPy-out callable. Imports the loader and the buffers; it
needs no compiler and no frontend, and nothing in a file is ever unpickled or executed as Python.

A file is `program | metadata as JSON | trailer`. IREE reads only the length that the program
itself states, so every IREE tool takes the file as a plain `.vmfb`. The trailer holds both
lengths and a checksum, so that a file cut off or damaged on its way is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jaxc_runtime import buffer, device, executable, platforms, structure
from jaxc_runtime.errors import ArtifactError

_MAGIC = b"JAXCPRG1"
_TRAILER = struct.Struct("<QQ32s8s")  # program length, metadata length, sha256 of both, magic
FORMAT = 1


@dataclass(frozen=True)
class ArraySpec:
    """Shape and dtype of one array at the boundary of a program."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def numpy_dtype(self) -> np.dtype:
        """The dtype as NumPy (with ml_dtypes) knows it."""
        return np.dtype(getattr(ml_dtypes, self.dtype, self.dtype))

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Metadata:
    """What travels with a program.

    Attributes:
        name: the Python function it was made from.
        target: the target it was compiled for, such as `cpu`.
        driver: the device driver that runs it, such as `local-sync`.
        inputs: one spec per leaf of the arguments, in order.
        outputs: one spec per leaf of the result, in order.
        in_structure: `structure.encode` of the positional arguments with numbered leaves.
        out_structure: the same of the result.
        versions: name -> version of what compiled it.
        function: the exported function to call.
    """

    name: str
    target: str
    driver: str
    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]
    in_structure: Any
    out_structure: Any
    versions: dict[str, str] = field(default_factory=dict)
    function: str = "main"

    def to_json(self) -> str:
        """The metadata as one line of JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Metadata:
        """Read what `to_json` wrote.

        Raises:
            ArtifactError: not such a text, or of a newer format.
        """
        try:
            fields = json.loads(text)
            version = fields.pop("format")
            if version != FORMAT:
                raise ArtifactError(f"metadata format {version} is not known, only {FORMAT}")
            for key in ("inputs", "outputs"):
                fields[key] = tuple(ArraySpec(tuple(s["shape"]), s["dtype"]) for s in fields[key])
            return cls(**fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, ArtifactError):
                raise
            raise ArtifactError(f"the metadata of the program is damaged: {error}") from None


class Program:
    """A loaded program: call it with NumPy arrays, get NumPy arrays."""

    def __init__(self, runner: executable.Executable, metadata: Metadata):
        self.metadata = metadata
        self._run = runner

    def __call__(self, *arguments: Any) -> Any:
        """Run the program.

        Args:
            arguments: nested like the arguments of the function it was made from.

        Raises:
            TypeError: arguments nested otherwise, or of a dtype that does not convert safely.
            ValueError: an array of another shape.
            ExecutionError: the program failed.
        """
        meta, on = self.metadata, self._run.device
        leaves = structure.flatten(meta.in_structure, arguments, "argument")
        buffers = [
            buffer.to_device(as_array(value, spec, path), on)
            for spec, (path, value) in zip(meta.inputs, leaves, strict=True)
        ]
        results = [
            buffer.to_numpy(result, spec.shape, spec.numpy_dtype, on)
            for result, spec in zip(self._run(buffers), meta.outputs, strict=True)
        ]
        return structure.unflatten(meta.out_structure, results)

    def __repr__(self) -> str:
        inputs = ", ".join(map(str, self.metadata.inputs))
        outputs = ", ".join(map(str, self.metadata.outputs))
        return f"<Program {self.metadata.name}({inputs}) -> ({outputs}), {self.metadata.target}>"


def pack(program: bytes, metadata: Metadata) -> bytes:
    """Put a program and its metadata into the bytes of one file."""
    text = metadata.to_json().encode()
    digest = hashlib.sha256(program + text).digest()
    return program + text + _TRAILER.pack(len(program), len(text), digest, _MAGIC)


def is_packed(data: bytes) -> bool:
    """Whether the bytes end like a file of `pack`."""
    return len(data) >= _TRAILER.size and data[-len(_MAGIC) :] == _MAGIC


def unpack(data: bytes) -> tuple[bytes, Metadata]:
    """Undo `pack`.

    Raises:
        ArtifactError: no metadata (a plain `.vmfb`), cut off, or damaged.
    """
    if not is_packed(data):
        raise ArtifactError(
            "no jaxc metadata at its end: cut off, or not made by `jaxc compile` "
            "(a plain .vmfb loads with jaxc_runtime.executable.load)"
        )
    length, text_length, digest, _ = _TRAILER.unpack(data[-_TRAILER.size :])
    body = data[: -_TRAILER.size]
    if length + text_length != len(body) or hashlib.sha256(body).digest() != digest:
        raise ArtifactError("the checksum is wrong: the file was damaged")
    return body[:length], Metadata.from_json(body[length:].decode())


def load(path: str | os.PathLike, driver: str | None = None) -> Program:
    """Load a program made by `jaxc compile` or `jaxc_tools.compile.compile_function`.

    Args:
        path: the file.
        driver: a device driver to use instead of the one the program names.

    Raises:
        ArtifactError: not a program, cut off, damaged, or made for another chip.
        DeviceError: the device it wants is not there.
        OSError: the path cannot be read.
    """
    try:
        program, metadata = unpack(Path(path).read_bytes())
        on = device.get(driver or metadata.driver)
        check_target(metadata.target, on)
    except ArtifactError as error:
        raise ArtifactError(f"{os.fspath(path)}: {error}") from None
    return Program(executable.load(program, on, function=metadata.function), metadata)


def check_target(target: str, on: device.Device) -> None:
    """Refuse a program for another driver, or for another chip where that gives wrong values.

    Args:
        target: `name` or `name:chip` of the program's metadata.
        on: the device it is about to be loaded on.

    Raises:
        ArtifactError: the program would not load there, or would compute something else.
        DeviceError: the device is a Vulkan device of an unknown chip.
    """
    name, _, chip = target.partition(":")
    driver = on.driver.partition("://")[0]
    if (name == "vulkan") != (driver == "vulkan"):
        raise ArtifactError(f"made for {target}, cannot run on {on.driver}")
    here = platforms.chip_of(on.driver)
    if here is not None and chip and chip != here:
        raise ArtifactError(
            f"made for {target}, the device is {name}:{here}: results could be wrong; compile it "
            f"with --target {name}:{here}"
        )


def as_array(value: Any, spec: ArraySpec, path: str) -> np.ndarray:
    """Convert one leaf of the arguments to what the program wants.

    Args:
        value: an array, a number or a nested list.
        spec: the wanted shape and dtype.
        path: what the messages call it.

    Raises:
        TypeError: its dtype does not convert within its kind (float64 to float32 does).
        ValueError: another shape.
    """
    dtype = spec.numpy_dtype
    array = np.asarray(value)
    if array.dtype != dtype:
        is_number = isinstance(value, bool | int | float | complex)
        narrows = np.can_cast(array.dtype, dtype, "same_kind")  # float64 data for a float32 program
        if not narrows and not (is_number and np.can_cast(value.__class__, dtype, "same_kind")):
            raise TypeError(f"{path}: expected {spec}, got dtype {array.dtype}")
        array = array.astype(dtype)
    if array.shape != spec.shape:
        raise ValueError(f"{path}: expected {spec}, got shape {array.shape}")
    return array
