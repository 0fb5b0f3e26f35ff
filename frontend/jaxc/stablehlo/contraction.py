"""Contractions, convolutions, and the two matrix ops that StableHLO has."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc.stablehlo.op import Op
from jaxc.stablehlo.reader import Reader, imports
from jaxc_compiler import mlir


@imports("dot_general")
def import_dot_general(r: Reader, op: Op, operands: list[Any]) -> Any:
    numbers = mlir.dimension_numbers(op.attribute("dot_dimension_numbers"))
    contracting = numbers.lhs_contracting_dimensions, numbers.rhs_contracting_dimensions
    batching = numbers.lhs_batching_dimensions, numbers.rhs_batching_dimensions
    dims = tuple(map(tuple, contracting)), tuple(map(tuple, batching))
    return lax.dot_general(*operands, dims, preferred_element_type=op.dtype)


@imports("dot")
def import_dot(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.dot(*operands, preferred_element_type=op.dtype)


@imports("convolution")
def import_convolution(r: Reader, op: Op, operands: list[Any]) -> Any:
    numbers = mlir.dimension_numbers(op.attribute("dimension_numbers"))
    lhs, rhs = operands
    kernel = tuple(numbers.kernel_spatial_dimensions)
    ones = (1,) * len(kernel)
    reversed_dims = [d for d, flag in zip(kernel, op.flags("window_reversal")) if flag]
    if reversed_dims:
        rhs = lax.rev(rhs, reversed_dims)
    return lax.conv_general_dilated(
        lhs, rhs,
        op.ints("window_strides", ones), op.pairs("padding", len(kernel)),
        op.ints("lhs_dilation", ones), op.ints("rhs_dilation", ones),
        lax.ConvDimensionNumbers(
            (numbers.input_batch_dimension, numbers.input_feature_dimension,
             *numbers.input_spatial_dimensions),
            (numbers.kernel_output_feature_dimension, numbers.kernel_input_feature_dimension,
             *kernel),
            (numbers.output_batch_dimension, numbers.output_feature_dimension,
             *numbers.output_spatial_dimensions),
        ),
        op.int("feature_group_count"), op.int("batch_group_count"),
        preferred_element_type=op.dtype,
    )  # fmt: skip


@imports("cholesky")
def import_cholesky(r: Reader, op: Op, operands: list[Any]) -> Any:
    """Of the half that the op names; the other half, which StableHLO leaves open, is zero."""
    (x,) = operands
    lower = op.flag("lower")
    swap = (*range(np.ndim(x) - 2), np.ndim(x) - 1, np.ndim(x) - 2)
    turned = (
        x
        if lower
        else lax.conj(lax.transpose(x, swap))
        if _complex(x)
        else (lax.transpose(x, swap))
    )
    factor = lax.linalg.cholesky(turned, symmetrize_input=False)
    if lower:
        return factor
    factor = lax.transpose(factor, swap)
    return lax.conj(factor) if _complex(x) else factor


def _complex(x: Any) -> bool:
    return x.dtype.kind == "c"


@imports("triangular_solve")
def import_triangular_solve(r: Reader, op: Op, operands: list[Any]) -> Any:
    transpose = op.enum("transpose_a")
    return lax.linalg.triangular_solve(
        *operands,
        left_side=op.flag("left_side"),
        lower=op.flag("lower"),
        transpose_a=transpose in ("TRANSPOSE", "ADJOINT"),
        conjugate_a=transpose == "ADJOINT",
        unit_diagonal=op.flag("unit_diagonal"),
    )
