"""Pytrees: nested containers as lists of leaves and a structure.

Owns `jax.tree_util`'s functions. Everything else in jaxc stands on it, so it imports nothing of
jaxc outside this package.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from jaxc.tree_util import registry
from jaxc.tree_util.paths import (
    KeyEntry,
    KeyPath,
    flatten_with_path,
    keyed_children,
    keystr,
)
from jaxc.tree_util.prefix import (
    broadcast_prefix,
    equality_errors,
    equality_errors_pytreedef,
    first_prefix_error,
    prefix_errors,
)
from jaxc.tree_util.registration import (
    Partial,
    register_dataclass,
    register_pytree_node,
    register_pytree_node_class,
    register_pytree_with_keys,
    register_pytree_with_keys_class,
    register_static,
)
from jaxc.tree_util.registry import DictKey, FlattenedIndexKey, GetAttrKey, SequenceKey
from jaxc.tree_util.treedef import PyTreeDef, build

IsLeaf = Callable[[Any], bool] | None
_flatten = registry.flatten
_UNSPECIFIED = object()


def tree_flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[Any], PyTreeDef]:
    """Take a tree apart.

    Args:
      tree: any pytree.
      is_leaf: values for which it holds are leaves, whatever their type.

    Returns:
      The leaves in order and the structure.

    >>> import jaxc as jax
    >>> jax.tree_util.tree_flatten({"b": 1, "a": [2, None]})
    ([2, 1], PyTreeDef({'a': [*, None], 'b': *}))
    """
    if is_leaf is None:
        leaves, structure = _flatten(tree)
    else:
        leaves = []
        structure = registry.flatten_until(tree, is_leaf, leaves)
    return leaves, PyTreeDef(structure, len(leaves))


def tree_unflatten(treedef: PyTreeDef, leaves: Iterable[Any]) -> Any:
    """The tree of structure `treedef` with `leaves` in order."""
    return treedef.unflatten(leaves)


def tree_leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of a tree in order."""
    if is_leaf is None:
        return _flatten(tree)[0]
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: IsLeaf = None) -> PyTreeDef:
    """The structure of a tree."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """Apply a function to every leaf.

    Args:
      f: called with one leaf of `tree` and what stands at its place in each of `rest`.
      tree: its structure is the result's.
      rest: trees of which `tree`'s structure is a prefix.
      is_leaf: as in `tree_flatten`.

    Raises:
      ValueError: a tree of `rest` has another structure; the message names the key path.

    >>> import jaxc as jax
    >>> jax.tree_util.tree_map(lambda x, y: x + y, {"a": 1, "b": 2}, {"a": 10, "b": 20})
    {'a': 11, 'b': 22}
    """
    if is_leaf is None:
        leaves, structure = _flatten(tree)
    else:
        leaves = []
        structure = registry.flatten_until(tree, is_leaf, leaves)
    if not rest:
        return build(structure, iter([f(leaf) for leaf in leaves]))
    columns = [_flatten_up_to(structure, len(leaves), tree, other, is_leaf) for other in rest]
    return build(structure, iter([f(*values) for values in zip(leaves, *columns)]))


def _flatten_up_to(structure: Any, count: int, tree: Any, other: Any, is_leaf: IsLeaf) -> list[Any]:
    try:
        return PyTreeDef(structure, count).flatten_up_to(other)
    except ValueError as error:
        raise first_prefix_error("tree_map tree", tree, other, is_leaf, error) from None


def tree_reduce(
    function: Callable[[Any, Any], Any],
    tree: Any,
    initializer: Any = _UNSPECIFIED,
    is_leaf: IsLeaf = None,
) -> Any:
    """`functools.reduce` over the leaves."""
    leaves = tree_leaves(tree, is_leaf)
    if initializer is _UNSPECIFIED:
        return functools.reduce(function, leaves)
    return functools.reduce(function, leaves, initializer)


def tree_reduce_associative(
    operation: Callable[[Any, Any], Any],
    tree: Any,
    *,
    identity: Any = _UNSPECIFIED,
    is_leaf: IsLeaf = None,
) -> Any:
    """Reduce the leaves pairwise, in a balanced tree of depth log n."""
    leaves = tree_leaves(tree, is_leaf)
    if not leaves:
        if identity is _UNSPECIFIED:
            raise TypeError("Must specify identity for parallel reduction of empty sequence.")
        return identity
    return _reduce_halves(operation, leaves)


def _reduce_halves(operation: Callable[[Any, Any], Any], values: list[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    middle = len(values) // 2
    left = _reduce_halves(operation, values[:middle])
    return operation(left, _reduce_halves(operation, values[middle:]))


def tree_all(tree: Any, *, is_leaf: IsLeaf = None) -> bool:
    """`all` of the leaves."""
    return all(tree_leaves(tree, is_leaf))


def tree_transpose(
    outer_treedef: PyTreeDef, inner_treedef: PyTreeDef | None, pytree_to_transpose: Any
) -> Any:
    """Turn a tree of trees inside out: `[(1, 2), (3, 4)]` into `([1, 3], [2, 4])`.

    Raises:
      TypeError: the tree is not `outer_treedef` composed with `inner_treedef`.
    """
    leaves, treedef = tree_flatten(pytree_to_transpose)
    if inner_treedef is None:
        inner_treedef = tree_structure(outer_treedef.flatten_up_to(pytree_to_transpose)[0])
    inner, outer = inner_treedef.num_leaves, outer_treedef.num_leaves
    expected = outer_treedef.compose(inner_treedef)
    if treedef != expected:
        raise TypeError(f"Mismatch\n{treedef}\n != \n{expected}")
    columns = [leaves[i * inner : (i + 1) * inner] for i in range(outer)]
    subtrees = [outer_treedef.unflatten(list(column)) for column in zip(*columns)]
    return inner_treedef.unflatten(subtrees)


def tree_broadcast(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None) -> Any:
    """A tree of `full_tree`'s structure with the leaves of a prefix repeated."""
    leaves = broadcast_prefix(prefix_tree, full_tree, is_leaf)
    return tree_structure(full_tree, is_leaf).unflatten(leaves)


def tree_flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
    """As `tree_flatten`, with `(key path, leaf)` pairs for leaves."""
    return flatten_with_path(tree, is_leaf, is_leaf_takes_path)


def tree_leaves_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> list[tuple[KeyPath, Any]]:
    """`(key path, leaf)` pairs in order."""
    return flatten_with_path(tree, is_leaf, is_leaf_takes_path)[0]


def tree_map_with_path(
    f: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[..., bool] | None = None,
    is_leaf_takes_path: bool = False,
) -> Any:
    """As `tree_map`, with the key path as `f`'s first argument."""
    pairs, treedef = flatten_with_path(tree, is_leaf, is_leaf_takes_path)
    columns = [treedef.flatten_up_to(other) for other in rest]
    results = [f(path, leaf, *others) for (path, leaf), *others in zip(pairs, *columns)]
    return treedef.unflatten(results)


def treedef_is_leaf(treedef: PyTreeDef) -> bool:
    """Whether the structure is a single leaf (one node)."""
    return treedef.num_nodes == 1


def treedef_children(treedef: PyTreeDef) -> list[PyTreeDef]:
    """The structures of the root's children."""
    return treedef.children()


def treedef_tuple(treedefs: Iterable[PyTreeDef]) -> PyTreeDef:
    """The structure of a tuple of trees of the given structures."""
    return PyTreeDef((tuple, None, tuple([treedef.structure for treedef in treedefs])))


def all_leaves(iterable: Iterable[Any], is_leaf: IsLeaf = None) -> bool:
    """Whether every element is a leaf."""
    if is_leaf is None:
        return all(registry.node_type(type(value)) is None for value in iterable)
    values = list(iterable)
    return tree_leaves(values, is_leaf) == values


def is_tree_node(typ: type) -> bool:
    """Whether instances of a type are nodes."""
    return registry.is_registered(typ)


def flatten_one_level(tree: Any) -> tuple[Iterable[Any], Any]:
    """The children of the root and its data.

    Raises:
      ValueError: the tree is a leaf.
    """
    kind = registry.node_type(type(tree))
    if kind is None:
        raise ValueError(f"can't tree-flatten type: {type(tree)}")
    return kind.one_level(tree)


def flatten_one_level_with_keys(tree: Any) -> tuple[Iterable[tuple[Any, Any]], Any]:
    """As `flatten_one_level`, with `(key, child)` pairs."""
    return tuple(keyed_children(tree)), flatten_one_level(tree)[1]


class _Registry:
    """The one registry as an object, for code that passes registries around."""

    flatten = staticmethod(tree_flatten)

    @staticmethod
    def flatten_one_level(tree: Any) -> tuple[Iterable[Any], Any] | None:
        kind = registry.node_type(type(tree))
        return None if kind is None else kind.one_level(tree)

    register_node = staticmethod(register_pytree_node)


default_registry = _Registry()

for _public in (PyTreeDef, Partial, DictKey, FlattenedIndexKey, GetAttrKey, SequenceKey):
    _public.__module__ = __name__  # where users find them, and where pickles look

__all__ = [
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "KeyEntry",
    "KeyPath",
    "Partial",
    "PyTreeDef",
    "SequenceKey",
    "all_leaves",
    "broadcast_prefix",
    "default_registry",
    "equality_errors",
    "equality_errors_pytreedef",
    "flatten_one_level",
    "flatten_one_level_with_keys",
    "is_tree_node",
    "keystr",
    "prefix_errors",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "register_static",
    "tree_all",
    "tree_broadcast",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_with_path",
    "tree_reduce",
    "tree_reduce_associative",
    "tree_structure",
    "tree_transpose",
    "tree_unflatten",
    "treedef_children",
    "treedef_is_leaf",
    "treedef_tuple",
]
