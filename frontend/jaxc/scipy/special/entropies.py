"""Logarithmic functions of statistics: x log y, entropies, logit."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.nn import activations
from jaxc.scipy.special.gammas import const, inexact_args, real_args
from jaxc.transforms.custom_jvp import custom_jvp


def expit(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return lax.logistic(*inexact_args("expit", x))


@custom_jvp
def logit(x: Any) -> Any:
    """log(x / (1 - x))."""
    (x,) = inexact_args("logit", x)
    return lax.log(lax.div(x, lax.sub(const(x, 1), x)))


logit.defjvps(lambda g, ans, x: g / (x * (1 - x)))


def _times_log(name: str, log: Any, x: Any, y: Any) -> Any:
    """x log(y), 0 where x is 0 whatever y is, but NaN where y is."""
    x, y = inexact_args(name, x, y)
    return jnp.where((x != 0.0) | jnp.isnan(y), lax.mul(x, log(y)), jnp.zeros_like(x))


@custom_jvp
def xlogy(x: Any, y: Any) -> Any:
    """x log(y), 0 where x is 0."""
    return _times_log("xlogy", lax.log, x, y)


@custom_jvp
def xlog1py(x: Any, y: Any) -> Any:
    """x log(1 + y), 0 where x is 0."""
    return _times_log("xlog1py", lax.log1p, x, y)


@xlogy.defjvp
def _xlogy_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    (x, y), (x_dot, y_dot) = primals, tangents
    result = xlogy(x, y)
    return result, (x_dot * lax.log(y) + y_dot * x / y).astype(result.dtype)


@xlog1py.defjvp
def _xlog1py_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    (x, y), (x_dot, y_dot) = primals, tangents
    result = xlog1py(x, y)
    return result, (x_dot * lax.log1p(y) + y_dot * x / (1 + y)).astype(result.dtype)


@custom_jvp
def _xlogx(x: Any) -> Any:
    return xlogy(x, x)


_xlogx.defjvps(lambda g, ans, x: g * (lax.log(x) + 1))


def entr(x: Any) -> Any:
    """-x log(x), -inf for negative x."""
    (x,) = real_args("entr", x)
    return lax.select(lax.lt(x, const(x, 0)), lax.full_like(x, -np.inf), lax.neg(_xlogx(x)))


def rel_entr(p: Any, q: Any) -> Any:
    """p log(p / q)."""
    p, q = real_args("rel_entr", p, q)
    zero = const(p, 0.0)
    positive = lax.bitwise_and(lax.gt(p, zero), lax.gt(q, zero))
    vanishes = lax.bitwise_and(lax.eq(p, zero), lax.ge(q, zero))
    safe_p, safe_q = jnp.where(positive, p, 1), jnp.where(positive, q, 1)
    value = lax.sub(_xlogx(safe_p), xlogy(safe_p, safe_q))
    return jnp.where(positive, value, jnp.where(vanishes, zero, np.inf))


def kl_div(p: Any, q: Any) -> Any:
    """p log(p / q) - p + q."""
    p, q = real_args("kl_div", p, q)
    return rel_entr(p, q) - p + q


def boxcox(x: Any, lmbda: Any) -> Any:
    """(x ** lmbda - 1) / lmbda, log(x) where lmbda is 0."""
    x, lmbda = inexact_args("boxcox", x, lmbda)
    return _power_transform(jnp.log(x), lmbda)


def boxcox1p(x: Any, lmbda: Any) -> Any:
    """`boxcox` of 1 + x."""
    x, lmbda = inexact_args("boxcox1p", x, lmbda)
    return _power_transform(jnp.log1p(x), lmbda)


def _power_transform(log_x: Any, lmbda: Any) -> Any:
    is_zero = lmbda == 0
    divisor = jnp.where(is_zero, jnp.ones_like(lmbda), lmbda)
    return jnp.where(is_zero, log_x, jnp.expm1(divisor * log_x) / divisor)


def softmax(x: Any, /, *, axis: Any = None) -> Any:
    """exp(x) / sum(exp(x)) over all axes, or the given ones."""
    return activations.softmax(x, axis=axis)


def log_softmax(x: Any, /, *, axis: Any = None) -> Any:
    """log(softmax(x)) over all axes, or the given ones."""
    return activations.log_softmax(x, axis=axis)
