"""Damages a shipped program in every way it can think of; a child process of test_artifact_damage.

    python damage.py good.vmfb KIND

prints one line for each variant: its name and what came of it. `refused` is an ArtifactError of one
line, `right` the right values, `named` an error of a call, of one line, that begins with what is
wrong (an argument, the function, or IREE's status), and anything else a failure. A variant that
kills the process leaves the last line without a verdict.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import jaxc_runtime

TRAILER = struct.Struct("<QQ32s8s")
X = np.arange(1000, dtype=np.float32)
Variants = Iterator[tuple[str, bytes]]


def bytes_changed(good: bytes) -> Variants:
    """Truncations, flipped bits, overwritten and moved ranges, without a new checksum."""
    rng = np.random.default_rng(7)
    length, text, *_ = TRAILER.unpack(good[-TRAILER.size :])
    borders = (0, 1, 4, 8, 64, length, length + text, len(good) - 8, len(good))
    near = {b + d for b in borders for d in (-2, -1, 0, 1, 2)}
    cuts = {n for n in near if 0 <= n < len(good)} | set(map(int, rng.integers(0, len(good), 100)))
    for cut in sorted(cuts):
        yield f"first {cut} bytes", good[:cut]
        if cut:
            yield f"without first {cut} bytes", good[cut:]
    places = [*map(int, rng.integers(0, len(good), 150)), *range(length, len(good), 7)]
    for place in places:
        bit = 1 << int(rng.integers(8))
        yield f"bit {bit} of byte {place}", _with(good, place, bytes([good[place] ^ bit]))
    for place in map(int, rng.integers(0, len(good) - 64, 60)):
        count = int(rng.integers(1, 64))
        yield f"{count} zeros at {place}", _with(good, place, bytes(count))
        yield f"{count} noise at {place}", _with(good, place, rng.bytes(count))
        yield f"{count} gone at {place}", good[:place] + good[place + count :]
        yield f"{count} new at {place}", good[:place] + rng.bytes(count) + good[place:]
    yield "appended", good + b"x"
    yield "twice", good + good
    yield "halves swapped", good[length:] + good[:length]
    for name, data in FOREIGN.items():
        yield name, data
        yield f"{name} with a trailer", data + good[-TRAILER.size :]


FOREIGN = {
    "empty": b"", "magic": b"JAXCPRG1", "zeros": bytes(4096), "text": b"hello " * 500,
    "png": b"\x89PNG\r\n\x1a\n" + bytes(500), "zip": b"PK\x03\x04" + bytes(500),
    "elf": b"\x7fELF\x02\x01\x01" + bytes(500), "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "npy": b"\x93NUMPY\x01\x00" + bytes(500), "gzip": b"\x1f\x8b\x08" + bytes(100),
}  # fmt: skip


def trailer_changed(good: bytes) -> Variants:
    """Lengths that lie; the checksum of what is before them is right."""
    length, text, digest, magic = TRAILER.unpack(good[-TRAILER.size :])
    body = good[: -TRAILER.size]
    lies = [0, 1, length - 1, length + 1, length - 64, 2**31, 2**32, 2**63, 2**64 - 1]
    for first in lies:
        others = {0, text, (length + text - first) % 2**64, 2**64 - 1, 2**63}
        for second in sorted(others):
            yield f"{first} and {second}", body + TRAILER.pack(first, second, digest, magic)


def metadata_changed(good: bytes) -> Variants:
    """Every value of the JSON replaced in turn, with a new checksum: an edit, not an accident."""
    length, text, *_ = TRAILER.unpack(good[-TRAILER.size :])
    program, fields = good[:length], json.loads(good[length : length + text])
    for path in _paths(fields):
        for name, value in REPLACEMENTS.items():
            yield f"{path} = {name}", _signed(program, json.dumps(_replaced(fields, path, value)))
        yield f"no {path}", _signed(program, json.dumps(_removed(fields, path)))
    deep = json.dumps(fields).replace('"versions"', '"deep": ' + "[" * 90_000, 1)
    yield "deep", _signed(program, deep)
    yield "long number", _signed(program, '{"format": 1' + "0" * 10_000 + "}")
    yield "no text", _signed(program, "\ud800")
    yield "nan", _signed(program, json.dumps(fields | {"format": float("nan")}))
    yield "no program", _signed(b"", json.dumps(fields))
    yield "half a program", _signed(program[: length // 2], json.dumps(fields))


def _deeply_nested() -> Any:
    nested: Any = 0
    for _ in range(300):
        nested = {"tuple": [nested]}
    return nested


REPLACEMENTS: dict[str, Any] = {
    "null": None, "true": True, "-1": -1, "0": 0, "1": 1, "7": 7, "2**40": 2**40, "2**70": 2**70,
    "1.5": 1.5, "empty text": "", "text": "x", "path": "../x", "long text": "y" * 5000,
    "object": "object", "float16": "float16", "surrogate": "\ud800", "list": [], "dict": {},
    "[0]": [0], "[-1]": [-1], "[0, 0]": [0, 0], "[null]": [None], "[[]]": [[]],
    "{'tuple': [0]}": {"tuple": [0]}, "{'a': 1}": {"a": 1}, "deep": _deeply_nested(),
}  # fmt: skip


def _paths(value: Any, path: tuple = ()) -> Iterator[tuple]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items if isinstance(value, dict | list) else ():
        if isinstance(inner, dict | list) and inner:
            yield from _paths(inner, (*path, key))
        else:
            yield (*path, key)


def _replaced(fields: Any, path: tuple, value: Any) -> Any:
    changed = copy.deepcopy(fields)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return changed


def _removed(fields: Any, path: tuple) -> Any:
    changed = copy.deepcopy(fields)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    return changed


def _signed(program: bytes, text: str) -> bytes:
    body = program + text.encode(errors="surrogatepass")
    lengths = len(program), len(body) - len(program)
    return body + TRAILER.pack(*lengths, hashlib.sha256(body).digest(), b"JAXCPRG1")


def _with(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


KINDS = {f.__name__: f for f in (bytes_changed, trailer_changed, metadata_changed)}


def verdict(path: Path) -> str:
    """Load and call; what came of it."""
    try:
        program = jaxc_runtime.load(path)
    except jaxc_runtime.ArtifactError as error:
        return "refused" if "\n" not in str(error) else f"several lines: {error}"
    try:
        result = program({"a": X, "b": [X]})  # the weights add 1
    except (TypeError, ValueError, jaxc_runtime.ExecutionError) as error:
        name = re.escape(next(iter(program.functions)))
        named = re.fullmatch(rf"(argument[ \[]\d|{name}: |[A-Z_]+: ).*", str(error))
        return "named" if named else f"not named: {error!r}"
    leaves = list(_leaves(result))
    wanted = [2 * X + 1, X * (X + 1)]
    same = len(leaves) == 2 and all(map(np.array_equal, leaves, wanted))
    return "right" if same else "WRONG"


def _leaves(nested: Any) -> Iterator[np.ndarray]:
    """The arrays of a result, however it is nested: an edit may nest them otherwise."""
    if isinstance(nested, np.ndarray):
        yield nested
    elif nested is not None:
        for inner in nested.values() if isinstance(nested, dict) else nested:
            yield from _leaves(inner)


def main(source: Path, kind: str) -> None:
    good = source.read_bytes()
    path = source.with_name("damaged.vmfb")
    for name, data in KINDS[kind](good):
        path.write_bytes(data)
        print(f"{'same' if data == good else 'other'}\t{name[:150]!r}\t", end="", flush=True)
        try:
            print(verdict(path))
        except Exception as error:  # what the test is about: shown there
            print(f"{type(error).__name__}: {str(error)[:200]!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
