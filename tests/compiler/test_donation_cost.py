"""An update of a donated array costs what the update costs, not what the array's size would."""

from __future__ import annotations

import time

import pytest

import jaxc as jax
import jaxc.numpy as jnp

pytestmark = pytest.mark.compiler


def _update_seconds(size: int) -> float:
    """The fastest of some one-element updates of a donated array."""
    update = jax.jit(lambda x, i: x.at[i].set(1.0), donate_argnums=0)
    x = update(jax.jit(lambda: jnp.zeros(size))(), 3)
    fastest = float("inf")
    for i in range(20):
        start = time.perf_counter()
        x = update(x, i)
        fastest = min(fastest, time.perf_counter() - start)
    assert [float(x[i]) for i in (0, 3, 19, size - 1)] == [1.0, 1.0, 1.0, 0.0]
    return fastest


def test_updating_a_donated_array_does_not_copy_it() -> None:
    """A copy of 64M floats takes over a thousand times as long as the update of 1M in place."""
    assert _update_seconds(1 << 26) < 20 * _update_seconds(1 << 20)
