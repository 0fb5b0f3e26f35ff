"""Which Python types are pytree nodes, and how each is taken apart and rebuilt.

Owns the registry and the structure a flatten returns. A structure is a plain nested tuple,
`(type, data, children)` for a node and `None` for a leaf, because C then hashes and compares it:
`jit` uses it as its cache key. Imports nothing of jaxc.
"""

from __future__ import annotations

import collections
import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Leaves = list[Any]
Structure = tuple[type, Any, tuple[Any, ...]] | None


class NodeType(NamedTuple):
    """The four operations on one registered type."""

    flatten: Callable[[Any, Leaves], Structure]  # appends the leaves, returns the structure
    one_level: Callable[[Any], tuple[Iterable[Any], Any]]  # children, data
    build: Callable[[Any, Iterable[Any]], Any]  # data, children -> object
    keys: Callable[[Any], Iterable[tuple[Any, Any]]] | None  # (key, child) pairs


class UnknownType:
    """The type is not classified yet."""


# type -> NodeType, or None for a type whose instances are leaves. Leaf types are recorded too, so
# that classifying a leaf is one dictionary hit.
_types: dict[type, NodeType | None] = {}
_flatten_of: dict[type, Callable[[Any, Leaves], Structure] | None] = {}
_registered: set[type] = set()
_MOST_LEAF_TYPES = 20_000  # programs that make classes without end must not grow the table


def node_type(cls: type) -> NodeType | None:
    """How `cls` is taken apart, or None if its instances are leaves."""
    found = _types.get(cls, UnknownType)
    return _classify(cls) if found is UnknownType else found


def is_registered(cls: type) -> bool:
    return node_type(cls) is not None


def _classify(cls: type) -> NodeType | None:
    kind = None
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        kind = _namedtuple_type(cls)
    if len(_types) > _MOST_LEAF_TYPES:
        for known in [t for t in _types if t not in _registered]:
            del _types[known], _flatten_of[known]
    _types[cls] = kind
    _flatten_of[cls] = kind.flatten if kind is not None else None
    return kind


def add(cls: type, kind: NodeType, what: str = "custom") -> None:
    """Register `cls`; a type is registered once."""
    if cls in _registered:
        raise ValueError(f"Duplicate {what} PyTreeDef type registration for {cls}.")
    _registered.add(cls)
    _types[cls] = kind
    _flatten_of[cls] = kind.flatten


def flatten(tree: Any) -> tuple[Leaves, Structure]:
    """Leaves and structure: the fast path, no predicate."""
    leaves: Leaves = []
    return leaves, flatten_into(tree, leaves)


def flatten_into(tree: Any, leaves: Leaves) -> Structure:
    cls = type(tree)
    handler = _flatten_of.get(cls, UnknownType)
    if handler is UnknownType:
        kind = _classify(cls)
        handler = kind.flatten if kind is not None else None
    if handler is None:
        leaves.append(tree)
        return None
    return handler(tree, leaves)


def _flatten_children(children: Iterable[Any], leaves: Leaves) -> tuple[Structure, ...]:
    structures = []
    for child in children:
        handler = _flatten_of.get(type(child), UnknownType)
        if handler is None:
            leaves.append(child)
            structures.append(None)
        elif handler is UnknownType:
            structures.append(flatten_into(child, leaves))
        else:
            structures.append(handler(child, leaves))
    return tuple(structures)


def flatten_until(
    tree: Any, is_leaf: Callable[[Any], bool], leaves: Leaves, descend: bool = False
) -> Structure:
    """Flatten, but not below a value for which `is_leaf` holds (`descend` skips the first test)."""
    if not descend and _asked(is_leaf, tree):
        leaves.append(tree)
        return None
    cls = type(tree)
    kind = node_type(cls)
    if kind is None:
        leaves.append(tree)
        return None
    children, data = kind.one_level(tree)
    return (cls, data, tuple([flatten_until(child, is_leaf, leaves) for child in children]))


def _asked(is_leaf: Callable[[Any], bool], tree: Any) -> bool:
    answer = is_leaf(tree)
    if answer is True or answer is False:
        return answer
    if type(answer).__name__ in ("bool", "bool_"):
        return bool(answer)
    raise ValueError(
        f"is_leaf predicate returned a non-boolean value {answer!r}; expected a boolean"
    )


# Built-in nodes.

NONE: Structure = (type(None), None, ())
_EMPTY_TUPLE: Structure = (tuple, None, ())


def sorted_keys(tree: dict[Any, Any]) -> tuple[Any, ...]:
    try:
        return tuple(sorted(tree))
    except Exception as error:
        raise ValueError(
            "Comparator raised exception while sorting pytree dictionary keys."
        ) from error


def _flatten_tuple(tree: tuple[Any, ...], leaves: Leaves) -> Structure:
    return (tuple, None, _flatten_children(tree, leaves)) if tree else _EMPTY_TUPLE


def _flatten_list(tree: list[Any], leaves: Leaves) -> Structure:
    return (list, None, _flatten_children(tree, leaves))


def _flatten_dict(tree: dict[Any, Any], leaves: Leaves) -> Structure:
    if not tree:
        return (dict, (), ())
    keys = sorted_keys(tree)
    return (dict, keys, _flatten_children([tree[key] for key in keys], leaves))


def _dict_one_level(tree: dict[Any, Any]) -> tuple[Iterable[Any], Any]:
    keys = sorted_keys(tree)
    return tuple([tree[key] for key in keys]), keys


def _defaultdict_one_level(tree: collections.defaultdict[Any, Any]) -> tuple[Iterable[Any], Any]:
    children, keys = _dict_one_level(tree)
    return children, (tree.default_factory, keys)


def _ordered_dict_one_level(tree: dict[Any, Any]) -> tuple[Iterable[Any], Any]:
    return tuple(tree.values()), tuple(tree.keys())


def _namedtuple_type(cls: type) -> NodeType:
    fields = tuple(cls._fields)  # type: ignore[attr-defined]
    from_children = getattr(cls, "_make", None)

    def flatten(tree: Any, leaves: Leaves) -> Structure:
        return (cls, None, _flatten_children(tree, leaves))

    def build(data: Any, children: Iterable[Any]) -> Any:
        return from_children(children) if from_children is not None else cls(*children)

    def keys(tree: Any) -> Iterable[tuple[Any, Any]]:
        return zip((GetAttrKey(field) for field in fields), tree)

    return NodeType(flatten, lambda tree: (tuple(tree), None), build, keys)


def custom(
    cls: type,
    one_level: Callable[[Any], tuple[Iterable[Any], Any]],
    build: Callable[[Any, Iterable[Any]], Any],
    keys: Callable[[Any], Iterable[tuple[Any, Any]]] | None,
) -> NodeType:
    """A node type from its flatten and unflatten functions, results checked."""

    def checked(tree: Any) -> tuple[Iterable[Any], Any]:
        parts = one_level(tree)
        if not isinstance(parts, tuple) or len(parts) != 2:
            raise ValueError(
                "The to_iterable function for a custom PyTree node should return "
                f"a (children, aux_data) tuple, got {parts!r}"
            )
        children, data = parts
        try:
            return tuple(children), data
        except TypeError:
            if hasattr(children, "__iter__"):
                raise
            raise ValueError(
                "The to_iterable function for a custom PyTree node should return a (children, "
                f"aux_data) tuple where 'children' is iterable, got {parts!r}"
            ) from None

    def flatten(tree: Any, leaves: Leaves) -> Structure:
        children, data = checked(tree)
        return (cls, data, _flatten_children(children, leaves))

    return NodeType(flatten, checked, build, keys)


# Key path entries. Frozen by convention; compared by kind and value.


class _Key:
    __slots__ = ()
    _field = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._field}={getattr(self, self._field)!r})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._value() == other._value()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._value()))

    def _value(self) -> Any:
        return getattr(self, self._field)

    def __reduce__(self) -> Any:
        return (type(self), (self._value(),))


class SequenceKey(_Key):
    """Key path entry of a list or tuple element: `[0]`."""

    __slots__ = ("idx",)
    __match_args__ = ("idx",)
    _field = "idx"

    def __init__(self, idx: int):
        self.idx = operator.index(idx)

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


class DictKey(_Key):
    """Key path entry of a dictionary item: `['a']`."""

    __slots__ = ("key",)
    __match_args__ = ("key",)
    _field = "key"

    def __init__(self, key: Any):
        self.key = key

    def __str__(self) -> str:
        return f"[{self.key!r}]"


class GetAttrKey(_Key):
    """Key path entry of an attribute: `.name`."""

    __slots__ = ("name",)
    __match_args__ = ("name",)
    _field = "name"

    def __init__(self, name: str):
        self.name = name

    def __str__(self) -> str:
        return f".{self.name}"


class FlattenedIndexKey(_Key):
    """Key path entry of a child of a type registered without keys: `[<flat index 0>]`."""

    __slots__ = ("key",)
    __match_args__ = ("key",)
    _field = "key"

    def __init__(self, key: int):
        self.key = operator.index(key)

    def __str__(self) -> str:
        return f"[<flat index {self.key!r}>]"


def _sequence_keys(tree: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    return [(SequenceKey(i), child) for i, child in enumerate(tree)]


def _sorted_dict_keys(tree: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    return [(DictKey(key), tree[key]) for key in sorted_keys(tree)]


def _ordered_dict_keys(tree: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    return [(DictKey(key), child) for key, child in tree.items()]


add(
    type(None),
    NodeType(lambda tree, leaves: NONE, lambda tree: ((), None), lambda d, c: None, lambda t: ()),
)
add(
    tuple,
    NodeType(_flatten_tuple, lambda tree: (tree, None), lambda d, c: tuple(c), _sequence_keys),
)
add(
    list,
    NodeType(_flatten_list, lambda tree: (tree, None), lambda d, c: list(c), _sequence_keys),
)
add(
    dict,
    NodeType(_flatten_dict, _dict_one_level, lambda keys, c: dict(zip(keys, c)), _sorted_dict_keys),
)
add(
    collections.OrderedDict,
    custom(
        collections.OrderedDict,
        _ordered_dict_one_level,
        lambda keys, c: collections.OrderedDict(zip(keys, c)),
        _ordered_dict_keys,
    ),
)
add(
    collections.defaultdict,
    custom(
        collections.defaultdict,
        _defaultdict_one_level,
        lambda data, c: collections.defaultdict(data[0], zip(data[1], c)),
        _sorted_dict_keys,
    ),
)
