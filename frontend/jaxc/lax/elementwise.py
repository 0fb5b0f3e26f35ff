"""Casts, bitcasts, select, clamp and the optimization barrier.

Owns the primitives of `opset/elementwise.py`, their rules and the public functions.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.jaxpr import is_literalable
from jaxc.core.primitive import primitive
from jaxc.core.trace import Tracer, eval_context, get_aval
from jaxc.lax.binary import bitwise_and, eq, gt, lt
from jaxc.lax.shape import broadcast, broadcast_in_dim, cast, const, full_like, shape_of
from jaxc.transforms import ad, batching
from jaxc.transforms.staging import staging_rules
from jaxc.tree_util import tree_flatten, tree_unflatten
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray, float0

bitcast_convert_type_p = primitive("bitcast_convert_type")
clamp_p = primitive("clamp")
convert_element_type_p = primitive("convert_element_type")
optimization_barrier_p = primitive("optimization_barrier")
select_n_p = primitive("select_n")


def convert_element_type(operand: Any, new_dtype: Any) -> Any:
    """The elements cast to another dtype.

    Floats become integers by truncation, saturating at the limits; NaN becomes 0.

    Args:
      operand: an array or scalar.
      new_dtype: a dtype or the name of one; 64-bit ones become 32-bit unless x64 is enabled.

    Returns:
      An array of that dtype; `operand` itself if it has it already.

    Example:
      >>> from jaxc import lax
      >>> lax.convert_element_type(3.7, "int32")
      Array(3, dtype=int32)
    """
    return convert(operand, dtypes.check_user_dtype(new_dtype, "convert_element_type"))


def convert(
    operand: Any, new_dtype: Any = None, weak_type: bool = False, sharding: Any = None
) -> Any:
    """convert_element_type that also sets the weak type; None keeps the dtype."""
    if hasattr(operand, "__jax_array__"):
        operand = operand.__jax_array__()
    aval = getattr(operand, "aval", None)
    if aval is None:
        aval = ShapedArray((), np.int32) if type(operand) is int else get_aval(operand)
        old = get_aval(0).dtype if type(operand) is int else aval.dtype
    else:
        old = aval.dtype
    new_dtype = old if new_dtype is None else new_dtype
    if isinstance(old, KeyDtype) or isinstance(new_dtype, KeyDtype):
        if old == new_dtype:
            return operand
        raise ValueError(f"Cannot convert_element_type from {old} to {new_dtype}")
    if old.kind == "c" and new_dtype.kind != "c" and new_dtype != np.bool_:
        warnings.warn(
            "Casting complex values to real discards the imaginary part",
            np.exceptions.ComplexWarning,
            stacklevel=3,
        )
    if type(operand) is int:  # one that overflows int32 may still fit the new dtype
        operand = np.asarray(operand).astype(new_dtype)
    return cast(operand, new_dtype, bool(weak_type))


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Any:
    """The bits of the elements read as another dtype.

    A narrower dtype adds a last dimension that holds the parts of each element; a wider one takes
    the last dimension away.
    """
    new_dtype = dtypes.check_user_dtype(new_dtype, "bitcast_convert_type")
    return bitcast_convert_type_p.bind(operand, new_dtype=new_dtype)


def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """Elements of `on_true` where `pred`, of `on_false` elsewhere.

    Args:
      pred: bools, a scalar or of the shape of the cases.
      on_true, on_false: arrays of one shape and dtype.
    """
    return select_n_p.bind(pred, on_false, on_true)


def select_n(which: Any, *cases: Any) -> Any:
    """For each element, that of the case whose number (or False, True) `which` holds.

    Raises:
      ValueError: if there are no cases.
      TypeError: if shapes or dtypes of the cases differ.
    """
    if not cases:
        raise ValueError("select_n() must have at least one case")
    return select_n_p.bind(which, *cases)


def clamp(min: Any, x: Any, max: Any) -> Any:
    """x limited to [min, max]; the bounds are scalars or of the shape of x."""
    return clamp_p.bind(min, x, max)


def optimization_barrier(operand: Any, /) -> Any:
    """The pytree unchanged; compilers do not move or merge operations across it."""
    leaves, treedef = tree_flatten(operand)
    return tree_unflatten(treedef, optimization_barrier_p.bind(*leaves))


# ---- convert_element_type ------------------------------------------------------------------------


def _convert_jvp(
    g: Any, ans: Any, x: Any, *, new_dtype: Any, weak_type: bool, sharding: Any
) -> Any:
    if ad.tangent_dtype(new_dtype) == float0:
        return ad.Zero.from_primal_value(ans)
    return convert_element_type_p.bind(
        g, new_dtype=new_dtype, weak_type=weak_type, sharding=sharding
    )


def _convert_transpose(ct: Any, x: Any, *, new_dtype: Any, weak_type: bool, sharding: Any) -> Any:
    aval = x.aval
    if type(ct) is ad.Zero:
        return [ad.Zero(aval)]
    if ad.tangent_dtype(aval.dtype) == float0:
        return [ad.Zero(ShapedArray(aval.shape, float0))]
    return [
        convert_element_type_p.bind(
            ct, new_dtype=aval.dtype, weak_type=aval.weak_type, sharding=None
        )
    ]


def _convert_staging(trace: Any, args: Any, params: Any) -> Any:
    """Casts of literals are done at once, and casts to the same type leave no equation."""
    (x,) = args
    aval = get_aval(x)
    if aval.dtype == params["new_dtype"] and aval.weak_type == params["weak_type"]:
        return x
    if isinstance(x, Tracer) or not is_literalable(x):
        return trace.record(convert_element_type_p, args, params)
    with eval_context():
        return convert_element_type_p.bind(x, **params)


staging_rules[convert_element_type_p] = _convert_staging
ad.defjvp2(convert_element_type_p, _convert_jvp)
ad.primitive_transposes[convert_element_type_p] = _convert_transpose
batching.defvectorized(convert_element_type_p)


def _bitcast_batch(args: Any, dims: Any, *, new_dtype: Any) -> Any:
    (x,), (dim,) = args, dims
    if get_aval(x).dtype.itemsize != new_dtype.itemsize:
        # The dimension that appears or vanishes is the last: the batch axis must not be.
        x, dim = batching.moveaxis(x, dim, 0), 0
    return bitcast_convert_type_p.bind(x, new_dtype=new_dtype), dim


ad.defjvp_zero(bitcast_convert_type_p)
batching.primitive_batchers[bitcast_convert_type_p] = _bitcast_batch


# ---- select_n ------------------------------------------------------------------------------------


def _select_jvp(primals: Any, tangents: Any) -> Any:
    which, *cases = primals
    tangents = tangents[1:]
    out = select_n(which, *cases)
    known = [t for t in tangents if type(t) is not ad.Zero]
    if not known:
        return out, ad.Zero.from_primal_value(out)
    zeros = full_like(known[0], 0)
    return out, select_n(which, *[zeros if type(t) is ad.Zero else t for t in tangents])


def _select_transpose(ct: Any, which: Any, *cases: Any) -> Any:
    wanted = [ad.is_undefined_primal(c) for c in cases]
    if type(ct) is ad.Zero:
        return [None, *[ad.Zero(c.aval) if w else None for c, w in zip(cases, wanted)]]
    zeros = full_like(ct, 0)
    is_bool = get_aval(which).dtype == np.bool_

    def part(i: int) -> Any:
        if not is_bool:
            return select(eq(which, const(which, i)), ct, zeros)
        return select(which, zeros, ct) if i == 0 else select(which, ct, zeros)

    return [None, *[part(i) if w else None for i, w in enumerate(wanted)]]


def _select_batch(args: Any, dims: Any) -> Any:
    which, *cases = args
    which_dim, *case_dims = dims
    size = next(shape_of(x)[d] for x, d in zip(args, dims) if d is not None)
    mapped = {d for d in dims if d is not None}
    agree = len(mapped) == 1 and (None not in case_dims)
    dim = mapped.pop() if agree else 0  # else the batch axis is moved to the front
    if shape_of(which) or which_dim is not None:
        same_rank = len(shape_of(which)) - (which_dim is not None) == _rank(cases[0], case_dims[0])
        if which_dim is None or same_rank:
            which = batching.bdim_at(which, which_dim, size, dim)
    cases = [batching.bdim_at(c, d, size, dim) for c, d in zip(cases, case_dims)]
    target = shape_of(cases[0])
    if shape_of(which) and len(shape_of(which)) < len(target):  # one scalar `which` an example
        which = broadcast_in_dim(which, target, (dim,))
    return select_n_p.bind(which, *cases), dim


def _rank(x: Any, dim: int | None) -> int:
    return len(shape_of(x)) - (dim is not None)


ad.primitive_jvps[select_n_p] = _select_jvp
ad.primitive_transposes[select_n_p] = _select_transpose
batching.primitive_batchers[select_n_p] = _select_batch


# ---- clamp ---------------------------------------------------------------------------------------


def _masked(mask: Any, g: Any, like: Any) -> Any:
    g = g if shape_of(g) == shape_of(like) else broadcast(g, shape_of(like))
    return select(mask, g, full_like(like, 0))


ad.defjvp(
    clamp_p,
    lambda g, lo, x, hi: _masked(bitwise_and(gt(lo, x), lt(lo, hi)), g, x),
    lambda g, lo, x, hi: _masked(bitwise_and(gt(x, lo), lt(x, hi)), g, x),
    lambda g, lo, x, hi: _masked(lt(hi, x), g, x),
)


def _clamp_batch(args: Any, dims: Any) -> Any:
    lo, x, hi = args
    lo_dim, x_dim, hi_dim = dims
    scalar_bounds = lo_dim is None and hi_dim is None and not shape_of(lo) and not shape_of(hi)
    if x_dim is not None and scalar_bounds:
        return clamp_p.bind(lo, x, hi), x_dim
    size = next(shape_of(a)[d] for a, d in zip(args, dims) if d is not None)
    x = batching.bdim_at_front(x, x_dim, size)
    bounds = []
    for bound, dim in ((lo, lo_dim), (hi, hi_dim)):
        if shape_of(bound):
            bound = batching.bdim_at_front(bound, dim, size)
        if len(shape_of(bound)) < len(shape_of(x)):
            bound = broadcast_in_dim(bound, shape_of(x), (0,) if shape_of(bound) else ())
        bounds.append(bound)
    return clamp_p.bind(bounds[0], x, bounds[1]), 0


batching.primitive_batchers[clamp_p] = _clamp_batch


# ---- optimization_barrier ------------------------------------------------------------------------


def _barrier_jvp(primals: Any, tangents: Any) -> Any:
    tangents = [ad.instantiate_zeros(t) for t in tangents]
    return optimization_barrier_p.bind(*primals), optimization_barrier_p.bind(*tangents)


def _barrier_transpose(cts: Any, *primals: Any) -> Any:
    return optimization_barrier_p.bind(*[ad.instantiate_zeros(ct) for ct in cts])


ad.primitive_jvps[optimization_barrier_p] = _barrier_jvp
ad.primitive_transposes[optimization_barrier_p] = _barrier_transpose
batching.primitive_batchers[optimization_barrier_p] = lambda args, dims: (
    optimization_barrier_p.bind(*args),
    dims,
)
