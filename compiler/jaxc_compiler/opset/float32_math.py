"""float32 functions whose last bit is seen: normal random numbers print eight digits.

`jax.random.normal` on a CPU with fused multiply-add gives certain bits: those of Giles' polynomials
for the inverse error function ("Approximating the erfinv function", 2010) over Cephes' logarithm,
every multiplication that feeds an addition fused with it. The same steps are taken here. A fused
operation is a float64 one rounded to float32: the product of two float32 is exact in float64.
"""

from __future__ import annotations

import numpy as np

_CHUNK = 1 << 13  # elements whose temporaries stay in the L2 cache

# Highest power first. `_CENTRAL` in w - 2.5 for w < 5, `_TAIL` in sqrt(w) - 3, w = -log(1 - x^2).
_CENTRAL = np.array([
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
], np.float32).astype(np.float64)  # fmt: skip
_TAIL = np.array([
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
], np.float32).astype(np.float64)  # fmt: skip
_LOG1P_ABOVE = np.array([
    4.5270000862445199635215e-5, 4.9854102823193375972212e-1, 6.5787325942061044846969,
    2.9911919328553073277375e1, 6.0949667980987787057556e1, 5.7112963590585538103336e1,
    2.0039553499201281259648e1,
], np.float32).astype(np.float64)  # fmt: skip
_LOG1P_BELOW = np.array([
    1.0, 1.5062909083469192043167e1, 8.3047565967967209469434e1, 2.2176239823732856465394e2,
    3.0909872225312059774938e2, 2.1642788614495947685003e2, 6.0118660497603843919306e1,
], np.float32).astype(np.float64)  # fmt: skip
_LOG = np.array([
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
], np.float32).astype(np.float64)  # fmt: skip
_LOG1P_SMALL = float(np.uint32(0x3ED413CD).view(np.float32))
_SQRT_HALF = float(np.uint32(0x3F3504F3).view(np.float32))
_LN2_LOW = float(np.uint32(0xB95E8083).view(np.float32))
_LN2_HIGH = float(np.uint32(0x3F318000).view(np.float32))


def _round(x: np.ndarray) -> np.ndarray:
    """float64 values that are float32 ones."""
    return x.astype(np.float32).astype(np.float64)


def _fused(a: np.ndarray, b: np.ndarray | float, c: np.ndarray) -> np.ndarray:
    """a * b + c rounded once, as float32."""
    product = np.multiply(a, b, dtype=np.float64)
    return np.add(product, c, out=product).astype(np.float32)


def _horner(coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A polynomial by fused multiply-adds, as float32; x is float64."""
    product = coefficients[0] * x
    total = np.add(product, coefficients[1], out=product).astype(np.float32)
    for c in coefficients[2:]:
        np.multiply(total, x, out=product)
        np.add(product, c, out=total, casting="same_kind")
    return total


def _log1p_small(x: np.ndarray) -> np.ndarray:
    """log(1 + x) for |x| < sqrt(2) - 1."""
    ratio = _horner(_LOG1P_ABOVE, x) / _horner(_LOG1P_BELOW, x)
    square = _round(x * x)
    cubed = (x * square).astype(np.float32)
    return x + _fused(square, -0.5, cubed * ratio)


def _log(x: np.ndarray) -> np.ndarray:
    """log(x) for positive normal x."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < _SQRT_HALF
    exponent = exponent - low.astype(np.float64)
    m = _round(np.where(low, mantissa + mantissa, mantissa) - 1.0)
    square = _round(m * m)
    cube = _round(square * m)
    p0, p1, p2 = _horner(_LOG[:3], m), _horner(_LOG[3:6], m), _horner(_LOG[6:], m)
    p = _fused(_fused(p0, cube, p1), cube, p2)
    tail = _fused(p, cube, _round(exponent * _LN2_LOW))
    head = (m - 0.5 * square).astype(np.float32)
    return _fused(exponent, _LN2_HIGH, head + tail)


def _log1p(x: np.ndarray) -> np.ndarray:
    """log(1 + x) for x in (-1, 0], as float64 values that are float32 ones."""
    small = x > -_LOG1P_SMALL
    out = np.empty(x.shape, np.float32)
    out[small] = _log1p_small(x[small])
    rest = ~small
    if rest.any():
        out[rest] = _log(_round(x[rest] + 1.0))
    return out.astype(np.float64)


def _erf_inv_chunk(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    log = _log1p(-_round(wide * wide))
    central = log > -5.0
    if central.all():
        return x * _horner(_CENTRAL, _round(-2.5 - log))
    p = np.empty_like(x)
    p[central] = _horner(_CENTRAL, _round(-2.5 - log[central]))
    tail = ~central
    p[tail] = _horner(_TAIL, _round(_round(np.sqrt(-log[tail])) - 3.0))
    return x * p


def erf_inv_float32(x: np.ndarray) -> np.ndarray:
    """The inverse error function of a float32 array: infinite at -1 and 1, NaN outside."""
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty_like(flat)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        inside = np.abs(part) < 1
        if inside.all():
            out[start : start + _CHUNK] = _erf_inv_chunk(part)
            continue
        values = np.where(np.abs(part) == 1, part * np.float32(np.inf), np.float32(np.nan))
        values[inside] = _erf_inv_chunk(part[inside])
        out[start : start + _CHUNK] = values
    return out.reshape(x.shape)
