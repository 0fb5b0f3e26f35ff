"""Shape ops that are better stored than read through: concatenate, piece by piece.

All other shape ops are index maps with an element rule. Read element by element, a concatenation
would compare the index with every piece's range.
"""

from __future__ import annotations

import math
from typing import Any

from jaxc_compiler import cost
from jaxc_compiler.lowering.element.values import apply
from jaxc_compiler.lowering.kernel.kernel import Kernel
from jaxc_compiler.lowering.kernel.memory import View
from jaxc_compiler.lowering.kernel.region import Call, lowering


@lowering("concatenate")
def lower_concatenate(k: Kernel, call: Call) -> list[Any]:
    """The operands one after the other along a dimension; small ones stay lazy."""
    out = call.out_avals[0]
    if out.size < cost.STORED_PIECES:
        return list(apply("concatenate", call.operands, call.params, [out]))
    dest = call.place(k)
    if any(dest.buffer in k.reads(x) for x in call.operands):
        dest = k.temporary(out)
    axis, start = call.params["dimension"], 0
    for array in call.operands:
        if array.aval.size:
            _store_piece(k, array, dest, axis, start)
        start += array.aval.shape[axis]
    return [dest]


def _store_piece(k: Kernel, array: Any, dest: View, axis: int, start: int) -> None:
    b, shape = k.b, array.aval.shape
    if math.prod(shape[:axis]) == 1:  # one stretch of memory
        offset = b.iadd(dest.offset, start * math.prod(shape[axis + 1 :]))
        k.commit([(array, View(array.aval, dest.buffer, offset))])
        return
    with b.nest(), k.loops(shape) as index:
        place = list(index)
        place[axis] = b.iadd(index[axis], start)
        dest.store(b, place, array.at(b, index))
