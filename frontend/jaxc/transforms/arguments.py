"""Checking and flattening the arguments of transformations: what `grad`, `vmap` and kin share."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core.array import Array, as_array
from jaxc.core.trace import Tracer, get_aval
from jaxc.transforms import ad
from jaxc.transforms.signature import normalize_argnums
from jaxc_compiler.opset.avals import float0

Fun = Callable[..., Any]


def concrete_leaf(x: Any) -> Any:
    """Leaves as traced values see them: arrays; NumPy inputs become Arrays."""
    if isinstance(x, Array):
        return x
    return as_array(x)


def split_arrays(aux: Any) -> tuple[list[Any], Callable[[Any], Any]]:
    """The arrays and tracers among the leaves of `aux`, and how to put others in their place.

    Auxiliary results may hold anything; what is no array passes as it is.
    """
    leaves, tree = tree_util.tree_flatten(aux)
    places = [i for i, x in enumerate(leaves) if isinstance(x, Tracer | Array)]

    def rebuild(values: Any) -> Any:
        for i, value in zip(places, values):
            leaves[i] = value
        return tree_util.tree_unflatten(tree, leaves)

    return [leaves[i] for i in places], rebuild


def check_callable(fun: Any) -> None:
    if not callable(fun):
        raise TypeError(f"Expected a callable value, got {fun!r}")


def wraps(fun: Fun) -> Callable[[Fun], Any]:
    """`functools.wraps` that also takes callables without a name."""

    def decorate(wrapper: Fun) -> Any:
        with contextlib.suppress(AttributeError, TypeError):
            functools.update_wrapper(wrapper, fun)
        return wrapper

    return decorate


def partial_args(fun: Fun, argnums: Any, args: Any, kwargs: Any) -> tuple[list[Any], Fun]:
    nums = normalize_argnums(argnums, len(args))

    def f(*dynamic: Any) -> Any:
        full = list(args)
        for n, value in zip(nums, dynamic):
            full[n] = value
        return fun(*full, **kwargs)

    return [args[n] for n in nums], f


def split_aux(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise TypeError(
            "expected function with aux output to return a two-element tuple, but got "
            f"type {type(result)} with value {result!r}"
        )
    return result[0], result[1]


def check_primal(name: str, leaf: Any) -> None:
    try:
        get_aval(leaf)
    except TypeError:
        raise TypeError(
            f"Argument '{leaf}' of type {type(leaf)} is not a valid JAX type for {name}."
        ) from None


def instantiate(x: Any, aval: Any) -> Any:
    if type(x) is not ad.Zero:
        return x
    want = ad.tangent_aval(aval)
    return np.zeros(want.shape, float0) if want.dtype == float0 else ad.zeros_like_aval(want)
