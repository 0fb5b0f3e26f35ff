"""The bytes of an exported program.

Owns the format: `magic | sha256 of the rest | header length | header as JSON | data`. The header
holds trees, avals and the jaxpr; arrays and the StableHLO lie in the data. Reading executes nothing
and checks everything: a blob that was cut off or altered is refused.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc.export import jaxprs, trees
from jaxc.export.exported import DisabledSafetyCheck, Exported, avals_of_vjp
from jaxc_compiler.opset.avals import ShapedArray, float0, typematch

_MAGIC = b"JAXCEXP1"
_LENGTH = struct.Struct("<Q")
_START = len(_MAGIC) + hashlib.sha256().digest_size
FORMAT = 2


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
    if vjp_order < 0:
        raise ValueError(f"serialize: vjp_order must not be negative, got {vjp_order}")
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
        "partitionable": exported._partitionable,
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
    except (LookupError, TypeError, AttributeError, OverflowError, struct.error) as error:
        raise ValueError(f"the exported program is malformed: {error}") from None


def _read(written: dict[str, Any], data: bytes) -> Exported:
    arrays = [_array(data, *place) for place in written["arrays"]]
    program = jaxprs.Reader(arrays).program(written["jaxpr"])
    vjp = None if written["vjp"] is None else _read(written["vjp"], data)
    found = Exported(
        written["name"],
        program,
        (trees.decode(written["in_tree"]), trees.decode(written["out_tree"])),
        (_avals(written["in"]), _avals(written["out"])),
        tuple(written["platforms"]),
        [DisabledSafetyCheck(name) for name in written["disabled_checks"]],
        partitionable=written["partitionable"],
        stablehlo=_bytes(data, *written["stablehlo"]),
        make_vjp=None if vjp is None else lambda: vjp,
    )
    _check(found, vjp)
    return found


def _check(found: Exported, vjp: Exported | None) -> None:
    """Raises ValueError unless the parts of a program belong together."""
    program = found._program
    for what, tree, avals, inner in (
        ("arguments", found.in_tree, found.in_avals, program.in_avals),
        ("results", found.out_tree, found.out_avals, program.out_avals),
    ):
        if tree.num_leaves != len(avals):
            raise ValueError(f"{len(avals)} {what}, expected {tree.num_leaves} for {tree}")
        _check_avals(what, inner, [aval for aval in avals if aval.dtype != float0])
    if vjp is not None:
        for what, got, wanted in zip(
            ("arguments of the VJP", "results of the VJP"),
            (vjp.in_avals, vjp.out_avals),
            avals_of_vjp(found),
        ):
            _check_avals(what, got, wanted)


def _check_avals(what: str, got: Sequence[ShapedArray], wanted: Sequence[ShapedArray]) -> None:
    if len(got) != len(wanted) or not all(map(typematch, got, wanted)):
        said = [", ".join(aval.str_short() for aval in avals) for avals in (got, wanted)]
        raise ValueError(f"{what} are ({said[0]}), expected ({said[1]})")


def _avals(written: list[Any]) -> tuple[Any, ...]:
    return tuple(map(jaxprs.read_aval, written))


def _bytes(data: bytes, start: int, size: int) -> bytes:
    if not 0 <= start <= start + size <= len(data):
        raise ValueError(f"bytes {start} to {start + size} of {len(data)}")
    return data[start : start + size]


def _array(data: bytes, dtype: str, shape: list[int], start: int, size: int) -> np.ndarray:
    return np.frombuffer(_bytes(data, start, size), jaxprs.read_dtype(dtype)).reshape(shape)
