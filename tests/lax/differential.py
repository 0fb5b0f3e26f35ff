"""One call made on jaxc and on real JAX: values, printed jaxprs, derivatives and batches compared.

A test file states a table of cases (name, function of the lax module, operands) and turns it into
tests by `modes`. Operands that are NumPy arrays are differentiated and batched.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import jaxc
from jaxc_compiler.opset.inference import dtype_class

RTOL = {"bfloat16": 5e-2, "float16": 5e-3, "float32": 1e-4, "complex64": 1e-4}


@dataclass(frozen=True)
class Case:
    """A call. `text`, `diff`, `batch` say which comparisons make sense for it."""

    name: str
    function: Callable[..., Any]
    operands: tuple[Any, ...] = ()
    text: bool = True
    diff: bool = True
    batch: bool = True


def case(name: str, function: Callable[..., Any], *operands: Any, **flags: bool) -> Case:
    return Case(name, function, operands, **flags)


def normal(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    """Random elements of any dtype; integers are small."""
    rng = np.random.default_rng((seed, *shape))
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        return rng.integers(0 if dtype.kind == "u" else -5, 6, shape).astype(dtype)
    values = rng.normal(size=shape)
    return np.asarray(values + 1j * rng.normal(size=shape) if dtype.kind == "c" else values, dtype)


def modes(cases: list[Case]) -> list[Any]:
    """The pytest parameters (case, mode) of every comparison that makes sense."""
    return [
        pytest.param(item, mode, id=f"{item.name}-{mode}")
        for item in cases
        for mode in _modes(item)
    ]


def _modes(item: Case) -> Iterator[str]:
    yield "value"
    if item.text:
        yield "jaxpr"
    if item.diff and _inexact(item.operands):
        yield "jvp"
        yield "vjp"
    if item.batch and _arrays(item.operands):
        yield "vmap"


def check(item: Case, mode: str) -> None:
    """Make the call in one mode on both sides and compare."""
    import jax

    theirs, ours = (_outcome(lambda m=module: _RUN[mode](m, item)) for module in (jax, jaxc))
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        assert type(theirs).__name__ == type(ours).__name__, f"{theirs!r} / {ours!r}"
        return
    for want, got in itertools.zip_longest(_leaves(theirs), _leaves(ours)):
        _agree(want, got)


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


def _arrays(operands: tuple[Any, ...]) -> list[int]:
    return [i for i, x in enumerate(operands) if isinstance(x, np.ndarray)]


def _inexact(operands: tuple[Any, ...]) -> list[int]:
    found = _arrays(operands)
    return [i for i in found if dtype_class(operands[i].dtype) in ("floating", "complex")]


def _leaves(x: Any) -> list[Any]:
    return [leaf for y in x for leaf in _leaves(y)] if isinstance(x, list | tuple) else [x]


def _agree(want: Any, got: Any) -> None:
    if isinstance(want, str):
        assert got == want
        return
    if hasattr(want, "weak_type") and hasattr(got, "weak_type"):
        assert got.weak_type == want.weak_type
    want, got = np.asarray(want), np.asarray(got)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    if want.dtype.names is not None:  # float0
        return
    if dtype_class(want.dtype) not in ("floating", "complex"):
        np.testing.assert_array_equal(got, want)
        return
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    tolerance = RTOL.get(want.dtype.name, 1e-9)
    np.testing.assert_allclose(got.astype(wide), want.astype(wide), rtol=tolerance, atol=tolerance)


# ---- the modes ------------------------------------------------------------------------------


def _function(module: Any, item: Case) -> Callable[..., Any]:
    return lambda *operands: item.function(module.lax, *operands)


def _on(module: Any, operands: Any) -> list[Any]:
    asarray = module.numpy.asarray
    return [asarray(x) if isinstance(x, np.ndarray) else x for x in operands]


def _value(module: Any, item: Case) -> Any:
    return _function(module, item)(*_on(module, item.operands))


def _jaxpr(module: Any, item: Case) -> str:
    return str(module.make_jaxpr(_function(module, item))(*_on(module, item.operands)))


def _differentiable(module: Any, item: Case) -> tuple[Callable[..., Any], list[Any]]:
    places, operands = _inexact(item.operands), _on(module, item.operands)

    def function(*varied: Any) -> Any:
        full = list(operands)
        for place, value in zip(places, varied):
            full[place] = value
        return _function(module, item)(*full)

    return function, [operands[i] for i in places]


def _direction(x: Any, seed: int) -> np.ndarray:
    if dtype_class(np.dtype(x.dtype)) not in ("floating", "complex"):
        import jax

        return np.zeros(x.shape, jax.dtypes.float0)
    return normal(*x.shape, dtype=np.dtype(x.dtype), seed=seed)


def _jvp(module: Any, item: Case) -> Any:
    function, primals = _differentiable(module, item)
    return module.jvp(function, primals, [_direction(x, 1) for x in primals])


def _vjp(module: Any, item: Case) -> Any:
    function, primals = _differentiable(module, item)
    out, pullback = module.vjp(function, *primals)
    if isinstance(out, list | tuple):
        return out, pullback(type(out)(_direction(x, 2) for x in out))
    return out, pullback(_direction(out, 2))


def _vmap(module: Any, item: Case) -> Any:
    """Each operand batched alone along its last axis, then all along the first."""
    places, outs = _arrays(item.operands), []
    choices = [((i,), -1) for i in places] if len(places) > 1 else [((places[0],), -1)]
    for batched, axis in [*choices, (tuple(places), 0)]:
        operands, axes = list(item.operands), [None] * len(item.operands)
        for i in batched:
            x = operands[i]
            other = x[::-1] if x.ndim else x + x.dtype.type(1)
            operands[i] = np.stack([x, other], axis if x.ndim else 0)
            axes[i] = axis if x.ndim else 0
        function = module.vmap(_function(module, item), in_axes=tuple(axes))
        outs.append(function(*_on(module, operands)))
    return outs


_RUN = {"value": _value, "jaxpr": _jaxpr, "jvp": _jvp, "vjp": _vjp, "vmap": _vmap}
BFLOAT16 = ml_dtypes.bfloat16
