"""Jacobians and Hessians: `jacfwd`, `jacrev`, `hessian`."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core import dtypes
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.transforms.arguments import (
    Fun,
    check_callable,
    partial_args,
    wraps,
)
from jaxc.transforms.forward import jvp
from jaxc.transforms.reverse import check_input, check_output, vjp_of
from jaxc.transforms.vectorize import vmap


def jacfwd(fun: Fun, argnums: Any = 0, has_aux: bool = False, holomorphic: bool = False) -> Fun:
    """The Jacobian, column by column in forward mode.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.jacfwd(lambda x: x**2)(jnp.array([1.0, 2.0]))
      Array([[2., 0.],
             [0., 4.]], dtype=float32)
    """
    check_callable(fun)

    @wraps(fun)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        dynamic, f = partial_args(fun, argnums, args, kwargs)
        example = dynamic[0] if isinstance(argnums, int) else tuple(dynamic)
        for leaf in tree_util.tree_leaves(example):
            _check_jac_input("jacfwd", leaf, holomorphic)

        def push(tangents: Any) -> Any:
            return jvp(f, tuple(dynamic), tuple(tangents), has_aux=has_aux)

        out_axes = (None, -1, None) if has_aux else (None, -1)
        out = vmap(push, out_axes=out_axes)(tuple(_basis(dynamic)))
        value, jac = out[0], out[1]
        for leaf in tree_util.tree_leaves(value):
            _check_jac_output("jacfwd", leaf, holomorphic)
        result = tree_util.tree_map(lambda y, j: _unravel(example, j, -1, y), value, jac)
        return (result, out[2]) if has_aux else result

    return jacobian


def jacrev(
    fun: Fun,
    argnums: Any = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Fun:
    """The Jacobian, row by row in reverse mode."""
    check_callable(fun)

    @wraps(fun)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        dynamic, f = partial_args(fun, argnums, args, kwargs)
        for leaf in tree_util.tree_leaves(dynamic):
            check_input("jacrev", leaf, holomorphic, allow_int)
        out = vjp_of(f, dynamic, has_aux)
        value, pullback = out[0], out[1]
        for leaf in tree_util.tree_leaves(value):
            check_output("jacrev", leaf, holomorphic)
        rows = vmap(pullback)(_basis(value))
        rows = rows[0] if isinstance(argnums, int) else tuple(rows)
        example = dynamic[0] if isinstance(argnums, int) else tuple(dynamic)
        per_input = tree_util.tree_map(lambda x, r: _unravel(value, r, 0, x), example, rows)
        result = tree_util.tree_transpose(
            tree_util.tree_structure(example), tree_util.tree_structure(value), per_input
        )
        return (result, out[2]) if has_aux else result

    return jacobian


jacobian = jacrev


def hessian(fun: Fun, argnums: Any = 0, has_aux: bool = False, holomorphic: bool = False) -> Fun:
    """The Hessian of a scalar function, forward over reverse.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.hessian(lambda x: jnp.sum(x**3))(jnp.array([1.0, 2.0]))
      Array([[ 6.,  0.],
             [ 0., 12.]], dtype=float32)
    """
    return jacfwd(jacrev(fun, argnums, has_aux, holomorphic), argnums, has_aux, holomorphic)


def _check_jac_input(name: str, leaf: Any, holomorphic: bool) -> None:
    check_input(name, leaf, holomorphic, False)
    dtype = get_aval(leaf).dtype
    if dtype.kind == "c" and not holomorphic:
        raise TypeError(
            f"{name} requires real-valued inputs (input dtype that is a sub-dtype of "
            f"np.floating), but got {dtype.name}. For holomorphic differentiation, "
            "pass holomorphic=True. For differentiation of non-holomorphic functions "
            "involving complex inputs, use jax.jvp directly."
        )


def _check_jac_output(name: str, leaf: Any, holomorphic: bool) -> None:
    dtype = get_aval(leaf).dtype
    if holomorphic and not dtypes.issubdtype(dtype, np.complexfloating):
        raise TypeError(
            f"{name} with holomorphic=True requires outputs with complex dtype, but "
            f"got {dtype.name}."
        )


def _basis(tree: Any) -> Any:
    """The standard basis of a pytree of arrays, stacked along a new leading axis."""
    leaves, treedef = tree_util.tree_flatten(tree)
    avals = [get_aval(x) for x in leaves]
    total = sum(a.size for a in avals)
    sizes = tuple(np.int64(a.size) for a in avals)
    eye = _identity(total, dtypes.result_type(*(a.dtype for a in avals)))
    blocks = primitive("split").bind(eye, sizes=sizes, axis=1)
    out = []
    for block, aval in zip(blocks, avals):
        if len(aval.shape) != 1:
            block = primitive("reshape").bind(
                block, new_sizes=(total, *aval.shape), dimensions=None, sharding=None
            )
        out.append(_convert(block, aval.dtype))
    return tree_util.tree_unflatten(treedef, out)


def _identity(n: int, dtype: Any) -> Any:
    iota = functools.partial(
        primitive("iota").bind, dtype=np.dtype(np.int32), shape=(n, n), sharding=None
    )
    rows, columns = iota(dimension=0), iota(dimension=1)
    rows = primitive("add").bind(rows, np.int32(0))
    return _convert(primitive("eq").bind(rows, columns), dtype)


def _convert(x: Any, dtype: Any) -> Any:
    return primitive("convert_element_type").bind(
        x, new_dtype=np.dtype(dtype), weak_type=False, sharding=None
    )


def _unravel(example: Any, x: Any, axis: int, like: Any) -> Any:
    """Split an axis of x by the leaves of `example` and give each part the leaf's shape.

    The parts get the dtype and weak type of `like`.
    """
    x = _cast_like(x, get_aval(like))
    leaves, treedef = tree_util.tree_flatten(example)
    shape = get_aval(x).shape
    axis %= len(shape)
    avals = [get_aval(leaf) for leaf in leaves]
    sizes = tuple(np.int64(a.size) for a in avals)
    parts = []
    for piece, aval in zip(primitive("split").bind(x, sizes=sizes, axis=axis), avals):
        new = (*shape[:axis], *aval.shape, *shape[axis + 1 :])
        if new != get_aval(piece).shape:
            piece = primitive("reshape").bind(piece, new_sizes=new, dimensions=None, sharding=None)
        parts.append(piece)
    return tree_util.tree_unflatten(treedef, parts)


def _cast_like(x: Any, like: Any) -> Any:
    aval = get_aval(x)
    if (aval.dtype, aval.weak_type) == (like.dtype, like.weak_type):
        return x
    if aval.dtype.kind == "c" and like.dtype.kind != "c":
        x = primitive("real").bind(x)
    return primitive("convert_element_type").bind(
        x, new_dtype=like.dtype, weak_type=like.weak_type, sharding=None
    )
