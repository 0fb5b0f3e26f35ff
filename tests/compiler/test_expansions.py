"""Compiled decompositions: the properties that define them, and LAPACK's values where unique."""

from __future__ import annotations

import numpy as np
import pytest

import jaxc
import jaxc.numpy as jnp
from jaxc.lax import linalg

pytestmark = pytest.mark.compiler
RNG = np.random.default_rng(0)


def matrix(*shape: int, dtype=np.float32) -> np.ndarray:
    x = RNG.normal(size=shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * RNG.normal(size=shape)
    return x.astype(dtype)


def positive(n: int, *batch: int, dtype=np.float32) -> np.ndarray:
    x = matrix(*batch, n, n, dtype=dtype)
    return x @ x.conj().swapaxes(-1, -2) + n * np.eye(n, dtype=dtype)


def close(x, y, tolerance=2e-5):
    np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=tolerance, atol=tolerance * 5)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_cholesky(dtype, batch):
    x = positive(4, *batch, dtype=dtype)
    close(jaxc.jit(linalg.cholesky)(x), np.linalg.cholesky(x))


def test_cholesky_of_an_indefinite_matrix_is_nan():
    result = np.asarray(jaxc.jit(linalg.cholesky)(-np.eye(3, dtype=np.float32)))
    assert np.isnan(result[np.tril_indices(3)]).all()


@pytest.mark.parametrize("left_side", [True, False])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("transpose_a", [True, False])
def test_triangular_solve(left_side, lower, transpose_a):
    a, b = positive(3), matrix(3, 2) if left_side else matrix(2, 3)
    options = {"left_side": left_side, "lower": lower, "transpose_a": transpose_a}
    expected = linalg.triangular_solve(a, b, **options)
    close(jaxc.jit(lambda a, b: linalg.triangular_solve(a, b, **options))(a, b), expected)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (2, 3, 3)])
def test_lu(shape):
    x = matrix(*shape)
    for got, wanted in zip(jaxc.jit(linalg.lu)(x), linalg.lu(x), strict=True):
        close(got, wanted)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("mode", ["reduced", "complete"])
def test_qr(shape, dtype, mode):
    x = matrix(*shape, dtype=dtype)
    q, r = jaxc.jit(lambda x: linalg.qr(x, full_matrices=mode == "complete"))(x)
    expected_q, expected_r = np.linalg.qr(x, mode)
    close(q, expected_q)
    close(r, expected_r)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_eigh(dtype):
    x = positive(5, dtype=dtype)
    vectors, values = jaxc.jit(linalg.eigh)(x)
    close(values, np.linalg.eigvalsh(x), 1e-5)
    close(x @ np.asarray(vectors), np.asarray(vectors) * np.asarray(values), 1e-4)
    close(np.asarray(vectors).conj().T @ np.asarray(vectors), np.eye(5))


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_svd(shape, full, dtype):
    x = matrix(*shape, dtype=dtype)
    u, s, vt = (np.asarray(a) for a in jaxc.jit(lambda x: linalg.svd(x, full_matrices=full))(x))
    close(s, np.linalg.svd(x, compute_uv=False), 1e-5)
    rank = min(shape)
    close(u[:, :rank] * s @ vt[:rank], x)
    close(u.conj().T @ u, np.eye(u.shape[1]))
    close(vt @ vt.conj().T, np.eye(vt.shape[0]))


def test_svd_of_a_matrix_of_low_rank():
    x = np.outer(np.arange(1.0, 5), np.arange(1.0, 4)).astype(np.float32)
    u, s, vt = (np.asarray(a) for a in jaxc.jit(lambda x: linalg.svd(x, full_matrices=False))(x))
    close(u * s @ vt, x, 1e-5)
    close(u.T @ u, np.eye(3), 1e-4)


@pytest.mark.parametrize("index", [0, (slice(None), 1), (np.array([0, 1, 1, 7]),), slice(1, 3)])
def test_at_apply(index):
    x = matrix(3, 2)

    def function(x):
        return x.at[index].apply(lambda v: v * 2 + 1)

    close(jaxc.jit(function)(x), function(jnp.asarray(x)), 1e-6)
    batched = jaxc.vmap(function)
    y = matrix(2, 3, 2)
    close(jaxc.jit(batched)(y), batched(jnp.asarray(y)), 1e-6)


def test_empty_matrices():
    def function(a, b):
        tall = linalg.qr(b, full_matrices=True)
        return linalg.cholesky(a), *linalg.eigh(a), *linalg.lu(a), *tall

    a, b = np.zeros((0, 0), np.float32), np.zeros((3, 0), np.float32)
    for got, wanted in zip(jaxc.jit(function)(a, b), function(a, b), strict=True):
        assert got.dtype == wanted.dtype
        close(got, wanted)


def test_reshape_in_column_major_order():
    x = matrix(2, 3, 4)
    got = jaxc.jit(lambda x: (jnp.reshape(x, (4, 6), order="F"), jnp.ravel(x, order="F") + 1))(x)
    np.testing.assert_array_equal(got[0], x.reshape(4, 6, order="F"))
    np.testing.assert_array_equal(got[1], x.ravel(order="F") + 1)
