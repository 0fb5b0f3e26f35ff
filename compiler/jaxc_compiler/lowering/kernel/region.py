"""Walks the ops of a block: lazy values, what to store when, and where.

Owns `Call` (one op with its operands as arrays), the registry `LOWERINGS` of ops that need memory,
`Frame` (the live values of one block) and `lower_block`. An op with an element rule stays lazy
until something needs it in memory. Must not import the op lowerings: they import this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxc_compiler import cost, mlir
from jaxc_compiler.diagnostics import error_at
from jaxc_compiler.dialects import kernel as kernel_dialect
from jaxc_compiler.dialects import lax
from jaxc_compiler.lowering.element.base import Complex
from jaxc_compiler.lowering.element.values import (
    ELEMENT,
    POINTWISE,
    Scalars,
    Splat,
    apply,
    linearize,
)
from jaxc_compiler.lowering.kernel.kernel import Computed, Kernel
from jaxc_compiler.lowering.kernel.memory import Buffer, View
from jaxc_compiler.mlir import ir

LOWERINGS: dict[str, Callable[[Kernel, Call], list[Any]]] = {}
# Ops whose first operand may be updated in place to make the result.
UPDATES = frozenset({
    "dynamic_update_slice", "scatter", "scatter-add", "scatter-mul", "scatter-min", "scatter-max",
    "scatter-sub", "scatter-apply",
})  # fmt: skip
# Ops that give views of an operand in memory.
_VIEWS = frozenset({"reshape", "squeeze", "expand_dims"})
_COPIES = frozenset({"copy", "copy_p", "optimization_barrier", "stop_gradient"})


def lowering(*names: str) -> Callable:
    """Register a function as the kernel lowering of ops."""

    def register(function: Callable) -> Callable:
        for name in names:
            LOWERINGS[name] = function
        return function

    return register


def op_params(op: ir.Operation) -> dict[str, Any]:
    """An op's parameters; the marks passes leave on it are none."""
    params = lax.params_of(op)
    params.pop(kernel_dialect.IN_PLACE, None)
    params.pop(kernel_dialect.COPIES, None)
    return params


@dataclass
class Call:
    """One op about to be lowered.

    Attributes:
      dests: for each result the memory it is to end in, if that is known.
      dying: for each operand whether this op is its last and only use.
    """

    name: str
    op: ir.Operation
    operands: list[Any]
    out_avals: list[Any]
    dests: list[View | None]
    dying: list[bool]
    frame: Frame

    @property
    def params(self) -> dict[str, Any]:
        return op_params(self.op)

    def place(self, k: Kernel, number: int = 0) -> View:
        """Memory for a result: where it is wanted, or a temporary."""
        return self.dests[number] or k.temporary(self.out_avals[number])


class Frame:
    """The live values of a block, and what the rest of the block does with them."""

    def __init__(self, k: Kernel, block: ir.Block, dests: Sequence[View | None]):
        self.k, self.block = k, block
        self.ops = [op.operation for op in block.operations]
        self.arrays: dict[ir.Value, Any] = {}
        self.last_use: dict[ir.Value, int] = {}
        self.position = 0
        self._sinks: dict[ir.Value, frozenset] = {}
        for number, op in enumerate(self.ops):
            for value in op.operands:
                self.last_use[value] = number
        self._dests: dict[ir.Value, View] = {}
        for value, dest in zip(self.ops[-1].operands, dests):
            if dest is not None:
                self._dests.setdefault(value, dest)

    # Values.

    def bind(self, value: ir.Value, array: Any) -> None:
        """Give a value its array."""
        self.unbind(value)
        self.arrays[value] = array
        for buffer in self.k.reads(array):
            self.k.uses[buffer] = self.k.uses.get(buffer, 0) + 1

    def unbind(self, value: ir.Value) -> None:
        """Forget a value; temporaries nothing else reads go back to the pool."""
        array = self.arrays.pop(value, None)
        if array is None:
            return
        for buffer in self.k.reads(array):
            self.k.uses[buffer] -= 1
            if not self.k.uses[buffer]:
                self.k.pool.give(buffer)

    def is_live(self, value: ir.Value) -> bool:
        """Whether an op after the current one uses the value."""
        return self.last_use.get(value, -1) > self.position

    def dest(self, value: ir.Value) -> View | None:
        """The memory a value should be stored in, found by following in-place updates."""
        found = self._dests.get(value)
        if found is not None:
            return found
        number = self.last_use.get(value)
        if number is None or number == len(self.ops) - 1:
            return None
        op = self.ops[number]
        name = lax.name_of(op)
        operands = list(op.operands)
        if operands.count(value) != 1:
            return None
        k = operands.index(value)
        if name in UPDATES:
            return self.dest(op.results[0]) if k == 0 else None
        if name == "while":
            first = mlir.from_attr(op.attributes["cond_nconsts"])
            first += mlir.from_attr(op.attributes["body_nconsts"])
            return self.dest(op.results[k - first]) if k >= first else None
        if name == "scan":
            first = mlir.from_attr(op.attributes["num_consts"])
            carries = mlir.from_attr(op.attributes["num_carry"])
            return self.dest(op.results[k - first]) if first <= k < first + carries else None
        return None

    def usable_dest(self, value: ir.Value) -> View | None:
        """`dest`, unless a value that is still needed reads that memory."""
        dest = self.dest(value)
        if dest is None:
            return None
        for frame in self.k.frames:
            for other, array in frame.arrays.items():
                needed = frame.last_use.get(other, -1) >= frame.position
                if needed and dest.buffer in self.k.reads(array):
                    return None
        return dest

    # Sinks.

    def sinks(self, value: ir.Value) -> frozenset:
        """The loops that read a value, if it stays lazy: consumers that are not pointwise."""
        found = self._sinks.get(value)
        if found is not None:
            return found
        result: set[Any] = set()
        for use in value.uses:
            op = use.owner.operation
            if not len(op.results):
                result.add("end")
            elif lax.name_of(op) in POINTWISE and op.results[0].type.shape == value.type.shape:
                result |= self.sinks(op.results[0])
            else:
                result.add(op.results[0])
        found = self._sinks[value] = frozenset(result)
        return found


def protect(k: Kernel, buffer: Buffer) -> None:
    """Before `buffer` is written: store elsewhere what is still needed and computed from it."""
    for frame in k.frames:
        for value, array in list(frame.arrays.items()):
            if not frame.is_live(value):
                continue
            if buffer in k.reads(array):
                dest = k.temporary(array.aval)
                k.commit([(array, dest)])
                frame.bind(value, dest)


def may_overwrite(k: Kernel, call: Call, number: int) -> bool:
    """Whether the op may write into its operand's memory."""
    array = call.operands[number]
    if not isinstance(array, View) or not call.dying[number]:
        return False
    return array.buffer.origin != "input" and not k.locks.get(array.buffer)


def lower_block(
    k: Kernel,
    block: ir.Block,
    arrays: Sequence[Any],
    dests: Sequence[View | None],
    finish: Callable[[list[Any]], Any],
) -> Any:
    """Lower a block.

    Args:
      arrays: the block arguments.
      dests: where its results are to end, where that is known.
      finish: called with the results while all they read is still alive.
    """
    frame = Frame(k, block, dests)
    k.frames.append(frame)
    for argument, array in zip(block.arguments, arrays):
        frame.bind(argument, array)
    for number, op in enumerate(frame.ops[:-1]):
        frame.position = number
        with k.reclaiming(), op.location:
            for value, array in zip(op.results, _lower_op(k, frame, op)):
                frame.bind(value, array)
            for value in {*op.operands, *op.results}:
                if not frame.is_live(value):
                    frame.unbind(value)
    frame.position = len(frame.ops) - 1
    # What is still lazy is computed where it is stored: a yield has no line of its own.
    with frame.ops[max(len(frame.ops) - 2, 0)].location:
        result = finish([frame.arrays[v] for v in frame.ops[-1].operands])
    for value in list(frame.arrays):
        frame.unbind(value)
    k.frames.pop()
    return result


def _lower_op(k: Kernel, frame: Frame, op: ir.Operation) -> list[Any]:
    name = lax.name_of(op)
    out_avals = [mlir.aval_of(r.type) for r in op.results]
    if name == "constant":
        return [constant_array(k, op, out_avals[0])]
    values = list(op.operands)
    operands = [frame.arrays[v] for v in values]
    if name in _COPIES:
        return operands
    if name in _VIEWS and out_avals[0].shape:
        return [_reshape(k, operands[0], out_avals[0])]
    if name in LOWERINGS:
        dying = [not frame.is_live(v) and values.count(v) == 1 for v in values]
        dests = [frame.usable_dest(r) if a.size else None for r, a in zip(op.results, out_avals)]
        return LOWERINGS[name](k, Call(name, op, operands, out_avals, dests, dying, frame))
    if name not in ELEMENT:
        raise error_at("kernel", op.location, f"lax.{name} has no lowering")
    operands = _prepared(k, name, operands, out_avals)
    stretched = name in POINTWISE and any(
        x.aval.shape not in ((), out_avals[0].shape) for x in operands
    )
    for value, array in zip(values, operands):
        if frame.arrays[value] is not array:
            frame.bind(value, array)
    if stretched:
        operands = [_stretch(x, out_avals[0].shape) for x in operands]
    results = apply(name, operands, op_params(op), out_avals)
    if not out_avals[0].shape:
        return _scalars(k, results)
    return [_stored_if_shared(k, frame, v, a) for v, a in zip(op.results, results)]


def _scalars(k: Kernel, results: Sequence[Any]) -> list[Any]:
    with k.b.nest():
        return [Scalars(a.aval, a.at(k.b, ())) for a in results]


def constant_array(k: Kernel, op: ir.Operation, aval: Any) -> Any:
    """A literal: a splat, or a table in the executable."""
    value = mlir.constant_array(op.attributes["value"])
    if value.size == 0:
        return Splat(aval, 0)
    first = value.reshape(-1)[0]
    if value.size == 1 or value.tobytes() == first.tobytes() * value.size:
        if isinstance(first.item(), tuple):  # float0
            return Splat(aval, 0)
        return Splat(aval, first) if aval.shape else Scalars(aval, k.b.constant(first, aval.dtype))
    flat = value.reshape(-1)
    return Computed(aval, lambda b, i: _from_table(b, flat, linearize(b, i, aval.shape)), ())


def _from_table(b: Any, values: np.ndarray, position: Any) -> Any:
    kind = values.dtype.kind
    if kind == "c":
        return Complex(*(_from_table(b, part, position) for part in (values.real, values.imag)))
    name = f"{values.dtype}:{hashlib.sha256(values.tobytes()).hexdigest()}"
    if kind == "b":
        return b.ints(8).ne(b.table(name, values.astype("int8"))(position), 0)
    return b.table(name, values)(position)


def _reshape(k: Kernel, array: Any, aval: Any) -> Any:
    """The same elements in row-major order under another shape."""
    if isinstance(array, View):
        return array.reshaped(aval.shape)
    if isinstance(array, Splat):
        return Splat(aval, array.number)
    if isinstance(array, Scalars):
        return Computed(aval, lambda b, index: array.value, (array,))
    old = [i for i, d in enumerate(array.aval.shape) if d != 1]
    new = [i for i, d in enumerate(aval.shape) if d != 1]
    if [array.aval.shape[i] for i in old] == [aval.shape[i] for i in new]:
        return Computed(aval, _unit_dims_map(array, old, new), (array,))
    if k.is_flat(array):
        return apply("reshape", [array], _reshape_params(aval), [aval])[0]
    return k.materialize(array).reshaped(aval.shape)


def _reshape_params(aval: Any) -> dict[str, Any]:
    return {"dimensions": None, "new_sizes": aval.shape, "sharding": None}


def _unit_dims_map(array: Any, old: Sequence[int], new: Sequence[int]) -> Callable:
    rank = len(array.aval.shape)

    def element(b: Any, index: tuple) -> Any:
        inner: list[Any] = [0] * rank
        for i, j in zip(old, new):
            inner[i] = index[j]
        return array.at(b, tuple(inner))

    return element


def _stretch(array: Any, shape: tuple[int, ...]) -> Any:
    """An operand of a pointwise op whose unit dimensions stand for all of the result's."""
    if array.aval.shape in ((), shape):
        return array
    unit = [d == 1 for d in array.aval.shape]

    def element(b: Any, index: tuple) -> Any:
        return array.at(b, tuple(0 if u else i for u, i in zip(unit, index)))

    return Computed(array.aval.update(shape=shape), element, (array,))


_EXPANDING = frozenset({"broadcast_in_dim", "gather", "dynamic_slice", "tile"})


def _prepared(k: Kernel, name: str, operands: list[Any], out_avals: Sequence[Any]) -> list[Any]:
    """Operands of a lazy op; those that would be computed many times are stored first."""
    if name == "gather":
        return [operands[0], k.stored(operands[1], cost.EXPENSIVE), *operands[2:]]
    if name in POINTWISE:
        size = out_avals[0].size
        return [
            k.materialize(x) if 1 < x.aval.size < size and k.cost(x) >= cost.EXPENSIVE else x
            for x in operands
        ]
    first = operands[0] if operands else None
    if name in _EXPANDING and 1 < first.aval.size < out_avals[0].size:
        return [k.stored(first, cost.EXPENSIVE), *operands[1:]]
    return operands


def _stored_if_shared(k: Kernel, frame: Frame, value: ir.Value, array: Any) -> Any:
    """Store a lazy value now if it would otherwise be computed in several loops."""
    price = k.cost(array)
    if price < cost.EXPENSIVE and not (price > 1 and frame.dest(value) is not None):
        return array
    sinks = frame.sinks(value)
    if len(sinks) <= 1 and price <= cost.LARGEST_EXPRESSION:
        return array
    dest = frame.usable_dest(value)
    return k.materialize(array, dest)
