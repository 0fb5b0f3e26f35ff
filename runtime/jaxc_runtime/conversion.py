"""Arguments as a program takes them: numbers, nested lists and arrays of other dtypes.

Owns `as_array`. A dtype converts to those of its own kind and of the kinds after it (bool,
unsigned, integer, float, complex), integers only if their value is in range: nothing is changed
without a word but the last digits of a float. Imports the file format's records and dtypes.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from jaxc_runtime import buffer
from jaxc_runtime.artifact import ArraySpec

_KINDS = "buifc"
_INTEGERS = "ui"


def as_array(value: Any, spec: ArraySpec, path: str) -> np.ndarray:
    """Convert one leaf of the arguments to what the program wants.

    Args:
        value: an array, a number or a nested list.
        spec: the wanted shape and dtype.
        path: what the messages call it.

    Raises:
        TypeError: its dtype does not convert (float64 to float32 does, int64 to uint8 does not).
        ValueError: another shape.
        OverflowError: an integer that the dtype does not hold.

    >>> as_array([1, 2], ArraySpec((2,), "uint8"), "x")
    array([1, 2], dtype=uint8)
    >>> as_array(300, ArraySpec((), "uint8"), "x")
    Traceback (most recent call last):
      ...
    OverflowError: x: expected uint8[], got 300: not in 0 to 255
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{path}: expected {spec}, got lists of different lengths") from None
    if array.dtype != spec.numpy_dtype:
        array = _converted(array, value, spec, path)
    if array.shape != spec.shape:
        raise ValueError(f"{path}: expected {spec}, got shape {array.shape}")
    return array


def _converted(array: np.ndarray, value: Any, spec: ArraySpec, path: str) -> np.ndarray:
    dtype = spec.numpy_dtype
    wanted, got = _kind(dtype), _kind(array.dtype)
    if (wanted in _INTEGERS or not got) and _is_of_integers(value):
        array, got = np.asarray(value, object), _INTEGERS[0]  # Python's: of any size
    if not got or _KINDS.index(got) > _KINDS.index(wanted):
        raise TypeError(f"{path}: expected {spec}, got dtype {array.dtype}")
    if wanted in _INTEGERS:
        _check_range(array, spec, path)
    elif array.dtype == object:
        try:
            array = array.astype(np.float64)  # not every dtype converts from objects
        except OverflowError:
            raise OverflowError(f"{path}: expected {spec}, got a larger number") from None
    with np.errstate(over="ignore"):  # a float that is too large is infinite
        return array.astype(dtype)


def _check_range(array: np.ndarray, spec: ArraySpec, path: str) -> None:
    limits = ml_dtypes.iinfo(spec.numpy_dtype)
    for extreme in (int(array.min()), int(array.max())) if array.size else ():
        if not limits.min <= extreme <= limits.max:
            held = f"{limits.min} to {limits.max}"
            raise OverflowError(f"{path}: expected {spec}, got {extreme}: not in {held}")


def _kind(dtype: np.dtype) -> str:
    """The letter of a dtype's kind, also of ml_dtypes'; empty of what no program takes."""
    if dtype.kind in _KINDS:
        return dtype.kind
    if not buffer.is_dtype(dtype.name):
        return ""
    return dtype.name[0] if dtype.name[0] in _INTEGERS else "f"


def _is_of_integers(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_of_integers, value))
    return isinstance(value, int)
