"""The runtime of jaxc: devices, buffers, loaded programs and the compile cache.

It stands alone: with NumPy, ml_dtypes and iree.runtime it loads and runs what `jaxc compile` made.
The compile cache (`jaxc_runtime.cache`) is imported by whoever compiles, not here.

>>> import jaxc_runtime
>>> predict = jaxc_runtime.load("model.vmfb")  # doctest: +SKIP
>>> predict(images)  # doctest: +SKIP
"""

from jaxc_runtime.artifact import ArraySpec, Metadata, Program, load, pack, unpack
from jaxc_runtime.device import Device
from jaxc_runtime.errors import ArtifactError, DeviceError, ExecutionError
from jaxc_runtime.executable import Executable

__all__ = [
    "ArraySpec",
    "ArtifactError",
    "Device",
    "DeviceError",
    "Executable",
    "ExecutionError",
    "Metadata",
    "Program",
    "load",
    "pack",
    "unpack",
]
