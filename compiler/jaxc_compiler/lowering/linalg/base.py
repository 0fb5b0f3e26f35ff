"""What every linalg lowering uses: the registry, whole-array values, and `linalg.generic`.

Owns `LOWERINGS`, `Emitter` and `lower_block`. A family's module registers its functions:

    @lowers("reduce_sum")
    def lower_reduce_sum(e, op, operands, avals, out_avals, **params):
        return [...]   # tensors of storage types, as the operands are

An op with an element rule needs no function here: its rule becomes the body of a generic. Imports
`mlir`, the dialects and `lowering.element`.
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
from jaxc_compiler.lowering.element.base import ScalarBuilder
from jaxc_compiler.lowering.element.values import (
    ELEMENT,
    PER_RESULT,
    POINTWISE,
    Memory,
    Scalars,
    apply,
)
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.op import OPS

Lowering = Callable[..., Sequence[ir.Value]]

LOWERINGS: dict[str, Lowering] = {}
_NAMED: set[str] = set()  # ops whose function wants to know which of several it lowers
CAST = "builtin.unrealized_conversion_cast"


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Register a function as the linalg lowering of ops."""

    def register(function: Lowering) -> Lowering:
        for name in names:
            LOWERINGS[name] = function
        if "name" in inspect.signature(function).parameters:
            _NAMED.update(names)
        return function

    return register


class Emitter:
    """Emits ops on whole arrays at one insertion point.

    Attributes:
      ip: where ops are put; `at` moves it.
      loc: the location new ops get: that of the op being lowered.
      on_gpu: whether it is for a GPU, where floats are relaxed (see `ScalarBuilder`).
    """

    def __init__(self, ip: Any, on_gpu: bool = False):
        self.ip = ip
        self.loc: Any = None
        self.on_gpu = on_gpu
        self.complex_constants: dict[ir.Value, np.ndarray] = {}

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
        results: list[ir.Type],
        operands: Sequence[ir.Value],
        regions: int = 0,
        **attributes: Any,
    ) -> ir.Operation:
        """Any op; attributes are MLIR attributes."""
        return mlir.create(
            name, results, list(operands), attributes, regions=regions, ip=self.ip, loc=self.loc
        )

    def builder(self, block: ir.Block) -> ScalarBuilder:
        """A scalar builder for the body of an op on arrays."""
        ip = ir.InsertionPoint(block)
        return ScalarBuilder(ip, block, relaxed=self.on_gpu, tensors=True)

    def index(self, value: int) -> ir.Value:
        index = ir.IndexType.get()
        attribute = ir.IntegerAttr.get(index, value)
        return self.op("arith.constant", [index], [], value=attribute).result

    def empty(self, aval: ShapedArray) -> ir.Value:
        """An array whose elements are not defined yet."""
        return self.op("tensor.empty", [storage(aval)], []).result

    def full(self, aval: ShapedArray, number: Any) -> ir.Value:
        """An array with one value everywhere."""
        value = np.broadcast_to(np.asarray(number, aval.dtype), aval.shape)
        return self.constant(value)

    def constant(self, value: np.ndarray) -> ir.Value:
        """A constant array."""
        attribute = mlir.dense(_as_signed(value))
        result = self.op("arith.constant", [attribute.type], [], value=attribute).result
        if value.dtype.kind == "c":
            self.complex_constants[result] = value
        return result

    def stored(self, value: ir.Value) -> ir.Value:
        """A value of a `lax` type under its storage type."""
        return _cast(self, value, mlir.storage_type(value.type))

    def as_type(self, value: ir.Value, lax_type: ir.Type) -> ir.Value:
        """A value of a storage type under its `lax` type."""
        return _cast(self, value, lax_type)

    def converted(self, value: ir.Value, old: ShapedArray, new: ShapedArray) -> ir.Value:
        """The array as another dtype."""
        if old.dtype == new.dtype:
            return value
        params = {"new_dtype": new.dtype, "weak_type": False, "sharding": None}
        return lower_element_op(self, "convert_element_type", [value], [old], [new], params)[0]

    def elements(self, aval: ShapedArray, element: Callable[..., Any]) -> ir.Value:
        """An array of `element(b, index)`, where index are the SSA values of its position."""
        rank = aval.ndim

        def body(b: ScalarBuilder, outs: list[ir.Value]) -> list[ir.Value]:
            return [b.to_memory(aval.dtype, element(b, loop_indices(b, rank)), outs[0].type)]

        identity = ir.AffineMap.get_identity(rank)
        return self.generic([self.empty(aval)], [], [identity], ["parallel"] * rank, body)[0]

    def lax(self, name: str, *arrays: tuple[ir.Value, ShapedArray], **params: Any) -> tuple:
        """A `lax` op with one result, lowered at once; arrays are (value, aval)."""
        operands, avals = [a[0] for a in arrays], [a[1] for a in arrays]
        out_aval = OPS[name].infer(*avals, **params)
        return lower_op(self, name, None, operands, avals, [out_aval], params)[0], out_aval

    def padded(
        self, value: ir.Value, aval: ShapedArray, extra: Sequence[int], number: Any
    ) -> ir.Value:
        """The array with `extra` more elements, all `number`, at the end of each dimension."""
        if not any(extra):
            return value
        scalar = ShapedArray((), aval.dtype)
        config = tuple((0, count, 0) for count in extra)
        fill = self.full(scalar, number), scalar
        return self.lax("pad", (value, aval), fill, padding_config=config)[0]

    def slice(
        self, value: ir.Value, aval: ShapedArray, starts: list[Any], steps: list[int] | None = None
    ) -> ir.Value:
        """A static-size part of an array; starts are ints or index values.

        If `aval` has fewer dimensions than the array, the first ones are dropped (size 1).
        """
        rank = len(value.type.shape)
        sizes = [1] * (rank - aval.ndim) + list(aval.shape)
        return self.op(
            "tensor.extract_slice", [storage(aval)], [value, *_dynamic(starts)],
            **_window(starts, sizes, steps or [1] * rank, 1),
        ).result  # fmt: skip

    def insert(self, value: ir.Value, into: ir.Value, starts: list[Any]) -> ir.Value:
        """An array with one part replaced; starts are ints or index values."""
        rank = len(into.type.shape)
        shape = list(value.type.shape)
        sizes = [1] * (rank - len(shape)) + shape
        return self.op(
            "tensor.insert_slice", [into.type], [value, into, *_dynamic(starts)],
            **_window(starts, sizes, [1] * rank, 2),
        ).result  # fmt: skip

    def scalar(self, value: ir.Value) -> ir.Value:
        """The element of a 0-d array."""
        return self.op("tensor.extract", [value.type.element_type], [value]).result

    def array0(self, value: ir.Value) -> ir.Value:
        """A scalar as a 0-d array."""
        result = mlir.ranked_tensor([], value.type)
        return self.op("tensor.from_elements", [result], [value]).result

    def generic(
        self,
        outs: Sequence[ir.Value],
        ins: Sequence[ir.Value],
        maps: Sequence[ir.AffineMap],
        iterators: Sequence[str],
        body: Callable[[ScalarBuilder, list[ir.Value]], Sequence[ir.Value]],
    ) -> list[ir.Value]:
        """A `linalg.generic`; `body` gets the elements of ins and outs and returns the new outs."""
        if "reduction" in iterators and any(map(_is_complex, outs)):
            return self._generic_by_parts(outs, ins, maps, iterators, body)
        kinds = [ir.Attribute.parse(f"#linalg.iterator_type<{kind}>") for kind in iterators]
        op = self.op(
            "linalg.generic", [v.type for v in outs], [*ins, *outs], regions=1,
            indexing_maps=ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps]),
            iterator_types=ir.ArrayAttr.get(kinds),
            operandSegmentSizes=ir.DenseI32ArrayAttr.get([len(ins), len(outs)]),
        )  # fmt: skip
        block = op.regions[0].blocks.append(*[v.type.element_type for v in [*ins, *outs]])
        builder = self.builder(block)
        with self.loc or ir.Location.unknown():
            yielded = body(builder, list(block.arguments))
            builder.effect("linalg.yield", list(yielded))
        return list(op.results)

    def _generic_by_parts(
        self, outs: Sequence[ir.Value], ins: Sequence[ir.Value], maps: Sequence[ir.AffineMap],
        iterators: Sequence[str], body: Callable[..., Sequence[ir.Value]],
    ) -> list[ir.Value]:  # fmt: skip
        """Real and imaginary parts as arrays: a reduction of complex ones crashes IREE."""
        values = [*ins, *outs]
        arrays = [self.parts(v) if _is_complex(v) else [v] for v in values]
        part_maps = [m for m, parts in zip(maps, arrays) for _ in parts]

        def on_parts(b: ScalarBuilder, elements: list[ir.Value]) -> list[ir.Value]:
            rest = iter(elements)
            whole = [
                b.op("complex.create", v.type.element_type, [next(rest), next(rest)])
                if _is_complex(v)
                else next(rest)
                for v in values
            ]
            results = zip(outs, body(b, whole))
            return [p for out, r in results for p in (_parts_of(b, r) if _is_complex(out) else [r])]

        flat_ins = [p for parts in arrays[: len(ins)] for p in parts]
        flat_outs = [p for parts in arrays[len(ins) :] for p in parts]
        reduced = self.generic(flat_outs, flat_ins, part_maps, iterators, on_parts)
        results = iter([self.alone(value) for value in reduced])
        return [
            self.whole(next(results), next(results), out) if _is_complex(out) else next(results)
            for out in outs
        ]

    def alone(self, value: ir.Value) -> ir.Value:
        """A value that is not computed in one dispatch with what reads it.

        Where IREE gives a reduction's elements to threads, it crashes, or does not compile, on
        complex numbers and on computed places in what is fused to it.
        """
        return self.op("util.optimization_barrier", [value.type], [value]).result

    def parts(self, value: ir.Value) -> list[ir.Value]:
        """The real and the imaginary parts of an array.

        Of a constant they are constants: two reductions that begin with one computed array would
        both be added to it.
        """
        if value in self.complex_constants:
            whole = self.complex_constants[value]
            return [self.constant(part.copy()) for part in (whole.real, whole.imag)]
        part = _parts_type(value.type)
        return [
            self._map(part, [value], lambda b, v, k=k: [_parts_of(b, v[0])[k]]) for k in range(2)
        ]

    def whole(self, re: ir.Value, im: ir.Value, like: ir.Value) -> ir.Value:
        """The complex array of two real ones."""
        element = like.type.element_type
        return self._map(like.type, [re, im], lambda b, v: [b.op("complex.create", element, v[:2])])

    def _map(self, type_: ir.Type, ins: list[ir.Value], body: Callable) -> ir.Value:
        rank = len(type_.shape)
        outs = [self.op("tensor.empty", [type_], []).result]
        maps = [ir.AffineMap.get_identity(rank)] * (len(ins) + 1)
        return self.generic(outs, ins, maps, ["parallel"] * rank, body)[0]


def _is_complex(value: ir.Value) -> bool:
    return isinstance(value.type.element_type, ir.ComplexType)


def _parts_type(type_: ir.Type) -> ir.Type:
    part = ir.ComplexType(type_.element_type).element_type
    return mlir.ranked_tensor(list(type_.shape), part)


def _parts_of(b: ScalarBuilder, value: ir.Value) -> list[ir.Value]:
    part = ir.ComplexType(value.type).element_type
    return [b.op(name, part, [value]) for name in ("complex.re", "complex.im")]


_DYNAMIC = -(2**63)


def _dynamic(starts: list[Any]) -> list[ir.Value]:
    return [start for start in starts if not isinstance(start, int)]


def _window(starts: list[Any], sizes: list[int], steps: list[int], values: int) -> dict:
    static = [start if isinstance(start, int) else _DYNAMIC for start in starts]
    segments = [1] * values + [len(_dynamic(starts)), 0, 0]
    arrays = {"static_offsets": static, "static_sizes": sizes, "static_strides": steps}
    attributes = {name: ir.DenseI64ArrayAttr.get(array) for name, array in arrays.items()}
    return attributes | {"operandSegmentSizes": ir.DenseI32ArrayAttr.get(segments)}


def loop_indices(b: ScalarBuilder, rank: int) -> tuple[ir.Value, ...]:
    """The position of the element that a generic's body computes."""
    return tuple(
        b.op("linalg.index", b.index_type, [], {"dim": ir.IntegerAttr.get(_i64(), d)})
        for d in range(rank)
    )


def storage(aval: ShapedArray) -> ir.Type:
    """The tensor type an array has here."""
    return mlir.storage_type(mlir.tensor_type(aval))


def _as_signed(value: np.ndarray) -> np.ndarray:
    value = np.asarray(value)
    return value.view(f"i{value.itemsize}") if value.dtype.kind == "u" else value


# -- ops with an element rule ----------------------------------------------------------------------


def lower_element_op(
    e: Emitter,
    name: str,
    operands: Sequence[Any],
    avals: Sequence[ShapedArray],
    out_avals: Sequence[ShapedArray],
    params: dict[str, Any],
) -> list[ir.Value]:
    """A generic whose body is the op's element rule, one for all results of a shape.

    Pointwise ops read their operands through indexing maps, which IREE fuses and vectorizes;
    others address them from inside the body.
    """
    if name in PER_RESULT:
        numbers = [[number] for number in range(len(out_avals))]
    else:
        numbers = [list(range(len(out_avals)))]
    results = []
    for chosen in numbers:
        results += _element_generic(e, name, operands, avals, out_avals, chosen, params)
    return results


def _element_generic(
    e: Emitter,
    name: str,
    operands: Sequence[Any],
    avals: Sequence[ShapedArray],
    all_avals: Sequence[ShapedArray],
    chosen: list[int],
    params: dict[str, Any],
) -> list[ir.Value]:
    out_avals = [all_avals[number] for number in chosen]
    shape = out_avals[0].shape
    rank = len(shape)
    identity = ir.AffineMap.get_identity(rank)
    direct = name in POINTWISE

    def body(b: ScalarBuilder, elements: list[ir.Value]) -> list[ir.Value]:
        index = loop_indices(b, 0 if direct else rank)
        if direct:
            arrays = [_element(b, a, v) for a, v in zip(avals, elements)]
            index = (0,) * rank
        else:
            arrays = [Memory(a, v) for a, v in zip(avals, operands)]
        lazy = apply(name, arrays, params, all_avals)
        results = [lazy[number].at(b, index) for number in chosen]
        types = [storage(aval).element_type for aval in out_avals]
        return [b.to_memory(a.dtype, v, t) for a, v, t in zip(out_avals, results, types)]

    outs = [e.empty(aval) for aval in out_avals]
    ins = list(operands) if direct else []
    maps = [_broadcasting_map(aval.shape, shape) for aval in avals] if direct else []
    return e.generic(outs, ins, [*maps, *[identity] * len(outs)], ["parallel"] * rank, body)


def _broadcasting_map(shape: tuple[int, ...], out_shape: tuple[int, ...]) -> ir.AffineMap:
    """Where an operand is read: a scalar everywhere, a dimension of size 1 always at 0."""
    exprs = [
        ir.AffineDimExpr.get(d) if size == wanted else ir.AffineConstantExpr.get(0)
        for d, (size, wanted) in enumerate(zip(shape, out_shape))
    ]
    return ir.AffineMap.get(len(out_shape), 0, exprs)


def _element(b: ScalarBuilder, aval: ShapedArray, value: ir.Value) -> Scalars:
    return Scalars(aval, b.from_memory(aval.dtype, value))


def _i64() -> ir.Type:
    return ir.IntegerType.get_signless(64)


# -- blocks ----------------------------------------------------------------------------------------


def lower_block(block: ir.Block, on_gpu: bool) -> None:
    """Replace the `lax` ops of a block, not those inside of regions that stay."""
    for op in [op.operation for op in block.operations]:
        name = lax.name_of(op)
        if name and name != "yield":
            e = Emitter(ir.InsertionPoint(op), on_gpu)
            e.loc = op.location
            results = _lower_op(e, op, name)
            for old, new in zip(op.results, results, strict=True):
                old.replace_all_uses_with(_cast(e, new, old.type))
            op.erase()


def _lower_op(e: Emitter, op: ir.Operation, name: str) -> Sequence[ir.Value]:
    if name == "constant":
        return [e.constant(mlir.constant_array(op.attributes["value"]))]
    operands = [e.stored(value) for value in op.operands]
    avals = [mlir.aval_of(value.type) for value in op.operands]
    out_avals = [mlir.aval_of(result.type) for result in op.results]
    return lower_op(e, name, op, operands, avals, out_avals, lax.params_of(op))


def lower_op(
    e: Emitter,
    name: str,
    op: ir.Operation | None,
    operands: list,
    avals: list,
    out_avals: list,
    params: dict[str, Any],
) -> Sequence[ir.Value]:
    """Lower one op on tensors of storage types.

    Raises:
      CompileError: if the op has no lowering.
    """
    if any(not aval.size for aval in out_avals) and len(out_avals) == 1:
        return [e.empty(out_avals[0])]
    if name in LOWERINGS:
        function = LOWERINGS[name]
        if name in _NAMED:
            params = params | {"name": name}
        return function(e, op, operands, avals, out_avals, **params)
    if name in ELEMENT:
        results = lower_element_op(e, name, operands, avals, out_avals, params)
        at_places = e.on_gpu and name in ("dynamic_slice", "gather")
        return [e.alone(value) for value in results] if at_places else results
    raise error_at("linalg", e.loc, f"lax.{name} has no lowering")


def _cast(e: Emitter, value: ir.Value, wanted: ir.Type) -> ir.Value:
    """A value as its storage type, or back: resolved when the function's types are lowered."""
    if value.type == wanted:
        return value
    return e.op(CAST, [wanted], [value]).result
