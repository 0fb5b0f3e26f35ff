"""Makers of NumPy kernels, and the samples, that several op families share.

A kernel is called for every eager operation, so it is one ufunc call where a ufunc does what the op
means. Imports the avals and op types only; SciPy is imported by the first kernel that needs it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import ShapedArray, bfloat16
from jaxc_compiler.opset.op import Sample

Kernel = Callable[..., np.ndarray]

NARROW_FLOATS = frozenset({np.dtype(np.float16), bfloat16})
_ndarray = np.ndarray
_asarray = np.asarray

FLOATS = ("float32", "float64", "float16", "bfloat16")
COMPLEXES = ("complex64", "complex128")
INTEGERS = ("int32", "int8", "int64", "uint8", "uint32")


def from_ufunc(ufunc: Callable[..., Any], arity: int = 1) -> Kernel:
    """A kernel of a ufunc: scalars that NumPy returns for 0-d operands become arrays again."""
    if arity == 1:

        def unary(x: np.ndarray, **params: Any) -> np.ndarray:
            out = ufunc(x)
            return out if type(out) is _ndarray else _asarray(out)

        return unary

    def binary(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        out = ufunc(x, y)
        return out if type(out) is _ndarray else _asarray(out)

    return binary


_ROUNDED_BELOW = 4096  # elements
_F32 = np.dtype(np.float32)


def rounded(ufunc: Callable[..., Any]) -> Kernel:
    """A kernel of a function that NumPy's float32 loop gives to 1-2 ulp only.

    Arrays small enough to be looked at are computed in float64 and rounded once, which is the
    nearest float32 nearly always, as XLA's results are; large ones take NumPy's fast loop.
    """

    def kernel(x: np.ndarray, **params: Any) -> np.ndarray:
        if x.dtype is _F32 and x.size < _ROUNDED_BELOW:
            return _asarray(ufunc(x.astype(np.float64)), np.float32)
        return _asarray(ufunc(x))

    return kernel


@functools.cache
def scipy_special() -> Any:
    """scipy.special, imported on first use: it takes longer to load than the rest of jaxc."""
    import scipy.special

    return scipy.special


def from_scipy(name: str) -> Kernel:
    """A kernel of a scipy.special ufunc, which has float and double loops only."""

    def kernel(*operands: np.ndarray) -> np.ndarray:
        return at_least_f32(getattr(scipy_special(), name), *operands)

    return kernel


def at_least_f32(function: Callable[..., Any], *operands: np.ndarray) -> np.ndarray:
    """`function` of the operands, computed in float32 if they are narrower and rounded once."""
    dtype = operands[0].dtype
    if dtype.itemsize < 4:
        operands = tuple(x.astype(np.float32) for x in operands)
    return np.asarray(function(*operands)).astype(dtype, copy=False)


def unary_samples(*dtypes: str, **params: Any) -> Callable[[], Iterable[Sample]]:
    """One operand: matrix, scalar and empty array of the first dtype, vectors of the others."""
    return nary_samples(1, *dtypes, **params)


def nary_samples(
    arity: int, *dtypes: str, broadcast: bool = True, **params: Any
) -> Callable[[], Iterable[Sample]]:
    """`arity` operands of one dtype and shape, and one case where a scalar is broadcast."""

    def samples() -> Iterable[Sample]:
        for i, dtype in enumerate(dtypes):
            shapes = [(2, 3), (), (0, 3)] if i == 0 else [(4,)]
            for shape in shapes:
                yield Sample(tuple(ShapedArray(shape, dtype) for _ in range(arity)), params)
        if arity > 1 and broadcast:
            rest = (ShapedArray((), dtypes[0]),) * (arity - 1)
            yield Sample((ShapedArray((2, 3), dtypes[0]), *rest), params)

    return samples
