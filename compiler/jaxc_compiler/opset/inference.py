"""Checks and result types that several op families share.

Owns the classes of dtypes ops accept, the broadcasting of elementwise operands and the makers of
`infer` functions. Imports the avals only, so any family may use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import KeyDtype, ShapedArray, float0

Shape = tuple[int, ...]
Infer = Callable[..., ShapedArray]

BOOL = frozenset({"bool"})
SIGNED = frozenset({"signed integer"})
INTEGER = SIGNED | {"unsigned integer"}
FLOAT = frozenset({"floating"})
COMPLEX = frozenset({"complex"})
KEY = frozenset({"key"})
INEXACT = FLOAT | COMPLEX
NUMBER = INTEGER | INEXACT
BITS = BOOL | INTEGER
ORDERED = BOOL | INTEGER | FLOAT
ANY = BOOL | NUMBER

_KIND_CLASSES = {
    "b": "bool",
    "i": "signed integer",
    "u": "unsigned integer",
    "f": "floating",
    "c": "complex",
}
_class_of: dict[Any, str] = {}


def dtype_class(dtype: Any) -> str:
    """Which class of dtypes (`bool`, `signed integer`, ..., `key`, `float0`) a dtype is in."""
    found = _class_of.get(dtype)
    if found is None:
        found = _class_of[dtype] = _classify(dtype)
    return found


def _classify(dtype: Any) -> str:
    if isinstance(dtype, KeyDtype):
        return "key"
    if dtype == float0:
        return "float0"
    if dtype.kind in _KIND_CLASSES:
        return _KIND_CLASSES[dtype.kind]
    for prefix, found in (("uint", "unsigned integer"), ("int", "signed integer")):
        if dtype.name.startswith(prefix):
            return found
    return "floating" if "float" in dtype.name else dtype.name


def check_accepts(
    op: str, accepts: frozenset[str], dtype: Any, position: int | None = None
) -> None:
    """Raises TypeError unless `op` takes operands of this dtype."""
    found = dtype_class(dtype)
    if found in accepts:
        return
    where = "" if position is None else f" at position {position}"
    if found == "float0":
        raise TypeError(
            f"{op} was called with a float0 operand{where}. float0 is the tangent type of integers "
            "and bools and holds no numbers: a gradient with respect to an integer argument gives "
            "it. Use np.zeros_like(x, dtype=float) for ordinary zeros."
        )
    raise TypeError(
        f"{op} does not accept dtype {dtype.name}{where}: it takes {', '.join(sorted(accepts))}."
    )


def check_same_dtypes(op: str, *avals: ShapedArray) -> None:
    """Raises TypeError unless all operands have one dtype."""
    first = avals[0].dtype
    for aval in avals[1:]:
        if aval.dtype != first:
            raise TypeError(
                f"lax.{op} requires arguments to have the same dtypes, got "
                f"{', '.join(a.dtype.name for a in avals)}. "
                "The jax.numpy function of this kind promotes its arguments."
            )


def broadcast_shape(op: str, avals: Sequence[ShapedArray]) -> Shape:
    """The shape of an elementwise result: scalars go with anything, else ranks must agree.

    Raises:
      TypeError: if the ranks differ or a dimension is neither equal nor 1.
    """
    shapes = [a.shape for a in avals if a.shape]
    if not shapes:
        return ()
    first = shapes[0]
    if all(s == first for s in shapes):
        return first
    if len({len(s) for s in shapes}) > 1:
        raise TypeError(
            f"{op}: arrays must have the same number of dimensions, got shapes "
            f"{', '.join(map(str, shapes))}."
        )
    result = []
    for dims in zip(*shapes):
        sizes = {d for d in dims if d != 1}
        if len(sizes) > 1:
            raise TypeError(
                f"{op} got incompatible shapes for broadcasting: {', '.join(map(str, shapes))}."
            )
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def real_dtype(dtype: Any) -> Any:
    """complex64 -> float32; real dtypes unchanged."""
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def complex_dtype(dtype: Any) -> Any:
    """float32 -> complex64, float64 -> complex128; complex dtypes unchanged."""
    return dtype if dtype.kind == "c" else np.dtype(f"c{dtype.itemsize * 2}")


def bool_dtype(_: Any) -> Any:
    return np.dtype(bool)


def infer_unary(
    op: str, accepts: frozenset[str], result_dtype: Callable[[Any], Any] | None = None
) -> Infer:
    """The `infer` of an op that maps each element of one operand."""

    def infer(x: ShapedArray, **params: Any) -> ShapedArray:
        check_accepts(op, accepts, x.dtype)
        if result_dtype is None:
            return x
        return ShapedArray(x.shape, result_dtype(x.dtype), x.weak_type)

    return infer


def infer_nary(
    op: str, accepts: frozenset[str], result_dtype: Callable[[Any], Any] | None = None
) -> Infer:
    """The `infer` of an op that maps the matching elements of operands of one dtype."""

    def infer(*avals: ShapedArray, **params: Any) -> ShapedArray:
        for i, aval in enumerate(avals):
            check_accepts(op, accepts, aval.dtype, i)
        check_same_dtypes(op, *avals)
        dtype = avals[0].dtype
        return ShapedArray(
            broadcast_shape(op, avals),
            dtype if result_dtype is None else result_dtype(dtype),
            all(a.weak_type for a in avals),
        )

    return infer
