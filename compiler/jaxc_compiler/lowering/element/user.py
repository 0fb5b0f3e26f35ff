"""Element rules of the user's ops, written with the names of `lax` ops on scalars.

    def soft_clip_element(s, x, *, limit):
        return s.mul(s.tanh(s.div(x, limit)), limit)

`s` is an `Elements`: it has a method for each elementwise op of the book.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from jaxc_compiler.lowering.element.base import ScalarBuilder
from jaxc_compiler.lowering.element.values import ELEMENT, POINTWISE, Scalars, Splat
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset import user
from jaxc_compiler.opset.avals import ShapedArray, of_dtype
from jaxc_compiler.opset.op import OPS, OPTIONAL


class Elements:
    """What a user's element rule computes with; its values are scalars with an `aval`.

    `s.tanh(x)`, `s.max(x, 0.0)`, `s.and_(p, q)`: the elementwise ops of the book, numbers taking
    the type of the first scalar, if it has them: 4.5 is no value of an int32.
    `s.op("math.roundeven", x)`: one op of MLIR's.
    """

    def __init__(self, builder: ScalarBuilder, index: tuple[Any, ...]):
        self._builder, self._index = builder, index

    def __getattr__(self, name: str) -> Callable[..., Scalars]:
        op_name = name.rstrip("_")
        if op_name.startswith("_") or op_name not in POINTWISE or op_name not in OPS:
            raise AttributeError(f"{name!r} is no elementwise op")
        return partial(self._apply, op_name)

    def _apply(self, name: str, *operands: Any, **params: Any) -> Scalars:
        arrays = self._scalars(operands)
        params = dict.fromkeys(OPTIONAL & set(OPS[name].params)) | params
        aval = OPS[name].infer(*[array.aval for array in arrays], **params)
        value = ELEMENT[name](self._builder, arrays, self._index, aval, **params)
        return Scalars(aval, value)

    def op(self, name: str, *operands: Any) -> Scalars:
        """An op of MLIR's on scalars of one type, with a result of that type: `arith.maximumf`."""
        arrays = self._scalars(operands)
        aval = arrays[0].aval
        values = [array.at(self._builder, ()) for array in arrays]
        return Scalars(aval, self._builder.op(name, self._builder.scalar_type(aval.dtype), values))

    def _scalars(self, operands: tuple[Any, ...]) -> list[Any]:
        typed = [x for x in operands if isinstance(x, Scalars)]
        if not typed:
            raise TypeError("an element rule's operations need a scalar among their operands")
        aval = typed[0].aval
        return [
            x if isinstance(x, Scalars) else Splat(aval, of_dtype(x, aval.dtype)[()])
            for x in operands
        ]


# Exceptions whose text says what is wrong.
_WORDED = (TypeError, ValueError, AttributeError)


def _rule(name: str) -> Callable[..., Any]:
    def rule(
        b: ScalarBuilder, operands: Any, index: tuple, out_aval: ShapedArray, /, **params: Any
    ) -> ir.Value:
        scalars = [_at(b, array, index) for array in operands]
        try:
            result = user.RULES[name](Elements(b, index), *scalars, **params)
        except Exception as error:
            said = error if isinstance(error, _WORDED) else f"{type(error).__name__}: {error}"
            raise TypeError(f"the element rule of {name}: {said}") from error
        if not isinstance(result, Scalars):
            raise TypeError(f"the element rule of {name} must return a scalar, got {result!r}")
        if result.aval.dtype != out_aval.dtype:
            got, expected = np.dtype(result.aval.dtype).name, np.dtype(out_aval.dtype).name
            raise TypeError(f"the element rule of {name} must return {expected}, got {got}")
        return result.value

    return rule


def _at(b: ScalarBuilder, array: Any, index: tuple) -> Scalars:
    value = array.at(b, index if array.aval.shape else ())
    return Scalars(array.aval.update(shape=()), value)


def _changed(name: str) -> None:
    if name in user.RULES:
        ELEMENT[name] = _rule(name)
        POINTWISE.add(name)
        return
    ELEMENT.pop(name, None)
    POINTWISE.discard(name)


user.on_change(_changed)
