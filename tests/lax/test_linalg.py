"""Decompositions and triangular solves: values, derivatives and batches as JAX."""

from __future__ import annotations

import numpy as np
import pytest
from lax.differential import case, check, modes, normal

pytestmark = pytest.mark.oracle

SQUARE, TALL, WIDE = normal(3, 3), normal(4, 3), normal(3, 4)
POSITIVE = SQUARE @ SQUARE.T + 2 * np.eye(3, dtype=np.float32)
BATCH = np.stack([POSITIVE, POSITIVE + np.eye(3, dtype=np.float32)])
TRIANGLE = np.tril(SQUARE) + 3 * np.eye(3, dtype=np.float32)
COMPLEX = normal(3, 3, dtype=np.complex64)
HERMITIAN = COMPLEX @ COMPLEX.conj().T + 2 * np.eye(3, dtype=np.complex64)


def call(name, **params):
    return lambda lax, *operands: getattr(lax.linalg, name)(*operands, **params)


def rebuild_svd(lax, x):
    u, s, vt = lax.linalg.svd(x, full_matrices=False)
    return lax.dot(lax.mul(u, lax.broadcast_in_dim(s, u.shape, (1,))), vt)


def squared_eigenvectors(lax, x):
    vectors, _ = lax.linalg.eigh(x)
    return lax.mul(vectors, vectors)


CASES = [
    case("cholesky", call("cholesky"), POSITIVE),
    case("cholesky-batch", call("cholesky"), BATCH, text=False),
    case("cholesky-hermitian", call("cholesky"), HERMITIAN, text=False),
    case("cholesky-not-square", call("cholesky"), WIDE),
    case("cholesky-not-positive", call("cholesky"), -POSITIVE, diff=False),
    *[
        case(
            f"triangular_solve-{left}-{transpose}-{unit}",
            call(
                "triangular_solve",
                left_side=left,
                transpose_a=transpose,
                unit_diagonal=unit,
                lower=True,
            ),
            TRIANGLE,
            normal(3, 2) if left else normal(2, 3),
        )
        for left in (True, False)
        for transpose in (True, False)
        for unit in (True, False)
    ],
    case(
        "triangular_solve-vector",
        call("triangular_solve", left_side=True, lower=True),
        TRIANGLE,
        normal(3),
        text=False,
        batch=False,
    ),
    case(
        "triangular_solve-singular",
        call("triangular_solve", left_side=True, lower=True),
        np.zeros((2, 2), np.float32),
        normal(2, 2),
        diff=False,
        batch=False,
    ),
    case("triangular_solve-sizes", call("triangular_solve"), TRIANGLE, WIDE),
    *[case(f"lu-{m.shape}", call("lu"), m, text=False) for m in (SQUARE, TALL, WIDE, BATCH)],
    *[
        case(f"qr-{m.shape}", call("qr", full_matrices=False), m, text=False)
        for m in (SQUARE, TALL, WIDE)
    ],
    case("qr-full", call("qr"), TALL, diff=False),
    case("qr-pivoting", call("qr", full_matrices=False, pivoting=True), TALL, text=False),
    *[
        case(f"svd-values-{m.shape}", call("svd", compute_uv=False), m, text=False)
        for m in (SQUARE, TALL, WIDE)
    ],
    *[
        case(f"svd-{m.shape}", rebuild_svd, m, text=False, batch=False)
        for m in (SQUARE, TALL, WIDE)
    ],
    case(
        "svd-nan",
        call("svd", compute_uv=False),
        SQUARE * np.float32(np.nan),
        diff=False,
        batch=False,
    ),
    case("eigh-values", lambda lax, x: lax.linalg.eigh(x)[1], BATCH, text=False),
    case("eigh-vectors", squared_eigenvectors, POSITIVE, text=False),
    case(
        "pivots",
        call("lu_pivots_to_permutation", permutation_size=4),
        np.array([1, 2, 2], np.int32),
    ),
    case("householder_product", call("householder_product"), TALL, normal(3), diff=False),
]


@pytest.mark.parametrize(("item", "mode"), modes(CASES))
def test_as_jax(item, mode):
    check(item, mode)
