"""The Cauchy distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.special.gammas import real_args


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the density."""
    x, loc, scale = real_args("cauchy.logpdf", x, loc, scale)
    z = (x - loc) / scale
    return -lax.log(np.pi * scale) - lax.log1p(z * z)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density."""
    return lax.exp(logpdf(x, loc, scale))


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function."""
    x, loc, scale = real_args("cauchy.cdf", x, loc, scale)
    return 0.5 + jnp.arctan2(x - loc, scale) / np.pi


def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the distribution function."""
    return lax.log(cdf(x, loc, scale))


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function, 1 - cdf."""
    x, loc, scale = real_args("cauchy.sf", x, loc, scale)
    return cdf(-x, -loc, scale)


def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the survival function."""
    return lax.log(sf(x, loc, scale))


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile function."""
    q, loc, scale = real_args("cauchy.ppf", q, loc, scale)
    return lax.tan(np.pi * (q - 0.5)) * scale + loc


def isf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Inverse of the survival function."""
    q, loc, scale = real_args("cauchy.isf", q, loc, scale)
    return lax.tan(np.pi * (0.5 - q)) * scale + loc
