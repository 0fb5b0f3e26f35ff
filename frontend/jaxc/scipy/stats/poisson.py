"""The Poisson distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.special.entropies import xlogy
from jaxc.scipy.special.gammas import gammaincc, real_args


def logpmf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """Log of the probability of `k`."""
    k, mu, loc = real_args("poisson.logpmf", k, mu, loc)
    x = k - loc
    value = xlogy(x, mu) - lax.lgamma(x + 1) - mu
    return jnp.where((x >= 0) & (x == jnp.floor(x)), value, -np.inf)


def pmf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """Probability of `k`."""
    return lax.exp(logpmf(k, mu, loc))


def cdf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """Distribution function."""
    k, mu, loc = real_args("poisson.cdf", k, mu, loc)
    x = k - loc
    p = gammaincc(jnp.floor(jnp.where(x < 0, 0.0, x)) + 1, mu)
    return jnp.where(x < 0, 0.0, p)
