"""argmax and argmin: candidates side by side, so that LLVM vectorizes the comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc_compiler import cost
from jaxc_compiler.lowering.element.base import Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.values import Scalars
from jaxc_compiler.lowering.kernel.kernel import Kernel
from jaxc_compiler.lowering.kernel.reduction import Space, position_in
from jaxc_compiler.lowering.kernel.region import Call, lowering
from jaxc_compiler.opset.avals import ShapedArray


@lowering("argmax", "argmin")
def lower_argmax(k: Kernel, call: Call) -> list[Any]:
    """The index of the first extremum; NaN counts as the extremum."""
    b, params = k.b, call.params
    array = k.stored(call.operands[0], cost.EXPENSIVE)
    space = Space(k, array, params["axes"])
    better = _better(array.aval.dtype, call.name == "argmax")
    index_dtype = np.dtype(params["index_dtype"])
    bits = index_dtype.itemsize * 8
    dest = call.place(k)
    values = k.temporary(ShapedArray((space.sizes[2],), array.aval.dtype))
    zero = b.constant(0, index_dtype)
    with b.nest(), k.loops(space.outer) as outer:
        start = space.resultposition_in(b, outer, (0,) * len(space.inner))
        if space.sizes[2] == 1 and len(space.reduced) == 1:
            found = _argmax_row(k, space, outer, better, index_dtype)
            dest.store_flat(b, start, found)
        else:
            with k.loops(space.inner) as column:
                place = position_in(b, column, space.inner)
                first = space.at(b, outer, (0,) * len(space.reduced), column)
                values.store_flat(b, place, first)
                dest.store_flat(b, b.iadd(start, place), zero)
            with k.loops(space.reduced) as reduced, k.loops(space.inner) as column:
                place = position_in(b, column, space.inner)
                value = space.at(b, outer, reduced, column)
                old = b.load(array.aval.dtype, values.buffer.ref, (place,))
                at = b.iadd(dest.offset, b.iadd(start, place))
                old_index = b.load(index_dtype, dest.buffer.ref, (at,))
                wins = better(b, value, old)
                new = b.from_index(position_in(b, reduced, space.reduced), bits)
                values.store_flat(b, place, b.select(wins, value, old))
                b.store(index_dtype, b.select(wins, new, old_index), dest.buffer.ref, (at,))
    k.pool.give(values.buffer)
    if not call.out_avals[0].shape:
        return [Scalars(call.out_avals[0], k.scalar(dest))]
    return [dest]


def _better(dtype: Any, largest: bool) -> Callable:
    def better(b: ScalarBuilder, new: Scalar, old: Scalar) -> Any:
        if dtype.kind in "fV":
            ops = b.floats(dtype)
            wins = ops.gt(new, old) if largest else ops.lt(new, old)
            nan = b.all_of([ops.isnan(new), ops.eq(old, old)])
            return b.op("arith.ori", b.i1, [wins, nan])
        unsigned = dtype.kind in "ub"
        predicate = (8 if unsigned else 4) if largest else (6 if unsigned else 2)
        return b.compare("arith.cmpi", predicate, new, old)

    return better


def _argmax_row(
    k: Kernel, space: Space, outer: tuple, better: Callable, index_dtype: Any
) -> Scalar:
    """One contiguous row: `lanes` candidates side by side, then the best of them."""
    b, (count,) = k.b, space.reduced
    dtype, bits = space.array.aval.dtype, index_dtype.itemsize * 8
    inner = (0,) * len(space.inner)
    lanes = 64 if count >= 256 else 1
    values = k.temporary(ShapedArray((lanes,), dtype))
    places = k.temporary(ShapedArray((lanes,), index_dtype))

    def step(position: Index, lane: Index) -> None:
        value = space.at(b, outer, (position,), inner)
        old = b.load(dtype, values.buffer.ref, (lane,))
        old_place = b.load(index_dtype, places.buffer.ref, (lane,))
        wins = better(b, value, old)
        values.store(b, (lane,), b.select(wins, value, old))
        place = b.select(wins, b.from_index(position, bits), old_place)
        places.store(b, (lane,), place)

    with k.loops((lanes,)) as (lane,):
        values.store(b, (lane,), space.at(b, outer, (lane,), inner))
        places.store(b, (lane,), b.from_index(lane, bits))
    with b.for_(1, count // lanes) as chunk, k.loops((lanes,)) as (lane,):
        step(b.iadd(b.imul(chunk.index, lanes), lane), lane)
    if count % lanes:
        with b.for_(0, count % lanes) as lane:
            step(b.iadd(lane.index, count // lanes * lanes), lane.index)
    first = [b.load(dtype, values.buffer.ref, (0,)), b.load(index_dtype, places.buffer.ref, (0,))]
    with b.for_(1, lanes, 1, first) as lane:
        value = b.load(dtype, values.buffer.ref, (lane.index,))
        place = b.load(index_dtype, places.buffer.ref, (lane.index,))
        old, old_place = lane.args
        wins = better(b, value, old)
        loses = better(b, old, value)
        tie = b.op("arith.xori", b.i1, [b.op("arith.ori", b.i1, [wins, loses]), b.true()])
        earlier = b.compare("arith.cmpi", 2, place, old_place)
        wins = b.op("arith.ori", b.i1, [wins, b.all_of([tie, earlier])])
        lane.yields = [b.select(wins, value, old), b.select(wins, place, old_place)]
    k.pool.give(values.buffer)
    k.pool.give(places.buffer)
    return lane.results[1]
