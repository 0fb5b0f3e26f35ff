"""The geometric distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.scipy.special.entropies import xlog1py
from jaxc.scipy.special.gammas import real_args


def logpmf(k: Any, p: Any, loc: Any = 0) -> Any:
    """Log of the probability of `k`."""
    k, p, loc = real_args("geom.logpmf", k, p, loc)
    x = k - loc
    value = xlog1py(x - 1, -p) + lax.log(p)
    return jnp.where(x <= 0, -np.inf, value)


def pmf(k: Any, p: Any, loc: Any = 0) -> Any:
    """Probability of `k`."""
    return lax.exp(logpmf(k, p, loc))
