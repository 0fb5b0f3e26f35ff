"""Matrices large enough to be cut into blocks, of sizes that leave a rest in every direction."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import jaxc as jax
import jaxc.numpy as jnp

SHAPES = [
    (257, 513, 300),  # two blocks of depth, the last block of rows has one row
    (33, 1100, 67),  # one block of rows, three of depth
    (200, 520, 128),  # whole strips
]


def relative_error(result: object, expected: np.ndarray) -> float:
    return float(np.abs(np.asarray(result).astype(np.float64) - expected).max() / expected.max())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("dtype", "limit"), [(np.float32, 1e-5), (np.float16, 2e-3), (ml_dtypes.bfloat16, 1e-2)]
)
def test_blocks(shape: tuple[int, int, int], dtype: type, limit: float) -> None:
    rows, depth, columns = shape
    random = np.random.RandomState(0)
    x = random.randn(rows, depth).astype(dtype)
    y = random.randn(depth, columns).astype(dtype)
    result = jax.jit(jnp.matmul)(x, y)
    assert result.dtype == dtype
    assert relative_error(result, x.astype(np.float64) @ y.astype(np.float64)) < limit


def test_blocks_of_transposed_batches() -> None:
    random = np.random.RandomState(0)
    x = random.randn(2, 300, 133).astype(np.float32)
    y = random.randn(2, 259, 300).astype(np.float32)
    result = jax.jit(lambda x, y: jnp.einsum("bki,bjk->bij", x, y))(x, y)
    expected = np.einsum("bki,bjk->bij", x.astype(np.float64), y.astype(np.float64))
    assert relative_error(result, expected) < 1e-5
