"""Arrays as functions from an index to a scalar, and the table of element rules.

Owns `Memory` (an array that is stored), `Lazy` (a result computed on demand), `apply` and the
registry `ELEMENT`. A rule gives one element of an op's result:

    rule(b, operands, index, out_aval, **params) -> Scalar        (a list if multiple results)

`operands` are arrays (`.aval`, `.at(b, index)`), `b` a `ScalarBuilder`, `index` a tuple of SSA
index values or ints. `import jaxc_compiler.lowering.element` registers every family's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxc_compiler.lowering.element.base import Index, Scalar, ScalarBuilder
from jaxc_compiler.mlir import ir

Rule = Callable[..., Any]

ELEMENT: dict[str, Rule] = {}
POINTWISE: set[str] = set()  # result[i] depends on operand[i] only; shapes are equal or ()
PER_RESULT: set[str] = set()  # the rule takes `number`, which result, and gives only that one
# Their results are the operands.
IDENTITY = frozenset({"copy", "optimization_barrier", "stop_gradient"})


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a function as the element rule of ops."""

    def register(function: Rule) -> Rule:
        for name in names:
            ELEMENT[name] = function
        return function

    return register


def row_major_strides(shape: Sequence[int]) -> list[int]:
    """Elements to skip per step of each dimension."""
    strides, step = [], 1
    for dim in reversed(shape):
        strides.append(step)
        step *= dim
    return strides[::-1]


def linearize(b: ScalarBuilder, index: Sequence[Index], shape: Sequence[int]) -> Index:
    """The row-major position of an index."""
    position: Index = 0
    for i, dim, stride in zip(index, shape, row_major_strides(shape)):
        if dim != 1:
            position = b.iadd(position, b.imul(i, stride))
    return position


def delinearize(b: ScalarBuilder, position: Index, shape: Sequence[int]) -> tuple[Index, ...]:
    """The index at a row-major position; dimensions of size 1 cost nothing."""
    index: list[Index] = []
    remaining = position
    strides = row_major_strides(shape)
    last = max((k for k, dim in enumerate(shape) if dim != 1), default=-1)
    for k, (dim, stride) in enumerate(zip(shape, strides)):
        if dim == 1:
            index.append(0)
        elif k == last:
            index.append(remaining)
        else:
            quotient = b.idiv(remaining, stride)
            remaining = b.isub(remaining, b.imul(quotient, stride))
            index.append(quotient)
    return tuple(index)


class Memory:
    """An array in memory: a memref (or a tensor, which is then read by `tensor.extract`).

    Args:
      aval: the array's shape and dtype.
      ref: memref or tensor of that shape; bool elements may be i8 or i1.
      flat: the same memory as one dimension, if there is one: reshapes then need no division.
    """

    __slots__ = ("aval", "flat", "ref")

    def __init__(self, aval: Any, ref: ir.Value, flat: ir.Value | None = None):
        self.aval, self.ref = aval, ref
        self.flat = ref if flat is None and len(aval.shape) == 1 else flat

    def at(self, b: ScalarBuilder, index: tuple[Index, ...]) -> Scalar:
        """Load one element; a second load of it in the same nest costs nothing."""
        key = (self, index)
        found = b.memo(key)
        if found is not None:
            return found
        with b.at_home(index) if index else b.hoisted():
            value = b.scope.memo[key] = b.load(self.aval.dtype, self.ref, index)
        return value

    def at_flat(self, b: ScalarBuilder, position: Index) -> Scalar:
        """Load the element at a row-major position."""
        if self.flat is None:
            return self.at(b, delinearize(b, position, self.aval.shape))
        key = (self, "flat", position)
        found = b.memo(key)
        if found is None:
            found = b.scope.memo[key] = b.load(self.aval.dtype, self.flat, (position,))
        return found


class _Node:
    """One op applied to arrays, shared by its results."""

    __slots__ = ("location", "name", "operands", "out_avals", "params", "rule")

    def __init__(self, name: str, operands: Sequence[Any], params: dict, out_avals: Sequence[Any]):
        self.name, self.operands = name, tuple(operands)
        self.params, self.out_avals = params, tuple(out_avals)
        self.rule = ELEMENT[name]
        self.location = ir.Location.current

    def result_at(self, b: ScalarBuilder, index: tuple[Index, ...], number: int) -> Scalar:
        if self.name not in PER_RESULT:
            return self.results_at(b, index)[number]
        key = (self, index, number)
        found = b.memo(key)
        if found is None:
            aval = self.out_avals[number]
            with self.location:
                found = self.rule(b, self.operands, index, aval, number=number, **self.params)
            b.scope.memo[key] = found
        return found

    def results_at(self, b: ScalarBuilder, index: tuple[Index, ...]) -> Any:
        key = (self, index)
        found = b.memo(key)
        if found is not None:
            return found
        # A scalar does not depend on the loops of this nest.
        with b.at_home(index) if index else b.hoisted():
            found = b.scope.memo[key] = self._evaluate(b, index)
        return found

    def _evaluate(self, b: ScalarBuilder, index: tuple[Index, ...]) -> list[Scalar]:
        aval = self.out_avals[0]
        with self.location:  # of the op, wherever its elements are asked for
            result = self.rule(b, self.operands, index, aval, **self.params)
        return result if isinstance(result, list) else [result]


class Lazy:
    """One result of an op, computed where its elements are asked for."""

    __slots__ = ("aval", "node", "number")

    def __init__(self, node: _Node, number: int):
        self.node, self.number = node, number
        self.aval = node.out_avals[number]

    def at(self, b: ScalarBuilder, index: tuple[Index, ...]) -> Scalar:
        """The element at an index."""
        return self.node.result_at(b, index, self.number)

    def at_flat(self, b: ScalarBuilder, position: Index) -> Scalar:
        """The element at a row-major position, without a division where the op allows it."""
        node = self.node
        if is_reshape(node):
            return node.operands[0].at_flat(b, position)
        shape = self.aval.shape
        if node.name not in POINTWISE or len(shape) < 2:
            return self.at(b, delinearize(b, position, shape))
        key = (node, "flat", position)
        found = b.memo(key)
        if found is None:
            flat = [_Flat(x) if x.aval.shape else x for x in node.operands]
            inner = _Node(node.name, flat, node.params, [_flat_aval(a) for a in node.out_avals])
            inner.location = node.location
            found = inner.results_at(b, (position,))
            b.scope.memo[key] = found
        return found[self.number]


class _Flat:
    """An array seen as one dimension."""

    __slots__ = ("array", "aval")

    def __init__(self, array: Any):
        self.array = array
        self.aval = _flat_aval(array.aval)

    def at(self, b: ScalarBuilder, index: tuple[Index, ...]) -> Scalar:
        return self.array.at_flat(b, index[0])

    def at_flat(self, b: ScalarBuilder, position: Index) -> Scalar:
        return self.array.at_flat(b, position)


def is_reshape(node: _Node) -> bool:
    """Whether an op keeps every element at its row-major position."""
    return node.name == "reshape" and node.params.get("dimensions") is None


def flat_is_cheap(array: Any) -> bool:
    """Whether `at_flat` needs no division: one-dimensional memory, and what is pointwise of it."""
    if isinstance(array, Memory):
        return array.flat is not None
    if not isinstance(array, Lazy):
        return True
    node = array.node
    if is_reshape(node):
        return flat_is_cheap(node.operands[0])
    return node.name in POINTWISE and all(flat_is_cheap(x) for x in node.operands)


def _flat_aval(aval: Any) -> Any:
    return aval.update(shape=(aval.size,))


class Scalars:
    """A 0-d array whose value is an SSA scalar (a loop-carried value, a block argument)."""

    __slots__ = ("aval", "value")

    def __init__(self, aval: Any, value: Scalar):
        self.aval, self.value = aval, value

    def at(self, b: ScalarBuilder, index: tuple[Index, ...]) -> Scalar:
        return self.value

    at_flat = at


class Splat:
    """An array with one value everywhere, from a Python or NumPy scalar."""

    __slots__ = ("aval", "number")

    def __init__(self, aval: Any, number: Any):
        self.aval, self.number = aval, number

    def at(self, b: ScalarBuilder, index: tuple[Index, ...]) -> Scalar:
        return b.constant(self.number, self.aval.dtype)

    at_flat = at


def apply(
    name: str, operands: Sequence[Any], params: dict[str, Any], out_avals: Sequence[Any]
) -> list[Any]:
    """The results of an op as lazy arrays.

    Args:
      name: an op with a rule in `ELEMENT`.
      operands: arrays: `Memory`, `Lazy`, `Scalars`, `Splat` or anything with their methods.
      params: the op's parameters.
      out_avals: one aval per result.
    """
    if name in IDENTITY:
        return list(operands)
    node = _Node(name, operands, params, out_avals)
    return [Lazy(node, k) for k in range(len(node.out_avals))]
