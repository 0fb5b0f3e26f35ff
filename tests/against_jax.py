"""Evaluates one expression with real JAX and with jaxc and says how the results differ.

An expression sees `jax`, `jnp`, `lax`, `np` and the sample arrays of `SAMPLES`.
"""

from __future__ import annotations

import warnings
from typing import Any

import jax
import numpy as np

import jaxc

SAMPLES = {
    "x": "jnp.arange(5.0) * 0.5 - 1",
    "i": "jnp.array([0, 2, 1])",
    "m": "jnp.arange(12.0).reshape(3, 4) - 3",
    "t": "jnp.arange(24.0).reshape(2, 3, 4)",
    "k": "jnp.int32(1)",
    "c": "jnp.array([1 + 2j, 3 - 1j, 0.5j])",
    "b": "jnp.array([True, False, True])",
    "u": "jnp.array([1, 2, 250], dtype='uint8')",
    "h": "jnp.array([1.5, 2.5, -0.5], dtype='float16')",
    "bf": "jnp.array([1.5, 2.5, -0.5], dtype='bfloat16')",
    "w": "jnp.asarray(2.0)",
    "n": "jnp.array([jnp.nan, 1.0, jnp.inf, -jnp.inf, -0.0])",
    "s": "jnp.float32(1.5)",
    "e": "jnp.zeros((0, 3))",
    "i8": "jnp.array([100, -100, 3], dtype='int8')",
}
TRACED = ("x", "i", "m", "t", "k", "c", "b", "u", "h", "bf", "w", "s")


def _names(package: Any) -> dict[str, Any]:
    names = {"jax": package, "jnp": package.numpy, "np": np, "lax": package.lax}
    names.update({k: eval(v, dict(names)) for k, v in SAMPLES.items()})
    return names


_ENVIRONMENTS: dict[str, dict[str, Any]] = {}


def environment(package: Any) -> dict[str, Any]:
    """The names an expression sees, made once for each package."""
    if package.__name__ not in _ENVIRONMENTS:
        _ENVIRONMENTS[package.__name__] = _names(package)
    return _ENVIRONMENTS[package.__name__]


def _run(source: str, package: Any) -> tuple[Any, BaseException | None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return eval(source, dict(environment(package))), None
    except Exception as error:
        return None, error


def difference(source: str) -> str | None:
    """How jaxc's result of an expression differs from JAX's; None if it does not."""
    want, want_error = _run(source, jax)
    got, got_error = _run(source, jaxc)
    if want_error is None and got_error is not None:
        return f"raised {got_error!r}"
    if want_error is not None and got_error is None:
        return f"gave {got} where JAX raises {want_error!r}"
    if want_error is not None:
        same = type(want_error).__name__ == type(got_error).__name__
        return None if same else f"raised {got_error!r}, JAX raises {want_error!r}"
    return _compare(want, got, "result")


def _compare(want: Any, got: Any, path: str) -> str | None:
    if isinstance(want, tuple | list):
        if type(want).__name__ != type(got).__name__ or len(want) != len(got):
            return f"{path}: {type(got)} of other structure"
        found = (_compare(a, b, f"{path}[{k}]") for k, (a, b) in enumerate(zip(want, got)))
        return next((f for f in found if f), None)
    if isinstance(want, jax.Array):
        return _compare_arrays(want, got, path)
    if isinstance(want, np.ndarray):
        return None if np.array_equal(want, got) else f"{path}: {got} is not {want}"
    return None if want == got or repr(want) == repr(got) else f"{path}: {got!r} is not {want!r}"


def _compare_arrays(want: Any, got: Any, path: str) -> str | None:
    if not isinstance(got, jaxc.Array):
        return f"{path}: {type(got)} is no array"
    facts = [(a.shape, a.dtype, a.weak_type) for a in (want, got)]
    if facts[0] != facts[1]:
        return f"{path}: (shape, dtype, weak) {facts[1]} is not {facts[0]}"
    a, b = np.asarray(want), np.asarray(got)
    if a.dtype.kind in "iub":
        return None if np.array_equal(a, b) else f"{path}: {b} is not {a}"
    half = a.dtype.itemsize < 4
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    tolerance = {"rtol": 3e-2, "atol": 1e-2} if half else {"rtol": 1e-5, "atol": 1e-6}
    same = np.allclose(a.astype(wide), b.astype(wide), equal_nan=True, **tolerance)
    return None if same else f"{path}: {b} is not {a}"


def jaxprs(source: str) -> tuple[str, str]:
    """The printed jaxprs of an expression, its sample arrays traced: (JAX's, jaxc's)."""
    return _jaxpr(source, jax), _jaxpr(source, jaxc)


def _jaxpr(source: str, package: Any) -> str:
    names = environment(package)

    def fun(*values: Any) -> Any:
        return eval(source, {**names, **dict(zip(TRACED, values))})

    try:
        return str(package.make_jaxpr(fun)(*(names[k] for k in TRACED)))
    except Exception as error:
        return f"raises {type(error).__name__}"
