"""Dynamic slices, gathers and scatters: values, jaxprs, derivatives and batches as JAX."""

from __future__ import annotations

import numpy as np
import pytest
from lax.differential import BFLOAT16, case, check, modes, normal

pytestmark = pytest.mark.oracle

X, ROW, COLUMN = normal(4, 5), np.array(2, np.int32), np.array(-1, np.int32)
ROWS = np.array([[0], [3], [9], [-1]], np.int32)
REPEATED = np.array([[0], [3], [3], [-1]], np.int32)
DISTINCT = np.array([[0], [3], [9], [1]], np.int32)
UPDATES = normal(4, 5, seed=3)
BLOCKS = np.array([[0, 1], [2, 2], [3, 3]], np.int32)
STEPS = np.array([[[1], [2]], [[0], [4]], [[7], [1]], [[3], [3]]], np.int32)


def gather_rows(**params):
    def function(lax, x, indices):
        numbers = lax.GatherDimensionNumbers((1,), (0,), (0,))
        return lax.gather(x, indices, numbers, (1, 5), **params)

    return function


def scatter_rows(name, **params):
    def function(lax, x, indices, updates):
        numbers = lax.ScatterDimensionNumbers((1,), (0,), (0,))
        return getattr(lax, name)(x, indices, updates, numbers, **params)

    return function


def scatter_blocks(name):
    def function(lax, x, indices, updates):
        numbers = lax.ScatterDimensionNumbers((1, 2), (), (0, 1))
        return getattr(lax, name)(x, indices, updates, numbers)

    return function


CASES = [
    case("dynamic_slice", lambda lax, x, i: lax.dynamic_slice(x, (i, 1), (2, 3)), X, ROW),
    case(
        "dynamic_slice-negative",
        lambda lax, x, i, j: lax.dynamic_slice(x, (i, j), (2, 3)),
        X,
        COLUMN,
        ROW,
    ),
    case("dynamic_slice-vector", lambda lax, x, i: lax.dynamic_slice(x, i, (2, 3)), X, BLOCKS[0]),
    case(
        "dynamic_slice-unsigned",
        lambda lax, x, i: lax.dynamic_slice(x, (i, i), (2, 3)),
        X,
        ROW.astype("u1"),
    ),
    case("dynamic_slice-few", lambda lax, x, i: lax.dynamic_slice(x, (i,), (2, 3)), X, ROW),
    case("dynamic_slice-large", lambda lax, x, i: lax.dynamic_slice(x, (i, i), (5, 3)), X, ROW),
    case("dynamic_slice-float", lambda lax, x: lax.dynamic_slice(x, (1.0, 1.0), (2, 3)), X),
    case("dynamic_slice_in_dim", lambda lax, x, i: lax.dynamic_slice_in_dim(x, i, 2, 1), X, ROW),
    case(
        "dynamic_index_in_dim",
        lambda lax, x, i: lax.dynamic_index_in_dim(x, i, 1, keepdims=False),
        X,
        ROW,
    ),
    case(
        "dynamic_update_slice",
        lambda lax, x, u, i: lax.dynamic_update_slice(x, u, (i, 0)),
        X,
        normal(2, 3),
        ROW,
    ),
    case(
        "dynamic_update_slice-dtypes",
        lambda lax, x, u, i: lax.dynamic_update_slice(x, u, (i, 0)),
        X,
        normal(2, 3, dtype="i4"),
        ROW,
        diff=False,
    ),
    case(
        "dynamic_update_slice_in_dim",
        lambda lax, x, u, i: lax.dynamic_update_slice_in_dim(x, u, i, 1),
        X,
        normal(4, 2),
        ROW,
    ),
    case(
        "dynamic_update_index_in_dim",
        lambda lax, x, u, i: lax.dynamic_update_index_in_dim(x, u, i, 0),
        X,
        normal(5),
        ROW,
    ),
    case("gather-clip", gather_rows(mode="clip"), X, ROWS),
    case("gather-fill", gather_rows(mode="fill"), X, ROWS),
    case("gather-fill-value", gather_rows(mode="fill", fill_value=7.0), X, ROWS),
    case("gather-promise", gather_rows(), X, DISTINCT),
    case("gather-unknown-mode", gather_rows(mode="wrap"), X, ROWS),
    case("gather-float-indices", gather_rows(), X, ROWS.astype("f4"), diff=False),
    *[
        case(f"gather-fill-{d}", gather_rows(mode="fill"), normal(4, 5, dtype=d), ROWS, text=False)
        for d in ("i1", "u4", "bool", "f2", "c8", BFLOAT16)
    ],
    case(
        "gather-blocks",
        lambda lax, x, i: lax.gather(
            x, i, lax.GatherDimensionNumbers((1, 2), (), (0, 1)), (2, 3), mode="fill"
        ),
        X,
        BLOCKS,
    ),
    case(
        "gather-in-step",
        lambda lax, x, i: lax.gather(
            x, i, lax.GatherDimensionNumbers((), (1,), (1,), (0,), (0,)), (1, 1), mode="fill"
        ),
        X,
        STEPS,
    ),
    case(
        "index_take",
        lambda lax, x, i, j: lax.index_take(x, (i, j), (0, 1)),
        X,
        np.array([0, -1, 7]),
        np.array([1, 2, -3]),
        text=False,
    ),
    *[
        case(
            f"{name}-{mode}",
            scatter_rows(name, mode=mode),
            X,
            REPEATED,
            UPDATES,
            text=mode == "drop",
        )
        for name in ("scatter", "scatter_add", "scatter_sub", "scatter_min", "scatter_max")
        for mode in ("clip", "drop")
    ],
    *[
        case(f"{name}-unique", scatter_rows(name, unique_indices=True), X, DISTINCT, UPDATES)
        for name in ("scatter", "scatter_mul")
    ],
    case("scatter_mul-repeated", scatter_rows("scatter_mul"), X, REPEATED, UPDATES),
    case(
        "scatter-integers",
        scatter_rows("scatter_max"),
        normal(4, 5, dtype="i4"),
        ROWS,
        normal(4, 5, dtype="i4", seed=3),
    ),
    case("scatter-dtypes", scatter_rows("scatter"), X, ROWS, UPDATES.astype("i4"), diff=False),
    case("scatter-blocks", scatter_blocks("scatter"), X, BLOCKS, normal(3, 2, 3)),
    case("scatter_add-blocks", scatter_blocks("scatter_add"), X, BLOCKS, normal(3, 2, 3)),
    case(
        "scatter_add-in-step",
        lambda lax, x, i, u: lax.scatter_add(
            x, i, u, lax.ScatterDimensionNumbers((), (1,), (1,), (0,), (0,))
        ),
        X,
        STEPS,
        normal(4, 2),
    ),
    case(
        "scatter_apply",
        lambda lax, x, i: lax.scatter_apply(
            x,
            i,
            lambda v: lax.mul(v, v),
            lax.ScatterDimensionNumbers((1,), (0,), (0,)),
            update_shape=(4, 5),
        ),
        X,
        REPEATED,
    ),
]


@pytest.mark.parametrize(("item", "mode"), modes(CASES))
def test_as_jax(item, mode):
    check(item, mode)
