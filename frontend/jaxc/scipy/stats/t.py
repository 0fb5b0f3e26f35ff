"""Student's t distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc.scipy.special.gammas import real_args


def logpdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Log of the density."""
    x, df, loc, scale = real_args("t.logpdf", x, df, loc, scale)
    z = (x - loc) / scale
    upper = (df + 1) / 2
    normalizer = lax.lgamma(upper) - lax.lgamma(df / 2) - lax.log(np.pi * df) / 2
    return normalizer - lax.log(scale) - upper * lax.log1p(z * z / df)


def pdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """Density."""
    return lax.exp(logpdf(x, df, loc, scale))
