"""Ops that move elements by fixed rules."""

from __future__ import annotations

from typing import Any

from jaxc import lax
from jaxc.stablehlo.op import Op
from jaxc.stablehlo.reader import Reader, imports


@imports("broadcast_in_dim")
def import_broadcast_in_dim(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.broadcast_in_dim(operands[0], op.shape, op.ints("broadcast_dimensions"))


@imports("broadcast")
def import_broadcast(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.broadcast(operands[0], op.ints("broadcast_sizes"))


@imports("reshape")
def import_reshape(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.reshape(operands[0], op.shape)


@imports("transpose")
def import_transpose(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.transpose(operands[0], op.ints("permutation"))


@imports("reverse")
def import_reverse(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.rev(operands[0], op.ints("dimensions"))


@imports("concatenate")
def import_concatenate(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.concatenate(operands, op.int("dimension", 0))


@imports("slice")
def import_slice(r: Reader, op: Op, operands: list[Any]) -> Any:
    names = ("start_indices", "limit_indices", "strides")
    return lax.slice(operands[0], *map(op.ints, names))


@imports("pad")
def import_pad(r: Reader, op: Op, operands: list[Any]) -> Any:
    names = ("edge_padding_low", "edge_padding_high", "interior_padding")
    return lax.pad(*operands, list(zip(*map(op.ints, names))))


@imports("iota")
def import_iota(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.broadcasted_iota(op.dtype, op.shape, op.int("iota_dimension", 0))


@imports("get_dimension_size")
def import_get_dimension_size(r: Reader, op: Op, operands: list[Any]) -> Any:
    return lax.full((), operands[0].shape[op.int("dimension", 0)], op.dtype)
