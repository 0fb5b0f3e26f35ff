"""Collectives over named axes: `psum`, `pmean`, `all_gather`, `axis_index` and kin.

A vmap (or pmap) that binds the axis turns them into reductions and shape operations over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core import trace
from jaxc.core.primitive import primitive
from jaxc.core.trace import Tracer, get_aval
from jaxc.transforms import ad, batching

psum_p = primitive("psum")
pmax_p = primitive("pmax")
pmin_p = primitive("pmin")
all_gather_p = primitive("all_gather")
ppermute_p = primitive("ppermute")
axis_index_p = primitive("axis_index")


def _names(axis_name: Any) -> tuple[Any, ...]:
    names = tuple(axis_name) if isinstance(axis_name, tuple | list) else (axis_name,)
    for name in names:
        if not isinstance(name, int):
            trace.axis_size(name)  # raises NameError if it is not bound
    return names


def _reduce(prim: Any, x: Any, axis_name: Any, groups: Any) -> Any:
    names = _names(axis_name)
    if groups is not None:
        raise NotImplementedError(f"{prim}: axis_index_groups is not supported by vmap")
    return tree_util.tree_map(lambda leaf: prim.bind(leaf, axes=names, axis_index_groups=None), x)


def psum(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """Sum over a named axis; a constant is multiplied by the axis's size.

    Args:
      x: pytree of arrays.
      axis_name: name, or tuple of names, of the axes an enclosing vmap or pmap maps.

    Raises:
      NameError: for an axis that is not bound.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> from jaxc import lax
      >>> jax.vmap(lambda x: x / lax.psum(x, "i"), axis_name="i")(jnp.arange(4.0))
      Array([0.        , 0.16666667, 0.33333334, 0.5       ], dtype=float32)
    """
    names = _names(axis_name)
    if axis_index_groups is None and all(not isinstance(n, int) for n in names):
        size = trace.axis_size(names)
        leaves, tree = tree_util.tree_flatten(x)
        if leaves and all(not isinstance(leaf, Tracer) for leaf in leaves):
            return tree_util.tree_unflatten(tree, [_times(leaf, size) for leaf in leaves])
    return _reduce(psum_p, x, axis_name, axis_index_groups)


def _times(leaf: Any, size: int) -> Any:
    if type(leaf) in (int, float, complex):
        return leaf * size
    if type(leaf) is bool:
        return int(leaf) * size
    return primitive("mul").bind(leaf, np.asarray(size, get_aval(leaf).dtype)[()])


def pmean(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """Mean over a named axis."""
    total = psum(x, axis_name, axis_index_groups=axis_index_groups)
    size = trace.axis_size(axis_name)

    def divide(leaf: Any) -> Any:
        if not hasattr(leaf, "aval"):
            return leaf / size
        dtype = leaf.aval.dtype
        if np.dtype(dtype).kind in "iub":
            leaf = primitive("convert_element_type").bind(
                leaf, new_dtype=np.dtype(np.float32), weak_type=False, sharding=None
            )
            dtype = np.float32
        return primitive("div").bind(leaf, np.asarray(size, dtype)[()])

    return tree_util.tree_map(divide, total)


def pmax(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """Maximum over a named axis."""
    return _reduce(pmax_p, x, axis_name, axis_index_groups)


def pmin(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """Minimum over a named axis."""
    return _reduce(pmin_p, x, axis_name, axis_index_groups)


def all_gather(
    x: Any, axis_name: Any, *, axis_index_groups: Any = None, axis: int = 0, tiled: bool = False
) -> Any:
    """The values of all members of a named axis, stacked (or concatenated if `tiled`)."""
    (name,) = _names(axis_name)
    size = trace.axis_size(name)
    return tree_util.tree_map(
        lambda leaf: all_gather_p.bind(
            leaf,
            all_gather_dimension=axis % (get_aval(leaf).ndim + (not tiled)),
            axis_name=(name,),
            axis_index_groups=axis_index_groups,
            axis_size=size,
            tiled=tiled,
        ),
        x,
    )


def ppermute(x: Any, axis_name: Any, perm: Sequence[tuple[int, int]]) -> Any:
    """Send values along a named axis by `(source, destination)` pairs; others receive zeros."""
    (name,) = _names(axis_name)
    perm = tuple((int(a), int(b)) for a, b in perm)
    return tree_util.tree_map(lambda leaf: ppermute_p.bind(leaf, axis_name=(name,), perm=perm), x)


def axis_index(axis_name: Any) -> Any:
    """This member's index along a named axis: int32 scalar."""
    (name,) = _names(axis_name)
    return axis_index_p.bind(axis_name=name)


def axis_size(axis_name: Any) -> int:
    """Size of a named axis.

    Raises:
      NameError: for an axis that is not bound.
    """
    return trace.axis_size(axis_name)


# ---- rules --------------------------------------------------------------------------------------


def _batch_reduction(prim: Any, reducer: str) -> None:
    def rule(axis: Any, args: Any, dims: Any, *, axes: Any, axis_index_groups: Any) -> Any:
        (x,), (dim,) = args, dims
        if axis.name is None or axis.name not in axes:
            if dim is None:
                return prim.bind(x, axes=axes, axis_index_groups=axis_index_groups), None
            return prim.bind(x, axes=axes, axis_index_groups=axis_index_groups), dim
        rest = tuple(a for a in axes if a != axis.name)
        if dim is None:
            out = _times(x, axis.size) if prim is psum_p else x
        else:
            out = primitive(reducer).bind(x, axes=(dim,), **_extra(reducer))
        if rest:
            out = prim.bind(out, axes=rest, axis_index_groups=axis_index_groups)
        return out, None

    batching.axis_primitive_batchers[prim] = rule


def _extra(reducer: str) -> dict[str, Any]:
    params = primitive(reducer).op.params
    return {"out_sharding": None} if "out_sharding" in params else {}


_batch_reduction(psum_p, "reduce_sum")
_batch_reduction(pmax_p, "reduce_max")
_batch_reduction(pmin_p, "reduce_min")


def _batch_all_gather(axis: Any, args: Any, dims: Any, **params: Any) -> Any:
    (x,), (dim,) = args, dims
    at = params["all_gather_dimension"]
    if axis.name not in params["axis_name"]:
        if dim is None:
            return all_gather_p.bind(x, **params), None
        shift = params | {"all_gather_dimension": at + (dim <= at)}
        return all_gather_p.bind(x, **shift), dim + (dim > at and not params["tiled"])
    x = batching.bdim_at_front(x, dim, axis.size)
    out = batching.moveaxis(x, 0, at)
    if params["tiled"]:
        shape = get_aval(out).shape
        merged = (*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :])
        out = primitive("reshape").bind(out, new_sizes=merged, dimensions=None, sharding=None)
    return out, None


batching.axis_primitive_batchers[all_gather_p] = _batch_all_gather


def _batch_ppermute(axis: Any, args: Any, dims: Any, *, axis_name: Any, perm: Any) -> Any:
    (x,), (dim,) = args, dims
    if axis.name not in axis_name:
        return ppermute_p.bind(x, axis_name=axis_name, perm=perm), dim
    x = batching.bdim_at_front(x, dim, axis.size)
    source = np.full(axis.size, axis.size, np.int32)  # out of range: zeros
    for a, b in perm:
        source[b] = a
    padded = primitive("pad").bind(
        x,
        np.zeros((), get_aval(x).dtype)[()],
        padding_config=((0, 1, 0), *((0, 0, 0),) * (get_aval(x).ndim - 1)),
    )
    rows = [
        primitive("slice").bind(
            padded,
            start_indices=(int(i), *(0,) * (get_aval(x).ndim - 1)),
            limit_indices=(int(i) + 1, *get_aval(x).shape[1:]),
            strides=None,
        )
        for i in source
    ]
    return primitive("concatenate").bind(*rows, dimension=0), 0


batching.axis_primitive_batchers[ppermute_p] = _batch_ppermute


def _batch_axis_index(axis: Any, args: Any, dims: Any, *, axis_name: Any) -> Any:
    if axis.name != axis_name:
        return axis_index_p.bind(axis_name=axis_name), None
    out = primitive("iota").bind(
        dtype=np.dtype(np.int32), shape=(axis.size,), dimension=0, sharding=None
    )
    return out, 0


batching.axis_primitive_batchers[axis_index_p] = _batch_axis_index

ad.deflinear2(
    psum_p,
    lambda ct, x, *, axes, axis_index_groups: [
        psum_p.bind(ct, axes=axes, axis_index_groups=axis_index_groups)
    ],
)
ad.deflinear2(
    ppermute_p,
    lambda ct, x, *, axis_name, perm: [
        ppermute_p.bind(ct, axis_name=axis_name, perm=tuple((b, a) for a, b in perm))
    ],
)


def _all_gather_transpose(
    ct: Any,
    x: Any,
    *,
    all_gather_dimension: int,
    axis_name: Any,
    axis_size: int,
    tiled: bool,
    axis_index_groups: Any,
) -> list[Any]:
    total = psum_p.bind(ct, axes=axis_name, axis_index_groups=None)
    index = axis_index_p.bind(axis_name=axis_name[0])
    shape = list(get_aval(total).shape)
    width = shape[all_gather_dimension] // axis_size
    shape[all_gather_dimension] = width
    starts = [np.int32(0)] * len(shape)
    starts[all_gather_dimension] = primitive("mul").bind(index, np.int32(width))
    out = primitive("dynamic_slice").bind(total, *starts, slice_sizes=tuple(shape))
    if not tiled:
        out = primitive("squeeze").bind(out, dimensions=(all_gather_dimension,))
    return [out]


ad.deflinear2(all_gather_p, _all_gather_transpose)
ad.defjvp_zero(axis_index_p)
ad.primitive_jvps[pmax_p] = ad.Missing("Differentiation rule for 'pmax' not implemented")
ad.primitive_jvps[pmin_p] = ad.Missing("Differentiation rule for 'pmin' not implemented")
