"""Every op with an element rule gives what its NumPy kernel gives, on the op book's samples."""

from __future__ import annotations

import numpy as np
import pytest
from compiler import element_harness as harness

import jaxc_compiler.lowering.element
from jaxc_compiler.lowering.element.pointwise import kind
from jaxc_compiler.lowering.element.values import ELEMENT, IDENTITY, apply
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray
from jaxc_compiler.opset.book import OPS

assert jaxc_compiler.lowering.element
pytestmark = pytest.mark.compiler
BINDINGS = 32  # what an IREE dispatch takes
NAMES = sorted(
    name for name, op in OPS.items() if name in ELEMENT and name not in IDENTITY and op.samples
)


def _array(aval, op, rng):
    if isinstance(aval.dtype, KeyDtype):
        return rng.integers(0, 2**32, (*aval.shape, 2), dtype=np.uint32)
    letter = kind(aval.dtype)
    low, high = op.domain
    if letter == "b":
        return rng.integers(0, 2, aval.shape).astype(bool)
    if letter in "iu":
        start = 0 if letter == "u" else -6
        return rng.integers(start, 7, aval.shape).astype(aval.dtype)
    values = np.asarray(rng.uniform(low, high, aval.shape))
    if letter == "c":
        values = values + 1j * rng.uniform(low, high, aval.shape)
    return values.astype(aval.dtype)


def cases(op, rng):
    """(operands, their avals, params, result avals, expected results) for every sample."""
    for sample in op.samples():
        avals, arrays = [], []
        for operand in sample.operands:
            if isinstance(operand, ShapedArray):
                avals.append(operand)
                arrays.append(_array(operand, op, rng))
            else:
                array = np.asarray(operand)
                avals.append(ShapedArray(array.shape, array.dtype))
                arrays.append(array)
        if any(a.size == 0 for a in avals):
            continue
        outs = op.infer(*avals, **sample.params)
        with np.errstate(all="ignore"):
            expected = op.numpy(*arrays, **sample.params)
        outs = outs if isinstance(outs, list) else [outs]
        expected = expected if isinstance(expected, list) else [expected]
        if all(out.size for out in outs):
            yield arrays, avals, sample.params, outs, expected


def run_cases(name, found):
    """The kernel's results for some cases, all in one dispatch."""
    inputs, in_avals, outputs, expected = [], [], [], []
    for arrays, avals, params, outs, want in found:
        first = len(inputs)
        inputs += arrays
        in_avals += avals
        span = slice(first, len(inputs))
        for number, out in enumerate(outs):

            def make(memories, span=span, params=params, outs=outs, number=number):
                return apply(name, memories[span], params, outs)[number]

            outputs.append((make, out))
        expected += want
    results = harness.run(outputs, inputs, in_avals)
    return list(zip(results, expected))


def assert_close(got, want, op, label):
    want = np.asarray(want)
    assert got.shape == want.shape, (label, got.shape, want.shape)
    assert got.dtype == want.dtype, (label, got.dtype, want.dtype)
    if want.dtype.kind in "iub" or not op.tolerance:
        np.testing.assert_array_equal(got, want, err_msg=label)
        return
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    eps = {"float64": 1e-14, "complex128": 1e-13}.get(want.dtype.name, 1e-6)
    if want.dtype.itemsize == 2:
        eps = 2.0**-7 if want.dtype.name == "bfloat16" else 2.0**-10
    if want.dtype.itemsize == 1:
        eps = 2.0**-2
    eps *= max(1.0, op.tolerance / 4)
    if op.name in ("igamma_grad_a", "random_gamma_grad"):
        eps = max(eps, 1e-10)  # the NumPy kernel takes differences
    np.testing.assert_allclose(
        got.astype(wide), want.astype(wide), rtol=eps, atol=eps, err_msg=label
    )


def packed(found):
    """The cases in groups whose operands and results fit one dispatch."""
    group, used = [], 0
    for case in found:
        needs = len(case[0]) + len(case[3])
        if group and used + needs > BINDINGS:
            yield group
            group, used = [], 0
        group.append(case)
        used += needs
    yield group


@pytest.mark.parametrize("name", NAMES)
def test_samples(name):
    op = OPS[name]
    number = 0
    for group in packed(cases(op, np.random.default_rng(0))):
        for got, want in run_cases(name, group):
            assert_close(got, want, op, f"{name}, result {number}")
            number += 1


def test_no_elementwise_or_shape_op_is_missing():
    missing = {
        name
        for name, op in OPS.items()
        if op.kind in ("elementwise", "shape") and name not in ELEMENT and name not in IDENTITY
    }
    assert not missing


def test_a_row_is_read_once_for_its_inner_loop():
    """What does not depend on the inner loop is computed outside it."""
    matrix, column = ShapedArray((8, 16), "float32"), ShapedArray((8,), "float32")

    def make(memories):
        (grown,) = apply("exp", [memories[1]], {"accuracy": None}, [column])
        params = {"broadcast_dimensions": (0,), "shape": (8, 16), "sharding": None}
        (wide,) = apply("broadcast_in_dim", [grown], params, [matrix])
        return apply("mul", [memories[0], wide], {"out_dtype": None}, [matrix])[0]

    text = harness.kernel_text([(make, matrix)], [matrix, column])
    inner = text.split("scf.for")[2]
    assert "arith.mulf" in inner
    assert "math.fma" not in inner  # the exponential
