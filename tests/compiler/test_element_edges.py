"""Element rules at the edges: zeros, infinities, NaN, integer limits, every dtype.

The oracle is the NumPy kernel. Denormal results may be flushed; signs of zeros count.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from compiler import element_harness as harness

import jaxc_compiler.lowering.element
from jaxc_compiler.lowering.element.values import apply
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.book import OPS

assert jaxc_compiler.lowering.element
pytestmark = pytest.mark.compiler
UNARY = [
    *("neg", "sign", "square", "abs", "floor", "ceil", "is_finite", "exp", "exp2", "expm1", "log"),
    *("log1p", "sqrt", "rsqrt", "cbrt", "logistic", "sin", "cos", "tan", "tanh", "asin", "acos"),
    *("atan", "sinh", "cosh", "asinh", "acosh", "atanh", "not", "population_count", "clz", "erf"),
    *("erfc", "lgamma", "digamma"),
]
BINARY = [
    *("add", "sub", "mul", "mulhi", "div", "rem", "pow", "nextafter", "and", "or", "xor"),
    *("shift_left", "shift_right_logical", "shift_right_arithmetic", "eq", "ne", "lt", "le"),
    *("gt", "ge", "eq_to", "lt_to", "le_to"),
]
DTYPES = [np.dtype(d) for d in ("bool", "i1", "u1", "i4", "u4", "i8", "u8", "f2", "f4", "f8")]
DTYPES.append(np.dtype(ml_dtypes.bfloat16))


def special(dtype):
    """The values of a dtype that are easily got wrong."""
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        values = [0, 1, 2, 3, 5, 7, 8, 31, 32, 33, 63, 64, -1, -2, -7, info.max, info.max - 1]
        values += [info.min, info.min + 1]
        return np.array([v for v in values if info.min <= v <= info.max], dtype)
    info = ml_dtypes.finfo(dtype)
    values = [0, -0.0, 1, -1, 0.5, -0.5, 0.25, 1.5, 2.5, -2.5, 3, -3, 7.3, 100, -100, 300]
    values += [float(info.max), -float(info.max), np.inf, -np.inf, np.nan, 0.49999997, 1e9, 3e9]
    return np.array([*values, -3e9, 1e19]).astype(dtype)


def accepted(got, want):
    """Where a result is right: exactly, or to a few units and not only in sign."""
    if want.dtype.kind in "iub":
        return got == want
    size = want.dtype.itemsize
    eps = {8: 1e-13, 4: 2e-6, 2: 2.0**-7}[size]
    tiny = {8: 1e-300, 4: 1e-37, 2: 1e-37 if want.dtype.name == "bfloat16" else 1e-4}[size]
    got, want = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(all="ignore"):
        same = (got == want) & (np.signbit(got) == np.signbit(want))
        nans = np.isnan(got) & np.isnan(want)
        finite = np.isfinite(got) & np.isfinite(want)
        close = finite & (abs(got - want) <= eps * abs(want) + tiny) & ((got != 0) | (want != 0))
        return same | nans | close


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_special_values(dtype):
    x = special(dtype)
    pairs = np.repeat(x, len(x)), np.tile(x, len(x))
    inputs = [x, *pairs]
    avals = [ShapedArray(v.shape, dtype) for v in inputs]
    found = []
    for name in UNARY + BINARY:
        params = dict.fromkeys(OPS[name].params)
        numbers = [0] if name in UNARY else [1, 2]
        try:
            out = OPS[name].infer(*[avals[i] for i in numbers], **params)
        except TypeError:
            continue  # not an op on this dtype
        found.append((name, numbers, params, out))
    for start in range(0, len(found), 24):
        _check(found[start : start + 24], inputs)


def _check(found, inputs):
    outputs = []
    for name, numbers, params, out in found:

        def make(memories, name=name, numbers=numbers, params=params, out=out):
            return apply(name, [memories[i] for i in numbers], params, [out])[0]

        outputs.append((make, out))
    for (name, numbers, params, _), got in zip(found, harness.run(outputs, inputs)):
        operands = [inputs[i] for i in numbers]
        with np.errstate(all="ignore"):
            want = OPS[name].numpy(*operands, **params)
        wrong = np.nonzero(~accepted(got, want))[0]
        wrong = [k for k in wrong if not _excused(name, [v[k] for v in operands])]
        shown = [(*[v[k] for v in operands], got[k], want[k]) for k in wrong[:4]]
        assert not wrong, f"{name}: operands, got, wanted {shown}"


def _excused(name, operands):
    # C's nextafter(0, -0) is -0, NumPy's float16 loop keeps the first zero.
    return name == "nextafter" and all(v == 0 for v in operands)


FLOATS = ["f2", "f4", "f8", ml_dtypes.bfloat16]


@pytest.mark.parametrize("old", ["bool", "i1", "u1", "i4", "u4", "i8", "u8", *FLOATS], ids=str)
def test_conversions(old):
    x = special(np.dtype(old))
    aval = ShapedArray(x.shape, x.dtype)
    outputs, wanted = [], []
    for new in DTYPES:
        params = {"new_dtype": new, "weak_type": False, "sharding": None}
        out = ShapedArray(x.shape, new)

        def make(memories, params=params, out=out):
            return apply("convert_element_type", memories, params, [out])[0]

        outputs.append((make, out))
        with np.errstate(all="ignore"):
            wanted.append(OPS["convert_element_type"].numpy(x, **params))
    for (_, out), got, want in zip(outputs, harness.run(outputs, [x], [aval]), wanted):
        wrong = np.nonzero(~accepted(got, want))[0]
        assert not len(wrong), (out, [(x[k], got[k], want[k]) for k in wrong[:4]])


@pytest.mark.parametrize("name", ["e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz"])
def test_every_8_bit_float(name):
    dtype = np.dtype(getattr(ml_dtypes, f"float8_{name}"))
    x = np.arange(256, dtype=np.uint8).view(dtype)
    wide = ShapedArray((256,), np.float32)
    params = {"new_dtype": wide.dtype, "weak_type": False, "sharding": None}
    make = lambda memories: apply("convert_element_type", memories, params, [wide])[0]  # noqa: E731
    (got,) = harness.run([(make, wide)], [x])
    np.testing.assert_array_equal(got, x.astype(np.float32))
