"""One kernel while it is emitted: its builder, its temporaries, and stores of arrays to memory.

Owns `Kernel`: what is known of lazy arrays (cost, what they read), when they are put into memory,
and the loops that do it. Knows no op; the op lowerings call it. Lazy arrays are read inside a
`nest`, during which nothing they read may be written: `commit` sees to that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jaxc_compiler import cost
from jaxc_compiler.lowering.element.base import Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.values import POINTWISE, Lazy, Scalars, Splat
from jaxc_compiler.lowering.kernel.memory import Buffer, Computed, Pool, Row, View, operands_of
from jaxc_compiler.lowering.kernel.vectors import AVX512
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray

_BLOCK = 32  # rows and columns of a block of a transposition


class Kernel:
    """The state of one kernel's emission.

    Attributes:
      b: the scalar builder; its scope is where ops go.
      pool: where temporaries come from.
      vectors: those of the CPU the kernel is for.
      frames: the live values of the blocks that are being lowered, outermost first.
      uses: how many live values read a buffer.
      packs: copies of matrices in the order contractions want, made before a loop.
      locks: buffers an enclosing loop reads in every step, which may not be overwritten.
    """

    def __init__(self, b: ScalarBuilder, pool: Pool):
        self.b, self.pool = b, pool
        self.vectors = AVX512
        self.frames: list[Any] = []
        self.uses: dict[Buffer, int] = {}
        self.locks: dict[Buffer, int] = {}
        self.packs: dict[Any, Any] = {}
        self._rolled: ir.Attribute | None = None
        self._taken: list[list[Buffer]] = [[]]
        self._costs: dict[Any, float] = {}
        self._flat: dict[Any, bool] = {}
        self._reads: dict[Any, dict[Buffer, View | None]] = {}

    # What is known of an array.

    def cost(self, array: Any) -> float:
        """What computing one element takes, in simple operations."""
        if isinstance(array, Scalars | Splat):
            return 0.0
        if isinstance(array, View):
            return 1.0
        key = array.node if isinstance(array, Lazy) else array
        found = self._costs.get(key)
        if found is None:
            own = cost.of_element(array.node.name) if isinstance(array, Lazy) else 1.0
            found = self._costs[key] = own + sum(self.cost(x) for x in operands_of(array))
        return found

    def is_flat(self, array: Any) -> bool:
        """Whether the array can be read by row-major position without a division."""
        if isinstance(array, View | Scalars | Splat) or len(array.aval.shape) <= 1:
            return True
        if isinstance(array, Row):
            return self.is_flat(array.array)
        if not isinstance(array, Lazy):
            return False
        found = self._flat.get(array.node)
        if found is None:
            found = self._is_flat_node(array)
            self._flat[array.node] = found
        return found

    def _is_flat_node(self, array: Lazy) -> bool:
        operands, name = array.node.operands, array.node.name
        if name in POINTWISE:
            shapes = ((), array.aval.shape)  # a unit dimension may be stretched: that is not flat
            return all(x.aval.shape in shapes and self.is_flat(x) for x in operands)
        return name == "reshape" and self.is_flat(operands[0])

    def reads(self, array: Any) -> dict[Buffer, View | None]:
        """The buffers an array is computed from.

        Returns:
          For each buffer the one view of which element i alone is read for element i of `array`,
          or None if other elements are read too.
        """
        if isinstance(array, View):
            return {array.buffer: array}
        if isinstance(array, Scalars | Splat):
            return {}
        key = array.node if isinstance(array, Lazy) else array
        found = self._reads.get(key)
        if found is not None:
            return found
        found = {}
        pointwise = isinstance(array, Lazy) and array.node.name in POINTWISE
        for operand in operands_of(array):
            keeps = pointwise and operand.aval.shape == array.aval.shape
            for buffer, view in self.reads(operand).items():
                view = view if keeps else None
                known = found.get(buffer, view)
                same = view is not None and known is not None and view.same_memory(known)
                found[buffer] = view if same else None
        self._reads[key] = found
        return found

    # Memory.

    def temporary(self, aval: Any) -> View:
        """Undefined memory for an array."""
        buffer = self.pool.take(aval.dtype, aval.size)
        self._taken[-1].append(buffer)
        return View(aval, buffer)

    @contextmanager
    def reclaiming(self) -> Iterator[None]:
        """Temporaries taken inside go back to the pool, unless a live value reads them."""
        self._taken.append([])
        yield
        for buffer in self._taken.pop():
            if not self.uses.get(buffer):
                self.pool.give(buffer)

    def scalar(self, array: Any) -> Scalar:
        """The value of a 0-d array."""
        if isinstance(array, Scalars):
            return array.value
        with self.b.nest():
            return array.at(self.b, ())

    def index_of(self, array: Any) -> Index:
        """The value of a 0-d integer array as an index."""
        dtype = array.aval.dtype
        return self.b.to_index(self.scalar(array), signed=dtype.kind != "u")

    def materialize(self, array: Any, dest: View | None = None) -> View:
        """The array in memory: itself if it is there already, unless a place is given."""
        if isinstance(array, View) and dest is None:
            return array
        dest = dest or self.temporary(array.aval)
        self.commit([(array, dest)])
        return dest

    def stored(self, array: Any, limit: float = 1.0) -> Any:
        """The array, put into memory if an element costs more than `limit`."""
        return array if self.cost(array) <= limit else self.materialize(array)

    # Loops.

    @contextmanager
    def loops(self, shape: Sequence[int], rolled: bool = False) -> Iterator[tuple[Index, ...]]:
        """A loop nest over `shape`, yielding the index; unit dimensions get no loop.

        Args:
          rolled: the body is large: see `keep_rolled`.
        """
        if not shape:
            yield ()
        elif shape[0] == 1:
            with self.loops(shape[1:], rolled) as rest:
                yield (0, *rest)
        else:
            with self.b.for_(0, shape[0]) as loop, self.loops(shape[1:], rolled) as rest:
                if rolled:
                    self.keep_rolled(loop)
                yield (loop.index, *rest)

    def keep_rolled(self, loop: Any) -> None:
        """Tell LLVM not to unroll a loop whose body is large already: it would only take time."""
        if self._rolled is None:
            self._rolled = ir.Attribute.parse("#llvm.loop_annotation<unroll = <disable = true>>")
        loop.op.attributes["llvm.loop_annotation"] = self._rolled

    def commit(self, pairs: Sequence[tuple[Any, View]]) -> None:
        """Store arrays, as if all were computed before any is stored."""
        pairs = [(a, d) for a, d in pairs if d.aval.size and not d.same_memory(a)]
        safe: list[tuple[Any, View]] = []
        copies: list[tuple[Any, View]] = []
        for number, (array, dest) in enumerate(pairs):
            others = [d for k, (_, d) in enumerate(pairs) if k != number]
            if self._clashes(array, dest, others):
                copies.append((array, dest))
            else:
                safe.append((array, dest))
        staged = [(array, self.temporary(array.aval)) for array, _ in copies]
        self._store_groups(staged)
        # What is safe reads only elements it overwrites in the same loop.
        self._store_groups(safe)
        self._store_groups([(t, d) for (_, t), (_, d) in zip(staged, copies)])
        for _, temporary in staged:
            self.pool.give(temporary.buffer)

    def _clashes(self, array: Any, dest: View, others: Sequence[View]) -> bool:
        for buffer, view in self.reads(array).items():
            if buffer is dest.buffer and not (view is not None and dest.same_memory(view)):
                return True
            for other in others:
                if buffer is not other.buffer:
                    continue
                if other.aval.shape != dest.aval.shape:
                    return True
                if view is None or not other.same_memory(view):
                    return True
        return False

    def _store_groups(self, pairs: Sequence[tuple[Any, View]]) -> None:
        groups: dict[tuple[int, ...], list[tuple[Any, View]]] = {}
        for array, dest in pairs:
            groups.setdefault(dest.aval.shape, []).append((array, dest))
        for shape, group in groups.items():
            self._store_group(shape, group)

    def _store_group(self, shape: tuple[int, ...], group: list[tuple[Any, View]]) -> None:
        b = self.b
        rolled = sum(self.cost(array) for array, _ in group) > cost.UNROLLED_EXPRESSION
        if all(self.is_flat(array) for array, _ in group):
            size = math.prod(shape)
            with b.nest(), self.loops((size,), rolled) as (position,):
                values = [array.at_flat(b, position) for array, _ in group]
                for value, (_, dest) in zip(values, group):
                    dest.store_flat(b, position, value)
            return
        blocked = self._crossed_dim([array for array, _ in group], shape)
        nest = self.loops(shape, rolled) if blocked is None else self._blocks(shape, blocked)
        with b.nest(), nest as index:
            values = [array.at(b, index) for array, _ in group]
            for value, (_, dest) in zip(values, group):
                dest.store(b, index, value)

    def _crossed_dim(self, arrays: Sequence[Any], shape: tuple[int, ...]) -> int | None:
        """The dimension along which a large transposed operand is contiguous, if there is one."""
        last = len(shape) - 1
        if math.prod(shape) < cost.BLOCKED_ELEMENTS:
            return None
        for array in arrays:
            while isinstance(array, Lazy) and array.node.name in POINTWISE:
                whole = [x for x in array.node.operands if x.aval.shape == shape]
                array = next((x for x in whole if not isinstance(x, View)), None)
            if isinstance(array, Lazy) and array.node.name == "transpose":
                dim = list(array.node.params["permutation"]).index(last)
                if dim != last and shape[dim] >= _BLOCK and shape[last] >= _BLOCK:
                    return dim
        return None

    @contextmanager
    def _blocks(self, shape: tuple[int, ...], dim: int) -> Iterator[tuple[Index, ...]]:
        """A loop nest over `shape` in square blocks of `dim` and the last dimension."""
        b, last = self.b, len(shape) - 1
        others = [1 if d in (dim, last) else n for d, n in enumerate(shape)]
        counts = [-(-shape[d] // _BLOCK) for d in (dim, last)]
        with self.loops(others) as outer, self.loops(counts) as (i, j):
            starts = b.imul(i, _BLOCK), b.imul(j, _BLOCK)
            ends = [b.imin(b.iadd(s, _BLOCK), shape[d]) for s, d in zip(starts, (dim, last))]
            with b.for_(starts[0], ends[0]) as row, b.for_(starts[1], ends[1]) as column:
                index = list(outer)
                index[dim], index[last] = row.index, column.index
                yield tuple(index)

    def fill(self, dest: View, value: Callable[[], Scalar]) -> None:
        """Store one scalar everywhere."""
        with self.b.nest(), self.loops((dest.aval.size,)) as (position,):
            dest.store_flat(self.b, position, value())


def scalar_aval(dtype: Any) -> ShapedArray:
    """The aval of a 0-d array."""
    return ShapedArray((), dtype)


def lazily(aval: Any, function: Callable[..., Scalar], operands: Sequence[Any]) -> Computed:
    """An array from `function(b, index)`."""
    return Computed(aval, function, operands)


__all__ = ["Computed", "Index", "Kernel", "Scalar", "ir", "lazily", "scalar_aval"]
