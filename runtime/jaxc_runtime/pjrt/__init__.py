"""Devices that XLA plugins offer (TPU, XLA on the CPU or a GPU), through PJRT's C API.

    device = pjrt.devices("tpu")[0]
    program = device.load(stablehlo)        # StableHLO text or bytecode, or an executable
    [result] = program([device.to_device(x)])
    device.to_numpy(result, shape, dtype)

A plugin is a shared library that exports `GetPjrtApi`; it is called with ctypes, so nothing is
built. Uses NumPy and ml_dtypes, and of ours the errors. `import jaxc_runtime` does not import this
package.
"""

__all__ = [
    "PACKAGES",
    "Client",
    "Device",
    "Executable",
    "Plugin",
    "devices",
    "find",
    "get",
    "names",
]
from jaxc_runtime.pjrt.client import Client, Device, devices, get
from jaxc_runtime.pjrt.executable import Executable
from jaxc_runtime.pjrt.plugins import PACKAGES, Plugin, find, names
