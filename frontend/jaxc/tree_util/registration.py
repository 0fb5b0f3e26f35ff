"""Registering user types as pytree nodes, and `Partial`, the one node type jaxc adds.

Imports nothing of jaxc but this package.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from jaxc.tree_util import registry
from jaxc.tree_util.registry import GetAttrKey

Typ = TypeVar("Typ", bound=type)


def register_pytree_node(
    nodetype: type,
    flatten_func: Callable[[Any], tuple[Iterable[Any], Any]],
    unflatten_func: Callable[[Any, Iterable[Any]], Any],
    flatten_with_keys_func: Callable[[Any], tuple[Iterable[Any], Any]] | None = None,
) -> None:
    """Make instances of a type pytree nodes.

    Args:
      nodetype: the type; its subclasses are not registered with it.
      flatten_func: takes an instance, returns its children and its auxiliary data, which is
        compared with `==` and should be hashable.
      unflatten_func: takes auxiliary data and children, returns an instance.
      flatten_with_keys_func: as `flatten_func` with `(key, child)` pairs for children.

    Raises:
      ValueError: the type is registered already.
    """
    keys = None
    if flatten_with_keys_func is not None:
        keys = lambda tree: flatten_with_keys_func(tree)[0]  # noqa: E731
    registry.add(nodetype, registry.custom(nodetype, flatten_func, unflatten_func, keys))


def register_pytree_node_class(cls: Typ) -> Typ:
    """Class decorator: a pytree node by its `tree_flatten` and `tree_unflatten` methods."""
    register_pytree_node(cls, cls.tree_flatten, cls.tree_unflatten)
    return cls


def register_pytree_with_keys(
    nodetype: type,
    flatten_with_keys: Callable[[Any], tuple[Iterable[tuple[Any, Any]], Any]],
    unflatten_func: Callable[[Any, Iterable[Any]], Any],
    flatten_func: Callable[[Any], tuple[Iterable[Any], Any]] | None = None,
) -> None:
    """Make instances of a type pytree nodes whose children have keys."""

    def without_keys(tree: Any) -> tuple[Iterable[Any], Any]:
        keyed, data = flatten_with_keys(tree)
        return [child for _, child in keyed], data

    register_pytree_node(nodetype, flatten_func or without_keys, unflatten_func, flatten_with_keys)


def register_pytree_with_keys_class(cls: Typ) -> Typ:
    """Class decorator: a node by its `tree_flatten_with_keys` and `tree_unflatten` methods."""
    flatten_func = getattr(cls, "tree_flatten", None)
    register_pytree_with_keys(cls, cls.tree_flatten_with_keys, cls.tree_unflatten, flatten_func)
    return cls


def register_dataclass(
    nodetype: Typ,
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
    drop_fields: Sequence[str] = (),
) -> Typ:
    """Make a dataclass a pytree node: data fields are children, meta fields auxiliary data.

    Without lists, a field is meta when its metadata says `static=True` (see `jax.tree.static`).

    Raises:
      TypeError: the lists are missing and the type is no dataclass, or only one is given.
      ValueError: the lists are not exactly the fields of `__init__`.
    """
    if data_fields is None or meta_fields is None:
        data_fields, meta_fields = _dataclass_fields(nodetype, data_fields, meta_fields)
    data, meta = tuple(data_fields), tuple(meta_fields)
    if dataclasses.is_dataclass(nodetype):
        _check_fields(nodetype, {*data, *meta}, set(drop_fields))

    def one_level(tree: Any) -> tuple[Iterable[Any], Any]:
        return [getattr(tree, f) for f in data], tuple([getattr(tree, f) for f in meta])

    def build(values: Any, children: Iterable[Any]) -> Any:
        return nodetype(**dict(zip(data, children)), **dict(zip(meta, values)))

    def keys(tree: Any) -> Iterable[tuple[Any, Any]]:
        return [(GetAttrKey(f), getattr(tree, f)) for f in data]

    kind = registry.custom(nodetype, one_level, build, keys)
    registry.add(nodetype, kind, "custom dataclass")
    return nodetype


def _dataclass_fields(nodetype: type, data: Any, meta: Any) -> tuple[list[str], list[str]]:
    if data is not None or meta is not None:
        raise TypeError(
            "register_dataclass: data_fields and meta_fields must both be specified when either "
            f"is specified. Got data_fields={data} meta_fields={meta}."
        )
    if not dataclasses.is_dataclass(nodetype):
        raise TypeError(
            "register_dataclass: data_fields and meta_fields are required when nodetype is not a "
            f"dataclass. Got nodetype={nodetype}."
        )
    fields = [field for field in dataclasses.fields(nodetype) if field.init]
    static = [field.name for field in fields if field.metadata.get("static", False)]
    return [field.name for field in fields if field.name not in static], static


def _check_fields(nodetype: type, given: set[str], dropped: set[str]) -> None:
    needed = {field.name for field in dataclasses.fields(nodetype) if field.init}
    start = "data_fields and meta_fields must include all dataclass fields with ``init=True`` and "
    if missing := needed - given - dropped:
        raise ValueError(
            f"{start}only them. Missing fields: {missing}. Add them to drop_fields to suppress "
            "this error."
        )
    if unexpected := given - needed:
        raise ValueError(f"{start}only them. Unexpected fields: {unexpected}.")


def register_static(cls: Typ) -> Typ:
    """Class decorator: instances are nodes without leaves; `==` and `hash` decide a retrace."""
    kind = registry.custom(cls, lambda obj: ((), obj), lambda obj, children: obj, lambda obj: ())
    registry.add(cls, kind)
    return cls


class _HashableCallable:
    """Wraps a `Partial`, so that a `Partial` of it does not merge the two argument lists."""

    def __init__(self, fun: Callable[..., Any]):
        self.fun = fun

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fun(*args, **kwargs)

    def __hash__(self) -> int:
        return hash(self.fun)

    def __eq__(self, other: object) -> bool:
        return self.fun == (other.fun if isinstance(other, _HashableCallable) else other)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fun!r})"


class Partial(functools.partial):
    """`functools.partial` that is a pytree node: bound arguments are children.

    >>> import jaxc as jax
    >>> jax.tree.leaves(jax.tree_util.Partial(pow, 2, mod=5))
    [2, 5]
    """

    def __new__(klass, func: Callable[..., Any], *args: Any, **kw: Any) -> Partial:
        if isinstance(func, functools.partial):
            shim = _HashableCallable(func)
            functools.update_wrapper(shim, getattr(func, "func", func), updated=())
            return super().__new__(klass, shim, *args, **kw)
        return super().__new__(klass, func, *args, **kw)

    def __repr__(self) -> str:
        parts = [repr(self.func), *map(repr, self.args)]
        parts += [f"{key}={value!r}" for key, value in self.keywords.items()]
        return f"{type(self).__name__}({', '.join(parts)})"


register_pytree_node(
    Partial,
    lambda partial: ((partial.args, partial.keywords), partial.func),
    lambda func, children: Partial(func, *children[0], **children[1]),
)
