"""Gamma, beta and error functions and their kin: thin over `lax`'s primitives."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.core.trace import concrete_or_error
from jaxc.numpy.promotion import check_arraylike, promote_dtypes_inexact, promote_shapes
from jaxc.transforms.custom_jvp import custom_jvp


def real_args(name: str, *args: Any) -> list[Any]:
    """The arguments as arrays of one real floating dtype."""
    found = inexact_args(name, *args)
    if any(dtypes.issubdtype(x.dtype, np.complexfloating) for x in found):
        raise ValueError(f"{name} does not support complex-valued inputs.")
    return found


def real_dtypes(name: str, *args: Any) -> list[Any]:
    """As `real_args`, each argument with its own rank."""
    check_arraylike(name, *args)
    found = promote_dtypes_inexact(*[jnp.asarray(arg) for arg in args])
    if any(dtypes.issubdtype(x.dtype, np.complexfloating) for x in found):
        raise ValueError(f"{name} does not support complex-valued inputs.")
    return found


def inexact_args(name: str, *args: Any) -> list[Any]:
    """The arguments as arrays of one floating or complex dtype, ready to be broadcast."""
    check_arraylike(name, *args)
    return promote_shapes(name, *promote_dtypes_inexact(*[jnp.asarray(arg) for arg in args]))


def const(like: Any, value: Any) -> Any:
    return np.asarray(value, like.dtype)[()]


def gammaln(x: Any) -> Any:
    """log|gamma(x)|."""
    (x,) = inexact_args("gammaln", x)
    return lax.lgamma(x)


loggamma = gammaln


def gammasgn(x: Any) -> Any:
    """Sign of gamma(x): NaN at the poles."""
    (x,) = real_args("gammasgn", x)
    floor, negative = lax.floor(x), x < 0
    undefined = (negative & (x == floor)) | jnp.isnan(x)
    minus = (negative & (floor % 2 != 0)) | ((x == 0) & jnp.signbit(x))
    one = const(x, 1.0)
    return jnp.select([undefined, minus], [const(x, np.nan), -one], one)


def gamma(x: Any) -> Any:
    """The gamma function."""
    (x,) = real_args("gamma", x)
    return gammasgn(x) * lax.exp(lax.lgamma(x))


def factorial(n: Any, exact: bool = False) -> Any:
    """gamma(n + 1), 0 for negative n."""
    if exact:
        raise NotImplementedError("factorial with exact=True")
    (n,) = inexact_args("factorial", n)
    return jnp.where(n < 0, 0, lax.exp(lax.lgamma(n + 1)))


def _stirling_rest(x: Any) -> Any:
    """log(gamma(x)) minus Stirling's formula, for x >= 8."""
    y = 1.0 / (x * x)
    return (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y / 1188)))) / x


def betaln(a: Any, b: Any) -> Any:
    """log(beta(a, b)), without cancellation when one argument is large."""
    a, b = real_args("betaln", a, b)
    a, b = jnp.minimum(a, b), jnp.maximum(a, b)
    small = lax.lgamma(a) + (lax.lgamma(b) - lax.lgamma(a + b))
    large_b = jnp.where(b < 8, 8.0, b).astype(b.dtype)
    total = a + large_b
    difference = _stirling_rest(large_b) - _stirling_rest(total)
    ratio = -(total - 0.5) * jnp.log1p(a / large_b) - a * (jnp.log(large_b) - 1) + difference
    return jnp.where(b < 8, small, lax.lgamma(a) + ratio)


def beta(a: Any, b: Any) -> Any:
    """gamma(a) gamma(b) / gamma(a + b)."""
    a, b = real_args("beta", a, b)
    return gammasgn(a) * gammasgn(b) * gammasgn(a + b) * lax.exp(betaln(a, b))


def betainc(a: Any, b: Any, x: Any) -> Any:
    """The regularized incomplete beta function."""
    return lax.betainc(*real_args("betainc", a, b, x))


def digamma(x: Any) -> Any:
    """Derivative of `gammaln`."""
    return lax.digamma(*inexact_args("digamma", x))


def polygamma(n: Any, x: Any) -> Any:
    """The n-th derivative of `digamma`; n is an integer."""
    if not dtypes.issubdtype(dtypes.dtype(n), np.integer):
        raise ValueError(
            f"Argument `n` to polygamma must be of integer type. Got dtype {dtypes.dtype(n)}."
        )
    return lax.polygamma(*real_args("polygamma", n, x))


def gammainc(a: Any, x: Any) -> Any:
    """The regularized lower incomplete gamma function."""
    return lax.igamma(*inexact_args("gammainc", a, x))


def gammaincc(a: Any, x: Any) -> Any:
    """The regularized upper incomplete gamma function."""
    return lax.igammac(*inexact_args("gammaincc", a, x))


def multigammaln(a: Any, d: Any) -> Any:
    """log of the d-dimensional gamma function."""
    d = concrete_or_error(int, d, "d argument of multigammaln")
    (a,) = inexact_args("multigammaln", a)
    steps = jnp.arange(d, dtype=a.dtype) / const(a, 2)
    terms = gammaln(jnp.expand_dims(a, -1) - jnp.expand_dims(steps, tuple(range(a.ndim))))
    return jnp.sum(terms, axis=-1) + const(a, 0.25 * d * (d - 1) * np.log(np.pi))


def comb(N: Any, k: Any, *, repetition: bool = False) -> Any:
    """Number of ways to choose k of N, as a float."""
    N, k = inexact_args("comb", N, k)
    if repetition:
        return jnp.where((k == 0) & (N >= 0), 1.0, comb(N + k - 1, k))
    valid = (k <= N) & (N >= 0) & (k >= 0)
    n, m = jnp.where(valid, N, 0.0), jnp.where(valid, k, 0.0)
    ways = lax.exp(gammaln(n + 1) - gammaln(m + 1) - gammaln(n + 1 - m))
    return jnp.where(valid, ways, 0.0)


def poch(z: Any, m: Any) -> Any:
    """gamma(z + m) / gamma(z)."""
    z, m = real_args("poch", z, m)
    return jnp.where(m == 0.0, jnp.array(1, dtype=z.dtype), gamma(z + m) / gamma(z))


@custom_jvp
def zeta(x: Any, q: Any = None) -> Any:
    """The Hurwitz zeta function: the sum of (n + q) ** -x over n >= 0.

    Raises:
      NotImplementedError: without `q`, and for the derivative with respect to `x`.
    """
    if q is None:
        raise NotImplementedError(
            "Riemann zeta function not implemented; pass q != None to compute the Hurwitz Zeta "
            "function."
        )
    x, q = inexact_args("zeta", x, q)
    return lax.zeta(x, q)


def _zeta_by_x(g: Any, ans: Any, x: Any, q: Any) -> Any:
    raise NotImplementedError("zeta: derivative with respect to x is not implemented")


zeta.defjvps(_zeta_by_x, lambda g, ans, x, q: g * (-x * zeta(x + 1, q)))


def erf(x: Any) -> Any:
    """The error function."""
    return lax.erf(*real_args("erf", x))


def erfc(x: Any) -> Any:
    """1 - erf(x)."""
    return lax.erfc(*real_args("erfc", x))


def erfinv(x: Any) -> Any:
    """The inverse of `erf`."""
    return lax.erf_inv(*inexact_args("erfinv", x))


def i0e(x: Any) -> Any:
    """exp(-|x|) i0(x)."""
    return lax.bessel_i0e(*inexact_args("i0e", x))


def i0(x: Any) -> Any:
    """The modified Bessel function of order 0."""
    (x,) = inexact_args("i0", x)
    return lax.mul(lax.exp(lax.abs(x)), lax.bessel_i0e(x))


def i1e(x: Any) -> Any:
    """exp(-|x|) i1(x)."""
    return lax.bessel_i1e(*inexact_args("i1e", x))


def i1(x: Any) -> Any:
    """The modified Bessel function of order 1."""
    (x,) = inexact_args("i1", x)
    return lax.mul(lax.exp(lax.abs(x)), lax.bessel_i1e(x))
