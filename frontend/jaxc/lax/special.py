"""Special functions: error functions, gamma and beta families, Bessel, zeta.

Owns the primitives of `opset/special.py`, their rules and the public functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.lax.binary import add, gt, mul, sub
from jaxc.lax.shape import const, full_like
from jaxc.lax.unary import abs, exp, log, log1p, neg, reciprocal, sign, square
from jaxc.transforms import ad, batching

bessel_i0e_p = primitive("bessel_i0e")
bessel_i1e_p = primitive("bessel_i1e")
digamma_p = primitive("digamma")
erf_inv_p = primitive("erf_inv")
erf_p = primitive("erf")
erfc_p = primitive("erfc")
igamma_grad_a_p = primitive("igamma_grad_a")
igamma_p = primitive("igamma")
igammac_p = primitive("igammac")
lgamma_p = primitive("lgamma")
polygamma_p = primitive("polygamma")
random_gamma_grad_p = primitive("random_gamma_grad")
regularized_incomplete_beta_p = primitive("regularized_incomplete_beta")
zeta_p = primitive("zeta")


def erf(x: Any) -> Any:
    """The error function."""
    return erf_p.bind(x)


def erfc(x: Any) -> Any:
    """1 - erf(x), exact also for large x."""
    return erfc_p.bind(x)


def erf_inv(x: Any) -> Any:
    """The inverse of the error function."""
    return erf_inv_p.bind(x)


def lgamma(x: Any) -> Any:
    """The logarithm of the gamma function's absolute value."""
    return lgamma_p.bind(x)


def digamma(x: Any) -> Any:
    """The derivative of lgamma."""
    return digamma_p.bind(x)


def polygamma(m: Any, x: Any) -> Any:
    """The m-th derivative of digamma."""
    return polygamma_p.bind(m, x)


def igamma(a: Any, x: Any) -> Any:
    """The regularized lower incomplete gamma function."""
    return igamma_p.bind(a, x)


def igammac(a: Any, x: Any) -> Any:
    """1 - igamma(a, x)."""
    return igammac_p.bind(a, x)


def igamma_grad_a(a: Any, x: Any) -> Any:
    """The derivative of igamma with respect to a."""
    return igamma_grad_a_p.bind(a, x)


def random_gamma_grad(a: Any, x: Any) -> Any:
    """The derivative of a gamma variate `x` with respect to its parameter a."""
    return random_gamma_grad_p.bind(a, x)


def betainc(a: Any, b: Any, x: Any) -> Any:
    """The regularized incomplete beta function."""
    return regularized_incomplete_beta_p.bind(a, b, x)


def zeta(x: Any, q: Any) -> Any:
    """The Hurwitz zeta function."""
    return zeta_p.bind(x, q)


def bessel_i0e(x: Any) -> Any:
    """exp(-|x|) times the modified Bessel function of order 0."""
    return bessel_i0e_p.bind(x)


def bessel_i1e(x: Any) -> Any:
    """exp(-|x|) times the modified Bessel function of order 1."""
    return bessel_i1e_p.bind(x)


# ---- rules ---------------------------------------------------------------------------------------


def _gaussian_jvp(factor: float) -> Any:
    return lambda g, x: mul(const(x, factor), mul(g, exp(neg(square(x)))))


def _select(pred: Any, on_true: Any, on_false: Any) -> Any:
    return primitive("select_n").bind(pred, on_false, on_true)


def _bessel_i1e_jvp(g: Any, ans: Any, x: Any) -> Any:
    eps = dtypes.finfo(get_aval(x).dtype).eps
    large = gt(abs(x), const(x, eps))
    safe = _select(large, x, full_like(x, eps))
    slope = sub(bessel_i0e(safe), mul(ans, add(sign(safe), reciprocal(safe))))
    return mul(g, _select(large, slope, full_like(x, 0.5)))


def _igamma_jvp_x(g: Any, a: Any, x: Any) -> Any:
    """The integrand, x^(a-1) exp(-x) / gamma(a), in logarithms."""
    down = neg(x)
    power = mul(sub(a, full_like(a, 1)), log(x))
    return mul(g, exp(sub(add(down, power), lgamma(a))))


def _igamma_jvp_a(g: Any, a: Any, x: Any) -> Any:
    return mul(g, igamma_grad_a(a, x))


def _betainc_jvp_x(g: Any, a: Any, b: Any, x: Any) -> Any:
    log_beta = sub(add(lgamma(a), lgamma(b)), lgamma(add(a, b)))
    one = full_like(a, 1)
    logs = add(mul(sub(b, one), log1p(neg(x))), mul(sub(a, one), log(x)))
    return mul(exp(sub(logs, log_beta)), g)


def _not_supported(reason: str) -> Any:
    def rule(g: Any, *primals: Any) -> Any:
        raise ValueError(reason)

    return rule


ad.defjvp(erf_p, _gaussian_jvp(2 / np.sqrt(np.pi)))
ad.defjvp(erfc_p, _gaussian_jvp(-2 / np.sqrt(np.pi)))
ad.defjvp2(erf_inv_p, lambda g, ans, x: mul(const(x, np.sqrt(np.pi) / 2), mul(g, exp(square(ans)))))
ad.defjvp(lgamma_p, lambda g, x: mul(g, digamma(x)))
ad.defjvp(digamma_p, lambda g, x: mul(g, polygamma(const(x, 1), x)))
ad.defjvp(
    polygamma_p,
    _not_supported("polygamma gradient with respect to m is not supported"),
    lambda g, m, x: mul(g, polygamma(add(m, const(m, 1)), x)),
)
ad.defjvp(igamma_p, _igamma_jvp_a, _igamma_jvp_x)
ad.defjvp(
    igammac_p,
    lambda g, a, x: neg(_igamma_jvp_a(g, a, x)),
    lambda g, a, x: neg(_igamma_jvp_x(g, a, x)),
)
ad.defjvp(
    regularized_incomplete_beta_p,
    _not_supported("betainc gradient with respect to a is not supported"),
    _not_supported("betainc gradient with respect to b is not supported"),
    _betainc_jvp_x,
)
ad.defjvp2(bessel_i0e_p, lambda g, ans, x: mul(g, sub(bessel_i1e(x), mul(sign(x), ans))))
ad.defjvp2(bessel_i1e_p, _bessel_i1e_jvp)
for _prim in (igamma_grad_a_p, random_gamma_grad_p, zeta_p):
    ad.primitive_jvps[_prim] = ad.Missing(f"Differentiation rule for '{_prim}' not implemented")

for _prim in (
    bessel_i0e_p, bessel_i1e_p, digamma_p, erf_inv_p, erf_p, erfc_p, lgamma_p
):  # fmt: skip
    batching.defvectorized(_prim)
for _prim in (
    igamma_grad_a_p, igamma_p, igammac_p, polygamma_p, random_gamma_grad_p,
    regularized_incomplete_beta_p, zeta_p,
):  # fmt: skip
    batching.defbroadcasting(_prim)
