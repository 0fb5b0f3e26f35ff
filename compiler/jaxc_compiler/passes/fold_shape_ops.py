"""Merges and removes ops that only rearrange elements.

%0 = "lax.transpose"(%x) {permutation = [1, 2, 0]}
%1 = "lax.transpose"(%0) {permutation = [2, 0, 1]}   ->   %x
%2 = "lax.reshape"(%a) : tensor<2x6xf32>
%3 = "lax.reshape"(%2) : tensor<12xf32>              ->   %3 = "lax.reshape"(%a)
%4 = "lax.convert_element_type"(%b : f32) : f32      ->   %b
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.rewriting import apply_patterns, build, ir, params_of, pattern, producer


def fold_shape_ops(module: ir.Module, target: Any = None) -> None:
    """Apply the patterns of this file."""
    del target
    apply_patterns(module, *PATTERNS)


@pattern("lax.convert_element_type", "lax.squeeze", "lax.slice")
def remove_no_change(op: ir.Operation) -> ir.Value | None:
    """An op that changes neither type nor order of the elements."""
    return op.operands[0] if op.operands[0].type == op.results[0].type else None


@pattern("lax.transpose")
def fold_transpose_of_transpose(op: ir.Operation) -> ir.Value | None:
    """Two permutations are one; the identity is none."""
    permutation = params_of(op)["permutation"]
    source = op.operands[0]
    inner = producer(source, "lax.transpose")
    if inner is not None:
        first = params_of(inner)["permutation"]
        permutation = tuple(first[d] for d in permutation)
        source = inner.operands[0]
    if permutation == tuple(range(len(permutation))):
        return source
    return None if inner is None else build("lax.transpose", source, permutation=permutation)


@pattern("lax.reshape")
def fold_reshape_of_reshape(op: ir.Operation) -> ir.Value | None:
    """Only the last shape counts."""
    inner = producer(op.operands[0], "lax.reshape")
    source = op.operands[0] if inner is None else inner.operands[0]
    if source.type == op.results[0].type:
        return source
    return None if inner is None else build("lax.reshape", source, **params_of(op))


@pattern("lax.broadcast_in_dim")
def fold_broadcast_of_broadcast(op: ir.Operation) -> ir.Value | None:
    """Each source dimension goes straight to where the second broadcast puts it."""
    source = op.operands[0]
    if source.type == op.results[0].type:
        return source
    inner = producer(source, "lax.broadcast_in_dim")
    if inner is None:
        return None
    params = params_of(op)
    outer_dims = params["broadcast_dimensions"]
    inner_dims = params_of(inner)["broadcast_dimensions"]
    params["broadcast_dimensions"] = tuple(outer_dims[d] for d in inner_dims)
    return build("lax.broadcast_in_dim", inner.operands[0], **params)


@pattern("lax.neg")
def fold_neg_of_neg(op: ir.Operation) -> ir.Value | None:
    """-(-x) is x, exactly."""
    inner = producer(op.operands[0], "lax.neg")
    return None if inner is None else inner.operands[0]


PATTERNS = (
    remove_no_change,
    fold_transpose_of_transpose,
    fold_reshape_of_reshape,
    fold_broadcast_of_broadcast,
    fold_neg_of_neg,
)
