"""Type names for annotations (`jax.typing`): what array functions accept."""

from __future__ import annotations

from typing import Any, Protocol, Union

import numpy as np

from jaxc.core.array import Array


class SupportsDType(Protocol):
    """Anything with a `dtype`."""

    @property
    def dtype(self) -> Any: ...


# What is converted to an array when passed to a function of `jax.numpy`.
ArrayLike = Union[Array, np.ndarray, np.bool_, np.number, bool, int, float, complex]  # noqa: UP007
# What names a dtype.
DTypeLike = Union[str, type[Any], np.dtype, SupportsDType]  # noqa: UP007

__all__ = ["ArrayLike", "DTypeLike"]
