"""Every primitive has a rule for every transformation, or says `Missing(reason)`.

So "not implemented" is found here, not by a user.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from opset.fill import operands

import jaxc
from jaxc.core import primitive as primitives
from jaxc.transforms import ad, batching
from jaxc_compiler.opset.book import OPS
from jaxc_compiler.opset.inference import dtype_class
from jaxc_compiler.opset.op import Op


def test_every_op_has_a_primitive() -> None:
    assert set(OPS) == set(primitives._PRIMITIVES), "an op that no lax module makes a primitive of"


# Traces interpret these in methods of their own (process_custom_jvp_call and its like).
BY_THE_TRACE = {"custom_jvp_call", "custom_vjp_call", "custom_lin"}


def _takes(op: Op, accepts: Any) -> bool:
    """Whether a sample of the op has an operand that `accepts`; ops without samples take all."""
    if op.samples is None:
        return True
    return any(accepts(a) for sample in op.samples() for a in operands(op, sample))


def _is_float(x: np.ndarray) -> bool:
    return dtype_class(x.dtype) in ("floating", "complex")


@pytest.mark.parametrize("name", sorted(OPS))
def test_jvp_rule(name: str) -> None:
    prim = primitives.primitive(name)
    if name in BY_THE_TRACE or not _takes(OPS[name], _is_float):
        return  # integers have no tangents
    assert prim in ad.primitive_jvps, f"no JVP rule for {name}, nor Missing(reason)"


@pytest.mark.parametrize("name", sorted(OPS))
def test_batching_rule(name: str) -> None:
    prim = primitives.primitive(name)
    if name in BY_THE_TRACE or not _takes(OPS[name], lambda _: True):
        return
    tables = (batching.primitive_batchers, batching.axis_primitive_batchers)
    assert any(prim in t for t in tables), f"no batching rule for {name}, nor Missing(reason)"


def _differentiable() -> list[Any]:
    """The first sample of each op that has a floating operand and result."""
    found = []
    for op in OPS.values():
        if op.samples is None or op.numpy is None or op.kind == "random":
            continue
        for sample in op.samples():
            arrays = operands(op, sample)
            if any(a.dtype == np.float32 and a.size for a in arrays):
                found.append(pytest.param(op, sample, id=op.name))
                break
    return found


@pytest.mark.parametrize(("op", "sample"), _differentiable())
def test_reverse_mode(op: Op, sample: Any) -> None:
    """What an op's JVP rule computes from the tangent can be transposed."""
    prim = primitives.primitive(op.name)
    if isinstance(ad.primitive_jvps.get(prim), ad.Missing):
        return
    arrays = operands(op, sample)
    moving = [i for i, a in enumerate(arrays) if _is_float(a)]
    params = dict(sample.params)
    if op.name == "scatter-mul":
        params["unique_indices"] = True  # as in JAX, the only case with a derivative
    if op.name in ("polygamma", "regularized_incomplete_beta"):
        moving = moving[-1:]  # JAX has no derivative with respect to the others

    def total(*xs: Any) -> Any:
        full = list(arrays)
        for i, x in zip(moving, xs):
            full[i] = x
        outs = prim.bind(*full, **params)
        outs = outs if prim.multiple_results else [outs]
        return sum(jaxc.numpy.sum(o).real.astype("float32") for o in outs if _is_float(o))

    try:
        value, pull = jaxc.vjp(total, *[arrays[i] for i in moving])
    except NotImplementedError as error:
        pytest.fail(f"{op.name}: {error}")
    if not hasattr(value, "dtype"):
        return
    for gradient, i in zip(pull(np.float32(1)), moving):
        assert gradient.shape == arrays[i].shape
