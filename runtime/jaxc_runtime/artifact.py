"""The file format of shipped programs: one `.vmfb` that knows its own signature.

Owns the bytes and what they say: `pack`, `unpack` and the records of the metadata. `program` makes
something callable of them. Nothing in a file is ever unpickled or executed as Python; everything
its metadata says is checked before it is used.

A file is `program | other programs, aligned | metadata as JSON | trailer`. IREE reads only the
length that the first program itself states, so every IREE tool takes the file as a plain `.vmfb`.
The trailer holds both lengths and a checksum of all before it, so that a file cut off or damaged on
its way is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from jaxc_runtime import buffer, records, structure
from jaxc_runtime.errors import ArtifactError

_MAGIC = b"JAXCPRG1"
_TRAILER = struct.Struct("<QQ32s8s")  # programs' length, metadata's length, sha256 of both, magic
_ALIGNMENT = 64
_LARGEST_ARRAY = 2**47  # bytes: what can be addressed
FORMAT = 2


@dataclass(frozen=True)
class ArraySpec:
    """Shape and dtype of one array at the boundary of a program."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def numpy_dtype(self) -> np.dtype:
        """The dtype as NumPy (with ml_dtypes) knows it."""
        return buffer.dtype_named(self.dtype)

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Signature:
    """One function of a program.

    Attributes:
        name: the Python function it was made from.
        symbol: what the program exports it as: a C identifier.
        inputs: one spec per leaf of the arguments, in order.
        outputs: one spec per leaf of the result, in order.
        in_structure: `structure.encode` of the positional arguments with numbered leaves.
        out_structure: the same of the result.
        donated: the inputs whose memory the program may overwrite.
    """

    name: str
    symbol: str
    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]
    in_structure: Any
    out_structure: Any
    donated: tuple[int, ...] = ()

    def __str__(self) -> str:
        inputs = ", ".join(
            f"{spec} donated" if n in self.donated else str(spec)
            for n, spec in enumerate(self.inputs)
        )
        return f"{self.name}({inputs}) -> ({', '.join(map(str, self.outputs))})"


@dataclass(frozen=True)
class UpdateReport:
    """What became of one `at[]` update: `reason` says why it copies; empty if it is in place."""

    op: str
    where: str
    reason: str


@dataclass(frozen=True)
class FunctionReport:
    """What the compiler made of a function for one target.

    Attributes:
        dispatches: kernel launches in its code; those in a loop count once.
        borrowed: the results that may be an argument, a constant or another result as they are.
        updates: its updates; None where IREE decides and does not say.
        reused: the donated inputs whose memory a result takes; None likewise.
    """

    dispatches: int
    borrowed: tuple[int, ...] = ()
    updates: tuple[UpdateReport, ...] | None = None
    reused: tuple[int, ...] | None = None


@dataclass(frozen=True)
class CompiledProgram:
    """All functions, compiled for one target.

    Attributes:
        target: `name:chip`, such as `cpu:host`.
        driver: the device driver that runs it, such as `local-sync`.
        arch: of a CPU program, the machine it is for, such as `x86_64`; else empty.
        features: of a CPU program, the CPU's features that it uses, in Linux's words.
        reports: by symbol.
        about: of what a plugin of XLA's compiled: the plugin, its version and the topology.
        offset, length: its place in the file.
    """

    target: str
    driver: str
    arch: str = ""
    features: tuple[str, ...] = ()
    reports: dict[str, FunctionReport] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)
    offset: int = 0
    length: int = 0


@dataclass(frozen=True)
class Archive:
    """The parameter archive with a program's weights, which lies in the same directory."""

    file: str
    scope: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Metadata:
    """What travels with programs.

    Attributes:
        functions: their signatures, the one that a call runs first.
        programs: for each target, in the order in which they are tried.
        versions: name -> version of what compiled them.
        weights: the archive beside the file, if there is one.
    """

    functions: tuple[Signature, ...]
    programs: tuple[CompiledProgram, ...]
    versions: dict[str, str] = field(default_factory=dict)
    weights: Archive | None = None

    def to_json(self) -> str:
        """The metadata as one line of JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: bytes | str) -> Metadata:
        """Read what `to_json` wrote.

        Raises:
            ArtifactError: not such a text, of another format, or in contradiction to itself.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"the metadata is no JSON: {error}") from None
        if not isinstance(fields, dict) or "format" not in fields:
            raise ArtifactError("the metadata does not say its format")
        version = fields.pop("format")
        if type(version) is not int or version != FORMAT:
            shown = records.shortened(version)
            raise ArtifactError(f"metadata of format {shown}; this runtime reads format {FORMAT}")
        metadata = records.decode(cls, fields)
        _check(metadata)
        return metadata

    def signature(self, name: str) -> Signature | None:
        """The function of a name or symbol."""
        by_symbol = {one.symbol: one for one in self.functions}
        return (by_symbol | {one.name: one for one in self.functions}).get(name)


@dataclass(frozen=True)
class Artifact:
    """An unpacked file: its metadata and, in the same order, the bytes of its programs."""

    metadata: Metadata
    programs: tuple[memoryview, ...]


def placed(programs: Sequence[bytes], metadata: Metadata) -> Metadata:
    """The metadata with the places of the programs in the file."""
    entries: list[CompiledProgram] = []
    end = 0
    for data, entry in zip(programs, metadata.programs, strict=True):
        offset = end + -end % _ALIGNMENT
        entries.append(replace(entry, offset=offset, length=len(data)))
        end = offset + len(data)
    return replace(metadata, programs=tuple(entries))


def pack(programs: Sequence[bytes], metadata: Metadata) -> bytes:
    """Put programs and their metadata into the bytes of one file.

    Args:
        programs: a plain `.vmfb` for each of `metadata.programs`.
        metadata: what they are; their places are filled in here.

    Raises:
        ArtifactError: `unpack` would refuse the metadata.
    """
    metadata = placed(programs, metadata)
    parts: list[bytes] = []
    end = 0
    for data, entry in zip(programs, metadata.programs):
        parts += [bytes(entry.offset - end), data]
        end = entry.offset + entry.length
    text = metadata.to_json().encode()
    Metadata.from_json(text)
    digest = hashlib.sha256()
    for part in (*parts, text):
        digest.update(part)
    return b"".join([*parts, text, _TRAILER.pack(end, len(text), digest.digest(), _MAGIC)])


def is_packed(data: bytes) -> bool:
    """Whether the bytes end like a file of `pack`."""
    return len(data) >= _TRAILER.size and data[-len(_MAGIC) :] == _MAGIC


def unpack(data: bytes) -> Artifact:
    """Undo `pack`.

    Raises:
        ArtifactError: no metadata (a plain `.vmfb`), cut off, damaged, or of another format.
    """
    if not is_packed(data):
        raise ArtifactError(
            "no jaxc metadata at its end: cut off, or not made by `jaxc compile` "
            "(a plain .vmfb loads with jaxc_runtime.executable.load)"
        )
    length, text_length, digest, _ = _TRAILER.unpack(data[-_TRAILER.size :])
    body = memoryview(data)[: -_TRAILER.size]
    if length + text_length != len(body) or hashlib.sha256(body).digest() != digest:
        raise ArtifactError("the checksum is wrong: the file was damaged")
    metadata = Metadata.from_json(bytes(body[length:]))
    end = 0
    for entry in metadata.programs:
        if entry.offset != end + -end % _ALIGNMENT or entry.offset + entry.length > length:
            raise ArtifactError(f"the program for {entry.target} is not where the metadata says")
        end = entry.offset + entry.length
    if end != length:
        raise ArtifactError("the programs do not fill their part of the file")
    programs = (body[e.offset : e.offset + e.length] for e in metadata.programs)
    return Artifact(metadata, tuple(programs))


# -- what a record must mean -----------------------------------------------------------------------


def _check(metadata: Metadata) -> None:
    _require(bool(metadata.functions), "there are no functions")
    _require(bool(metadata.programs), "there are no programs")
    symbols = [one.symbol for one in metadata.functions]
    names = [one.name for one in metadata.functions]
    _require(_distinct(symbols) and _distinct(names), "two functions have one name")
    for one in metadata.functions:
        _check_signature(one)
    by_symbol = {one.symbol: one for one in metadata.functions}
    for entry in metadata.programs:
        for symbol, report in entry.reports.items():
            _require(symbol in by_symbol, f"{entry.target}: a report of no function")
            one = by_symbol[symbol]
            right = _all_below(len(one.outputs), report.borrowed)
            right = right and _all_below(len(one.inputs), report.reused or ())
            _require(right, f"{entry.target}: a report of arrays that are not there")
    if metadata.weights is not None:
        check_file_name(metadata.weights.file)


def check_file_name(name: str) -> None:
    """Make sure that a name is that of a file in the same directory, on every system.

    Raises:
        ArtifactError: it is not.
    """
    bare = name not in ("", ".", "..") and name.isprintable() and not set(name) & set("/\\:")
    if not bare:
        raise ArtifactError(f"{name!r} cannot be the file of the weights: it must be a plain name")


def _check_signature(one: Signature) -> None:
    plain = one.symbol.isascii() and one.symbol.isidentifier()
    _require(plain, f"{records.shortened(one.symbol)} is no symbol")
    for spec in (*one.inputs, *one.outputs):
        known = buffer.is_dtype(spec.dtype)
        _require(known, f"{one.symbol}: {records.shortened(spec.dtype)} is no dtype of an array")
        size = math.prod(spec.shape) * spec.numpy_dtype.itemsize
        fits = len(spec.shape) <= _RANKS and size <= _LARGEST_ARRAY
        _require(fits, f"{one.symbol}: an array is too large")
    donated = _distinct(one.donated) and _all_below(len(one.inputs), one.donated)
    _require(donated, f"{one.symbol}: the donated inputs are not inputs")
    structure.check(one.in_structure, len(one.inputs), f"arguments of {one.symbol}")
    kind = one.in_structure
    is_tuple = isinstance(kind, dict) and "tuple" in kind
    _require(is_tuple, f"{one.symbol}: the arguments are no tuple")
    structure.check(one.out_structure, len(one.outputs), f"result of {one.symbol}")


_RANKS = 64  # NumPy's limit


def _all_below(limit: int, numbers: Sequence[int]) -> bool:
    return all(number < limit for number in numbers)


def _distinct(values: Sequence[Any]) -> bool:
    return len(set(values)) == len(values)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ArtifactError(f"the metadata contradicts itself: {message}")
