"""The runtime of jaxc: devices, buffers, loaded programs and the compile cache.

It stands alone: with NumPy, ml_dtypes and iree.runtime it loads and runs what `jaxc compile` made.
The compile cache (`jaxc_runtime.cache`) is imported by whoever compiles, not here.

>>> import jaxc_runtime
>>> predict = jaxc_runtime.load("model.vmfb")  # doctest: +SKIP
>>> predict(images)  # doctest: +SKIP
"""

from jaxc_runtime.artifact import ArraySpec, CompiledProgram, Metadata, Signature, pack, unpack
from jaxc_runtime.device import Device
from jaxc_runtime.errors import ArtifactError, DeviceError, ExecutionError
from jaxc_runtime.executable import Executable
from jaxc_runtime.program import DeviceArray, Function, Program, load

__all__ = [
    "ArraySpec",
    "ArtifactError",
    "CompiledProgram",
    "Device",
    "DeviceArray",
    "DeviceError",
    "Executable",
    "ExecutionError",
    "Function",
    "Metadata",
    "Program",
    "Signature",
    "load",
    "pack",
    "unpack",
]
