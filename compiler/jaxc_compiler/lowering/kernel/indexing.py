"""Updates of parts of an array: dynamic_update_slice and the scatters, in place where possible.

The array is updated in its own memory if nothing else needs it, else it is copied first to where
the result belongs. Gathers and dynamic slices have element rules and no lowering here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxc_compiler import cost
from jaxc_compiler.lowering.element.base import Index, Scalar
from jaxc_compiler.lowering.element.values import Scalars
from jaxc_compiler.lowering.kernel.kernel import Kernel
from jaxc_compiler.lowering.kernel.memory import View
from jaxc_compiler.lowering.kernel.reduction import combiner
from jaxc_compiler.lowering.kernel.region import Call, lowering, may_overwrite, protect
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.params import GatherScatterMode


def updated(k: Kernel, call: Call) -> View:
    """The first operand in memory that may be changed to make the result."""
    array = call.operands[0]
    if may_overwrite(k, call, 0):
        protect(k, array.buffer)
        return array
    place = call.place(k)
    if place.aval.size:
        protect(k, place.buffer)
    return k.materialize(array, place)


def _apart(k: Kernel, array: Any, target: View) -> Any:
    """An operand that may be read while `target` is written."""
    if target.buffer not in k.reads(array):
        return array
    copy = k.temporary(array.aval)
    k.commit([(array, copy)])
    return copy


@lowering("dynamic_update_slice")
def lower_dynamic_update_slice(k: Kernel, call: Call) -> list[Any]:
    """Writes an update at an index that is clamped so that the update fits."""
    b = k.b
    update = call.operands[1]
    if not call.out_avals[0].shape:
        return [update]
    starts = []
    shapes = zip(call.out_avals[0].shape, update.aval.shape)
    for start, (dim, size) in zip(call.operands[2:], shapes):
        starts.append(b.imin(b.imax(k.index_of(start), 0), dim - size))
    if isinstance(call.operands[0], View) and may_overwrite(k, call, 0):
        update = _apart(k, update, call.operands[0])
    target = updated(k, call)
    with b.nest(), k.loops(update.aval.shape) as index:
        value = update.at(b, index)
        target.store(b, [b.iadd(s, i) for s, i in zip(starts, index)], value)
    return [target]


# -- scatter -------------------------------------------------------------------------------------

_COMBINE = {
    "scatter": None, "scatter-add": "add", "scatter-mul": "mul", "scatter-min": "min",
    "scatter-max": "max", "scatter-sub": "sub",
}  # fmt: skip


@lowering(*_COMBINE)
def lower_scatter(k: Kernel, call: Call) -> list[Any]:
    """Joins updates into windows of the operand; windows that do not fit are dropped or moved."""
    if not call.out_avals[0].size or not call.operands[2].aval.size:
        return [call.operands[0]]
    scatter = _Scatter(k, call)
    return [scatter.emit()]


class _Scatter:
    def __init__(self, k: Kernel, call: Call):
        self.k, self.b, self.call = k, k.b, call
        self.numbers = call.params["dimension_numbers"]
        mode = call.params["mode"]
        self.clip = GatherScatterMode.from_any(mode) == GatherScatterMode.CLIP
        self.shape = call.out_avals[0].shape
        n = self.numbers
        skipped = (*n.inserted_window_dims, *n.operand_batching_dims)
        self.window_dims = [d for d in range(len(self.shape)) if d not in skipped]
        updates = call.operands[2].aval.shape
        self.scatter_dims = [d for d in range(len(updates)) if d not in n.update_window_dims]
        self.window = [1] * len(self.shape)
        for dim, at in zip(self.window_dims, n.update_window_dims):
            self.window[dim] = updates[at]
        self.combine = _combine(k, call)

    def emit(self) -> Any:
        k, b, call = self.k, self.b, self.call
        indices = k.stored(call.operands[1], cost.EXPENSIVE)
        updates = call.operands[2]
        array = call.operands[0]
        if isinstance(array, View) and may_overwrite(k, call, 0):
            indices, updates = _apart(k, indices, array), _apart(k, updates, array)
        scalar = not call.out_avals[0].shape
        target = updated(k, call) if not scalar else k.materialize(array, k.temporary(array.aval))
        shape = updates.aval.shape
        with b.nest(), k.loops([shape[d] for d in self.scatter_dims]) as at:
            start, fits = self._start(indices, at)
            if fits is True:
                self._window(target, updates, at, start)
            elif fits is not False:
                op = _if(b, fits)
                with b.inside(op, op.regions[0].blocks[0]):
                    self._window(target, updates, at, start)
                    b.effect("scf.yield", [])
        return Scalars(call.out_avals[0], k.scalar(target)) if scalar else target

    def _start(self, indices: Any, at: tuple) -> tuple[list[Index], Any]:
        """Where a window begins, and whether it fits."""
        b, n = self.b, self.numbers
        start: list[Index] = [0] * len(self.shape)
        for dim, source in zip(n.operand_batching_dims, n.scatter_indices_batching_dims):
            start[dim] = at[source]
        fits = []
        signed = indices.aval.dtype.kind != "u"
        for component, dim in enumerate(n.scatter_dims_to_operand_dims):
            position = b.to_index(indices.at(b, (*at, component)), signed=signed)
            last = self.shape[dim] - self.window[dim]
            if self.clip:
                position = b.imin(b.imax(position, 0), max(last, 0))
                fits.append(last >= 0)
            else:
                fits += [b.icmp("ge", position, 0), b.icmp("le", position, last)]
            start[dim] = position
        return start, b.all_of(fits)

    def _window(self, target: View, updates: Any, at: tuple, start: Sequence[Index]) -> None:
        b, n = self.b, self.numbers
        dtype = target.aval.dtype
        with self.k.loops([self.window[d] for d in self.window_dims]) as inner:
            index = [0] * len(updates.aval.shape)
            for dim, i in zip(self.scatter_dims, at):
                index[dim] = i
            place = list(start)
            for dim, source, i in zip(self.window_dims, n.update_window_dims, inner):
                index[source] = i
                place[dim] = b.iadd(place[dim], i)
            position = target.position(b, place)
            value = updates.at(b, tuple(index))
            if self.combine is not None:
                value = self.combine(b.load(dtype, target.buffer.ref, (position,)), value)
            b.store(dtype, value, target.buffer.ref, (position,))


def _combine(k: Kernel, call: Call) -> Callable[[Scalar, Scalar], Scalar] | None:
    b, kind, dtype = k.b, _COMBINE[call.name], call.out_avals[0].dtype
    if kind is None:
        return None
    if kind == "sub":
        if dtype.kind in "fV":
            return lambda x, y: b.floats(dtype).sub(x, y)
        if dtype.kind == "c":
            part = b.floats(f"f{dtype.itemsize // 2}")
            return lambda x, y: type(x)(part.sub(x.re, y.re), part.sub(x.im, y.im))
        return lambda x, y: b.op("arith.subi", x.type, [x, y])
    function = combiner(kind, dtype)
    return lambda x, y: function(b, x, y)


def _if(b: Any, condition: Any) -> ir.Operation:
    op = ir.Operation.create("scf.if", [], [condition], regions=2, ip=b.scope.ip)
    op.regions[0].blocks.append()
    return op
