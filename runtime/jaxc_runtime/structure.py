"""The shape of nested arguments and results as JSON: what a deployed program knows of pytrees.

Owns the mapping between nested tuples, lists, dicts, named tuples and None, and a flat list of
leaves. It replaces pickled tree definitions: a file from anywhere can be loaded without running
its code. Custom pytree classes cannot be described, because the machine that loads the program does
not have them. Imports the errors and records.

A leaf is its number; `{"tuple": [0, {"dict": [["w", 1]]}]}` describes `(x, {"w": y})`.
"""

from __future__ import annotations

import keyword
from collections import namedtuple
from typing import Any

from jaxc_runtime.errors import ArtifactError
from jaxc_runtime.records import shortened

_DEEPEST = 100


def encode(nested: Any) -> Any:
    """Describe a nested container whose leaves are already numbered.

    Raises:
        TypeError: a container that JSON and NumPy alone cannot rebuild, or nested too deep.

    >>> encode((0, {"w": 1}))
    {'tuple': [0, {'dict': [['w', 1]]}]}
    """
    return _encode(nested, 0)


def _encode(nested: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise TypeError(_REFUSED.format(f"what is nested more than {_DEEPEST} deep"))
    if nested is None or (isinstance(nested, int) and not isinstance(nested, bool)):
        return nested
    name = type(nested).__name__
    if isinstance(nested, tuple) and hasattr(nested, "_fields"):
        fields = list(getattr(nested, "_fields"))  # noqa: B009  a tuple, to the type checker
        if not _is_namedtuple(name, fields):
            raise TypeError(_REFUSED.format(f"a {name} with the fields {fields}"))
        return {"namedtuple": [name, fields, [_encode(child, depth + 1) for child in nested]]}
    if isinstance(nested, tuple | list) and type(nested) in (tuple, list):
        return {name: [_encode(child, depth + 1) for child in nested]}
    if isinstance(nested, dict) and all(type(key) in (str, int) for key in nested):
        return {"dict": [[key, _encode(child, depth + 1)] for key, child in nested.items()]}
    raise TypeError(_REFUSED.format(f"a {name}"))


_REFUSED = (
    "a deployed program cannot take or return {}: "
    "use tuples, lists, named tuples, None, and dicts with str or int keys"
)


def _is_namedtuple(name: Any, fields: list[Any]) -> bool:
    """Whether `collections.namedtuple` takes a name and fields as they are."""
    words = all(
        type(n) is str and n.isidentifier() and not keyword.iskeyword(n) for n in (name, *fields)
    )
    return words and len(set(fields)) == len(fields) and not any(n[0] == "_" for n in fields)


def check(structure: Any, leaves: int, path: str) -> None:
    """Make sure that a description from a file is one, with each of its leaves in it once.

    Args:
        structure: parsed JSON.
        leaves: how many leaves there must be.
        path: what the messages call it.

    Raises:
        ArtifactError: a malformed description, or leaves left out, repeated or out of range.

    >>> check({"tuple": [0, 0]}, 2, "arguments")
    Traceback (most recent call last):
      ...
    jaxc_runtime.errors.ArtifactError: arguments: expected each of 2 leaves once, got [0, 0]
    """
    found: list[int] = []
    _check(structure, found, path, 0)
    if sorted(found) != list(range(leaves)):
        shown = found if len(found) <= 8 else f"{len(found)} leaves"
        raise ArtifactError(f"{path}: expected each of {leaves} leaves once, got {shown}")


def _check(structure: Any, found: list[int], path: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise ArtifactError(f"{path}: nested more than {_DEEPEST} deep")
    if structure is None:
        return
    if type(structure) is int:
        found.append(structure)
        return
    for child in _checked_children(structure, path):
        _check(child, found, path, depth + 1)


def _checked_children(structure: Any, path: str) -> list[Any]:
    kind, content = _node(structure)
    if type(content) is not list:
        raise ArtifactError(f"{path}: expected the children of a {kind} as a list")
    if kind == "dict":
        pairs = all(type(item) is list and len(item) == 2 for item in content)
        keys = [item[0] for item in content] if pairs else [None]
        if not all(type(key) in (str, int) for key in keys) or len(set(keys)) != len(keys):
            raise ArtifactError(f"{path}: expected distinct text or integer keys of a dict")
        return [child for _, child in content]
    if kind != "namedtuple":
        return content
    name, fields, children = content if len(content) == 3 else (None, None, None)
    if type(fields) is not list or type(children) is not list or len(fields) != len(children):
        raise ArtifactError(f"{path}: expected name, fields and children of a namedtuple")
    if not _is_namedtuple(name, fields):
        raise ArtifactError(f"{path}: these cannot be the fields of a namedtuple")
    return children


def flatten(structure: Any, value: Any, path: str = "") -> list[tuple[str, Any]]:
    """List the leaves of `value` with their paths, in the order of their numbers.

    Raises:
        TypeError: `value` is not nested as `structure` says.
    """
    numbered: dict[int, tuple[str, Any]] = {}
    _collect(structure, value, path, numbered)
    return [numbered[index] for index in range(len(numbered))]


def unflatten(structure: Any, leaves: list[Any]) -> Any:
    """Rebuild the nested value from its leaves.

    >>> unflatten({"tuple": [0, {"dict": [["w", 1]]}]}, ["x", "y"])
    ('x', {'w': 'y'})
    """
    if structure is None:
        return None
    if isinstance(structure, int):
        return leaves[structure]
    kind, content = _node(structure)
    if kind == "dict":
        return {key: unflatten(child, leaves) for key, child in content}
    if kind == "namedtuple":
        name, fields, children = content
        return namedtuple(name, fields)(*(unflatten(child, leaves) for child in children))
    children = [unflatten(child, leaves) for child in content]
    return tuple(children) if kind == "tuple" else children


def _collect(structure: Any, value: Any, path: str, out: dict[int, tuple[str, Any]]) -> None:
    if structure is None:
        _require(value is None, path, "None", value)
        return
    if isinstance(structure, int):
        out[structure] = (path, value)
        return
    kind, content = _node(structure)
    if kind == "dict":
        keys = [key for key, _ in content]
        same = isinstance(value, dict) and set(value) == set(keys)
        _require(same, path, f"a dict with the keys {keys}", value)
        for key, child in content:
            _collect(child, value[key], f"{path}[{key!r}]", out)
        return
    children = content[2] if kind == "namedtuple" else content
    wanted = list if kind == "list" else tuple
    same = isinstance(value, wanted) and len(value) == len(children)
    _require(same, path, f"a {kind} of {len(children)}", value)
    for index, (child, item) in enumerate(zip(children, value, strict=True)):
        _collect(child, item, f"{path}[{index}]", out)


def _require(condition: bool, path: str, wanted: str, value: Any) -> None:
    if condition:
        return
    got = type(value).__name__
    if isinstance(value, dict):
        got = f"a dict with the keys {list(value)}"
    elif isinstance(value, tuple | list):
        got = f"a {got} of {len(value)}"
    raise TypeError(f"{path or 'arguments'}: expected {wanted}, got {got}")


def _node(structure: Any) -> tuple[str, Any]:
    if isinstance(structure, dict) and len(structure) == 1:
        ((kind, content),) = structure.items()
        if kind in ("tuple", "list", "dict", "namedtuple"):
            return kind, content
    raise ArtifactError(f"not a description of nested values: {shortened(structure)}")
