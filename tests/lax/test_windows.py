"""Windowed reductions: values, jaxprs, derivatives and batches as JAX."""

from __future__ import annotations

import numpy as np
import pytest
from lax.differential import case, check, modes, normal

pytestmark = pytest.mark.oracle

X = normal(4, 5)


def window(init, computation, *args, **params):
    def function(lax, x):
        return lax.reduce_window(x, init, getattr(lax, computation), *args, **params)

    return function


CASES = [
    *[
        case(f"{name}-strides", window(np.float32(init), name, (2, 2), (1, 2)), X)
        for name, init in (("add", 0), ("max", -np.inf), ("min", np.inf))
    ],
    *[
        case(f"{name}-same", window(np.float32(init), name, (2, 3), (1, 1), "SAME"), X)
        for name, init in (("add", 0), ("max", -np.inf))
    ],
    *[
        case(
            f"{name}-dilated",
            window(np.float32(init), name, (2, 2), (1, 1), ((1, 0), (0, 1)), (2, 1)),
            X,
        )
        for name, init in (("add", 0), ("max", -np.inf))
    ],
    case(
        "add-window-dilation",
        window(np.float32(0), "add", (2, 2), (1, 1), "VALID", None, (1, 2)),
        X,
    ),
    case(
        "max-window-dilation",
        window(np.float32(-np.inf), "max", (2, 2), (1, 1), "VALID", None, (1, 2)),
        X,
        text=False,
    ),
    case("add-python-zero", window(0.0, "add", (2, 2)), X),
    case("mul", window(np.float32(1), "mul", (2, 2), (1, 2), "SAME"), X, diff=False),
    case("integers", window(np.int32(-(2**31)), "max", (2, 2)), normal(4, 5, dtype="i4")),
    case("rank", window(np.float32(0), "add", (2,)), X),
    case(
        "two",
        lambda lax, x, y: lax.reduce_window(
            (x, y),
            (np.float32(0), np.float32(1)),
            lambda a, b: (lax.add(a[0], b[0]), lax.mul(a[1], b[1])),
            (2, 2),
        ),
        X,
        X + 1,
        diff=False,
    ),
]


@pytest.mark.parametrize(("item", "mode"), modes(CASES))
def test_as_jax(item, mode):
    check(item, mode)
