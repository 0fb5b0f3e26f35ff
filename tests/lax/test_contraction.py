"""Contractions: values, jaxprs, derivatives and batches as JAX."""

from __future__ import annotations

import numpy as np
import pytest
from lax.differential import BFLOAT16, case, check, modes, normal

pytestmark = pytest.mark.oracle

MATMUL = (((1,), (0,)), ((), ()))


def dot_general(numbers, **params):
    return lambda lax, x, y: lax.dot_general(x, y, numbers, **params)


CASES = [
    case("matrix-matrix", lambda lax, x, y: lax.dot(x, y), normal(2, 3), normal(3, 4)),
    case("matrix-vector", lambda lax, x, y: lax.dot(x, y), normal(2, 3), normal(3)),
    case("vector-vector", lambda lax, x, y: lax.dot(x, y), normal(3), normal(3)),
    case("batch", dot_general((((2,), (1,)), ((0,), (0,)))), normal(2, 3, 4), normal(2, 4, 5)),
    case(
        "batch-inside", dot_general((((2,), (0,)), ((0,), (1,)))), normal(2, 3, 4), normal(4, 2, 5)
    ),
    case("two-axes", dot_general((((1, 2), (2, 0)), ((), ()))), normal(2, 3, 4), normal(4, 5, 3)),
    case("outer", dot_general((((), ()), ((), ()))), normal(2), normal(3)),
    case("empty-sum", dot_general(MATMUL), normal(2, 0), normal(0, 3)),
    case("integers", dot_general(MATMUL), normal(2, 3, dtype="i1"), normal(3, 4, dtype="i1")),
    case(
        "widened-integers",
        dot_general(MATMUL, preferred_element_type=np.int32),
        normal(2, 3, dtype="i1"),
        normal(3, 4, dtype="i1"),
    ),
    case("bools", dot_general(MATMUL), normal(2, 3, dtype=bool), normal(3, 4, dtype=bool)),
    case("complex", dot_general(MATMUL), normal(2, 3, dtype="c8"), normal(3, 4, dtype="c8")),
    case(
        "bfloat16", dot_general(MATMUL), normal(2, 3, dtype=BFLOAT16), normal(3, 4, dtype=BFLOAT16)
    ),
    case(
        "widened-bfloat16",
        dot_general(MATMUL, preferred_element_type=np.float32),
        normal(2, 3, dtype=BFLOAT16),
        normal(3, 4, dtype=BFLOAT16),
    ),
    case("mixed", dot_general(MATMUL), normal(2, 3), normal(3, 4, dtype="i4")),
    case("precision", dot_general(MATMUL, precision="highest"), normal(2, 3), normal(3, 4)),
    case(
        "algorithm",
        dot_general(MATMUL, precision="BF16_BF16_F32_X3"),
        normal(2, 3),
        normal(3, 4),
        diff=False,
    ),
    case("unknown-precision", dot_general(MATMUL, precision="good"), normal(2, 3), normal(3, 4)),
    case("sizes-differ", dot_general(MATMUL), normal(2, 3), normal(2, 3)),
    case(
        "repeated-dimension", dot_general((((0,), (0,)), ((0,), (0,)))), normal(2, 3), normal(2, 3)
    ),
    case("dot-shapes", lambda lax, x, y: lax.dot(x, y), normal(2, 3), normal(2, 3)),
    case(
        "batch_matmul", lambda lax, x, y: lax.batch_matmul(x, y), normal(2, 3, 4), normal(2, 4, 5)
    ),
    case("batch_matmul-vectors", lambda lax, x, y: lax.batch_matmul(x, y), normal(3), normal(3)),
]


@pytest.mark.parametrize(("item", "mode"), modes(CASES))
def test_as_jax(item, mode):
    check(item, mode)
