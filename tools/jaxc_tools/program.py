"""Compiled programs on the command line: loading, inputs from text, inspecting and timing.

Needs the runtime only. Works on files of `jaxc compile`, which know their signature, and where it
can on any other `.vmfb`, whose inputs must then be typed.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from iree.runtime import HalElementType

from jaxc_runtime import ArtifactError, DeviceError, ExecutionError, artifact, buffer, device
from jaxc_runtime import executable as executables
from jaxc_runtime.artifact import ArraySpec, Artifact, Signature
from jaxc_runtime.conversion import as_array
from jaxc_runtime.program import Function, Program, load_packed
from jaxc_tools.errors import UsageError, one_line
from jaxc_tools.specs import parse_input

SECONDS = 1.0  # that `bench` measures


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds a call of one function takes, and what it launches (None if the file is silent)."""

    signature: Signature
    target: str
    calls: int
    least: float
    median: float
    dispatches: int | None


def run_program(
    path: str, inputs: Sequence[str], function: str | None = None, driver: str | None = None
) -> list[np.ndarray]:
    """Load a program, run it once and return its results.

    Args:
        path: a `.vmfb`.
        inputs: one text per array, in order (see `specs.parse_input`).
        function: the function, if not the program's only or first one.
        driver: the device driver, if not the one the program was made for.

    Raises:
        UsageError: an unreadable file, unknown names, or inputs that do not fit.
    """
    data = _read(path)
    try:
        if not artifact.is_packed(data):
            return _run_plain(data, [parse_input(text) for text in inputs], function, driver)
        chosen = _function(load_packed(data, path, driver), function)
        return chosen.flat(_typed_inputs(chosen.signature, inputs))
    except (ArtifactError, DeviceError) as error:
        raise UsageError(_named(path, error)) from None
    except (ExecutionError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(one_line(error)) from None


def time_program(
    path: str, inputs: Sequence[str], function: str | None = None, driver: str | None = None
) -> list[Timing]:
    """Time the functions of a program (all, or the named one).

    Args:
        path: a file of `jaxc compile`.
        inputs: one text per array; random numbers if there are none.
        function: the function, needed to give inputs if there are several.
        driver: the device driver, if not the one the program was made for.

    Raises:
        UsageError: an unreadable file, unknown names, or inputs that do not fit.
    """
    data = _read(path)
    try:
        program = load_packed(data, path, driver)
        chosen = [_function(program, function)]
        if function is None and not inputs:
            chosen = list(program.functions.values())
        return [_time(program, one, _inputs_or_random(one.signature, inputs)) for one in chosen]
    except (ArtifactError, DeviceError) as error:
        raise UsageError(_named(path, error)) from None
    except (ExecutionError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(one_line(error)) from None


def describe(path: str) -> dict[str, Any]:
    """What a file of `jaxc compile` says of itself, as data.

    Raises:
        UsageError: an unreadable or damaged file.
    """
    found = _unpack(path)
    shown = dataclasses.asdict(found.metadata)
    for one, signature in zip(shown["functions"], found.metadata.functions):
        one["signature"] = str(signature)
    return {"file": path, "size": Path(path).stat().st_size, **shown}


def extract(path: str, number: int, output: str) -> int:
    """Write one of a file's programs as a plain `.vmfb`; returns its size.

    Raises:
        UsageError: an unreadable file, no such program, or an unwritable output.
    """
    found = _unpack(path)
    if not 0 <= number < len(found.programs):
        targets = [f"{n} {entry.target}" for n, entry in enumerate(found.metadata.programs)]
        raise UsageError(f"{path}: no program {number}; there are {', '.join(targets)}")
    try:
        return Path(output).write_bytes(found.programs[number])
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from None


def random_input(spec: ArraySpec, seed: int) -> np.ndarray:
    """Numbers that fit a spec: floats around 0, small integers."""
    rng = np.random.default_rng(seed)
    dtype = spec.numpy_dtype
    if dtype.kind in "biu":
        return rng.integers(0, 2, spec.shape).astype(dtype)
    values = rng.normal(size=spec.shape)
    return (values + 1j * values if dtype.kind == "c" else values).astype(dtype)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _unpack(path: str) -> Artifact:
    try:
        return artifact.unpack(_read(path))
    except ArtifactError as error:
        raise UsageError(_named(path, error)) from None


def _named(path: str, error: Exception) -> str:
    message = one_line(error)
    return message if message.startswith(path) else f"{path}: {message}"


def _function(program: Program, name: str | None) -> Function:
    if name is None:
        return next(iter(program.functions.values()))
    try:
        return program[name]
    except KeyError as error:
        raise ArtifactError(error.args[0]) from None


def _typed_inputs(signature: Signature, inputs: Sequence[str]) -> list[np.ndarray]:
    specs = signature.inputs
    if len(inputs) != len(specs):
        wanted = ", ".join(map(str, specs)) or "none"
        raise UsageError(f"{len(specs)} inputs expected ({wanted}), got {len(inputs)}")
    return [
        as_array(parse_input(text, spec.numpy_dtype), spec, f"input {index}")
        for index, (text, spec) in enumerate(zip(inputs, specs, strict=True))
    ]


def _inputs_or_random(signature: Signature, inputs: Sequence[str]) -> list[np.ndarray]:
    if inputs:
        return _typed_inputs(signature, inputs)
    return [random_input(spec, seed) for seed, spec in enumerate(signature.inputs)]


def _time(program: Program, function: Function, arrays: list[np.ndarray]) -> Timing:
    seconds: list[float] = []
    function.flat(arrays)  # the first call allocates
    end = time.perf_counter() + SECONDS
    while len(seconds) < 5 or time.perf_counter() < end:
        started = time.perf_counter()
        function.flat(arrays)
        seconds.append(time.perf_counter() - started)
    entry = next(p for p in program.metadata.programs if p.target == program.target)
    report = entry.reports.get(function.signature.symbol)
    return Timing(
        function.signature, program.target, len(seconds), min(seconds), statistics.median(seconds),
        None if report is None else report.dispatches,
    )  # fmt: skip


def _run_plain(
    data: bytes, arrays: list[np.ndarray], function: str | None, driver: str | None
) -> list[np.ndarray]:
    on = device.get(driver or device.DEFAULT_DRIVER)
    run = executables.load(data, on, function=function or "main")
    return [
        buffer.to_numpy(
            result, tuple(result.shape), HalElementType.map_to_dtype(result.element_type), on
        )
        for result in run([buffer.to_device(array, on) for array in arrays])
    ]
