"""Sorts: values, jaxprs, derivatives and batches as JAX."""

from __future__ import annotations

import numpy as np
import pytest
from lax.differential import BFLOAT16, case, check, modes, normal

pytestmark = pytest.mark.oracle

X, Y = normal(4, 5), normal(4, 5, seed=1)
INTEGERS = normal(4, 5, dtype="i4")
SPECIAL = np.array([np.nan, 0.0, -0.0, np.inf, -np.inf, 1.0, np.nan, -0.0], np.float32)

CASES = [
    case("sort", lambda lax, x: lax.sort(x), X),
    case("sort-first", lambda lax, x: lax.sort(x, 0), X),
    case("sort-two", lambda lax, x, y: lax.sort((x, y), dimension=0), X, Y),
    case(
        "sort-two-keys",
        lambda lax, x, y: lax.sort((x, y), dimension=1, num_keys=2, is_stable=False),
        INTEGERS,
        Y,
    ),
    case("sort-too-many-keys", lambda lax, x, y: lax.sort((x, y), num_keys=3), X, Y),
    case("sort-axis", lambda lax, x: lax.sort(x, 5), X),
    case("sort-special", lambda lax, x, i: lax.sort((x, i)), SPECIAL, np.arange(8), diff=False),
    *[
        case(f"sort-{d}", lambda lax, x: lax.sort(x), normal(3, 7, dtype=d), text=False, diff=False)
        for d in ("bool", "i1", "u2", "f2", BFLOAT16, "c8")
    ],
    case("sort_key_val", lambda lax, x, y: lax.sort_key_val(x, y, 0), X, Y),
    case("top_k", lambda lax, x: lax.top_k(x, 2), X),
    case("top_k-first", lambda lax, x: lax.top_k(x, 2, axis=0), X),
    case("top_k-integers", lambda lax, x: lax.top_k(x, 3), INTEGERS),
    case("top_k-special", lambda lax, x: lax.top_k(x, 8), SPECIAL, diff=False),
    case("top_k-too-many", lambda lax, x: lax.top_k(x, 9), X),
    case("top_k-scalar", lambda lax, x: lax.top_k(x, 0), normal()),
]


@pytest.mark.parametrize(("item", "mode"), modes(CASES))
def test_as_jax(item, mode):
    check(item, mode)
