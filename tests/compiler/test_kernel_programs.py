"""Whole programs in one kernel: loops, branches and updates give what JAX gives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax as oracle
import numpy as np
from compiler.kernel_harness import run, traced

import jaxc

pytestmark = [pytest.mark.compiler, pytest.mark.oracle]

RNG = np.random.default_rng(0)
V = RNG.standard_normal(37).astype(np.float32)
M = RNG.standard_normal((6, 9)).astype(np.float32)
W = (RNG.standard_normal((9, 9)) / 3).astype(np.float32)
INTS = RNG.integers(-9, 9, 25).astype(np.int32)
C = (V[:10] + 1j * V[10:20]).astype(np.complex64)

PROGRAMS = {}


def program(*args):
    """Register a maker of a function: it gets the namespace, `jaxc` or the oracle."""

    def register(make):
        PROGRAMS[make.__name__] = (make, args)
        return make

    return register


@program(V)
def fori_elementwise(jax):
    return lambda x: jax.lax.fori_loop(0, 10, lambda i, u: u * 0.9 + 0.1, x)


@program(V)
def fori_shifted(jax):
    return lambda x: jax.lax.fori_loop(0, 10, lambda i, u: u[::-1] * 0.5 + u * 0.5, x)


@program(V)
def heat_equation(jax):
    def step(i, u):
        return u.at[1:-1].add(0.1 * (u[2:] - 2 * u[1:-1] + u[:-2]))

    return lambda u: jax.lax.fori_loop(0, 50, step, u)


@program(V, V * 2)
def swapped_carries(jax):
    return lambda x, y: jax.lax.fori_loop(0, 5, lambda i, s: (s[1], s[0] + s[1]), (x, y))


@program(V)
def scan_of_scalars(jax):
    return lambda x: jax.lax.scan(lambda c, a: (c * 0.9 + a, c), jax.numpy.float32(0), x)


@program(M, W)
def recurrent_network(jax):
    jnp = jax.numpy

    def net(xs, w):
        def step(h, x):
            h = jnp.tanh(w @ h + x)
            return h, (h, h.sum())

        return jax.lax.scan(step, jnp.zeros(9, jnp.float32), xs)

    return net


@program(M)
def reversed_scan(jax):
    return lambda x: jax.lax.scan(lambda c, a: (c * 0.9 + a, c.max()), x[0], x, reverse=True)


@program(M)
def nested_loops(jax):
    def outer(c, a):
        c = jax.lax.fori_loop(0, 3, lambda i, c: c * 0.5 + a, c)
        return c, jax.lax.while_loop(lambda s: s < 3.0, lambda s: s + 1.0, c.sum())

    return lambda x: jax.lax.scan(outer, x[0], x)


@program(V)
def while_with_arrays(jax):
    jnp = jax.numpy

    def body(state):
        count, x = state
        return count + 1, x * x / (1 + jnp.abs(x).max())

    return lambda x: jax.lax.while_loop(lambda s: s[1].sum() > 1e-3, body, (0, jnp.abs(x)))


@program(V)
def branches(jax):
    def f(x):
        a = jax.lax.cond(x.sum() > 0, lambda x: x + 1, lambda x: x * 2, x)
        b = jax.lax.cond(x.sum() < 0, lambda x: (x + 1, x[0]), lambda x: (x, x[1]), x)
        return a, b

    return f


@program(np.int32(2), V)
def switch(jax):
    cases = [lambda x: x, lambda x: x + 1, lambda x: x * 3, lambda x: x.sum() + x]
    return lambda i, x: [jax.lax.switch(i + k, cases, x) for k in (-3, -1, 0, 5)]


@program(V)
def branch_in_a_loop(jax):
    def step(c, i):
        c = jax.lax.cond(i % 2 == 0, lambda c: c.at[i].set(7.0), lambda c: c, c)
        return c, c[0]

    return lambda x: jax.lax.scan(step, x, jax.numpy.arange(6))


@program(INTS)
def integer_state(jax):
    def step(state, x):
        seen, best = state
        return (seen | (x > 5), jax.numpy.maximum(best, x)), seen

    return lambda xs: jax.lax.scan(step, (False, xs[0]), xs)


@program(C)
def complex_state(jax):
    return lambda z: jax.lax.fori_loop(0, 5, lambda i, z: z * z * 0.5 + 0.1, z)


@program(V)
def boolean_array_carry(jax):
    return lambda x: jax.lax.fori_loop(0, 4, lambda i, m: m ^ (x > 0.1 * i), x > 0)


@program(V)
def update_and_read(jax):
    def step(i, u):
        return u.at[i].set(u[(i * 7) % 37] + u[i - 1])

    return lambda u: jax.lax.fori_loop(0, 37, step, u)


@program(M)
def floyd_warshall(jax):
    jnp = jax.numpy

    def f(m):
        d = jnp.abs(m[:, :6])
        return jax.lax.fori_loop(0, 6, lambda k, d: jnp.minimum(d, d[:, k, None] + d[k]), d)

    return f


@program(V)
def loop_of_sorts(jax):
    jnp = jax.numpy

    def step(c, i):
        s = jnp.sort(c)
        return jnp.cumsum(s) * 0.1, (jnp.argmax(c), jax.lax.top_k(c, 3)[0])

    return lambda x: jax.lax.scan(step, x, jnp.arange(3))


@program(V.astype(np.float16))
def half_precision(jax):
    return lambda x: jax.lax.scan(lambda c, a: (c * 0.5 + a, c), x[0], x)


@program(V, INTS)
def scatter_with_duplicates(jax):
    return lambda x, i: (x.at[i].add(1.5), x.at[i].max(0.5), x.at[i].mul(2.0), x.at[i].get())


@program(M)
def stencil_on_a_grid(jax):
    def step(state):
        u, n, _ = state
        inner = 0.25 * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2])
        new = u.at[1:-1, 1:-1].set(inner)
        return new, n + 1, jax.numpy.abs(new - u).max()

    init = lambda u: (u, 0, jax.numpy.float32(1))  # noqa: E731
    return lambda u: jax.lax.while_loop(lambda s: (s[2] > 1e-3) & (s[1] < 100), step, init(u))


@program(np.zeros((0, 3), np.float32), V)
def empty_arrays(jax):
    def f(e, x):
        ys = jax.lax.scan(lambda c, a: (c + a.sum(), a), jax.numpy.float32(1), e)
        return e + 1, e.sum(), e.sum(0), ys, x[:0], jax.numpy.concatenate([e, e])

    return f


@program(np.float32(2), np.zeros((1, 1, 1), np.float32))
def small_shapes(jax):
    def f(s, u):
        return (
            s + 1,
            u + s,
            u.sum(),
            jax.lax.fori_loop(0, 3, lambda i, u: u + 1, u),
            s.reshape(1, 1),
        )

    return f


@program(M)
def long_chain_of_shifts(jax):
    def f(x):
        for _ in range(8):
            x = x[:, ::-1] * 0.5 + x + x.T.reshape(6, 9) * 0.1
        return x

    return f


@program(V)
def values_used_twice(jax):
    jnp = jax.numpy

    def f(x):
        e = jnp.exp(x - x.max())
        p = e / e.sum()
        return p, -(p * jnp.log(p)).sum(), jnp.outer(p, e)

    return f


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str) -> None:
    make, args = PROGRAMS[name]
    wanted = oracle.tree.leaves(oracle.jit(make(oracle))(*args))
    got = run(traced(make(jaxc), *args), args)
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted):
        b = np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        tolerance = 2e-3 if b.dtype == np.float16 else 2e-5
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_a_loop_with_more_arrays_than_a_kernel_can_bind() -> None:
    arrays = [np.full((3, 2), n, np.float32) for n in range(45)]

    def make(jax):
        def f(*xs):
            def step(carry, row):
                return [c + x.sum() for c, x in zip(carry, xs)], row + xs[0]

            return jax.lax.scan(step, list(xs), jax.numpy.ones((4, 3, 2), jax.numpy.float32))

        return f

    wanted = oracle.tree.leaves(oracle.jit(make(oracle))(*arrays))
    got = run(traced(make(jaxc), *arrays), arrays)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_host_loop_holds_kernels() -> None:
    x = (RNG.standard_normal((256, 256)) / 16).astype(np.float16)  # too large for a kernel

    def make(jax):
        return lambda x: jax.lax.fori_loop(0, 3, lambda i, x: jax.numpy.tanh(x @ x + x), x)

    (got,) = run(traced(make(jaxc), x), [x])
    wanted = np.asarray(oracle.jit(make(oracle))(x))
    np.testing.assert_allclose(got.astype(np.float32), wanted.astype(np.float32), atol=5e-3)
