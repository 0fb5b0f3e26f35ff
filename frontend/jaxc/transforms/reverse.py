"""Reverse mode as users call it: `grad`, `value_and_grad`, `vjp`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core import dtypes
from jaxc.core.array import Array, as_array, wrap
from jaxc.core.trace import Tracer, get_aval
from jaxc.transforms import ad
from jaxc.transforms.arguments import (
    Fun,
    check_callable,
    check_primal,
    concrete_leaf,
    instantiate,
    partial_args,
    split_arrays,
    split_aux,
    wraps,
)
from jaxc.transforms.linearize import Linear, linearize_flat
from jaxc_compiler.opset.avals import float0


def grad(
    fun: Fun,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence[Any] = (),
) -> Fun:
    """The gradient of a scalar function.

    Args:
      fun: function whose result is a real scalar (with `has_aux`, a pair of it and anything).
      argnums: which positional arguments to differentiate with respect to.
      has_aux: whether `fun` returns `(value, aux)`; the gradient then returns `(grad, aux)`.
      holomorphic: differentiate a holomorphic function of complex arguments.
      allow_int: allow integer arguments (their gradients have dtype float0).

    Returns:
      A function that gives the gradient, with the structure of the argument(s).

    Raises:
      TypeError: if the result is no real scalar or an argument is not differentiable.

    Example:
      >>> import jaxc as jax
      >>> float(jax.grad(lambda x: x**3)(2.0))
      12.0
    """
    value_and = value_and_grad(fun, argnums, has_aux, holomorphic, allow_int)

    @wraps(fun)
    def grad_fun(*args: Any, **kwargs: Any) -> Any:
        value, gradient = value_and(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return grad_fun


def value_and_grad(
    fun: Fun,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence[Any] = (),
) -> Fun:
    """Like `grad`, returning `(value, gradient)`.

    Example:
      >>> import jaxc as jax
      >>> jax.value_and_grad(lambda x: x * x)(3.0)
      (Array(9., dtype=float32, weak_type=True), Array(6., dtype=float32, weak_type=True))
    """
    check_callable(fun)
    argnums = argnums if isinstance(argnums, int) else tuple(argnums)

    @wraps(fun)
    def value_and_grad_fun(*args: Any, **kwargs: Any) -> Any:
        needed = max(argnums if isinstance(argnums, tuple) else (argnums,), default=-1)
        if needed >= len(args):
            raise TypeError(
                f"differentiating with respect to argnums={argnums} requires at least "
                f"{needed + 1} positional arguments to be passed by the caller, but "
                f"got only {len(args)} positional arguments."
            )
        dynamic, f = partial_args(fun, argnums, args, kwargs)
        for leaf in tree_util.tree_leaves(dynamic):
            check_input("grad", leaf, holomorphic, allow_int)
        out = vjp_of(f, dynamic, has_aux)
        value, pullback = out[0], out[1]
        _check_scalar(value)
        check_output("grad", value, holomorphic)
        one = primitive_one(get_aval(value))
        grads = pullback(one)
        gradient = grads[0] if isinstance(argnums, int) else tuple(grads)
        return ((value, out[2]), gradient) if has_aux else (value, gradient)

    return value_and_grad_fun


def primitive_one(aval: Any) -> Any:
    """The cotangent of a scalar result."""
    return wrap(np.ones((), aval.dtype), aval)


def check_input(name: str, leaf: Any, holomorphic: bool, allow_int: bool) -> None:
    try:
        aval = get_aval(leaf)
    except TypeError:
        raise TypeError(
            f"{name} requires real- or complex-valued inputs (input dtype that is a "
            f"sub-dtype of np.inexact), but got {leaf!r} of type {type(leaf)}."
        ) from None
    dtype = aval.dtype
    if holomorphic and not dtypes.issubdtype(dtype, np.complexfloating):
        raise TypeError(
            f"{name} with holomorphic=True requires inputs with complex dtype, but got "
            f"{dtype.name}."
        )
    if dtypes.issubdtype(dtype, dtypes.extended):
        raise TypeError(f"{name} with input element type {dtype.name}")
    if (dtypes.issubdtype(dtype, np.integer) or dtype == np.bool_) and not allow_int:
        raise TypeError(
            f"{name} requires real- or complex-valued inputs (input dtype that is "
            f"a sub-dtype of np.inexact), but got {dtype.name}. If you want to use "
            "Boolean- or integer-valued inputs, use vjp or set allow_int to True."
        )


def check_output(name: str, x: Any, holomorphic: bool) -> None:
    dtype = get_aval(x).dtype
    if holomorphic:
        if not dtypes.issubdtype(dtype, np.complexfloating):
            raise TypeError(
                f"{name} with holomorphic=True requires outputs with complex dtype, "
                f"but got {dtype.name}."
            )
    elif dtypes.issubdtype(dtype, np.complexfloating):
        raise TypeError(
            f"{name} requires real-valued outputs (output dtype that is a sub-dtype of "
            f"np.floating), but got {dtype.name}. For holomorphic differentiation, "
            "pass holomorphic=True."
        )
    elif not dtypes.issubdtype(dtype, np.floating):
        raise TypeError(
            f"{name} requires real-valued outputs (output dtype that is a sub-dtype of "
            f"np.floating), but got {dtype.name}. For differentiation of functions "
            "with integer outputs, use jax.vjp directly."
        )


def _check_scalar(x: Any) -> None:
    try:
        aval = get_aval(x)
    except TypeError:
        raise TypeError(
            f"Gradient only defined for scalar-output functions. Output was {x}."
        ) from None
    if aval.shape != ():
        raise TypeError(
            f"Gradient only defined for scalar-output functions. Output had shape: {aval.shape}."
        )


class VJP:
    """The pullback that `vjp` returns: call it with a cotangent of the result."""

    def __init__(self, linear: Linear, in_tree: Any, out_tree: Any, in_avals: list[Any]):
        self._linear = linear
        self.in_tree = in_tree
        self.out_tree = out_tree
        self._in_avals = in_avals

    def __call__(self, cotangent: Any) -> Any:
        flat, tree = tree_util.tree_flatten(cotangent)
        if tree != self.out_tree:
            raise ValueError(
                "Tree structure of cotangent input and primal output must be equal: "
                f"got {tree}, expected {self.out_tree}."
            )
        cts = [_check_cotangent(ct, aval) for ct, aval in zip(flat, self._linear.out_avals)]
        outs = self._linear.transpose(cts)
        return tree_util.tree_unflatten(
            self.in_tree, [instantiate(o, a) for o, a in zip(outs, self._in_avals)]
        )


tree_util.register_pytree_node(
    VJP,
    lambda v: (v._linear.consts, (v._linear, v.in_tree, v.out_tree, v._in_avals)),
    lambda aux, consts: _rebuild_vjp(aux, consts),
)


def _rebuild_vjp(aux: Any, consts: Any) -> VJP:
    old, in_tree, out_tree, in_avals = aux
    linear = Linear(
        old.jaxpr, list(consts), old.nonzero_in, old.nonzero_out, old.in_avals, old.out_avals
    )
    return VJP(linear, in_tree, out_tree, in_avals)


def _check_cotangent(ct: Any, aval: Any) -> Any:
    got = get_aval(ct)
    if aval.dtype == float0:
        return ad.Zero(aval)
    if got.dtype != aval.dtype:
        raise ValueError(
            "Type of cotangent input to vjp pullback function "
            f"({got.str_short()}) is not the expected tangent type "
            f"({aval.str_short()}) of the corresponding primal output."
        )
    if got.shape != aval.shape:
        raise ValueError(
            f"Shape of cotangent input to vjp pullback function {got.shape} must be "
            f"the same as the shape of corresponding primal input {aval.shape}."
        )
    return ct


def vjp_of(fun: Fun, primals: Sequence[Any], has_aux: bool) -> tuple[Any, ...]:
    flat, tree = tree_util.tree_flatten(tuple(primals))
    flat = [concrete_leaf(x) for x in flat]
    found: list[Any] = []
    n_main: list[int] = []

    def flat_fun(*xs: Any) -> list[Any]:
        result = fun(*tree_util.tree_unflatten(tree, xs))
        aux: Any = ()
        if has_aux:
            result, aux = split_aux(result)
        leaves, out_tree = tree_util.tree_flatten(result)
        aux_arrays, rebuild = split_arrays(aux)
        found[:] = [out_tree, rebuild]
        n_main[:] = [len(leaves)]
        return [
            x if isinstance(x, Tracer | Array) else as_array(x)
            for x in (*map(_valid_output, leaves), *aux_arrays)
        ]

    outs, linear = linearize_flat(flat_fun, flat)
    n = n_main[0]
    in_avals = [get_aval(x) for x in flat]
    if has_aux:
        linear = _drop_aux(linear, n)
    value = tree_util.tree_unflatten(found[0], outs[:n])
    pullback = VJP(linear, tree, found[0], in_avals)
    if not has_aux:
        return value, pullback
    return value, pullback, found[1](outs[n:])


def _valid_output(x: Any) -> Any:
    get_aval(x)
    return x


def _drop_aux(linear: Linear, n: int) -> Linear:
    kept = sum(linear.nonzero_out[:n])
    jaxpr = linear.jaxpr.replace(outvars=linear.jaxpr.outvars[:kept])
    return Linear(
        jaxpr,
        linear.consts,
        linear.nonzero_in,
        linear.nonzero_out[:n],
        linear.in_avals,
        linear.out_avals[:n],
    )


def vjp(fun: Fun, *primals: Any, has_aux: bool = False, reduce_axes: Sequence[Any] = ()) -> Any:
    """The value of a function and its pullback.

    Returns:
      `(value, pullback)`, or `(value, pullback, aux)` with `has_aux`; the pullback takes a
      cotangent of the value and gives a tuple of cotangents of the primals.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> y, pullback = jax.vjp(jnp.sin, 0.0)
      >>> pullback(1.0)
      (Array(1., dtype=float32, weak_type=True),)
    """
    check_callable(fun)
    for leaf in tree_util.tree_leaves(primals):
        check_primal("vjp", leaf)
    return vjp_of(fun, primals, has_aux)
