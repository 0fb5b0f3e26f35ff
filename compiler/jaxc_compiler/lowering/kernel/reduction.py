"""Reductions: sums with independent lanes, extrema, and reductions by a user's function.

A float sum along the contiguous dimension cannot be vectorized as one chain of additions, so it is
accumulated in `lanes` neighbouring partial sums in memory, which LLVM keeps in vector registers;
that is also more accurate. Where the contiguous dimension is kept, the result row is the
accumulator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc_compiler import cost
from jaxc_compiler.lowering.element.base import Complex, Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.values import Scalars
from jaxc_compiler.lowering.kernel.kernel import Computed, Kernel, scalar_aval
from jaxc_compiler.lowering.kernel.memory import View
from jaxc_compiler.lowering.kernel.region import Call, lower_block, lowering
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray

UNROLLED = 8  # a reduction of at most this many elements is computed without a loop
NARROW = 32  # rows of fewer elements than this are not a loop of their own


# -- combining -----------------------------------------------------------------------------------


def combiner(kind: str, dtype: Any) -> Callable[[ScalarBuilder, Scalar, Scalar], Scalar]:
    """The function that joins two partial results: add, mul, max, min, and, or, xor."""
    if dtype.kind == "c":
        if kind in ("max", "min"):
            return lambda b, x, y: _extreme_complex(b, dtype, kind, x, y)
        return {"add": _add_complex, "mul": _mul_complex}[kind]
    if dtype.kind in "fV":
        return lambda b, x, y: getattr(b.floats(dtype), kind)(x, y)
    if dtype.kind == "b":
        name = {"add": "ori", "max": "ori", "or": "ori", "xor": "xori"}.get(kind, "andi")
        return lambda b, x, y: b.op(f"arith.{name}", b.i1, [x, y])
    sign = "u" if dtype.kind == "u" else "s"
    name = {
        "add": "addi", "mul": "muli", "and": "andi", "or": "ori", "xor": "xori",
        "max": f"max{sign}i", "min": f"min{sign}i",
    }[kind]  # fmt: skip
    return lambda b, x, y: b.op(f"arith.{name}", x.type, [x, y])


def _add_complex(b: ScalarBuilder, x: Complex, y: Complex) -> Complex:
    re, im = x.re.type, x.im.type
    return Complex(b.op("arith.addf", re, [x.re, y.re]), b.op("arith.addf", im, [x.im, y.im]))


def _mul_complex(b: ScalarBuilder, x: Complex, y: Complex) -> Complex:
    type_ = x.re.type
    mul = lambda p, q: b.op("arith.mulf", type_, [p, q])  # noqa: E731
    re = b.op("arith.subf", type_, [mul(x.re, y.re), mul(x.im, y.im)])
    return Complex(re, b.op("arith.addf", type_, [mul(x.re, y.im), mul(x.im, y.re)]))


def _extreme_complex(b: ScalarBuilder, dtype: Any, kind: str, x: Complex, y: Complex) -> Scalar:
    """The larger or smaller of two numbers by the real part, then by the imaginary part."""
    ops = b.floats(np.dtype(f"f{dtype.itemsize // 2}"))
    before = ops.gt if kind == "max" else ops.lt
    same = b.all_of([ops.eq(x.re, y.re), before(x.im, y.im)])
    first = b.op("arith.ori", b.i1, [before(x.re, y.re), same])
    # A NaN wins, as it does among real numbers.
    nan = b.op("arith.ori", b.i1, [ops.isnan(x.re), ops.isnan(x.im)])
    return b.select(b.op("arith.ori", b.i1, [first, nan]), x, y)


def identity(kind: str, dtype: Any) -> Any:
    """The neutral element."""
    if kind in ("add", "or", "xor"):
        return 0
    if kind == "mul":
        return 1
    if dtype.kind == "b":
        return kind in ("min", "and")
    if kind == "and":
        return -1 if dtype.kind == "i" else int(np.iinfo(dtype).max)
    if dtype.kind == "c":
        return complex(-math.inf, -math.inf) if kind == "max" else complex(math.inf, math.inf)
    if dtype.kind in "fV":
        return -math.inf if kind == "max" else math.inf
    info = np.iinfo(dtype)
    return int(info.min if kind == "max" else info.max)


def accumulator_dtype(kind: str, dtype: Any) -> Any:
    """Sums and products of narrow floats are accumulated in float32."""
    narrow = dtype.kind in "fV" and dtype.itemsize < 4 and kind in ("add", "mul")
    return np.dtype(np.float32) if narrow else dtype


def widen(b: ScalarBuilder, value: Scalar, dtype: Any, wide: Any) -> Scalar:
    """A scalar of `dtype` as one of the accumulator's type."""
    return value if dtype == wide else b.floats(wide).cast("arith.extf", value)


def narrow(b: ScalarBuilder, value: Scalar, wide: Any, dtype: Any) -> Scalar:
    """Inverse of `widen`."""
    return value if dtype == wide else b.floats(dtype).cast("arith.truncf", value)


# -- iteration spaces ----------------------------------------------------------------------------


class Space:
    """An array's dimensions in three groups: kept outer, reduced, kept inner (contiguous).

    Attributes:
      outer, reduced, inner: the dimensions of each group, merged where the array allows it.
    """

    def __init__(self, k: Kernel, array: Any, axes: Sequence[int]):
        self.array = array
        shape = array.aval.shape
        axes = sorted(axes)
        last = axes[-1] if axes else -1
        contiguous = axes == list(range(axes[0], last + 1)) if axes else True
        self.merged = k.is_flat(array) and contiguous
        self._outer = [i for i in range(last) if i not in axes]
        self._axes, self._inner = axes, list(range(last + 1, len(shape)))
        groups = [[shape[i] for i in g] for g in (self._outer, self._axes, self._inner)]
        if self.merged:
            groups = [[math.prod(g)] for g in groups]
        self.outer, self.reduced, self.inner = groups

    def at(self, b: ScalarBuilder, outer: tuple, reduced: tuple, inner: tuple) -> Scalar:
        """The element at an index of each group."""
        if self.merged:
            position = b.iadd(b.imul(outer[0], self.reduced[0]), reduced[0])
            return self.array.at_flat(b, b.iadd(b.imul(position, self.inner[0]), inner[0]))
        index: list[Index] = [0] * len(self.array.aval.shape)
        for dims, group in zip((self._outer, self._axes, self._inner), (outer, reduced, inner)):
            for dim, i in zip(dims, group):
                index[dim] = i
        return self.array.at(b, tuple(index))

    @property
    def sizes(self) -> tuple[int, int, int]:
        return math.prod(self.outer), math.prod(self.reduced), math.prod(self.inner)

    def resultposition_in(self, b: ScalarBuilder, outer: tuple, inner: tuple) -> Index:
        """Where in the result, row by row, an index of the kept groups is."""
        position: Index = 0
        for i, dim in zip((*outer, *inner), (*self.outer, *self.inner)):
            position = b.iadd(b.imul(position, dim), i)
        return position


# -- sums, products, extrema, bits ---------------------------------------------------------------

_KINDS = {
    "reduce_sum": "add", "reduce_prod": "mul", "reduce_max": "max", "reduce_min": "min",
    "reduce_and": "and", "reduce_or": "or", "reduce_xor": "xor",
}  # fmt: skip


@lowering(*_KINDS)
def lower_reduction(k: Kernel, call: Call) -> list[Any]:
    """A reduction by a known associative operation."""
    return [reduce_array(k, call.operands[0], call.params["axes"], _KINDS[call.name], call)]


def reduce_array(k: Kernel, array: Any, axes: Sequence[int], kind: str, call: Call) -> Any:
    """The array reduced over `axes`, as an array."""
    out = call.out_avals[0]
    r = _Reduction(k, array, axes, kind)
    _, count, inner = r.space.sizes
    if r.needs_lanes() and inner == 1 and count > UNROLLED and _is_staged(k, array):
        r = _Reduction(k, k.materialize(array), axes, kind)
    if not out.shape:
        return Scalars(out, r.scalar())
    if count <= UNROLLED and k.cost(array) * count <= cost.LARGEST_EXPRESSION / 4:
        return Computed(out, r.unrolled_element(out.shape), (array,))
    dest = call.place(k)
    if inner == 1:
        r.rows(dest)
    elif inner < NARROW and r.space.merged and count * inner >= 2 * r.lanes_for(inner):
        r.narrow_rows(dest)
    else:
        r.columns(dest)
    return dest


def _is_staged(k: Kernel, array: Any) -> bool:
    """Lanes have their loop twice in the code; an expensive expression is better made once."""
    size = array.aval.size * array.aval.dtype.itemsize
    return k.cost(array) >= cost.EXPENSIVE and size <= cost.STAGED_BYTES


def reduce_all_rows(k: Kernel, array: Any, dest: View) -> None:
    """The sums over the last dimension of `array`, whose dtype they are accumulated in."""
    r = _Reduction(k, array, [len(array.aval.shape) - 1], "add")
    r.out = dest.aval.dtype
    r.rows(dest)


class _Reduction:
    def __init__(self, k: Kernel, array: Any, axes: Sequence[int], kind: str):
        self.k, self.kind, self.dtype = k, kind, array.aval.dtype
        self.wide = accumulator_dtype(kind, self.dtype)
        self.out = self.dtype
        self.space = Space(k, array, axes)
        self.combine = combiner(kind, self.wide)

    def identity(self) -> Scalar:
        return self.k.b.constant(identity(self.kind, self.wide), self.wide)

    def element(self, outer: tuple, reduced: tuple, inner: tuple) -> Scalar:
        b = self.k.b
        return widen(b, self.space.at(b, outer, reduced, inner), self.dtype, self.wide)

    def needs_lanes(self) -> bool:
        return self.wide.kind in "fc" and self.kind in ("add", "mul")

    def lanes_for(self, inner: int = 1) -> int:
        last = self.space.reduced[-1] * inner if self.space.reduced else 1
        wanted = 64 if last >= 256 else 32 if last >= 128 else 16
        return wanted if inner == 1 else inner * max(1, wanted // inner)

    def unrolled_element(self, shape: tuple[int, ...]) -> Callable:
        space = self.space

        def element(b: ScalarBuilder, index: tuple) -> Scalar:
            outer, inner = _split(b, space, index, shape)
            total = None
            for r in np.ndindex(*space.reduced):
                value = self.element(outer, tuple(map(int, r)), inner)
                total = value if total is None else self.combine(b, total, value)
            total = self.identity() if total is None else total
            return narrow(b, total, self.wide, self.dtype)

        return element

    def scalar(self) -> Scalar:
        """The reduction of everything."""
        b = self.k.b
        with b.nest():
            value = self.row((0,) * len(self.space.outer))
            return narrow(b, value, self.wide, self.dtype)

    def rows(self, dest: View) -> None:
        """The contiguous dimension is reduced: one row after the other."""
        b, space = self.k.b, self.space
        with b.nest(), self.k.loops(space.outer) as outer:
            value = narrow(b, self.row(outer), self.wide, self.out)
            dest.store_flat(b, space.resultposition_in(b, outer, (0,) * len(space.inner)), value)

    def row(self, outer: tuple) -> Scalar:
        """The reduction at one index of the kept dimensions."""
        inner = (0,) * len(self.space.inner)
        if self.space.sizes[1] == 0:
            return self.identity()
        last = self.space.reduced[-1] if self.space.reduced else 1
        if self.needs_lanes() and last >= 32:
            lanes = self.lanes_for()
            view = self.fold_into_lanes(outer, lanes, 1)
            value = self.sum_lanes(view, lanes)
            self.k.pool.give(view.buffer)
            return value
        return self._chain(tuple(self.space.reduced), lambda r: self.element(outer, r, inner))

    def _chain(self, dims: tuple, element: Callable[[tuple], Scalar]) -> Scalar:
        """Nested loops that carry one value."""
        b = self.k.b

        def level(position: int, index: tuple, carried: Scalar) -> Scalar:
            if position == len(dims):
                return self.combine(b, carried, element(index))
            if dims[position] == 1:
                return level(position + 1, (*index, 0), carried)
            with b.for_(0, dims[position], 1, b.flatten(carried)) as loop:
                value = b.unflatten(self.wide, loop.args)
                loop.yields = b.flatten(level(position + 1, (*index, loop.index), value))
            return b.unflatten(self.wide, loop.results)

        return level(0, (), self.identity())

    def fold_into_lanes(self, outer: tuple, lanes: int, inner: int) -> View:
        """Partial results: lane l has the elements whose position modulo `lanes` is l."""
        k, b = self.k, self.k.b
        view = k.temporary(ShapedArray((lanes,), self.wide))
        *lead, last = self.space.reduced
        total = last * inner
        with k.loops((lanes,)) as (lane,):
            view.store(b, (lane,), self.identity())

        def add(position: Index, lane: Index, index: tuple) -> None:
            if inner == 1:
                value = self.element(outer, (*index, position), (0,) * len(self.space.inner))
            else:  # merged groups: a position in (reduced, inner) is one in the flat array
                start = b.imul(outer[0], self.space.reduced[0] * inner)
                value = self.space.array.at_flat(b, b.iadd(start, position))
                value = widen(b, value, self.dtype, self.wide)
            old = b.load(self.wide, view.buffer.ref, (lane,))
            view.store(b, (lane,), self.combine(b, old, value))

        with k.loops(lead) as index:
            with b.for_(0, total // lanes) as chunk, b.for_(0, lanes) as lane:
                start = b.imul(chunk.index, lanes)
                add(b.iadd(start, lane.index), lane.index, index)
            if total % lanes:
                with b.for_(0, total % lanes) as lane:
                    add(b.iadd(lane.index, total // lanes * lanes), lane.index, index)
        return view

    def sum_lanes(self, view: View, lanes: int) -> Scalar:
        """All lanes joined, pairwise; `lanes` is a power of two."""
        b, ref = self.k.b, view.buffer.ref
        if self.wide.kind == "f":
            type_ = b.type(f"vector<{lanes}x{b.scalar_type(self.wide)}>")
            vector = b.op("vector.load", type_, [ref, b.index(0)])
            kind = {"kind": ir.Attribute.parse(f"#vector.kind<{self.kind}>")}
            return b.op("vector.reduction", b.scalar_type(self.wide), [vector], kind)
        while lanes > 1:
            lanes //= 2
            with b.for_(0, lanes) as lane:
                x = b.load(self.wide, ref, (lane.index,))
                y = b.load(self.wide, ref, (b.iadd(lane.index, lanes),))
                view.store(b, (lane.index,), self.combine(b, x, y))
        return b.load(self.wide, ref, (0,))

    def narrow_rows(self, dest: View) -> None:
        """Short kept rows: the lanes hold several rows at once."""
        k, b, inner = self.k, self.k.b, self.space.sizes[2]
        lanes = self.lanes_for(inner)
        with b.nest(), k.loops(self.space.outer) as outer:
            view = self.fold_into_lanes(outer, lanes, inner)
            with b.for_(0, inner) as column:
                with b.for_(0, lanes // inner, 1, b.flatten(self.identity())) as row:
                    position = b.iadd(b.imul(row.index, inner), column.index)
                    value = b.load(self.wide, view.buffer.ref, (position,))
                    total = self.combine(b, b.unflatten(self.wide, row.args), value)
                    row.yields = b.flatten(total)
                total = narrow(b, b.unflatten(self.wide, row.results), self.wide, self.dtype)
                place = b.iadd(b.imul(outer[0], inner), column.index)
                dest.store_flat(b, place, total)
        k.pool.give(view.buffer)

    def columns(self, dest: View) -> None:
        """The contiguous dimension is kept: a row of the result is the accumulator."""
        k, b, space = self.k, self.k.b, self.space
        inner = space.sizes[2]
        own = dest if self.wide == self.dtype else None
        row = own or k.temporary(ShapedArray((inner,), self.wide))
        with b.nest(), k.loops(space.outer) as outer:
            start = space.resultposition_in(b, outer, (0,) * len(space.inner)) if own else 0
            with k.loops((inner,)) as (column,):
                row.store_flat(b, b.iadd(start, column), self.identity())
            with k.loops(space.reduced) as reduced, k.loops(space.inner) as column:
                place = b.iadd(start, position_in(b, column, space.inner))
                old = b.load(self.wide, row.buffer.ref, (b.iadd(row.offset, place),))
                value = self.element(outer, reduced, column)
                row.store_flat(b, place, self.combine(b, old, value))
            if own is None:
                begin = space.resultposition_in(b, outer, (0,) * len(space.inner))
                with k.loops((inner,)) as (column,):
                    value = b.load(self.wide, row.buffer.ref, (column,))
                    value = narrow(b, value, self.wide, self.dtype)
                    dest.store_flat(b, b.iadd(begin, column), value)
        if own is None:
            k.pool.give(row.buffer)


def position_in(b: ScalarBuilder, index: Sequence[Index], dims: Sequence[int]) -> Index:
    """The row-major position of an index in a group of dimensions."""
    position: Index = 0
    for i, dim in zip(index, dims):
        position = b.iadd(b.imul(position, dim), i)
    return position


def _split(b: ScalarBuilder, space: Space, index: tuple, shape: Sequence[int]) -> tuple:
    """A result index as indices of the kept groups."""
    kept = len(space._outer)
    outer, inner = index[:kept], index[kept:]
    if not space.merged:
        return outer, inner
    return (
        (position_in(b, outer, shape[:kept]),),
        (position_in(b, inner, shape[kept:]),),
    )


# -- reduction by a function ---------------------------------------------------------------------


@lowering("reduce")
def lower_reduce(k: Kernel, call: Call) -> list[Any]:
    """Arrays reduced together by a function of scalars, one element after the other."""
    b = k.b
    half = len(call.operands) // 2
    arrays = [k.stored(x, cost.EXPENSIVE) for x in call.operands[:half]]
    inits = [k.scalar(x) for x in call.operands[half:]]
    axes = call.params["dimensions"]
    dtypes = [x.aval.dtype for x in arrays]
    block = call.op.regions[0].blocks[0]
    shape = arrays[0].aval.shape
    kept = [i for i in range(len(shape)) if i not in axes]
    dests = [call.place(k, n) for n in range(half)]

    def flatten(values: Sequence[Scalar]) -> list[Any]:
        return [part for v in values for part in b.flatten(v)]

    def unflatten(parts: Sequence[Any]) -> list[Scalar]:
        rest, values = list(parts), []
        for dtype in dtypes:
            width = 2 if dtype.kind == "c" else 1
            values.append(b.unflatten(dtype, rest[:width]))
            rest = rest[width:]
        return values

    def level(depth: int, index: dict, carried: list[Scalar]) -> list[Scalar]:
        if depth == len(axes):
            at = tuple(index[i] for i in range(len(shape)))
            values = [*carried, *(x.at(b, at) for x in arrays)]
            args = [Scalars(scalar_aval(d), v) for d, v in zip(dtypes * 2, values)]
            with b.nest():
                read = lambda out: [k.scalar(x) for x in out]  # noqa: E731
                return lower_block(k, block, args, [None] * half, read)
        axis = axes[depth]
        with b.for_(0, shape[axis], 1, flatten(carried)) as loop:
            inner = level(depth + 1, {**index, axis: loop.index}, unflatten(loop.args))
            loop.yields = flatten(inner)
        return unflatten(loop.results)

    with b.nest(), k.loops([shape[i] for i in kept]) as outer:
        values = level(0, dict(zip(kept, outer)), inits)
        for dest, value in zip(dests, values):
            dest.store(b, outer, value)
    if not call.out_avals[0].shape:
        return [Scalars(a, k.scalar(d)) for a, d in zip(call.out_avals, dests)]
    return dests
