"""Random vectors and matrices that need linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import promote_dtypes_inexact
from jaxc.random.arguments import canonicalize_shape, check_no_sharding, check_shape
from jaxc.random.keys import one_key
from jaxc.random.uniform import normal


def multivariate_normal(
    key: Any,
    mean: Any,
    cov: Any,
    shape: Any = None,
    dtype: Any = None,
    method: str = "cholesky",
    *,
    out_sharding: Any = None,
) -> Any:
    """Normal vectors of given mean and covariance, along the last axis.

    Args:
      key: a single key.
      mean: of shape (..., n).
      cov: of shape (..., n, n).
      shape: batch shape of the result; the parameters' by default.
      dtype: floating; the mean's by default.
      method: how the covariance is factored: "cholesky", "eigh" or "svd".
    """
    key = one_key("multivariate_normal", key)
    check_no_sharding("multivariate_normal", out_sharding)
    mean, cov = promote_dtypes_inexact(jnp.asarray(mean), jnp.asarray(cov))
    if method not in ("svd", "eigh", "cholesky"):
        raise ValueError("method must be one of {'svd', 'eigh', 'cholesky'}")
    dtype = mean.dtype if dtype is None else dtypes.check_user_dtype(dtype, "multivariate_normal")
    if not dtypes.issubdtype(dtype, np.floating):
        raise ValueError(
            f"dtype argument to `multivariate_normal` must be a float dtype, got {dtype}"
        )
    shape = None if shape is None else canonicalize_shape(shape)
    return _multivariate_normal(key, mean, cov, shape=shape, dtype=dtype, method=method)


@nested_jit(static_argnames=("shape", "dtype", "method"))
def _multivariate_normal(key: Any, mean: Any, cov: Any, shape: Any, dtype: Any, method: str) -> Any:
    for name, param, ndim in (("mean", mean, 1), ("cov", cov, 2)):
        if param.ndim < ndim:
            raise ValueError(
                f"multivariate_normal requires {name}.ndim >= {ndim}, got {name}.ndim == "
                f"{param.ndim}"
            )
    n = mean.shape[-1]
    if cov.shape[-2:] != (n, n):
        raise ValueError(
            f"multivariate_normal requires cov.shape == (..., n, n) for {n=}, but got "
            f"cov.shape == {cov.shape}."
        )
    if shape is None:
        shape = lax.broadcast_shapes(mean.shape[:-1], cov.shape[:-2])
    else:
        check_shape("multivariate_normal", shape, mean.shape[:-1], cov.shape[:-2])
    numbers = normal(key, shape + mean.shape[-1:], dtype)
    return mean + jnp.einsum("...ij,...j->...i", _factor(cov, method), numbers)


def _factor(cov: Any, method: str) -> Any:
    if method == "cholesky":
        return jnp.linalg.cholesky(cov)
    if method == "eigh":
        values, vectors = jnp.linalg.eigh(cov)
    else:
        vectors, values, _ = jnp.linalg.svd(cov)
    return vectors * jnp.sqrt(values[..., None, :])


def orthogonal(
    key: Any,
    n: int,
    shape: Any = (),
    dtype: Any = None,
    m: int | None = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Matrices uniform in the orthogonal group (unitary for a complex dtype).

    Args:
      key: a single key.
      n: rows.
      shape: batch shape.
      dtype: floating or complex.
      m: columns, `n` by default; otherwise rows or columns are orthonormal, whichever are fewer.
    """
    shape, key = canonicalize_shape(shape), one_key("orthogonal", key)
    check_no_sharding("orthogonal", out_sharding)
    dtype = dtypes.check_user_dtype(float if dtype is None else dtype, "orthogonal")
    n, m = canonicalize_shape((n, n if m is None else m))
    return _orthogonal(key, n=n, m=m, shape=shape, dtype=dtype)


@nested_jit(static_argnames=("n", "m", "shape", "dtype"))
def _orthogonal(key: Any, n: int, m: int, shape: Any, dtype: Any) -> Any:
    q, r = jnp.linalg.qr(normal(key, (*shape, max(n, m), min(n, m)), dtype))
    # Signs of R's diagonal make the factorization unique, and with that the result uniform.
    signs = jnp.sign(jnp.linalg.diagonal(r))
    x = q * jnp.expand_dims(signs, -2)
    return x.mT if n < m else x
