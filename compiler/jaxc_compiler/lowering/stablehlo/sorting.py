"""sort and top_k: one `stablehlo.sort` with a comparator that puts NaN last."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.lowering.stablehlo.base import (
    Emitter,
    aval_of,
    integer,
    kind_of,
    lowers,
)
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray


def _columns(e: Emitter, x: ir.Value) -> list[ir.Value]:
    """What a key is compared by: the parts of a complex number."""
    aval = aval_of(x)
    if aval.dtype.kind != "c":
        return [x]
    part = aval.update(dtype=np.dtype(f"f{aval.dtype.itemsize // 2}"))
    return [e.one("real", part, x), e.one("imag", part, x)]


def _before(e: Emitter, x: ir.Value, y: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Whether x comes before y, and whether they are equal; zeros are, and NaN come last."""
    less, equal = e.compare(x, y, "LT"), e.compare(x, y, "EQ")
    if kind_of(aval_of(x).dtype) != "f":
        return less, equal
    x_nan, y_nan = e.compare(x, x, "NE"), e.compare(y, y, "NE")
    less = e.same("or", less, e.same("and", y_nan, e.same("not", x_nan)))
    return less, e.same("or", equal, e.same("and", x_nan, y_nan))


def _comes_first(e: Emitter, keys: list[tuple[ir.Value, ir.Value]]) -> ir.Value:
    """Lexicographic order of pairs (x, y), the most important first."""
    pairs = [pair for x, y in keys for pair in zip(_columns(e, x), _columns(e, y))]
    result = None
    for x, y in reversed(pairs):
        less, equal = _before(e, x, y)
        result = less if result is None else e.same("or", less, e.same("and", equal, result))
    return result


def sort(
    e: Emitter, operands: list, dimension: int, stable: bool, num_keys: int, descending: bool
) -> list[ir.Value]:
    op = e.op(
        "sort", [x.type for x in operands], operands, 1,
        dimension=integer(dimension), is_stable=ir.BoolAttr.get(stable),
    )  # fmt: skip
    types = []
    for x in operands:
        types += [mlir.tensor_type(ShapedArray((), aval_of(x).dtype))] * 2

    def comparator(*args: ir.Value) -> list[ir.Value]:
        pairs = [(args[2 * k], args[2 * k + 1]) for k in range(num_keys)]
        return [_comes_first(e, [(y, x) for x, y in pairs] if descending else pairs)]

    e.body(op.regions[0], types, comparator)
    return list(op.results)


@lowers("sort")
def lower_sort(
    e: Emitter, op: Any, operands: list, *, dimension: int, is_stable: bool, num_keys: int
) -> list[ir.Value]:
    return sort(e, operands, dimension, is_stable, num_keys, descending=False)


@lowers("top_k")
def lower_top_k(e: Emitter, op: Any, operands: list, *, axis: int, k: int) -> list[ir.Value]:
    """The greatest first, of equals the first one first: a stable descending sort, cut."""
    (x,) = operands
    shape = aval_of(x).shape
    places = e.iota(ShapedArray(shape, np.dtype(np.int32)), axis)
    found = sort(e, [x, places], axis, True, 1, descending=True)
    limits = list(shape)
    limits[axis] = k
    return [e.slice(part, [0] * len(shape), limits) for part in found][: len(op.results)]
