"""The functions that are `jnp.ufunc` objects: add, multiply, maximum, ... with their reductions."""

from __future__ import annotations

from typing import Any

from jaxc.numpy import cumulative, elementwise, reductions, special
from jaxc.numpy.ufunc import ufunc


def _bool_reduce(fun: Any) -> Any:
    def reduce(a: Any, axis=None, dtype=None, keepdims=False, initial=None, where=None) -> Any:
        if dtype is not None or initial is not None:
            raise NotImplementedError("dtype or initial of a logical reduction")
        return fun(a, axis=axis, keepdims=keepdims, where=where)

    return reduce


def _plain_reduce(fun: Any) -> Any:
    def reduce(a: Any, axis=None, dtype=None, keepdims=False, initial=None, where=None) -> Any:
        out = fun(a, axis=axis, keepdims=keepdims, initial=initial, where=where)
        return out if dtype is None else out.astype(dtype)

    return reduce


def _accumulate(fun: Any) -> Any:
    def accumulate(a: Any, axis: int = 0, dtype: Any = None) -> Any:
        return fun(a, axis=axis, dtype=dtype)

    return accumulate


def _make(name: str, fun: Any, **options: Any) -> ufunc:
    return ufunc(fun, 2, 1, name=name, **options)


add = _make("add", elementwise.add, identity=0, reduce=reductions.sum,
            accumulate=_accumulate(cumulative.cumsum), at="add")  # fmt: skip
multiply = _make("multiply", elementwise.multiply, identity=1, reduce=reductions.prod,
                 accumulate=_accumulate(cumulative.cumprod), at="multiply")  # fmt: skip
subtract = _make("subtract", elementwise.subtract, at="subtract")
maximum = _make("maximum", elementwise.maximum, reduce=_plain_reduce(reductions.max), at="max")
minimum = _make("minimum", elementwise.minimum, reduce=_plain_reduce(reductions.min), at="min")
bitwise_and = _make("bitwise_and", elementwise.bitwise_and, identity=-1)
bitwise_or = _make("bitwise_or", elementwise.bitwise_or, identity=0)
bitwise_xor = _make("bitwise_xor", elementwise.bitwise_xor, identity=0)
logical_and = _make("logical_and", elementwise.logical_and, identity=True,
                    reduce=_bool_reduce(reductions.all))  # fmt: skip
logical_or = _make("logical_or", elementwise.logical_or, identity=False,
                   reduce=_bool_reduce(reductions.any))  # fmt: skip
logical_xor = _make("logical_xor", elementwise.logical_xor, identity=False)
logaddexp = _make("logaddexp", special.logaddexp, identity=-float("inf"))
logaddexp2 = _make("logaddexp2", special.logaddexp2, identity=-float("inf"))
negative = ufunc(elementwise.negative, 1, 1, name="negative")
