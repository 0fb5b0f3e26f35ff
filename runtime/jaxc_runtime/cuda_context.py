"""CUDA's current context, which each thread has for itself.

IREE makes a device's context current on the thread that opens the device; on another thread its
allocations fail with CUDA_ERROR_INVALID_CONTEXT. So whoever is about to use a device of CUDA calls
what `attacher` gave. Imports nothing of ours but the errors.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

from jaxc_runtime.errors import DeviceError

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def attacher() -> Callable[[], None]:
    """A function that makes the caller's context current on the thread it is called on.

    To be called on the thread that has just opened the device.

    Raises:
        DeviceError: the driver gives no context.
    """
    driver = ctypes.CDLL(_LIBRARY)
    context = ctypes.c_void_p()
    if driver.cuCtxGetCurrent(ctypes.byref(context)) or not context:
        raise DeviceError("the CUDA driver gives no context of the opened device")

    def attach() -> None:
        # Always: other devices, and other libraries, make their contexts current too.
        if status := driver.cuCtxSetCurrent(context):
            raise DeviceError(f"the CUDA driver refuses the context to a thread (error {status})")

    return attach
