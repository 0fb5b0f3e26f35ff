"""`logsumexp`, which `nn` and `scipy` share. Stands on `numpy` and `lax`."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.numpy.promotion import check_arraylike, promote_dtypes_inexact, promote_shapes


def logsumexp(
    a: Any,
    axis: Any = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Any = None,
) -> Any:
    """log(sum(b * exp(a))) along axes, without overflow.

    Args:
      a: exponents.
      axis: an axis or axes; all by default.
      b: factors, broadcast with `a`.
      keepdims: leave the reduced axes in the result with size 1.
      return_sign: return `(log|sum|, sign)` instead of NaN for negative sums.
      where: which elements count.

    >>> import jaxc as jax
    >>> float(jax.scipy.special.logsumexp(jax.numpy.array([1000.0, 1000.0])))
    1000.6931762695312
    """
    check_arraylike("logsumexp", a, *([] if b is None else [b]))
    if where is not None:
        a = jnp.where(where, a, 0)
    if b is None:
        (a,) = promote_dtypes_inexact(jnp.asarray(a))
    else:
        a, b = promote_dtypes_inexact(jnp.asarray(a), jnp.asarray(b))
        a, b = promote_shapes("logsumexp", a, b)
        a = jnp.where(b != 0, a, -np.inf)
    axes = _axes(axis, a.ndim)
    largest = jnp.max(a.real, axis=axes, keepdims=keepdims, where=where, initial=-np.inf)
    finite = lax.select(jnp.isfinite(largest), largest, lax.full_like(largest, 0))
    largest = lax.stop_gradient(finite)
    spread = largest if keepdims else lax.expand_dims(largest, axes)
    terms = lax.exp(lax.sub(a, spread.astype(a.dtype)))
    total = (terms if b is None else lax.mul(terms, b)).sum(
        axis=axes, keepdims=keepdims, where=where
    )
    sign = lax.sign(total)
    is_complex = dtypes.issubdtype(a.dtype, np.complexfloating)
    if return_sign or not is_complex:
        total = abs(total)
    out = lax.add(lax.log(total), largest.astype(total.dtype))
    if return_sign:
        return out, sign
    if b is not None and not is_complex:
        return jnp.where(sign < 0, jnp.array(np.nan, dtype=out.dtype), out)
    return out


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Non-negative reduced axes, in order."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    for one in axes:
        if not -ndim <= one < ndim:
            raise ValueError(f"axis {one} is out of bounds for array of dimension {ndim}")
    return tuple(sorted({one % ndim for one in axes}))
