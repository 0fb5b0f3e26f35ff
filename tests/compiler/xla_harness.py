"""Runs StableHLO text with the XLA CPU client that comes with real JAX."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from jax._src import xla_bridge
from jax._src.lib import xla_client


def run_with_xla(text: str, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The results of a module's `main`, compiled by XLA."""
    client = xla_bridge.get_backend("cpu")
    devices = xla_client.DeviceList(tuple(client.local_devices()[:1]))
    program = client.compile_and_load(text.encode(), devices, xla_client.CompileOptions())
    with jax.enable_x64(True):
        arguments = [jax.device_put(array) for array in arrays]
        results = program.execute_sharded(arguments)
        parts = results.disassemble_into_single_device_arrays()
        return [np.asarray(part[0]) for part in parts]
