"""Special functions: error functions, gamma and beta families, Bessel, zeta.

Kernels are SciPy's where it has the function, in the op's dtype (float32 for narrower ones), with
JAX's values at poles and outside the domain.
"""

from __future__ import annotations

import numpy as np

from jaxc_compiler.opset.float32_math import erf_inv_float32
from jaxc_compiler.opset.inference import FLOAT, infer_nary, infer_unary
from jaxc_compiler.opset.kernels import (
    FLOATS,
    Kernel,
    at_least_f32,
    from_scipy,
    nary_samples,
    scipy_special,
    unary_samples,
)
from jaxc_compiler.opset.op import define


def lgamma_numpy(x: np.ndarray) -> np.ndarray:
    def lgamma(x: np.ndarray) -> np.ndarray:
        return np.where(np.isneginf(x), np.inf, scipy_special().gammaln(x))

    return at_least_f32(lgamma, x)


def digamma_numpy(x: np.ndarray) -> np.ndarray:
    def digamma(x: np.ndarray) -> np.ndarray:
        pole = (x <= 0) & (x == np.floor(x))
        return np.where(pole, np.nan, scipy_special().psi(x))

    return at_least_f32(digamma, x)


def erf_inv_numpy(x: np.ndarray) -> np.ndarray:
    """Bits as JAX's on a CPU for float32 and narrower: normal random numbers show them."""
    if x.dtype == np.float64:
        return scipy_special().erfinv(x)
    return erf_inv_float32(x.astype(np.float32, copy=False)).astype(x.dtype, copy=False)


def polygamma_numpy(m: np.ndarray, x: np.ndarray) -> np.ndarray:
    def polygamma(m: np.ndarray, x: np.ndarray) -> np.ndarray:
        special = scipy_special()
        order = m.astype(np.float64)
        sign = np.where(order % 2 == 0, -1.0, 1.0)
        value = sign * special.gamma(order + 1) * special.zeta(order + 1, x.astype(np.float64))
        pole = (x <= 0) & (x == np.floor(x)) & (order % 2 == 0)
        value = np.where(pole, np.nan, value)
        value = np.where(order == 0, digamma_numpy(x.astype(np.float64)), value)
        return np.where((order < 0) | (order != np.floor(order)), np.nan, value)

    return at_least_f32(polygamma, m, x)


def igamma_grad_a_numpy(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """d igamma(a, x) / da, by differences of eighth order in float64 (good to about 1e-11)."""

    def gradient(a: np.ndarray, x: np.ndarray) -> np.ndarray:
        igamma = scipy_special().gammainc
        a, x = np.broadcast_arrays(a.astype(np.float64), x.astype(np.float64))
        step = np.minimum(0.02 * np.maximum(np.sqrt(np.maximum(a, 0)), 0.1), a / 8)
        weights = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
        total = sum(
            w * (igamma(a + k * step, x) - igamma(a - k * step, x))
            for k, w in enumerate(weights, start=1)
        )
        value = np.where(x == 0, 0.0, total / step)
        return np.where((a <= 0) | (x < 0), np.nan, value)

    return at_least_f32(gradient, a, x)


def random_gamma_grad_numpy(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """d x / da at a fixed value of igamma(a, x): how a gamma variate moves with its parameter."""

    def gradient(a: np.ndarray, x: np.ndarray) -> np.ndarray:
        special = scipy_special()
        a, x = np.broadcast_arrays(a.astype(np.float64), x.astype(np.float64))
        log_density = special.xlogy(a - 1, x) - x - special.gammaln(a)
        moved = -igamma_grad_a_numpy(a, x) * np.exp(-log_density)
        # Near 0 the differences lose their digits: two terms of igamma's power series.
        first = (np.log(x) - special.psi(a + 1)) * (1 - a * x / (a + 1)) - x / (a + 1) ** 2
        near_zero = -x * np.exp(x) / a * first
        return np.where(x < 1e-6, np.where(x == 0, 0.0, near_zero), moved)

    return at_least_f32(gradient, a, x)


def regularized_incomplete_beta_numpy(a: np.ndarray, b: np.ndarray, x: np.ndarray) -> np.ndarray:
    return at_least_f32(lambda a, b, x: scipy_special().betainc(a, b, x), a, b, x)


def _unary(name: str, kernel: Kernel, domain: tuple[float, float] = (-3.0, 3.0)) -> None:
    define(
        name,
        kind="elementwise",
        infer=infer_unary(name, FLOAT),
        numpy=kernel,
        samples=unary_samples(*FLOATS),
        domain=domain,
        tolerance=32.0,
    )


def _nary(name: str, arity: int, kernel: Kernel, domain: tuple[float, float]) -> None:
    define(
        name,
        kind="elementwise",
        infer=infer_nary(name, FLOAT),
        numpy=kernel,
        samples=nary_samples(arity, *FLOATS),
        domain=domain,
        tolerance=64.0,
    )


_unary("erf", from_scipy("erf"))
_unary("erfc", from_scipy("erfc"))
_unary("erf_inv", erf_inv_numpy, (-0.9, 0.9))
_unary("lgamma", lgamma_numpy, (2.3, 6.0))  # away from its zeros at 1 and 2
_unary("digamma", digamma_numpy, (0.2, 5.0))
_unary("bessel_i0e", from_scipy("i0e"))
_unary("bessel_i1e", from_scipy("i1e"))
_nary("igamma", 2, from_scipy("gammainc"), (0.2, 4.0))
_nary("igammac", 2, from_scipy("gammaincc"), (0.2, 4.0))
_nary("igamma_grad_a", 2, igamma_grad_a_numpy, (0.2, 4.0))
_nary("random_gamma_grad", 2, random_gamma_grad_numpy, (0.2, 4.0))
_nary("polygamma", 2, polygamma_numpy, (0.5, 4.0))
_nary("zeta", 2, from_scipy("zeta"), (1.2, 4.0))
_nary("regularized_incomplete_beta", 3, regularized_incomplete_beta_numpy, (0.1, 0.9))
