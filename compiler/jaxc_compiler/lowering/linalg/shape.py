"""Shape ops that linalg and tensor have better words for than an element rule."""

from __future__ import annotations

from typing import Any

from jaxc_compiler.lowering.linalg.base import Emitter, lowers, storage
from jaxc_compiler.lowering.linalg.reduction import projected
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray


@lowers("reshape", "squeeze")
def lower_reshape(
    e: Emitter, op: Any, operands: list, avals: list, out_avals: list,
    *, name: str, dimensions: Any = None, **_: Any,
) -> list[ir.Value]:  # fmt: skip
    """Through one dimension: IREE sees that no element moves."""
    value, old, new = operands[0], avals[0], out_avals[0]
    if name == "reshape" and dimensions is not None:
        value, old = e.lax("transpose", (value, old), permutation=tuple(dimensions))
    if old.shape == new.shape:
        return [value]
    if not new.size:
        return [e.empty(new)]
    flat = ShapedArray((new.size,), new.dtype)
    if old.ndim != 1:
        value = _collapse(e, value, flat) if old.ndim else e.op(
            "tensor.from_elements", [storage(flat)], [e.scalar(value)]
        ).result  # fmt: skip
    if new.ndim == 0:
        return [
            e.array0(e.op("tensor.extract", [value.type.element_type], [value, e.index(0)]).result)
        ]
    return [value if new.ndim == 1 else _expand(e, value, new)]


def _groups(rank: int) -> ir.Attribute:
    i64 = ir.IntegerType.get_signless(64)
    dims = ir.ArrayAttr.get([ir.IntegerAttr.get(i64, d) for d in range(rank)])
    return ir.ArrayAttr.get([dims])


def _collapse(e: Emitter, value: ir.Value, flat: ShapedArray) -> ir.Value:
    groups = _groups(len(value.type.shape))
    return e.op("tensor.collapse_shape", [storage(flat)], [value], reassociation=groups).result


def _expand(e: Emitter, value: ir.Value, aval: ShapedArray) -> ir.Value:
    return e.op(
        "tensor.expand_shape", [storage(aval)], [value], reassociation=_groups(aval.ndim),
        static_output_shape=ir.DenseI64ArrayAttr.get(list(aval.shape)),
    ).result  # fmt: skip


@lowers("transpose")
def lower_transpose(
    e: Emitter, op: Any, operands: list, avals: list, out_avals: list, *, permutation: Any
) -> list[ir.Value]:
    """A generic whose input map permutes the loops."""
    rank = avals[0].ndim
    order = [0] * rank
    for loop, dim in enumerate(permutation):
        order[dim] = loop
    return [_move(e, operands[0], out_avals[0], projected(rank, order))]


@lowers("broadcast_in_dim")
def lower_broadcast_in_dim(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    broadcast_dimensions: Any,
    **_: Any,
) -> list[ir.Value]:
    """A generic whose input map leaves loops out."""
    shape, rank = avals[0].shape, out_avals[0].ndim
    exprs = [
        ir.AffineDimExpr.get(loop)
        if out_avals[0].shape[loop] == size
        else ir.AffineConstantExpr.get(0)
        for size, loop in zip(shape, broadcast_dimensions)
    ]
    return [_move(e, operands[0], out_avals[0], ir.AffineMap.get(rank, 0, exprs))]


def _move(e: Emitter, value: ir.Value, out_aval: ShapedArray, source: ir.AffineMap) -> ir.Value:
    rank = out_aval.ndim
    maps = [source, ir.AffineMap.get_identity(rank)]
    outs = [e.empty(out_aval)]
    return e.generic(outs, [value], maps, ["parallel"] * rank, lambda b, elements: elements[:1])[0]


@lowers("slice")
def lower_slice(
    e: Emitter,
    op: Any,
    operands: list,
    avals: list,
    out_avals: list,
    *,
    start_indices: Any,
    limit_indices: Any,
    strides: Any,
) -> list[ir.Value]:
    """A `tensor.extract_slice`."""
    if not avals[0].ndim:
        return operands
    steps = strides or (1,) * avals[0].ndim
    return [e.slice(operands[0], out_avals[0], list(start_indices), list(steps))]


@lowers("copy", "optimization_barrier")
def lower_copy(
    e: Emitter, op: Any, operands: list, avals: list, out_avals: list, **_: Any
) -> list[ir.Value]:
    """Values are immutable here."""
    return operands
