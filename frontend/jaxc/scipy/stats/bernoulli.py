"""The Bernoulli distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.special.entropies import xlog1py, xlogy
from jaxc.scipy.special.gammas import real_args


def logpmf(k: Any, p: Any, loc: Any = 0) -> Any:
    """Log of the probability of `k`."""
    k, p, loc = real_args("bernoulli.logpmf", k, p, loc)
    x = k - loc
    value = xlogy(x, p) + xlog1py(1 - x, -p)
    return jnp.where((x == 0) | (x == 1), value, -np.inf)


def pmf(k: Any, p: Any, loc: Any = 0) -> Any:
    """Probability of `k`."""
    return lax.exp(logpmf(k, p, loc))


def cdf(k: Any, p: Any, loc: Any = 0) -> Any:
    """Distribution function."""
    k, p, loc = real_args("bernoulli.cdf", k, p, loc)
    invalid = jnp.isnan(k) | jnp.isnan(p) | jnp.isnan(loc) | (p < 0) | (p > 1)
    x = k - loc
    return jnp.where(invalid, np.nan, jnp.where(x < 0, 0.0, jnp.where(x < 1, 1 - p, 1.0)))


def ppf(q: Any, p: Any) -> Any:
    """Quantile function."""
    q, p = real_args("bernoulli.ppf", q, p)
    invalid = jnp.isnan(q) | jnp.isnan(p) | (p < 0) | (p > 1) | (q < 0) | (q > 1)
    return jnp.where(invalid, np.nan, jnp.where(q <= 1 - p, 0.0, 1.0))
