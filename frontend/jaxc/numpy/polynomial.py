"""Polynomials, convolution of sequences and window functions.

Composed of lax functions. Must not import statistics at load.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.numpy.arithmetic import power
from jaxc.numpy.creation import asarray, full_like, ones, zeros
from jaxc.numpy.flipping import flip
from jaxc.numpy.joining import concatenate
from jaxc.numpy.manipulation import atleast_1d
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    check_arraylike,
    convert,
    ensure_arraylike,
    promote_dtypes,
    promote_dtypes_inexact,
    promote_dtypes_numeric,
)
from jaxc.numpy.ranges import arange
from jaxc.numpy.reductions import prod
from jaxc.numpy.selection import where


@nested_jit(static_argnames=("unroll",))
def polyval(p: Any, x: Any, *, unroll: int = 16) -> Any:
    """The value of the polynomial with coefficients p (highest first) at x."""
    check_arraylike("polyval", p, x)
    p, x = (array_of(a) for a in promote_dtypes(p, x))
    shape = np.broadcast_shapes(p.shape[1:], x.shape)
    y = full_like(x, 0, shape=shape)
    y, _ = lax.scan(lambda y, c: (y * x + c, None), y, p, unroll=unroll)
    return y


@nested_jit
def polyadd(a1: Any, a2: Any) -> Any:
    """Sum of polynomials."""
    a1, a2 = (array_of(a) for a in promote_dtypes_numeric(*_checked("polyadd", a1, a2)))
    if a2.shape[0] <= a1.shape[0]:
        return a1.at[a1.shape[0] - a2.shape[0] :].add(a2)
    return a2.at[a2.shape[0] - a1.shape[0] :].add(a1)


def _checked(name: str, *args: Any) -> Any:
    check_arraylike(name, *args)
    return args


@nested_jit
def polysub(a1: Any, a2: Any) -> Any:
    """Difference of polynomials."""
    a1, a2 = ensure_arraylike("polysub", a1, a2)
    return polyadd(a1, lax.neg(a2))


def polymul(a1: Any, a2: Any, *, trim_leading_zeros: bool = False) -> Any:
    """Product of polynomials."""
    a1, a2 = (array_of(a) for a in promote_dtypes_inexact(*_checked("polymul", a1, a2)))
    if trim_leading_zeros:
        a1, a2 = trim_zeros(a1, "f"), trim_zeros(a2, "f")
    a1 = a1 if a1.shape[0] else asarray([0], dtype=a2.dtype)
    a2 = a2 if a2.shape[0] else asarray([0], dtype=a1.dtype)
    return convolve(a1, a2, mode="full")


@nested_jit(static_argnames=("m",))
def polyder(p: Any, m: int = 1) -> Any:
    """m-th derivative of a polynomial."""
    p = ensure_arraylike("polyder", p)
    m = operator.index(m)
    if m < 0:
        raise ValueError("Order of derivative must be positive")
    (p,) = promote_dtypes_inexact(p)
    if m == 0:
        return p
    rows = arange(m, len(p), dtype=p.dtype)[None, :] - arange(m, dtype=p.dtype)[:, None]
    return p[:-m] * lax.rev(prod(rows, axis=0), (0,))


@nested_jit(static_argnames=("m",))
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """m-th integral of a polynomial, with integration constants k."""
    from jaxc.numpy.elementwise import maximum

    m = operator.index(m)
    k = 0 if k is None else k
    p, k = (array_of(a) for a in promote_dtypes_inexact(*_checked("polyint", p, k)))
    if m < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    k = atleast_1d(k)
    if len(k) == 1:
        k = full_like(k, 0, shape=(m,)) + k[0]
    if k.shape != (m,):
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or m.")
    if m == 0:
        return p
    grid = arange(len(p) + m, dtype=p.dtype)[None, :] - arange(m, dtype=p.dtype)[:, None]
    return concatenate([p, k]) / lax.rev(prod(maximum(1, grid), axis=0), (0,))


def polydiv(u: Any, v: Any, *, trim_leading_zeros: bool = False) -> tuple[Any, Any]:
    """Quotient and remainder of polynomials."""
    u, v = (array_of(a) for a in promote_dtypes_inexact(*_checked("polydiv", u, v)))
    m, n = len(u) - 1, len(v) - 1
    scale = 1.0 / v[0]
    q = zeros(max(m - n + 1, 1), dtype=u.dtype)
    for k in range(m - n + 1):
        d = scale * u[k]
        q = q.at[k].set(d)
        u = u.at[k : k + n + 1].add(-d * v)
    return q, trim_zeros(u, "f") if trim_leading_zeros else u


@nested_jit
def poly(seq_of_zeros: Any) -> Any:
    """Coefficients of the polynomial with the given roots."""
    (roots,) = promote_dtypes_inexact(ensure_arraylike("poly", seq_of_zeros))
    roots = atleast_1d(roots)
    if roots.ndim != 1:
        raise ValueError("poly of a matrix needs eigenvalues")
    out = ones((1,), roots.dtype)
    for k in range(roots.size):
        out = convolve(out, asarray([1, -roots[k]], dtype=roots.dtype), mode="full")
    return out


def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """Without leading (f) and trailing (b) zeros; values must be known."""
    from jaxc import errors
    from jaxc.core.trace import Tracer

    filt = ensure_arraylike("trim_zeros", filt)
    if isinstance(filt, Tracer) and filt.to_concrete_value() is None:
        raise errors.ConcretizationTypeError(
            filt, "Error arose in the `filt` argument of trim_zeros()"
        )
    values = filt.to_concrete_value() if isinstance(filt, Tracer) else filt
    axes = range(filt.ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    found = np.argwhere(np.asarray(values))
    index = [slice(None)] * filt.ndim
    for i in (k % filt.ndim for k in axes):
        size = filt.shape[i]
        first = int(found[:, i].min()) if len(found) else size
        last = int(found[:, i].max()) + 1 if len(found) else 0
        start = first if "f" in trim.lower() else 0
        stop = last if "b" in trim.lower() else size
        index[i] = slice(start, max(start, stop))
    return filt[tuple(index)]


# ---- convolution ------------------------------------------------------------------------------


@nested_jit(name="_conv", static_argnames=("mode", "op", "precision", "preferred_element_type"))
def _conv(x: Any, y: Any, mode: str, op: str, precision: Any, preferred_element_type: Any) -> Any:
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(f"{op}() only support 1-dimensional inputs.")
    promote = promote_dtypes_inexact if preferred_element_type is None else promote_dtypes
    x, y = (array_of(a) for a in promote(x, y))
    if len(x) == 0 or len(y) == 0:
        raise ValueError(f"{op}: inputs cannot be empty, got shapes {x.shape} and {y.shape}.")
    if op == "correlate":
        y = lax.conj(y) if y.dtype.kind == "c" else y
        if len(x) < len(y):
            x, y = y, x
            x, y = flip(x), flip(y)
    else:
        if len(x) < len(y):
            x, y = y, x
        y = flip(y)
    if mode == "valid":
        padding = [(0, 0)]
    elif mode == "same":
        padding = [(y.shape[0] // 2, y.shape[0] - y.shape[0] // 2 - 1)]
    elif mode == "full":
        padding = [(y.shape[0] - 1, y.shape[0] - 1)]
    else:
        raise ValueError("mode must be one of ['full', 'same', 'valid']")
    out = lax.conv_general_dilated(
        lax.expand_dims(x, (0, 1)), lax.expand_dims(y, (0, 1)), (1,), padding,
        precision=precision, preferred_element_type=preferred_element_type,
    )  # fmt: skip
    return lax.squeeze(out, (0, 1))


@nested_jit(static_argnames=("mode", "precision", "preferred_element_type"))
def convolve(
    a: Any, v: Any, mode: str = "full", *, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """Convolution of two sequences."""
    a, v = ensure_arraylike("convolve", a, v)
    return _conv(a, v, mode=mode, op="convolve", precision=precision,
                 preferred_element_type=preferred_element_type)  # fmt: skip


@nested_jit(static_argnames=("mode", "precision", "preferred_element_type"))
def correlate(
    a: Any, v: Any, mode: str = "valid", *, precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """Correlation of two sequences."""
    a, v = ensure_arraylike("correlate", a, v)
    return _conv(a, v, mode=mode, op="correlate", precision=precision,
                 preferred_element_type=preferred_element_type)  # fmt: skip


# ---- windows ----------------------------------------------------------------------------------


def _window(M: int, build: Any) -> Any:
    M = operator.index(M)
    dtype = dtypes.default_dtype(float)
    if M <= 1:
        return ones((max(M, 0),), dtype)
    return build(lax.iota(dtype, M), M)


def bartlett(M: int) -> Any:
    """Triangular window."""
    return _window(M, lambda n, M: 1 - abs(2 * n + 1 - M) / (M - 1))


def blackman(M: int) -> Any:
    """Blackman window."""

    def build(n: Any, M: int) -> Any:
        n = n - (M - 1) / 2
        return 0.42 + 0.5 * _cos(2 * np.pi * n / (M - 1)) + 0.08 * _cos(4 * np.pi * n / (M - 1))

    return _window(M, build)


def _cos(x: Any) -> Any:
    return lax.cos(array_of(x))


def hamming(M: int) -> Any:
    """Hamming window."""
    return _window(M, lambda n, M: 0.54 - 0.46 * _cos(2 * np.pi * n / (M - 1)))


def hanning(M: int) -> Any:
    """Hann window."""
    return _window(M, lambda n, M: 0.5 * (1 - _cos(2 * np.pi * n / (M - 1))))


def kaiser(M: int, beta: Any) -> Any:
    """Kaiser window with shape parameter beta."""
    from jaxc.numpy.special import i0

    def build(n: Any, M: int) -> Any:
        alpha = 0.5 * (M - 1)
        inside = 1 - power((n - alpha) / alpha, 2)
        return i0(beta * lax.sqrt(inside)) / i0(beta)

    return _window(M, build)


@nested_jit(static_argnames=("axis", "edge_order"))
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int | None = None) -> Any:
    """Central differences, one-sided at the ends, along each axis."""
    if edge_order is not None:
        raise NotImplementedError("The 'edge_order' argument to jnp.gradient is not supported.")
    f, *spacings = (array_of(a) for a in promote_dtypes_inexact(*_checked("gradient", f, *varargs)))
    axes = range(f.ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    axes = [i % f.ndim for i in axes]
    if min((f.shape[i] for i in axes), default=2) < 2:
        raise ValueError("Shape of array too small to calculate a numerical gradient, at least 2 "
                         "elements are required.")  # fmt: skip
    if not spacings:
        spacings = [1.0] * len(axes)
    elif len(spacings) == 1:
        spacings = spacings * len(axes)
    elif len(spacings) != len(axes):
        raise TypeError(f"Invalid number of spacing arguments {len(spacings)} for {axes=}")
    out = [_gradient_axis(f, h, i) for h, i in zip(spacings, axes, strict=True)]
    return out[0] if len(out) == 1 else out


def _gradient_axis(f: Any, h: Any, axis: int) -> Any:
    def part(start: int | None, stop: int | None) -> Any:
        return lax.slice_in_dim(f, start, stop, axis=axis)

    if not isinstance(h, float) and h.ndim == 1:
        return _gradient_uneven(f, h, axis, part)
    first, last = part(1, 2) - part(0, 1), part(-1, None) - part(-2, -1)
    inner = (part(2, None) - part(0, -2)) * 0.5
    inner, last, first = inner / h, last / h, first / h
    return concatenate([first, inner, last], axis=axis)


def _gradient_uneven(f: Any, x: Any, axis: int, part: Any) -> Any:
    shape = [-1 if i == axis else 1 for i in range(f.ndim)]
    h = x[1:] - x[:-1]
    a, b = h[:-1].reshape(shape), h[1:].reshape(shape)
    inner = (-b / (a * (a + b))) * part(0, -2) + ((b - a) / (a * b)) * part(1, -1)
    inner = inner + (a / (b * (a + b))) * part(2, None)
    first = (part(1, 2) - part(0, 1)) / h[0]
    last = (part(-1, None) - part(-2, -1)) / h[-1]
    return concatenate([first, inner, last], axis=axis)


@nested_jit(static_argnames=("axis",))
def unwrap(p: Any, discont: Any = None, axis: int = -1, period: Any = 2 * np.pi) -> Any:
    """Phases without jumps of more than half a period."""
    from jaxc.numpy.arithmetic import remainder
    from jaxc.numpy.cumulative import cumsum, diff
    from jaxc.numpy.manipulation import moveaxis

    p = ensure_arraylike("unwrap", p)
    if dtypes.issubdtype(p.dtype, np.complexfloating):
        raise ValueError("jnp.unwrap does not support complex inputs.")
    if p.shape[axis] == 0:
        return p
    if not dtypes.issubdtype(p.dtype, np.inexact):
        (p,) = promote_dtypes_inexact(p)
    half = period / 2
    discont = half if discont is None else discont
    p = moveaxis(p, axis, -1)
    step = diff(p)
    wrapped = remainder(step + half, period) - half
    wrapped = where((wrapped == -half) & (step > 0), half, wrapped)
    correction = where(abs(step) < discont, convert(0, p.dtype), wrapped - step)
    out = concatenate([p[..., :1], p[..., 1:] + cumsum(correction, axis=-1)], axis=-1)
    return moveaxis(out, -1, axis)
