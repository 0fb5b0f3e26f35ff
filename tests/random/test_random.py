"""Random numbers against JAX: the same bits in both streams, close floats elsewhere."""

import numpy as np
import pytest

import jaxc

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.oracle

STREAMS = (False, True)


@pytest.fixture(params=STREAMS, ids=["original", "partitionable"])
def stream(request):
    before = jax.config.jax_threefry_partitionable
    ours = jaxc.config.jax_threefry_partitionable
    for lib in (jax, jaxc):
        lib.config.update("jax_threefry_partitionable", request.param)
    yield request.param
    jax.config.update("jax_threefry_partitionable", before)
    jaxc.config.update("jax_threefry_partitionable", ours)


@pytest.fixture(params=[False, True], ids=["x32", "x64"])
def x64(request):
    for lib in (jax, jaxc):
        lib.config.update("jax_enable_x64", request.param)
    yield request.param
    for lib in (jax, jaxc):
        lib.config.update("jax_enable_x64", False)


def values(lib, result):
    if lib.dtypes.issubdtype(result.dtype, lib.dtypes.prng_key):
        result = lib.random.key_data(result)
    return np.asarray(result)


def both(call):
    ours, theirs = (call(lib) for lib in (jaxc, jax))
    assert ours.shape == theirs.shape
    assert str(ours.dtype) == str(theirs.dtype)
    if str(ours.dtype) != "key<fry>":
        assert ours.weak_type == theirs.weak_type
    return values(jaxc, ours), values(jax, theirs)


def same(call):
    ours, theirs = both(call)
    np.testing.assert_array_equal(ours, theirs)


def close(call, rtol=2e-6):
    ours, theirs = both(call)
    wide = np.complex128 if theirs.dtype.kind == "c" else np.float64
    if theirs.dtype.itemsize < 4:
        rtol = 2e-2
    np.testing.assert_allclose(ours.astype(wide), theirs.astype(wide), rtol=rtol, atol=rtol)


SEEDS = [0, 1, -1, 2**31 - 1, -(2**31), 2**32 + 5, 2**63 - 1, True, np.int8(-3), np.uint8(200),
         np.int64(-7), np.uint32(2**32 - 1), np.array(12, np.int16)]  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS, ids=repr)
def test_seeds(seed, x64):
    same(lambda lib: lib.random.key(seed))
    same(lambda lib: lib.random.PRNGKey(seed))


@pytest.mark.parametrize("shape", [2, 1, 0, 3, 17, (2, 3), (4, 0)], ids=repr)
def test_split(shape, stream):
    same(lambda lib: lib.random.split(lib.random.key(3), shape))
    same(lambda lib: lib.random.split(lib.random.PRNGKey(3), shape))


@pytest.mark.parametrize("data", [0, 7, 2**32 - 1, np.int64(-1), np.uint8(3)], ids=repr)
def test_fold_in(data, stream):
    same(lambda lib: lib.random.fold_in(lib.random.key(3), data))


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (0,), (40_001,)], ids=repr)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_bits(shape, dtype, stream, x64):
    if dtype == "uint64" and not x64:
        pytest.skip("64-bit dtypes need x64")
    same(lambda lib: lib.random.bits(lib.random.key(1), shape, dtype))


FLOATS = ["float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("shape", [(), (7,), (2, 3), (0, 4), (5001,)], ids=repr)
@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_and_normal(shape, dtype, stream, x64):
    if dtype == "float64" and not x64:
        pytest.skip("64-bit dtypes need x64")
    same(lambda lib: lib.random.uniform(lib.random.key(1), shape, dtype))
    exact = same if dtype != "float64" else lambda call: close(call, 1e-12)
    exact(lambda lib: lib.random.uniform(lib.random.key(1), shape, dtype, -2, 5.5))
    exact(lambda lib: lib.random.normal(lib.random.key(1), shape, dtype))


def test_normal_bits_of_many_samples(stream):
    same(lambda lib: lib.random.normal(lib.random.key(42), (100_000,)))


def test_complex_normal(stream):
    close(lambda lib: lib.random.normal(lib.random.key(0), (5,), "complex64"))


RANGES = [(0, 10), (-5, 5), (3, 3), (5, 2), (0, 256), (-(2**31), 2**31 - 1), (0, 2**31 - 1)]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "uint32", "int64"])
@pytest.mark.parametrize("low, high", RANGES, ids=repr)
def test_randint(low, high, dtype, stream, x64):
    if dtype == "int64" and not x64:
        pytest.skip("64-bit dtypes need x64")
    same(lambda lib: lib.random.randint(lib.random.key(5), (11,), low, high, dtype))


def key(lib):
    return lib.random.key(11)


EXACT = {
    "bernoulli": lambda lib: lib.random.bernoulli(key(lib), 0.3, (20,)),
    "bernoulli_p": lambda lib: lib.random.bernoulli(key(lib), lib.numpy.linspace(0.0, 1.0, 9)),
    "bernoulli_high": lambda lib: lib.random.bernoulli(key(lib), 0.3, (20,), mode="high"),
    "rademacher": lambda lib: lib.random.rademacher(key(lib), (9,)),
    "permutation": lambda lib: lib.random.permutation(key(lib), 12),
    "permutation_rows": lambda lib: lib.random.permutation(
        key(lib), lib.numpy.arange(12).reshape(4, 3)
    ),
    "permutation_independent": lambda lib: lib.random.permutation(
        key(lib), lib.numpy.arange(12).reshape(4, 3), axis=1, independent=True
    ),
    "choice": lambda lib: lib.random.choice(key(lib), 10, (6,)),
    "choice_none": lambda lib: lib.random.choice(key(lib), 10, (0,)),
    "choice_without": lambda lib: lib.random.choice(key(lib), 10, (6,), replace=False),
    "choice_rows": lambda lib: lib.random.choice(
        key(lib), lib.numpy.arange(12).reshape(4, 3), (2, 2), axis=1
    ),
    "choice_p": lambda lib: lib.random.choice(
        key(lib), 4, (8,), p=lib.numpy.array([0.1, 0.2, 0.3, 0.4])
    ),
    "choice_p_without": lambda lib: lib.random.choice(
        key(lib), 4, (3,), replace=False, p=lib.numpy.array([0.1, 0.2, 0.3, 0.4])
    ),
    "categorical": lambda lib: lib.random.categorical(key(lib), lib.numpy.zeros((5, 7))),
    "categorical_shape": lambda lib: lib.random.categorical(
        key(lib), lib.numpy.arange(6.0).reshape(2, 3), axis=0, shape=(4, 3)
    ),
    "categorical_without": lambda lib: lib.random.categorical(
        key(lib), lib.numpy.zeros((2, 5)), shape=(3, 2), replace=False
    ),
    "poisson": lambda lib: lib.random.poisson(key(lib), lib.numpy.array([0.0, 0.5, 3.0, 40.0])),
    "binomial": lambda lib: lib.random.binomial(
        key(lib), lib.numpy.array([5.0, 100.0, 1000.0]), lib.numpy.array([0.3, 0.6, 0.5])
    ),
    "multinomial": lambda lib: lib.random.multinomial(
        key(lib), 20, lib.numpy.array([0.2, 0.3, 0.5])
    ),
    "geometric": lambda lib: lib.random.geometric(key(lib), 0.3, (9,)),
    "clone": lambda lib: lib.random.clone(key(lib)),
    "wrap_key_data": lambda lib: lib.random.wrap_key_data(np.array([[1, 2], [3, 4]], np.uint32)),
    "vmap_bits": lambda lib: lib.vmap(lambda k: lib.random.bits(k, (3,)))(
        lib.random.split(key(lib), 4)
    ),
    "vmap_split": lambda lib: lib.vmap(lib.random.split)(lib.random.split(key(lib), 4)),
    "vmap_fold_in": lambda lib: lib.vmap(lambda i: lib.random.fold_in(key(lib), i))(
        lib.numpy.arange(3)
    ),
    "keys_indexed": lambda lib: lib.random.split(key(lib), 5)[1:4],
    "keys_stacked": lambda lib: lib.numpy.stack([key(lib), lib.random.key(2)]),
    "keys_reshaped": lambda lib: lib.random.split(key(lib), 6).reshape(2, 3).T,
    "keys_concatenated": lambda lib: lib.numpy.concatenate(
        [lib.random.split(key(lib)), lib.random.split(lib.random.key(2))]
    ),
}


@pytest.mark.parametrize("call", EXACT.values(), ids=EXACT)
def test_exact(call, stream):
    same(call)


CLOSE = {
    "truncated_normal": lambda lib: lib.random.truncated_normal(key(lib), -1.0, 2.0, (9,)),
    "exponential": lambda lib: lib.random.exponential(key(lib), (9,)),
    "gumbel": lambda lib: lib.random.gumbel(key(lib), (9,)),
    "gumbel_high": lambda lib: lib.random.gumbel(key(lib), (9,), mode="high"),
    "gumbel_highest": lambda lib: lib.random.gumbel(key(lib), (9,), mode="highest"),
    "laplace": lambda lib: lib.random.laplace(key(lib), (9,)),
    "logistic": lambda lib: lib.random.logistic(key(lib), (9,)),
    "cauchy": lambda lib: lib.random.cauchy(key(lib), (9,)),
    "gamma": lambda lib: lib.random.gamma(key(lib), lib.numpy.array([0.1, 0.9, 3.0, 50.0])),
    "loggamma": lambda lib: lib.random.loggamma(key(lib), 0.001, (6,)),
    "beta": lambda lib: lib.random.beta(key(lib), 2.0, 3.0, (6,)),
    "dirichlet": lambda lib: lib.random.dirichlet(key(lib), lib.numpy.array([1.0, 2.0, 3.0])),
    "chisquare": lambda lib: lib.random.chisquare(key(lib), 3.0, (6,)),
    "f": lambda lib: lib.random.f(key(lib), 3.0, 5.0, (6,)),
    "t": lambda lib: lib.random.t(key(lib), 3.0, (6,)),
    "pareto": lambda lib: lib.random.pareto(key(lib), 3.0, (6,)),
    "rayleigh": lambda lib: lib.random.rayleigh(key(lib), np.float32(2.0), (6,)),
    "wald": lambda lib: lib.random.wald(key(lib), np.float32(2.0), (6,)),
    "weibull_min": lambda lib: lib.random.weibull_min(key(lib), 2.0, 3.0, (6,)),
    "triangular": lambda lib: lib.random.triangular(key(lib), 0.0, 1.0, 3.0, (6,)),
    "lognormal": lambda lib: lib.random.lognormal(key(lib), np.float32(0.5), (6,)),
    "maxwell": lambda lib: lib.random.maxwell(key(lib), (6,)),
    "double_sided_maxwell": lambda lib: lib.random.double_sided_maxwell(key(lib), 1.0, 2.0, (6,)),
    "generalized_normal": lambda lib: lib.random.generalized_normal(key(lib), 3.0, (6,)),
    "ball": lambda lib: lib.random.ball(key(lib), 3, shape=(4,)),
}


@pytest.mark.parametrize("call", CLOSE.values(), ids=CLOSE)
def test_close(call, stream):
    close(call, 1e-5)


ERRORS = {
    "key_of_key": lambda lib: lib.random.key(lib.random.key(0)),
    "key_of_array": lambda lib: lib.random.key(np.arange(3)),
    "key_of_float": lambda lib: lib.random.key(1.5),
    "huge_seed": lambda lib: lib.random.key(2**64),
    "unknown_impl": lambda lib: lib.random.key(0, impl="nope"),
    "no_key": lambda lib: lib.random.split([0, 1]),
    "bad_words": lambda lib: lib.random.split(np.arange(3, dtype=np.uint32)),
    "bad_word_dtype": lambda lib: lib.random.split(np.arange(2, dtype=np.int32)),
    "batched_key": lambda lib: lib.random.split(lib.random.split(key(lib))),
    "fold_in_array": lambda lib: lib.random.fold_in(key(lib), np.arange(2)),
    "fold_in_negative": lambda lib: lib.random.fold_in(key(lib), -1),
    "float_shape": lambda lib: lib.random.normal(key(lib), (2.5,)),
    "integer_uniform": lambda lib: lib.random.uniform(key(lib), (3,), "int32"),
    "integer_normal": lambda lib: lib.random.normal(key(lib), (3,), "int32"),
    "signed_bits": lambda lib: lib.random.bits(key(lib), (2,), "int32"),
    "float_randint": lambda lib: lib.random.randint(key(lib), (2,), 0, 5, "float32"),
    "integer_p": lambda lib: lib.random.bernoulli(key(lib), 1),
    "shapes": lambda lib: lib.random.bernoulli(key(lib), np.ones(3, np.float32), (2,)),
    "permutation_of_float": lambda lib: lib.random.permutation(key(lib), 2.5),
    "choice_shape": lambda lib: lib.random.choice(key(lib), 5, 3),
    "too_many": lambda lib: lib.random.choice(key(lib), 5, (6,), replace=False),
    "unsafe_cast": lambda lib: lib.random.beta(key(lib), np.float32(1), 2.0, dtype="float16"),
}


@pytest.mark.parametrize("call", ERRORS.values(), ids=ERRORS)
def test_errors(call):
    with pytest.raises(Exception) as expected:
        call(jax)
    with pytest.raises(Exception) as found:
        call(jaxc)
    names = {c.__name__ for c in type(expected.value).__mro__} - {"Exception", "BaseException"}
    names -= {"object"}
    assert names & {c.__name__ for c in type(found.value).__mro__}


PRINTED = {
    "key": lambda lib: lib.make_jaxpr(lib.random.key)(3),
    "normal": lambda lib: lib.make_jaxpr(lambda k: lib.random.normal(k, (3,)))(key(lib)),
    "normal_of_words": lambda lib: lib.make_jaxpr(lambda k: lib.random.normal(k, (3,)))(
        lib.random.PRNGKey(0)
    ),
    "split": lambda lib: lib.make_jaxpr(lib.random.split)(key(lib)),
    "fold_in": lambda lib: lib.make_jaxpr(lambda k: lib.random.fold_in(k, 3))(key(lib)),
    "randint": lambda lib: lib.make_jaxpr(lambda k: lib.random.randint(k, (3,), 0, 10))(key(lib)),
    "bernoulli": lambda lib: lib.make_jaxpr(lambda k: lib.random.bernoulli(k, 0.3, (3,)))(key(lib)),
    "gamma": lambda lib: lib.make_jaxpr(lambda k: lib.random.gamma(k, 3.0, (3,)))(key(lib)),
    "categorical": lambda lib: lib.make_jaxpr(
        lambda k: lib.random.categorical(k, lib.numpy.zeros((2, 3)))
    )(key(lib)),
    "permutation": lambda lib: lib.make_jaxpr(lambda k: lib.random.permutation(k, 5))(key(lib)),
}


@pytest.mark.parametrize("call", PRINTED.values(), ids=PRINTED)
def test_printed_jaxprs(call, stream):
    assert str(call(jaxc)) == str(call(jax))


def test_gradient_of_gamma(stream):
    def grad(lib):
        return lib.grad(lambda a: lib.random.gamma(lib.random.key(1), a, (4,)).sum())(2.5)

    np.testing.assert_allclose(grad(jaxc), grad(jax), rtol=1e-3)


EXPANDED = {
    "random_bits": {"bit_width": 32, "shape": (5,)},
    "random_bits_even": {"bit_width": 32, "shape": (2, 4)},
    "random_bits_64": {"bit_width": 64, "shape": (3,)},
    "random_bits_16": {"bit_width": 16, "shape": (3, 3)},
    "random_bits_8": {"bit_width": 8, "shape": (5,)},
    "random_split": {"shape": (3,)},
}


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=repr)
@pytest.mark.parametrize("name", EXPANDED)
def test_expansions_equal_the_kernels(name, batch, stream, x64):
    from jaxc.random import expand, primitives

    if name.endswith("64") and not x64:
        pytest.skip("64-bit dtypes need x64")
    op = "random_split" if "split" in name else "random_bits"
    words = np.random.default_rng(0).integers(0, 2**32, (*batch, 2), dtype=np.uint32)
    expected = getattr(primitives, f"{op}_p").kernel(words, **EXPANDED[name])
    found = expand.RULES[op](jaxc.numpy.asarray(words), **EXPANDED[name])
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_expansions_of_seed_and_fold_in():
    from jaxc.random import expand

    words = np.asarray(jax.random.key_data(jax.random.key(-3)))
    seed = jaxc.numpy.asarray(np.int32(-3))
    np.testing.assert_array_equal(expand.RULES["random_seed"](seed, impl="fry"), words)
    folded = jax.random.key_data(jax.random.fold_in(jax.random.key(-3), 9))
    data = jaxc.numpy.asarray(np.uint32(9))
    found = expand.RULES["random_fold_in"](jaxc.numpy.asarray(words), data)
    np.testing.assert_array_equal(found, folded)


COMPILED = {
    "normal": lambda k: jaxc.random.normal(k, (1000,)),
    "randint": lambda k: jaxc.random.randint(k, (7,), 0, 10),
    "bits8": lambda k: jaxc.random.bits(k, (5,), "uint8"),
    "split": lambda k: jaxc.random.key_data(jaxc.random.split(jaxc.random.fold_in(k, 3), 3)),
    "mapped": lambda k: jaxc.vmap(lambda q: jaxc.random.uniform(q, (2,)))(jaxc.random.split(k, 3)),
    "permutation": lambda k: jaxc.random.permutation(k, 10),
    "categorical": lambda k: jaxc.random.categorical(k, jaxc.numpy.zeros((3, 4))),
    "gamma": lambda k: jaxc.random.gamma(k, 2.5, (12,)),
}


@pytest.mark.compiler
@pytest.mark.parametrize("call", COMPILED.values(), ids=COMPILED)
def test_compiled_equals_eager(call, stream):
    found, expected = jaxc.jit(call)(jaxc.random.key(4)), call(jaxc.random.key(4))
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-6)


@pytest.mark.compiler
def test_compiled_normal_has_jaxs_bits(stream):
    found = jaxc.jit(lambda k: jaxc.random.normal(k, (10_000,)))(jaxc.random.key(4))
    expected = jax.random.normal(jax.random.key(4), (10_000,))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
