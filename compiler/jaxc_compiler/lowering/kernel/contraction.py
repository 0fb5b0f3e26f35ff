"""`dot_general` inside a kernel, as one of three loop nests over batch, rows, columns and depth.

- Tile: columns are contiguous; a few rows times a few vectors of accumulators stay in registers
  while the depth is walked (180 GF/s on one AVX-512 core in f32).
- Axpy: the same order with the accumulators in memory, for types without our vectors.
- Dot: the depth is contiguous in both operands; a few columns at a time are summed in vectors.

An operand whose dimensions do not fit any of these is packed first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.dialects import lax
from jaxc_compiler.lowering.element.base import Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.values import Lazy, Scalars
from jaxc_compiler.lowering.kernel.kernel import Computed, Kernel
from jaxc_compiler.lowering.kernel.memory import View
from jaxc_compiler.lowering.kernel.reduction import (
    accumulator_dtype,
    combiner,
    narrow,
    reduce_all_rows,
)
from jaxc_compiler.lowering.kernel.region import Call, lowering
from jaxc_compiler.lowering.kernel.tile import Operand, Tiles, convert
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray

COLUMNS_AT_ONCE = 4  # of the dot form


@lowering("dot_general")
def lower_dot_general(k: Kernel, call: Call) -> list[Any]:
    """A contraction: the sum of products over the contracted dimensions."""
    out = call.out_avals[0]
    (lhs_depth, rhs_depth), (lhs_batch, rhs_batch) = call.params["dimension_numbers"]
    shapes = [x.aval.shape for x in call.operands]
    lhs_free = [i for i in range(len(shapes[0])) if i not in (*lhs_depth, *lhs_batch)]
    rhs_free = [i for i in range(len(shapes[1])) if i not in (*rhs_depth, *rhs_batch)]
    sizes = [
        math.prod(shapes[side][i] for i in dims)
        for side, dims in ((0, lhs_batch), (0, lhs_free), (1, rhs_free), (0, lhs_depth))
    ]
    dest = call.place(k) if out.shape else k.temporary(out)
    if not out.size:
        return [dest]
    if not sizes[3]:
        k.fill(dest, lambda: k.b.constant(0, out.dtype))
        return [_result(k, out, dest)]
    lhs = _operand(k, call.operands[0], (lhs_batch, lhs_free, lhs_depth))
    rhs = _operand(k, call.operands[1], (rhs_batch, rhs_free, rhs_depth))
    dot = Dot(k, lhs, rhs, sizes, dest)
    with k.b.nest():
        dot.emit()
    return [_result(k, out, dest)]


def _result(k: Kernel, out: Any, dest: View) -> Any:
    return dest if out.shape else Scalars(out, k.scalar(dest))


def _operand(k: Kernel, array: Any, groups: Sequence[Sequence[int]]) -> Operand:
    """An operand with its dimension groups merged, stored or packed if need be."""
    dims = list(range(len(array.aval.shape)))
    while isinstance(array, Lazy) and array.node.name == "transpose":
        permutation = array.node.params["permutation"]
        dims = [permutation[d] for d in dims]
        array = array.node.operands[0]
    view = k.materialize(array)
    strides = [math.prod(view.aval.shape[i + 1 :]) for i in range(len(view.aval.shape))]
    merged = [
        _merge([(view.aval.shape[dims[i]], strides[dims[i]]) for i in group]) for group in groups
    ]
    if None not in merged:
        return Operand(view, *merged)
    return pack(k, view, [[dims[i] for i in group] for group in groups])


def _merge(dims: Sequence[tuple[int, int]]) -> int | None:
    """The stride of several dimensions walked as one, if they can be."""
    dims = [(size, stride) for size, stride in dims if size != 1]
    for (_, outer), (size, inner) in pairwise(dims):
        if outer != size * inner:
            return None
    return dims[-1][1] if dims else 0


def pack(k: Kernel, view: View, groups: Sequence[Sequence[int]]) -> Operand:
    """A copy in the order of the groups; the last one is contiguous."""
    order = [i for group in groups for i in group]
    shape = tuple(view.aval.shape[i] for i in order)

    def element(b: ScalarBuilder, index: tuple) -> Scalar:
        source: list[Index] = [0] * len(order)
        for i, at in zip(order, index):
            source[i] = at
        return view.at(b, tuple(source))

    aval = ShapedArray(shape, view.aval.dtype)
    packed = k.materialize(Computed(aval, element, (view,)))
    sizes = [math.prod(view.aval.shape[i] for i in group) for group in groups]
    return Operand(packed, sizes[1] * sizes[2], sizes[2], 1)


def pack_columns(k: Kernel, operand: Operand, sizes: tuple[int, int, int]) -> Operand:
    """A copy whose free dimension is the contiguous one."""
    batch, free, depth = sizes
    aval = ShapedArray((batch, depth, free), operand.view.aval.dtype)
    element = lambda b, i: operand.load(b, i[0], i[2], i[1])  # noqa: E731
    packed = k.materialize(Computed(aval, element, (operand.view,)))
    return Operand(packed, depth * free, 1, free)


def pack_invariants(k: Kernel, block: ir.Block, arguments: Sequence[Any]) -> list[View]:
    """Before a loop: pack the matrices its body multiplies by, where the depth is contiguous.

    Args:
      arguments: the leading block arguments, those that every step reads.

    Returns:
      The packed copies, to be kept for as long as the loop runs.
    """
    made = []
    for op in block.operations:
        if lax.name_of(op.operation) != "dot_general":
            continue
        numbers = mlir.from_attr(op.operation.attributes["dimension_numbers"])
        values = list(op.operation.operands)
        for side in (0, 1):
            value = values[side]
            if not isinstance(value.owner, ir.Block) or value.arg_number >= len(arguments):
                continue
            array = arguments[value.arg_number]
            if not isinstance(array, View):
                continue
            packed = _pack_invariant(k, array, numbers, side, values[1 - side])
            if packed is not None:
                made.append(packed)
    return made


def _pack_invariant(
    k: Kernel, array: View, numbers: Any, side: int, other: ir.Value
) -> View | None:
    (depth, batch) = (numbers[0][side], numbers[1][side])
    shape = array.aval.shape
    free = [i for i in range(len(shape)) if i not in (*depth, *batch)]
    operand = _operand(k, array, (batch, free, depth))
    count = lambda dims: math.prod(shape[i] for i in dims)  # noqa: E731
    sizes = (count(batch), count(free), count(depth))
    other_free = math.prod(other.type.shape) // max(1, sizes[0] * sizes[2])
    if operand.free == 1 or operand.depth != 1 or sizes[1] < 8 or operand.view is not array:
        return None
    if (side == 0 and other_free != 1) or operand.key() in k.packs:
        return None
    packed = pack_columns(k, operand, sizes)
    k.packs[operand.key()] = packed
    return packed.view


class Dot:
    """One contraction in canonical form: out[batch, row, column], contiguous."""

    def __init__(self, k: Kernel, lhs: Operand, rhs: Operand, sizes: Sequence[int], dest: View):
        self.k, self.b, self.lhs, self.rhs, self.dest = k, k.b, lhs, rhs, dest
        self.batch, self.rows, self.columns, self.depth = sizes
        self.dtype = dest.aval.dtype
        self.wide = accumulator_dtype("add", self.dtype)
        self.add, self.mul = combiner("add", self.wide), combiner("mul", self.wide)
        same = lhs.view.aval.dtype == rhs.view.aval.dtype == self.dtype
        self.lanes = k.vectors.bytes // self.dtype.itemsize
        self.vectors = same and self.dtype in (np.float32, np.float64)

    def emit(self) -> None:
        """Choose a form and emit it."""
        if self.columns == 1 and self.rows > 1:
            self.lhs, self.rhs = self.rhs, self.lhs
            self.rows, self.columns = 1, self.rows
        self.rhs = self.k.packs.get(self.rhs.key(), self.rhs)
        if self.rhs.free == 1 and self.columns > 1:
            self._by_columns()
        elif self.rows >= 4 and self.columns >= 8:
            self._pack_rhs()
            self._by_columns()
        else:
            self._by_depth()

    def _by_columns(self) -> None:
        if self.vectors:
            Tiles(self.k, self.lhs, self.rhs, self._sizes(), self.dest).emit()
        elif self._is_float() and self.rows * self.columns >= 64:
            self._wide_tiles()
        else:
            self.axpy()

    def _sizes(self) -> tuple[int, int, int, int]:
        return (self.batch, self.rows, self.columns, self.depth)

    def _is_float(self) -> bool:
        dtypes = (self.lhs.view.aval.dtype, self.rhs.view.aval.dtype)
        return self.wide in (np.float32, np.float64) and all(d.kind in "fV" for d in dtypes)

    def _wide_tiles(self) -> None:
        """Narrow floats are multiplied and summed in a wider type."""
        if self.wide == self.dtype:
            Tiles(self.k, self.lhs, self.rhs, self._sizes(), self.dest).emit()
            return
        sums = self.k.temporary(self.dest.aval.update(dtype=self.wide))
        Tiles(self.k, self.lhs, self.rhs, self._sizes(), sums).emit()
        b = self.b
        with self.k.loops((self.dest.aval.size,)) as (at,):
            self.dest.store_flat(b, at, narrow(b, sums.at_flat(b, at), self.wide, self.dtype))

    def _pack_rhs(self) -> None:
        self.rhs = pack_columns(self.k, self.rhs, (self.batch, self.columns, self.depth))

    def _start(self, batch: Index, row: Index) -> Index:
        """Where in the result's buffer a row starts."""
        b = self.b
        number = b.iadd(b.imul(batch, self.rows), row)
        return b.iadd(self.dest.offset, b.imul(number, self.columns))

    # Axpy.

    def axpy(self) -> None:
        """Any type: rows of the result accumulate multiples of rows of the right operand."""
        k, b = self.k, self.b
        own = self.wide == self.dtype
        row_view = self.dest if own else k.temporary(ShapedArray((self.columns,), self.wide))
        ref = row_view.buffer.ref
        with k.loops((self.batch, self.rows)) as (batch, row):
            start = self._start(batch, row) if own else 0
            with k.loops((self.columns,)) as (column,):
                b.store(self.wide, b.constant(0, self.wide), ref, (b.iadd(start, column),))
            with b.for_(0, self.depth) as loop:
                left = self._widen(self.lhs, batch, row, loop.index)
                with k.loops((self.columns,)) as (column,):
                    right = self._widen(self.rhs, batch, column, loop.index)
                    place = b.iadd(start, column)
                    old = b.load(self.wide, ref, (place,))
                    b.store(self.wide, self.add(b, old, self.mul(b, left, right)), ref, (place,))
            if not own:
                with k.loops((self.columns,)) as (column,):
                    value = narrow(b, b.load(self.wide, ref, (column,)), self.wide, self.dtype)
                    place = b.iadd(self._start(batch, row), column)
                    b.store(self.dtype, value, self.dest.buffer.ref, (place,))

    def _widen(self, operand: Operand, batch: Index, free: Index, depth: Index) -> Scalar:
        value = operand.load(self.b, batch, free, depth)
        return convert(self.b, value, operand.view.aval.dtype, self.wide)

    # Dot.

    def _by_depth(self) -> None:
        contiguous = self.lhs.depth == 1 and self.rhs.depth == 1
        if self.vectors and contiguous and self.depth >= 8 and self.columns * self.rows > 1:
            self.dots()
            return
        aval = ShapedArray((self.batch, self.rows, self.columns, self.depth), self.wide)

        def product(b: ScalarBuilder, i: tuple) -> Scalar:
            left = self._widen(self.lhs, i[0], i[1], i[3])
            return self.mul(b, left, self._widen(self.rhs, i[0], i[2], i[3]))

        array = Computed(aval, product, (self.lhs.view, self.rhs.view))
        reduce_all_rows(self.k, array, self.dest)

    def dots(self) -> None:
        """Vectors along the depth, several columns at a time."""
        full, rest = divmod(self.columns, COLUMNS_AT_ONCE)
        with self.k.loops((self.batch, self.rows)) as (batch, row):
            with self.k.loops((full,)) as (number,):
                self._dot_columns(batch, row, self.b.imul(number, COLUMNS_AT_ONCE), COLUMNS_AT_ONCE)
            if rest:
                self._dot_columns(batch, row, full * COLUMNS_AT_ONCE, rest)

    def _dot_columns(self, batch: Index, row: Index, column: Index, count: int) -> None:
        b, lanes = self.b, self.lanes
        columns = [b.iadd(column, i) for i in range(count)]
        totals: list[Any] = [None] * count
        done = 0
        while done < self.depth:
            left = self.depth - done
            width = min(lanes, 1 << (left.bit_length() - 1))
            steps = left // width
            parts = self._dot_steps(batch, row, columns, done, width, steps)
            totals = [p if t is None else self.add(b, t, p) for t, p in zip(totals, parts)]
            done += steps * width
        for at, total in zip(columns, totals):
            place = b.iadd(self._start(batch, row), at)
            b.store(self.dtype, total, self.dest.buffer.ref, (place,))

    def _dot_steps(
        self, batch: Index, row: Index, columns: Sequence[Index], start: int, width: int, steps: int
    ) -> list[ir.Value]:
        b, element = self.b, self.b.scalar_type(self.dtype)
        type_ = b.type(f"vector<{width}x{element}>")
        zero = b.op("vector.broadcast", type_, [b.constant(0.0, self.dtype)])

        def load(operand: Operand, free: Index, depth: Index) -> ir.Value:
            place = b.index(operand.position(b, batch, free, depth))
            return b.op("vector.load", type_, [operand.view.buffer.ref, place])

        with b.for_(0, steps, 1, [zero] * len(columns)) as loop:
            self.k.keep_rolled(loop)
            depth = b.iadd(b.imul(loop.index, width), start)
            left = load(self.lhs, row, depth)
            loop.yields = [
                b.op("vector.fma", type_, [left, load(self.rhs, column, depth), total])
                for column, total in zip(columns, loop.args)
            ]
        kind = {"kind": ir.Attribute.parse("#vector.kind<add>")}
        return [b.op("vector.reduction", element, [total], kind) for total in loop.results]
