"""Key arrays as what they are made of: a jaxpr over typed keys rewritten over uint32 words.

The compiler knows no key types: here every key array becomes a uint32 array with a trailing
dimension of words, and the random operations what `random.expand` says they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc.core import source
from jaxc.core.array import Array, physical_shape
from jaxc.core.jaxpr import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxprs_in_params
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.random import expand
from jaxc.transforms.staging import trace_to_jaxpr
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray


def physicalize(closed: ClosedJaxpr, passes: int = 2) -> ClosedJaxpr:
    """The jaxpr without key types; the same object if it has none.

    The second pass is for expansions written with random operations, as that of `random_gamma`.
    """
    if not _has_keys(closed.jaxpr):
        return closed
    consts = [_words(c) for c in closed.consts]
    n = len(consts)

    def fun(*args: Any) -> list[Any]:
        return _eval(closed.jaxpr, args[:n], args[n:])

    avals = [_physical(v.aval) for v in (*closed.jaxpr.constvars, *closed.jaxpr.invars)]
    traced = trace_to_jaxpr(fun, avals, closed.jaxpr.debug_info)
    jaxpr = traced.jaxpr.replace(
        constvars=[*traced.jaxpr.constvars, *traced.jaxpr.invars[:n]],
        invars=traced.jaxpr.invars[n:],
    )
    found = ClosedJaxpr(jaxpr, [*traced.consts, *consts])
    return physicalize(found, passes - 1) if passes > 1 else found


def _is_key(aval: ShapedArray) -> bool:
    return isinstance(aval.dtype, KeyDtype)


def _has_keys(jaxpr: Jaxpr) -> bool:
    if any(_is_key(v.aval) for v in (*jaxpr.constvars, *jaxpr.invars)):
        return True
    return any(
        any(_is_key(v.aval) for v in (*e.invars, *e.outvars))
        or e.primitive.name.startswith("random_")
        or any(_has_keys(j) for j in jaxprs_in_params(e.params))
        for e in jaxpr.eqns
    )


def _physical(aval: ShapedArray) -> ShapedArray:
    return ShapedArray(physical_shape(aval), np.uint32) if _is_key(aval) else aval


def _words(x: Any) -> Any:
    if isinstance(x, Array) and _is_key(x.aval):
        return Array(x._numpy(), _physical(x.aval))
    return x


def _eval(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    env: dict[Var, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args]))

    def read(atom: Any) -> Any:
        return _words(atom.val) if type(atom) is Literal else env[atom]

    for eqn in jaxpr.eqns:
        with source.at(eqn.source_info):
            outs = _equation(eqn, [read(a) for a in eqn.invars])
        env.update(zip(eqn.outvars, outs))
    return [read(v) for v in jaxpr.outvars]


def _equation(eqn: JaxprEqn, args: list[Any]) -> Sequence[Any]:
    prim = eqn.primitive
    params = _physical_params(eqn)
    if prim.name in expand.RULES:
        outs = expand.RULES[prim.name](*args, **eqn.params)
        return outs if isinstance(outs, list | tuple) else (outs,)
    if any(_is_key(v.aval) for v in (*eqn.invars, *eqn.outvars)) and prim.name in _ON_WORDS:
        args, params = _ON_WORDS[prim.name](eqn, args, params)
    outs = prim.bind(*args, **params)
    return outs if prim.multiple_results else (outs,)


def _physical_params(eqn: JaxprEqn) -> dict[str, Any]:
    return {key: _physical_param(value) for key, value in eqn.params.items()}


def _physical_param(value: Any) -> Any:
    if isinstance(value, ClosedJaxpr):
        return physicalize(value)
    if isinstance(value, Jaxpr):
        return physicalize(ClosedJaxpr(value, ())).jaxpr
    if isinstance(value, tuple) and value and all(isinstance(v, ClosedJaxpr) for v in value):
        return tuple(map(physicalize, value))
    return value


# ---- operations on key arrays, on the words they are made of ---------------------------------


def _last(eqn: JaxprEqn) -> int:
    """Position of the dimension of words in the first key operand."""
    return next(v.aval.ndim for v in eqn.invars if _is_key(v.aval))


def _out(eqn: JaxprEqn) -> ShapedArray:
    return _physical(eqn.outvars[0].aval)


def _same(eqn: JaxprEqn, args: list[Any], params: dict) -> Any:
    return args, params


def _broadcast(eqn: JaxprEqn, args: list[Any], params: dict) -> Any:
    shape = _out(eqn).shape
    dims = (*params["broadcast_dimensions"], len(shape) - 1)
    return args, params | {"shape": shape, "broadcast_dimensions": dims}


def _reshape(eqn: JaxprEqn, args: list[Any], params: dict) -> Any:
    return args, params | {"new_sizes": _out(eqn).shape}


def _transpose(eqn: JaxprEqn, args: list[Any], params: dict) -> Any:
    return args, params | {"permutation": (*params["permutation"], _last(eqn))}


def _slice(eqn: JaxprEqn, args: list[Any], params: dict) -> Any:
    strides = params["strides"]
    return args, params | {
        "start_indices": (*params["start_indices"], 0),
        "limit_indices": (*params["limit_indices"], _out(eqn).shape[-1]),
        "strides": None if strides is None else (*strides, 1),
    }


def _dynamic_slice(eqn: JaxprEqn, args: list[Any], params: dict) -> Any:
    sizes = (*params["slice_sizes"], _out(eqn).shape[-1])
    return [*args, np.int32(0)], params | {"slice_sizes": sizes}


def _dynamic_update_slice(eqn: JaxprEqn, args: list[Any], params: dict) -> Any:
    return [*args, np.int32(0)], params


def _select_n(eqn: JaxprEqn, args: list[Any], params: dict) -> Any:
    which, *cases = args
    aval = get_aval(which)
    if aval.shape:
        shape = get_aval(cases[0]).shape
        which = primitive("broadcast_in_dim").bind(
            which, shape=shape, broadcast_dimensions=tuple(range(aval.ndim)), sharding=None
        )
    return [which, *cases], params


def _gather(eqn: JaxprEqn, args: list[Any], params: dict) -> Any:
    numbers = params["dimension_numbers"]
    offset = (*numbers.offset_dims, _out(eqn).ndim - 1)
    return args, params | {
        "dimension_numbers": numbers._replace(offset_dims=offset),
        "slice_sizes": (*params["slice_sizes"], _out(eqn).shape[-1]),
    }


def _scatter(eqn: JaxprEqn, args: list[Any], params: dict) -> Any:
    numbers = params["dimension_numbers"]
    window = (*numbers.update_window_dims, eqn.invars[2].aval.ndim)
    return args, params | {"dimension_numbers": numbers._replace(update_window_dims=window)}


_ON_WORDS = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _same,
    "copy": _same,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _gather,
    "reshape": _reshape,
    "rev": _same,
    "scatter": _scatter,
    "select_n": _select_n,
    "slice": _slice,
    "split": _same,
    "squeeze": _same,
    "transpose": _transpose,
}
