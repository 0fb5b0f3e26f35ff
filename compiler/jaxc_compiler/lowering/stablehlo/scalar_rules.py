"""Elementwise ops by their scalar rules, evaluated on whole arrays.

`lowering/element` says what one element of a result is, in arith and math ops. Here the same rules
run with a builder whose scalars are arrays: every arith or math op becomes the StableHLO op on all
elements at once. That covers what StableHLO has no op for: erf, lgamma, complex functions, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.lowering.element.base import Complex, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.scopes import Loop
from jaxc_compiler.lowering.element.types import is_complex
from jaxc_compiler.lowering.element.values import ELEMENT, POINTWISE, Scalars, apply
from jaxc_compiler.lowering.stablehlo.base import (
    FALLBACKS,
    Emitter,
    attribute,
    aval_of,
    integers,
    kind_of,
    out_aval,
)
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray

SAME = {
    "arith.addf": "add", "arith.subf": "subtract", "arith.mulf": "multiply",
    "arith.divf": "divide", "arith.remf": "remainder", "arith.negf": "negate",
    "arith.maximumf": "maximum", "arith.minimumf": "minimum",
    "arith.addi": "add", "arith.subi": "subtract", "arith.muli": "multiply",
    "arith.divsi": "divide", "arith.remsi": "remainder", "arith.andi": "and",
    "arith.ori": "or", "arith.xori": "xor", "arith.shli": "shift_left",
    "arith.shrui": "shift_right_logical", "arith.shrsi": "shift_right_arithmetic",
    "arith.maxsi": "maximum", "arith.minsi": "minimum",
    "math.absf": "abs", "math.absi": "abs", "math.sqrt": "sqrt", "math.floor": "floor",
    "math.ceil": "ceil", "math.roundeven": "round_nearest_even", "math.ctpop": "popcnt",
    "math.ctlz": "count_leading_zeros", "math.exp": "exponential", "math.log": "log",
    "math.expm1": "exponential_minus_one", "math.log1p": "log_plus_one", "math.sin": "sine",
    "math.cos": "cosine", "math.tan": "tan", "math.tanh": "tanh", "math.powf": "power",
    "math.rsqrt": "rsqrt", "math.atan2": "atan2", "math.cbrt": "cbrt",
}  # fmt: skip
UNSIGNED = {
    "arith.divui": "divide", "arith.remui": "remainder", "arith.maxui": "maximum",
    "arith.minui": "minimum",
}  # fmt: skip
CASTS = frozenset(
    {
        "arith.extf",
        "arith.truncf",
        "arith.extsi",
        "arith.sitofp",
        "arith.fptosi",
        "arith.index_cast",
    }
)
_INTEGER = ("EQ", "NE", "LT", "LE", "GT", "GE", "LT", "LE", "GT", "GE")  # from 6 on unsigned
_FLOAT = {1: "EQ", 2: "GT", 3: "GE", 4: "LT", 5: "LE", 13: "NE"}


class ArrayBuilder(ScalarBuilder):
    """A `ScalarBuilder` whose values are StableHLO arrays of one shape, integers signless."""

    def __init__(self, e: Emitter, shape: tuple[int, ...]):
        super().__init__(e.ip, e.ip.block, relaxed=True, tensors=True)
        self.e, self.shape = e, shape
        self.index_type = self.type("i64")

    def aval(self, type_: ir.Type) -> ShapedArray:
        element = type_.element_type if isinstance(type_, ir.RankedTensorType) else type_
        return ShapedArray(self.shape, mlir.dtype_of(element))

    def number(self, type_: ir.Type, value: Any) -> ir.Value:
        return self.e.full(self.aval(type_), value)

    def int_constant(self, type_: ir.Type, bits: int, value: int) -> ir.Value:
        signed = ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))
        return self.number(type_, bool(value & 1) if bits == 1 else signed)

    def float_constant(self, type_: ir.Type, name: str, value: float) -> ir.Value:
        return self.number(type_, value)

    def rounded(self, m: Any, x: ir.Value) -> ir.Value:
        """XLA would make (x + y) - x, of which the element rules want the rounding, y."""
        return self.e.op("optimization_barrier", [x.type], [x]).result

    def index(self, value: Any) -> ir.Value:
        return self.number(self.index_type, value) if isinstance(value, int) else value

    def table(self, key: str, values: np.ndarray) -> Callable:
        """A gather for each element's own place."""
        table = self.e.constant(values)
        result = ShapedArray(self.shape, values.dtype)
        numbers = attribute(
            "#stablehlo.gather<collapsed_slice_dims = [0], start_index_map = [0], "
            f"index_vector_dim = {len(self.shape)}>"
        )

        def load(index: Any) -> ir.Value:
            e, index = self.e, self.index(index)
            bounds = [e.full_like(index, n) for n in (0, len(values) - 1)]
            index = e.op("clamp", [index.type], [bounds[0], index, bounds[1]]).result
            index = e.reshape(index, (*self.shape, 1))
            return e.one(
                "gather", result, table, index, dimension_numbers=numbers,
                slice_sizes=integers([1]), indices_are_sorted=ir.BoolAttr.get(False),
            )  # fmt: skip

        return load

    @contextmanager
    def for_(
        self, lower: Any, upper: Any, step: Any = 1, inits: Sequence[ir.Value] = ()
    ) -> Iterator[Loop]:
        """A counted loop; its bounds must be static and its index unused."""
        if not isinstance(lower, int) or not isinstance(upper, int):
            raise NotImplementedError("a loop of another length for each element")
        e = self.e
        counter = e.constant(np.int32(lower))
        types = [v.type for v in (counter, *inits)]
        op = e.op("while", types, [counter, *inits], 2)
        limit = np.int32(upper)
        e.body(op.regions[0], types, lambda i, *_: [e.compare(i, e.constant(limit), "LT")])
        block = op.regions[1].blocks.append(*types)
        index, *state = block.arguments
        loop = Loop(op, index, state)
        with self.nest(), e.at(block):
            yield loop
            following = e.same("add", index, e.constant(np.int32(step)))
            e.op("return", [], [following, *loop.yields])
        loop.results = list(op.results)[1:]

    def op(
        self, name: str, result: ir.Type, operands: Sequence[ir.Value], attributes: Any = None
    ) -> ir.Value:
        """The StableHLO op on arrays that an op on scalars stands for."""
        e, x = self.e, operands[0] if operands else None
        aval = self.aval(result)
        if name in SAME:
            return e.same(SAME[name], *operands)
        if name in UNSIGNED:
            words = [_unsigned(e, v) for v in operands]
            return e.bitcast(e.same(UNSIGNED[name], *words), aval.dtype)
        if name == "arith.select":
            return e.select(*operands)
        if name == "arith.bitcast":
            return e.bitcast(x, aval.dtype)
        if name in CASTS:
            if aval_of(x).dtype == np.bool_ and name == "arith.extsi":
                return e.same("negate", e.convert(x, aval.dtype))
            return e.convert(x, aval.dtype)
        if name in ("arith.extui", "arith.uitofp", "arith.index_castui"):
            return e.bitcast(e.convert(_unsigned(e, x), _unsigned_of(aval.dtype)), aval.dtype)
        if name == "arith.trunci":
            return self._truncate(x, aval)
        if name == "math.fma":
            return e.same("add", e.same("multiply", x, operands[1]), operands[2])
        if name == "math.copysign":
            return self._copysign(*operands)
        raise NotImplementedError(name)

    def _truncate(self, x: ir.Value, aval: ShapedArray) -> ir.Value:
        """The low bits."""
        if aval.dtype == np.bool_:
            odd = self.e.same("and", x, self.e.full_like(x, 1))
            return self.e.compare(odd, self.e.full_like(x, 0), "NE")
        unsigned = self.e.convert(_unsigned(self.e, x), _unsigned_of(aval.dtype))
        return self.e.bitcast(unsigned, aval.dtype)

    def _copysign(self, magnitude: ir.Value, sign: ir.Value) -> ir.Value:
        e, dtype = self.e, aval_of(sign).dtype
        whole = np.dtype(f"i{dtype.itemsize}")
        top = e.compare(e.bitcast(sign, whole), e.full(ShapedArray(self.shape, whole), 0), "LT")
        size = e.same("abs", magnitude)
        return e.select(top, e.same("negate", size), size)

    def compare(self, name: str, predicate: int, x: ir.Value, y: ir.Value) -> ir.Value:
        """`arith.cmpi` or `arith.cmpf` with a numeric predicate."""
        e = self.e
        if name == "arith.cmpi":
            if predicate >= 6:
                x, y = _unsigned(e, x), _unsigned(e, y)
            return e.compare(x, y, _INTEGER[predicate])
        if predicate in _FLOAT:
            return e.compare(x, y, _FLOAT[predicate])
        if predicate == 14:  # unordered
            return e.same("or", e.compare(x, x, "NE"), e.compare(y, y, "NE"))
        raise NotImplementedError(f"arith.cmpf {predicate}")

    def if_(
        self, condition: Any, then: Callable, otherwise: Callable, dtype: Any
    ) -> Scalar:  # fmt: skip
        """Both branches, and a choice for each element."""
        if isinstance(condition, bool):
            return then() if condition else otherwise()
        return self.select(condition, then(), otherwise())

    def while_(self, inits: Sequence, condition: Callable, body: Callable) -> list[ir.Value]:
        """Runs as long as the condition holds of any element; the others stay."""
        e = self.e
        types = [v.type for v in inits]
        loop = e.op("while", types, list(inits), 2)
        false = lambda: e.constant(np.array(False))  # noqa: E731

        def going(*state: ir.Value) -> list[ir.Value]:
            axes = range(len(self.shape))
            more = condition(list(state))
            return e.reduce([more], [false()], axes, lambda a, b: [e.same("or", a, b)])

        def step(*state: ir.Value) -> list[ir.Value]:
            more = condition(list(state))
            return [e.select(more, new, old) for new, old in zip(body(list(state)), state)]

        with self.nest():
            e.body(loop.regions[0], types, going)
        with self.nest():
            e.body(loop.regions[1], types, step)
        return list(loop.results)


def _unsigned_of(dtype: Any) -> Any:
    return np.dtype(f"u{dtype.name}") if kind_of(dtype) == "i" else dtype


def _unsigned(e: Emitter, x: ir.Value) -> ir.Value:
    """Signless integers as unsigned ones; booleans stay."""
    return e.bitcast(x, _unsigned_of(aval_of(x).dtype))


def _signless(e: Emitter, x: ir.Value) -> ir.Value:
    dtype = aval_of(x).dtype
    return e.bitcast(x, np.dtype(dtype.name[1:])) if kind_of(dtype) == "u" else x


def lower_by_scalar_rule(e: Emitter, op: Any, name: str, operands: list, params: dict) -> Any:
    """A pointwise op by its element rule; None for an op without one."""
    if name not in POINTWISE or name not in ELEMENT:
        return None
    aval = out_aval(op)
    b = ArrayBuilder(e, aval.shape)
    arrays = []
    for x in operands:
        scalar = aval_of(x).update(shape=())
        arrays.append(Scalars(scalar, _load(b, e.broadcast(x, aval.shape))))
    try:
        results = apply(name, arrays, params, [aval.update(shape=())])
        return [_store(b, results[0].at(b, ()), aval)]
    except NotImplementedError as error:
        raise e.error(
            f"lax.{name} of {aval.str_short()} has no StableHLO lowering ({error})"
        ) from None


def _load(b: ArrayBuilder, x: ir.Value) -> Scalar:
    dtype = aval_of(x).dtype
    if not is_complex(dtype):
        return _signless(b.e, x)
    part = ShapedArray(b.shape, np.dtype(f"f{dtype.itemsize // 2}"))
    return Complex(b.e.one("real", part, x), b.e.one("imag", part, x))


def _store(b: ArrayBuilder, value: Scalar, aval: ShapedArray) -> ir.Value:
    if isinstance(value, Complex):
        return b.e.one("complex", aval, *value)
    return b.e.bitcast(value, aval.dtype)


FALLBACKS.append(lower_by_scalar_rule)
