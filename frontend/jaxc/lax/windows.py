"""Reductions over sliding windows: reduce_window, and the rules that pooling needs.

Owns the rules of the ops in `opset/windows.py`. Must not import jaxc.numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core.jaxpr import ClosedJaxpr, jaxpr_as_fun
from jaxc.core.primitive import Primitive, primitive
from jaxc.core.trace import get_aval, to_concrete_value
from jaxc.lax.binary import add
from jaxc.lax.binary import max as maximum
from jaxc.lax.binary import min as minimum
from jaxc.lax.convolution import padtype_to_pads
from jaxc.lax.joining import pad
from jaxc.lax.joining import slice as slice_array
from jaxc.lax.shape import const, shape_of
from jaxc.transforms import ad, batching
from jaxc.transforms import partial_eval as pe
from jaxc.transforms.calls import jvp_jaxpr
from jaxc_compiler.opset.convolution import dilate, window_count
from jaxc_compiler.opset.reduction import highest, lowest

reduce_window_p = primitive("reduce_window")
reduce_window_max_p = primitive("reduce_window_max")
reduce_window_min_p = primitive("reduce_window_min")
reduce_window_sum_p = primitive("reduce_window_sum")
select_and_gather_add_p = primitive("select_and_gather_add")
select_and_scatter_add_p = primitive("select_and_scatter_add")


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Callable[..., Any],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """The elements of each window folded by a function, starting from `init_value`.

    Args:
      operand: an array, or a pytree of arrays of one shape that are folded together.
      init_value: a scalar for each array; also the value of the padding.
      computation: (accumulator, element) -> accumulator, on scalars (trees as `operand`).
      window_dimensions: the window's size.
      window_strides: distance of neighbouring windows, 1 by default.
      padding: "VALID", "SAME", "SAME_LOWER" or (low, high) pairs.
      base_dilation, window_dilation: distance of neighbours in the operand and in the window.

    Raises:
      ValueError: if the trees differ.
      TypeError: if shapes or dtypes do not fit.
    """
    operands, tree = tree_util.tree_flatten(operand)
    inits, init_tree = tree_util.tree_flatten(init_value)
    if tree != init_tree:
        raise ValueError(
            f"Operands must have the same tree structure as init_values: {tree} vs. {init_tree}"
        )
    if not operands:
        raise ValueError("reduce_window must have at least one operand.")
    ones = (1,) * len(window_dimensions)
    strides = ones if window_strides is None else tuple(window_strides)
    base = ones if base_dilation is None else tuple(base_dilation)
    dilation = ones if window_dilation is None else tuple(window_dilation)
    if isinstance(padding, str):
        extents = [dilate(w, d) for w, d in zip(window_dimensions, dilation)]
        padding = padtype_to_pads(shape_of(operands[0]), extents, strides, padding)
    params = {
        "window_dimensions": tuple(window_dimensions),
        "window_strides": strides,
        "padding": tuple((low, high) for low, high in padding),
        "base_dilation": base,
        "window_dilation": dilation,
    }
    monoid = _monoid(computation, inits)
    if monoid is not None:
        return tree_util.tree_unflatten(tree, [monoid.bind(operands[0], **params)])
    closed = _computation_jaxpr(computation, inits, tree)
    outs = reduce_window_p.bind(
        *operands, *inits, jaxpr=closed.jaxpr, consts=tuple(closed.consts), **params
    )
    return tree_util.tree_unflatten(tree, outs)


def _monoid(computation: Any, inits: Sequence[Any]) -> Primitive | None:
    """The primitive for sums, maxima and minima that start from their identity."""
    value = to_concrete_value(inits[0]) if len(inits) == 1 else None
    aval = get_aval(inits[0])
    if value is None or aval.shape:
        return None
    for function, identity, prim in (
        (add, lambda _: 0, reduce_window_sum_p),
        (maximum, lowest, reduce_window_max_p),
        (minimum, highest, reduce_window_min_p),
    ):
        if computation is function:
            return prim if np.asarray(value) == identity(aval.dtype) else None
    return None


def _computation_jaxpr(computation: Any, inits: Sequence[Any], tree: Any) -> ClosedJaxpr:
    avals = [get_aval(x).strip_weak_type() for x in inits] * 2

    def flat(*args: Any) -> list[Any]:
        left = tree_util.tree_unflatten(tree, args[: len(inits)])
        right = tree_util.tree_unflatten(tree, args[len(inits) :])
        outs, out_tree = tree_util.tree_flatten(computation(left, right))
        if out_tree != tree:
            raise ValueError(
                "reduce_window output must have the same tree structure as the operands: "
                f"{tree} vs. {out_tree}"
            )
        return outs

    return pe.trace_to_jaxpr(flat, avals)


def reduce_window_shape_tuple(
    operand_shape,
    window_dimensions,
    window_strides,
    padding,
    base_dilation=None,
    window_dilation=None,
) -> tuple[int, ...]:
    """The shape of a windowed reduction."""
    if base_dilation is not None:
        operand_shape = list(map(dilate, operand_shape, base_dilation))
    if window_dilation is not None:
        window_dimensions = list(map(dilate, window_dimensions, window_dilation))
    padded = [size + low + high for size, (low, high) in zip(operand_shape, padding)]
    return tuple(map(window_count, padded, window_dimensions, window_strides))


# ---- rules ------------------------------------------------------------------------------------


def _insert(params: dict[str, Any], dim: int) -> dict[str, Any]:
    """The parameters for operands with one more dimension, which windows do not span."""
    grown = dict(params)
    for name, value in params.items():
        if name == "padding":
            grown[name] = (*value[:dim], (0, 0), *value[dim:])
        elif isinstance(value, tuple) and name != "consts":
            grown[name] = (*value[:dim], 1, *value[dim:])
    return grown


def _window_batch(prim: Primitive) -> Callable[..., Any]:
    def rule(args, dims, **params):
        return prim.bind(*args, **_insert(params, dims[0])), dims[0]

    return rule


def _front_batch(prim: Primitive) -> Callable[..., Any]:
    """For several operands: all batch dimensions are put first."""

    def rule(args, dims, **params):
        size = next(shape_of(x)[d] for x, d in zip(args, dims) if d is not None)
        full = [batching.bdim_at_front(x, d, size) for x, d in zip(args, dims)]
        return prim.bind(*full, **_insert(params, 0)), 0

    return rule


def _sum_transpose(
    ct, operand, *, base_dilation, padding, window_dilation, window_dimensions, window_strides
):
    shape, config = operand.aval.shape, []
    for axis, count in enumerate(shape_of(ct)):
        window = dilate(window_dimensions[axis], window_dilation[axis])
        size = dilate(shape[axis], base_dilation[axis])
        low = window - padding[axis][0] - 1
        high = size + window - 1 - dilate(count, window_strides[axis]) - low
        config.append((low, high, window_strides[axis] - 1))
    out = reduce_window_sum_p.bind(
        pad(ct, const(ct, 0), config),
        window_dimensions=window_dimensions,
        window_strides=base_dilation,
        padding=((0, 0),) * len(shape),
        base_dilation=(1,) * len(shape),
        window_dilation=window_dilation,
    )
    return [out]


def _chooser_jvp(select_prim: str) -> Callable[..., Any]:
    def rule(g, operand, **params):
        return select_and_gather_add_p.bind(g, operand, select_prim=select_prim, **params)

    return rule


def _first_operand_jvp(prim: Primitive) -> Callable[..., Any]:
    """Linear in the first operand; the second one only chooses, so its tangent does not count."""

    def jvp(primals, tangents, **params):
        out = prim.bind(*primals, **params)
        if type(tangents[0]) is ad.Zero:
            return out, ad.Zero.from_primal_value(out)
        return out, prim.bind(tangents[0], primals[1], **params)

    return jvp


def _gather_add_transpose(
    ct, tangents, operand, *, base_dilation, window_dilation, select_prim, **params
):
    if any(step != 1 for step in window_dilation):
        raise NotImplementedError(
            "VJP not implemented for select_and_gather (MaxPool) with window dilation, got "
            f"{window_dilation=}."
        )
    if type(ct) is ad.Zero:
        return [ad.Zero(tangents.aval), None]
    dilated = any(step != 1 for step in base_dilation)
    if dilated:
        identity = lowest if select_prim == "ge" else highest
        dtype = get_aval(operand).dtype
        config = [(0, 0, step - 1) for step in base_dilation]
        operand = pad(operand, np.asarray(identity(dtype), dtype), config)
    out = select_and_scatter_add_p.bind(ct, operand, select_prim=select_prim, **params)
    if dilated:
        shape = shape_of(out)
        out = slice_array(out, (0,) * len(shape), shape, base_dilation)
    return [out, None]


def _scatter_add_transpose(ct, source, operand, **params):
    if type(ct) is ad.Zero:
        return [ad.Zero(source.aval), None]
    ones = (1,) * len(params["window_dimensions"])
    out = select_and_gather_add_p.bind(
        ct, operand, base_dilation=ones, window_dilation=ones, **params
    )
    return [out, None]


def _reduce_window_jvp(primals, tangents, *, jaxpr, consts, **params):
    """Folds (primal, tangent) pairs by the derivative of the function."""
    count = len(primals) // 2
    if any(type(t) is not ad.Zero for t in tangents[count:]):
        raise TypeError("reduce_window jvp does not support non-zero init_value_tangent.")
    closed, _ = jvp_jaxpr(ClosedJaxpr(jaxpr, consts), [True] * 2 * count, [True] * count)
    function = jaxpr_as_fun(closed)
    full = list(map(ad.instantiate_zeros, tangents))

    def both(*args):
        left, right = args[: 2 * count], args[2 * count :]
        return function(*left[:count], *right[:count], *left[count:], *right[count:])

    inits = [*primals[count:], *full[count:]]
    avals = [get_aval(x).strip_weak_type() for x in inits] * 2
    folded = pe.trace_to_jaxpr(both, avals)
    outs = reduce_window_p.bind(
        *primals[:count],
        *full[:count],
        *inits,
        jaxpr=folded.jaxpr,
        consts=tuple(folded.consts),
        **params,
    )
    return outs[:count], outs[count:]


def _reduce_window_batch(args, dims, **params):
    count = len(args) // 2
    if any(d is not None for d in dims[count:]):
        raise NotImplementedError("reduce_window batching is not implemented for initial values")
    size = next(shape_of(x)[d] for x, d in zip(args, dims) if d is not None)
    full = [batching.bdim_at_front(x, d, size) for x, d in zip(args[:count], dims)]
    outs = reduce_window_p.bind(*full, *args[count:], **_insert(params, 0))
    return outs, [0] * len(outs)


ad.deflinear2(reduce_window_sum_p, _sum_transpose)
ad.defjvp(reduce_window_max_p, _chooser_jvp("ge"))
ad.defjvp(reduce_window_min_p, _chooser_jvp("le"))
ad.primitive_jvps[reduce_window_p] = _reduce_window_jvp
ad.primitive_jvps[select_and_gather_add_p] = _first_operand_jvp(select_and_gather_add_p)
ad.primitive_jvps[select_and_scatter_add_p] = _first_operand_jvp(select_and_scatter_add_p)
ad.primitive_transposes[select_and_gather_add_p] = _gather_add_transpose
ad.primitive_transposes[select_and_scatter_add_p] = _scatter_add_transpose
for _prim in (reduce_window_sum_p, reduce_window_max_p, reduce_window_min_p):
    batching.primitive_batchers[_prim] = _window_batch(_prim)
for _prim in (select_and_gather_add_p, select_and_scatter_add_p):
    batching.primitive_batchers[_prim] = _front_batch(_prim)
batching.primitive_batchers[reduce_window_p] = _reduce_window_batch
