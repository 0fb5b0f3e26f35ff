"""The exponential distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.special.gammas import real_args


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the density."""
    x, loc, scale = real_args("expon.logpdf", x, loc, scale)
    value = -((x - loc) / scale) - lax.log(scale)
    return jnp.where(x < loc, -np.inf, value)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density."""
    return lax.exp(logpdf(x, loc, scale))


def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the survival function."""
    x, loc, scale = real_args("expon.logsf", x, loc, scale)
    return jnp.where(x < loc, 0.0, -((x - loc) / scale))


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function, 1 - cdf."""
    return lax.exp(logsf(x, loc, scale))


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function."""
    return -jnp.expm1(logsf(x, loc, scale))


def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the distribution function."""
    return lax.log(cdf(x, loc, scale))


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile function: NaN outside [0, 1]."""
    q, loc, scale = real_args("expon.ppf", q, loc, scale)
    return jnp.where((q < 0) | (q > 1), np.nan, loc - scale * jnp.log1p(-q))
