"""Abstract values: what is known of an array before it exists.

Owns `ShapedArray` and the dtypes NumPy does not have (`KeyDtype`, `float0`). Imports NumPy and
ml_dtypes only, so the op book, the frontend and the compiler share one definition.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

float0 = np.dtype([("float0", np.void, 0)])
bfloat16 = np.dtype(ml_dtypes.bfloat16)


# uint32 words of a key, by the generator's tag: threefry2x32, rbg and unsafe_rbg.
KEY_WORDS = {"fry": 2, "rbg": 4, "urbg": 4}


@dataclass(frozen=True, slots=True)
class KeyDtype:
    """Element type of a typed random key array: printed `key<fry>`, stored as `key_shape` words."""

    impl: str  # the tag of a generator, a key of KEY_WORDS

    @property
    def key_shape(self) -> tuple[int, ...]:
        return (KEY_WORDS[self.impl],)

    @property
    def name(self) -> str:
        return f"key<{self.impl}>"

    @property
    def itemsize(self) -> int:
        return 4 * int(np.prod(self.key_shape))

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


DType = np.dtype | KeyDtype

_SHORT = {
    "bool": "bool", "bfloat16": "bf16", "float16": "f16", "float32": "f32", "float64": "f64",
    "int2": "i2", "int4": "i4", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint2": "u2", "uint4": "u4", "uint8": "u8", "uint16": "u16", "uint32": "u32",
    "uint64": "u64", "complex64": "c64", "complex128": "c128",
    "float8_e4m3fn": "f8_e4m3fn", "float8_e5m2": "f8_e5m2",
    "float8_e4m3fnuz": "f8_e4m3fnuz", "float8_e5m2fnuz": "f8_e5m2fnuz",
    "float8_e4m3b11fnuz": "f8_e4m3b11fnuz", "float8_e3m4": "f8_e3m4", "float8_e4m3": "f8_e4m3",
}  # fmt: skip


def short_dtype_name(dtype: DType) -> str:
    """`f32` for float32: the spelling jaxprs and `--args` use."""
    if dtype == float0:
        return "float0"
    return _SHORT.get(dtype.name, dtype.name)


_interned: dict[Any, ShapedArray] = {}


class ShapedArray:
    """Shape, dtype and weak type of an array. Immutable; equal avals are the same object.

    Weak types are those of Python scalars: in promotion they give way to any array dtype.
    Interning makes comparison and hashing, on every jitted call's path, those of a pointer.
    """

    __slots__ = ("dtype", "shape", "weak_type")

    shape: tuple[int, ...]
    dtype: Any  # np.dtype | KeyDtype; Any spares every caller a narrowing
    weak_type: bool

    def __new__(cls, shape: tuple[int, ...], dtype: Any, weak_type: bool = False) -> ShapedArray:
        try:
            found = _interned.get((shape, dtype, weak_type))
        except TypeError:  # a list as shape
            found = None
        if found is None:
            shape = tuple(operator.index(dim) for dim in shape)
            dtype = dtype if isinstance(dtype, KeyDtype) else np.dtype(dtype)
            self = object.__new__(cls)
            self.shape, self.dtype, self.weak_type = shape, dtype, bool(weak_type)
            found = _interned.setdefault((shape, dtype, self.weak_type), self)
        return found

    def __reduce__(self) -> Any:
        return ShapedArray, (self.shape, self.dtype, self.weak_type)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        size = 1
        for dim in self.shape:
            size *= dim
        return size

    def update(self, **changes: Any) -> ShapedArray:
        """A copy with some of shape, dtype and weak_type replaced."""
        fields = {"shape": self.shape, "dtype": self.dtype, "weak_type": self.weak_type}
        return ShapedArray(**(fields | changes))

    def strip_weak_type(self) -> ShapedArray:
        return ShapedArray(self.shape, self.dtype) if self.weak_type else self

    def str_short(self, short_dtypes: bool = True) -> str:
        """`f32[2,3]`, as jaxprs print it (the weak type is not shown)."""
        name = short_dtype_name(self.dtype) if short_dtypes else self.dtype.name
        return f"{name}[{','.join(map(str, self.shape))}]"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapedArray({self.str_short(short_dtypes=False)}{weak})"

    def __str__(self) -> str:
        return ("~" if self.weak_type else "") + self.str_short(short_dtypes=False)


def typematch(a: ShapedArray, b: ShapedArray) -> bool:
    """Same shape and dtype; weak types may differ."""
    return a.shape == b.shape and a.dtype == b.dtype


_SMALL_INTEGERS = frozenset({"int2", "int4", "uint2", "uint4"})


def of_dtype(value: Any, dtype: np.dtype) -> np.ndarray:
    """Numbers as an array of a dtype; to a floating one they are rounded.

    Raises:
      ValueError: for numbers that are others in that dtype: 2.5 or 300 in an int8, 1j in a float32.

    >>> of_dtype(3, np.dtype("uint8"))
    array(3, dtype=uint8)
    """
    made = _cast(np.asarray(value), dtype)
    if made is None:
        raise ValueError(f"{value!r} is no value of {dtype.name}")
    return made


def _cast(given: np.ndarray, dtype: np.dtype) -> np.ndarray | None:
    """The array in a dtype; None if that changes more than digits of a fraction."""
    if given.dtype.kind in "SU" or (given.dtype.kind == "c" != dtype.kind and np.imag(given).any()):
        return None
    given = np.real(given) if dtype.kind != "c" else given
    try:
        with np.errstate(all="ignore"):
            made = given.astype(dtype)
    except (TypeError, ValueError, OverflowError):
        return None
    if dtype.kind not in "biu" and dtype.name not in _SMALL_INTEGERS:
        return made
    whole = made.astype(np.int8) if dtype.name in _SMALL_INTEGERS else made
    return made if np.array_equal(whole, given) else None
