"""The linalg lowering against the NumPy kernels, compiled for the CPU so that it runs anywhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import jaxc
import jaxc.numpy as jnp
from jaxc import lax
from jaxc_compiler import driver, targets
from jaxc_tools.testing import module_of

pytestmark = pytest.mark.compiler


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


X = floats(3, 4)
I = np.array([0, 1, 1, 7])  # noqa: E741  rows to scatter to: one twice, one outside


def while_sum(x):
    return lax.while_loop(lambda c: c.sum() < 100, lambda c: c * 2 + 1, jnp.abs(x))


def scan_rows(reverse):
    return lambda x: lax.scan(lambda c, a: (c + a, (c * a).sum()), x[0], x, reverse=reverse)


def switched(number):
    return lambda x: lax.switch(jnp.int32(x.sum() > -1e9) * number, [jnp.sin, jnp.cos, jnp.tanh], x)


def conv(x, w):
    return lax.conv_general_dilated(x, w, (1, 2), "SAME")


def grouped_conv(x, w):
    padding = [(1, 1), (0, 2)]
    return lax.conv_general_dilated(
        x, w, (1, 1), padding, feature_group_count=2, rhs_dilation=(1, 2)
    )


def nhwc_conv(x, w):
    layout = ("NHWC", "HWIO", "NHWC")
    padding = [(0, 1), (2, 0)]
    return lax.conv_general_dilated(
        x, w, (1, 1), padding, lhs_dilation=(2, 1), dimension_numbers=layout
    )


def minimum_and_sum(x, y):
    return lax.min(x[0], y[0]), x[1] + y[1] + 0.0


def max_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (2, 1), "SAME")


CASES = {
    "pointwise": (lambda x: jaxc.nn.selu(x) + jnp.sin(x) ** 2, X),
    "reductions": (lambda x: (x.sum(0), x.sum(), x.max(1), x.min(0), x.prod(1)), X),
    "logical": (lambda x: ((x > 0).any(0), (x > 0).all(1)), X),
    "argmax": (lambda x: (jnp.argmax(x, 1), jnp.argmin(x, 0)), X),
    "argmax of nan": (lambda x: jnp.argmax(jnp.where(x > 0, jnp.nan, x), 1), X),
    "dot": (lambda x: (x @ x.T, x.astype(jnp.int32) @ x.T.astype(jnp.int32)), X * 5),
    "batched dot": (lambda x: jnp.einsum("bij,bkj->bik", x, x), floats(2, 3, 4)),
    "bf16 dot": (lambda x: (x.astype("bfloat16") @ x.T.astype("bfloat16")).astype("float32"), X),
    "cumulative": (lambda x: (jnp.cumsum(x, 1), lax.cummax(x, 0, reverse=True)), X),
    "cumlogsumexp": (lambda x: lax.cumlogsumexp(x, axis=1), X),
    "reshape": (lambda x: (x.reshape(2, 6), x.ravel(), x[:1, :1].reshape(()), x[None]), X),
    "transpose": (lambda x: jnp.transpose(x, (2, 0, 1)), floats(2, 3, 4)),
    "broadcast": (lambda x: jnp.broadcast_to(x[:, None], (3, 5, 4)), X),
    "pieces": (lambda x: (x[1:, ::2], jnp.concatenate([x, x * 2], 1), jnp.pad(x, 1)), X),
    "softmax": (jaxc.nn.softmax, X),
    "conv": (conv, floats(2, 3, 8, 8), floats(4, 3, 3, 3)),
    "grouped conv": (grouped_conv, floats(2, 4, 8, 8), floats(6, 2, 3, 3)),
    "nhwc conv": (nhwc_conv, floats(2, 8, 8, 3), floats(3, 3, 3, 5)),
    "while": (while_sum, X),
    "scan": (scan_rows(False), X),
    "reverse scan": (scan_rows(True), X),
    "cond": (lambda x: lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x), X),
    "switch out of range": (switched(7), X),
    "fori": (lambda x: lax.fori_loop(0, 5, lambda i, c: c + i * x, x), X),
    "sort": (lambda x: jnp.sort(x, 1), floats(3, 13)),
    "stable argsort": (lambda x: jnp.argsort(x.astype(jnp.int32)), floats(50) * 3),
    "sort nan": (lambda x: jnp.sort(jnp.where(x > 0, jnp.nan, x)), floats(9)),
    "top_k": (lambda x: lax.top_k(x, 3), floats(3, 9)),
    "scatter": (lambda x: (x.at[1].set(0.0), x.at[I].add(1.0), x.at[:, I].multiply(2.0)), X),
    "clipped scatter": (lambda x: x.at[jnp.array([9])].set(7.0, mode="clip"), X),
    "gather": (lambda x: (x[I % 3], jnp.take(x, jnp.array([1, 5, -1]), axis=1)), X),
    "dynamic slice": (lambda x: lax.dynamic_slice(x, (1, 2), (2, 2)), X),
    "random": (lambda x: jaxc.random.normal(jaxc.random.key(0), (3, 4)) + x, X),
    "complex": (lambda x: jnp.exp(1j * x) * x, X),
    "unsigned": (lambda x: (x * 100).astype(jnp.uint8) // 3, abs(X)),
    "division by zero": (lambda x: x.astype(jnp.int32) // 0, X),
    "max pool": (
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (1, 2), "SAME"),
        floats(5, 6),
    ),
    "average pool": (
        lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), "VALID"),
        floats(5, 6),
    ),
    "user's reduction": (
        lambda x: lax.reduce((x, x * 2), (1.0, 0.0), minimum_and_sum, (1,)),
        floats(5, 6),
    ),
    "user's window": (
        lambda x: lax.reduce_window(x, 1.0, lambda a, b: a * b, (2,), (1,), [(1, 0)]),
        floats(7),
    ),
    "max pool gradient": (jaxc.grad(lambda x: (max_pool(x) ** 2).sum()), floats(5, 6)),
    "max pool tangent": (lambda x: jaxc.jvp(max_pool, (x,), (x * x,))[1], floats(5, 6)),
    "empty": (lambda x: (x[:0] + 1, x[:0].sum(0)), X),
    "gradient": (jaxc.grad(lambda x: (jnp.tanh(x @ x.T) ** 2).sum()), X * 0.1),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_eager(name):
    function, *arguments = CASES[name]
    results = function(*map(jnp.asarray, arguments))  # eager: the op book's NumPy kernels
    expected = [np.asarray(leaf) for leaf in jaxc.tree_util.tree_leaves(results)]
    target = dataclasses.replace(targets.get("cpu"), name="linalg on cpu", backend="gpu")
    for got, wanted in zip(run(function, arguments, target), expected, strict=True):
        assert got.shape == wanted.shape
        got = got.view(wanted.dtype) if wanted.dtype.kind == "u" else got.astype(wanted.dtype)
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5)


def run(function, arguments, target):
    from jaxc_runtime import buffer, executable

    artifact = driver.compile(module_of(function, *arguments), target)
    results = executable.load(artifact.vmfb)([buffer.to_device(a) for a in arguments])
    avals = jaxc.tree_util.tree_leaves(jaxc.eval_shape(function, *arguments))
    return [buffer.to_numpy(r, a.shape, a.dtype) for r, a in zip(results, avals, strict=True)]


@pytest.mark.parametrize("target", ["cuda", "vulkan"])
def test_gpu_targets_compile(target):
    def function(x):
        return jaxc.nn.softmax(x @ x.T + jnp.sin(x).sum(), axis=0)

    artifact = driver.compile(module_of(function, X), targets.get(target))
    assert len(artifact.vmfb) > 1000
