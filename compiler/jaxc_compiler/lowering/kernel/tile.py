"""The register tile: a few rows times a few vectors of columns of a product stay in registers.

Owns `Tiles`, `Operand`, which says where a matrix is, and how large matrices are cut into blocks
that stay in the caches. Knows no op.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxc_compiler.lowering.element.base import Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.convert import convert as convert_element
from jaxc_compiler.lowering.kernel.kernel import Kernel
from jaxc_compiler.lowering.kernel.memory import View
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray

STRIP_FROM_BYTES = 1 << 18  # from this size on columns are copied to stay in the nearer caches
# A large matrix goes in blocks: of the left operand a block stays in the second cache, of the
# right one a strip in the first. Rows of the copy are this many bytes apart beyond their length,
# since rows at a power of two share few places of a cache.
BLOCK_DEPTH, BLOCK_ROWS, ROW_GAP_BYTES = 512, 128, 64


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


class Shifted(Operand):
    """Rows that begin where a table of int32 says, for each element of the depth."""

    def __init__(self, view: View, table: View):
        super().__init__(view, 0, 1, 0)
        self.table = table

    def position(self, b: ScalarBuilder, batch: Index, free: Index, depth: Index) -> Index:
        """Where in the buffer an element is."""
        start = b.to_index(self.table.at(b, (depth,)), signed=True)
        return b.iadd(b.iadd(self.view.offset, free), start)


class _Part:
    """What a tile multiplies: the operands, or copies of a block of them.

    Attributes:
      depth: how many products are summed.
      row, column: of the result, where the copies begin; with a column, sums go on from there.
    """

    def __init__(
        self, lhs: Operand, rhs: Operand, batch: Index, depth: Index,
        row: Index = 0, column: Index | None = None,
    ):  # fmt: skip
        self.lhs, self.rhs, self.batch, self.depth = lhs, rhs, batch, depth
        self.row, self.column = row, column


class Tiles:
    """out[batch, row, column] of one type; columns of the right operand are contiguous.

    Attributes:
      mixed: the operands have another type than the result; they are converted block by block.
      row_stride: between rows of the result; its columns are contiguous.
    """

    def __init__(
        self, k: Kernel, lhs: Operand, rhs: Operand, sizes: Sequence[int], dest: View,
        row_stride: int | None = None,
    ):  # fmt: skip
        self.k, self.b, self.lhs, self.rhs, self.dest = k, k.b, lhs, rhs, dest
        self.batch, self.rows, self.columns, self.depth = sizes
        self.dtype = dest.aval.dtype
        self.lanes = k.vectors.bytes // self.dtype.itemsize
        self.mixed = not lhs.view.aval.dtype == rhs.view.aval.dtype == self.dtype
        self.row_stride = self.columns if row_stride is None else row_stride

    def _start(self, batch: Index, row: Index) -> Index:
        """Where in the result's buffer a row starts."""
        b = self.b
        number = b.iadd(b.imul(batch, self.rows), row)
        return b.iadd(self.dest.offset, b.imul(number, self.row_stride))

    def _load(self, operand: Operand, batch: Index, free: Index, depth: Index) -> Scalar:
        value = operand.load(self.b, batch, free, depth)
        return convert(self.b, value, operand.view.aval.dtype, self.dtype)

    def emit(self) -> None:
        """Register tiles: as many vectors of columns as accumulators fit."""
        height = min(self.rows, self.k.vectors.tile_rows)
        copied = self.mixed or self._is_large()
        with self.k.loops((self.batch,)) as (batch,):
            if copied:
                self._blocks(batch, height)
                return
            for start, width, count in self._widths(height):
                with self.k.loops((count,)) as (number,):
                    column = self.b.iadd(self.b.imul(number, width), start)
                    part = _Part(self.lhs, self.rhs, batch, self.depth)
                    self._tile_rows(part, 0, self.rows, height, column, width)

    def _widths(self, height: int) -> list[tuple[int, int, int]]:
        """The columns cut into strips: where each kind starts, its width and how many it has."""
        vectors = max(1, self.k.vectors.registers // 2 // height)
        widest = self.lanes * (1 << min(3, vectors.bit_length() - 1))
        strips, done = [], 0
        while done < self.columns:
            left = self.columns - done
            width = min(widest, 1 << (left.bit_length() - 1))
            strips.append((done, width, left // width))
            done += left // width * width
        return strips

    def _is_large(self) -> bool:
        size = self.depth * self.columns * self.dtype.itemsize
        return (
            not isinstance(self.rhs, Shifted)
            and self.rows >= 4 * self.k.vectors.tile_rows
            and size >= STRIP_FROM_BYTES
        )

    def _blocks(self, batch: Index, height: int) -> None:
        """Block by block of depth and rows, added to a result that starts at zero."""
        k, b = self.k, self.b
        strips = self._widths(height)
        depths = -(-self.depth // -(-self.depth // BLOCK_DEPTH))
        rows = min(BLOCK_ROWS, self.rows)
        pitch = depths + ROW_GAP_BYTES // self.dtype.itemsize
        left = k.temporary(ShapedArray((rows, pitch), self.dtype))
        panel = k.temporary(ShapedArray((self.columns * depths,), self.dtype))
        with k.loops((self.rows, self.columns)) as (i, j):
            zero = b.constant(0, self.dtype)
            b.store(self.dtype, zero, self.dest.buffer.ref, (b.iadd(self._start(batch, i), j),))
        with k.loops((-(-self.depth // depths),)) as (deep,):
            start = b.imul(deep, depths)
            count = (
                depths if self.depth % depths == 0 else b.imin(depths, b.isub(self.depth, start))
            )
            self._copy_columns(panel, batch, start, count, depths, strips)
            with k.loops((-(-self.rows // rows),)) as (low,):
                row = b.imul(low, rows)
                self._copy_rows(left, batch, row, start, count, rows)
                for begin, width, number in strips:
                    with k.loops((number,)) as (i,):
                        column = b.iadd(b.imul(i, width), begin)
                        strip = View(panel.aval, panel.buffer, b.imul(column, depths))
                        part = _Part(
                            Operand(left, 0, pitch, 1), Operand(strip, 0, 1, width), batch, count,
                            row, column,
                        )  # fmt: skip
                        self._block_rows(part, low, rows, height, column, width)

    def _copy_columns(
        self, panel: View, batch: Index, start: Index, count: Index, depths: int,
        strips: Sequence[tuple[int, int, int]],
    ) -> None:  # fmt: skip
        """Copy some rows of the right operand, strip after strip; each row is read at once."""
        b = self.b
        with b.for_(0, count) as loop:
            at = b.iadd(start, loop.index)
            for begin, width, number in strips:
                inside = b.iadd(b.imul(loop.index, width), begin * depths)
                with self.k.loops((number, width)) as (i, within):
                    column = b.iadd(b.iadd(b.imul(i, width), begin), within)
                    place = b.iadd(b.iadd(b.imul(i, width * depths), inside), within)
                    panel.store_flat(b, place, self._load(self.rhs, batch, column, at))

    def _copy_rows(
        self, left: View, batch: Index, row: Index, start: Index, count: Index, rows: int
    ) -> None:
        b = self.b
        exact = self.rows % rows == 0
        limit = rows if exact else b.imin(rows, b.isub(self.rows, row))
        pitch = left.aval.shape[1]
        with b.for_(0, limit) as outer, b.for_(0, count) as inner:
            at = b.iadd(start, inner.index)
            value = self._load(self.lhs, batch, b.iadd(row, outer.index), at)
            left.store_flat(b, b.iadd(b.imul(outer.index, pitch), inner.index), value)

    def _block_rows(
        self, part: _Part, low: Index, rows: int, height: int, column: Index, width: int
    ) -> None:
        """The tiles of a block; the last block may have fewer, and a rest of one tile."""
        b = self.b
        full, rest = divmod(self.rows, height)
        tiles = rows // height
        left = b.isub(full, b.imul(low, tiles))
        with b.for_(0, b.imin(tiles, left)) as loop:
            self._tile(part, b.imul(loop.index, height), height, column, width)
        if rest:
            with b.for_(0, 1) if self.rows <= rows else self._only_last(low, rows):
                at = b.isub(full * height, part.row)
                self._tile(part, at, rest, column, width)

    def _only_last(self, low: Index, rows: int) -> Any:
        """A loop of one step in the last block of rows and of none in the others."""
        b = self.b
        return b.for_(0, b.idiv(b.iadd(low, 1), -(-self.rows // rows)))

    def _tile_rows(
        self, part: _Part, row: Index, rows: int, height: int, column: Index, width: int
    ) -> None:
        b = self.b
        full, rest = divmod(rows, height)
        with self.k.loops((full,)) as (block,):
            self._tile(part, b.iadd(row, b.imul(block, height)), height, column, width)
        if rest:
            self._tile(part, b.iadd(row, full * height), rest, column, width)

    def _tile(self, part: _Part, row: Index, height: int, column: Index, width: int) -> None:
        b, element = self.b, self.b.scalar_type(self.dtype)
        type_ = b.type(f"vector<{width}x{element}>")
        rows = [b.iadd(row, i) for i in range(height)]
        places = [
            b.index(b.iadd(self._start(part.batch, b.iadd(part.row, at)), column)) for at in rows
        ]
        chains = 2 if height * width <= 4 * self.lanes and isinstance(part.depth, int) else 1
        zero = b.op("vector.broadcast", type_, [b.constant(0.0, self.dtype)])
        first = [zero] * height
        if part.column is not None:
            first = [b.op("vector.load", type_, [self.dest.buffer.ref, at]) for at in places]
        steps, rest = (part.depth, 0) if chains == 1 else divmod(part.depth, chains)
        with b.for_(0, steps, 1, first + [zero] * (height * (chains - 1))) as loop:
            self.k.keep_rolled(loop)
            yields = list(loop.args)
            for chain in range(chains):
                depth = b.iadd(b.imul(loop.index, chains), chain)
                own = slice(chain * height, (chain + 1) * height)
                yields[own] = self._fma(part, rows, depth, column, type_, yields[own])
            loop.yields = yields
        sums = loop.results[:height]
        for chain in range(1, chains):
            more = loop.results[chain * height : (chain + 1) * height]
            sums = [b.op("arith.addf", type_, [x, y]) for x, y in zip(sums, more)]
        for depth in range(steps * chains, steps * chains + rest) if rest else ():
            sums = self._fma(part, rows, depth, column, type_, sums)
        for total, at in zip(sums, places):
            b.effect("vector.store", [total, self.dest.buffer.ref, at])

    def _fma(
        self, part: _Part, rows: Sequence[Index], depth: Index, column: Index,
        type_: ir.Type, sums: Sequence[ir.Value],
    ) -> list[ir.Value]:  # fmt: skip
        b = self.b
        column = column if part.column is None else 0
        position = b.index(part.rhs.position(b, part.batch, column, depth))
        vector = b.op("vector.load", type_, [part.rhs.view.buffer.ref, position])
        result = []
        for row, total in zip(rows, sums):
            left = b.op("vector.broadcast", type_, [part.lhs.load(b, part.batch, row, depth)])
            result.append(b.op("vector.fma", type_, [left, vector, total]))
        return result


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
