"""The Dirichlet distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.special.entropies import xlogy
from jaxc.scipy.special.gammas import real_dtypes


def logpdf(x: Any, alpha: Any) -> Any:
    """Log of the density; probabilities run along the first axis."""
    x, alpha = real_dtypes("dirichlet.logpdf", x, alpha)
    if alpha.ndim != 1:
        raise ValueError(f"`alpha` must be one-dimensional; got alpha.shape={alpha.shape}")
    if x.shape[0] not in (alpha.shape[0], alpha.shape[0] - 1):
        raise ValueError(
            "`x` must have either the same number of entries as `alpha` or one entry fewer; got "
            f"x.shape={x.shape}, alpha.shape={alpha.shape}"
        )
    if x.shape[0] != alpha.shape[0]:
        x = jnp.concatenate([x, 1 - x.sum(0, keepdims=True)], axis=0)
    normalizer = jnp.sum(lax.lgamma(alpha)) - lax.lgamma(jnp.sum(alpha))
    weights = jnp.expand_dims(alpha - 1, tuple(range(1, x.ndim)))
    value = jnp.sum(xlogy(weights, x), axis=0) - normalizer
    in_simplex = jnp.all(x > 0, axis=0) & (jnp.abs(jnp.sum(x, axis=0) - 1) < 1e-6)
    return jnp.where(in_simplex, value, -np.inf)


def pdf(x: Any, alpha: Any) -> Any:
    """Density."""
    return lax.exp(logpdf(x, alpha))
