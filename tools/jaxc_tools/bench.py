"""`jaxc bench`: the same programs on jaxc and on JAX in one process, as ratios of their times.

A program is a function of the `jax` module it is to use, so both run the same text. Rounds of the
two alternate and the best round of each counts: on a busy machine absolute times mean little, their
ratio something. Needs real JAX (the `dev` extra).
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import jaxc
from jaxc_tools.errors import UsageError

ROUNDS = 15
ROUND_SECONDS = 0.02

Thunk = Callable[[], Any]


@dataclass(frozen=True)
class Measurement:
    """Seconds per call of one program; `ratio` below 1 means jaxc is faster."""

    name: str
    jaxc: float
    jax: float

    @property
    def ratio(self) -> float:
        return self.jaxc / self.jax


def jitted_call(jax: Any) -> Thunk:
    """A jitted call on ten floats: what a call itself costs."""
    f = jax.jit(lambda x: x + x)
    x = jax.numpy.arange(10.0)
    return lambda: f(x).block_until_ready()


def eager_selu(jax: Any) -> Thunk:
    """Eager `selu` on ten floats."""
    x = jax.numpy.arange(10.0)
    scale, alpha = 1.0507, 1.6733

    def selu() -> Any:
        return scale * jax.numpy.where(x > 0, x, alpha * jax.numpy.exp(x) - alpha)

    return lambda: selu().block_until_ready()


def heat(jax: Any) -> Thunk:
    """1000 steps of the heat equation on 1000 points, by `u.at[1:-1].add`."""

    @jax.jit
    def run(u: Any) -> Any:
        def step(_: Any, u: Any) -> Any:
            return u.at[1:-1].add(0.1 * (u[2:] - 2.0 * u[1:-1] + u[:-2]))

        return jax.lax.fori_loop(0, 1000, step, u)

    u = jax.numpy.asarray(np.random.default_rng(0).normal(size=1000), dtype="float32")
    return lambda: run(u).block_until_ready()


def gru(jax: Any) -> Thunk:
    """A GRU of 32 units over 300 steps."""
    jnp = jax.numpy
    rng = np.random.default_rng(0)
    w, u = (jnp.asarray(rng.normal(size=(3, 32, 32)) / 6, dtype="float32") for _ in range(2))
    xs = jnp.asarray(rng.normal(size=(300, 32)), dtype="float32")

    @jax.jit
    def run(xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            z = jax.nn.sigmoid(x @ w[0] + h @ u[0])
            r = jax.nn.sigmoid(x @ w[1] + h @ u[1])
            new = jnp.tanh(x @ w[2] + (r * h) @ u[2])
            h = (1 - z) * h + z * new
            return h, h

        return jax.lax.scan(step, jnp.zeros(32), xs)[1]

    return lambda: run(xs).block_until_ready()


def jacobi(jax: Any) -> Thunk:
    """Jacobi iteration on a 64 x 64 system until it stands still (`while_loop`)."""
    jnp = jax.numpy
    rng = np.random.default_rng(0)
    off = rng.normal(size=(64, 64)).astype("float32")
    np.fill_diagonal(off, 0.0)
    diagonal = np.abs(off).sum(1) * 1.2
    off, diagonal, b = (jnp.asarray(a) for a in (off, diagonal, np.ones(64, "float32")))

    @jax.jit
    def run(b: Any) -> Any:
        def unfinished(state: Any) -> Any:
            x, old, count = state
            return (jnp.max(jnp.abs(x - old)) > 1e-6) & (count < 500)

        def step(state: Any) -> Any:
            x, _, count = state
            return (b - off @ x) / diagonal, x, count + 1

        return jax.lax.while_loop(unfinished, step, (b / diagonal, jnp.zeros(64), 0))[0]

    return lambda: run(b).block_until_ready()


def softmax(jax: Any) -> Thunk:
    """Softmax of 128 x 1024: elementwise work and reductions that fuse."""
    f = jax.jit(jax.nn.softmax)
    x = jax.numpy.asarray(np.random.default_rng(0).normal(size=(128, 1024)), dtype="float32")
    return lambda: f(x).block_until_ready()


def sort(jax: Any) -> Thunk:
    """Sorting 100 000 floats."""
    f = jax.jit(jax.numpy.sort)
    x = jax.numpy.asarray(np.random.default_rng(0).normal(size=100_000), dtype="float32")
    return lambda: f(x).block_until_ready()


def cumsum(jax: Any) -> Thunk:
    """Cumulative sum of 100 000 floats."""
    f = jax.jit(jax.numpy.cumsum)
    x = jax.numpy.asarray(np.random.default_rng(0).normal(size=100_000), dtype="float32")
    return lambda: f(x).block_until_ready()


def matmul(jax: Any) -> Thunk:
    """A product of two 256 x 256 matrices."""
    f = jax.jit(lambda a: a @ a)
    a = jax.numpy.asarray(np.random.default_rng(0).normal(size=(256, 256)), dtype="float32")
    return lambda: f(a).block_until_ready()


def update(jax: Any) -> Thunk:
    """One element of a donated array of 16M floats set."""
    f = jax.jit(lambda x: x.at[3].set(1.0), donate_argnums=0)
    state = [jax.numpy.zeros(1 << 24, dtype="float32")]

    def run() -> Any:
        state[0] = f(state[0])
        return state[0].block_until_ready()

    return run


PROGRAMS: tuple[Callable[[Any], Thunk], ...] = (
    jitted_call, eager_selu, heat, gru, jacobi, softmax, sort, cumsum, matmul, update,
)  # fmt: skip


def measure(names: tuple[str, ...] = ()) -> list[Measurement]:
    """Time the programs (all, or the named ones) on both.

    Raises:
        UsageError: an unknown name, or JAX is not installed.
    """
    known = {program.__name__: program for program in PROGRAMS}
    for name in names:
        if name not in known:
            raise UsageError(f"no benchmark {name!r}; there are {', '.join(known)}")
    ours, theirs = _import_both()
    results = []
    for name in names or tuple(known):
        thunks = known[name](ours), known[name](theirs)
        _check_equal(name, *thunks)
        best = _best_rounds(*thunks)
        results.append(Measurement(name, *best))
    return results


def _import_both() -> tuple[Any, Any]:
    try:
        theirs = importlib.import_module("jax")
    except ImportError:
        raise UsageError("real jax is not installed: pip install jax") from None
    return jaxc, theirs


def _check_equal(name: str, ours: Thunk, theirs: Thunk) -> None:
    np.testing.assert_allclose(
        np.asarray(ours()), np.asarray(theirs()), rtol=1e-3, atol=1e-4, err_msg=name
    )


def _best_rounds(*thunks: Thunk) -> list[float]:
    counts = []
    for thunk in thunks:
        thunk()  # compiles
        started = time.perf_counter()
        thunk()
        counts.append(max(1, int(ROUND_SECONDS / (time.perf_counter() - started))))
    best = [float("inf")] * len(thunks)
    for _ in range(ROUNDS):
        for index, (thunk, count) in enumerate(zip(thunks, counts, strict=True)):
            started = time.perf_counter()
            for _ in range(count):
                thunk()
            best[index] = min(best[index], (time.perf_counter() - started) / count)
    return best
