"""The uniform distribution on [loc, loc + scale]."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.special.gammas import real_args


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the density."""
    x, loc, scale = real_args("uniform.logpdf", x, loc, scale)
    inside = (x >= loc) & (x <= loc + scale)
    return jnp.where(inside, -lax.log(scale), -np.inf)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density."""
    return lax.exp(logpdf(x, loc, scale))


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Distribution function."""
    x, loc, scale = real_args("uniform.cdf", x, loc, scale)
    return jnp.clip((x - loc) / scale, 0.0, 1.0)


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Quantile function: NaN outside [0, 1]."""
    q, loc, scale = real_args("uniform.ppf", q, loc, scale)
    valid = (q >= 0) & (q <= 1) & ~jnp.isnan(loc) & (scale > 0)
    return jnp.where(valid, loc + q * scale, np.nan)
