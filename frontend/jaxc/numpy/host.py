"""Files, printing and buffers: functions that are NumPy's, or make arrays of foreign memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc.core import dtypes
from jaxc.core.array import Array
from jaxc.numpy.creation import array, asarray

set_printoptions = np.set_printoptions
get_printoptions = np.get_printoptions
printoptions = np.printoptions
array_repr = np.array_repr
array_str = np.array_str
can_cast = np.can_cast
iterable = np.iterable
save = np.save
savez = np.savez
ComplexWarning = np.exceptions.ComplexWarning


def load(file: Any, *args: Any, **kwargs: Any) -> Any:
    """The array saved in a file (or the archive of arrays)."""
    found = np.load(file, *args, **kwargs)
    return asarray(found) if isinstance(found, np.ndarray) else found


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Any:
    """An array of the bytes of a buffer (copied)."""
    kind = dtypes.canonicalize_dtype(dtype)
    return array(np.frombuffer(buffer, dtype=kind, count=count, offset=offset))


def fromstring(string: str, dtype: Any = float, count: int = -1, *, sep: str) -> Any:
    """An array of the numbers in a text."""
    return array(np.fromstring(string, dtype=dtype, count=count, sep=sep))


def fromfile(*args: Any, **kwargs: Any) -> Any:
    """Not available: reading a file is no pure function."""
    raise NotImplementedError(
        "jnp.fromfile() is not implemented because it may be non-pure and thus unsafe for use "
        "with JIT and other JAX transformations. Consider using jnp.asarray(np.fromfile(...)) "
        "instead."
    )


def fromiter(*args: Any, **kwargs: Any) -> Any:
    """Not available: reading an iterator is no pure function."""
    raise NotImplementedError(
        "jnp.fromiter() is not implemented because it may be non-pure and thus unsafe for use "
        "with JIT and other JAX transformations. Consider using jnp.asarray(np.fromiter(...)) "
        "instead."
    )


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """An array of another library's DLPack tensor (copied)."""
    if isinstance(x, Array):
        return array(x) if copy else x
    return array(np.from_dlpack(x))


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind, as the array API standard names them."""
    kinds = {
        "bool": (np.bool_,),
        "signed integer": (np.signedinteger,),
        "unsigned integer": (np.unsignedinteger,),
        "integral": (np.integer,),
        "real floating": (np.floating,),
        "complex floating": (np.complexfloating,),
        "numeric": (np.integer, np.floating, np.complexfloating),
    }
    found = dtypes.to_dtype(dtype) if isinstance(dtype, type | str) else dtypes.dtype(dtype)
    options = kind if isinstance(kind, tuple) else (kind,)
    for option in options:
        if isinstance(option, str):
            if option not in kinds:
                raise ValueError(f"Unrecognized kind='{option}' expected one of {list(kinds)}")
            if any(dtypes.issubdtype(found, k) for k in kinds[option]):
                return True
        elif found == dtypes.to_dtype(option):
            return True
    return False
