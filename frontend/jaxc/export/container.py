"""The bytes of an exported program.

Owns the format: `magic | sha256 of the rest | header length | header as JSON | data`. The header
holds trees, avals and the jaxpr; arrays and the StableHLO lie in the data. Reading executes nothing
and checks everything: a blob that was cut off or altered is refused.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any

import numpy as np

from jaxc.export import jaxprs, trees
from jaxc.export.exported import DisabledSafetyCheck, Exported

_MAGIC = b"JAXCEXP1"
_LENGTH = struct.Struct("<Q")
_START = len(_MAGIC) + hashlib.sha256().digest_size
FORMAT = 1


class _Data:
    """What lies behind the header."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, part: bytes) -> list[int]:
        """Keep bytes; returns where they lie."""
        place = [self.size, len(part)]
        self.parts.append(part)
        self.size += len(part)
        return place


def serialize(exported: Exported, vjp_order: int = 0) -> bytearray:
    """An exported program as bytes (`Exported.serialize`)."""
    data = _Data()
    header = {"format": FORMAT, "program": _write(exported, vjp_order, data)}
    text = json.dumps(header, separators=(",", ":")).encode()
    body = b"".join([_LENGTH.pack(len(text)), text, *data.parts])
    return bytearray(_MAGIC + hashlib.sha256(body).digest() + body)


def _write(exported: Exported, vjp_order: int, data: _Data) -> dict[str, Any]:
    writer = jaxprs.Writer()
    program = writer.closed(exported._program)
    arrays = [
        [jaxprs.write_dtype(a.dtype), list(a.shape), *data.add(a.tobytes())] for a in writer.arrays
    ]
    return {
        "name": exported.fun_name,
        "in_tree": trees.encode(exported.in_tree),
        "out_tree": trees.encode(exported.out_tree),
        "in": [jaxprs.write_aval(a) for a in exported.in_avals],
        "out": [jaxprs.write_aval(a) for a in exported.out_avals],
        "platforms": list(exported.platforms),
        "disabled_checks": list(map(str, exported.disabled_safety_checks)),
        "jaxpr": program,
        "arrays": arrays,
        "stablehlo": data.add(exported.mlir_module_serialized),
        "vjp": _write(exported.vjp(), vjp_order - 1, data) if vjp_order else None,
    }


def deserialize(blob: bytearray | bytes) -> Exported:
    """Read what `Exported.serialize` wrote.

    Raises:
      ValueError: not such bytes, cut off or altered, of a newer format, with an op this version
        lacks, or with a pytree class that is not registered.
    """
    blob = bytes(blob)
    if not blob.startswith(_MAGIC):
        raise ValueError("not a program of jax.export.Exported.serialize of this package")
    digest, body = blob[len(_MAGIC) : _START], blob[_START:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("the exported program was cut off or altered: its checksum is wrong")
    try:
        (length,) = _LENGTH.unpack_from(body)
        header = json.loads(body[_LENGTH.size : _LENGTH.size + length])
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']} is not known, only {FORMAT}")
        return _read(header["program"], body[_LENGTH.size + length :])
    except (KeyError, IndexError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"the exported program is malformed: {error}") from None


def _read(written: dict[str, Any], data: bytes) -> Exported:
    arrays = [_array(data, *place) for place in written["arrays"]]
    program = jaxprs.Reader(arrays).program(written["jaxpr"])
    start, size = written["stablehlo"]
    vjp = written["vjp"]
    return Exported(
        written["name"],
        program,
        (trees.decode(written["in_tree"]), trees.decode(written["out_tree"])),
        (_avals(written["in"]), _avals(written["out"])),
        tuple(written["platforms"]),
        [DisabledSafetyCheck(name) for name in written["disabled_checks"]],
        data[start : start + size],
        None if vjp is None else lambda: _read(vjp, data),
    )


def _avals(written: list[Any]) -> tuple[Any, ...]:
    return tuple(map(jaxprs.read_aval, written))


def _array(data: bytes, dtype: str, shape: list[int], start: int, size: int) -> np.ndarray:
    return np.frombuffer(data[start : start + size], jaxprs.read_dtype(dtype)).reshape(shape)
