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
from jaxc_compiler.lowering.element.convert import convert as convert_element
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
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray

STRIP_FROM_BYTES = 1 << 18  # from this size on columns are copied to stay in the nearer caches
COLUMNS_AT_ONCE = 4  # of the dot form


class Operand:
    """A stored operand: one stride for each of batch, free and contracted dimensions."""

    def __init__(self, view: View, batch: int, free: int, depth: int):
        self.view, self.batch, self.free, self.depth = view, batch, free, depth

    def key(self) -> tuple:
        """What identifies the memory and the roles of its dimensions."""
        return (self.view, self.batch, self.free, self.depth)

    def position(self, b: ScalarBuilder, batch: Index, free: Index, depth: Index) -> Index:
        """Where in the buffer an element is."""
        place = b.iadd(self.view.offset, b.imul(batch, self.batch))
        return b.iadd(b.iadd(place, b.imul(free, self.free)), b.imul(depth, self.depth))

    def load(self, b: ScalarBuilder, batch: Index, free: Index, depth: Index) -> Scalar:
        """One element."""
        position = self.position(b, batch, free, depth)
        return b.load(self.view.aval.dtype, self.view.buffer.ref, (position,))


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
            self.tiles()
        else:
            self.axpy()

    def _pack_rhs(self) -> None:
        self.rhs = pack_columns(self.k, self.rhs, (self.batch, self.columns, self.depth))

    def _start(self, batch: Index, row: Index) -> Index:
        """Where in the result's buffer a row starts."""
        b = self.b
        number = b.iadd(b.imul(batch, self.rows), row)
        return b.iadd(self.dest.offset, b.imul(number, self.columns))

    # Tile.

    def tiles(self) -> None:
        """Register tiles: as many vectors of columns as accumulators fit."""
        registers = self.k.vectors.registers
        height = min(self.rows, self.k.vectors.tile_rows)
        lanes = self.lanes
        vectors = max(1, registers // 2 // height)
        widest = lanes * (1 << min(3, vectors.bit_length() - 1))
        with self.k.loops((self.batch,)) as (batch,):
            done = 0
            while done < self.columns:
                left = self.columns - done
                width = min(widest, 1 << (left.bit_length() - 1))
                count = left // width
                self._tile_columns(batch, done, width, count, height)
                done += count * width

    def _tile_columns(self, batch: Index, start: int, width: int, count: int, height: int) -> None:
        b, rhs = self.b, self.rhs
        strip = self._strip(width)
        with self.k.loops((count,)) as (number,):
            column = b.iadd(b.imul(number, width), start)
            if strip is not None:
                with self.k.loops((self.depth, width)) as (depth, within):
                    value = rhs.load(b, batch, b.iadd(column, within), depth)
                    strip.store(b, (depth, within), value)
            full, rest = divmod(self.rows, height)
            with self.k.loops((full,)) as (block,):
                self._tile(batch, b.imul(block, height), height, column, width, strip)
            if rest:
                self._tile(batch, full * height, rest, column, width, strip)

    def _strip(self, width: int) -> View | None:
        """Memory for a copy of some columns, if the matrix is too large to be walked by rows."""
        item = self.dtype.itemsize
        if (
            self.rows < 4 * self.k.vectors.tile_rows
            or self.depth * self.columns * item < STRIP_FROM_BYTES
        ):
            return None
        return self.k.temporary(ShapedArray((self.depth, width), self.dtype))

    def _tile(
        self, batch: Index, row: Index, height: int, column: Index, width: int, strip: View | None
    ) -> None:
        right = (self.rhs, batch, column) if strip is None else (Operand(strip, 0, 1, width), 0, 0)
        b, element = self.b, self.b.scalar_type(self.dtype)
        type_ = b.type(f"vector<{width}x{element}>")
        rows = [b.iadd(row, i) for i in range(height)]
        chains = 2 if height * width <= 4 * self.lanes else 1
        zero = b.op("vector.broadcast", type_, [b.constant(0.0, self.dtype)])
        steps, rest = divmod(self.depth, chains)
        with b.for_(0, steps, 1, [zero] * (height * chains)) as loop:
            self.k.keep_rolled(loop)
            yields = list(loop.args)
            for chain in range(chains):
                depth = b.iadd(b.imul(loop.index, chains), chain)
                part = slice(chain * height, (chain + 1) * height)
                yields[part] = self._fma(batch, rows, depth, right, type_, yields[part])
            loop.yields = yields
        sums = loop.results[:height]
        for chain in range(1, chains):
            part = loop.results[chain * height : (chain + 1) * height]
            sums = [b.op("arith.addf", type_, [x, y]) for x, y in zip(sums, part)]
        for depth in range(self.depth - rest, self.depth):
            sums = self._fma(batch, rows, depth, right, type_, sums)
        for total, at in zip(sums, rows):
            place = b.iadd(self._start(batch, at), column)
            b.effect("vector.store", [total, self.dest.buffer.ref, b.index(place)])

    def _fma(
        self, batch: Index, rows: Sequence[Index], depth: Index,
        right: tuple[Operand, Index, Index], type_: ir.Type, sums: Sequence[ir.Value],
    ) -> list[ir.Value]:  # fmt: skip
        b = self.b
        operand, block, column = right
        position = b.index(operand.position(b, block, column, depth))
        vector = b.op("vector.load", type_, [operand.view.buffer.ref, position])
        result = []
        for row, total in zip(rows, sums):
            left = b.op("vector.broadcast", type_, [self.lhs.load(b, batch, row, depth)])
            result.append(b.op("vector.fma", type_, [left, vector, total]))
        return result

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


def convert(b: ScalarBuilder, value: Scalar, dtype: Any, wide: Any) -> Scalar:
    """A scalar in the type products are summed in."""
    if dtype == wide:
        return value
    if "c" in (dtype.kind, wide.kind):
        return convert_element(b, value, dtype, wide)
    if dtype.kind in "fV":
        cast = "arith.extf" if wide.itemsize > dtype.itemsize else "arith.truncf"
        return b.floats(wide).cast(cast, value)
    if wide.kind in "fV":
        unsigned = dtype.kind in "ub"
        return b.floats(wide).cast("arith.uitofp" if unsigned else "arith.sitofp", value)
    if wide.itemsize == dtype.itemsize and dtype.kind != "b":
        return value
    if wide.itemsize < dtype.itemsize:
        return b.ints(wide.itemsize * 8).cast("arith.trunci", value)
    cast = "arith.extui" if dtype.kind in "ub" else "arith.extsi"
    return b.ints(wide.itemsize * 8).cast(cast, value)
