"""Reductions over axes: sums, products, extrema, bits, argmax and argmin, and `reduce`.

Owns the primitives of `opset/reduction.py`, their rules and the public functions.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.jaxpr import ClosedJaxpr, jaxpr_as_fun
from jaxc.core.primitive import primitive
from jaxc.core.trace import Tracer, get_aval, to_concrete_value
from jaxc.lax import binary
from jaxc.lax.binary import div, eq, mul
from jaxc.lax.elementwise import convert
from jaxc.lax.joining import concatenate, pad, slice_in_dim
from jaxc.lax.shape import broadcast, broadcast_in_dim, cast, const, reshape, shape_of, squeeze
from jaxc.transforms import ad, batching
from jaxc.transforms.jvp import jvp_flat
from jaxc.transforms.staging import trace_to_jaxpr
from jaxc.tree_util import tree_flatten, tree_unflatten
from jaxc_compiler.opset.reduction import highest, lowest

argmax_p = primitive("argmax")
argmin_p = primitive("argmin")
reduce_and_p = primitive("reduce_and")
reduce_max_p = primitive("reduce_max")
reduce_min_p = primitive("reduce_min")
reduce_or_p = primitive("reduce_or")
reduce_p = primitive("reduce")
reduce_prod_p = primitive("reduce_prod")
reduce_sum_p = primitive("reduce_sum")
reduce_xor_p = primitive("reduce_xor")


def _axes(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(map(operator.index, axes))


def reduce_sum(operand: Any, axes: Sequence[int], *, out_sharding: Any = None) -> Any:
    """The sum over the given axes.

    Args:
      operand: an array of numbers.
      axes: the axes to sum over, each in [0, ndim), none twice.
      out_sharding: accepted for compatibility.

    Returns:
      An array of the same dtype without those axes.

    Example:
      >>> from jaxc import lax
      >>> import jaxc.numpy as jnp
      >>> lax.reduce_sum(jnp.ones((2, 3)), (0,)).tolist()
      [2.0, 2.0, 2.0]
    """
    return reduce_sum_p.bind(operand, axes=_axes(axes), out_sharding=out_sharding)


def reduce_prod(operand: Any, axes: Sequence[int]) -> Any:
    """The product over the given axes."""
    return reduce_prod_p.bind(operand, axes=_axes(axes))


def reduce_max(operand: Any, axes: Sequence[int]) -> Any:
    """The maximum over the given axes; NaN if there is one, the lowest value if empty."""
    return reduce_max_p.bind(operand, axes=_axes(axes))


def reduce_min(operand: Any, axes: Sequence[int]) -> Any:
    """The minimum over the given axes; NaN if there is one, the highest value if empty."""
    return reduce_min_p.bind(operand, axes=_axes(axes))


def reduce_and(operand: Any, axes: Sequence[int]) -> Any:
    """Bits set in all elements along the given axes."""
    return reduce_and_p.bind(operand, axes=_axes(axes))


def reduce_or(operand: Any, axes: Sequence[int]) -> Any:
    """Bits set in any element along the given axes."""
    return reduce_or_p.bind(operand, axes=_axes(axes))


def reduce_xor(operand: Any, axes: Sequence[int]) -> Any:
    """Bits set in an odd number of elements along the given axes."""
    return reduce_xor_p.bind(operand, axes=_axes(axes))


def argmax(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the first maximum along an axis (of the first NaN if there is one)."""
    index_dtype = dtypes.check_user_dtype(index_dtype, "argmax")
    return argmax_p.bind(operand, axes=(axis,), index_dtype=index_dtype)


def argmin(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the first minimum along an axis (of the first NaN if there is one)."""
    index_dtype = dtypes.check_user_dtype(index_dtype, "argmin")
    return argmin_p.bind(operand, axes=(axis,), index_dtype=index_dtype)


# ---- reduce: any monoid --------------------------------------------------------------------------


def reduce(
    operands: Any,
    init_values: Any,
    computation: Callable[[Any, Any], Any],
    dimensions: Sequence[int],
    out_sharding: Any = None,
) -> Any:
    """Combines the elements along some dimensions with an associative function.

    Args:
      operands: a pytree of arrays of one shape.
      init_values: a pytree of the same structure of scalars: the function's neutral element.
      computation: a function of two such pytrees of scalars; the order of calls is not fixed.
      dimensions: the dimensions to combine.
      out_sharding: accepted for compatibility.

    Example:
      >>> from jaxc import lax
      >>> import jaxc.numpy as jnp
      >>> lax.reduce(jnp.arange(4.), 1., lambda x, y: x + y + x * y, (0,)).item()
      47.0
    """
    flat, tree = tree_flatten(operands)
    inits, init_tree = tree_flatten(init_values)
    if tree != init_tree:
        raise ValueError(
            f"reduce: operands and init_values differ in structure: {tree} and {init_tree}"
        )
    dimensions = _axes(dimensions)
    known = _known_monoid(computation, inits)
    if known is not None:
        weak_type = all(dtypes.is_weakly_typed(x) for x in (*flat, *inits))
        return convert(known(flat[0], dimensions), weak_type=weak_type)
    jaxpr, out_tree = _computation_jaxpr(computation, inits, init_tree)
    outs = reduce_p.bind(*flat, *inits, computation=computation, dimensions=dimensions, jaxpr=jaxpr)
    return tree_unflatten(out_tree, outs)


def _computation_jaxpr(computation: Any, inits: Sequence[Any], tree: Any) -> tuple[Any, Any]:
    out_trees = []

    def flat_computation(*args: Any) -> list[Any]:
        half = len(args) // 2
        result = computation(tree_unflatten(tree, args[:half]), tree_unflatten(tree, args[half:]))
        leaves, out_tree = tree_flatten(result)
        out_trees.append(out_tree)
        return leaves

    avals = [get_aval(x) for x in inits]
    closed = trace_to_jaxpr(flat_computation, [*avals, *avals])
    if any(isinstance(c, Tracer) for c in closed.consts):
        raise NotImplementedError("The computation of a reduce cannot close over traced values.")
    return closed, out_trees[0]


def _known_monoid(computation: Any, inits: Sequence[Any]) -> Any:
    """The reduction primitive's function for lax.add from 0 and its like."""
    if len(inits) != 1 or get_aval(inits[0]).shape:
        return None
    init = to_concrete_value(inits[0])
    if init is None:
        return None
    dtype = get_aval(inits[0]).dtype
    identities = {
        binary.add: (reduce_sum, lambda: np.array(0, dtype)),
        binary.mul: (reduce_prod, lambda: np.array(1, dtype)),
        binary.max: (reduce_max, lambda: lowest(dtype)),
        binary.min: (reduce_min, lambda: highest(dtype)),
    }
    if dtype == np.bool_ or dtypes.issubdtype(dtype, np.integer):
        identities |= {
            binary.bitwise_or: (reduce_or, lambda: np.array(0).astype(dtype)),
            binary.bitwise_xor: (reduce_xor, lambda: np.array(0).astype(dtype)),
            binary.bitwise_and: (reduce_and, lambda: np.array(-1).astype(dtype)),
        }
    try:
        function, identity = identities[computation]
    except (KeyError, TypeError):
        return None
    return function if bool(np.equal(np.asarray(init), identity())) else None


def _over_all_axes(fun: Callable[..., Any], ndim: int) -> Callable[..., Any]:
    """A function of scalars applied to every element of arrays of rank `ndim`."""
    for _ in range(ndim):
        fun = functools.partial(_batched, fun)
    return fun


def _batched(fun: Callable[..., Any], *args: Any) -> list[Any]:
    axis = batching.Axis(shape_of(args[0])[0])
    out_dims = [0] * (len(args) // 2)
    return batching.batch_flat(fun, axis, args, [0] * len(args), out_dims)


def _fold(
    combine: Callable[..., Any], xs: Sequence[Any], axes: tuple[int, ...], neutral: Any = None
) -> list[Any]:
    """Combine the halves of the reduced elements until one is left; there must be one at least.

    `combine` takes twice as many arrays as there are operands, with the reduced axis first. An odd
    element is combined with the neutral one if that is given, else it waits for the next round.
    """
    shape = shape_of(xs[0])
    kept = tuple(i for i in range(len(shape)) if i not in axes)
    size = int(np.prod([shape[i] for i in axes], dtype=np.int64))
    flat_shape = (size, *(shape[i] for i in kept))
    xs = [reshape(x, flat_shape, (*axes, *kept)) for x in xs]
    one_more = [(0, 1, 0)] + [(0, 0, 0)] * len(kept)
    while size > 1:
        half, odd = (size + 1) // 2, size % 2
        waits = int(odd and neutral is None)
        left = [slice_in_dim(x, 0, half - waits) for x in xs]
        rest = [slice_in_dim(x, half - waits, half) for x in xs] if waits else []
        right = [slice_in_dim(x, half, size) for x in xs]
        if odd and not waits:
            right = [pad(x, neutral, one_more) for x in right]
        xs, size = combine(*left, *right), half
        if waits:
            xs = [concatenate([x, r], 0) for x, r in zip(xs, rest)]
    return [squeeze(x, (0,)) for x in xs]


def _is_empty(shape: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    return any(shape[a] == 0 for a in axes)


def _reduce_values(jaxpr: ClosedJaxpr, xs: Any, inits: Any, dimensions: tuple[int, ...]) -> Any:
    shape = shape_of(xs[0])
    rest = tuple(d for i, d in enumerate(shape) if i not in dimensions)
    firsts = [broadcast(i, rest) for i in inits]
    if _is_empty(shape, dimensions):
        return firsts
    scalar = jaxpr_as_fun(jaxpr)
    outs = _fold(_over_all_axes(scalar, len(rest) + 1), xs, dimensions)
    return _over_all_axes(scalar, len(rest))(*firsts, *outs)


def _reduce_impl(*args: Any, computation: Any, dimensions: tuple[int, ...], jaxpr: Any) -> Any:
    half = len(args) // 2
    avals = reduce_p.abstract_eval(
        *map(get_aval, args), computation=None, dimensions=dimensions, jaxpr=None
    )
    outs = _reduce_values(jaxpr, args[:half], args[half:], dimensions)
    return [cast(o, a.dtype, a.weak_type) for o, a in zip(outs, avals)]


reduce_p.impl = _reduce_impl


# ---- rules ---------------------------------------------------------------------------------------


def _reduce_sum_transpose(ct: Any, x: Any, *, axes: tuple[int, ...], out_sharding: Any) -> Any:
    shape = x.aval.shape
    kept = tuple(i for i in range(len(shape)) if i not in axes)
    return [broadcast_in_dim(ct, shape, kept)]


ad.deflinear2(reduce_sum_p, _reduce_sum_transpose)


def _reduce_prod_jvp(primals: Any, tangents: Any, *, axes: tuple[int, ...]) -> Any:
    (x,), (t,) = primals, tangents
    if _is_empty(shape_of(x), axes):
        out = reduce_prod(x, axes)
        return out, ad.Zero.from_primal_value(out)
    # Products of the others, without dividing by a zero: differentiate a tree of products.
    one = const(x, 1)
    outs, dots = jvp_flat(lambda v: _fold(lambda a, b: [mul(a, b)], [v], axes, one), [x], [t])
    return outs[0], dots[0]


def _extremum_jvp(g: Any, ans: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    """The tangent of the extremum; of equal ones, their mean."""
    shape = tuple(1 if i in axes else d for i, d in enumerate(shape_of(x)))
    chosen = convert(eq(x, reshape(ans, shape)), get_aval(g).dtype)
    count = reduce_sum(chosen, axes)
    return div(reduce_sum(mul(g, chosen), axes), count)


def _reduce_jvp(
    primals: Any, tangents: Any, *, computation: Any, dimensions: tuple[int, ...], jaxpr: Any
) -> Any:
    half = len(primals) // 2
    if any(type(t) is not ad.Zero for t in tangents[half:]):
        raise NotImplementedError(
            "reduce is not differentiable with respect to its initial values: they must be the "
            "computation's neutral element."
        )
    inits = primals[half:]
    return jvp_flat(
        lambda *xs: _reduce_values(jaxpr, xs, inits, dimensions), primals[:half], tangents[:half]
    )


def _reduce_batch(
    args: Any, dims: Any, *, computation: Any, dimensions: tuple[int, ...], jaxpr: Any
) -> Any:
    half = len(args) // 2
    if any(d is not None for d in dims[half:]):
        raise NotImplementedError("vmap of reduce with a batch of initial values")
    size = next(shape_of(x)[d] for x, d in zip(args, dims) if d is not None)
    xs = [batching.bdim_at_front(x, d, size) for x, d in zip(args[:half], dims)]
    shifted = tuple(d + 1 for d in dimensions)
    outs = reduce_p.bind(
        *xs, *args[half:], computation=computation, dimensions=shifted, jaxpr=jaxpr
    )
    return outs, [0] * half


ad.primitive_jvps[reduce_prod_p] = _reduce_prod_jvp
ad.defjvp2(reduce_max_p, _extremum_jvp)
ad.defjvp2(reduce_min_p, _extremum_jvp)
ad.primitive_jvps[reduce_p] = _reduce_jvp
batching.primitive_batchers[reduce_p] = _reduce_batch
for _prim in (argmax_p, argmin_p, reduce_and_p, reduce_or_p, reduce_xor_p):
    ad.defjvp_zero(_prim)
for _prim in (
    argmax_p, argmin_p, reduce_and_p, reduce_max_p, reduce_min_p, reduce_or_p, reduce_prod_p,
    reduce_sum_p, reduce_xor_p,
):  # fmt: skip
    batching.defreducer(_prim)
