"""Key paths: flattening with the way to each leaf, and how a path prints.

Imports nothing of jaxc but this package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from jaxc.tree_util import registry
from jaxc.tree_util.registry import (
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    SequenceKey,
    Structure,
)
from jaxc.tree_util.treedef import PyTreeDef

KeyEntry = TypeVar("KeyEntry", bound=Any)
KeyPath = tuple[KeyEntry, ...]


def keyed_children(tree: Any) -> list[tuple[Any, Any]]:
    """`(key, child)` pairs of a node; a type registered without keys has flat indices."""
    kind = registry.node_type(type(tree))
    if kind is None:
        raise ValueError(f"can't tree-flatten type: {type(tree)}")
    if kind.keys is not None:
        return list(kind.keys(tree))
    children, _ = kind.one_level(tree)
    return [(FlattenedIndexKey(i), child) for i, child in enumerate(children)]


def flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None, is_leaf_takes_path: bool
) -> tuple[list[tuple[Any, Any]], PyTreeDef]:
    """`(path, leaf)` pairs and the structure."""
    if is_leaf is None:
        stops = None
    elif is_leaf_takes_path:
        stops = is_leaf
    else:
        stops = lambda path, value: is_leaf(value)  # noqa: E731
    found: list[tuple[Any, Any]] = []
    structure = _flatten((), tree, stops, found)
    return found, PyTreeDef(structure, len(found))


def _flatten(
    path: tuple[Any, ...],
    tree: Any,
    stops: Callable[[Any, Any], bool] | None,
    found: list[tuple[Any, Any]],
) -> Structure:
    cls = type(tree)
    kind = registry.node_type(cls)
    if kind is None or (stops is not None and stops(path, tree)):
        found.append((path, tree))
        return None
    data = kind.one_level(tree)[1]
    children = [_flatten((*path, key), child, stops, found) for key, child in keyed_children(tree)]
    return (cls, data, tuple(children))


def keystr(keys: Any, *, simple: bool = False, separator: str = "") -> str:
    """How a key path prints: `['a'][0].x`, or `a/0/x` with `simple` and a separator."""
    return separator.join([_simple(key) if simple else str(key) for key in keys])


def _simple(key: Any) -> str:
    if isinstance(key, SequenceKey):
        return str(key.idx)
    if isinstance(key, (DictKey, FlattenedIndexKey)):
        return str(key.key)
    if isinstance(key, GetAttrKey):
        return str(key.name)
    return str(key)
