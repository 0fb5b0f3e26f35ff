"""Compiling in forked children of a process that has compiled: `os.fork` and a Pool."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.compiler,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

PROGRAM = """
import multiprocessing, os, sys, threading
import jaxc as jax, jaxc.numpy as jnp

def value(n):
    x = jnp.arange(4.0)
    big = jax.jit(lambda x: jnp.sort(jnp.sin(x) * n))(x)  # kernels
    other = jax.jit(lambda x: jnp.linalg.cholesky(jnp.diag(x + n)))(x)  # IREE's whole pipeline
    text = jax.jit(lambda x: x + n).lower(x).as_text("iree")
    return float(big.sum()), float(other[0, 0]), "vm.module" in text or "stream" in text

expected = [value(n) for n in (1, 2)]
threads = [threading.Thread(target=value, args=(n,)) for n in (5, 6)]
for thread in threads:
    thread.start()
child = os.fork()
if child == 0:
    assert value(1) == expected[0]
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
for thread in threads:
    thread.join()
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(value, (1, 2)) == expected
assert value(4)[1] == 2.0  # the parent goes on with its own sessions
print("done")
"""


def test_children_compile_when_their_parent_has():
    environment = os.environ | {"JAXC_CACHE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300,
        env=environment,
    )  # fmt: skip
    assert done.stdout == "done\n", done.stderr
