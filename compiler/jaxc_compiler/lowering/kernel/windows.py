"""Reductions over sliding windows, and the pair of ops that max pooling's derivatives are made of.

Sums and extrema go row by row: for one position inside the window, the part of the result's last
dimension that it falls on is one contiguous loop. A padded element is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc_compiler import cost
from jaxc_compiler.lowering.element.base import Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.values import Scalars
from jaxc_compiler.lowering.kernel.kernel import Computed, Kernel, scalar_aval
from jaxc_compiler.lowering.kernel.reduction import (
    accumulator_dtype,
    combiner,
    identity,
    narrow,
    widen,
)
from jaxc_compiler.lowering.kernel.region import Call, lower_block, lowering
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray

_KINDS = {"reduce_window_sum": "add", "reduce_window_max": "max", "reduce_window_min": "min"}


class Windows:
    """How a result's index and a position inside the window make an operand's index."""

    def __init__(self, shape: Sequence[int], params: dict[str, Any]):
        rank = len(shape)
        self.shape = tuple(shape)
        self.sizes = tuple(params["window_dimensions"])
        self.strides = tuple(params["window_strides"])
        self.low = [low for low, _ in params["padding"]]
        self.high = [high for _, high in params["padding"]]
        self.dilation = tuple(params.get("window_dilation") or (1,) * rank)

    def position(self, b: ScalarBuilder, dim: int, out: Index, inside: Index) -> Index:
        """The operand's index along a dimension; it may lie outside."""
        start = b.iadd(b.imul(out, self.strides[dim]), b.imul(inside, self.dilation[dim]))
        return b.isub(start, self.low[dim])

    def is_plain(self, dim: int) -> bool:
        """Whether windows along a dimension are single elements of the operand."""
        return self.sizes[dim] == 1 and self.low[dim] == 0 and self.high[dim] <= 0

    def fits(self, b: ScalarBuilder, dim: int, position: Index) -> Any:
        """Whether an index is inside the operand."""
        if self.is_plain(dim):
            return True
        above = b.icmp("ge", position, 0)
        return b.all_of([above, b.icmp("lt", position, self.shape[dim])])


def dilated(k: Kernel, array: Any, dilation: Sequence[int], fill: Any) -> Any:
    """The array with `fill` between its elements."""
    if all(d == 1 for d in dilation):
        return array
    old = array.aval.shape
    shape = tuple(max(0, (n - 1) * d + 1) for n, d in zip(old, dilation))
    dtype = array.aval.dtype

    def element(b: ScalarBuilder, index: tuple) -> Scalar:
        here = [b.icmp("eq", b.imod(i, d), 0) for i, d in zip(index, dilation)]
        at = tuple(b.idiv(i, d) for i, d in zip(index, dilation))
        return b.select(b.all_of(here), array.at(b, at), b.constant(fill, dtype))

    return k.materialize(Computed(ShapedArray(shape, dtype), element, (array,)))


@lowering(*_KINDS)
def lower_reduce_window(k: Kernel, call: Call) -> list[Any]:
    """A sum, maximum or minimum over windows."""
    b, params, kind = k.b, call.params, _KINDS[call.name]
    out, dest = call.out_avals[0], call.place(k)
    dtype = out.dtype
    array = k.stored(call.operands[0], cost.EXPENSIVE)
    array = dilated(k, array, params["base_dilation"], identity(kind, dtype))
    if dest.buffer in k.reads(array):
        array = k.materialize(array, k.temporary(array.aval))
    if not out.shape:
        return [array]
    windows = Windows(array.aval.shape, params)
    wide = accumulator_dtype(kind, dtype)
    combine = combiner(kind, wide)
    *outer_dims, last = out.shape
    row = k.temporary(ShapedArray((last,), wide))

    def add(outer: tuple, inside: tuple) -> None:
        start, stop = _range(b, windows, len(outer_dims), last, inside[-1])
        lead = [windows.position(b, d, o, w) for d, (o, w) in enumerate(zip(outer, inside))]
        with b.for_(start, stop) as loop:
            index = (*lead, windows.position(b, len(outer_dims), loop.index, inside[-1]))
            value = widen(b, array.at(b, index), dtype, wide)
            old = b.load(wide, row.buffer.ref, (loop.index,))
            row.store(b, (loop.index,), combine(b, old, value))

    with b.nest(), k.loops(outer_dims) as outer:
        with k.loops((last,)) as at:
            row.store(b, at, b.constant(identity(kind, wide), wide))
        with k.loops(windows.sizes) as inside:
            lead = [
                windows.fits(b, d, windows.position(b, d, o, w))
                for d, (o, w) in enumerate(zip(outer, inside))
            ]
            guarded(b, b.all_of(lead), lambda: add(outer, inside))
        with k.loops((last,)) as at:
            value = narrow(b, b.load(wide, row.buffer.ref, at), wide, dtype)
            dest.store(b, (*outer, *at), value)
    return [dest]


def guarded(b: ScalarBuilder, condition: Any, body: Callable[[], None]) -> None:
    """Emit a body that runs only if a condition holds."""
    if condition is True:
        body()
    elif condition is not False:
        op = ir.Operation.create("scf.if", [], [condition], regions=2, ip=b.scope.ip)
        with b.inside(op, op.regions[0].blocks.append()):
            body()
            b.effect("scf.yield", [])


def _range(
    b: ScalarBuilder, windows: Windows, dim: int, size: int, inside: Index
) -> tuple[Index, Index]:
    """The result indices along a dimension whose window element is inside the operand."""
    if windows.is_plain(dim) and windows.strides[dim] == 1:
        return 0, size
    stride = windows.strides[dim]
    # low - inside * dilation <= out * stride < low - inside * dilation + n
    first = b.isub(windows.low[dim], b.imul(inside, windows.dilation[dim]))
    start = b.idiv(b.imax(b.iadd(first, stride - 1), 0), stride)
    beyond = b.iadd(first, windows.shape[dim] + stride - 1)
    return start, b.imin(b.idiv(b.imax(beyond, 0), stride), size)


@lowering("reduce_window")
def lower_general_reduce_window(k: Kernel, call: Call) -> list[Any]:
    """Windows reduced by a user's function, one element after the other."""
    b, params = k.b, call.params
    half = len(call.operands) // 2
    inits = [k.scalar(x) for x in call.operands[half:]]
    dests = [call.place(k, n) for n in range(half)]
    arrays = [k.materialize(x) for x in call.operands[:half]]
    dtypes = [x.aval.dtype for x in arrays]
    dilation = params["base_dilation"]
    shape = [max(0, (n - 1) * d + 1) for n, d in zip(arrays[0].aval.shape, dilation)]
    windows = Windows(shape, params)
    block = call.op.regions[0].blocks[0]

    def step(carried: list[Scalar], index: Sequence[Index]) -> list[Scalar]:
        fits = [windows.fits(b, d, i) for d, i in enumerate(index)]
        fits += [b.icmp("eq", b.imod(b.imax(i, 0), d), 0) for i, d in zip(index, dilation)]
        at = tuple(
            b.idiv(b.imin(b.imax(i, 0), (n - 1) * d), d)
            for i, d, n in zip(index, dilation, arrays[0].aval.shape)
        )
        values = [*carried, *(x.at(b, at) for x in arrays)]
        arguments = [Scalars(scalar_aval(d), v) for d, v in zip(dtypes * 2, values)]
        with b.nest():
            joined = lower_block(
                k, block, arguments, [None] * half, lambda out: [k.scalar(x) for x in out]
            )
        inside = b.all_of(fits)  # padding and holes do not take part
        return [b.select(inside, new, old) for new, old in zip(joined, carried)]

    with b.nest(), k.loops(call.out_avals[0].shape) as out:
        values = _fold(b, windows.sizes, dtypes, inits, lambda carried, inside: step(
            carried, [windows.position(b, d, o, w) for d, (o, w) in enumerate(zip(out, inside))]
        ))  # fmt: skip
        for dest, value in zip(dests, values):
            dest.store(b, out, value)
    return dests


def _fold(
    b: ScalarBuilder, sizes: Sequence[int], dtypes: Sequence[Any], inits: Sequence[Scalar],
    step: Callable[[list[Scalar], tuple], list[Scalar]],
) -> list[Scalar]:  # fmt: skip
    """Nested loops over `sizes` that carry scalars."""

    def level(depth: int, index: tuple, carried: list[Scalar]) -> list[Scalar]:
        if depth == len(sizes):
            return step(carried, index)
        flat = [part for value in carried for part in b.flatten(value)]
        with b.for_(0, sizes[depth], 1, flat) as loop:
            inner = level(depth + 1, (*index, loop.index), _unflatten(b, dtypes, loop.args))
            loop.yields = [part for value in inner for part in b.flatten(value)]
        return _unflatten(b, dtypes, loop.results)

    return level(0, (), list(inits))


def _unflatten(b: ScalarBuilder, dtypes: Sequence[Any], parts: Sequence[ir.Value]) -> list[Scalar]:
    rest, values = list(parts), []
    for dtype in dtypes:
        width = 2 if dtype.kind == "c" else 1
        values.append(b.unflatten(dtype, rest[:width]))
        rest = rest[width:]
    return values


# -- selecting in windows ------------------------------------------------------------------------


def _selected(
    k: Kernel, windows: Windows, operand: Any, select: str, out: Sequence[Index]
) -> ir.Value:
    """The row-major position of the element that a window selects, or -1 if it has none."""
    b, dtype = k.b, operand.aval.dtype
    int64 = np.dtype(np.int64)

    def step(carried: list[Scalar], inside: tuple) -> list[Scalar]:
        index = [windows.position(b, d, o, w) for d, (o, w) in enumerate(zip(out, inside))]
        fits = b.all_of([windows.fits(b, d, i) for d, i in enumerate(index)])
        clamped = tuple(b.imin(b.imax(i, 0), n - 1) for i, n in zip(index, windows.shape))
        value = operand.at(b, clamped)
        best, place = carried
        empty = b.ints(64).slt(place, 0)
        wins = b.op("arith.ori", b.i1, [empty, _not_selected(b, dtype, select, best, value)])
        wins = b.all_of([fits, wins])
        position: Index = 0
        for i, n in zip(clamped, windows.shape):
            position = b.iadd(b.imul(position, n), i)
        return [b.select(wins, value, best), b.select(wins, b.from_index(position, 64), place)]

    inits = [b.constant(0, dtype), b.constant(-1, int64)]
    return _fold(b, windows.sizes, [dtype, int64], inits, step)[1]


def _not_selected(
    b: ScalarBuilder, dtype: Any, select: str, best: ir.Value, value: ir.Value
) -> ir.Value:
    """Whether `select(best, value)` does not hold, so that the new value takes over."""
    if dtype.kind in "fV":
        holds = (
            b.floats(dtype).ge(best, value) if select == "ge" else b.floats(dtype).le(best, value)
        )
    else:
        unsigned = dtype.kind in "ub"
        predicate = (9 if unsigned else 5) if select == "ge" else (7 if unsigned else 3)
        holds = b.compare("arith.cmpi", predicate, best, value)
    return b.op("arith.xori", b.i1, [holds, b.true()])


def _select_name(select_prim: Any) -> str:
    return select_prim if isinstance(select_prim, str) else select_prim.name


@lowering("select_and_scatter_add")
def lower_select_and_scatter_add(k: Kernel, call: Call) -> list[Any]:
    """Adds each source element to the operand's element that its window selects."""
    b, params = k.b, call.params
    source = k.stored(call.operands[0], cost.EXPENSIVE)
    operand = k.materialize(call.operands[1])
    dtype = call.out_avals[0].dtype
    dest = call.place(k)
    if dest.buffer in k.reads(source) or dest.buffer in k.reads(operand):
        dest = k.temporary(call.out_avals[0])
    windows = Windows(operand.aval.shape, params)
    add = combiner("add", dtype)
    k.fill(dest, lambda: b.constant(0, dtype))
    select = _select_name(params["select_prim"])
    with b.nest(), k.loops(source.aval.shape) as out:
        place = _selected(k, windows, operand, select, out)

        def update() -> None:
            position = b.iadd(dest.offset, b.to_index(place))
            old = b.load(dtype, dest.buffer.ref, (position,))
            b.store(dtype, add(b, old, source.at(b, out)), dest.buffer.ref, (position,))

        guarded(b, b.ints(64).sge(place, 0), update)
    return [dest]


@lowering("select_and_gather_add")
def lower_select_and_gather_add(k: Kernel, call: Call) -> list[Any]:
    """The tangent at the element that each window selects, 0 for an empty window."""
    b, params = k.b, call.params
    tangents, operand = (k.materialize(x) for x in call.operands)
    dtype = call.out_avals[0].dtype
    dest = call.place(k)
    if any(dest.buffer in k.reads(x) for x in (tangents, operand)):
        dest = k.temporary(call.out_avals[0])
    if any(d != 1 for d in params["base_dilation"]):
        raise NotImplementedError("select_and_gather_add with a base dilation")
    windows = Windows(operand.aval.shape, params)
    select = _select_name(params["select_prim"])
    with b.nest(), k.loops(call.out_avals[0].shape) as out:
        place = _selected(k, windows, operand, select, out)
        position = b.iadd(tangents.offset, b.imax(b.to_index(place), 0))
        value = b.load(dtype, tangents.buffer.ref, (position,))
        found = b.ints(64).sge(place, 0)
        dest.store(b, out, b.select(found, value, b.constant(0, dtype)))
    return [dest]
