"""The structure of pytrees as JSON.

Owns the names under which classes of a program's pytrees are written, because a file must not name
classes to import. Imports `tree_util` only.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxc import tree_util
from jaxc.tree_util import PyTreeDef


@dataclass(frozen=True)
class _Node:
    """How a registered class is written and read."""

    kind: type
    name: str
    write_data: Callable[[Any], bytes]
    read_data: Callable[[bytes], Any]
    from_children: Callable[[Any, Sequence[Any]], Any] | None


_by_type: dict[type, _Node] = {}
_by_name: dict[str, _Node] = {}


def register_pytree_node_serialization(
    nodetype: type,
    *,
    serialized_name: str,
    serialize_auxdata: Callable[[Any], bytes],
    deserialize_auxdata: Callable[[bytes], Any],
    from_children: Callable[[Any, Sequence[Any]], Any] | None = None,
) -> type:
    """Say how a registered pytree class is written in an exported program.

    Args:
      nodetype: a class that `tree_util` knows.
      serialized_name: what stands for the class in the file; the reader registers it too.
      serialize_auxdata: the data that flattening gives, as bytes.
      deserialize_auxdata: the inverse.
      from_children: `(data, children)` to an object; default is the class's own unflattening.

    Returns:
      The class, so that this can be a decorator's last step.

    Raises:
      ValueError: the class or the name is registered already.
    """
    if nodetype in _by_type:
        raise ValueError(
            f"Duplicate serialization registration for type `{nodetype}`. Previous registration "
            f"was with serialized_name `{_by_type[nodetype].name}`."
        )
    if serialized_name in _by_name:
        raise ValueError(
            f"Duplicate serialization registration for serialized_name `{serialized_name}`. "
            f"Previous registration was for type `{_by_name[serialized_name].kind}`."
        )
    node = _Node(nodetype, serialized_name, serialize_auxdata, deserialize_auxdata, from_children)
    _by_type[nodetype] = _by_name[serialized_name] = node
    return nodetype


def register_namedtuple_serialization(nodetype: type, *, serialized_name: str) -> type:
    """Say under which name a named tuple is written in an exported program.

    Raises:
      ValueError: no named tuple, or registered already.
    """
    fields = getattr(nodetype, "_fields", None)
    if not (issubclass(nodetype, tuple) and isinstance(fields, tuple)):
        raise ValueError(
            "Use `jax.export.register_pytree_node_serialization` for types other than "
            "`collections.namedtuple`."
        )
    return register_pytree_node_serialization(
        nodetype,
        serialized_name=serialized_name,
        serialize_auxdata=lambda _: json.dumps(fields).encode(),
        deserialize_auxdata=json.loads,
        from_children=lambda keys, children: nodetype(**dict(zip(keys, children, strict=True))),
    )


def encode(tree: PyTreeDef) -> Any:
    """A structure as JSON.

    Raises:
      ValueError: a node of a class that is not registered for it.
    """
    found = tree.node_data()
    if found is None:
        return "*"
    kind, data = found
    children = [encode(child) for child in tree.children()]
    if kind is type(None):
        return None
    if kind in (tuple, list):
        return {kind.__name__: children}
    if kind is dict and all(type(key) in (str, int) for key in data):
        return {"dict": [data, children]}
    node = _by_type.get(kind)
    if node is None:
        raise ValueError(
            f"Cannot serialize PyTreeDef containing type {kind}: register it with "
            "`jax.export.register_pytree_node_serialization` or "
            "`jax.export.register_namedtuple_serialization`"
        )
    return {"node": [node.name, base64.b64encode(node.write_data(data)).decode(), children]}


def decode(written: Any) -> PyTreeDef:
    """The structure that `encode` wrote.

    Raises:
      ValueError: a class that this program has not registered, or no such structure.
    """
    return tree_util.tree_structure(_skeleton(written))


def _skeleton(written: Any) -> Any:
    """A tree of the structure; its leaves are zeros."""
    if written == "*":
        return 0
    if written is None:
        return None
    ((kind, content),) = written.items()
    if kind in ("tuple", "list"):
        children = [_skeleton(child) for child in content]
        return tuple(children) if kind == "tuple" else children
    if kind == "dict":
        keys, children = content
        return dict(zip(keys, map(_skeleton, children), strict=True))
    name, data, children = content
    node = _by_name.get(name)
    if node is None:
        raise ValueError(
            f"Cannot deserialize a PyTreeDef node that was serialized as `{name}`: register its "
            "class with `jax.export.register_pytree_node_serialization`"
        )
    value, filled = node.read_data(base64.b64decode(data)), [_skeleton(c) for c in children]
    if node.from_children is not None:
        return node.from_children(value, filled)
    leaf = tree_util.tree_structure(0)
    tree = PyTreeDef.make_from_node_data_and_children(
        None, (node.kind, value), [leaf] * len(filled)
    )
    return tree_util.tree_unflatten(tree, filled)
