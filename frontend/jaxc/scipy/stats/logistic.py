"""The logistic distribution."""

from __future__ import annotations

from typing import Any

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.special.entropies import logit
from jaxc.scipy.special.gammas import real_args


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the density."""
    x, loc, scale = real_args("logistic.logpdf", x, loc, scale)
    half = (x - loc) / (2 * scale)
    return -2 * jnp.logaddexp(half, -half) - lax.log(scale)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density."""
    return lax.exp(logpdf(x, loc, scale))


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function."""
    x, loc, scale = real_args("logistic.cdf", x, loc, scale)
    return lax.logistic((x - loc) / scale)


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function, 1 - cdf."""
    x, loc, scale = real_args("logistic.sf", x, loc, scale)
    return lax.logistic(-(x - loc) / scale)


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile function."""
    q, loc, scale = real_args("logistic.ppf", q, loc, scale)
    return logit(q) * scale + loc


def isf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Inverse of the survival function."""
    q, loc, scale = real_args("logistic.isf", q, loc, scale)
    return -logit(q) * scale + loc
