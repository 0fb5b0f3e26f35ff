"""Fusion: what ends in one dispatch, what stays out, and how many arrays a kernel binds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from compiler.kernel_harness import fused, kernels, run, traced

import jaxc
import jaxc.numpy as jnp
from jaxc_compiler import cost, mlir

pytestmark = pytest.mark.compiler

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_elementwise_broadcast_and_reduction_are_one_kernel() -> None:
    def standardize(x):
        return (x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-5)

    module = fused(traced(standardize, X))
    assert len(kernels(module)) == 1
    got = run(traced(standardize, X), [X])[0]
    np.testing.assert_allclose(got, (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-5), rtol=1e-5)


def test_a_loop_with_its_neighbours_is_one_kernel() -> None:
    def program(x):
        y = jnp.sin(x)
        return jaxc.lax.fori_loop(0, 3, lambda i, u: u * 0.5 + y, y).sum()

    assert len(kernels(fused(traced(program, X)))) == 1


def test_a_big_contraction_stays_out_and_divides_the_rest() -> None:
    n = 256
    a = np.ones((n, n), np.complex64)  # a type without a register tile
    module = fused(traced(lambda a: jnp.exp(jnp.sin(a) @ a), a))
    flops = cost.contraction_flops((((1,), (0,)), ((), ())), a.shape, a.shape)
    assert flops > cost.KERNEL_CONTRACTION_FLOPS
    assert len(kernels(module)) == 2
    assert "lax.dot_general" in str(module)


def test_a_small_contraction_goes_in() -> None:
    a = np.ones((8, 8), np.float32)
    assert len(kernels(fused(traced(lambda a: jnp.exp(jnp.sin(a) @ a), a)))) == 1


def test_kernels_bind_few_arrays() -> None:
    arrays = [np.full(3, n, np.float32) for n in range(50)]
    module = fused(traced(lambda *xs: [x * 2 + xs[0] for x in xs], *arrays))
    found = kernels(module)
    assert len(found) > 1
    with mlir.LOCK, mlir.CONTEXT:
        for op in found:
            assert len(op.operands) + len(op.results) <= cost.LARGEST_BINDINGS
    got = run(traced(lambda *xs: [x * 2 + xs[0] for x in xs], *arrays), arrays)
    for array, result in zip(arrays, got):
        np.testing.assert_array_equal(result, array * 2)


def test_returning_an_argument_makes_no_kernel() -> None:
    assert kernels(fused(traced(lambda x: x, X))) == []
