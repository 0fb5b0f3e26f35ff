"""Removes ops whose results nobody reads.

%0 = "lax.sin"(%x)          return %x
return %x            ->
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler.dialects import lax
from jaxc_compiler.mlir import ir


def eliminate_dead_ops(module: ir.Module, target: Any = None) -> None:
    """Erase unused `lax` ops without effects, users before what they use."""
    del target
    for op in module.body.operations:
        for region in op.operation.regions:
            for block in region.blocks:
                _clean(block)


def _clean(block: ir.Block) -> None:
    for op in reversed([op.operation for op in block.operations]):
        if lax.is_dead(op):
            op.erase()
            continue
        for region in op.regions:
            for inner in region.blocks:
                _clean(inner)
