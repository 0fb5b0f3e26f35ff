"""Short cuts of eager mode: binary functions of concrete arrays by NumPy, without a bind.

Only functions whose NumPy result is exactly the kernel's. Must not import elementwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.array import Array, wrap
from jaxc.core.config import config
from jaxc.core.primitive import Primitive, primitive, quietly
from jaxc.numpy.promotion import host_pair
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.op import OPS

_BOOL = np.dtype(bool)
INTS = {np.dtype(f"{u}int{n}"): None for u in ("", "u") for n in (8, 16, 32, 64)}

# NumPy functions whose results on floats are exactly those of the op's kernel: eager calls on
# float arrays use them directly, without a bind
HOST: dict[str, Callable] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
    "maximum": np.maximum, "minimum": np.minimum,
}  # fmt: skip
HOST_COMPARE: dict[str, Callable] = {
    "equal": np.equal, "not_equal": np.not_equal, "greater": np.greater, "less": np.less,
    "greater_equal": np.greater_equal, "less_equal": np.less_equal,
}  # fmt: skip
FLOATS = {np.dtype(t): t for t in (np.float32, np.float64)}
_bool_avals: dict[tuple[tuple[int, ...], bool], ShapedArray] = {}


def _bool_aval(aval: ShapedArray) -> ShapedArray:
    key = (aval.shape, aval.weak_type)
    found = _bool_avals.get(key)
    if found is None:
        if len(_bool_avals) > 4096:
            _bool_avals.clear()
        found = _bool_avals[key] = ShapedArray(aval.shape, _BOOL, aval.weak_type)
    return found


def _on_host(host: Callable, compares: bool, x: Any, y: Any, aval: ShapedArray) -> Any:
    value = quietly(host, x, y)
    return wrap(value, _bool_aval(aval) if compares else aval)


def as_float(x: Array) -> Array:
    """An integer array as the floats its functions are computed in."""
    key = (x.aval, config.jax_enable_x64)
    aval = _float_avals.get(key)
    if aval is None:
        if len(_float_avals) > 4096:
            _float_avals.clear()
        aval = x.aval.update(dtype=dtypes.to_inexact_dtype(x.aval.dtype))
        _float_avals[key] = aval
    return wrap(x._numpy().astype(aval.dtype), aval)


_float_avals: dict[tuple[ShapedArray, Any], ShapedArray] = {}


_REAL = {int, float}


def eager_binary(host: Callable, compares: bool, name: str, x: Any, y: Any) -> Any:
    """The result by NumPy; None where the general path is needed."""
    if type(x) is Array:
        a = x.aval
        if a.dtype in FLOATS:
            if type(y) is Array:
                if y.aval == a:
                    return _on_host(host, compares, x._numpy(), y._numpy(), a)
            elif type(y) in _REAL and not a.weak_type:
                return _on_host(host, compares, x._numpy(), a.dtype.type(y), a)
    elif type(y) is Array:
        b = y.aval
        if type(x) in _REAL and b.dtype in FLOATS and not b.weak_type:
            return _on_host(host, compares, b.dtype.type(x), y._numpy(), b)
    else:
        return None
    return _promoted_on_host(host, compares, name, x, y)


def _promoted_on_host(host: Callable, compares: bool, name: str, x: Any, y: Any) -> Any:
    """The result for operands of different dtypes; None where the general path is needed."""
    pair = host_pair(x, y)
    if pair is None:
        return None
    a, b, dtype, weak = pair
    if dtype not in FLOATS and (dtype not in INTS or name == "divide"):
        return None
    if np.shape(a) != np.shape(b) and np.shape(a) and np.shape(b):
        return None  # broadcasting is checked (and worded) by the general path
    value = np.asarray(quietly(host, a, b))
    for operand in (x, y):
        aval = getattr(operand, "aval", None)
        if aval is not None and aval.shape == value.shape and aval.weak_type == weak:
            if compares:
                return wrap(value, _bool_aval(aval))
            if aval.dtype is dtype:
                return wrap(value, aval)
    return wrap(value, ShapedArray(value.shape, _BOOL if compares else dtype, weak))


# functions of one array whose primitive has another name
_PRIMITIVE_NAMES = {"arccos": "acos", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan",
                    "arctanh": "atanh", "negative": "neg"}  # fmt: skip


def unary_kernel(name: str) -> tuple[Primitive, dict[str, Any]] | None:
    """The primitive of a function that keeps the aval of float arrays, and its parameters."""
    found = _PRIMITIVE_NAMES.get(name, name)
    if found not in OPS or OPS[found].params not in ((), ("accuracy",)):
        return None
    return primitive(found), dict.fromkeys(OPS[found].params)


def eager_unary(prim: Primitive, params: dict[str, Any], x: Array) -> Array:
    """The kernel's value, of the aval of x: no inference is needed."""
    return wrap(quietly(prim.kernel, x._numpy(), **params), x.aval)
