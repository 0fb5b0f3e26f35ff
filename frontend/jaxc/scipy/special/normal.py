"""The normal distribution function, its logarithm and its inverse.

`ndtri`'s rational approximations are Cephes' (Moshier, "Methods and programs for mathematical
functions", 1989); the lower tail of `log_ndtr` is the asymptotic series of erfc.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.transforms.custom_jvp import custom_jvp

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
# Below `lower` the series is used, above `upper` log(1 + y) = y.
_SEGMENTS = {_FLOATS[0]: (-10.0, 5.0), _FLOATS[1]: (-20.0, 8.0)}


def _float_array(name: str, x: Any) -> Any:
    x = jnp.asarray(x)
    if x.dtype not in _FLOATS:
        raise TypeError(f"{name}: x.dtype={x.dtype} is not supported, only float32 and float64.")
    return x


def ndtr(x: Any) -> Any:
    """The standard normal distribution function; float32 or float64."""
    return _ndtr(_float_array("ndtr", x))


def _ndtr(x: Any) -> Any:
    dtype = x.dtype.type
    half_sqrt_2 = dtype(0.5) * np.sqrt(2.0, dtype=dtype)
    w = x * half_sqrt_2
    z = lax.abs(w)
    tail = lax.erfc(z)
    outer = lax.select(lax.gt(w, dtype(0.0)), dtype(2.0) - tail, tail)
    return dtype(0.5) * lax.select(lax.lt(z, half_sqrt_2), dtype(1.0) + lax.erf(w), outer)


@functools.partial(custom_jvp, nondiff_argnums=(1,))
def log_ndtr(x: Any, series_order: int = 3) -> Any:
    """log(ndtr(x)), accurate in both tails.

    Args:
      x: float32 or float64.
      series_order: terms of the series in the lower tail, 0 to 30.
    """
    if not isinstance(series_order, int):
        raise TypeError("series_order must be a Python integer.")
    if not 0 <= series_order <= 30:
        problem = "non-negative" if series_order < 0 else "<= 30"
        raise ValueError(f"series_order must be {problem}.")
    x = _float_array("log_ndtr", x)
    lower, upper = (x.dtype.type(bound) for bound in _SEGMENTS[x.dtype])
    above = lax.gt(x, upper)
    body = _ndtr(jnp.where(above, -x, lax.max(x, lower)))
    tail = _log_ndtr_series(lax.min(x, lower), series_order)
    return jnp.where(above, -body, jnp.where(lax.gt(x, lower), lax.log(body), tail))


def _log_ndtr_series(x: Any, order: int) -> Any:
    dtype = x.dtype.type
    square = lax.square(x)
    scale = -dtype(0.5) * square - lax.log(-x) - dtype(0.5 * np.log(2.0 * np.pi))
    if order <= 0:
        return scale
    sums = [jnp.zeros_like(x), jnp.zeros_like(x)]
    power, odd_factorial = square, 1.0
    for n in range(1, order + 1):
        odd_factorial *= 2 * n - 1
        sums[n % 2] = sums[n % 2] + dtype(odd_factorial) / power
        power = power * square
    return scale + lax.log(dtype(1.0) + sums[0] - sums[1])


@log_ndtr.defjvp
def _log_ndtr_jvp(series_order: int, primals: Any, tangents: Any) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    ans = log_ndtr(x, series_order)
    log_density = -(x * x + float(np.log(2 * np.pi))) / 2
    return ans, lax.mul(t, lax.exp(lax.sub(log_density.astype(ans.dtype), ans)))


_CENTRAL = (
    (-59.96335010141079, 98.00107541859997, -56.67628574690703, 13.931260938727968,
     -1.2391658386738125),
    (1.0, 1.9544885833814176, 4.676279128988815, 86.36024213908905, -225.46268785411937,
     200.26021238006066, -82.03722561683334, 15.90562251262117, -1.1833162112133),
)  # fmt: skip
_MIDDLE = (
    (4.0554489230596245, 31.525109459989388, 57.16281922464213, 44.08050738932008,
     14.684956192885803, 2.1866330685079025, -0.1402560791713545, -0.03504246268278482,
     -0.0008574567851546854),
    (1.0, 15.779988325646675, 45.39076351288792, 41.3172038254672, 15.04253856929075,
     2.504649462083094, -0.14218292285478779, -0.03808064076915783, -0.0009332594808954574),
)  # fmt: skip
_FAR = (
    (3.2377489177694603, 6.915228890689842, 3.9388102529247444, 1.3330346081580755,
     0.20148538954917908, 0.012371663481782003, 0.00030158155350823543, 2.6580697468673755e-06,
     6.239745391849833e-09),
    (1.0, 6.02427039364742, 3.6798356385616087, 1.3770209948908132, 0.21623699359449663,
     0.013420400608854318, 0.00032801446468212774, 2.8924786474538068e-06,
     6.790194080099813e-09),
)  # fmt: skip


def _rational(coefficients: Any, x: Any) -> Any:
    above, below = (
        functools.reduce(lambda total, c: total * x + c, [x.dtype.type(c) for c in part[1:]],
                         lax.full_like(x, part[0]))
        for part in coefficients
    )  # fmt: skip
    return above / below


def ndtri(p: Any) -> Any:
    """The inverse of `ndtr`; float32 or float64."""
    p = _float_array("ndtri", p)
    dtype = p.dtype.type
    upper = p > dtype(-np.expm1(-2.0))
    folded = jnp.where(upper, dtype(1.0) - p, p)
    safe = jnp.where(folded == dtype(0.0), jnp.full(p.shape, dtype(0.5)), folded)
    w = safe - dtype(0.5)
    square = lax.square(w)
    central = (w + w * square * _rational(_CENTRAL, square)) * -dtype(np.sqrt(2.0 * np.pi))
    z = lax.sqrt(dtype(-2.0) * lax.log(safe))
    first, inverse = z - lax.log(z) / z, 1 / z
    far = first - _rational(_FAR, inverse) / z
    middle = first - _rational(_MIDDLE, inverse) / z
    tail = jnp.where(z >= dtype(8.0), far, middle)
    x = jnp.where(safe > dtype(np.exp(-2.0)), central, tail)
    x = jnp.where(upper, x, -x)
    infinity = jnp.full(p.shape, dtype(np.inf))
    return jnp.where(p == dtype(0.0), -infinity, jnp.where(p == dtype(1.0), infinity, x))
