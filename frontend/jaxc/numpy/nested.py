"""Functions that show as a nested `jit` in a printed jaxpr, as JAX traces them.

Eager calls run the Python function directly: nothing is compiled for them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jaxc.transforms.jit import jnp_jit


def nested_jit(
    fun: Callable | None = None, *, name: str | None = None, static_argnames: tuple = ()
) -> Any:
    """Decorator: under tracing the call is one `jit[name=... jaxpr=...]` equation."""
    if fun is None:
        return functools.partial(nested_jit, name=name, static_argnames=static_argnames)
    if name is not None and name != fun.__name__:
        fun.__name__ = name
        fun.__qualname__ = name
    return jnp_jit(fun, static_argnames=static_argnames)
