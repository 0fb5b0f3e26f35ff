"""Tree prefixes: broadcasting one tree to another, and saying where two trees disagree.

Owns `broadcast_prefix`, `prefix_errors` and `equality_errors`; `tree_map`, `vmap` and `jit` word
their errors with them. Imports nothing of jaxc but this package.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from jaxc.tree_util import registry
from jaxc.tree_util.paths import keyed_children, keystr
from jaxc.tree_util.treedef import PyTreeDef

IsLeaf = Callable[[Any], bool] | None


def broadcast_prefix(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The prefix's leaves, each repeated for every leaf of the full tree below it.

    Raises:
      ValueError: `prefix_tree` is not a prefix of `full_tree`.
    """
    leaves: list[Any] = []
    structure = _flatten(prefix_tree, is_leaf, leaves)
    try:
        subtrees = PyTreeDef(structure, len(leaves)).flatten_up_to(full_tree)
    except ValueError as error:
        raise first_prefix_error(
            "broadcast_prefix prefix_tree", prefix_tree, full_tree, is_leaf, error
        ) from None
    result: list[Any] = []
    for leaf, subtree in zip(leaves, subtrees):
        below: list[Any] = []
        _flatten(subtree, is_leaf, below)
        result.extend([leaf] * len(below))
    return result


def first_prefix_error(
    name: str, prefix: Any, full: Any, is_leaf: IsLeaf, otherwise: ValueError
) -> ValueError:
    """The first disagreement, worded with the key path; `otherwise` if none is found."""
    for error in prefix_errors(prefix, full, is_leaf):
        return error(name)
    return otherwise


def _flatten(tree: Any, is_leaf: IsLeaf, leaves: list[Any]) -> Any:
    if is_leaf is None:
        return registry.flatten_into(tree, leaves)
    return registry.flatten_until(tree, is_leaf, leaves)


def prefix_errors(
    prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None
) -> list[Callable[[str], ValueError]]:
    """Every disagreement, as functions from the argument's name to the error."""
    return list(_prefix_errors((), prefix_tree, full_tree, is_leaf))


def _at(path: tuple[Any, ...], what: str, detail: str) -> Callable[[str], ValueError]:
    def error(name: str) -> ValueError:
        where = f"{name}{keystr(path)}"
        text = f"pytree structure error: {what} at key path\n    {where}\nAt that key path, "
        return ValueError(text + detail.format(name=name))

    return error


def _escape(value: Any) -> str:
    return str(value).replace("{", "{{").replace("}", "}}")


def _prefix_errors(
    path: tuple[Any, ...], prefix: Any, full: Any, is_leaf: IsLeaf
) -> Iterator[Callable[[str], ValueError]]:
    cls = type(prefix)
    kind = registry.node_type(cls)
    if kind is None or (is_leaf is not None and is_leaf(prefix)):
        return
    if cls is not type(full):
        yield _at(
            path,
            "different types",
            "the prefix pytree {name} has a subtree of type\n"
            f"    {_escape(cls)}\nbut at the same key path the full pytree has a subtree of "
            f"different type\n    {_escape(type(full))}.",
        )
        return
    prefix_keyed, full_keyed = keyed_children(prefix), keyed_children(full)
    if len(prefix_keyed) != len(full_keyed):
        yield _at(path, *_length_detail(cls, prefix_keyed, full_keyed))
        return
    data, full_data = kind.one_level(prefix)[1], kind.one_level(full)[1]
    if data is not full_data and data != full_data:
        yield _at(path, "different pytree metadata", _metadata_detail(cls, data, full_data))
        return
    for (key, child), (_, full_child) in zip(prefix_keyed, full_keyed):
        yield from _prefix_errors((*path, key), child, full_child, is_leaf)


def _length_detail(cls: type, prefix: list[Any], full: list[Any]) -> tuple[str, str]:
    if cls in (tuple, list):
        return (
            f"different lengths of {cls.__name__}",
            "the prefix pytree {name} has a subtree of type "
            f"{cls.__name__} of length {len(prefix)}, but the full pytree has a subtree of the "
            f"same type but of length {len(full)}.",
        )
    names = [[_key_name(key) for key, _ in keyed] for keyed in (prefix, full)]
    differing = sorted(set(names[0]) ^ set(names[1]))
    return (
        "different numbers of pytree children",
        "the prefix pytree {name} has a subtree of type\n"
        f"    {_escape(cls)}\nwith {len(prefix)} child keys\n    {_escape(' '.join(names[0]))}\n"
        f"but at the same key path the full pytree has a subtree of the same type but with "
        f"{len(full)} child keys\n    {_escape(' '.join(names[1]))}\n"
        f"so the symmetric difference on key sets is\n    {_escape(' '.join(differing))}",
    )


def _key_name(key: Any) -> str:
    return keystr((key,), simple=True)


def _metadata_detail(cls: type, data: Any, full_data: Any) -> str:
    diff = "\n".join(difflib.ndiff(str(data).splitlines(), str(full_data).splitlines()))
    return (
        "the prefix pytree {name} has a subtree of type\n"
        f"    {_escape(cls)}\nwith metadata\n    {_escape(data)}\nbut at the same key path the "
        f"full pytree has a subtree of the same type but with metadata\n    {_escape(full_data)}\n"
        "so the diff in the metadata at these pytree nodes is\n"
        f"{_escape(textwrap.indent(diff, '    '))}"
    )


def equality_errors(
    tree1: Any, tree2: Any, is_leaf: IsLeaf = None
) -> Iterator[tuple[tuple[Any, ...], str, str, str]]:
    """Every place where two trees differ: key path, what each has, and in what they differ."""
    yield from _equality_errors((), tree1, tree2, is_leaf)


def equality_errors_pytreedef(
    treedef1: PyTreeDef, treedef2: PyTreeDef
) -> Iterator[tuple[tuple[Any, ...], str, str, str]]:
    """`equality_errors` of two structures."""
    trees = [treedef.unflatten([object()] * treedef.num_leaves) for treedef in (treedef1, treedef2)]
    yield from _equality_errors((), *trees, None)


def _equality_errors(
    path: tuple[Any, ...], tree1: Any, tree2: Any, is_leaf: IsLeaf
) -> Iterator[tuple[tuple[Any, ...], str, str, str]]:
    kinds = [_node_kind(tree, is_leaf) for tree in (tree1, tree2)]
    if kinds == [None, None]:
        return
    if None in kinds or type(tree1) is not type(tree2):
        names = [
            f"{type(tree)}" if kind is not None else "pytree leaf"
            for tree, kind in zip((tree1, tree2), kinds)
        ]
        yield path, names[0], names[1], "their Python types differ"
        return
    name = type(tree1).__name__
    keyed1, keyed2 = keyed_children(tree1), keyed_children(tree2)
    if type(tree1) in (tuple, list) and len(keyed1) != len(keyed2):
        lengths = [f"{name} of length {len(keyed)}" for keyed in (keyed1, keyed2)]
        yield path, *lengths, "the lengths do not match"
        return
    data1, data2 = kinds[0].one_level(tree1)[1], kinds[1].one_level(tree2)[1]
    if data1 is not data2 and data1 != data2:
        texts = [f"{type(tree1)} with pytree metadata {data}" for data in (data1, data2)]
        yield path, *texts, "the pytree node metadata does not match"
        return
    if len(keyed1) != len(keyed2):
        counts = [f"{type(tree1)} with {len(keyed)} children" for keyed in (keyed1, keyed2)]
        yield path, *counts, "the numbers of children do not match"
        return
    for (key, child1), (_, child2) in zip(keyed1, keyed2):
        yield from _equality_errors((*path, key), child1, child2, is_leaf)


def _node_kind(tree: Any, is_leaf: IsLeaf) -> Any:
    if is_leaf is not None and is_leaf(tree):
        return None
    return registry.node_type(type(tree))
