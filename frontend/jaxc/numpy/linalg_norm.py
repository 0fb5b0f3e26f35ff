"""Norms of vectors and matrices.

Composed of reductions. Must not import sorting or indexing at load.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.numpy.arithmetic import power
from jaxc.numpy.elementwise import absolute
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    canonicalize_axis,
    check_arraylike,
    convert,
    promote_dtypes_inexact,
)
from jaxc.numpy.reductions import max as largest
from jaxc.numpy.reductions import min as smallest
from jaxc.numpy.reductions import sum


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Norm of vectors (one axis) or matrices (two axes); Frobenius if `ord` is None.

    Example:
      >>> import jaxc.numpy as jnp
      >>> jnp.linalg.norm(jnp.array([3.0, 4.0]))
      Array(5., dtype=float32)
    """
    check_arraylike("jnp.linalg.norm", x)
    axis = tuple(axis) if isinstance(axis, list) else axis
    return _norm(x, ord=ord, axis=axis, keepdims=keepdims)


@nested_jit(name="norm", static_argnames=("ord", "axis", "keepdims"))
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    (x,) = promote_dtypes_inexact(x)
    x = array_of(x)
    rank = x.ndim
    if axis is None:
        if ord is None:
            return lax.sqrt(sum(_squares(x), keepdims=keepdims))
        axes = tuple(range(rank))
    elif isinstance(axis, tuple):
        axes = tuple(canonicalize_axis(i, rank) for i in axis)
    else:
        axes = (canonicalize_axis(operator.index(axis), rank),)
    if len(axes) == 1:
        return _vector(x, 2 if ord is None else ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix(x, axes, ord, keepdims)
    raise ValueError(
        f"Improper number of axes for norm: axis={axes}. Pass one axis to compute a vector-norm, "
        "or two axes to compute a matrix-norm."
    )


def _squares(x: Any) -> Any:
    if dtypes.issubdtype(x.dtype, np.complexfloating):
        return lax.real(lax.mul(x, lax.conj(x)))
    return lax.mul(x, x)


def _vector(x: Any, ord: Any, axes: Any, keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise ValueError(f"Invalid order '{ord}' for vector norm.")
    if ord == 2:
        return lax.sqrt(sum(_squares(x), axis=axes, keepdims=keepdims))
    if ord == np.inf:
        return largest(absolute(x), axis=axes, keepdims=keepdims, initial=0)
    if ord == -np.inf:
        return smallest(absolute(x), axis=axes, keepdims=keepdims)
    size = absolute(x)
    if ord == 0:
        nonzero = lax.ne(x, convert(0, x.dtype))
        counts = lax.convert_element_type(nonzero, dtypes.default_dtype(int))
        return sum(lax.convert_element_type(counts, size.dtype), axis=axes, keepdims=keepdims)
    if ord == 1:
        return sum(size, axis=axes, keepdims=keepdims)
    exponent = convert(float(ord), size.dtype)
    total = sum(power(size, exponent), axis=axes, keepdims=keepdims)
    return power(total, convert(1.0 / float(ord), size.dtype))


def _matrix(x: Any, axes: tuple[int, int], ord: Any, keepdims: bool) -> Any:
    row, column = axes
    if ord is None or ord in ("f", "fro"):
        return lax.sqrt(sum(_squares(x), axis=axes, keepdims=keepdims))
    if ord in (1, -1, np.inf, -np.inf):
        inner, outer = (row, column) if ord in (1, -1) else (column, row)
        if not keepdims and outer > inner:
            outer -= 1
        totals = sum(absolute(x), axis=inner, keepdims=keepdims)
        if ord > 0:
            return largest(totals, axis=outer, keepdims=keepdims, initial=0)
        return smallest(totals, axis=outer, keepdims=keepdims)
    if ord in ("nuc", 2, -2):
        from jaxc.numpy.manipulation import expand_dims, moveaxis

        values = lax.linalg.svd(moveaxis(x, axes, (-2, -1)), compute_uv=False)
        if ord == "nuc":
            out = sum(values, axis=-1)
        else:
            out = largest(values, axis=-1, initial=0) if ord == 2 else smallest(values, axis=-1)
        return expand_dims(out, tuple(sorted(axes))) if keepdims else out
    raise ValueError(f"Invalid order '{ord}' for matrix norm.")


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """Norm over all the given axes as one vector."""
    check_arraylike("jnp.linalg.vector_norm", x)
    (x,) = promote_dtypes_inexact(x)
    x = array_of(x)
    axes = tuple(range(x.ndim)) if axis is None else axis
    axes = axes if isinstance(axes, tuple) else (axes,)
    axes = tuple(canonicalize_axis(i, x.ndim) for i in axes)
    return _vector(x, 2 if ord is None else ord, axes, keepdims)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """Norm of the matrices in the last two axes."""
    check_arraylike("jnp.linalg.matrix_norm", x)
    return norm(x, ord=ord, keepdims=keepdims, axis=(-2, -1))
