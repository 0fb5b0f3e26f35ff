"""The kernels against real JAX: the same operands, the same dtype, shape and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from opset.fill import operands, ulps_apart
from opset.oracle import parameters, primitives

from jaxc_compiler.opset.avals import KeyDtype, ShapedArray
from jaxc_compiler.opset.book import OPS
from jaxc_compiler.opset.op import Op, Sample

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.oracle

KINDS = ("elementwise", "reduction", "cumulative")
# Tested elsewhere, or no primitive in JAX.
ELSEWHERE = (
    "reduce_window", "select_and_gather_add", "select_and_scatter_add", "random_gamma_grad"
)  # fmt: skip
# XLA's own error in these exceeds the tolerance; ours is within 2 ulp of the exact value.
XLA_IS_COARSE = {"igamma_grad_a": 2e4, "polygamma": 2e3, "zeta": 500.0, "digamma": 1e3,
                 "lgamma": 500.0, "igamma": 2e3, "igammac": 2e3, "exp2": 32.0,
                 "regularized_incomplete_beta": 2e3, "erf_inv": 500.0}  # fmt: skip


PRIMITIVES = primitives()
FAST = {"float32", "bfloat16", "complex64", "int32", "uint32", "bool"}


def speed(sample: Sample) -> Any:
    """XLA compiles each case: the other dtypes are left to the full run."""
    dtypes = {x.dtype for x in (*sample.operands, *sample.params.values()) if hasattr(x, "dtype")}
    return () if {d.name for d in dtypes} <= FAST else pytest.mark.slow


CASES = [
    pytest.param(op, sample, id=f"{op.name}-{i}", marks=speed(sample))
    for op in OPS.values()
    if op.kind in KINDS
    and not op.name.startswith(ELSEWHERE)
    and op.samples is not None
    and op.numpy is not None
    for i, sample in enumerate(op.samples())
    if not any(isinstance(getattr(x, "dtype", None), KeyDtype) for x in sample.operands)
]


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_kernel_is_jax(op: Op, sample: Sample) -> None:
    primitive = PRIMITIVES.get(op.name)
    if primitive is None:
        pytest.fail(f"JAX has no primitive {op.name!r}")
    arrays = operands(op, sample)
    with np.errstate(all="ignore"):
        got = op.numpy(*arrays, **sample.params)
    params = parameters(sample.params)
    with jax.enable_x64(True):
        expected = primitive.bind(*[jax.numpy.asarray(a) for a in arrays], **params)
    if not op.multiple_results:
        got, expected = [got], [expected]
    limit = max(4 * op.tolerance, XLA_IS_COARSE.get(op.name, 0.0))
    for ours, theirs in zip(got, expected, strict=True):
        theirs = np.asarray(theirs)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        assert ulps_apart(ours, theirs) <= limit, f"{ours} != {theirs} for {arrays}"


def test_inferred_weak_types_are_jax() -> None:
    weak = ShapedArray((), "float32", weak_type=True)
    strong = ShapedArray((3,), "float32")
    assert OPS["add"].infer(weak, weak).weak_type
    assert not OPS["add"].infer(weak, strong).weak_type
    assert OPS["eq"].infer(weak, weak).weak_type
    params = {"axes": (), "index_dtype": np.dtype(np.int32)}
    assert not OPS["reduce_or"].infer(ShapedArray((), "int32", True), axes=()).weak_type
    assert params["index_dtype"] == np.int32
