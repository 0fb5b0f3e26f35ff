"""`jaxc run model.vmfb`: runs a compiled program on inputs from the command line.

Needs the runtime only. Works on files of `jaxc compile`, which know their signature, and on any
other `.vmfb`, whose inputs must then be typed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from iree.runtime import HalElementType

from jaxc_runtime import (
    ArtifactError,
    DeviceError,
    ExecutionError,
    Metadata,
    artifact,
    buffer,
    device,
    executable,
)
from jaxc_tools.errors import UsageError, one_line
from jaxc_tools.specs import parse_input


def run_program(
    path: str, inputs: Sequence[str], function: str | None = None, driver: str | None = None
) -> list[np.ndarray]:
    """Load a program, run it once and return its results.

    Args:
        path: a `.vmfb`.
        inputs: one text per array, in order (see `specs.parse_input`).
        function: the exported function, if not the program's only or main one.
        driver: the device driver, if not the one the program was made for.

    Raises:
        UsageError: an unreadable file, unknown names, or inputs that do not fit.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    try:
        if not artifact.is_packed(data):
            return _run_plain(data, [parse_input(text) for text in inputs], function, driver)
        program, metadata = artifact.unpack(data)
        on = device.get(driver or metadata.driver)
        artifact.check_target(metadata.target, on)
        run = executable.load(program, on, function=function or metadata.function)
        return _run_signed(run, metadata, inputs)
    except (ArtifactError, DeviceError) as error:
        raise UsageError(f"{path}: {one_line(error)}") from None
    except (ExecutionError, TypeError, ValueError) as error:
        raise UsageError(one_line(error)) from None


def _run_signed(
    run: executable.Executable, metadata: Metadata, inputs: Sequence[str]
) -> list[np.ndarray]:
    specs = metadata.inputs
    if len(inputs) != len(specs):
        wanted = ", ".join(map(str, specs)) or "none"
        raise UsageError(f"{len(specs)} inputs expected ({wanted}), got {len(inputs)}")
    arrays = [
        artifact.as_array(parse_input(text, spec.numpy_dtype), spec, f"input {index}")
        for index, (text, spec) in enumerate(zip(inputs, specs, strict=True))
    ]
    buffers = [buffer.to_device(array, run.device) for array in arrays]
    return [
        buffer.to_numpy(result, spec.shape, spec.numpy_dtype, run.device)
        for result, spec in zip(run(buffers), metadata.outputs, strict=True)
    ]


def _run_plain(
    data: bytes, arrays: list[np.ndarray], function: str | None, driver: str | None
) -> list[np.ndarray]:
    on = device.get(driver or device.DEFAULT_DRIVER)
    run = executable.load(data, on, function=function or "main")
    return [
        buffer.to_numpy(
            result, tuple(result.shape), HalElementType.map_to_dtype(result.element_type), on
        )
        for result in run([buffer.to_device(array, on) for array in arrays])
    ]
