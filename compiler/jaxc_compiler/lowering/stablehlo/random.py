"""threefry2x32 as plain integer ops; the frontend writes key operations in terms of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler.lowering.stablehlo.base import Emitter, lowers, out_aval
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.random import PARITY, ROTATIONS


@lowers("threefry2x32")
def lower_threefry2x32(e: Emitter, op: Any, operands: list) -> list[ir.Value]:
    """Five times four rounds of add, rotate and xor, a key word added after each four."""
    shape = out_aval(op).shape
    k0, k1, x0, x1 = (e.broadcast(x, shape) for x in operands)
    parity = e.full_like(k0, PARITY)
    keys = (k0, k1, e.same("xor", e.same("xor", k0, k1), parity))
    x0, x1 = e.same("add", x0, k0), e.same("add", x1, k1)
    for step in range(5):
        for rotation in ROTATIONS[step % 2]:
            x0 = e.same("add", x0, x1)
            x1 = e.same("xor", _rotate(e, x1, rotation), x0)
        x0 = e.same("add", x0, keys[(step + 1) % 3])
        key = e.same("add", keys[(step + 2) % 3], e.full_like(k0, np.uint32(step + 1)))
        x1 = e.same("add", x1, key)
    return [x0, x1]


def _rotate(e: Emitter, x: ir.Value, bits: int) -> ir.Value:
    left = e.same("shift_left", x, e.full_like(x, bits))
    right = e.same("shift_right_logical", x, e.full_like(x, 32 - bits))
    return e.same("or", left, right)
