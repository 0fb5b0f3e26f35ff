"""Compiling for devices that are not there: a plugin's description of a topology stands for them.

Owns `compile_ahead`. libtpu does this for every TPU generation on any Linux machine. Run it in a
process of its own (`python -m jaxc_runtime.pjrt.compile_ahead`): libtpu is loaded once in a
process, for one kind of TPU, and ends the process when it does not like its environment.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from jaxc_runtime.errors import ArtifactError, DeviceError
from jaxc_runtime.pjrt import plugins, protobuf
from jaxc_runtime.pjrt.api import Api, PluginError, raising, text_fields
from jaxc_runtime.pjrt.client import load_api
from jaxc_runtime.pjrt.executable import ArrayType, mlir_program, output_types, serialized


@dataclass(frozen=True)
class Compiled:
    """A program compiled ahead of time.

    Attributes:
        executable: what `Device.load` takes on such a device.
        outputs: shape and dtype of each result.
        version: the version text of the plugin, which must be the same when it is loaded.
    """

    executable: bytes
    outputs: list[ArrayType]
    version: str


def compile_ahead(program: bytes, topology: str, plugin: str = "tpu") -> Compiled:
    """Compile StableHLO for one device of a topology.

    Args:
        program: text or bytecode; its function is `main`.
        topology: as the plugin names it: `v5e:2x2`, `v4:2x2x1`, ...
        plugin: the plugin's name.

    Raises:
        DeviceError: no such plugin or topology.
        ArtifactError: the plugin does not compile the program.
    """
    name = topology.encode()
    what = f"no topology {topology!r} of {plugin}"
    with plugins.prepared(plugin), raising(DeviceError, what):
        api = load_api(plugins.find(plugin))
        description = api.call("TopologyDescription_Create", **text_fields(name)).topology
    try:
        return _compile(api, program, description)
    except PluginError as error:
        raise ArtifactError(f"the program does not compile for {topology}: {error}") from None
    finally:
        api.destroy("TopologyDescription_Destroy", topology=description)


def _compile(api: Api, program: bytes, description: int) -> Compiled:
    options = protobuf.compile_options()
    source, _kept = mlir_program(program)
    executable = api.call(
        "Compile",
        topology=description,
        program=ctypes.addressof(source),
        **text_fields(options, "options"),
    ).executable
    try:
        version = api.text("TopologyDescription_PlatformVersion", topology=description)
        return Compiled(serialized(api, executable), output_types(api, executable), version)
    finally:
        api.destroy("Executable_Destroy", executable=executable)
