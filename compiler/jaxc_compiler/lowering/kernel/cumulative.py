"""Cumulative sums, products, extrema and log-sum-exps.

Along the contiguous dimension 16 elements are scanned in a vector register (log steps of shifts)
and the last one is carried on: 20 times as fast as one chain. Elsewhere whole rows are added to
the row before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc_compiler.lowering.element.base import Complex, Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.values import Scalars, apply
from jaxc_compiler.lowering.kernel.kernel import Kernel, scalar_aval
from jaxc_compiler.lowering.kernel.reduction import (
    accumulator_dtype,
    combiner,
    identity,
    narrow,
    widen,
)
from jaxc_compiler.lowering.kernel.region import Call, lowering
from jaxc_compiler.mlir import ir

_KINDS = {
    "cumsum": "add", "cumprod": "mul", "cummax": "max", "cummin": "min", "cumlogsumexp": "logadd"
}  # fmt: skip
_LANES = 16
_VECTOR_OPS = {
    "add": ("addf", "addi"), "mul": ("mulf", "muli"),
    "max": ("maximumf", "maxsi"), "min": ("minimumf", "minsi"),
}  # fmt: skip


@lowering(*_KINDS)
def lower_cumulative(k: Kernel, call: Call) -> list[Any]:
    """The running reduction along an axis, from either end."""
    scan = _Scan(k, call)
    if call.out_avals[0].size:
        scan.emit()
    return [scan.dest]


class _Scan:
    def __init__(self, k: Kernel, call: Call):
        self.k, self.b = k, k.b
        self.array, self.dest = call.operands[0], call.place(k)
        axis, self.reverse = call.params["axis"], call.params["reverse"]
        shape = self.array.aval.shape
        self.before, self.length, self.after = shape[:axis], shape[axis], shape[axis + 1 :]
        self.kind = _KINDS[call.name]
        self.dtype = self.array.aval.dtype
        kind = "add" if self.kind == "logadd" else self.kind
        self.wide = accumulator_dtype(kind, self.dtype)

    def emit(self) -> None:
        """Choose between vectors, a chain, and rows."""
        k, b = self.k, self.b
        dest = self.dest
        if dest.buffer in k.reads(self.array):
            self.array = k.materialize(self.array, k.temporary(self.array.aval))
        if math.prod(self.after) > 1 and self.wide == self.dtype:
            with b.nest():
                self._rows()
        elif self._has_vectors():
            k.commit([(self.array, dest)])
            with b.nest(), k.loops(self.before) as before:
                self._vectors(dest.position(b, (*before, *[0] * (1 + len(self.after)))))
        else:
            with b.nest(), k.loops(self.before) as before, k.loops(self.after) as after:
                self._chain(before, after)

    def _place(self, i: Index) -> Index:
        return self.b.isub(self.length - 1, i) if self.reverse else i

    def _combine(self) -> Callable[[Scalar, Scalar], Scalar]:
        if self.kind == "logadd":
            return lambda x, y: log_add_exp(self.b, self.wide, x, y)
        function = combiner(self.kind, self.wide)
        return lambda x, y: function(self.b, x, y)

    def _rows(self) -> None:
        k, b, dest, combine = self.k, self.b, self.dest, self._combine()
        with k.loops(self.before) as before:
            first = self._place(0)
            with k.loops(self.after) as after:
                index = (*before, first, *after)
                dest.store(b, index, self.array.at(b, index))
            with b.for_(1, self.length) as loop:
                here, last = self._place(loop.index), self._place(b.isub(loop.index, 1))
                with k.loops(self.after) as after:
                    index = (*before, here, *after)
                    position = dest.position(b, (*before, last, *after))
                    old = b.load(self.dtype, dest.buffer.ref, (position,))
                    dest.store(b, index, combine(old, self.array.at(b, index)))

    def _chain(self, before: tuple, after: tuple) -> None:
        b, combine = self.b, self._combine()

        def value(i: Index) -> tuple[tuple, Scalar]:
            index = (*before, self._place(i), *after)
            return index, widen(b, self.array.at(b, index), self.dtype, self.wide)

        index, first = value(0)
        self.dest.store(b, index, narrow(b, first, self.wide, self.dtype))
        with b.for_(1, self.length, 1, b.flatten(first)) as loop:
            index, new = value(loop.index)
            total = combine(b.unflatten(self.wide, loop.args), new)
            self.dest.store(b, index, narrow(b, total, self.wide, self.dtype))
            loop.yields = b.flatten(total)

    # Vectors.

    def _has_vectors(self) -> bool:
        if self.kind not in _VECTOR_OPS or self.length < 2 * _LANES:
            return False
        if self.kind in ("max", "min") and self.dtype.kind == "u":
            return False
        return self.dtype.kind in "iuf" and self.dtype.itemsize >= 4

    def _vectors(self, start: Index) -> None:
        """Scan the row at `start` of the destination in place."""
        b, dtype = self.b, self.dtype
        element = b.scalar_type(dtype)
        type_ = b.type(f"vector<{_LANES}x{element}>")
        op = "arith." + _VECTOR_OPS[self.kind][dtype.kind != "f"]
        neutral = b.constant(identity(self.kind, dtype), dtype)
        fill = b.op("vector.broadcast", type_, [neutral])
        # A running float sum is carried in f64: what is added to every block must be exact.
        exact = self.kind == "add" and dtype == np.float32
        carry_dtype = np.dtype(np.float64) if exact else dtype
        carry = b.constant(identity(self.kind, dtype), carry_dtype)
        blocks, rest = divmod(self.length, _LANES)
        ref = self.dest.buffer.ref
        add = combiner(self.kind, carry_dtype)
        with b.for_(0, blocks, 1, [carry]) as loop:
            block = b.isub(blocks - 1, loop.index) if self.reverse else loop.index
            offset = rest if self.reverse else 0
            place = b.index(b.iadd(start, b.iadd(b.imul(block, _LANES), offset)))
            vector = b.op("vector.load", type_, [ref, place])
            for step in (1, 2, 4, 8):
                vector = b.op(op, type_, [vector, self._shift(vector, fill, type_, step)])
            narrow_carry = narrow(b, loop.args[0], carry_dtype, dtype)
            total = b.op("vector.broadcast", type_, [narrow_carry])
            b.effect("vector.store", [b.op(op, type_, [vector, total]), ref, place])
            last = self._extract(vector, 0 if self.reverse else _LANES - 1)
            loop.yields = [add(b, loop.args[0], widen(b, last, dtype, carry_dtype))]
        self._rest(start, blocks, rest, loop.results[0], add, carry_dtype)

    def _shift(self, vector: ir.Value, fill: ir.Value, type_: ir.Type, step: int) -> ir.Value:
        lanes = range(_LANES)
        if self.reverse:
            mask = [i + step if i + step < _LANES else _LANES + i for i in lanes]
        else:
            mask = [i - step if i >= step else _LANES + i for i in lanes]
        attributes = {"mask": ir.DenseI64ArrayAttr.get(mask)}
        return self.b.op("vector.shuffle", type_, [vector, fill], attributes)

    def _extract(self, vector: ir.Value, lane: int) -> ir.Value:
        attributes = {"static_position": ir.DenseI64ArrayAttr.get([lane])}
        return self.b.op("vector.extract", self.b.scalar_type(self.dtype), [vector], attributes)

    def _rest(
        self, start: Index, blocks: int, rest: int, carry: Scalar, add: Callable, carry_dtype: Any
    ) -> None:
        if not rest:
            return
        b, dtype, ref = self.b, self.dtype, self.dest.buffer.ref
        with b.for_(0, rest, 1, [carry]) as loop:
            step = b.isub(rest - 1, loop.index) if self.reverse else loop.index
            place = b.iadd(start, b.iadd(step, 0 if self.reverse else blocks * _LANES))
            value = widen(b, b.load(dtype, ref, (place,)), dtype, carry_dtype)
            total = add(b, loop.args[0], value)
            b.store(dtype, narrow(b, total, carry_dtype, dtype), ref, (place,))
            loop.yields = [total]


def log_add_exp(b: ScalarBuilder, dtype: Any, x: Scalar, y: Scalar) -> Scalar:
    """log(exp(x) + exp(y)) without overflow."""
    if isinstance(x, Complex) and isinstance(y, Complex):
        return _complex_log_add_exp(b, dtype, x, y)
    ops = b.floats(dtype)
    difference = ops.abs(ops.sub(x, y))
    # Equal infinities differ by NaN, but are as far apart as equal numbers: not at all.
    difference = ops.select(ops.eq(x, y), ops.c(0.0), difference)
    near = _unary(b, "exp", dtype, ops.neg(difference))
    return ops.add(ops.max(x, y), _unary(b, "log1p", dtype, near))


def _complex_log_add_exp(b: ScalarBuilder, dtype: Any, x: Complex, y: Complex) -> Scalar:
    ops = b.floats(np.dtype(f"f{dtype.itemsize // 2}"))
    scale = ops.max(x.re, y.re)
    scale = ops.select(ops.lt(ops.abs(scale), float("inf")), scale, 0.0)
    terms = [_unary(b, "exp", dtype, Complex(ops.sub(z.re, scale), z.im)) for z in (x, y)]
    total = Complex(ops.add(terms[0].re, terms[1].re), ops.add(terms[0].im, terms[1].im))
    result = _unary(b, "log", dtype, total)
    return Complex(ops.add(result.re, scale), result.im)


def _unary(b: ScalarBuilder, name: str, dtype: Any, value: Scalar) -> Any:
    """One of the op book's functions of a scalar."""
    aval = scalar_aval(dtype)
    with b.nest():  # a scalar is computed before the loops of its nest
        return apply(name, [Scalars(aval, value)], {"accuracy": None}, [aval])[0].at(b, ())
