"""The math functions are right to a few units in the last place, measured with mpmath."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from compiler import element_harness as harness

import jaxc_compiler.lowering.element
from jaxc_compiler.lowering.element.values import apply
from jaxc_compiler.opset.avals import ShapedArray

assert jaxc_compiler.lowering.element
pytestmark = pytest.mark.compiler
COUNT = 250


def _logistic(x):
    return 1 / (1 + mpmath.exp(-x))


# name: (mpmath's function, where, accepted units in the last place for f32 and f64)
FUNCTIONS = {
    "exp": (mpmath.exp, "any", 1.5, 1.5),
    "exp2": (lambda x: mpmath.power(2, x), "any", 1.5, 1.5),
    "expm1": (mpmath.expm1, "any", 2, 2.5),
    "log": (mpmath.log, "positive", 1.5, 1.5),
    "log1p": (mpmath.log1p, "positive", 2, 2),
    "tanh": (mpmath.tanh, "any", 5, 3),
    "logistic": (_logistic, "any", 3, 3),
    "sin": (mpmath.sin, "any", 2, 1.5),
    "cos": (mpmath.cos, "any", 2, 1.5),
    "tan": (mpmath.tan, "any", 3.5, 3),
    "asin": (mpmath.asin, "unit", 3, 3),
    "acos": (mpmath.acos, "unit", 2, 2),
    "atan": (mpmath.atan, "any", 2.5, 2),
    "sinh": (mpmath.sinh, "any", 2.5, 3),
    "cosh": (mpmath.cosh, "any", 2, 2),
    "asinh": (mpmath.asinh, "any", 2.5, 2.5),
    "acosh": (mpmath.acosh, "above one", 2.5, 2.5),
    "atanh": (mpmath.atanh, "unit", 2.5, 2.5),
    "cbrt": (mpmath.cbrt, "positive", 1, 1),
    "rsqrt": (lambda x: 1 / mpmath.sqrt(x), "positive", 2, 2),
    "erf": (mpmath.erf, "any", 6, 2),
    "erfc": (mpmath.erfc, "small", 1, 4),
    "erf_inv": (mpmath.erfinv, "half", 12, 6),
    "lgamma": (lambda x: mpmath.loggamma(x).real, "positive", 1, 4),
    "digamma": (mpmath.digamma, "above two", 2, 16),  # (next to its root only absolutely right)
}
NATIVE = ("sin", "cos", "tan", "cbrt")  # the f32 functions of targets without doubles


def _points(where, dtype):
    rng = np.random.default_rng(7)
    info = np.finfo(dtype)
    if where == "unit":
        return np.concatenate(
            [rng.uniform(-1, 1, COUNT), 10.0 ** rng.uniform(-9, -1, COUNT)]
        ).astype(dtype)
    if where == "half":
        return np.concatenate(
            [rng.uniform(-0.99, 0.99, COUNT), 10.0 ** rng.uniform(-9, -1, COUNT)]
        ).astype(dtype)
    if where == "small":
        return rng.uniform(-6, 9, COUNT * 2).astype(dtype)
    reach = np.log10(float(info.max)) - 1
    spread = 10.0 ** rng.uniform(-reach, reach, COUNT)
    near = np.concatenate([rng.uniform(0.01, 3, COUNT // 2), rng.uniform(0, 80, COUNT // 2)])
    x = np.concatenate([spread, near])
    if where == "above one":
        return (x + 1).astype(dtype)
    if where == "above two":
        return (x + 2).astype(dtype)
    if where == "positive":
        return x.astype(dtype)
    return (x * rng.choice([-1, 1], len(x))).astype(dtype)


def _run(names, dtype, points, **options):
    outputs = []
    for number, x in enumerate(points):
        aval = ShapedArray(x.shape, dtype)

        def make(memories, number=number, aval=aval):
            return apply(names[number], [memories[number]], {}, [aval])[0]

        outputs.append((make, aval))
    return harness.run(outputs, points, **options)


def _worst(function, x, got):
    """The largest error in units in the last place, and where."""
    info, worst = np.finfo(x.dtype), (0.0, 0.0)
    for argument, value in zip(x, got):
        exact = function(mpmath.mpf(float(argument)))
        if not info.tiny <= abs(exact) <= info.max:
            continue
        unit = np.spacing(abs(x.dtype.type(float(exact))))
        error = float(abs(mpmath.mpf(float(value)) - exact) / mpmath.mpf(float(unit)))
        worst = max(worst, (error, float(argument)))
        assert error == error, (argument, value)
    return worst


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("half", [0, 1])
def test_functions_are_accurate(dtype, half):
    names = sorted(FUNCTIONS)[half::2]
    dtype = np.dtype(dtype)
    points = [_points(FUNCTIONS[name][1], dtype) for name in names]
    for name, x, got in zip(names, points, _run(names, dtype, points)):
        function, _, *limits = FUNCTIONS[name]
        with mpmath.workdps(60):
            error, where = _worst(function, x, got)
        assert error <= limits[dtype.itemsize == 8], (name, where, error)


def test_sin_is_right_next_to_multiples_of_half_pi():
    rng = np.random.default_rng(3)
    x = np.array([float(k * mpmath.pi / 2) for k in rng.integers(1, 10**6, COUNT)])
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        sine, cosine = _run(["sin", "cos"], dtype, [x.astype(dtype)] * 2)
        with mpmath.workdps(60):
            assert _worst(mpmath.sin, x.astype(dtype), sine)[0] < 1.5
            assert _worst(mpmath.cos, x.astype(dtype), cosine)[0] < 1.5


def test_f32_functions_for_targets_without_doubles():
    x = np.random.default_rng(5).uniform(-1000, 1000, COUNT).astype(np.float32)
    near = np.random.default_rng(6).uniform(-5, 8, COUNT).astype(np.float32)
    results = _run((*NATIVE, "erfc"), x.dtype, [x] * len(NATIVE) + [near], relaxed=True)
    exact = [math.erfc(float(v)) for v in near]
    np.testing.assert_allclose(results[-1], exact, rtol=3e-6)
    for name, got in zip(NATIVE, results):
        exact = getattr(np, name)(x.astype(np.float64))
        np.testing.assert_allclose(got, exact, rtol=1e-6, atol=2e-7, err_msg=name)


def _two_operands(name, x, y):
    aval = ShapedArray(x.shape, x.dtype)
    make = lambda memories: apply(name, memories, {}, [aval])[0]  # noqa: E731
    return harness.run([(make, aval)], [x, y])[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pow_and_atan2(dtype):
    rng = np.random.default_rng(11)
    x, y = rng.uniform(0, 3, COUNT).astype(dtype), rng.uniform(-60, 60, COUNT).astype(dtype)
    for name, function in (("pow", mpmath.power), ("atan2", mpmath.atan2)):
        got = _two_operands(name, x, y)
        with mpmath.workdps(60):
            exact = [function(mpmath.mpf(float(a)), mpmath.mpf(float(b))) for a, b in zip(x, y)]
            for k, value in enumerate(exact):
                if not np.finfo(dtype).tiny <= abs(value) <= np.finfo(dtype).max:
                    continue
                unit = np.spacing(abs(dtype(float(value))))
                assert abs(mpmath.mpf(float(got[k])) - value) < 2 * mpmath.mpf(float(unit))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rem_is_exact(dtype):
    rng = np.random.default_rng(13)
    reach = 37 if dtype == np.float32 else 300
    x = (10.0 ** rng.uniform(-reach, reach, COUNT)).astype(dtype)
    y = (10.0 ** rng.uniform(-reach, reach, COUNT)).astype(dtype)
    got, want = _two_operands("rem", x, y), np.fmod(x, y)
    normal = abs(want) > np.finfo(dtype).tiny  # denormals are flushed
    np.testing.assert_array_equal(got[normal], want[normal])
