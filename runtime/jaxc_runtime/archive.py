"""Weights beside a program: an IREE parameter archive (`.irpa`), written and read whole.

Owns `write` and `read`. The metadata of the program holds the archive's checksum: an archive that
was exchanged is refused like one that was damaged. Imports the record and the VM instance.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import iree.runtime as rt
import numpy as np
from iree.runtime import _binding

from jaxc_runtime import buffer, device
from jaxc_runtime.artifact import Archive, check_file_name
from jaxc_runtime.errors import ArtifactError, readable

SCOPE = "model"


class Weights:
    """An archive in memory."""

    def __init__(self, index: rt.ParameterIndex, scope: str, data: np.ndarray):
        self._index = index
        self._scope = scope
        self._data = data

    def module(self) -> Any:
        """A VM module that gives a program its parameters when it is loaded."""
        provider = self._index.create_provider(scope=self._scope)
        return getattr(rt, "create_io_parameters_module")(  # noqa: B009  not in its stubs
            device.instance(), provider
        )


def write(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> Archive:
    """Write arrays as an archive, in the order given.

    Returns:
        The record of it for the program's metadata.

    Raises:
        ArtifactError: metadata cannot name such a file.
        OSError: the path cannot be written.
    """
    file = os.path.basename(os.fspath(path))
    check_file_name(file)
    with open(path, "wb"):  # for the OSError that says what is wrong with the path
        pass
    index = rt.ParameterIndex()
    for name, array in arrays.items():
        index.add_buffer(name, np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    index.create_archive_file(os.fspath(path))
    data = np.fromfile(path, np.uint8)
    return Archive(file, SCOPE, data.nbytes, hashlib.sha256(data.data).hexdigest())


def read(directory: str, record: Archive) -> Weights:
    """Read the archive that a program's metadata names.

    Raises:
        ArtifactError: it is missing, or is not the one the program was compiled with.
    """
    path = os.path.join(directory, record.file)
    try:
        size = os.path.getsize(path)
        data = buffer.empty_aligned((size,), np.dtype(np.uint8))
        with open(path, "rb") as file:
            complete = file.readinto(data.data) == size == record.size
    except OSError as error:
        raise ArtifactError(
            f"its weights are in {record.file}, which cannot be read: {error.strerror}"
        ) from None
    if not complete or hashlib.sha256(data.data).hexdigest() != record.sha256:
        raise ArtifactError(f"{record.file} is not the archive of weights it was compiled with")
    index = rt.ParameterIndex()
    try:
        index.load_from_file_handle(_binding.FileHandle.wrap_memory(data), "irpa")
    except (ValueError, RuntimeError) as error:
        raise ArtifactError(f"{record.file} is no parameter archive: {readable(error)}") from None
    return Weights(index, record.scope, data)
