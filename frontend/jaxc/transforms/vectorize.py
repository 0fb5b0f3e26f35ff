"""`vmap` and `pmap` as users call them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core.array import Array, as_array
from jaxc.core.trace import Tracer, get_aval
from jaxc.transforms import batching
from jaxc.transforms.arguments import (
    Fun,
    check_callable,
    concrete_leaf,
    wraps,
)
from jaxc.transforms.jit import jit, valid_leaf_aval


def vmap(
    fun: Fun,
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
    sum_match: bool = False,
) -> Fun:
    """Map a function over array axes, vectorized.

    Args:
      fun: the function.
      in_axes: for each argument (a pytree prefix of the arguments) the axis to map over, or None.
      out_axes: where the mapped axis is put in the results.
      axis_name: a name for the axis, for collectives such as `lax.psum`.
      axis_size: its size, if no argument is mapped.

    Raises:
      ValueError: for in_axes that do not fit the arguments, or axes of unequal sizes.
      TypeError: for in_axes of a wrong type.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.vmap(lambda x, y: x * y, in_axes=(0, None))(jnp.arange(3), 2)
      Array([0, 2, 4], dtype=int32)
    """
    check_callable(fun)
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if not (in_axes is None or type(in_axes) in {int, tuple} or isinstance(in_axes, tuple | dict)):
        raise TypeError(
            "vmap in_axes must be an int, None, or a tuple of entries corresponding to "
            f"the positional arguments passed to the function, but got {in_axes}."
        )
    for leaf in tree_util.tree_leaves(in_axes):
        if not isinstance(leaf, int | np.integer):
            raise TypeError(
                "vmap in_axes must be an int, None, or (nested) container with those "
                f"types as leaves, but got {in_axes}."
            )
    for leaf in tree_util.tree_leaves(out_axes):
        if not isinstance(leaf, int | np.integer):
            raise TypeError(
                "vmap out_axes must be an int, None, or (nested) container with those "
                f"types as leaves, but got {out_axes}."
            )

    @wraps(fun)
    def vmapped(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ValueError(
                "vmap in_axes must be an int, None, or a tuple of entries "
                "corresponding to the positional arguments passed to the function, "
                f"but got len(in_axes)={len(in_axes)}, len(args)={len(args)}"
            )
        flat, in_tree = tree_util.tree_flatten((args, kwargs))
        dims = _flatten_axes("vmap in_axes", in_axes, args) + [0] * len(
            tree_util.tree_leaves(kwargs)
        )
        flat = [concrete_leaf(x) for x in flat]
        size = _mapped_size(fun, flat, dims, axis_size)
        dims = [d if d is None else d % get_aval(x).ndim for d, x in zip(dims, flat)]
        found: list[Any] = []

        def flat_fun(*xs: Any) -> list[Any]:
            a, k = tree_util.tree_unflatten(in_tree, xs)
            result = fun(*a, **k)
            leaves, out_tree = tree_util.tree_flatten(result)
            found[:] = [out_tree, result]
            for leaf in leaves:
                valid_leaf_aval(leaf, "vmap output")
            return [x if isinstance(x, Tracer | Array) else as_array(x) for x in leaves]

        outs = batching.batch_flat(
            flat_fun,
            batching.Axis(size, axis_name),
            flat,
            dims,
            lambda: _flatten_axes("vmap out_axes", out_axes, found[1]),
        )
        return tree_util.tree_unflatten(found[0], outs)

    return vmapped


def _flatten_axes(what: str, axes: Any, tree: Any) -> list[int | None]:
    try:
        dims = tree_util.broadcast_prefix(axes, tree, is_leaf=lambda x: x is None)
    except ValueError as err:
        raise ValueError(
            f"{what} specification must be a tree prefix of the corresponding value, "
            f"got specification {axes} for value tree "
            f"{tree_util.tree_structure(tree)}."
        ) from err
    leaves = tree_util.tree_leaves(tree, is_leaf=lambda x: x is None)
    if len(dims) != len(leaves):
        return dims
    return [d for d, leaf in zip(dims, leaves) if leaf is not None]  # a None holds no array


def _mapped_size(fun: Fun, flat: Sequence[Any], dims: Sequence[Any], size: int | None) -> int:
    sizes = []
    for x, d in zip(flat, dims):
        if d is None:
            continue
        shape = get_aval(x).shape
        if not -len(shape) <= d < len(shape):
            raise ValueError(
                f"vmap was requested to map its argument along axis {d}, which implies that its "
                f"rank should be at least {d + 1 if d >= 0 else -d}, but is only {len(shape)} (its "
                f"shape is {shape})"
            )
        sizes.append(shape[d])
    if size is not None:
        sizes.insert(0, size)
    if not sizes:
        raise ValueError("vmap must have at least one non-None value in in_axes")
    if any(s != sizes[0] for s in sizes):
        lines = [
            f"  * axis {d} of an argument of type {get_aval(x).str_short()}"
            for x, d in zip(flat, dims)
            if d is not None
        ]
        raise ValueError(
            "vmap got inconsistent sizes for array axes to be mapped:\n" + "\n".join(lines)
        )
    return sizes[0]


def pmap(
    fun: Fun,
    axis_name: Any = None,
    *,
    in_axes: Any = 0,
    out_axes: Any = 0,
    static_broadcasted_argnums: Any = (),
    devices: Any = None,
    backend: Any = None,
    axis_size: int | None = None,
    donate_argnums: Any = (),
    global_arg_shapes: Any = None,
) -> Fun:
    """Map a function over devices: here over one device, so the mapped axes have size 1.

    Raises:
      ValueError: if a mapped axis is larger than the number of devices.
    """
    from jaxc.core.devices import local_device_count

    statics = (
        (static_broadcasted_argnums,)
        if isinstance(static_broadcasted_argnums, int)
        else tuple(static_broadcasted_argnums)
    )
    name = object() if axis_name is None else axis_name

    @functools.partial(jit, static_argnums=statics or None)
    @wraps(fun)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        axes = in_axes
        if statics:
            full = list(in_axes) if isinstance(in_axes, tuple) else [in_axes] * len(args)
            static_args = {i: args[i] for i in statics}
            dynamic = [a for i, a in enumerate(args) if i not in statics]
            axes = tuple(x for i, x in enumerate(full) if i not in statics)

            def f(*dyn: Any, **kw: Any) -> Any:
                it = iter(dyn)
                merged = [
                    static_args[i] if i in static_args else next(it) for i in range(len(args))
                ]
                return fun(*merged, **kw)

            return vmap(f, axes, out_axes, name, axis_size)(*dynamic, **kwargs)
        return vmap(fun, axes, out_axes, name, axis_size)(*args, **kwargs)

    @wraps(fun)
    def call(*args: Any, **kwargs: Any) -> Any:
        count = local_device_count()
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
        for i, (arg, ax) in enumerate(zip(args, axes)):
            if i in statics or ax is None or isinstance(ax, tuple | dict | list):
                continue
            for leaf in tree_util.tree_leaves(arg):
                shape = get_aval(leaf).shape
                if len(shape) > ax >= -len(shape) and shape[ax] > count:
                    raise ValueError(
                        f"compiling computation that requires {shape[ax]} logical "
                        f"devices, but only {count} XLA devices are available"
                    )
        return mapped(*args, **kwargs)

    call.lower = mapped.lower  # type: ignore[attr-defined]
    return call
