"""Contractions: dot_general and convolutions, whose dimension numbers StableHLO shares."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler.lowering.stablehlo.base import (
    Emitter,
    attribute,
    aval_of,
    integer,
    integers,
    kind_of,
    lowers,
    out_aval,
    pairs,
)
from jaxc_compiler.lowering.stablehlo.elementwise import convert
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.params import Precision


def _precisions(precision: Any) -> ir.Attribute:
    both = precision if isinstance(precision, tuple) else (precision, precision)
    names = [p.name if isinstance(p, Precision) else "DEFAULT" for p in both]
    return ir.ArrayAttr.get([attribute(f"#stablehlo<precision {name}>") for name in names])


def _operands(e: Emitter, operands: list, dtype: Any) -> list[ir.Value]:
    """Operands of one dtype, that of the result if they differ or cannot be accumulated in it."""
    kinds = {aval_of(x).dtype for x in operands}
    if len(kinds) > 1 or (dtype != next(iter(kinds)) and kind_of(dtype) == "c"):
        return [convert(e, x, dtype) for x in operands]
    return operands


@lowers("dot_general")
def lower_dot_general(
    e: Emitter,
    op: Any,
    operands: list,
    *,
    dimension_numbers: Any,
    out_sharding: Any,
    precision: Any,
    preferred_element_type: Any,
) -> list[ir.Value]:
    (lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch) = dimension_numbers
    names = {
        "lhs_batching_dimensions": lhs_batch, "rhs_batching_dimensions": rhs_batch,
        "lhs_contracting_dimensions": lhs_contracting,
        "rhs_contracting_dimensions": rhs_contracting,
    }  # fmt: skip
    fields = ", ".join(f"{name} = {list(dims)}" for name, dims in names.items())
    result = out_aval(op)
    operands = _operands(e, operands, result.dtype)
    if result.dtype == np.bool_:
        result = result.update(dtype=np.dtype(np.int32))
        operands = [e.convert(x, result.dtype) for x in operands]
    product = e.one(
        "dot_general", result, *operands,
        dot_dimension_numbers=attribute(f"#stablehlo.dot<{fields}>"),
        precision_config=_precisions(precision),
    )  # fmt: skip
    return [convert(e, product, out_aval(op).dtype)]


def _layout(spec: Any, first: str, second: str) -> str:
    """Which dimension is the first, the second, and the spatial ones 0, 1, ..."""
    letters = [""] * len(spec)
    letters[spec[0]], letters[spec[1]] = first, second
    for number, dim in enumerate(spec[2:]):
        letters[dim] = str(number)
    return "[" + ", ".join(letters) + "]"


@lowers("conv_general_dilated")
def lower_convolution(
    e: Emitter,
    op: Any,
    operands: list,
    *,
    batch_group_count: int,
    dimension_numbers: Any,
    feature_group_count: int,
    lhs_dilation: Any,
    out_sharding: Any,
    padding: Any,
    precision: Any,
    preferred_element_type: Any,
    rhs_dilation: Any,
    window_strides: Any,
) -> list[ir.Value]:
    numbers = dimension_numbers
    layout = (
        f"{_layout(numbers.lhs_spec, 'b', 'f')}x{_layout(numbers.rhs_spec, 'o', 'i')}"
        f"->{_layout(numbers.out_spec, 'b', 'f')}"
    )
    result = e.one(
        "convolution", out_aval(op), *_operands(e, operands, out_aval(op).dtype),
        dimension_numbers=attribute(f"#stablehlo.conv<{layout}>"),
        window_strides=integers(window_strides), padding=pairs(padding),
        lhs_dilation=integers(lhs_dilation), rhs_dilation=integers(rhs_dilation),
        feature_group_count=integer(feature_group_count),
        batch_group_count=integer(batch_group_count),
        precision_config=_precisions(precision),
    )  # fmt: skip
    return [result]
