"""Dtypes and promotion exactly as JAX's: 32-bit defaults, weak types, the promotion lattice.

Owns canonicalization (64 -> 32 bit unless `jax_enable_x64`). Imports no array or tracer class: the
dtype of a value is read from its `aval`.
"""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np

from jaxc.core.config import config
from jaxc.errors import TypePromotionError
from jaxc_compiler.opset.avals import KeyDtype, bfloat16, float0

__all__ = [
    "bfloat16", "canonicalize_dtype", "check_user_dtype", "default_dtype", "dtype", "extended",
    "finfo", "float0", "iinfo", "is_python_scalar", "is_weakly_typed", "issubdtype",
    "lattice_result_type", "prng_key", "promote_types", "result_type", "scalar_type_of",
    "to_inexact_dtype", "to_numeric_dtype",
]  # fmt: skip


class extended(np.generic):
    """Abstract base of dtypes that NumPy does not know."""


class prng_key(extended):
    """Abstract dtype of typed random keys: `issubdtype(key.dtype, jax.dtypes.prng_key)`."""


_DTYPE32 = {
    np.dtype(np.float64): np.dtype(np.float32),
    np.dtype(np.int64): np.dtype(np.int32),
    np.dtype(np.uint64): np.dtype(np.uint32),
    np.dtype(np.complex128): np.dtype(np.complex64),
}
_FLOAT8 = [
    np.dtype(getattr(ml_dtypes, name))
    for name in (
        "float8_e3m4", "float8_e4m3", "float8_e8m0fnu", "float8_e4m3b11fnuz", "float8_e4m3fn",
        "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float4_e2m1fn",
    )
    if hasattr(ml_dtypes, name)
]  # fmt: skip
_SMALL_INTS = [np.dtype(getattr(ml_dtypes, n)) for n in ("int2", "uint2", "int4", "uint4")]
_CUSTOM_FLOATS = {bfloat16, *_FLOAT8}
_PYTHON_DTYPES = {bool: np.dtype(bool), int: np.dtype(np.int64), float: np.dtype(np.float64),
                  complex: np.dtype(np.complex128)}  # fmt: skip


def is_python_scalar(x: Any) -> bool:
    return type(x) in _PYTHON_DTYPES


def canonicalize_dtype(dtype: Any, allow_extended_dtype: bool = True) -> Any:
    """The dtype arrays have under the current flags: 64-bit types become 32-bit without x64.

    Raises:
      TypeError: for something that is no dtype.
    """
    if isinstance(dtype, KeyDtype):
        if not allow_extended_dtype:
            raise ValueError(f"{dtype} is an extended dtype")
        return dtype
    found = to_dtype(dtype)
    if config.jax_enable_x64:
        return found
    return _DTYPE32.get(found, found)


def to_dtype(x: Any) -> Any:
    """np.dtype of a dtype-like (np.float32, jnp.float32, 'float32', float); no canonicalization."""
    if isinstance(x, np.dtype | KeyDtype):
        return x
    if x in _PYTHON_DTYPES:
        return _PYTHON_DTYPES[x]
    found = getattr(x, "dtype", None)
    if isinstance(found, np.dtype | KeyDtype) and isinstance(x, type | _scalar_like):
        return found
    if isinstance(x, str) and x in _NAMED:
        return _NAMED[x]
    try:
        return np.dtype(x)
    except TypeError:
        raise TypeError(
            f"Value '{x}' with dtype {type(x)} is not a valid JAX array type. "
            "Only arrays of numeric types are supported by JAX."
        ) from None


class _scalar_like:
    """Base of jnp.float32 and its kin: callable scalar types with a `.dtype`."""

    dtype: np.dtype


scalar_type_base = _scalar_like
_NAMED = {d.name: d for d in [bfloat16, *_FLOAT8, *_SMALL_INTS]}


def default_dtype(kind: type) -> Any:
    """The canonical dtype of a Python scalar type."""
    return canonicalize_dtype(_PYTHON_DTYPES[kind])


def issubdtype(a: Any, b: Any) -> bool:
    """Like `np.issubdtype`, knowing bfloat16, float8, int4 and key dtypes."""
    if isinstance(a, KeyDtype):
        return isinstance(b, type) and issubclass(prng_key, b)
    if isinstance(a, type) and issubclass(a, extended):
        return isinstance(b, type) and issubclass(a, b)
    if isinstance(b, type) and issubclass(b, extended):
        return False
    a = a if _is_abstract(a) else to_dtype(a)
    if isinstance(a, np.dtype) and a in _CUSTOM_FLOATS:
        if _is_abstract(b):
            return b in (np.floating, np.inexact, np.number, np.generic)
        return a == to_dtype(b)
    if isinstance(a, np.dtype) and a in _SMALL_INTS:
        if _is_abstract(b):
            signed = np.unsignedinteger if a.name.startswith("u") else np.signedinteger
            return b in (signed, np.integer, np.number, np.generic)
        return a == to_dtype(b)
    if isinstance(a, np.dtype) and a == float0:
        return not _is_abstract(b) and to_dtype(b) == float0
    if not _is_abstract(b):
        b = to_dtype(b)
        if isinstance(b, KeyDtype) or b in _CUSTOM_FLOATS or b in _SMALL_INTS:
            return False
    return np.issubdtype(a, b)


def _is_abstract(x: Any) -> bool:
    return isinstance(x, type) and issubclass(x, np.generic) and x in _ABSTRACT


_ABSTRACT = {np.generic, np.number, np.integer, np.signedinteger, np.unsignedinteger, np.inexact,
             np.floating, np.complexfloating, np.flexible, np.character}  # fmt: skip


# ---- what a value's dtype is ----------------------------------------------------------------


def dtype_and_weak(x: Any) -> tuple[Any, bool]:
    """(canonical dtype, weak) of an array, a tracer, a NumPy value, a Python scalar or a dtype."""
    aval = getattr(x, "aval", None)
    if aval is not None and not isinstance(x, type):
        return aval.dtype, aval.weak_type
    kind = type(x)
    if kind in _PYTHON_DTYPES:
        return canonicalize_dtype(_PYTHON_DTYPES[kind]), kind is not bool
    if x in _WEAK_KINDS:
        return canonicalize_dtype(_PYTHON_DTYPES[x]), x is not bool
    if isinstance(x, np.ndarray | np.generic):
        return canonicalize_dtype(x.dtype), False
    if hasattr(x, "__jax_array__"):
        return dtype_and_weak(x.__jax_array__())
    if x is None:
        raise TypeError("None is not a valid value for jnp.dtype")
    if isinstance(x, list | tuple | dict | set):
        raise TypeError(f"Value {x!r} of type {type(x)} is not a valid JAX type")
    found = getattr(x, "dtype", None)
    if isinstance(found, np.dtype | KeyDtype):
        return canonicalize_dtype(found), bool(getattr(x, "weak_type", False))
    return canonicalize_dtype(x), False


class _WeakKinds:
    def __contains__(self, x: Any) -> bool:
        return x is int or x is float or x is complex or x is bool


_WEAK_KINDS = _WeakKinds()


def dtype(x: Any, *, canonicalize: bool = False) -> Any:
    """The dtype of a value or dtype-like; Python scalars have their 64-bit dtype unless asked."""
    if x is None:
        raise ValueError(f"Invalid argument to dtype: {x}.")
    kind = type(x)
    if kind in _PYTHON_DTYPES:
        found = _PYTHON_DTYPES[kind]
    elif isinstance(x, type) and x in _PYTHON_DTYPES:
        found = _PYTHON_DTYPES[x]
    elif hasattr(x, "aval"):
        found = x.aval.dtype
    elif hasattr(x, "dtype"):
        found = x.dtype
    else:
        found = np.result_type(x) if not isinstance(x, type | str | np.dtype) else to_dtype(x)
    return canonicalize_dtype(found) if canonicalize else found


def is_weakly_typed(x: Any) -> bool:
    if type(x) in _PYTHON_DTYPES:
        return type(x) is not bool
    aval = getattr(x, "aval", None)
    return bool(aval is not None and aval.weak_type)


def check_user_dtype(dtype: Any, fun_name: str = "", stacklevel: int = 3) -> Any:
    """Canonicalize a dtype the user asked for, warning (as JAX) when x64 is needed and off."""
    if isinstance(dtype, KeyDtype):
        return dtype
    asked = to_dtype(dtype)
    if asked.kind in "OSUMmV" and asked not in _CUSTOM_FLOATS and asked not in _SMALL_INTS:
        raise TypeError(f"JAX only supports number, bool, and key dtypes, got dtype {dtype}")
    found = canonicalize_dtype(asked)
    if found != asked and not isinstance(dtype, type(None)) and dtype not in (int, float, complex):
        import warnings

        warnings.warn(
            f"Explicitly requested dtype {asked.name} requested in {fun_name} is not available, "
            f"and will be truncated to dtype {found.name}. To enable more dtypes, set the "
            "jax_enable_x64 configuration option.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    return found


# ---- the promotion lattice --------------------------------------------------------------------

_B1 = np.dtype(bool)
_U8, _U16, _U32, _U64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
_I8, _I16, _I32, _I64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
_F16, _F32, _F64 = (np.dtype(f"float{n}") for n in (16, 32, 64))
_C64, _C128 = np.dtype(np.complex64), np.dtype(np.complex128)
_WEAK_INT, _WEAK_FLOAT, _WEAK_COMPLEX = int, float, complex

_LATTICE: dict[Any, list[Any]] = {
    _B1: [_WEAK_INT],
    _WEAK_INT: [_U8, _I8, *_SMALL_INTS],
    _U8: [_I16, _U16], _U16: [_I32, _U32], _U32: [_I64, _U64], _U64: [_WEAK_FLOAT],
    _I8: [_I16], _I16: [_I32], _I32: [_I64], _I64: [_WEAK_FLOAT],
    _WEAK_FLOAT: [bfloat16, _F16, _WEAK_COMPLEX, *_FLOAT8],
    bfloat16: [_F32], _F16: [_F32], _F32: [_F64, _C64], _F64: [_C128],
    _WEAK_COMPLEX: [_C64], _C64: [_C128], _C128: [],
    **{d: [] for d in (*_FLOAT8, *_SMALL_INTS)},
}  # fmt: skip


def _upper_bounds() -> dict[Any, set[Any]]:
    bounds = {n: {n} for n in _LATTICE}
    changed = True
    while changed:
        changed = False
        for node, edges in _LATTICE.items():
            for edge in edges:
                grown = bounds[node] | bounds[edge]
                if grown != bounds[node]:
                    bounds[node], changed = grown, True
    return bounds


_UPPER = _upper_bounds()


@functools.lru_cache(4096)
def _least_upper_bound(strict: bool, *nodes: Any) -> Any:
    distinct = set(nodes)
    if len(distinct) == 1:
        return nodes[0]
    if strict and len([n for n in distinct if isinstance(n, np.dtype)]) > 1:
        raise TypePromotionError(
            f"Input dtypes {tuple(map(str, nodes))} have no available implicit dtype promotion "
            "path when jax_numpy_dtype_promotion=strict. Try explicitly casting inputs."
        )
    for node in distinct:
        if node not in _UPPER:
            raise ValueError(f"{node} is not a valid dtype for JAX type promotion.")
    common = set.intersection(*(_UPPER[n] for n in distinct))
    for node in distinct & common:
        return node
    least = [c for c in common if _UPPER[c] == common]
    if len(least) == 1:
        return least[0]
    raise TypePromotionError(
        f"Input dtypes {tuple(str(n) for n in nodes)} have no available implicit dtype promotion "
        "path. Try explicitly casting inputs to the desired output type."
    )


_KIND_TYPES = {"b": bool, "i": int, "u": int, "f": float, "c": complex}


def _lattice_node(found: Any, weak: bool) -> Any:
    if isinstance(found, KeyDtype):
        return found
    if weak and found != _B1:
        return _KIND_TYPES.get(found.kind, float)
    return found


@functools.lru_cache(8192)
def _join(items: tuple[tuple[Any, bool], ...], strict: bool) -> tuple[Any, bool]:
    dtypes = [d for d, _ in items]
    all_weak = all(w for _, w in items)
    if len(items) == 1:
        return items[0]
    if len(set(dtypes)) == 1 and not all_weak:
        return dtypes[0], False
    if all_weak:
        node = _least_upper_bound(strict, *(_lattice_node(d, False) for d in dtypes))
        return (_PYTHON_DTYPES.get(node, node), True)
    node = _least_upper_bound(strict, *(_lattice_node(d, w) for d, w in items))
    weak = isinstance(node, type)
    return (_PYTHON_DTYPES[node] if weak else node), weak


def lattice_result_type(*args: Any) -> tuple[Any, bool]:
    """(dtype, weak) of combining the arguments, before canonicalization to 32 bit."""
    strict = config.jax_numpy_dtype_promotion == "strict"
    return _join(tuple(dtype_and_weak(a) for a in args), strict)


def result_type(*args: Any, return_weak_type_flag: bool = False) -> Any:
    """The dtype that JAX's promotion gives for the arguments.

    Example:
      >>> import jaxc.numpy as jnp
      >>> jnp.result_type(jnp.int8(1), 2.0)
      dtype('float32')
    """
    if not args:
        raise ValueError("at least one array or dtype is required")
    found, weak = lattice_result_type(*args)
    found = canonicalize_dtype(found)
    return (found, weak) if return_weak_type_flag else found


def promote_types(a: Any, b: Any) -> Any:
    """The smallest dtype of the lattice that both promote to."""
    node_a = a if a in (int, float, complex) else to_dtype(a)
    node_b = b if b in (int, float, complex) else to_dtype(b)
    node = _least_upper_bound(config.jax_numpy_dtype_promotion == "strict", node_a, node_b)
    return _PYTHON_DTYPES.get(node, node) if isinstance(node, type) else node


def to_inexact_dtype(found: Any) -> Any:
    """The float dtype that an integer or bool dtype is computed in."""
    if issubdtype(found, np.inexact):
        return found
    if found in (_I64, _U64) or (found in _PYTHON_DTYPES.values() and found == _I64):
        return canonicalize_dtype(_F64)
    return canonicalize_dtype(_F64 if config.jax_enable_x64 and found.itemsize == 8 else _F32)


def to_numeric_dtype(found: Any) -> Any:
    """bool -> int32, others unchanged."""
    return canonicalize_dtype(np.int64) if found == _B1 else found


def scalar_type_of(x: Any) -> type:
    """bool, int, float or complex: the Python type nearest to x's dtype."""
    found = dtype(x)
    for kind, abstract in ((bool, np.bool_), (int, np.integer), (float, np.floating)):
        if issubdtype(found, abstract):
            return kind
    if issubdtype(found, np.complexfloating):
        return complex
    raise TypeError(f"Invalid scalar value {x}")


def finfo(dtype: Any) -> Any:
    """Machine limits of a floating dtype (ml_dtypes' for bfloat16 and float8)."""
    return ml_dtypes.finfo(to_dtype(dtype) if not hasattr(dtype, "aval") else dtype.dtype)


def iinfo(dtype: Any) -> Any:
    """Machine limits of an integer dtype."""
    return ml_dtypes.iinfo(to_dtype(dtype) if not hasattr(dtype, "aval") else dtype.dtype)
