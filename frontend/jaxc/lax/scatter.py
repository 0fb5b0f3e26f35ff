"""Scatters: scatter, scatter_add, _sub, _mul, _min, _max and scatter_apply.

Owns their rules and public functions. Each bound scatter carries the jaxpr of how an old and a new
element combine, as JAX prints it. Must not import jaxc.numpy.
"""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc.core.primitive import Primitive, primitive
from jaxc.core.trace import Tracer, get_aval
from jaxc.lax.indexing import (
    dynamic_update_slice_p,
    gather,
    gather_p,
    index_vectors,
    shift_numbers,
)
from jaxc.lax.shape import full, full_like, iota, reshape, shape_of, zeros_like
from jaxc.transforms import ad, batching
from jaxc.transforms import partial_eval as pe
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.params import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
)
from jaxc_compiler.opset.scatter import window_sizes

scatter_p = primitive("scatter")
scatter_add_p = primitive("scatter-add")
scatter_max_p = primitive("scatter-max")
scatter_min_p = primitive("scatter-min")
scatter_mul_p = primitive("scatter-mul")
scatter_sub_p = primitive("scatter-sub")


# ---- the combining jaxprs ----------------------------------------------------------------------


@functools.lru_cache(256)
def combining_jaxpr(name: str, dtype: Any) -> Any:
    """The jaxpr of a binary primitive on scalars; the same object for the same arguments."""
    aval = ShapedArray((), dtype)
    op = primitive(name)
    return pe.trace_to_jaxpr(lambda x, y: [op.bind(x, y)], [aval, aval]).jaxpr


_applied: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _applying_jaxpr(function: Callable[..., Any], dtype: Any) -> tuple[Any, tuple[Any, ...]]:
    """The jaxpr of (old, unused) -> function(old), traced once per function and dtype."""
    try:
        known = _applied.setdefault(function, {})
    except TypeError:
        known = {}
    if dtype not in known:
        aval = ShapedArray((), dtype)
        closed = pe.trace_to_jaxpr(lambda x, _: [function(x)], [aval, aval])
        if any(isinstance(c, Tracer) for c in closed.consts):
            raise NotImplementedError("scatter_apply: the function must not close over tracers.")
        known[dtype] = (closed.jaxpr, tuple(closed.consts))
    return known[dtype]


# ---- public functions --------------------------------------------------------------------------


def _scatter_function(prim: Primitive, combine: str, verb: str) -> Callable[..., Any]:
    def function(
        operand: Any,
        scatter_indices: Any,
        updates: Any,
        dimension_numbers: ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
    ) -> Any:
        return prim.bind(
            operand,
            scatter_indices,
            updates,
            update_jaxpr=combining_jaxpr(combine, get_aval(operand).dtype),
            update_consts=(),
            dimension_numbers=dimension_numbers,
            indices_are_sorted=indices_are_sorted,
            unique_indices=unique_indices,
            mode=GatherScatterMode.from_any(mode),
        )

    function.__name__ = function.__qualname__ = prim.name.replace("-", "_")
    function.__doc__ = f"`operand` with updates {verb} the windows at many places; see `scatter`."
    return function


scatter_add = _scatter_function(scatter_add_p, "add", "added to")
scatter_sub = _scatter_function(scatter_sub_p, "sub", "subtracted from")
scatter_mul = _scatter_function(scatter_mul_p, "mul", "multiplied into")
scatter_min = _scatter_function(scatter_min_p, "min", "combined by minimum with")
scatter_max = _scatter_function(scatter_max_p, "max", "combined by maximum with")


def scatter(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
) -> Any:
    """`operand` with the windows at many places replaced by updates.

    Args:
      operand: array.
      scatter_indices: integers; the last dimension holds index vectors.
      updates: the windows, of the operand's dtype.
      dimension_numbers: what each dimension means.
      indices_are_sorted, unique_indices: promises about the indices. The derivative of repeated
        writes is that of the one that won.
      mode: what to do with windows out of bounds: "drop" them (default) or "clip" their place.

    Raises:
      TypeError: if shapes, dtypes or dimension numbers do not fit.
      ValueError: if the indices are not integers or the mode is unknown.
    """
    return scatter_p.bind(
        operand,
        scatter_indices,
        updates,
        update_jaxpr=None,
        update_consts=(),
        dimension_numbers=dimension_numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=GatherScatterMode.from_any(mode),
    )


def scatter_apply(
    operand: Any,
    scatter_indices: Any,
    func: Callable[[Any], Any],
    dimension_numbers: ScatterDimensionNumbers,
    *,
    update_shape: Sequence[int] = (),
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
) -> Any:
    """`operand` with a function of scalars applied to the elements at many places.

    A place that is named twice has the function applied twice.
    """
    dtype = get_aval(operand).dtype
    jaxpr, consts = _applying_jaxpr(func, dtype)
    return scatter_p.bind(
        operand,
        scatter_indices,
        full(update_shape, 0, dtype),
        update_jaxpr=jaxpr,
        update_consts=consts,
        dimension_numbers=dimension_numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=GatherScatterMode.from_any(mode),
    )


# ---- what the rules share ----------------------------------------------------------------------


def _inverse(numbers: ScatterDimensionNumbers, ndim: int, updates_shape: Any) -> tuple[Any, Any]:
    """The numbers and slice sizes of the gather that reads the windows a scatter writes."""
    return GatherDimensionNumbers(*numbers), window_sizes(ndim, numbers, updates_shape)


def _operand_avals(operand: Any, updates: Any) -> tuple[Any, Any]:
    return tuple(x.aval if ad.is_undefined_primal(x) else get_aval(x) for x in (operand, updates))


def _select(mask: Any, on_true: Any, on_false: Any) -> Any:
    return primitive("select_n").bind(mask, on_false, on_true)


def _zero_cotangents(operand: Any, updates: Any) -> list[Any]:
    return [
        ad.Zero(operand.aval) if ad.is_undefined_primal(operand) else None,
        None,
        ad.Zero(updates.aval) if ad.is_undefined_primal(updates) else None,
    ]


# ---- derivatives: add and sub are linear, mul is bilinear --------------------------------------


def _linear_jvp(prim: Primitive) -> Callable[..., Any]:
    def jvp(primals, tangents, **params):
        _, indices, _ = primals
        out = prim.bind(*primals, **params)
        if type(tangents[0]) is ad.Zero and type(tangents[2]) is ad.Zero:
            return out, ad.Zero.from_primal_value(out)
        operand, updates = map(ad.instantiate_zeros, (tangents[0], tangents[2]))
        return out, prim.bind(operand, indices, updates, **params)

    return jvp


def _linear_transpose(negate: bool) -> Callable[..., Any]:
    def transpose(ct, operand, indices, updates, *, dimension_numbers, mode, **unused):
        if type(ct) is ad.Zero:
            return _zero_cotangents(operand, updates)
        ct_updates = None
        if ad.is_undefined_primal(updates):
            shape = updates.aval.shape
            numbers, sizes = _inverse(dimension_numbers, len(shape_of(ct)), shape)
            ct_updates = gather(ct, indices, numbers, sizes, mode=mode, fill_value=0)
            if negate:
                ct_updates = primitive("neg").bind(ct_updates)
        return [ct if ad.is_undefined_primal(operand) else None, None, ct_updates]

    return transpose


_NEEDS_UNIQUE = "scatter_mul gradients are only implemented if `unique_indices=True`"


def _mul_jvp_updates(g, operand, indices, updates, *, unique_indices, update_jaxpr, **params):
    if not unique_indices:
        raise NotImplementedError(_NEEDS_UNIQUE)
    del params["update_consts"]
    numbers = params.pop("dimension_numbers")
    added = scatter_add(
        zeros_like(operand), indices, g, numbers, unique_indices=unique_indices, **params
    )
    return primitive("mul").bind(operand, added)


def _mul_transpose(ct, operand, indices, updates, *, dimension_numbers, mode, **params):
    if type(ct) is ad.Zero:
        return _zero_cotangents(operand, updates)
    ct_operand = ct_updates = None
    if ad.is_undefined_primal(operand):
        ct_operand = scatter_mul_p.bind(
            ct, indices, updates, dimension_numbers=dimension_numbers, mode=mode, **params
        )
    if ad.is_undefined_primal(updates):
        if not params["unique_indices"]:
            raise NotImplementedError(_NEEDS_UNIQUE)
        numbers, sizes = _inverse(dimension_numbers, len(shape_of(ct)), updates.aval.shape)
        product = primitive("mul").bind(ct, operand)
        ct_updates = gather(product, indices, numbers, sizes, mode=mode, fill_value=0)
    return [ct_operand, None, ct_updates]


# ---- derivative of min and max: tangents of values that tie are averaged -----------------------


def _extremum_jvp(prim: Primitive) -> Callable[..., Any]:
    def jvp(primals, tangents, **params):
        operand, indices, updates = primals
        out = prim.bind(*primals, **params)
        if type(tangents[0]) is ad.Zero and type(tangents[2]) is ad.Zero:
            return out, ad.Zero.from_primal_value(out)
        g_operand, g_updates = map(ad.instantiate_zeros, (tangents[0], tangents[2]))
        numbers = params["dimension_numbers"]
        inverse, sizes = _inverse(numbers, len(shape_of(operand)), shape_of(updates))

        def read(x):
            return gather(x, indices, inverse, sizes)

        def count(values):
            return read(scatter_add(zeros_like(operand), indices, values, numbers))

        add, sub, mul, div, eq = (primitive(n).bind for n in ("add", "sub", "mul", "div", "eq"))
        ones, zeros = full_like(updates, 1), zeros_like(updates)
        target = read(out)
        won, kept = eq(updates, target), eq(read(operand), target)
        winners = count(_select(won, ones, zeros))
        share = _select(kept, div(ones, add(winners, ones)), div(ones, winners))
        update_weight = _select(won, share, zeros)
        kept_weight = _select(kept, div(ones, add(winners, ones)), zeros)
        operand_weight = div(sub(kept_weight, ones), count(ones))
        change = add(mul(read(g_operand), operand_weight), mul(g_updates, update_weight))
        return out, scatter_add(
            g_operand,
            indices,
            change,
            numbers,
            indices_are_sorted=params["indices_are_sorted"],
            unique_indices=params["unique_indices"],
            mode=params["mode"],
        )

    return jvp


# ---- derivative of scatter: that of the write that won -----------------------------------------


def _scatter_jvp(primals, tangents, *, update_jaxpr, update_consts, **params):
    if update_jaxpr is not None:
        raise NotImplementedError("scatter_apply JVP not implemented")
    operand, indices, updates = primals
    combine = {"update_jaxpr": None, "update_consts": ()}
    if type(tangents[0]) is ad.Zero and type(tangents[2]) is ad.Zero:
        out = scatter_p.bind(*primals, **combine, **params)
        return out, ad.Zero.from_primal_value(out)
    g_operand, g_updates = map(ad.instantiate_zeros, (tangents[0], tangents[2]))
    if params["unique_indices"]:
        out = scatter_p.bind(*primals, **combine, **params)
        return out, scatter_p.bind(g_operand, indices, g_updates, **combine, **params)
    numbers = params.pop("dimension_numbers")
    untouched, won = _winners(operand, indices, updates, numbers, params)

    def write(old, new):
        old = _select(untouched, old, zeros_like(old))
        new = _select(won, new, zeros_like(new))
        return scatter_add(old, indices, new, numbers, **params)

    return write(operand, updates), write(g_operand, g_updates)


def _winners(operand, indices, updates, numbers, params) -> tuple[Any, Any]:
    """Which operand elements no update reaches, and which update elements stay in the result.

    Every window writes its own number; reading the numbers back tells whose write came last.
    """
    shape = shape_of(updates)
    ids_shape = [1 if d in numbers.update_window_dims else s for d, s in enumerate(shape)]
    count = math.prod(ids_shape)
    dtype = np.dtype(np.uint32 if count < 2**32 - 1 else np.uint64)
    ids = reshape(iota(dtype, count), ids_shape)
    if tuple(ids_shape) != shape:
        dims = tuple(range(len(shape)))
        ids = primitive("broadcast_in_dim").bind(
            ids, shape=shape, broadcast_dimensions=dims, sharding=None
        )
    ids = primitive("add").bind(ids, full(shape, 1, dtype))
    written = scatter(full(shape_of(operand), 0, dtype), indices, ids, numbers, **params)
    inverse, sizes = _inverse(numbers, len(shape_of(operand)), shape)
    read = gather(written, indices, inverse, sizes)
    eq = primitive("eq").bind
    return eq(written, full(shape_of(written), 0, dtype)), eq(ids, read)


def _scatter_transpose(
    ct, operand, indices, updates, *, dimension_numbers, mode, unique_indices, **params
):
    if not unique_indices:
        raise NotImplementedError("scatter transpose is only implemented where unique_indices=True")
    if type(ct) is ad.Zero:
        return _zero_cotangents(operand, updates)
    _, updates_aval = _operand_avals(operand, updates)
    ct_operand = ct_updates = None
    if ad.is_undefined_primal(operand):
        ct_operand = scatter(
            ct,
            indices,
            full(updates_aval.shape, 0, get_aval(ct).dtype),
            dimension_numbers,
            indices_are_sorted=params["indices_are_sorted"],
            unique_indices=True,
            mode=mode,
        )
    if ad.is_undefined_primal(updates):
        numbers, sizes = _inverse(dimension_numbers, len(shape_of(ct)), updates_aval.shape)
        ct_updates = gather(ct, indices, numbers, sizes, mode=mode, fill_value=0)
    return [ct_operand, None, ct_updates]


# ---- batching ----------------------------------------------------------------------------------


def scatter_batch(
    prim: Primitive, args: Any, dims: Any, *, dimension_numbers, **params: Any
) -> Any:
    """Scatter into each operand of a batch; an operand or updates that have no batch get one."""
    (operand, indices, updates), (operand_dim, indices_dim, updates_dim) = args, dims
    if operand_dim is None and indices_dim is None and updates_dim is None:
        return prim.bind(*args, dimension_numbers=dimension_numbers, **params), None
    size = next(shape_of(x)[d] for x, d in zip(args, dims) if d is not None)
    operand = batching.bdim_at_front(operand, operand_dim, size)
    updates = batching.bdim_at_front(updates, updates_dim, size)
    if indices_dim is None:
        numbers = shift_numbers(
            dimension_numbers, update_window_dims=(0,), scatter_indices_batching_dims=None
        )
    else:
        indices = batching.bdim_at_front(indices, indices_dim, size)
        numbers = shift_numbers(
            dimension_numbers, operand_batching_dims=(0,), scatter_indices_batching_dims=(0,)
        )
    return prim.bind(operand, indices, updates, dimension_numbers=numbers, **params), 0


# ---- rules of reads that are scatters -----------------------------------------------------------


def _gather_transpose(
    ct, operand, indices, *, dimension_numbers, slice_sizes, fill_value, **params
):
    if type(ct) is ad.Zero:
        return [ad.Zero(operand.aval), None]
    zeros = full(operand.aval.shape, 0, get_aval(ct).dtype)
    numbers = ScatterDimensionNumbers(*dimension_numbers)
    return [scatter_add(zeros, indices, ct, numbers, **params), None]


def _dynamic_update_slice_batch(args, dims):
    operand, update, *starts = args
    axes = tuple(range(len(starts)))
    indices, indices_dim = index_vectors(starts, dims[2:])
    return scatter_batch(
        scatter_p,
        (operand, indices, update),
        (dims[0], indices_dim, dims[1]),
        dimension_numbers=ScatterDimensionNumbers(axes, (), axes),
        indices_are_sorted=True,
        unique_indices=True,
        mode=GatherScatterMode.CLIP,
        update_jaxpr=None,
        update_consts=(),
    )


for _prim in (scatter_add_p, scatter_sub_p):
    ad.primitive_jvps[_prim] = _linear_jvp(_prim)
    ad.primitive_transposes[_prim] = _linear_transpose(negate=_prim is scatter_sub_p)
for _prim in (scatter_min_p, scatter_max_p):
    ad.primitive_jvps[_prim] = _extremum_jvp(_prim)
ad.defjvp(
    scatter_mul_p,
    lambda g, operand, indices, updates, **params: scatter_mul_p.bind(
        g, indices, updates, **params
    ),
    None,
    _mul_jvp_updates,
)
ad.primitive_transposes[scatter_mul_p] = _mul_transpose
ad.primitive_jvps[scatter_p] = _scatter_jvp
ad.primitive_transposes[scatter_p] = _scatter_transpose
for _prim in (
    scatter_p, scatter_add_p, scatter_sub_p, scatter_mul_p, scatter_min_p, scatter_max_p,
):  # fmt: skip
    batching.primitive_batchers[_prim] = functools.partial(scatter_batch, _prim)
ad.primitive_transposes[gather_p] = _gather_transpose
batching.primitive_batchers[dynamic_update_slice_p] = _dynamic_update_slice_batch
