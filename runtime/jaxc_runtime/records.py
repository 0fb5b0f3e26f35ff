"""Dataclasses from untrusted JSON: every field is there, of its type, and nothing else is.

Owns `decode`, the one way in which what a file says becomes an object. Imports nothing of ours but
the errors; what values mean (shapes, offsets, names) is checked by whoever owns the record.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Any, TypeVar

from jaxc_runtime.errors import ArtifactError

Record = TypeVar("Record")
_LARGEST = 2**53  # what every reader of JSON keeps exact


def decode(kind: type[Record], value: Any, path: str = "metadata") -> Record:
    """Make a dataclass of what `json.loads` gave.

    Args:
        kind: a dataclass whose fields are `str` (of one line), `int` (not negative), `Any`, other
            dataclasses, `T | None`, `tuple[T, ...]` or `dict[str, T]`.
        value: the parsed JSON.
        path: what the messages call it.

    Raises:
        ArtifactError: a field that is missing, unknown, or of another type.

    >>> @dataclasses.dataclass
    ... class Size:
    ...     bytes: int
    >>> decode(Size, {"bytes": -1})
    Traceback (most recent call last):
      ...
    jaxc_runtime.errors.ArtifactError: metadata.bytes: expected a size, got -1
    """
    return _decode(kind, value, path)


def _decode(kind: Any, value: Any, path: str) -> Any:
    if kind is Any:
        return value
    if kind is str:
        return _expect(type(value) is str and value.isprintable(), "a line of text", value, path)
    if kind is int:
        return _expect(type(value) is int and 0 <= value <= _LARGEST, "a size", value, path)
    if dataclasses.is_dataclass(kind):
        return _decode_record(kind, value, path)
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return None if value is None else _decode(arguments[0], value, path)
    if typing.get_origin(kind) is tuple:
        _expect(type(value) is list, "a list", value, path)
        return tuple(_decode(arguments[0], item, f"{path}[{n}]") for n, item in enumerate(value))
    named = type(value) is dict and all(key.isprintable() for key in value)
    _expect(named, "an object", value, path)
    return {key: _decode(arguments[1], item, f"{path}[{key!r}]") for key, item in value.items()}


def _decode_record(kind: Any, value: Any, path: str) -> Any:
    fields = _field_types(kind)
    _expect(type(value) is dict and value.keys() == fields.keys(), _names(fields), value, path)
    return kind(**{name: _decode(fields[name], value[name], f"{path}.{name}") for name in fields})


@functools.cache
def _field_types(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _names(fields: dict[str, Any]) -> str:
    return f"an object with {', '.join(fields)}"


def _expect(condition: bool, wanted: str, value: Any, path: str) -> Any:
    if condition:
        return value
    raise ArtifactError(f"{path}: expected {wanted}, got {shortened(value)}")


def shortened(value: Any) -> str:
    """A value as one short line for a message."""
    if isinstance(value, dict | list):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
