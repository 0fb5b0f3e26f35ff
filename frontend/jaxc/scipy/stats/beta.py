"""The beta distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.special.entropies import xlog1py, xlogy
from jaxc.scipy.special.gammas import betainc, betaln, real_args


def logpdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the density."""
    x, a, b, loc, scale = real_args("beta.logpdf", x, a, b, loc, scale)
    z = (x - loc) / scale
    outside = (z < 0) | (z > 1)
    z = jnp.where(outside, 0.5, z)
    value = xlogy(a - 1, z) + xlog1py(b - 1, -z) - betaln(a, b) - lax.log(scale)
    invalid = (a <= 0) | (b <= 0) | (scale <= 0)
    return jnp.where(invalid, np.nan, jnp.where(outside, -np.inf, value))


def pdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density."""
    return lax.exp(logpdf(x, a, b, loc, scale))


def cdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function."""
    x, a, b, loc, scale = real_args("beta.cdf", x, a, b, loc, scale)
    return betainc(a, b, jnp.clip((x - loc) / scale, 0, 1))


def logcdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the distribution function."""
    return lax.log(cdf(x, a, b, loc, scale))


def sf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Survival function, 1 - cdf."""
    x, a, b, loc, scale = real_args("beta.sf", x, a, b, loc, scale)
    return betainc(b, a, 1 - jnp.clip((x - loc) / scale, 0, 1))


def logsf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the survival function."""
    return lax.log(sf(x, a, b, loc, scale))
