"""Traced programs that outlive their process (`jax.export`): serialized, read back, called.

    exported = export.export(jax.jit(f))(x)
    blob = exported.serialize()
    export.deserialize(blob).call(x)

A program is kept twice: as StableHLO, for other tools, and as its jaxpr, which `call` traces, so
that it may be used inside `jit`, `vmap` and `grad`. Nothing is pickled.
"""

from jaxc.export.container import deserialize
from jaxc.export.exported import (
    DisabledSafetyCheck,
    Exported,
    default_export_platform,
    export,
    maximum_supported_calling_convention_version,
    minimum_supported_calling_convention_version,
)
from jaxc.export.trees import register_namedtuple_serialization, register_pytree_node_serialization

__all__ = [
    "DisabledSafetyCheck",
    "Exported",
    "default_export_platform",
    "deserialize",
    "export",
    "maximum_supported_calling_convention_version",
    "minimum_supported_calling_convention_version",
    "register_namedtuple_serialization",
    "register_pytree_node_serialization",
]
