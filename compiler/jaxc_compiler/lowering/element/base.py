"""The scalar builder: emits arith, scf and memref ops for one element, fast.

Owns `ScalarBuilder`, `Complex` and the dtype -> MLIR type map. Knows no op of the op book (that is
`values.py` and the families) and decides nothing about memory: the kernel and linalg lowerings
open loops and choose where results are stored.

Index values may be Python ints: arithmetic on them is folded here, so that an identity index map
costs no op. Scalars are SSA values: bool is i1, integers are signless (the dtype tells the sign),
a random key is an i64 (its two words, low word first), a complex number is a pair
`Complex(re, im)` of floats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from jaxc_compiler.lowering.element.scalars import FloatOps, IntOps
from jaxc_compiler.lowering.element.scopes import Loop, Scope, block_of
from jaxc_compiler.lowering.element.types import PACKED, TYPE_NAMES, is_complex, type_name
from jaxc_compiler.mlir import ir


class Complex(NamedTuple):
    """A complex scalar as two float SSA values."""

    re: ir.Value
    im: ir.Value


Index = ir.Value | int
Scalar = ir.Value | Complex

_INDEX_PREDICATES = {"eq": 0, "ne": 1, "lt": 2, "le": 3, "gt": 4, "ge": 5}


def _is_global(op: Any, name: str) -> bool:
    operation = op.operation
    return operation.name == "memref.global" and operation.attributes["sym_name"].value == name


class ScalarBuilder:
    """Emits scalar ops at an insertion point that scopes, loops and branches move.

    Args:
      ip: where ops are put first.
      entry: block at whose start constants and tables are put; it must dominate every use.
      relaxed: the target's compiler may take floats for real numbers: it cancels terms of sums and
        has no fused multiply-add (Mesa's for Vulkan). It may lack doubles, too: f32 stays in f32.
      tensors: the surroundings are tensors, not memrefs: tables are tensor constants.

    Example:
      b = ScalarBuilder(ir.InsertionPoint(block), block)
      with b.nest(), b.for_(0, 16) as loop:
          b.store(dtype, value.at(b, (loop.index,)), out_ref, (loop.index,))
    """

    def __init__(self, ip: Any, entry: ir.Block, *, relaxed: bool = False, tensors: bool = False):
        self.entry, self.relaxed, self.tensors, self._clamped = entry, relaxed, tensors, False
        self.scope = Scope(ip, None, True)
        self._types: dict[str, ir.Type] = {}
        self._constants: dict[Any, ir.Value] = {}
        self._ops: dict[Any, Any] = {}
        self._predicates: dict[int, ir.Attribute] = {}
        self.index_type = ir.IndexType.get()
        self.i1 = self.type("i1")

    # Raw ops.

    def op(
        self,
        name: str,
        result: ir.Type,
        operands: Sequence[ir.Value],
        attributes: dict[str, ir.Attribute] | None = None,
    ) -> ir.Value:
        """One op with one result at the current insertion point."""
        return ir.Operation.create(name, [result], operands, attributes, ip=self.scope.ip).result

    def effect(self, name: str, operands: Sequence[ir.Value]) -> ir.Operation:
        """One op without results (a store, a yield)."""
        return ir.Operation.create(name, [], operands, ip=self.scope.ip)

    def type(self, name: str) -> ir.Type:
        """The MLIR type spelled `name`."""
        found = self._types.get(name)
        if found is None:
            found = self._types[name] = ir.Type.parse(name)
        return found

    def scalar_type(self, dtype: Any) -> ir.Type:
        return self.type(type_name(dtype))

    def floats(self, dtype: Any) -> FloatOps:
        """Float arithmetic on one dtype: `b.floats(np.float32).add(x, y)`."""
        key = ("f", TYPE_NAMES[np.dtype(dtype).name])
        found = self._ops.get(key)
        if found is None:
            found = self._ops[key] = FloatOps(self, self.type(key[1]), np.dtype(dtype))
        return found

    def ints(self, bits: int) -> IntOps:
        """Integer arithmetic on one width: `b.ints(32).add(x, y)`."""
        found = self._ops.get(bits)
        if found is None:
            found = self._ops[bits] = IntOps(self, self.type(f"i{bits}"), bits)
        return found

    # Constants: one per value and type, at the start of the entry block.

    def _constant(self, type_: ir.Type, attribute: ir.Attribute) -> ir.Value:
        ip = ir.InsertionPoint.at_block_begin(self.entry)
        return ir.Operation.create(
            "arith.constant", [type_], [], {"value": attribute}, ip=ip
        ).result

    def index(self, value: Index) -> ir.Value:
        """An index as an SSA value."""
        if not isinstance(value, int):
            return value
        found = self._constants.get(value)
        if found is None:
            attribute = ir.IntegerAttr.get(self.index_type, value)
            found = self._constants[value] = self._constant(self.index_type, attribute)
        return found

    def int_constant(self, type_: ir.Type, bits: int, value: int) -> ir.Value:
        """An integer constant; `value` may be written signed or unsigned."""
        key = (bits, value)
        found = self._constants.get(key)
        if found is None:
            signed = ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))
            attribute = ir.IntegerAttr.get(type_, bool(value & 1) if bits == 1 else signed)
            found = self._constants[key] = self._constant(type_, attribute)
        return found

    def float_constant(self, type_: ir.Type, name: str, value: float) -> ir.Value:
        key = (name, value.hex())  # tells -0.0 from 0.0, and nan equals nan
        found = self._constants.get(key)
        if found is None:
            attribute = ir.FloatAttr.get(type_, value)
            found = self._constants[key] = self._constant(type_, attribute)
        return found

    def constant(self, value: Any, dtype: Any) -> Scalar:
        """A Python or NumPy scalar as a constant of `dtype`."""
        dtype = np.dtype(dtype)
        if dtype.kind == "c":
            part = np.dtype(f"f{dtype.itemsize // 2}")
            value = complex(value)
            return Complex(self.constant(value.real, part), self.constant(value.imag, part))
        name = TYPE_NAMES[dtype.name]
        if name[0] == "i":
            return self.int_constant(self.type(name), int(name[1:]), int(value))
        return self.float_constant(self.type(name), name, float(value))

    def true(self) -> ir.Value:
        return self.int_constant(self.i1, 1, 1)

    def false(self) -> ir.Value:
        return self.int_constant(self.i1, 1, 0)

    def table(self, key: str, values: np.ndarray) -> Callable[[Index], ir.Value]:
        """A read-only 1-D table of numbers; the result loads the element at an index."""
        element = self.scalar_type(values.dtype)
        found = self._constants.get(("table", key))
        if found is None:
            found = self._constants["table", key] = self._table(key, values, element)
        name = "tensor.extract" if self.tensors else "memref.load"
        return lambda index: self.op(name, element, [found, self.index(index)])

    def _table(self, key: str, values: np.ndarray, element: ir.Type) -> ir.Value:
        tensor = ir.RankedTensorType.get(values.shape, element)
        data = ir.DenseElementsAttr.get(np.ascontiguousarray(values), type=tensor)
        if self.tensors:
            return self._constant(tensor, data)
        # IREE does not bufferize inside a kernel made of memrefs: the table is a global.
        memref = ir.MemRefType.get(values.shape, element)
        name = f"table_{key}"
        function = self.entry.owner
        functions = function.operation.block
        if not any(_is_global(op, name) for op in functions):
            attributes = {
                "sym_name": ir.StringAttr.get(name),
                "sym_visibility": ir.StringAttr.get("private"),
                "type": ir.TypeAttr.get(memref),
                "initial_value": data,
                "constant": ir.UnitAttr.get(),
            }
            ip = ir.InsertionPoint.at_block_begin(functions)
            ir.Operation.create("memref.global", [], [], attributes, ip=ip)
        ip = ir.InsertionPoint.at_block_begin(self.entry)
        symbol = {"name": ir.FlatSymbolRefAttr.get(name)}
        return ir.Operation.create("memref.get_global", [memref], [], symbol, ip=ip).result

    # Index arithmetic, folded on ints.

    def iadd(self, x: Index, y: Index) -> Index:
        if isinstance(x, int):
            if isinstance(y, int):
                return x + y
            x, y = y, x
        if isinstance(y, int) and y == 0:
            return x
        return self.op("arith.addi", self.index_type, [x, self.index(y)])

    def isub(self, x: Index, y: Index) -> Index:
        if isinstance(y, int):
            return self.iadd(x, -y)
        return self.op("arith.subi", self.index_type, [self.index(x), y])

    def imul(self, x: Index, y: Index) -> Index:
        if isinstance(x, int):
            if isinstance(y, int):
                return x * y
            x, y = y, x
        if isinstance(y, int):
            if y == 1:
                return x
            if y == 0:
                return 0
        return self.op("arith.muli", self.index_type, [x, self.index(y)])

    def idiv(self, x: Index, y: int) -> Index:
        """x // y for x >= 0 and a static y > 0."""
        if y == 1:
            return x
        if isinstance(x, int):
            return x // y
        return self.op("arith.divui", self.index_type, [x, self.index(y)])

    def imod(self, x: Index, y: int) -> Index:
        """x % y for x >= 0 and a static y > 0."""
        if y == 1:
            return 0
        if isinstance(x, int):
            return x % y
        return self.op("arith.remui", self.index_type, [x, self.index(y)])

    def imin(self, x: Index, y: Index) -> Index:
        if isinstance(x, int) and isinstance(y, int):
            return min(x, y)
        return self.op("arith.minsi", self.index_type, [self.index(x), self.index(y)])

    def imax(self, x: Index, y: Index) -> Index:
        if isinstance(x, int) and isinstance(y, int):
            return max(x, y)
        return self.op("arith.maxsi", self.index_type, [self.index(x), self.index(y)])

    def icmp(self, predicate: str, x: Index, y: Index) -> ir.Value | bool:
        """Signed comparison `eq ne lt le gt ge`; a Python bool if both are ints."""
        if isinstance(x, int) and isinstance(y, int):
            return {"eq": x == y, "ne": x != y, "lt": x < y, "le": x <= y, "gt": x > y}.get(
                predicate, x >= y
            )
        return self.compare(
            "arith.cmpi", _INDEX_PREDICATES[predicate], self.index(x), self.index(y)
        )

    def compare(self, name: str, predicate: int, x: ir.Value, y: ir.Value) -> ir.Value:
        """`arith.cmpi` or `arith.cmpf` with a numeric predicate."""
        attribute = self._predicates.get(predicate)
        if attribute is None:
            attribute = ir.IntegerAttr.get(self.type("i64"), predicate)
            self._predicates[predicate] = attribute
        return self.op(name, self.i1, [x, y], {"predicate": attribute})

    def to_index(self, value: ir.Value, *, signed: bool = True) -> ir.Value:
        """An integer scalar as an index."""
        return self.op(
            "arith.index_cast" if signed else "arith.index_castui", self.index_type, [value]
        )

    def from_index(self, value: Index, bits: int) -> ir.Value:
        """An index as an integer scalar of a width."""
        type_ = self.type(f"i{bits}")
        if isinstance(value, int):
            return self.int_constant(type_, bits, value)
        return self.op("arith.index_cast", type_, [value])

    # Booleans: Python bools are folded.

    def all_of(self, conditions: Sequence[ir.Value | bool]) -> ir.Value | bool:
        """Conjunction; a Python bool if it is known."""
        if any(c is False for c in conditions):
            return False
        known = [c for c in conditions if c is not True]
        if not known:
            return True
        result = known[0]
        for condition in known[1:]:
            result = self.op("arith.andi", self.i1, [result, condition])
        return result

    def select(self, condition: ir.Value | bool, x: Scalar, y: Scalar) -> Scalar:
        """x where the condition holds, else y."""
        if isinstance(condition, bool):
            return x if condition else y
        if isinstance(x, Complex):
            return Complex(self.select(condition, x.re, y.re), self.select(condition, x.im, y.im))
        return self.op("arith.select", x.type, [condition, x, y])

    def rounded(self, m: FloatOps, x: ir.Value) -> ir.Value:
        """A float, hidden from a compiler for which (x + y) - x is y (see `relaxed`)."""
        return m.copysign(m.abs(x), x) if self.relaxed else x

    def load(self, dtype: Any, ref: ir.Value, index: Sequence[Index]) -> Scalar:
        """The element of a memref or a tensor."""
        type_ = ref.type
        if self._clamped:
            index = [self.imax(self.imin(i, size - 1), 0) for i, size in zip(index, type_.shape)]
        name = "memref.load" if isinstance(type_, ir.MemRefType) else "tensor.extract"
        element = type_.element_type
        value = self.op(name, element, [ref, *map(self.index, index)])
        return self.from_memory(dtype, value)

    def from_memory(self, dtype: Any, value: ir.Value) -> Scalar:
        """A loaded value as a scalar: bytes to bool, complex to a pair."""
        if value.type != self.i1 and dtype == np.bool_:
            return self.ints(8).ne(value, 0)
        if dtype in PACKED:
            return self.op("arith.trunci", self.scalar_type(dtype), [value])
        if is_complex(dtype):
            part = self.type(f"f{dtype.itemsize * 4}")
            return Complex(*(self.op(f"complex.{p}", part, [value]) for p in ("re", "im")))
        return value

    def to_memory(self, dtype: Any, value: Scalar, element: ir.Type) -> ir.Value:
        """A scalar as a value of the memory's element type."""
        if isinstance(value, Complex):
            return self.op("complex.create", element, list(value))
        if dtype == np.bool_ and element != self.i1:
            return self.op("arith.extui", element, [value])
        if dtype in PACKED:
            name = "arith.extsi" if dtype.name[0] == "i" else "arith.extui"
            return self.op(name, element, [value])
        return value

    def store(self, dtype: Any, value: Scalar, ref: ir.Value, index: Sequence[Index]) -> None:
        """Write an element of a memref."""
        stored = self.to_memory(dtype, value, ref.type.element_type)
        self.effect("memref.store", [stored, ref, *map(self.index, index)])

    def flatten(self, value: Scalar) -> list[ir.Value]:
        """The SSA values of a scalar, for loop-carried values and yields."""
        return list(value) if isinstance(value, Complex) else [value]

    def unflatten(self, dtype: Any, values: Sequence[ir.Value]) -> Scalar:
        """Inverse of `flatten`."""
        return Complex(*values) if is_complex(dtype) else values[0]

    # Scopes, loops, branches.

    def memo(self, key: Any) -> Any:
        """What was computed under `key` in this nest and dominates here, or None."""
        scope = self.scope
        while True:
            found = scope.memo.get(key)
            if found is not None or scope.barrier:
                return found
            scope = scope.parent

    @contextmanager
    def nest(self) -> Iterator[None]:
        """Start of one materialization: nothing read inside is written while it runs.

        Loads are remembered within it, and index-invariant scalars are computed at its start.
        """
        outer = self.scope
        self.scope = Scope(outer.ip, outer, True)
        try:
            yield
        finally:
            self.scope = outer

    @contextmanager
    def hoisted(self) -> Iterator[None]:
        """Ops inside go before the loops of the current nest."""
        inner = self.scope
        scope = inner
        while not scope.barrier:
            scope = scope.parent
        self.scope = scope
        try:
            yield
        finally:
            self.scope = inner

    @contextmanager
    def at_home(self, index: Sequence[Index]) -> Iterator[None]:
        """Ops inside go to the outermost loop of the nest in which all of `index` is known."""
        inner = scope = self.scope
        if not scope.barrier and scope.block is not None:
            blocks = [block_of(i) for i in index if type(i) is not int]
            while not scope.barrier and scope.block is not None and scope.block not in blocks:
                scope = scope.parent
        self.scope = scope
        try:
            yield
        finally:
            self.scope = inner

    @contextmanager
    def inside(self, op: ir.Operation, block: ir.Block, *, loop: bool = False) -> Iterator[None]:
        """Emit into a block of `op`, which was made at the current insertion point.

        Args:
          loop: the block is the body of a counted loop: see `at_home`.
        """
        # While the region is open, its parents (up to the nest that shares their insertion point)
        # insert before `op`, so that what is hoisted dominates it.
        outer = self.scope
        changed = []
        scope: Scope | None = outer
        ip = outer.ip
        before = ir.InsertionPoint(op)
        while scope is not None and scope.ip is ip:
            changed.append(scope)
            scope.ip = before
            scope = scope.parent
        self.scope = Scope(ir.InsertionPoint(block), outer, False, block if loop else None)
        try:
            yield
        finally:
            self.scope = outer
            for scope in changed:
                scope.ip = ip

    @contextmanager
    def for_(
        self, lower: Index, upper: Index, step: Index = 1, inits: Sequence[ir.Value] = ()
    ) -> Iterator[Loop]:
        """An `scf.for`; its body is what is emitted inside."""
        types = [v.type for v in inits]
        operands = [self.index(lower), self.index(upper), self.index(step), *inits]
        op = ir.Operation.create("scf.for", types, operands, regions=1, ip=self.scope.ip)
        block = op.regions[0].blocks.append(self.index_type, *types)
        arguments = list(block.arguments)
        loop = Loop(op, arguments[0], arguments[1:])
        with self.inside(op, block, loop=True):
            yield loop
            self.effect("scf.yield", loop.yields)
        loop.results = list(op.results)

    def if_(
        self,
        condition: ir.Value | bool,
        then: Callable[[], Scalar],
        otherwise: Callable[[], Scalar],
        dtype: Any,
    ) -> Scalar:
        """One scalar by an `scf.if`; only the branch taken runs. On tensors both are computed, from
        places clamped to the arrays: MLIR merges branches that read two arrays alike into one that
        reads a chosen array, which SPIR-V has no pointers for.
        """
        if isinstance(condition, bool):
            return then() if condition else otherwise()
        if self.tensors:
            before, self._clamped = self._clamped, True
            result = self.select(condition, then(), otherwise())
            self._clamped = before
            return result
        if is_complex(dtype):
            types = [self.type(f"f{dtype.itemsize * 4}")] * 2
        else:
            types = [self.scalar_type(dtype)]
        op = ir.Operation.create("scf.if", types, [condition], regions=2, ip=self.scope.ip)
        for region, branch in zip(op.regions, (then, otherwise)):
            with self.inside(op, region.blocks.append()):
                self.effect("scf.yield", self.flatten(branch()))
        return self.unflatten(dtype, list(op.results))

    def while_(
        self,
        inits: Sequence[ir.Value],
        condition: Callable[[Sequence[ir.Value]], ir.Value],
        body: Callable[[Sequence[ir.Value]], Sequence[ir.Value]],
    ) -> list[ir.Value]:
        """An `scf.while`: `body` of the carried values as long as `condition` holds of them."""
        types = [v.type for v in inits]
        op = ir.Operation.create("scf.while", types, inits, regions=2, ip=self.scope.ip)
        before = op.regions[0].blocks.append(*types)
        with self.inside(op, before):
            values = list(before.arguments)
            self.effect("scf.condition", [condition(values), *values])
        after = op.regions[1].blocks.append(*types)
        with self.inside(op, after):
            self.effect("scf.yield", list(body(list(after.arguments))))
        return list(op.results)
