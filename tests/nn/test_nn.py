"""Activations, softmaxes, initializers and attention against JAX: values, gradients, jaxprs."""

import numpy as np
import pytest

import jaxc

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.oracle

X = np.array([-7.5, -3.0, -1.0, -0.2, 0.0, 0.3, 1.0, 2.5, 6.5, 30.0], np.float32)
MATRIX = np.linspace(-4, 5, 12, dtype=np.float32).reshape(3, 4)

UNARY = [
    "relu", "relu6", "sigmoid", "softplus", "silu", "swish", "gelu", "elu", "selu", "celu",
    "leaky_relu", "soft_sign", "log_sigmoid", "hard_tanh", "hard_sigmoid", "hard_silu",
    "hard_swish", "squareplus", "mish", "sparse_plus", "sparse_sigmoid", "softmax", "log_softmax",
    "logsumexp", "standardize", "tanh", "identity", "logmeanexp",
]  # fmt: skip


FLOATS_ONLY = ("logsumexp", "logmeanexp", "sigmoid", "silu", "swish")


def close(ours, theirs, rtol=2e-6):
    assert ours.shape == theirs.shape and str(ours.dtype) == str(theirs.dtype)
    assert ours.weak_type == theirs.weak_type
    ours, theirs = (np.asarray(x).astype(np.float64) for x in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", UNARY)
def test_values(name, dtype):
    def call(lib):
        return getattr(lib.nn, name)(lib.numpy.asarray(X, dtype=dtype))

    close(call(jaxc), call(jax), 2e-6 if dtype == "float32" else 2e-2)


@pytest.mark.parametrize("name", [n for n in UNARY if n not in FLOATS_ONLY])
def test_integer_and_scalar_arguments(name):
    for x in (3, 2.5):
        if name in ("softmax", "log_softmax", "standardize"):
            x = np.arange(3)
        close(getattr(jaxc.nn, name)(x), getattr(jax.nn, name)(x))


@pytest.mark.parametrize("name", UNARY)
def test_gradients(name):
    def grad(lib):
        fun = getattr(lib.nn, name)
        return lib.grad(lambda x: (fun(x) * lib.numpy.arange(1.0, 11.0)).sum())(
            lib.numpy.asarray(X)
        )

    close(grad(jaxc), grad(jax), 1e-5)


@pytest.mark.parametrize("name", ["relu", "relu6", "softmax", "gelu", "silu", "log_softmax"])
def test_second_derivatives_under_vmap(name):
    def second(lib):
        fun = getattr(lib.nn, name)
        grad = lib.grad(lambda x: fun(lib.numpy.stack([x, 2 * x, 0 * x]))[0])
        return lib.vmap(lib.grad(grad))(lib.numpy.asarray(X))

    close(second(jaxc), second(jax), 1e-5)


OPTIONS = {
    "gelu_exact": lambda lib: lib.nn.gelu(X, approximate=False),
    "elu_alpha": lambda lib: lib.nn.elu(X, 0.5),
    "celu_alpha": lambda lib: lib.nn.celu(X, 0.5),
    "leaky_slope": lambda lib: lib.nn.leaky_relu(X, negative_slope=0.3),
    "squareplus_b": lambda lib: lib.nn.squareplus(X, 1.0),
    "glu": lambda lib: lib.nn.glu(MATRIX),
    "glu_axis": lambda lib: lib.nn.glu(MATRIX.T, axis=0),
    "log1mexp": lambda lib: lib.nn.log1mexp(np.abs(X) + 0.1),
    "softmax_axis": lambda lib: lib.nn.softmax(MATRIX, axis=0),
    "softmax_axes": lambda lib: lib.nn.softmax(MATRIX, axis=(0, 1)),
    "softmax_where": lambda lib: lib.nn.softmax(MATRIX, where=MATRIX > 0),
    "log_softmax_where": lambda lib: lib.nn.log_softmax(MATRIX, where=MATRIX > -3),
    "logsumexp_axis": lambda lib: lib.nn.logsumexp(MATRIX, axis=1, keepdims=True),
    "logsumexp_b": lambda lib: lib.nn.logsumexp(MATRIX, axis=0, b=np.abs(MATRIX)),
    "logsumexp_where": lambda lib: lib.nn.logsumexp(MATRIX, where=MATRIX > 0),
    "standardize_stable": lambda lib: lib.nn.standardize(MATRIX, algorithm="stable"),
    "standardize_given": lambda lib: lib.nn.standardize(MATRIX, mean=0.5, variance=2.0),
    "one_hot": lambda lib: lib.nn.one_hot(np.array([0, 2, 5, -1]), 3),
    "one_hot_axis": lambda lib: lib.nn.one_hot(np.array([[0, 2], [1, 1]]), 3, axis=0),
    "one_hot_dtype": lambda lib: lib.nn.one_hot(np.array([0, 1]), 2, dtype="int8"),
}


@pytest.mark.parametrize("call", OPTIONS.values(), ids=OPTIONS)
def test_options(call):
    close(call(jaxc), call(jax))


PRINTED = ["relu", "relu6", "silu", "gelu", "elu", "softplus", "sigmoid", "log_softmax", "softmax"]


@pytest.mark.parametrize("name", PRINTED)
def test_printed_jaxprs(name):
    def printed(lib):
        return str(lib.make_jaxpr(getattr(lib.nn, name))(lib.numpy.asarray(X)))

    assert printed(jaxc) == printed(jax)


INITIALIZERS = {
    "zeros": lambda init: init.zeros,
    "ones": lambda init: init.ones,
    "constant": lambda init: init.constant(0.3),
    "uniform": lambda init: init.uniform(0.5),
    "normal": lambda init: init.normal(),
    "truncated_normal": lambda init: init.truncated_normal(0.1),
    "glorot_uniform": lambda init: init.glorot_uniform(),
    "xavier_normal": lambda init: init.xavier_normal(),
    "lecun_normal": lambda init: init.lecun_normal(),
    "lecun_uniform": lambda init: init.lecun_uniform(),
    "he_normal": lambda init: init.he_normal(in_axis=0, out_axis=1),
    "kaiming_uniform": lambda init: init.kaiming_uniform(),
    "variance_scaling": lambda init: init.variance_scaling(0.7, "fan_geo_avg", "normal"),
}


@pytest.mark.parametrize("make", INITIALIZERS.values(), ids=INITIALIZERS)
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_initializers(make, dtype):
    jax.config.update("jax_threefry_partitionable", False)

    def call(lib):
        return make(lib.nn.initializers)(lib.random.key(2), (4, 6), dtype)

    close(call(jaxc), call(jax), 2e-6 if dtype is None else 2e-2)


def attention_inputs(heads=2, kv_heads=2):
    rng = np.random.default_rng(0)
    shapes = [(2, 5, heads, 4), (2, 6, kv_heads, 4), (2, 6, kv_heads, 4)]
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


ATTENTION = {
    "plain": {},
    "causal": {"is_causal": True},
    "scale": {"scale": 0.3},
    "bias": {"bias": np.ones((1, 2, 5, 6), np.float32)},
    "mask": {"mask": np.tril(np.ones((5, 6), bool))[None, None]},
    "window": {"local_window_size": (1, 2)},
    "lengths": {
        "query_seq_lengths": np.array([3, 5], np.int32),
        "key_value_seq_lengths": np.array([6, 2], np.int32),
    },
}


@pytest.mark.parametrize("options", ATTENTION.values(), ids=ATTENTION)
@pytest.mark.parametrize("heads", [(2, 2), (2, 1)], ids=repr)
def test_attention(options, heads):
    inputs = attention_inputs(*heads)
    ours = jaxc.nn.dot_product_attention(*inputs, **options)
    close(ours, jax.nn.dot_product_attention(*inputs, **options), 1e-5)


def test_attention_errors():
    q, k, v = attention_inputs()
    for bad in ((q[..., :3], k, v), (q, k, v[:, :3]), (q, k, v.astype(np.float16))):
        with pytest.raises(ValueError):
            jax.nn.dot_product_attention(*bad)
        with pytest.raises(ValueError):
            jaxc.nn.dot_product_attention(*bad)
