"""Arithmetic on scalars of one type, with Python numbers taken as constants.

Owns `FloatOps` and `IntOps`, the vocabulary the math files are written in. Must not import the
builder (which makes these).
"""

from __future__ import annotations

from typing import Any

import numpy as np


class IntOps:
    """Signless integers of one width; Python ints are constants."""

    def __init__(self, builder: Any, type_: Any, bits: int):
        self.b, self.type, self.bits = builder, type_, bits

    def c(self, value: Any) -> Any:
        """A constant, or the value itself."""
        return self.b.int_constant(self.type, self.bits, value) if isinstance(value, int) else value

    def _binary(self, name: str, x: Any, y: Any) -> Any:
        return self.b.op(name, self.type, [self.c(x), self.c(y)])

    def add(self, x: Any, y: Any) -> Any:
        return self._binary("arith.addi", x, y)

    def sub(self, x: Any, y: Any) -> Any:
        return self._binary("arith.subi", x, y)

    def mul(self, x: Any, y: Any) -> Any:
        return self._binary("arith.muli", x, y)

    def mulhi(self, x: Any, y: Any) -> Any:
        """The high word of an unsigned product, from products of halves.

        IREE's vectors for SPIR-V stop at the two results of `arith.mului_extended`.
        """
        half, mask = self.bits // 2, (1 << (self.bits // 2)) - 1
        (x0, x1), (y0, y1) = ((self.and_(v, mask), self.lshr(v, half)) for v in (x, y))
        middle = self.add(self.mul(x1, y0), self.lshr(self.mul(x0, y0), half))
        other = self.add(self.mul(x0, y1), self.and_(middle, mask))
        high = self.add(self.lshr(middle, half), self.lshr(other, half))
        return self.add(self.mul(x1, y1), high)

    def and_(self, x: Any, y: Any) -> Any:
        return self._binary("arith.andi", x, y)

    def or_(self, x: Any, y: Any) -> Any:
        return self._binary("arith.ori", x, y)

    def xor(self, x: Any, y: Any) -> Any:
        return self._binary("arith.xori", x, y)

    def not_(self, x: Any) -> Any:
        return self._binary("arith.xori", x, -1)

    def neg(self, x: Any) -> Any:
        return self._binary("arith.subi", 0, x)

    def shl(self, x: Any, y: Any) -> Any:
        return self._binary("arith.shli", x, y)

    def lshr(self, x: Any, y: Any) -> Any:
        return self._binary("arith.shrui", x, y)

    def ashr(self, x: Any, y: Any) -> Any:
        return self._binary("arith.shrsi", x, y)

    def binary(self, name: str, x: Any, y: Any) -> Any:
        """Any two-operand integer op, by its MLIR name."""
        return self._binary(name, x, y)

    def unary(self, name: str, x: Any) -> Any:
        return self.b.op(name, self.type, [self.c(x)])

    def cmp(self, predicate: int, x: Any, y: Any) -> Any:
        return self.b.compare("arith.cmpi", predicate, self.c(x), self.c(y))

    def eq(self, x: Any, y: Any) -> Any:
        return self.cmp(0, x, y)

    def ne(self, x: Any, y: Any) -> Any:
        return self.cmp(1, x, y)

    def slt(self, x: Any, y: Any) -> Any:
        return self.cmp(2, x, y)

    def sle(self, x: Any, y: Any) -> Any:
        return self.cmp(3, x, y)

    def sge(self, x: Any, y: Any) -> Any:
        return self.cmp(5, x, y)

    def ult(self, x: Any, y: Any) -> Any:
        return self.cmp(6, x, y)

    def ule(self, x: Any, y: Any) -> Any:
        return self.cmp(7, x, y)

    def uge(self, x: Any, y: Any) -> Any:
        return self.cmp(9, x, y)

    def select(self, condition: Any, x: Any, y: Any) -> Any:
        return self.b.op("arith.select", self.type, [condition, self.c(x), self.c(y)])

    def cast(self, name: str, x: Any) -> Any:
        """A conversion op to this type (`arith.extsi`, `arith.fptosi`, ...)."""
        return self.b.op(name, self.type, [x])


class FloatOps:
    """Floats of one type; Python floats are constants."""

    def __init__(self, builder: Any, type_: Any, dtype: np.dtype):
        self.b, self.type, self.dtype = builder, type_, dtype
        self.name = str(type_)
        self.bits = dtype.itemsize * 8

    @property
    def i(self) -> IntOps:
        """Integers of the same width."""
        return self.b.ints(self.bits)

    def c(self, value: Any) -> Any:
        """A constant, or the value itself."""
        if isinstance(value, (float, int)):
            return self.b.float_constant(self.type, self.name, float(value))
        return value

    def _binary(self, name: str, x: Any, y: Any) -> Any:
        return self.b.op(name, self.type, [self.c(x), self.c(y)])

    def unary(self, name: str, x: Any) -> Any:
        """Any one-operand float op, by its MLIR name."""
        return self.b.op(name, self.type, [self.c(x)])

    def binary(self, name: str, x: Any, y: Any) -> Any:
        return self._binary(name, x, y)

    def add(self, x: Any, y: Any) -> Any:
        return self._binary("arith.addf", x, y)

    def sub(self, x: Any, y: Any) -> Any:
        return self._binary("arith.subf", x, y)

    def mul(self, x: Any, y: Any) -> Any:
        return self._binary("arith.mulf", x, y)

    def div(self, x: Any, y: Any) -> Any:
        return self._binary("arith.divf", x, y)

    def max(self, x: Any, y: Any) -> Any:
        """The larger, or NaN if either is NaN."""
        return self._binary("arith.maximumf", x, y)

    def min(self, x: Any, y: Any) -> Any:
        """The smaller, or NaN if either is NaN."""
        return self._binary("arith.minimumf", x, y)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        return self.b.op("math.fma", self.type, [self.c(x), self.c(y), self.c(z)])

    def poly(self, x: Any, coefficients: Any) -> Any:
        """Horner's rule by fma; the highest power comes first."""
        result = self.c(coefficients[0])
        for coefficient in coefficients[1:]:
            result = self.fma(result, x, coefficient)
        return result

    def rounded(self, x: Any) -> Any:
        """x; where floats are relaxed, hidden from a compiler that would cancel its terms."""
        return self.b.rounded(self, x)

    def nearest(self, x: Any, factor: float | None = None) -> tuple[Any, Any]:
        """x (times a factor) rounded to a whole number: as a float, and as an integer.

        Only the low half of the integer's bits counts.
        """
        if self.b.relaxed:
            whole = self.roundeven(x if factor is None else self.mul(x, factor))
            return whole, self.i.cast("arith.fptosi", whole)
        magic = 1.5 * 2.0 ** (52 if self.bits == 64 else 23)  # leaves an integer in the low bits
        shifted = self.add(x, magic) if factor is None else self.fma(x, factor, magic)
        return self.sub(shifted, magic), self.bits_of(shifted)

    def two_sum(self, x: Any, y: Any) -> tuple[Any, Any]:
        """x + y, and what its rounding lost."""
        total = self.rounded(self.add(x, y))
        back = self.rounded(self.sub(total, x))
        lost = self.sub(x, self.rounded(self.sub(total, back)))
        return total, self.add(lost, self.sub(y, back))

    def fast_two_sum(self, x: Any, y: Any) -> tuple[Any, Any]:
        """`two_sum` for |x| >= |y|."""
        total = self.rounded(self.add(x, y))
        return total, self.add(self.rounded(self.sub(x, total)), y)

    def exact_fma(self, x: Any, y: Any, z: Any) -> Any:
        """x y + z where x y and z cancel: the product must not be rounded before the sum."""
        if not self.b.relaxed:
            return self.fma(x, y, z)
        x, y, z = self.c(x), self.c(y), self.c(z)
        product = self.rounded(self.mul(x, y))
        (x1, x0), (y1, y0) = self._halves(x), self._halves(y)
        lost = self.sub(self.mul(x1, y1), product)
        for p, q in ((x1, y0), (x0, y1), (x0, y0)):
            lost = self.fma(p, q, lost)
        return self.add(self.rounded(self.add(product, z)), lost)

    def _halves(self, x: Any) -> tuple[Any, Any]:
        """x as a sum of two floats of half the mantissa."""
        mask = -1 << (27 if self.bits == 64 else 12)
        high = self.of_bits(self.i.and_(self.bits_of(x), mask))
        return high, self.sub(x, high)

    def neg(self, x: Any) -> Any:
        return self.unary("arith.negf", x)

    def abs(self, x: Any) -> Any:
        return self.unary("math.absf", x)

    def sqrt(self, x: Any) -> Any:
        return self.unary("math.sqrt", x)

    def floor(self, x: Any) -> Any:
        return self.unary("math.floor", x)

    def roundeven(self, x: Any) -> Any:
        return self.unary("math.roundeven", x)

    def copysign(self, magnitude: Any, sign: Any) -> Any:
        return self._binary("math.copysign", magnitude, sign)

    def cmp(self, predicate: int, x: Any, y: Any) -> Any:
        return self.b.compare("arith.cmpf", predicate, self.c(x), self.c(y))

    def eq(self, x: Any, y: Any) -> Any:
        return self.cmp(1, x, y)

    def gt(self, x: Any, y: Any) -> Any:
        return self.cmp(2, x, y)

    def ge(self, x: Any, y: Any) -> Any:
        return self.cmp(3, x, y)

    def lt(self, x: Any, y: Any) -> Any:
        return self.cmp(4, x, y)

    def le(self, x: Any, y: Any) -> Any:
        return self.cmp(5, x, y)

    def ne(self, x: Any, y: Any) -> Any:
        """True for NaN, like `!=`."""
        return self.cmp(13, x, y)

    def isnan(self, x: Any) -> Any:
        return self.cmp(14, x, x)

    def is_whole(self, x: Any) -> Any:
        """Whether x has no fraction; true of infinities, false of NaN."""
        return self.eq(self.roundeven(x), x)

    def is_fraction(self, x: Any) -> Any:
        """The opposite of `is_whole`."""
        return self.ne(self.roundeven(x), x)

    def select(self, condition: Any, x: Any, y: Any) -> Any:
        return self.b.op("arith.select", self.type, [condition, self.c(x), self.c(y)])

    def bits_of(self, x: Any) -> Any:
        """The bit pattern as an integer."""
        return self.b.op("arith.bitcast", self.i.type, [x])

    def of_bits(self, x: Any) -> Any:
        """The float with a bit pattern."""
        return self.b.op("arith.bitcast", self.type, [x])

    def cast(self, name: str, x: Any) -> Any:
        """A conversion op to this type (`arith.extf`, `arith.sitofp`, ...)."""
        return self.b.op(name, self.type, [x])
