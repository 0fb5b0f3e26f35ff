"""The Pareto distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.special.gammas import real_args


def logpdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the density."""
    x, b, loc, scale = real_args("pareto.logpdf", x, b, loc, scale)
    z = (x - loc) / scale
    below = z < 1
    value = lax.log(b / scale) - (b + 1) * lax.log(jnp.where(below, 1.0, z))
    return jnp.where(below, -np.inf, value)


def pdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density."""
    return lax.exp(logpdf(x, b, loc, scale))
