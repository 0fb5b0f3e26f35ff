"""Contractions: dot_general, dot, batch_matmul.

Owns the rules of dot_general and the reading of `precision` arguments. Must not import jaxc.numpy.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.config import config
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.lax.shape import cast, shape_of, transpose
from jaxc.transforms import ad, batching
from jaxc_compiler.opset.params import DotAlgorithm, DotAlgorithmPreset, Precision

dot_general_p = primitive("dot_general")


def canonicalize_precision(precision: Any) -> Any:
    """A `precision` argument as one Precision per operand, an algorithm, or None for the default.

    Raises:
      ValueError: for anything that is no precision.
    """
    if precision is None:
        default = config.jax_default_matmul_precision
        return None if default is None else canonicalize_precision(default)
    if isinstance(precision, Precision):
        return (precision, precision)
    if isinstance(precision, DotAlgorithm | DotAlgorithmPreset):
        return precision
    if isinstance(precision, str):
        found = _named_precision(precision)
        if found is not None:
            return (found, found)
        if precision in DotAlgorithmPreset.__members__:
            return DotAlgorithmPreset[precision]
    if isinstance(precision, tuple | list) and len(precision) == 2:
        if all(isinstance(p, Precision) for p in precision):
            return tuple(precision)
        named = [_named_precision(p) for p in precision if isinstance(p, str)]
        if len(named) == 2 and None not in named:
            return tuple(named)
    raise ValueError(
        "Precision argument must be None, a lax.Precision, the name of one, or a tuple of two of "
        f"these; but got {precision}."
    )


def _named_precision(name: str) -> Precision | None:
    try:
        return Precision(name)
    except ValueError:
        return None


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Sums of products over contracting dimensions, for each index of batch dimensions.

    Args:
      lhs, rhs: arrays.
      dimension_numbers: ((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch)).
      precision: a hint for hardware with fast low-precision products; the CPU is always exact.
      preferred_element_type: dtype to accumulate in and to return.
      out_sharding: accepted for compatibility.

    Returns:
      An array whose dimensions are the batch ones, the rest of lhs, the rest of rhs.

    Example:
      >>> from jaxc import lax
      >>> import jaxc.numpy as jnp
      >>> x = jnp.ones((2, 3))
      >>> lax.dot_general(x, x, (((1,), (1,)), ((), ()))).tolist()
      [[3.0, 3.0], [3.0, 3.0]]
    """
    return dot(
        lhs,
        rhs,
        dimension_numbers=dimension_numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )


def dot(
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The product of two vectors or matrices, or `dot_general` if dimension_numbers are given.

    Raises:
      ValueError: if no dimension_numbers are given and the shapes do not fit a matrix product.
    """
    lhs_shape, rhs_shape = shape_of(lhs), shape_of(rhs)
    if dimension_numbers is None:
        ranks_fit = len(lhs_shape) in (1, 2) and len(rhs_shape) in (1, 2)
        if not ranks_fit or lhs_shape[-1] != rhs_shape[0]:
            raise ValueError(
                "jax.lax.dot: dimension_numbers must be specified unless both operands are vectors "
                f"or matrices that can be multiplied; got {lhs_shape=} {rhs_shape=}"
            )
        dimension_numbers = (((len(lhs_shape) - 1,), (0,)), ((), ()))
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    if preferred_element_type is not None:
        preferred_element_type = dtypes.check_user_dtype(preferred_element_type, "dot")
    return dot_general_p.bind(
        lhs,
        rhs,
        dimension_numbers=(
            (_dims(lhs_contract), _dims(rhs_contract)),
            (_dims(lhs_batch), _dims(rhs_batch)),
        ),
        precision=canonicalize_precision(precision),
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )


def _dims(dims: Any) -> tuple[int, ...]:
    if hasattr(dims, "__index__") and not hasattr(dims, "__len__"):
        return (operator.index(dims),)
    return tuple(map(operator.index, dims))


def batch_matmul(lhs: Any, rhs: Any, precision: Any = None) -> Any:
    """Matrix products over the last two dimensions; the leading ones must be equal."""
    ndim, rhs_ndim = len(shape_of(lhs)), len(shape_of(rhs))
    if min(ndim, rhs_ndim) < 2:
        raise ValueError(f"Arguments to batch_matmul must be at least 2D, got {ndim}, {rhs_ndim}")
    if ndim != rhs_ndim:
        raise ValueError(f"Arguments to batch_matmul must have same ndim, got {ndim}, {rhs_ndim}")
    batch = tuple(range(ndim - 2))
    return dot_general(lhs, rhs, (((ndim - 1,), (ndim - 2,)), (batch, batch)), precision=precision)


# ---- rules -------------------------------------------------------------------------------------


def _rest(ndim: int, *used: tuple[int, ...]) -> list[int]:
    return [d for d in range(ndim) if not any(d in dims for dims in used)]


def _transpose_operand(ct, x, y, *, dimension_numbers, swapped, **params):
    """The cotangent of x, where `y` is the other operand and the right one unless `swapped`."""
    (x_contract, y_contract), (x_batch, y_batch) = dimension_numbers
    x_kept = _rest(x.aval.ndim, x_contract, x_batch)
    y_kept = _rest(len(shape_of(y)), y_contract, y_batch)
    batch = len(x_batch)
    first = batch if swapped else batch + len(x_kept)
    ct_batch, ct_y = tuple(range(batch)), tuple(range(first, first + len(y_kept)))
    out = dot_general(ct, y, ((ct_y, y_kept), (ct_batch, y_batch)), **params)
    by_y = [x_contract[i] for i in np.argsort(y_contract)]
    out = transpose(out, np.argsort([*x_batch, *x_kept, *by_y]))
    if get_aval(out).dtype != x.aval.dtype:
        out = cast(out, x.aval.dtype, x.aval.weak_type)
    return out


def _transpose_lhs(ct, x, y, *, dimension_numbers, **params):
    return _transpose_operand(
        ct, x, y, dimension_numbers=dimension_numbers, swapped=False, **params
    )


def _transpose_rhs(ct, x, y, *, dimension_numbers, **params):
    (x_contract, y_contract), (x_batch, y_batch) = dimension_numbers
    numbers = ((y_contract, x_contract), (y_batch, x_batch))
    return _transpose_operand(ct, y, x, dimension_numbers=numbers, swapped=True, **params)


def _shift(dims: tuple[int, ...], at: int) -> tuple[int, ...]:
    return tuple(d + (d >= at) for d in dims)


def _dot_general_batch(args, dims, *, dimension_numbers, **params):
    (lhs, rhs), (l_dim, r_dim) = args, dims
    (l_contract, r_contract), (l_batch, r_batch) = dimension_numbers
    l_ndim, r_ndim = len(shape_of(lhs)), len(shape_of(rhs))
    if l_dim is not None and r_dim is not None:
        l_batch, r_batch = (l_dim, *_shift(l_batch, l_dim)), (r_dim, *_shift(r_batch, r_dim))
        l_contract, r_contract = _shift(l_contract, l_dim), _shift(r_contract, r_dim)
        out_dim = 0
    elif l_dim is not None:
        # the mapped dimension is one more that is kept, in its place among the others
        l_batch, l_contract = _shift(l_batch, l_dim), _shift(l_contract, l_dim)
        out_dim = len(l_batch) + _rest(l_ndim, l_batch, l_contract).index(l_dim)
    else:
        r_batch, r_contract = _shift(r_batch, r_dim), _shift(r_contract, r_dim)
        out_dim = l_ndim - len(l_contract) + _rest(r_ndim, r_batch, r_contract).index(r_dim)
    numbers = ((l_contract, r_contract), (l_batch, r_batch))
    return dot_general(lhs, rhs, numbers, **params), out_dim


ad.defbilinear(dot_general_p, _transpose_lhs, _transpose_rhs)
batching.primitive_batchers[dot_general_p] = _dot_general_batch
