"""Derivatives and batching of every elementwise, reduction and cumulative op against real JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from opset.fill import fill, operands
from opset.oracle import parameters, primitives

import jaxc
from jaxc.core.primitive import primitive
from jaxc_compiler.opset.book import OPS
from jaxc_compiler.opset.inference import dtype_class
from jaxc_compiler.opset.op import Op, Sample

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.oracle

KINDS = ("elementwise", "reduction", "cumulative")
ELSEWHERE = (
    "reduce_window", "select_and_gather_add", "select_and_scatter_add", "random_gamma_grad"
)  # fmt: skip
NOT_IN_JAX = {
    "nextafter", "zeta", "igamma_grad_a", "clz", "population_count", "reduce_and", "reduce_xor"
}  # fmt: skip
THEIRS = primitives()
# Relative tolerance by the bits of the mantissa: JAX's own special functions err more than ours.
TOLERANCE = {"bfloat16": 0.1, "float16": 2e-2, "float32": 2e-4, "complex64": 2e-4}


# Rules do not look at the dtype beyond its class, so not all of them are run.
DERIVED = {"float32", "bfloat16", "complex64", "bool", "int32"}
BATCHED = {"float32", "complex64", "bool", "int32"}


def _cases(dtypes: set[str]) -> list[Any]:
    return [
        pytest.param(op, sample, id=f"{op.name}-{i}")
        for op in OPS.values()
        if op.kind in KINDS and op.samples is not None and op.numpy is not None
        if not op.name.startswith(ELSEWHERE)
        for i, sample in enumerate(op.samples())
        if {x.dtype.name for x in sample.operands} <= dtypes
    ]


def _is_inexact(x: np.ndarray) -> bool:
    return dtype_class(x.dtype) in ("floating", "complex")


def _agree(ours: Any, theirs: Any) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    if not _is_inexact(ours):
        np.testing.assert_array_equal(ours, theirs)
        return
    wide = np.complex128 if ours.dtype.kind == "c" else np.float64
    rtol = TOLERANCE.get(ours.dtype.name, 1e-8)
    np.testing.assert_allclose(ours.astype(wide), theirs.astype(wide), rtol=rtol, atol=rtol)


def _flat(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


@pytest.mark.parametrize(("op", "sample"), _cases(DERIVED))
def test_jvp_and_vjp(op: Op, sample: Sample) -> None:
    arrays = operands(op, sample)
    moving = [i for i, a in enumerate(arrays) if _is_inexact(a)]
    if op.name in ("polygamma", "regularized_incomplete_beta"):
        moving = moving[-1:]
    if op.name == "clamp" and arrays[0].shape != arrays[1].shape:
        moving = [1]  # JAX has no derivative with respect to scalar bounds of arrays
    if not moving or op.name in NOT_IN_JAX:
        return
    rng = np.random.default_rng(0)
    tangents = [fill(rng, _aval(arrays[i]), (-1.0, 1.0)) for i in moving]

    def run(bind: Any, module: Any, params: dict[str, Any]) -> list[Any]:
        def function(*xs: Any) -> Any:
            full = list(arrays)
            for i, x in zip(moving, xs):
                full[i] = x
            return bind(*full, **params)

        primals = [arrays[i] for i in moving]
        out, dot = module.jvp(function, primals, tangents)
        found = _flat(out) + _flat(dot)
        if all(_is_inexact(np.asarray(o)) for o in _flat(out)):
            out, pull = module.vjp(function, *primals)
            found += pull(jax.tree_util.tree_map(lambda o: np.ones_like(np.asarray(o)), out))
        return found

    with jaxc.enable_x64(True):
        ours = run(primitive(op.name).bind, jaxc, sample.params)
    with jax.enable_x64(True):
        theirs = run(THEIRS[op.name].bind, jax, parameters(sample.params))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        _agree(a, b)


def _aval(x: np.ndarray) -> Any:
    from jaxc_compiler.opset.avals import ShapedArray

    return ShapedArray(x.shape, x.dtype)


@pytest.mark.parametrize("where", ["first", "last", "only the first operand"])
@pytest.mark.parametrize(("op", "sample"), _cases(BATCHED))
def test_vmap(op: Op, sample: Sample, where: str) -> None:
    arrays = operands(op, sample)
    if where == "only the first operand" and len(arrays) == 1:
        return
    batches = [operands(op, sample, seed) for seed in range(3)]
    axis = -1 if where == "last" else 0
    in_axes = [axis] * len(arrays)
    if where == "only the first operand":
        in_axes[1:] = [None] * (len(arrays) - 1)
    stacked = [
        batches[0][i] if a is None else np.stack([b[i] for b in batches], a)
        for i, a in enumerate(in_axes)
    ]

    with jaxc.enable_x64(True):
        bind = primitive(op.name).bind
        ours = _flat(jaxc.vmap(lambda *xs: bind(*xs, **sample.params), tuple(in_axes))(*stacked))
    examples = []
    for k in range(3):
        picked = [x if a is None else np.take(x, k, a) for x, a in zip(stacked, in_axes)]
        with np.errstate(all="ignore"):
            examples.append(_flat(op.numpy(*map(np.asarray, picked), **sample.params)))
    for i, result in enumerate(ours):
        _agree(result, np.stack([e[i] for e in examples]))
