"""The multivariate normal distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.linalg import solve_triangular
from jaxc.scipy.special.gammas import real_dtypes


def logpdf(x: Any, mean: Any, cov: Any, allow_singular: None = None) -> Any:
    """Log of the density; vectors run along the last axis."""
    if allow_singular is not None:
        raise NotImplementedError("allow_singular argument of multivariate_normal.logpdf")
    x, mean, cov = real_dtypes("multivariate_normal.logpdf", x, mean, cov)
    if not mean.shape:
        return -0.5 * jnp.square(x - mean) / cov - 0.5 * (np.log(2 * np.pi) + jnp.log(cov))
    n = mean.shape[-1]
    if not cov.shape:
        distance = jnp.sum(jnp.square(x - mean), axis=-1) / cov
        return -0.5 * (distance + n * (np.log(2 * np.pi) + jnp.log(cov)))
    if cov.ndim < 2 or cov.shape[-2:] != (n, n):
        raise ValueError("multivariate_normal.logpdf got incompatible shapes")
    factor = jnp.linalg.cholesky(cov)
    batch = jnp.broadcast_shapes(x.shape[:-1], mean.shape[:-1], cov.shape[:-2])
    factor = jnp.broadcast_to(factor, (*batch, n, n))
    centered = jnp.broadcast_to(x - mean, (*batch, n))
    y = solve_triangular(factor, centered[..., None], lower=True)[..., 0]
    log_det = jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)
    return -0.5 * jnp.sum(jnp.square(y), -1) - n / 2 * np.log(2 * np.pi) - log_det


def pdf(x: Any, mean: Any, cov: Any) -> Any:
    """Density."""
    return lax.exp(logpdf(x, mean, cov))
