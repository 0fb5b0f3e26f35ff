"""The devices that the device tests run on, and the calls that must mean the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest

import jaxc as jax
import jaxc.numpy as jnp
from jaxc import lax

PLATFORMS = [
    pytest.param("vulkan", marks=pytest.mark.vulkan),
    pytest.param("cuda", marks=pytest.mark.cuda),
    "xla_cpu",
]


def device_of(platform: str):
    """The first device of a platform; skips the test where there is none."""
    try:
        return jax.devices(platform)[0]
    except RuntimeError as error:
        pytest.skip(str(error))


def inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two float arrays and one of integers, all 4 by 5."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4, 5)).astype(np.float32)
    return a, b, rng.integers(0, 9, (4, 5)).astype(np.int32)


def _with_nan(x):
    return jnp.where(x > 1, jnp.nan, x)


# name -> function of `inputs()`. Operations of their own are tested with the lowerings; these are
# the ways to call them: operators, methods, functions, transformations, control flow.
CALLS = {
    "add": lambda a, b, i: a + b,
    "add a scalar": lambda a, b, i: a * 2.5 + 1,
    "scalar first": lambda a, b, i: 1 - a,
    "promote": lambda a, b, i: a + i,
    "power": lambda a, b, i: a**2,
    "compare": lambda a, b, i: a > b,
    "tanh": lambda a, b, i: jnp.tanh(a),
    "where": lambda a, b, i: jnp.where(a > 0, a, b),
    "maximum": lambda a, b, i: jnp.maximum(a, 0),
    "matmul": lambda a, b, i: a @ b.T,
    "einsum": lambda a, b, i: jnp.einsum("ij,kj->ik", a, b),
    "sum": lambda a, b, i: a.sum(),
    "mean": lambda a, b, i: jnp.mean(a, axis=0),
    "argmax": lambda a, b, i: jnp.argmax(a, 1),
    "extrema of NaN": lambda a, b, i: [
        x for y in [_with_nan(a)] for x in (y.max(), y.min(0), jnp.argmax(y, 1), jnp.argmin(y))
    ],
    "order of NaN": lambda a, b, i: [
        x for y in [_with_nan(a)]
        for x in (jnp.sort(y, 1), lax.cummax(y, 1), lax.cummin(y, 0), jnp.maximum(y, b),
                  lax.clamp(-0.5, y, 0.5), lax.top_k(y, 2))
    ],
    "reshape": lambda a, b, i: a.reshape(5, 4),
    "row": lambda a, b, i: a[1],
    "slice": lambda a, b, i: a[1:3, ::2],
    "fancy": lambda a, b, i: a[np.array([0, 2])],
    "concatenate": lambda a, b, i: jnp.concatenate([a, b]),
    "set": lambda a, b, i: a.at[1].set(0.0),
    "add at": lambda a, b, i: a.at[0, 1].add(2.0),
    "cumsum": lambda a, b, i: jnp.cumsum(a, 1),
    "astype": lambda a, b, i: a.astype(jnp.int32),
    "integers": lambda a, b, i: i // 2 + i % 3,
    "like": lambda a, b, i: jnp.full_like(a, 3.0),
    "relu": lambda a, b, i: jax.nn.relu(a),
    "grad": lambda a, b, i: jax.grad(lambda x: jnp.sum(jnp.tanh(x) * b))(a),
    "vmap": lambda a, b, i: jax.vmap(jnp.dot)(a, b),
    "scan": lambda a, b, i: lax.scan(lambda c, x: (c + x, c * x), a[0], a),
    "fori": lambda a, b, i: lax.fori_loop(0, 3, lambda k, x: x * 1.5 + k, a),
    "while": lambda a, b, i: lax.while_loop(lambda x: x.sum() < 50, lambda x: x + 1.0, a),
    "cond": lambda a, b, i: lax.cond(a[0, 0] > 0, lambda x: x + 1, lambda x: x - 1, a),
}  # fmt: skip
# Called eagerly too: each is a compilation of its own.
EAGER = ["add", "add a scalar", "promote", "compare", "where", "matmul", "mean", "row", "fancy",
         "concatenate", "set", "like", "grad", "scan", "cond"]  # fmt: skip


def assert_same(name: str, got, want) -> None:
    """Equal structure, dtypes and values of two results."""
    got, want = jax.tree.leaves(got), jax.tree.leaves(want)
    assert len(got) == len(want), name
    for x, y in zip(got, want):
        assert x.dtype == y.dtype, name
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6, err_msg=name)
