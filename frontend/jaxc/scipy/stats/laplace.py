"""The Laplace distribution."""

from __future__ import annotations

from typing import Any

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.special.gammas import real_args


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the density."""
    x, loc, scale = real_args("laplace.logpdf", x, loc, scale)
    return -lax.abs((x - loc) / scale) - lax.log(2 * scale)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density."""
    return lax.exp(logpdf(x, loc, scale))


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function."""
    x, loc, scale = real_args("laplace.cdf", x, loc, scale)
    z = (x - loc) / scale
    half = 0.5 * lax.exp(-lax.abs(z))
    return jnp.where(z <= 0, half, 1 - half)
