"""The normal distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.special.gammas import real_args
from jaxc.scipy.special.normal import log_ndtr, ndtr, ndtri

_LOG_SQRT_2PI = float(np.log(2 * np.pi) / 2)


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the density."""
    x, loc, scale = real_args("norm.logpdf", x, loc, scale)
    z = (x - loc) / scale
    return -(z * z) / 2 - _LOG_SQRT_2PI - lax.log(scale)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density."""
    return lax.exp(logpdf(x, loc, scale))


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function."""
    x, loc, scale = real_args("norm.cdf", x, loc, scale)
    return ndtr((x - loc) / scale)


def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the distribution function."""
    x, loc, scale = real_args("norm.logcdf", x, loc, scale)
    return log_ndtr((x - loc) / scale)


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function, 1 - cdf."""
    x, loc, scale = real_args("norm.sf", x, loc, scale)
    return ndtr(-(x - loc) / scale)


def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the survival function."""
    x, loc, scale = real_args("norm.logsf", x, loc, scale)
    return log_ndtr(-(x - loc) / scale)


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile function."""
    q, loc, scale = real_args("norm.ppf", q, loc, scale)
    return ndtri(q) * scale + loc


def isf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Inverse of the survival function."""
    q, loc, scale = real_args("norm.isf", q, loc, scale)
    return ndtri(1 - q) * scale + loc


def entropy(loc: Any = 0, scale: Any = 1) -> Any:
    """Differential entropy."""
    loc, scale = real_args("norm.entropy", loc, scale)
    return jnp.broadcast_to(
        _LOG_SQRT_2PI + 0.5 + lax.log(scale), jnp.broadcast_shapes(loc.shape, scale.shape)
    )
