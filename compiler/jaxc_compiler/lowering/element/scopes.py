"""Where the scalar builder emits: insertion points, what is known there, open loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxc_compiler.mlir import ir


class Scope:
    """An insertion point and what has been computed there.

    `block` is the body of a counted loop; what depends on nothing in it may be computed outside. Of
    other regions (branches, `while` bodies) it is None: nothing leaves them.
    """

    __slots__ = ("barrier", "block", "ip", "memo", "parent")

    def __init__(self, ip: Any, parent: Scope | None, barrier: bool, block: ir.Block | None = None):
        self.ip, self.parent, self.barrier, self.block = ip, parent, barrier, block
        self.memo: dict[Any, Any] = {}


def block_of(value: ir.Value) -> ir.Block:
    """The block a value is defined in."""
    owner = value.owner
    return owner if isinstance(owner, ir.Block) else owner.operation.block


class Loop:
    """An open `scf.for`: `index`, carried `args`; set `yields` before leaving; then `results`."""

    __slots__ = ("args", "index", "op", "results", "yields")

    def __init__(self, op: ir.Operation, index: ir.Value, args: list[ir.Value]):
        self.op, self.index, self.args = op, index, args
        self.yields: Sequence[ir.Value] = ()
        self.results: list[ir.Value] = []
