"""`jax.scipy`: special functions, distributions and linear algebra against JAX."""

import numpy as np
import pytest

import jaxc

jax = pytest.importorskip("jax")
jax_stats = pytest.importorskip("jax.scipy.stats")
pytestmark = pytest.mark.oracle

X = np.array([0.05, 0.3, 0.5, 0.9, 1.0, 2.5, 7.0], np.float32)
UNIT = np.array([0.001, 0.2, 0.5, 0.75, 0.999], np.float32)
A = np.random.default_rng(0).standard_normal((2, 4, 4)).astype(np.float32)
POSITIVE = A @ A.transpose(0, 2, 1) + 4 * np.eye(4, dtype=np.float32)
B = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)


def close(call, rtol=2e-5):
    ours, theirs = (lib.tree.leaves(call(lib)) for lib in (jaxc, jax))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        if not isinstance(b, bool):
            assert a.shape == b.shape and str(a.dtype) == str(b.dtype)
        a, b = (np.asarray(x, np.float64) for x in (a, b))
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


SPECIAL = {
    **dict.fromkeys(
        ("gammaln", "gamma", "gammasgn", "factorial", "digamma", "erf", "erfc", "i0",
         "i0e", "i1", "i1e", "expit", "entr", "ndtr", "log_ndtr", "logsumexp",
         "softmax", "log_softmax"),
        (X,),
    ),
    **dict.fromkeys(("erfinv", "logit", "ndtri"), (UNIT,)),
    **{name: (X, X[::-1].copy()) for name in (
        "betaln", "beta", "gammainc", "gammaincc", "xlogy", "xlog1py", "rel_entr", "kl_div",
        "poch", "boxcox", "boxcox1p")},
    "betainc": (X[:5], X[2:], UNIT),
    "zeta": (X + 1.5, X),
    "polygamma": (2, X),
    "multigammaln": (X + 2, 3),
    "comb": (7, np.arange(8)),
}  # fmt: skip


@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions(name):
    close(lambda lib: getattr(lib.scipy.special, name)(*SPECIAL[name]))


@pytest.mark.parametrize(
    "name", ["gammaln", "expit", "logit", "xlogy", "log_ndtr", "ndtri", "entr", "logsumexp", "i0e"]
)
def test_special_derivatives(name):
    args = SPECIAL[name]
    close(lambda lib: lib.grad(lambda *a: getattr(lib.scipy.special, name)(*a).sum())(*args))


def test_betaln_of_large_arguments():
    close(lambda lib: lib.scipy.special.betaln(X, 1e4 * X), 1e-5)


STATS = [
    ("norm", "logpdf", (X, 0.5, 2.0)), ("norm", "cdf", (X,)), ("norm", "logcdf", (X,)),
    ("norm", "ppf", (UNIT,)), ("norm", "sf", (X,)), ("uniform", "logpdf", (X, 0.2, 2.0)),
    ("expon", "logpdf", (X, 0.2, 2.0)), ("laplace", "logpdf", (X,)), ("laplace", "cdf", (X,)),
    ("cauchy", "logpdf", (X,)), ("cauchy", "cdf", (X,)), ("logistic", "logpdf", (X,)),
    ("gamma", "logpdf", (X, 2.0)), ("gamma", "cdf", (X, 2.0)), ("beta", "logpdf", (UNIT, 2.0, 3.0)),
    ("t", "logpdf", (X, 3.0)), ("chi2", "logpdf", (X, 3.0)), ("pareto", "logpdf", (X, 3.0)),
    ("poisson", "logpmf", (np.arange(5), 2.5)), ("bernoulli", "logpmf", (np.arange(3), 0.3)),
    ("geom", "logpmf", (np.arange(1, 5), 0.3)),
    ("dirichlet", "logpdf", (np.float32([0.2, 0.3, 0.5]), np.float32([1.0, 2.0, 3.0]))),
    ("multivariate_normal", "logpdf", (B.T, np.zeros(4, np.float32), POSITIVE[0])),
]  # fmt: skip


@pytest.mark.parametrize("module, name, args", STATS, ids=lambda v: v if type(v) is str else "")
def test_distributions(module, name, args):
    close(lambda lib: getattr(getattr(lib.scipy.stats, module), name)(*args))


LINALG = {
    "solve": lambda lib: lib.scipy.linalg.solve(A, B),
    "solve_vector": lambda lib: lib.numpy.linalg.solve(A[0], B[:, 0]),
    "solve_pos": lambda lib: lib.scipy.linalg.solve(POSITIVE[0], B, assume_a="pos"),
    "cho_solve": lambda lib: lib.scipy.linalg.cho_solve(
        lib.scipy.linalg.cho_factor(POSITIVE[0]), B
    ),
    "solve_triangular": lambda lib: lib.scipy.linalg.solve_triangular(
        POSITIVE, B, trans="T", lower=True
    ),
    "lu_solve": lambda lib: lib.scipy.linalg.lu_solve(lib.scipy.linalg.lu_factor(A[0]), B, 1),
    "lu": lambda lib: lib.scipy.linalg.lu(A[0]),
    "cholesky": lambda lib: lib.scipy.linalg.cholesky(POSITIVE),
    "expm": lambda lib: lib.scipy.linalg.expm(A),
    "block_diag": lambda lib: lib.scipy.linalg.block_diag(A[0], B),
    "toeplitz": lambda lib: lib.scipy.linalg.toeplitz(X, UNIT),
    "inv": lambda lib: lib.numpy.linalg.inv(A),
    "det": lambda lib: lib.numpy.linalg.det(A),
    "slogdet": lambda lib: lib.numpy.linalg.slogdet(A),
    "eigvalsh": lambda lib: lib.numpy.linalg.eigvalsh(POSITIVE),
    "svdvals": lambda lib: lib.numpy.linalg.svdvals(A),
    "pinv": lambda lib: lib.numpy.linalg.pinv(B),
    "matrix_rank": lambda lib: lib.numpy.linalg.matrix_rank(A),
    "cond": lambda lib: lib.numpy.linalg.cond(A),
    "lstsq": lambda lib: lib.numpy.linalg.lstsq(B, A[0][:, 0]),
}


@pytest.mark.parametrize("call", LINALG.values(), ids=LINALG)
def test_linear_algebra(call):
    close(call, 2e-4)


GRADIENTS = {
    "inv": lambda lib: lib.numpy.linalg.inv,
    "slogdet": lambda lib: lambda a: lib.numpy.linalg.slogdet(a)[1],
    "cholesky": lambda lib: lib.numpy.linalg.cholesky,
    "pinv": lambda lib: lib.numpy.linalg.pinv,
    "solve": lambda lib: lambda a: lib.scipy.linalg.solve(a, B, assume_a="pos"),
    "expm": lambda lib: lib.scipy.linalg.expm,
}


@pytest.mark.parametrize("make", GRADIENTS.values(), ids=GRADIENTS)
def test_gradients_of_linear_algebra(make):
    close(lambda lib: lib.grad(lambda a: make(lib)(a).sum())(POSITIVE[0] / 4), 1e-3)


def test_ravel_pytree_round_trip():
    import jaxc.flatten_util

    tree = {"a": np.float32(1.0), "b": [np.arange(3), np.ones((2, 2), np.float32)]}
    vector, unravel = jaxc.flatten_util.ravel_pytree(tree)
    back = unravel(vector)
    assert vector.shape == (8,) and str(back["b"][0].dtype) == "int32"
    np.testing.assert_array_equal(back["b"][1], tree["b"][1])
    with pytest.raises(ValueError):
        unravel(vector[1:])
