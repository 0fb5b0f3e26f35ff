"""float16 on CPUs without its conversions: both ways by integer arithmetic.

    %1 = arith.truncf %0 : f32 to f16
->  %2 = arith.bitcast %0 : f32 to i32
    ...
    %9 = arith.bitcast %8 : i16 to f16

There LLVM calls a function of IREE's, which makes 0 of every result below 2^-14, also after an op
on float16: that becomes one on float32. The widening must not stay either, since LLVM takes the
maximum of two widened numbers before it widens. bfloat16 is right as it is. Imports `mlir` and the
targets.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler import mlir
from jaxc_compiler.mlir import ir
from jaxc_compiler.targets import Target

_ARITHMETIC = frozenset({
    "arith.addf", "arith.divf", "arith.maximumf", "arith.maxnumf", "arith.minimumf",
    "arith.minnumf", "arith.mulf", "arith.subf",
})  # fmt: skip
_ROUNDING = _ARITHMETIC | {"arith.truncf"}
_BIAS = 112 << 23  # by which the exponents of float16 and float32 differ


def lower_half(module: ir.Module, target: Target | None) -> None:
    """Convert float16 by integer arithmetic where the CPU has no instruction for it."""
    if target is None or target.has_half:
        return
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        widens = op.name == "arith.extf" and _is_half(op.operands[0])
        if widens or (op.name in _ROUNDING and _is_half(op.results[0])):
            found.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in found:
        op.results[0].replace_all_uses_with(_Emitter(op).result())
        op.erase()


def _is_half(value: ir.Value) -> bool:
    return _element(value.type) == ir.F16Type.get()


def _element(type_: ir.Type) -> ir.Type:
    return type_.element_type if isinstance(type_, ir.VectorType) else type_


class _Emitter:
    """Emits before an op, on scalars or on vectors of its shape."""

    def __init__(self, op: ir.Operation):
        self.op, self.ip = op, ir.InsertionPoint(op)
        self.half = self._type(ir.F16Type.get())
        self.f32 = self._type(ir.F32Type.get())
        self.i32, self.i16, self.i1 = (self._type(_integer(bits)) for bits in (32, 16, 1))

    def result(self) -> ir.Value:
        """The op's result."""
        name, operands = self.op.name, list(self.op.operands)
        if name == "arith.extf":
            wide = self._widened(operands[0])
            return wide if wide.type == self.op.results[0].type else self._extended(wide)
        if name in _ARITHMETIC:
            return self._rounded(self._op(name, self.f32, *map(self._widened, operands)))
        return self._rounded(operands[0])

    def _extended(self, x: ir.Value) -> ir.Value:
        return self._op("arith.extf", self.op.results[0].type, x)

    def _widened(self, x: ir.Value) -> ir.Value:
        """An f16 as f32."""
        word = self._op("arith.extui", self.i32, self._op("arith.bitcast", self.i16, x))
        size = self._int("and", word, 0x7FFF)
        sign = self._int("shl", self._int("xor", word, size), 16)
        finite = self._int("add", self._int("shl", size, 13), _BIAS)
        normal = self._select(size, 0x7C00, finite, self._int("add", finite, _BIAS))
        unit = self._float(2.0**-24)
        subnormal = self._op("arith.mulf", self.f32, self._op("arith.uitofp", self.f32, size), unit)
        small = self._op("arith.bitcast", self.i32, subnormal)
        bits = self._int("or", self._select(size, 0x0400, small, normal), sign)
        return self._op("arith.bitcast", self.f32, bits)

    def _rounded(self, x: ir.Value) -> ir.Value:
        """An f32 as f16, to nearest even."""
        word = self._op("arith.bitcast", self.i32, x)
        size = self._int("and", word, 0x7FFFFFFF)
        sign = self._int("shr", self._int("xor", word, size), 16)
        special = self._int("max", self._int("min", size, 0x7F800001), 0x7F800000)
        nan = self._int("shl", self._int("sub", special, 0x7F800000), 9)
        bits = self._select(size, 0x38800000, self._subnormal(size), self._normal(size))
        both = self._int("or", self._int("or", bits, nan), sign)
        return self._op("arith.bitcast", self.half, self._op("arith.trunci", self.i16, both))

    def _normal(self, size: ir.Value) -> ir.Value:
        """Half a unit less one, and one more of an odd number, is added to what is cut off."""
        odd = self._int("and", self._int("shr", size, 13), 1)
        rounded = self._int("add", self._int("add", size, odd), 0xFFF - _BIAS)
        return self._int("min", self._int("shr", rounded, 13), 0x7C00)

    def _subnormal(self, size: ir.Value) -> ir.Value:
        """The unit of 0.5 is that of float16's subnormal numbers: adding it rounds to them."""
        number = self._op("arith.bitcast", self.f32, size)
        shifted = self._op("arith.addf", self.f32, number, self._float(0.5))
        return self._int("sub", self._op("arith.bitcast", self.i32, shifted), 0x3F000000)

    def _select(self, x: ir.Value, bound: int, below: ir.Value, above: ir.Value) -> ir.Value:
        less = ir.IntegerAttr.get(_integer(64), 6)  # unsigned
        is_below = self._op("arith.cmpi", self.i1, x, self._number(bound), predicate=less)
        return self._op("arith.select", self.i32, is_below, below, above)

    def _int(self, name: str, x: ir.Value, y: ir.Value | int) -> ir.Value:
        y = self._number(y) if isinstance(y, int) else y
        suffix = "ui" if name in ("min", "max", "shr") else "i"
        return self._op(f"arith.{name}{suffix}", self.i32, x, y)

    def _number(self, value: int) -> ir.Value:
        signed = (value + (1 << 31)) % (1 << 32) - (1 << 31)
        return self._constant(self.i32, ir.IntegerAttr.get(_integer(32), signed))

    def _float(self, value: float) -> ir.Value:
        return self._constant(self.f32, ir.FloatAttr.get(ir.F32Type.get(), value))

    def _constant(self, type_: ir.Type, value: ir.Attribute) -> ir.Value:
        is_vector = isinstance(type_, ir.VectorType)
        attribute = ir.DenseElementsAttr.get_splat(type_, value) if is_vector else value
        return self._op("arith.constant", type_, value=attribute)

    def _type(self, element: ir.Type) -> ir.Type:
        made = self.op.results[0].type
        return (
            ir.VectorType.get(made.shape, element) if isinstance(made, ir.VectorType) else element
        )

    def _op(self, name: str, type_: ir.Type, *operands: ir.Value, **attributes: Any) -> ir.Value:
        where = {"loc": self.op.location, "ip": self.ip}
        return mlir.create(name, [type_], list(operands), attributes, **where).result


def _integer(bits: int) -> ir.Type:
    return ir.IntegerType.get_signless(bits)
