"""`ravel_pytree`: a tree of arrays as one vector. Stands on `numpy` and `tree_util`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.tree_util import tree_flatten, tree_unflatten


def ravel_pytree(pytree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Concatenate the leaves of a tree into one vector.

    Args:
      pytree: a tree of arrays and scalars.

    Returns:
      The vector, of the leaves' common dtype, and the function that turns such a vector back into
      the tree, each leaf with its own dtype.

    >>> import jaxc as jax
    >>> vector, unravel = jax.flatten_util.ravel_pytree({"a": 1.0, "b": [2.0, 3.0]})
    >>> vector.shape
    (3,)
    """
    leaves, treedef = tree_flatten(pytree)
    flat, unravel_leaves = _ravel_leaves(leaves)
    return flat, lambda vector: tree_unflatten(treedef, unravel_leaves(vector))


def _ravel_leaves(leaves: list[Any]) -> tuple[Any, Callable[[Any], list[Any]]]:
    if not leaves:
        return jnp.zeros(0), lambda vector: []
    from_dtypes = [dtypes.dtype(leaf) for leaf in leaves]
    to_dtype = dtypes.result_type(*from_dtypes)
    shapes = [jnp.shape(leaf) for leaf in leaves]
    ends = [int(end) for end in np.cumsum([int(np.prod(shape)) for shape in shapes])]
    vector = jnp.concatenate([jnp.ravel(leaf).astype(to_dtype) for leaf in leaves])
    mixed = any(dtype != to_dtype for dtype in from_dtypes)

    def unravel(flat: Any) -> list[Any]:
        _check(flat, to_dtype, ends[-1])
        starts = [0, *ends[:-1]]
        chunks = [lax.slice(flat, (a,), (b,)) for a, b in zip(starts, ends)]
        parts = [jnp.reshape(chunk, shape) for chunk, shape in zip(chunks, shapes)]
        if not mixed:
            return parts
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # discarding an imaginary part is the inverse here
            return [lax.convert_element_type(p, d) for p, d in zip(parts, from_dtypes)]

    return vector, unravel


def _check(flat: Any, dtype: Any, size: int) -> None:
    if jnp.shape(flat) != (size,):
        raise ValueError(
            f"unravel function expected input of shape {(size,)}, got shape {jnp.shape(flat)}"
        )
    if dtypes.dtype(flat) != dtype:
        raise TypeError(
            f"unravel function given array of dtype {dtypes.dtype(flat)}, "
            f"but expected dtype {dtype}"
        )
