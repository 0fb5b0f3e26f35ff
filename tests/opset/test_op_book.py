"""Every op of the book on its own samples: the kernel gives the inferred type, and no alias."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from opset.fill import operands

from jaxc_compiler.opset.avals import KeyDtype, ShapedArray
from jaxc_compiler.opset.book import OPS
from jaxc_compiler.opset.op import KINDS, Op, Sample

CASES = [
    pytest.param(op, sample, id=f"{op.name}-{i}")
    for op in OPS.values()
    if op.samples is not None and op.numpy is not None
    for i, sample in enumerate(op.samples())
]


def avals_of(sample: Sample, arrays: list[np.ndarray]) -> list[ShapedArray]:
    return [
        x if isinstance(x, ShapedArray) else ShapedArray(a.shape, a.dtype)
        for x, a in zip(sample.operands, arrays)
    ]


def physical(aval: ShapedArray) -> tuple[tuple[int, ...], np.dtype]:
    if isinstance(aval.dtype, KeyDtype):
        return aval.shape + aval.dtype.key_shape, np.dtype(np.uint32)
    return aval.shape, aval.dtype


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_kernel_gives_the_inferred_type(op: Op, sample: Sample) -> None:
    arrays = operands(op, sample)
    inferred = op.infer(*avals_of(sample, arrays), **sample.params)
    before = [a.copy() for a in arrays]
    with np.errstate(all="ignore"):
        results = op.numpy(*arrays, **sample.params)
    if not op.multiple_results:
        inferred, results = [inferred], [results]
    assert len(inferred) == len(results)
    for aval, result in zip(inferred, results):
        assert type(result) is np.ndarray
        assert (result.shape, result.dtype) == physical(aval)
    for array, copy in zip(arrays, before):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_results_do_not_alias_writable_operands(op: Op, sample: Sample) -> None:
    if op.kind == "random":
        return  # keys are words in other clothes: wrapping, unwrapping and cloning share them
    arrays = operands(op, sample)
    with np.errstate(all="ignore"):
        results = op.numpy(*arrays, **sample.params)
    for result in results if op.multiple_results else [results]:
        for array in arrays:
            assert not (result.flags.writeable and np.may_share_memory(result, array))


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_entry_is_whole(op: Op) -> None:
    assert op.kind in KINDS
    assert op.params == tuple(sorted(op.params)), "jaxprs print parameters in alphabetical order"
    assert op.samples is not None or "jaxpr" in " ".join(op.params) or op.numpy is None
    names = set(inspect.signature(op.infer).parameters)
    takes_any = any(
        p.kind is p.VAR_KEYWORD for p in inspect.signature(op.infer).parameters.values()
    )
    assert takes_any or set(op.params) <= names


def test_samples_carry_every_parameter() -> None:
    for op in OPS.values():
        for sample in op.samples() if op.samples is not None else ():
            assert set(sample.params) == set(op.params), op.name
