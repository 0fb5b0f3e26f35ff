"""`jax.tree`: the short names of `jax.tree_util`. Imports `tree_util` only."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxc.tree_util import tree_all as all
from jaxc.tree_util import tree_broadcast as broadcast
from jaxc.tree_util import tree_flatten as flatten
from jaxc.tree_util import tree_flatten_with_path as flatten_with_path
from jaxc.tree_util import tree_leaves as leaves
from jaxc.tree_util import tree_leaves_with_path as leaves_with_path
from jaxc.tree_util import tree_map as map
from jaxc.tree_util import tree_map_with_path as map_with_path
from jaxc.tree_util import tree_reduce as reduce
from jaxc.tree_util import tree_reduce_associative as reduce_associative
from jaxc.tree_util import tree_structure as structure
from jaxc.tree_util import tree_transpose as transpose
from jaxc.tree_util import tree_unflatten as unflatten

__all__ = [
    "all",
    "broadcast",
    "flatten",
    "flatten_with_path",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "reduce",
    "reduce_associative",
    "static",
    "structure",
    "transpose",
    "unflatten",
]


def static(**kwargs: Any) -> Any:
    """A `dataclasses.field` that `register_dataclass` takes as meta: not a child, compared."""
    metadata = {"static": True, **(kwargs.pop("metadata", None) or {})}
    return dataclasses.field(metadata=metadata, **kwargs)
