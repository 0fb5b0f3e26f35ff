"""Merges and removes ops that only rearrange elements.

%0 = "lax.transpose"(%x) {permutation = [1, 2, 0]}
%1 = "lax.transpose"(%0) {permutation = [2, 0, 1]}   ->   %x
%2 = "lax.reshape"(%a) : tensor<2x6xf32>
%3 = "lax.reshape"(%2) : tensor<12xf32>              ->   %3 = "lax.reshape"(%a)
%4 = "lax.convert_element_type"(%b : f32) : f32      ->   %b
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler import mlir
from jaxc_compiler.dialects import lax
from jaxc_compiler.mlir import ir


def fold_shape_ops(module: ir.Module, target: Any = None) -> None:
    """Apply each op's fold once, operands before their users."""
    del target
    for op in module.body.operations:
        for region in op.operation.regions:
            for block in region.blocks:
                _fold_block(block)


def _fold_block(block: ir.Block) -> None:
    for op in [op.operation for op in block.operations]:
        for region in op.regions:
            for inner in region.blocks:
                _fold_block(inner)
        fold = _FOLDS.get(lax.name_of(op))
        replacement = fold(op) if fold else None
        if replacement is not None:
            op.results[0].replace_all_uses_with(replacement)
            op.erase()


def _producer(op: ir.Operation, name: str) -> ir.Operation | None:
    """The op that makes the first operand, if it is a `lax.<name>`."""
    owner = op.operands[0].owner
    if isinstance(owner, ir.Block):
        return None
    return owner.operation if lax.name_of(owner.operation) == name else None


def remove_no_change(op: ir.Operation) -> ir.Value | None:
    """An op that changes neither type nor order of the elements."""
    return op.operands[0] if op.operands[0].type == op.results[0].type else None


def fold_transpose_of_transpose(op: ir.Operation) -> ir.Value | None:
    """Two permutations are one; the identity is none."""
    permutation = mlir.from_attr(op.attributes["permutation"])
    inner = _producer(op, "transpose")
    source = op.operands[0]
    if inner is not None:
        first = mlir.from_attr(inner.attributes["permutation"])
        permutation = tuple(first[d] for d in permutation)
        source = inner.operands[0]
    if permutation == tuple(range(len(permutation))):
        return source
    if inner is None:
        return None
    return _like(op, source, {"permutation": mlir.to_attr(permutation)})


def fold_reshape_of_reshape(op: ir.Operation) -> ir.Value | None:
    """Only the last shape counts."""
    inner = _producer(op, "reshape")
    source = op.operands[0] if inner is None else inner.operands[0]
    if source.type == op.results[0].type:
        return source
    return None if inner is None else _like(op, source, {})


def fold_broadcast_of_broadcast(op: ir.Operation) -> ir.Value | None:
    """Each source dimension goes straight to where the second broadcast puts it."""
    inner = _producer(op, "broadcast_in_dim")
    if inner is None:
        return remove_no_change(op)
    outer_dims = mlir.from_attr(op.attributes["broadcast_dimensions"])
    inner_dims = mlir.from_attr(inner.attributes["broadcast_dimensions"])
    dims = mlir.to_attr(tuple(outer_dims[d] for d in inner_dims))
    return _like(op, inner.operands[0], {"broadcast_dimensions": dims})


def fold_neg_of_neg(op: ir.Operation) -> ir.Value | None:
    """-(-x) is x, exactly."""
    inner = _producer(op, "neg")
    return None if inner is None else inner.operands[0]


def _like(op: ir.Operation, operand: ir.Value, changes: dict[str, ir.Attribute]) -> ir.Value:
    """The op on another operand, with some attributes replaced."""
    attributes = {name: op.attributes[name] for name in op.attributes} | changes
    types = [result.type for result in op.results]
    where = {"ip": ir.InsertionPoint(op), "loc": op.location}
    return mlir.create(op.name, types, [operand], attributes, **where).results[0]


_FOLDS = {
    "transpose": fold_transpose_of_transpose,
    "reshape": fold_reshape_of_reshape,
    "broadcast_in_dim": fold_broadcast_of_broadcast,
    "convert_element_type": remove_no_change,
    "squeeze": remove_no_change,
    "slice": remove_no_change,
    "neg": fold_neg_of_neg,
}
