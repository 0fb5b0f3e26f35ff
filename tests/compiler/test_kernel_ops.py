"""Every op that has a kernel lowering, on its samples: equal to the op book's NumPy kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from compiler.kernel_harness import lax, module_of, run
from opset.fill import operands, ulps_apart

from jaxc_compiler.lowering import kernel  # noqa: F401  fills LOWERINGS
from jaxc_compiler.lowering.kernel.region import LOWERINGS
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.book import OPS

pytestmark = pytest.mark.compiler

NAMES = [n for n in OPS if n in LOWERINGS and OPS[n].samples is not None]
ATOL_ULPS = 64  # of the largest element: sums are made in another order


@pytest.mark.parametrize("name", NAMES)
def test_kernel_equals_numpy(name: str) -> None:
    op = OPS[name]
    samples = list(op.samples())
    arrays = [operands(op, sample) for sample in samples]
    flat = [a for group in arrays for a in group]
    avals = [
        x if isinstance(x, ShapedArray) else ShapedArray(np.shape(a), np.asarray(a).dtype)
        for sample, group in zip(samples, arrays)
        for x, a in zip(sample.operands, group)
    ]

    def body(values):
        rest, results = list(values), []
        for sample, group in zip(samples, arrays):
            mine, rest = rest[: len(group)], rest[len(group) :]
            results += lax.build(name, mine, **sample.params)
        return results

    got = run(module_of(avals, body), flat)
    expected = []
    with np.errstate(all="ignore"):
        for sample, group in zip(samples, arrays):
            result = op.numpy(*group, **sample.params)
            expected += result if op.multiple_results else [result]
    for actual, wanted in zip(got, expected, strict=True):
        assert (actual.shape, actual.dtype) == (wanted.shape, wanted.dtype)
        assert_close(actual, wanted, op.tolerance)


def assert_close(got: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Equal to `tolerance` units in the last place, or to a few of the largest element."""
    if ulps_apart(got, expected) <= tolerance or not got.size:
        return
    wide = np.complex128 if got.dtype.kind == "c" else np.float64
    a, b = got.astype(wide), expected.astype(wide)
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[~finite], b[~finite])
    import ml_dtypes

    eps = float(ml_dtypes.finfo(got.dtype).eps)
    scale = float(np.max(np.abs(b[finite]), initial=1.0))
    error = float(np.max(np.abs(a[finite] - b[finite]), initial=0.0))
    assert error <= ATOL_ULPS * eps * scale, (got, expected)
