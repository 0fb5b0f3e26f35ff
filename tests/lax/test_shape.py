"""Shape functions: values, jaxprs, derivatives and batches as JAX."""

from __future__ import annotations

import numpy as np
import pytest
from lax.differential import case, check, modes, normal

pytestmark = pytest.mark.oracle

MATRIX, VECTOR, CUBE = normal(2, 3), normal(3), normal(2, 1, 3)

CASES = [
    case("broadcast_in_dim", lambda lax, x: lax.broadcast_in_dim(x, (4, 2, 3), (1, 2)), MATRIX),
    case(
        "broadcast_in_dim-stretch",
        lambda lax, x: lax.broadcast_in_dim(x, (2, 5, 3), (0, 1, 2)),
        CUBE,
    ),
    case(
        "broadcast_in_dim-permuted",
        lambda lax, x: lax.broadcast_in_dim(x, (3, 4, 2), (2, 0)),
        MATRIX,
        diff=False,
    ),
    case("broadcast", lambda lax, x: lax.broadcast(x, (2,)), MATRIX),
    case("broadcast_to_rank", lambda lax, x: lax.broadcast_to_rank(x, 3), MATRIX),
    case("reshape", lambda lax, x: lax.reshape(x, (3, 2)), MATRIX),
    case("reshape-permuted", lambda lax, x: lax.reshape(x, (3, 2), (1, 0)), MATRIX),
    case("reshape-same", lambda lax, x: lax.reshape(x, (2, 3)), MATRIX),
    case("reshape-float-size", lambda lax, x: lax.reshape(x, (6.0,)), MATRIX),
    case("reshape-other-size", lambda lax, x: lax.reshape(x, (5,)), MATRIX, text=False),
    case("squeeze", lambda lax, x: lax.squeeze(x, (-2,)), CUBE),
    case("squeeze-not-one", lambda lax, x: lax.squeeze(x, (0,)), CUBE),
    case("squeeze-out-of-range", lambda lax, x: lax.squeeze(x, (5,)), CUBE),
    case("expand_dims", lambda lax, x: lax.expand_dims(x, (0, -1)), MATRIX),
    case("expand_dims-none", lambda lax, x: lax.expand_dims(x, ()), MATRIX),
    case("expand_dims-twice", lambda lax, x: lax.expand_dims(x, (0, 0)), MATRIX),
    case("collapse", lambda lax, x: lax.collapse(x, 1), CUBE),
    case("transpose", lambda lax, x: lax.transpose(x, (2, 0, 1)), CUBE),
    case("transpose-no-permutation", lambda lax, x: lax.transpose(x, (0, 1, 1)), CUBE),
    case("rev", lambda lax, x: lax.rev(x, (0, 1)), MATRIX),
    case("tile", lambda lax, x: lax.tile(x, (2, 3)), MATRIX),
    case("concatenate", lambda lax, x, y: lax.concatenate([x, y, x], 0), MATRIX, MATRIX + 1),
    case("concatenate-one", lambda lax, x: lax.concatenate([x], 0), MATRIX),
    case("concatenate-none", lambda lax: lax.concatenate([], 0)),
    case(
        "concatenate-dtypes",
        lambda lax, x, y: lax.concatenate([x, y], 0),
        MATRIX,
        MATRIX.astype("i4"),
    ),
    case("stack", lambda lax, x, y: lax.stack([x, y], 1), MATRIX, MATRIX + 1),
    case("unstack", lambda lax, x: lax.unstack(x, 1), MATRIX),
    case("split", lambda lax, x: lax.split(x, (1, 2), -1), MATRIX),
    case("split-sizes", lambda lax, x: lax.split(x, (1, 1), 1), MATRIX),
    case("pad", lambda lax, x, v: lax.pad(x, v, ((1, 2, 1), (0, -1, 2))), MATRIX, normal()),
    case("pad-dtypes", lambda lax, x: lax.pad(x, 0, ((1, 2, 1), (0, -1, 2))), MATRIX),
    case("slice", lambda lax, x: lax.slice(x, (0, 1), (2, 3)), MATRIX),
    case("slice-strides", lambda lax, x: lax.slice(x, (0, 0), (2, 3), (1, 2)), MATRIX),
    case("slice_in_dim", lambda lax, x: lax.slice_in_dim(x, -2, None, 1, 1), MATRIX),
    case("index_in_dim", lambda lax, x: lax.index_in_dim(x, -1, 1, False), MATRIX),
    case("index_in_dim-bounds", lambda lax, x: lax.index_in_dim(x, 4), MATRIX),
    case("iota", lambda lax: lax.iota("int32", 4)),
    case("broadcasted_iota", lambda lax: lax.broadcasted_iota(np.float32, (2, 3), 1)),
    case("iota-bool", lambda lax: lax.iota(bool, 3)),
    case("full", lambda lax: lax.full((2, 3), 7)),
    case("full-cast", lambda lax: lax.full((2,), 1.5, np.int32)),
    case("full-array", lambda lax: lax.full((2,), [1, 2])),
    case("full_like", lambda lax, x: lax.full_like(x, 2, np.int8, (4,)), MATRIX, diff=False),
    case("concatenate-empty", lambda lax, x, y: lax.concatenate([x, y], 0), normal(0, 3), MATRIX),
]


@pytest.mark.parametrize(("item", "mode"), modes(CASES))
def test_as_jax(item, mode):
    check(item, mode)
