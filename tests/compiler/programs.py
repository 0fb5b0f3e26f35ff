"""Small programs for the tests of lowerings: a function and its arguments under each name."""

from __future__ import annotations

import numpy as np

import jaxc
import jaxc.numpy as jnp
from jaxc import lax


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


def normalized_conv(w, x):
    layout = ("NHWC", "HWIO", "NHWC")
    y = jaxc.nn.relu(lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=layout))
    y = (y - y.mean((0, 1, 2))) / jnp.sqrt(y.var((0, 1, 2)) + 1e-5)
    return (y**3).sum()


def max_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (2, 1), "SAME")


def double(i, x):
    return x * 2


def positive(x):
    return x @ x.T + 4 * jnp.eye(len(x))


def train_step(x, w1, w2, y):
    """Weights after a step of gradient descent."""

    def loss(weights):
        return ((jnp.tanh(x @ weights[0]) @ weights[1] - y) ** 2).mean()

    gradient = jaxc.grad(loss)((w1, w2))
    return jaxc.tree_util.tree_map(lambda w, g: w - 0.1 * g, (w1, w2), gradient)


def recurrent_net(x, w, u):
    def step(h, row):
        h = jnp.tanh(row @ w + h @ u)
        return h, h.sum()

    def loss(w):
        return lax.scan(step, jnp.zeros((2, 4), jnp.float32), x)[1].sum()

    return lax.scan(step, jnp.zeros((2, 4), jnp.float32), x), jaxc.grad(loss)(w)


def conv_net(kernel, x):
    y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME")
    y = lax.reduce_window(jaxc.nn.relu(y), -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return (y**2).mean()


def depthwise_conv(x, w):
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", feature_group_count=4)


def attention(q, k, v):
    weights = jaxc.nn.softmax(q @ jnp.swapaxes(k, 1, 2) / 2.0)
    return weights @ v


def newton(x):
    """Square roots, until none changes by much."""
    x = jnp.abs(x)

    def going(state):
        y, before = state
        return jnp.max(jnp.abs(y - before)) > 1e-4

    return lax.while_loop(going, lambda s: ((s[0] + x / s[0]) / 2, s[0]), (x + 1, x))[0]


def nested_loops(x):
    def outer(i, c):
        return lax.fori_loop(0, i, lambda j, d: d * x + j, c)

    return lax.fori_loop(0, 3, outer, x)


def sometimes(i, x):
    return lax.cond(i % 2 == 0, jnp.sin, lambda y: y + i, x)


def pieces_in_a_loop(x):
    return lax.fori_loop(0, 3, lambda i, c: jnp.stack([c[1] * 2, c[0] + 1, c[2]]), x)


LONG = np.random.default_rng(0).normal(size=70001).astype(np.float32)
NOT_NUMBERS = np.array([0, 1, np.nan, np.inf, -np.inf, -0.0], np.float32)


def column_of_rows(x, i):
    """Computed places beside a reduction."""
    return jnp.log(x.sum(1, keepdims=True)) - x[i % 3]


def sums_beside_their_array(x, y):
    """Loops of reductions in another order than those of what is fused to them."""
    return (
        x + x.sum(0),
        y + x + x.sum(0),
        jaxc.nn.softmax(x, 0),
        x.T.reshape(16, 8, 8) + x.sum(0)[:8],
    )


PROGRAMS = {
    "sums of negations": (lambda x: ((-x).sum(0), (-x).sum(), (x.astype(int) * -1).sum(0)), X),
    "sums beside their array": (sums_beside_their_array, floats(64, 16), floats(64, 16) * 2),
    "complex beside a sum": (lambda x: jnp.abs(lax.complex(x.sum(1), x.sum(1))), floats(8, 16)),
    "sine of a product": (lambda x: jnp.sin(x @ x), floats(64, 64)),
    "places beside a sum": (lambda x: x - x.mean(1)[:, None] * jnp.eye(16, 32), floats(16, 32)),
    "trace": (lambda x: (jnp.trace(x), jnp.linalg.norm(x)), floats(4, 4)),
    "sum of middle loops": (lambda x: x + x.sum((0, 2))[None, :, None], floats(8, 16, 32)),
    "normalized strided conv": (
        jaxc.grad(normalized_conv, (0, 1)),
        floats(3, 3, 3, 4),
        floats(2, 8, 8, 3),
    ),
    "long reductions": (lambda x: (x.sum(), x.max(), x.argmin(), (x > 3).any()), LONG),
    "extrema of nan": (lambda x: (x.max(), x.min(), x.reshape(2, 3).max(1)), NOT_NUMBERS),
    "gather beside a sum": (column_of_rows, abs(X), I[:3].astype(np.int32)),
    "remainders": (lambda i: i % 3, np.array([2**31 - 1, -(2**31), 5, -7], np.int32)),
    "complex matvec": (lambda x: (x + 1j) @ (x[0] * 1j), X),
    "complex sums": (lambda x: ((x[0] * (1 + 1j)).sum(), jnp.vdot(x[0] + 1j, x[0] * 1j)), X),
    "constants": (lambda x: (x, jnp.asarray(X), jnp.asarray(X[:, :2])), X),
    "rows": (lambda x: (x[:1], x[1:]), X),
    "pieces in a loop": (pieces_in_a_loop, X[:, 0]),
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
    "loop from a value used later": (lambda x: lax.fori_loop(0, 3, double, x + 1) + (x + 1), X),
    "sort of a sort": (lambda x: jnp.sort(jnp.sort(x)[::-1]), floats(11)),
    "stacked": (lambda x: (jnp.stack([x, x * 2, -x], 1), jnp.split(x, [1, 3], 1)), X),
    "train step": (train_step, floats(8, 4), floats(4, 16), floats(16, 3), floats(8, 3)),
    "recurrent net": (recurrent_net, floats(5, 2, 3), floats(3, 4), floats(4, 4)),
    "convolutional net": (jaxc.grad(conv_net, (0, 1)), floats(3, 1, 3, 3), floats(2, 1, 8, 8)),
    "depthwise conv": (depthwise_conv, floats(2, 4, 6, 6), floats(4, 1, 3, 3)),
    "attention": (attention, floats(2, 5, 4), floats(2, 5, 4), floats(2, 5, 4)),
    "uniform": (lambda x: jaxc.random.uniform(jaxc.random.key(1), (3, 4)) + x, X),
    "split keys": (lambda x: jaxc.random.normal(jaxc.random.split(jaxc.random.key(1))[1], (4,)), X),
    "permutation": (lambda x: jaxc.random.permutation(jaxc.random.key(2), x), floats(9)),
    "complex dot": (lambda x: jnp.dot(x + 1j, (x * 1j).T), X),
    "complex reductions": (lambda x: ((x + 1j).sum(0), (x + 1j).prod(1), (x * 1j).mean()), X),
    "complex cumulative": (lambda x: jnp.cumsum(x * 1j, 1), X),
    "complex scatter": (lambda x: (x * 1j).at[jnp.array([0, 2])].add(1.0), X),
    "complex conv": (lambda x, w: conv(x * 1j, w + 1j), floats(1, 2, 6, 6), floats(3, 2, 3, 3)),
    "cholesky": (lambda x: jnp.linalg.cholesky(positive(x)), floats(4, 4)),
    "solve": (lambda x, y: jnp.linalg.solve(positive(x), y), floats(4, 4), floats(4, 2)),
    "inverse": (lambda x: jnp.linalg.inv(positive(x)), floats(3, 3)),
    "lu": (lambda x: lax.linalg.lu(x), floats(4, 4)),
    "qr": (lambda x: jnp.abs(jnp.linalg.qr(x)[1]), floats(4, 3)),
    "eigh": (lambda x: jnp.linalg.eigh(positive(x))[0], floats(4, 4)),
    "singular values": (lambda x: jnp.linalg.svd(x, compute_uv=False), floats(4, 3)),
    "while with arrays": (newton, X),
    "nested loops": (nested_loops, X),
    "loop of conds": (lambda x: lax.fori_loop(0, 4, sometimes, x), X),
    "float16": (lambda x: jnp.exp(x.astype("float16")) @ jnp.ones((4, 2), "float16"), X),
    "float8": (lambda x: x.astype("float8_e4m3fn").astype("float32") * 2, X),
    "int64": (lambda x: (x * 1e6).astype("int64") // 7, X),
    "booleans": (lambda x: ((x > 0) & ~(x > 1), jnp.where(x > 0, x > 1, x < -1)), X),
    "scalars": (lambda x: (x.sum() * 2, jnp.where(x.sum() > 0, 1, 2)), X),
    "float to int": (lambda x: (x * 1e20).astype(jnp.int32), X),
    "gradient": (jaxc.grad(lambda x: (jnp.tanh(x @ x.T) ** 2).sum()), X * 0.1),
}
