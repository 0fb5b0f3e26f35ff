"""`stop_gradient`: the identity with a zero derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core import dtypes
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.transforms import ad, batching

stop_gradient_p = primitive("stop_gradient")


def stop_gradient(x: Any) -> Any:
    """The identity, for which derivatives are zero.

    Args:
      x: pytree of arrays; integers are returned as they are.

    Example:
      >>> import jaxc as jax
      >>> from jaxc import lax
      >>> float(jax.grad(lambda x: x * lax.stop_gradient(x))(3.0))
      3.0
    """

    def stop(leaf: Any) -> Any:
        if not dtypes.issubdtype(get_aval(leaf).dtype, np.inexact):
            return leaf
        return stop_gradient_p.bind(leaf)

    return tree_util.tree_map(stop, x)


ad.defjvp_zero(stop_gradient_p)
ad.primitive_transposes[stop_gradient_p] = ad.Missing("stop_gradient has no linear operand")
batching.defvectorized(stop_gradient_p)
