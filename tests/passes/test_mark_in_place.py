"""In-place decisions: what is written where it is, and the reason when it is copied."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from compiler.kernel_harness import fused, kernels, run, traced

import jaxc
import jaxc.numpy as jnp
from jaxc_compiler import driver, mlir
from jaxc_compiler.passes.mark_in_place import updates
from jaxc_runtime import buffer, executable

pytestmark = pytest.mark.compiler

X = np.arange(8, dtype=np.float32)


def reasons(function, *args, donate=()) -> list[str]:
    return [u.reason for u in updates(fused(traced(function, *args, donate=donate)))]


def set_one(x):
    return x.at[1].set(5.0)


def test_a_donated_argument_is_updated_in_place() -> None:
    assert reasons(set_one, X, donate=(0,)) == [""]


def test_an_argument_that_is_not_donated_is_copied() -> None:
    assert reasons(set_one, X) == ["argument 0 is not donated"]
    assert run(traced(set_one, X), [X])[0].tolist() == [0, 5, 2, 3, 4, 5, 6, 7]
    assert X[1] == 1


def test_an_argument_used_again_is_copied() -> None:
    found = reasons(lambda x: x.at[1].set(5.0) + x.sum(), X, donate=(0,))
    assert found == [] or found[0].startswith("its operand is used again by")


def test_an_intermediate_is_updated_in_place() -> None:
    assert reasons(lambda x: jnp.sin(x).at[1].set(5.0).at[2].add(1.0), X) == ["", ""]


def test_a_loop_updates_its_carry_in_place() -> None:
    def program(x):
        return jaxc.lax.fori_loop(0, 8, lambda i, u: u.at[i].add(1.0), x)

    assert reasons(program, X) == [""]
    assert run(traced(program, X), [X])[0].tolist() == (X + 1).tolist()


def test_an_old_value_needed_later_is_not_overwritten() -> None:
    def program(x):
        y = x * 2
        return y.at[0].set(9.0), y.at[1].set(9.0), y

    got = run(traced(program, X), [X])
    expected = [X * 2 for _ in range(3)]
    expected[0][0] = expected[1][1] = 9
    for a, b in zip(got, expected):
        np.testing.assert_array_equal(a, b)


def in_place(function, *args, donate=()) -> list[tuple[int, ...]]:
    module = fused(traced(function, *args, donate=donate))
    with mlir.LOCK, mlir.CONTEXT:
        return [mlir.from_attr(op.attributes["in_place"]) for op in kernels(module)]


def test_an_elementwise_result_takes_a_donated_argument() -> None:
    def momentum(p, m, g):
        m = 0.9 * m + g
        return p - 0.1 * m, m, (p * p).sum()

    (found,) = in_place(momentum, X, X, X, donate=(0, 1))
    assert sorted(n >= 0 for n in found) == [False, True, True]
    assert in_place(momentum, X, X, X) == [(-1, -1, -1)]
    p, m, total = run(traced(momentum, X, X, X + 1, donate=(0, 1)), [X, X, X + 1])
    np.testing.assert_allclose(m, 0.9 * X + X + 1, rtol=1e-6)
    np.testing.assert_allclose(p, X - 0.1 * m, rtol=1e-6)
    assert total == (X * X).sum()


def test_a_result_that_reads_other_elements_takes_no_argument() -> None:
    assert in_place(lambda x: x + x[::-1], X, donate=(0,)) == [(-1,)]


def test_the_cost_does_not_depend_on_the_size() -> None:
    times = []
    for size in (1 << 16, 1 << 24):
        x = buffer.empty_aligned((size,), np.dtype(np.float32))
        x[:] = 0
        call = executable.load(driver.compile(traced(set_one, x, donate=(0,))).vmfb)
        array = buffer.to_device(x)
        best = 1.0
        for _ in range(50):
            start = time.perf_counter()
            (array,) = call([array])
            best = min(best, time.perf_counter() - start)
        times.append(best)
    assert times[1] < 10 * times[0], times  # a copy would take 256 times as long
