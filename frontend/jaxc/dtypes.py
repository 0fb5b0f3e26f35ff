"""Dtypes and promotion under `jax.dtypes`' names."""

from __future__ import annotations

from typing import Any

from jaxc.core.dtypes import (
    bfloat16,
    canonicalize_dtype,
    extended,
    finfo,
    float0,
    iinfo,
    issubdtype,
    prng_key,
    result_type,
    scalar_type_of,
)
from jaxc.core.dtypes import dtype as _dtype
from jaxc.errors import TypePromotionError

__all__ = [
    "TypePromotionError",
    "bfloat16",
    "canonicalize_dtype",
    "extended",
    "finfo",
    "float0",
    "iinfo",
    "issubdtype",
    "itemsize_bits",
    "prng_key",
    "result_type",
    "scalar_type_of",
]


def itemsize_bits(dtype: Any) -> int:
    """Bits of one element: 4 for int4, 8 for bool."""
    found = _dtype(dtype)
    name = found.name
    for narrow, bits in (("int2", 2), ("uint2", 2), ("int4", 4), ("uint4", 4)):
        if name == narrow:
            return bits
    return 4 if name.startswith("float4") else found.itemsize * 8
