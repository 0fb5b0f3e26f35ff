"""Piecewise linear interpolation.

Composed of lax functions and searching. Must not import statistics.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import convert, ensure_arraylike, promote_dtypes_inexact
from jaxc.numpy.searching import searchsorted
from jaxc.numpy.selection import clip, where


def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """Piecewise linear interpolation through the points (xp, fp)."""
    static = left if isinstance(left, str) else None, right if isinstance(right, str) else None
    values = left if static[0] is None else None, right if static[1] is None else None
    return _interp(x, xp, fp, *values, period, extrapolate=static)


@nested_jit(name="_interp", static_argnames=("extrapolate",))
def _interp(x, xp, fp, left, right, period, extrapolate):
    from jaxc.numpy.arithmetic import remainder
    from jaxc.numpy.joining import concatenate
    from jaxc.numpy.sorting import argsort

    x, xp, fp = ensure_arraylike("interp", x, xp, fp)
    if xp.shape != fp.shape or xp.ndim != 1:
        raise ValueError("xp and fp must be one-dimensional arrays of equal size")
    x, xp = promote_dtypes_inexact(x, xp)
    (fp,) = promote_dtypes_inexact(fp)
    if period is not None:
        period = abs(period) if not isinstance(period, int | float) else float(abs(period))
        x, xp = remainder(x, period), remainder(xp, period)
        order = argsort(xp)
        xp, fp = xp[order], fp[order]
        xp = concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = concatenate([fp[-1:], fp, fp[:1]])
    at = clip(searchsorted(xp, x, side="right"), 1, len(xp) - 1)
    df = fp[at] - fp[at - 1]
    dx = xp[at] - xp[at - 1]
    delta = x - xp[at - 1]
    epsilon = np.spacing(np.finfo(xp.dtype).eps) if xp.dtype.kind == "f" else 0.0
    flat = lax.le(abs(dx), convert(float(epsilon), xp.dtype))
    out = where(flat, fp[at - 1], fp[at - 1] + (delta / where(flat, 1, dx)) * df)
    for side in extrapolate:
        if side not in (None, "extrapolate"):
            raise ValueError("the only valid string value of `left` or `right` is "
                             f"'extrapolate', but got: {side}")  # fmt: skip
    if extrapolate[0] is None and period is None:
        out = where(x < xp[0], fp[0] if left is None else left, out)
    if extrapolate[1] is None and period is None:
        out = where(x > xp[-1], fp[-1] if right is None else right, out)
    return out
