"""What the runtime promises to jitted functions: threads, the disk cache, memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import jaxc as jax
import jaxc.numpy as jnp

pytestmark = pytest.mark.compiler


def run_threads(work, count: int = 6) -> None:
    """Run `work(number)` in threads that start together; re-raise the first error."""
    barrier, errors = threading.Barrier(count), []

    def body(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_threads_call_one_function_for_the_first_time_at_once():
    @jax.jit
    def f(x, y):
        return jnp.sin(x) * 2 + y, (x * y).sum()

    def work(number: int) -> None:
        x = jnp.arange(50.0) + number
        for _ in range(50):
            first, second = f(x, 3.0)
            host = np.arange(50, dtype=np.float32) + number
            np.testing.assert_allclose(first, np.sin(host) * 2 + 3, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(second, (host * 3).sum(), rtol=1e-5)

    run_threads(work)


def test_threads_compile_and_differentiate_different_functions_at_once():
    def work(number: int) -> None:
        f = jax.jit(jax.grad(lambda x: jnp.sum(jnp.tanh(x) ** 2) * (number + 1)))
        x = np.linspace(-1, 1, 10 + number, dtype=np.float32)
        expected = 2 * np.tanh(x) * (1 - np.tanh(x) ** 2) * (number + 1)
        np.testing.assert_allclose(f(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-5)

    run_threads(work, 4)


def test_views_of_results_outlive_arrays_and_functions():
    views = []
    for number in range(20):
        f = jax.jit(lambda x, c=float(number): x + c)
        views.append(np.asarray(f(jnp.zeros(10_000)))[::2].reshape(50, -1))
        del f
    junk = [np.full(10_000, -1, np.float32) for _ in range(300)]
    for number, view in enumerate(views):
        assert (view == number).all()
    del junk


_PROGRAM = """
import sys
import jaxc as jax, jaxc.numpy as jnp
print(jax.jit(lambda x: jnp.cos(x) * 3 + 0.125)(jnp.zeros(3)))
print("torch_mlir" in sys.modules, "iree.compiler" in sys.modules)
"""


def run_program(directory) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True,
        env=os.environ | {"JAXC_CACHE_DIR": str(directory)},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_second_process_takes_the_program_from_the_cache(tmp_path):
    directory = tmp_path / "cache"
    assert run_program(directory) == ["[3.125 3.125 3.125]", "True True"]
    entries = list(directory.glob("*.entry"))
    assert entries
    assert run_program(directory) == ["[3.125 3.125 3.125]", "False False"]
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:-100])
    assert run_program(directory) == ["[3.125 3.125 3.125]", "True True"]
    assert run_program(directory) == ["[3.125 3.125 3.125]", "False False"]
