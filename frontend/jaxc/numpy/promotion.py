"""Argument checks and implicit promotion shared by the functions of `jaxc.numpy`.

Python scalars stay host values as long as possible: as literals they keep jaxprs short and eager
calls fast. Must not import other files of this package at load.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.core.array import Array
from jaxc.core.config import config
from jaxc.core.primitive import primitive
from jaxc.core.trace import Tracer, get_aval
from jaxc_compiler.opset.avals import KeyDtype

convert_element_type_p = primitive("convert_element_type")
_SCALARS = {bool, int, float, complex}
_HOST_SCALAR = {bool: bool, int: int, float: float, complex: complex}


def is_arraylike(x: Any) -> bool:
    return (
        isinstance(x, Array | Tracer | np.ndarray | np.generic)
        or type(x) in _SCALARS
        or isinstance(x, bool | int | float | complex)
        or hasattr(x, "__jax_array__")
    )


def check_arraylike(name: str, *args: Any, none_ok: bool = False) -> None:
    """Raises TypeError naming the first argument that is no array or scalar."""
    for position, arg in enumerate(args):
        if not is_arraylike(arg) and not (none_ok and arg is None):
            raise TypeError(
                f"{name} requires ndarray or scalar arguments, "
                f"got {type(arg)} at position {position}."
            )


def as_operand(x: Any) -> Any:
    """An array-like as lax takes it: `__jax_array__` resolved, NumPy values made arrays."""
    if isinstance(x, Array | Tracer) or type(x) in _SCALARS:
        return x
    if hasattr(x, "__jax_array__"):
        return as_operand(x.__jax_array__())
    if isinstance(x, np.ndarray | np.generic):
        return to_array(x)
    for kind in _HOST_SCALAR:
        if isinstance(x, kind):
            return _HOST_SCALAR[kind](x)
    return x


def to_array(x: Any, dtype: Any = None, weak_type: bool = False) -> Array:
    """A host value as an Array on the default device (NumPy data is copied)."""
    value = np.array(x, dtype=dtype or dtypes.canonicalize_dtype(np.result_type(x)))
    return Array(value, get_aval(value).update(weak_type=weak_type))


def ensure_arraylike(name: str, *args: Any) -> Any:
    """The arguments as arrays or tracers; Python scalars become weakly typed arrays."""
    check_arraylike(name, *args)
    arrays = tuple(array_of(arg) for arg in args)
    return arrays[0] if len(arrays) == 1 else arrays


def array_of(x: Any) -> Any:
    """An array-like as an Array or tracer."""
    if isinstance(x, Array | Tracer):
        return x
    x = as_operand(x)
    if type(x) in _SCALARS:
        aval = get_aval(x)
        return Array(np.asarray(x, aval.dtype), aval)
    return x


def convert(x: Any, dtype: Any, weak_type: bool = False) -> Any:
    """`x` with exactly this dtype and weak type; no operation if it has them already.

    A weakly typed Python scalar stays one, a strongly typed one becomes a NumPy scalar.
    """
    kind = type(x)
    if kind in _SCALARS:
        return _convert_scalar(x, dtype, weak_type)
    if not isinstance(x, Array | Tracer):
        return convert(as_operand(x), dtype, weak_type)
    aval = x.aval
    if aval.dtype == dtype and aval.weak_type == weak_type:
        return x
    if aval.dtype.kind == "c" and dtype.kind != "c" and dtype.kind != "b":
        return convert(lax.real(x), dtype, weak_type)
    return convert_element_type_p.bind(x, new_dtype=dtype, weak_type=weak_type, sharding=None)


_WEAK_KIND = {"i": int, "f": float, "c": complex}


def _convert_scalar(x: Any, dtype: Any, weak_type: bool) -> Any:
    if weak_type:
        kind = _WEAK_KIND.get(dtype.kind)
        if kind is not None and dtypes.default_dtype(kind) == dtype:
            return kind(x)
    elif type(x) is int and dtype.kind in "iu":
        return wrap_int(x, dtype)
    if type(x) is complex or (type(x) is float and dtype.kind in "iu"):
        with np.errstate(invalid="ignore"):  # -inf as the initial value of an integer maximum
            value = np.asarray(x).astype(dtype)
    else:
        value = np.asarray(x, dtype)
    if weak_type:
        return Array(value, get_aval(value).update(weak_type=True))
    return value[()]


def wrap_int(x: int, dtype: Any, check: bool = True) -> Any:
    """A Python int as a NumPy integer, wrapping as a cast from the default int would."""
    if 0 <= x < 128 and dtype.kind in "iu":  # the common case, in every width
        return dtype.type(x)
    if check:
        get_aval(x)  # raises OverflowError for ints beyond the default integer dtype
    bits = dtype.itemsize * 8
    if dtype.name in ("int4", "uint4", "int2", "uint2"):
        return np.asarray(x).astype(dtype)[()]
    x &= (1 << bits) - 1
    if dtype.kind == "i" and x >> (bits - 1):
        x -= 1 << bits
    return dtype.type(x)


# ---- dtypes -----------------------------------------------------------------------------------


def promoted_dtype(*args: Any) -> tuple[Any, bool]:
    """(canonical dtype, weak) that the arguments combine to."""
    dtype, weak = dtypes.lattice_result_type(*args)
    return dtypes.canonicalize_dtype(dtype), weak


def promote_dtypes(*args: Any) -> list[Any]:
    if len(args) < 2:
        return [as_operand(a) for a in args]
    dtype, weak = promoted_dtype(*args)
    return [convert(a, dtype, weak) for a in args]


def promote_dtypes_inexact(*args: Any) -> list[Any]:
    """Like `promote_dtypes`; integers and bools become floats."""
    dtype, weak = promoted_dtype(*args)
    dtype = dtypes.to_inexact_dtype(dtype)
    return [convert(a, dtype, weak) for a in args]


def promote_dtypes_numeric(*args: Any) -> list[Any]:
    """Like `promote_dtypes`; bools become integers."""
    dtype, weak = promoted_dtype(*args)
    dtype = dtypes.to_numeric_dtype(dtype)
    return [convert(a, dtype, weak) for a in args]


def promote_dtypes_complex(*args: Any) -> list[Any]:
    """Like `promote_dtypes`; everything becomes complex."""
    dtype, weak = promoted_dtype(*args)
    dtype = dtypes.promote_types(dtypes.to_inexact_dtype(dtype), np.complex64)
    return [convert(a, dtype, weak) for a in args]


# ---- eager pairs ------------------------------------------------------------------------------

_pairs: dict[Any, tuple[Any, bool]] = {}
_PAIR_SCALARS = {int, float}


def _pair_kind(x: Any) -> Any:
    if type(x) is Array:
        return x.aval.dtype, x.aval.weak_type
    return type(x) if type(x) in _PAIR_SCALARS else None


def host_pair(x: Any, y: Any) -> Any:
    """(values of x and y in the common dtype, dtype, weak) of concrete arrays and Python numbers.

    None for anything else. The promotion of each pair of kinds is looked up once.
    """
    kind_x, kind_y = _pair_kind(x), _pair_kind(y)
    if kind_x is None or kind_y is None or config.jax_numpy_dtype_promotion != "standard":
        return None
    key = (kind_x, kind_y, config.jax_enable_x64)
    found = _pairs.get(key)
    if found is None:
        if any(type(k) is tuple and isinstance(k[0], KeyDtype) for k in key[:2]):
            return None
        found = _pairs[key] = promoted_dtype(x, y)
    dtype = found[0]
    return _host_value(x, dtype), _host_value(y, dtype), dtype, found[1]


def _host_value(x: Any, dtype: Any) -> Any:
    if type(x) is Array:
        value = x._numpy()
        return value if value.dtype is dtype else value.astype(dtype)
    return wrap_int(x, dtype) if type(x) is int and dtype.kind in "iu" else dtype.type(x)


# ---- shapes -----------------------------------------------------------------------------------


def shape_of(x: Any) -> tuple[int, ...]:
    return () if type(x) in _SCALARS else x.shape


def promote_shapes(name: str, *args: Any) -> list[Any]:
    """Equal ranks by leading unit dimensions; scalars and unit dimensions are left to lax."""
    shapes = [shape_of(a) for a in args]
    if all(len(s) == len(shapes[0]) for s in shapes[1:]):
        return list(args)
    ranks = {len(s) for s in shapes if s}
    if len(ranks) < 2:
        return list(args)
    if config.jax_numpy_rank_promotion != "allow":
        _rank_promotion_problem(name, shapes)
    try:
        rank = len(np.broadcast_shapes(*shapes))
    except ValueError:
        listed = ", ".join(map(str, shapes))
        raise ValueError(f"Incompatible shapes for broadcasting: shapes=[{listed}]") from None
    return [lax.broadcast_to_rank(a, rank) if shape_of(a) else a for a in args]


def _rank_promotion_problem(name: str, shapes: list[tuple[int, ...]]) -> None:
    listed = " ".join(map(str, shapes))
    message = f"Following NumPy automatic rank promotion for {name} on shapes {listed}."
    if config.jax_numpy_rank_promotion == "raise":
        raise ValueError(
            f"Operands could not be broadcast together for {name} on shapes {listed} and with "
            "the config option jax_numpy_rank_promotion='raise'."
        )
    warnings.warn(
        message + " Set the jax_numpy_rank_promotion config option to 'allow' to disable "
        "this warning.",
        stacklevel=4,
    )


_KEY_FUNCTIONS = {"equal", "not_equal", "array_equal", "array_equiv"}


def _reject_keys(name: str, args: tuple[Any, ...]) -> None:
    kinds = [dtypes.dtype_and_weak(a)[0] for a in args]
    keys = [isinstance(k, KeyDtype) for k in kinds]
    if any(keys) and not (all(keys) and name in _KEY_FUNCTIONS):
        listed = ", ".join(str(k) for k in kinds)
        raise TypeError(f"{name} does not accept dtypes {listed}.")


def promote_args(name: str, *args: Any) -> list[Any]:
    check_arraylike(name, *args)
    _reject_keys(name, args)
    return promote_shapes(name, *promote_dtypes(*args))


def promote_args_inexact(name: str, *args: Any) -> list[Any]:
    check_arraylike(name, *args)
    _reject_keys(name, args)
    return promote_shapes(name, *promote_dtypes_inexact(*args))


def promote_args_numeric(name: str, *args: Any) -> list[Any]:
    check_arraylike(name, *args)
    _reject_keys(name, args)
    return promote_shapes(name, *promote_dtypes_numeric(*args))


def const_like(x: Any, value: Any) -> Any:
    """A scalar of x's dtype, to combine with x as a literal."""
    aval = get_aval(x)
    return convert(value, aval.dtype, aval.weak_type and type(value) in _SCALARS)


def canonicalize_axis(axis: Any, ndim: int, what: str = "array") -> int:
    """A non-negative axis; ValueError (as JAX) if it is out of bounds."""
    import operator

    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of bounds for {what} of dimension {ndim}")
    return axis + ndim if axis < 0 else axis


def canonicalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """None, an int or a sequence of ints as a tuple of distinct non-negative axes."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    found = tuple(canonicalize_axis(a, ndim) for a in axes)
    if len(set(found)) != len(found):
        raise ValueError(f"duplicate value in 'axis': {axis}")
    return found


def complex_to_real(dtype: Any) -> Any:
    """The dtype of the real part."""
    return np.zeros((), dtype).real.dtype if dtype.kind == "c" else dtype
