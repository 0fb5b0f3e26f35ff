"""What every StableHLO lowering uses: the registry, and the emitter of ops on whole arrays.

Owns `LOWERINGS`, `Emitter` and `lower_block`. A family's module registers its functions:

    @lowers("reduce_sum")
    def lower_reduce_sum(e, op, operands, **params):
        return [...]   # one value per result

Values have the types of the `lax` dialect: StableHLO knows signedness, booleans and complex
numbers. Imports `mlir`, the dialects and the op book.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.diagnostics import error_at
from jaxc_compiler.dialects import lax
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray
from jaxc_compiler.opset.op import OPS

STAGE = "stablehlo"
Lowering = Callable[..., Sequence[ir.Value]]
LOWERINGS: dict[str, Lowering] = {}
FALLBACKS: list[Callable[..., Sequence[ir.Value] | None]] = []  # tried in order for other ops
# Ops that never get here from a program that can run, and why.
_AXIS = "it names an axis of vmap, which replaces it, or of a mesh of several devices"
MISSING: dict[str, str] = {
    **dict.fromkeys(("psum", "pmax", "pmin", "ppermute", "all_gather", "axis_index"), _AXIS),
    "mlir_kernel": "its text is of linalg, which XLA does not read",
    "custom_lin": "it only exists while a function with a custom rule is linearized",
}
_NAMED: set[str] = set()  # ops whose function wants to know which of several it lowers


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Register a function as the StableHLO lowering of ops."""

    def register(function: Lowering) -> Lowering:
        for name in names:
            LOWERINGS[name] = function
        if "name" in inspect.signature(function).parameters:
            _NAMED.update(names)
        return function

    return register


def aval_of(value: ir.Value) -> ShapedArray:
    return mlir.aval_of(value.type)


def kind_of(dtype: Any) -> str:
    """One letter: f float (of any width), i signed, u unsigned, b bool, c complex."""
    name = dtype.name
    if name.startswith(("bfloat", "float")):
        return "f"
    return "u" if name.startswith("uint") else "i" if name.startswith("int") else dtype.kind


def attribute(text: str) -> ir.Attribute:
    """An attribute in StableHLO's own spelling."""
    return ir.Attribute.parse(text)


def integers(values: Sequence[int]) -> ir.Attribute:
    return ir.DenseI64ArrayAttr.get([int(v) for v in values])


def pairs(values: Sequence[Sequence[int]]) -> ir.Attribute:
    """(low, high) for each dimension, as convolutions and windows are padded."""
    array = np.array([list(v) for v in values], np.int64).reshape(len(values), 2)
    return mlir.dense(array)


def integer(value: int) -> ir.Attribute:
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)


class Emitter:
    """Emits StableHLO ops at one insertion point.

    Attributes:
      ip: where ops are put; `at` moves it.
      loc: the location new ops get: that of the op being lowered.
    """

    def __init__(self, ip: Any):
        self.ip = ip
        self.loc: Any = None

    @contextmanager
    def at(self, block: ir.Block) -> Iterator[None]:
        """Emit at the end of a block."""
        before, self.ip = self.ip, ir.InsertionPoint(block)
        try:
            yield
        finally:
            self.ip = before

    def op(
        self,
        name: str,
        results: Sequence[ShapedArray | ir.Type],
        operands: Sequence[ir.Value],
        regions: int = 0,
        **attributes: Any,
    ) -> ir.Operation:
        """Any StableHLO op; results are avals or types, attributes are MLIR attributes."""
        types = [r if isinstance(r, ir.Type) else mlir.tensor_type(r) for r in results]
        return mlir.create(
            f"stablehlo.{name}", types, list(operands), attributes, regions,
            ip=self.ip, loc=self.loc,
        )  # fmt: skip

    def one(self, name: str, aval: Any, *operands: ir.Value, **attributes: Any) -> ir.Value:
        """An op with one result."""
        return self.op(name, [aval], operands, **attributes).result

    def same(self, name: str, *operands: ir.Value) -> ir.Value:
        """An op whose result has the type of its first operand."""
        return self.op(name, [operands[0].type], operands).result

    def error(self, message: str) -> Exception:
        """A CompileError at the op being lowered."""
        return error_at(STAGE, self.loc, message)

    # -- constants and shapes --------------------------------------------------------------------

    def constant(self, value: Any) -> ir.Value:
        """A constant array."""
        value = np.asarray(value)
        if value.dtype.kind == "c":
            part = np.dtype(f"f{value.dtype.itemsize // 2}")
            real, imag = (self.constant(v.astype(part)) for v in (value.real, value.imag))
            return self.one("complex", ShapedArray(value.shape, value.dtype), real, imag)
        attr = mlir.dense(value)
        return self.one("constant", attr.type, value=attr)

    def full(self, aval: ShapedArray, number: Any) -> ir.Value:
        """One value everywhere."""
        scalar = np.asarray(number).astype(aval.dtype)
        if aval.dtype.kind == "c":
            return self.broadcast(self.constant(scalar), aval.shape)
        return self.constant(np.broadcast_to(scalar, aval.shape))

    def full_like(self, value: ir.Value, number: Any) -> ir.Value:
        return self.full(aval_of(value), number)

    def broadcast(
        self, value: ir.Value, shape: Sequence[int], dims: Sequence[int] | None = None
    ) -> ir.Value:
        """The array along new dimensions; `dims` default to the last ones."""
        aval = aval_of(value)
        if aval.shape == tuple(shape):
            return value
        dims = range(len(shape) - aval.ndim, len(shape)) if dims is None else dims
        result = ShapedArray(tuple(shape), aval.dtype)
        return self.one("broadcast_in_dim", result, value, broadcast_dimensions=integers(dims))

    def reshape(self, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        aval = aval_of(value)
        if aval.shape == tuple(shape):
            return value
        return self.one("reshape", ShapedArray(tuple(shape), aval.dtype), value)

    def iota(self, aval: ShapedArray, dim: int) -> ir.Value:
        return self.one("iota", aval, iota_dimension=integer(dim))

    def slice(
        self, value: ir.Value, starts: Sequence[int], limits: Sequence[int], steps: Any = None
    ) -> ir.Value:
        """A static part of an array."""
        steps = steps or [1] * len(starts)
        shape = tuple(-(-(b - a) // s) for a, b, s in zip(starts, limits, steps))
        return self.one(
            "slice", ShapedArray(shape, aval_of(value).dtype), value,
            start_indices=integers(starts), limit_indices=integers(limits),
            strides=integers(steps),
        )  # fmt: skip

    def concatenate(self, values: Sequence[ir.Value], dim: int) -> ir.Value:
        avals = [aval_of(v) for v in values]
        shape = list(avals[0].shape)
        shape[dim] = sum(a.shape[dim] for a in avals)
        result = ShapedArray(tuple(shape), avals[0].dtype)
        return self.one("concatenate", result, *values, dimension=integer(dim))

    def pad(self, value: ir.Value, fill: ir.Value, config: Sequence[Any]) -> ir.Value:
        """Pads by (low, high, interior) in each dimension; negative ones cut."""
        aval = aval_of(value)
        shape = tuple(
            low + high + size + max(size - 1, 0) * inner
            for size, (low, high, inner) in zip(aval.shape, config)
        )
        low, high, inner = (integers([c[k] for c in config]) for k in range(3))
        return self.one(
            "pad", ShapedArray(shape, aval.dtype), value, fill,
            edge_padding_low=low, edge_padding_high=high, interior_padding=inner,
        )  # fmt: skip

    # -- elementwise -----------------------------------------------------------------------------

    def compare(self, x: ir.Value, y: ir.Value, direction: str, total: bool = False) -> ir.Value:
        """EQ, NE, LT, LE, GT or GE; `total` is IEEE's total order of floats."""
        attributes = {
            "comparison_direction": attribute(f"#stablehlo<comparison_direction {direction}>")
        }
        if total:
            attributes["compare_type"] = attribute("#stablehlo<comparison_type TOTALORDER>")
        return self.one(
            "compare", ShapedArray(aval_of(x).shape, np.dtype(bool)), x, y, **attributes
        )

    def select(self, condition: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.op("select", [x.type], [condition, x, y]).result

    def convert(self, value: ir.Value, dtype: Any) -> ir.Value:
        """StableHLO's own conversion: `elementwise.convert` gives out-of-range floats a value."""
        aval = aval_of(value)
        if aval.dtype == dtype:
            return value
        return self.one("convert", ShapedArray(aval.shape, np.dtype(dtype)), value)

    def bitcast(self, value: ir.Value, dtype: Any) -> ir.Value:
        """The same bits under a type of the same width."""
        aval = aval_of(value)
        if aval.dtype == dtype:
            return value
        return self.one("bitcast_convert", ShapedArray(aval.shape, np.dtype(dtype)), value)

    # -- regions ---------------------------------------------------------------------------------

    def body(self, region: ir.Region, types: Sequence[ir.Type], emit: Callable) -> None:
        """Fill a region: `emit(*arguments)` gives the values it returns."""
        block = region.blocks.append(*types)
        with self.at(block):
            self.op("return", [], emit(*block.arguments))

    def inline(self, block: ir.Block, arguments: Sequence[ir.Value]) -> list[ir.Value]:
        """Lower a `lax` region's ops here; returns what it yields."""
        before = self.loc
        results = lower_block(self, block, arguments)
        self.loc = before
        return results

    def reduce(
        self, values: Sequence[ir.Value], inits: Sequence[ir.Value], axes: Any, emit: Callable
    ) -> list[ir.Value]:
        """Folds over axes; `emit(*accumulators, *elements)` combines scalars."""
        shape = tuple(s for d, s in enumerate(aval_of(values[0]).shape) if d not in axes)
        results = [ShapedArray(shape, aval_of(v).dtype) for v in values]
        op = self.op("reduce", results, [*values, *inits], 1, dimensions=integers(axes))
        types = [mlir.tensor_type(ShapedArray((), aval_of(v).dtype)) for v in values]
        self.body(op.regions[0], [*types, *types], emit)
        return list(op.results)


def lower_block(e: Emitter, block: ir.Block, arguments: Sequence[ir.Value]) -> list[ir.Value]:
    """Emit a block of `lax` ops on `arguments`; returns the operands of its terminator."""
    values = dict(zip(block.arguments, arguments, strict=True))
    for op in (op.operation for op in block.operations):
        operands = [values[operand] for operand in op.operands]
        name = lax.name_of(op)
        if op.name == "func.return" or name == "yield":
            return operands
        e.loc = op.location
        results = _lower_op(e, op, name, operands)
        for old, new in zip(op.results, results, strict=True):
            if new.type != old.type:
                raise e.error(f"lax.{name} was lowered to {new.type}, expected {old.type}")
            values[old] = new
    raise ValueError("the block does not end in a return or a yield")


def _lower_op(e: Emitter, op: Any, name: str, operands: list[ir.Value]) -> Sequence[ir.Value]:
    if not name:
        raise e.error(f"{op.name} has no StableHLO lowering")
    if name == "constant":
        return [e.constant(mlir.constant_array(op.attributes["value"]))]
    if any(isinstance(mlir.aval_of(v.type).dtype, KeyDtype) for v in (*operands, *op.results)):
        raise e.error(f"lax.{name} on typed random keys has no StableHLO lowering")
    params = lax.params_of(op)
    if OPS[name].kind == "elementwise" and name not in _OWN_SHAPES:
        operands = _broadcast(e, name, operands, mlir.aval_of(op.results[0].type).shape)
    if name in LOWERINGS:
        if name in _NAMED:
            params["name"] = name
        return LOWERINGS[name](e, op, operands, **params)
    for fallback in FALLBACKS:
        results = fallback(e, op, name, operands, params)
        if results is not None:
            return results
    reason = f": {MISSING[name]}" if name in MISSING else ""
    raise e.error(f"lax.{name} has no StableHLO lowering{reason}")


_OWN_SHAPES = frozenset({"bitcast_convert_type", "optimization_barrier"})


def _broadcast(e: Emitter, name: str, operands: list, shape: tuple[int, ...]) -> list[ir.Value]:
    """Operands in the result's shape: passes leave 0-d ones and dimensions of 1 to be repeated."""
    first = operands[0]
    wide = [e.broadcast(v, shape) for v in operands]
    keep_scalar = name == "select_n" and not first.type.shape  # a choice for the whole array
    return [first, *wide[1:]] if keep_scalar else wide


def out_aval(op: ir.Operation, number: int = 0) -> ShapedArray:
    """The aval of a result of the `lax` op."""
    return mlir.aval_of(op.results[number].type)
