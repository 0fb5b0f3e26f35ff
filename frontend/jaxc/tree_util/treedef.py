"""`PyTreeDef`: the structure of a pytree, printed and compared as in JAX.

Owns the user-visible class around `registry`'s nested tuples and what can be done with a
structure: unflatten, flatten_up_to, compose, walk. Imports nothing of jaxc but `registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jaxc.tree_util import registry
from jaxc.tree_util.registry import Structure

_MISSING = object()
_USES_BEFORE_COMPILING = 50  # compiling costs what about 50 walks cost


class PyTreeDef:
    """Structure of a pytree: what is left of it when the leaves are taken out.

    >>> import jaxc as jax
    >>> jax.tree.structure({"a": 1, "b": (2, None)})
    PyTreeDef({'a': *, 'b': (*, None)})
    """

    __slots__ = ("_builder", "_num_leaves", "_uses", "structure")

    def __init__(self, structure: Structure, num_leaves: int | None = None):
        self.structure = structure
        self._num_leaves = num_leaves
        self._uses = 0
        self._builder: Callable[[Any], Any] | None = None

    @property
    def num_leaves(self) -> int:
        if self._num_leaves is None:
            self._num_leaves = _count_leaves(self.structure)
        return self._num_leaves

    @property
    def num_nodes(self) -> int:
        return _count_nodes(self.structure)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PyTreeDef):
            return NotImplemented
        return self.structure == other.structure

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        try:
            return hash(self.structure)
        except TypeError:  # aux data of custom nodes needs no hash, only ==
            return _hash_without_data(self.structure)

    def __repr__(self) -> str:
        return f"PyTreeDef({_format(self.structure)})"

    def __reduce__(self) -> Any:
        return (PyTreeDef, (self.structure, self._num_leaves))

    def node_data(self) -> tuple[type, Any] | None:
        """`(type, data)` of the root, None if it is a leaf."""
        if self.structure is None:
            return None
        cls, data, _ = self.structure
        return cls, (list(data) if cls is dict else data)

    def children(self) -> list[PyTreeDef]:
        """The structures of the root's children."""
        if self.structure is None:
            return []
        return [PyTreeDef(child) for child in self.structure[2]]

    @staticmethod
    def make_from_node_data_and_children(
        registry_: Any, node_data: tuple[type, Any] | None, children: Iterable[PyTreeDef]
    ) -> PyTreeDef:
        """The inverse of `node_data` and `children`."""
        if node_data is None:
            return LEAF
        cls, data = node_data
        data = tuple(data) if cls is dict else data
        return PyTreeDef((cls, data, tuple([child.structure for child in children])))

    from_node_data_and_children = make_from_node_data_and_children

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The tree of this structure with `leaves` in order.

        Raises:
          ValueError: too few or too many leaves.
        """
        if not isinstance(leaves, (list, tuple)):
            leaves = list(leaves)
        expected = self.num_leaves
        if len(leaves) != expected:
            raise ValueError(
                f"Too few leaves for PyTreeDef; expected {expected}, got {len(leaves)}"
                if len(leaves) < expected
                else f"Too many leaves for PyTreeDef; expected {expected}."
            )
        if self._builder is not None:
            return self._builder(leaves)
        self._uses += 1
        if self._uses > _USES_BEFORE_COMPILING:
            self._builder = compile_builder(self.structure)
        return build(self.structure, iter(leaves))

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """The subtrees of `tree` at the places of this structure's leaves.

        Raises:
          ValueError: this structure is not a prefix of the tree's.
        """
        leaves, structure = registry.flatten(tree)
        try:
            if structure == self.structure:
                return leaves
        except ValueError:  # data without a truth value of ==: the walk says where
            pass
        found: list[Any] = []
        _flatten_up_to(self.structure, tree, found)
        return found

    def compose(self, inner: PyTreeDef) -> PyTreeDef:
        """This structure with every leaf replaced by `inner`."""
        return PyTreeDef(
            _replace_leaves(self.structure, inner.structure), self.num_leaves * inner.num_leaves
        )

    def walk(
        self,
        f_node: Callable[[Any, Any], Any],
        f_leaf: Callable[[Any], Any] | None,
        leaves: Iterable[Any],
    ) -> Any:
        """Fold the tree bottom-up: `f_node(children, data)` at nodes, `f_leaf` at leaves."""
        return _walk(self.structure, f_node, f_leaf, iter(leaves))


LEAF = PyTreeDef(None, 1)


def build(structure: Structure, leaves: Iterator[Any]) -> Any:
    """The tree of `structure`; `leaves` must yield enough values."""
    if structure is None:
        return next(leaves)
    cls, data, children = structure
    values = [next(leaves) if child is None else build(child, leaves) for child in children]
    if cls is tuple:
        return tuple(values)
    if cls is list:
        return values
    if cls is dict:
        return dict(zip(data, values))
    return registry.node_type(cls).build(data, tuple(values))  # type: ignore[union-attr]


def compile_builder(structure: Structure) -> Callable[[Any], Any]:
    """`build` for one structure as one Python expression: 4 times faster, for reused structures."""
    constants: list[Any] = []
    counter = iter(range(_count_leaves(structure)))
    return eval(f"lambda L: {_expression(structure, counter, constants)}", {"C": constants})


def _expression(structure: Structure, counter: Iterator[int], constants: list[Any]) -> str:
    if structure is None:
        return f"L[{next(counter)}]"
    cls, data, children = structure
    parts = [_expression(child, counter, constants) for child in children]
    items = "".join(f"{part}, " for part in parts)
    if cls is type(None):
        return "None"
    if cls is tuple:
        return f"({items})"
    if cls is list:
        return f"[{items}]"
    first = len(constants)
    if cls is dict:
        constants.extend(data)
        pairs = ", ".join(f"C[{first + i}]: {part}" for i, part in enumerate(parts))
        return "{" + pairs + "}"
    constants += [registry.node_type(cls).build, data]  # type: ignore[union-attr]
    return f"C[{first}](C[{first + 1}], ({items}))"


def _count_leaves(structure: Structure) -> int:
    if structure is None:
        return 1
    return sum(1 if child is None else _count_leaves(child) for child in structure[2])


def _count_nodes(structure: Structure) -> int:
    return 1 if structure is None else 1 + sum(map(_count_nodes, structure[2]))


def _hash_without_data(structure: Structure) -> int:
    if structure is None:
        return hash(None)
    return hash((structure[0], tuple([_hash_without_data(child) for child in structure[2]])))


def _replace_leaves(outer: Structure, inner: Structure) -> Structure:
    if outer is None:
        return inner
    cls, data, children = outer
    return (cls, data, tuple([_replace_leaves(child, inner) for child in children]))


def _walk(structure: Structure, f_node: Any, f_leaf: Any, leaves: Iterator[Any]) -> Any:
    if structure is None:
        leaf = next(leaves, _MISSING)
        if leaf is _MISSING:
            raise ValueError("Too few leaves for PyTreeDef")
        return leaf if f_leaf is None else f_leaf(leaf)
    cls, data, children = structure
    values = tuple([_walk(child, f_node, f_leaf, leaves) for child in children])
    return f_node(values, list(data) if cls is dict else data)


def _format(structure: Structure) -> str:
    if structure is None:
        return "*"
    cls, data, children = structure
    parts = [_format(child) for child in children]
    if cls is type(None):
        return "None"
    if cls is tuple:
        return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
    if cls is list:
        return f"[{', '.join(parts)}]"
    if cls is dict:
        return "{" + ", ".join(f"{key!r}: {part}" for key, part in zip(data, parts)) + "}"
    if is_namedtuple(cls):
        return f"CustomNode(namedtuple[{cls.__name__}], [{', '.join(parts)}])"
    return f"CustomNode({cls.__name__}[{data}], [{', '.join(parts)}])"


def is_namedtuple(cls: type) -> bool:
    """Handled as a namedtuple, that is not registered as something else."""
    return issubclass(cls, tuple) and cls is not tuple and cls not in registry._registered


def _flatten_up_to(structure: Structure, tree: Any, found: list[Any]) -> None:
    if structure is None:
        found.append(tree)
        return
    cls, data, children = structure
    kind = registry.node_type(cls)
    if type(tree) is not cls:
        raise ValueError(_type_mismatch(cls, tree))
    values, tree_data = kind.one_level(tree)  # type: ignore[union-attr]
    values = tuple(values)
    if cls is dict:
        if data != tree_data:
            raise ValueError(
                f"Dict key mismatch; expected keys: {list(data)}; present keys: {list(tree_data)}."
            )
    elif data is not tree_data and data != tree_data:
        raise ValueError(f"Mismatch custom node data: {data!r} != {tree_data!r}; value: {tree!r}.")
    if len(values) != len(children):
        raise ValueError(_arity_mismatch(cls, len(values), len(children), tree))
    for child, value in zip(children, values):
        _flatten_up_to(child, value, found)


def _type_mismatch(cls: type, tree: Any) -> str:
    if cls is type(None):
        return (
            f"Expected None, got {tree!r}.\n\nNone is a pytree node without leaves, not a leaf and "
            "not a prefix of other values. To pair it with other values, pass "
            "is_leaf=lambda x: x is None and handle None in the function."
        )
    if cls in (tuple, list, dict):
        return f"Expected {cls.__name__}, got {tree!r}."
    if is_namedtuple(cls):
        return f"Expected named tuple, got {tree!r}."
    return f"Custom node type mismatch: expected type: {cls}, value: {tree!r}."


def _arity_mismatch(cls: type, got: int, expected: int, tree: Any) -> str:
    name = {tuple: "Tuple", list: "List"}.get(cls)
    if name is None:
        return f"Custom node arity mismatch: {got} != {expected}; value: {tree!r}."
    return f"{name} arity mismatch: {got} != {expected}; {cls.__name__}: {tree!r}."
