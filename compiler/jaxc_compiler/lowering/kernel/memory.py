"""Memory of a kernel: buffers, views of them, and the pool that temporaries come from.

Owns `Buffer`, `View`, `Computed` and `Pool`. A buffer is a one-dimensional memref: index arithmetic
is ours, so reshapes and slices of stored arrays cost nothing. Must not import the op lowerings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc_compiler.lowering.element.base import Index, Scalar, ScalarBuilder, type_name
from jaxc_compiler.lowering.element.values import Lazy, delinearize, linearize
from jaxc_compiler.mlir import ir

STACK_LIMIT = 24 * 1024  # IREE allows 32 KB of stack a function, and spills need some of it


class Buffer:
    """A one-dimensional memref.

    Attributes:
      dtype: of its elements; a bool is a byte.
      size: elements.
      ref: the memref.
      origin: "input" (read only unless donated to the kernel), "result", "stack" or "scratch".
      binding: the position among the dispatch's bindings, or None for the stack.
    """

    __slots__ = ("binding", "dtype", "origin", "ref", "size")

    def __init__(self, dtype: Any, size: int, ref: ir.Value, origin: str, binding: int | None):
        self.dtype, self.size, self.ref = dtype, size, ref
        self.origin, self.binding = origin, binding


class View:
    """A row-major array stored at an offset of a buffer."""

    __slots__ = ("aval", "buffer", "offset")

    def __init__(self, aval: Any, buffer: Buffer, offset: Index = 0):
        self.aval, self.buffer, self.offset = aval, buffer, offset

    def position(self, b: ScalarBuilder, index: Sequence[Index]) -> Index:
        """Where in the buffer an element is."""
        return b.iadd(self.offset, linearize(b, index, self.aval.shape))

    def at(self, b: ScalarBuilder, index: tuple[Index, ...]) -> Scalar:
        """Load one element."""
        key = (self, index)
        found = b.memo(key)
        if found is None:
            found = self._load(b, self.position(b, index))
            b.scope.memo[key] = found
        return found

    def at_flat(self, b: ScalarBuilder, position: Index) -> Scalar:
        """Load the element at a row-major position."""
        key = (self, "flat", position)
        found = b.memo(key)
        if found is None:
            found = self._load(b, b.iadd(self.offset, position))
            b.scope.memo[key] = found
        return found

    def _load(self, b: ScalarBuilder, position: Index) -> Scalar:
        return b.load(self.aval.dtype, self.buffer.ref, (position,))

    def store(self, b: ScalarBuilder, index: Sequence[Index], value: Scalar) -> None:
        """Write one element."""
        b.store(self.aval.dtype, value, self.buffer.ref, (self.position(b, index),))

    def store_flat(self, b: ScalarBuilder, position: Index, value: Scalar) -> None:
        """Write the element at a row-major position."""
        b.store(self.aval.dtype, value, self.buffer.ref, (b.iadd(self.offset, position),))

    def row(self, b: ScalarBuilder, i: Index) -> View:
        """The array at an index of the leading dimension."""
        aval = self.aval.update(shape=self.aval.shape[1:])
        return View(aval, self.buffer, b.iadd(self.offset, b.imul(i, aval.size)))

    def reshaped(self, shape: Sequence[int]) -> View:
        """The same memory under another shape."""
        return View(self.aval.update(shape=tuple(shape)), self.buffer, self.offset)

    def same_memory(self, other: Any) -> bool:
        """Whether `other` is the view of exactly this memory."""
        return (
            isinstance(other, View)
            and self.buffer is other.buffer
            and (self.offset is other.offset or self.offset == other.offset)
            and self.aval.size == other.aval.size
        )


class Computed:
    """An array whose elements a function computes, from `operands` (for dependences)."""

    __slots__ = ("aval", "function", "operands")

    def __init__(self, aval: Any, function: Callable[..., Scalar], operands: Sequence[Any]):
        self.aval, self.function, self.operands = aval, function, tuple(operands)

    def at(self, b: ScalarBuilder, index: tuple[Index, ...]) -> Scalar:
        """The element at an index."""
        key = (self, index)
        found = b.memo(key)
        if found is None:
            found = b.scope.memo[key] = self.function(b, index)
        return found

    def at_flat(self, b: ScalarBuilder, position: Index) -> Scalar:
        """The element at a row-major position."""
        return self.at(b, delinearize(b, position, self.aval.shape))


class Row:
    """One index of the leading dimension of an array that is not stored."""

    __slots__ = ("array", "aval", "index", "operands")

    def __init__(self, array: Any, index: Index):
        self.array, self.index, self.operands = array, index, (array,)
        self.aval = array.aval.update(shape=array.aval.shape[1:])

    def at(self, b: ScalarBuilder, index: tuple[Index, ...]) -> Scalar:
        """The element at an index."""
        return self.array.at(b, (self.index, *index))

    def at_flat(self, b: ScalarBuilder, position: Index) -> Scalar:
        """The element at a row-major position."""
        start = b.imul(self.index, self.aval.size)
        return self.array.at_flat(b, b.iadd(start, position))


def row_of(b: ScalarBuilder, array: Any, i: Index) -> Any:
    """`array[i]` without a copy."""
    return array.row(b, i) if isinstance(array, View) else Row(array, i)


def operands_of(array: Any) -> tuple[Any, ...]:
    """The arrays an array is computed from."""
    if isinstance(array, Lazy):
        return array.node.operands
    return getattr(array, "operands", ())


class Pool:
    """Temporaries by liveness: small ones on the stack, others in scratch bindings."""

    def __init__(self, new_stack: Callable, new_scratch: Callable):
        self._new_stack, self._new_scratch = new_stack, new_scratch
        self._free: list[Buffer] = []
        self.stack_bytes = 0

    def take(self, dtype: Any, size: int) -> Buffer:
        """A buffer of at least `size` elements whose content is undefined."""
        size = max(size, 1)
        memory_type = type_name(dtype, memory=True)
        fitting = [
            f for f in self._free
            if f.size >= size and type_name(f.dtype, memory=True) == memory_type
            and (f.size <= 4 * size or f.origin == "stack")
        ]  # fmt: skip
        if fitting:
            best = min(fitting, key=lambda f: f.size)
            self._free.remove(best)
            return best
        item = 1 if dtype == np.bool_ else dtype.itemsize
        padded = -(-size * item // 64) * 64
        if self.stack_bytes + padded <= STACK_LIMIT:
            self.stack_bytes += padded
            return self._new_stack(dtype, size)
        return self._new_scratch(dtype, size)

    def give(self, buffer: Buffer) -> None:
        """Take a buffer back."""
        if buffer.origin in ("stack", "scratch") and buffer not in self._free:
            self._free.append(buffer)
