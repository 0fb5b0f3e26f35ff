"""The at[] updates of a program whose dispatches IREE forms, and what can be told of them.

Whether IREE gives an update memory of its own is not written down anywhere; only that a dispatch of
the update alone writes a whole new array says that it copies. All else is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxc_compiler import mlir
from jaxc_compiler.dialects import lax
from jaxc_compiler.passes.fuse import blocks_of
from jaxc_compiler.passes.mark_in_place import UPDATES
from jaxc_compiler.report.data import Node, Update, byte_size, line_of, type_name


@dataclass(frozen=True)
class WantedUpdate:
    """An update of which nothing is known yet, and the bytes of its array."""

    update: Update
    bytes: int


def updates_of(module: Any) -> list[WantedUpdate]:
    """The updates of a `lax` module, wherever in it, in order."""
    with mlir.LOCK:
        functions = [op.operation for op in module.body.operations]
        return [found for op in functions for found in _updates_in(op)]


def _updates_in(op: Any) -> Iterator[WantedUpdate]:
    name = lax.name_of(op)
    if name in UPDATES:
        array = op.results[0].type
        update = Update(name, line_of(op.location), "", type_name(array), known=False)
        yield WantedUpdate(update, byte_size(array))
    for block in blocks_of(op):
        for inner in block.operations:
            yield from _updates_in(inner.operation)


def decided(wanted: WantedUpdate, written: Sequence[tuple[Node, int]]) -> Update:
    """What is known of an update.

    Args:
      wanted: the update.
      written: each dispatch, and the bytes of the largest array that it writes anew.
    """
    update = wanted.update
    for node, size in written:
        alone = {(op.name, op.line) for op in node.ops} == {(update.name, update.line)}
        if alone and size >= wanted.bytes:
            reason = f"IREE writes a new array for it, in {node.label}"
            return replace(update, place=node.label, reason=reason, known=True)
    return update
