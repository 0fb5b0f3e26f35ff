"""`custom_vjp`, `custom_gradient`, `linear_call`: functions with their own reverse-mode rule."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core.jaxpr import eval_jaxpr
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.transforms import ad, batching
from jaxc.transforms.ad import Zero
from jaxc.transforms.custom_calls import custom_lin_p, custom_vjp_call_p
from jaxc.transforms.custom_jvp import Custom, is_zero, positional
from jaxc.transforms.staging import trace_to_jaxpr
from jaxc_compiler.opset.avals import float0


class custom_vjp(Custom):
    """A function with a reverse-mode rule of its own.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> @jax.custom_vjp
      ... def clip_gradient(x):
      ...     return x
      >>> clip_gradient.defvjp(lambda x: (x, None), lambda _, g: (jnp.clip(g, -1.0, 1.0),))
      >>> float(jax.grad(lambda x: 5.0 * clip_gradient(x))(1.0))
      1.0
    """

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Any = (), nondiff_argnames=()):
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None
        self.symbolic_zeros = False

    def defvjp(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
    ) -> None:
        """Set `fwd(*args) -> (out, residuals)` and `bwd(*nondiff, residuals, ct) -> cts`."""
        self.fwd = fwd
        self.bwd = bwd
        self.symbolic_zeros = symbolic_zeros

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fwd is None or self.bwd is None:
            raise AttributeError(
                f"No VJP defined for custom_vjp function {self.__name__} using defvjp."
            )
        args = positional(self.fun, args, kwargs)
        dynamic, static, fun = self._split(args)
        flat, in_tree = tree_util.tree_flatten(tuple(dynamic))
        out_trees: list[Any] = []
        fwd, bwd = _flat_rules(self, args, static, in_tree, [get_aval(x) for x in flat], out_trees)

        def flat_fun(*xs: Any) -> list[Any]:
            leaves, out_tree = tree_util.tree_flatten(fun(*tree_util.tree_unflatten(in_tree, xs)))
            out_trees.append(out_tree)
            return leaves

        outs = custom_vjp_call_p.bind_custom(
            flat_fun, fwd, bwd, *flat, name=self.__name__, symbolic_zeros=self.symbolic_zeros
        )
        return tree_util.tree_unflatten(out_trees[-1], outs)


def _flat_rules(
    custom: custom_vjp,
    args: tuple[Any, ...],
    static: list[Any],
    in_tree: Any,
    in_avals: list[Any],
    out_trees: list[Any],
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    nums = [n % len(args) for n in custom.nondiff_argnums]
    name = custom.__name__

    @functools.wraps(custom.fwd)  # type: ignore[arg-type]
    def fwd(*xs: Any) -> tuple[list[Any], Residuals, list[Any]]:
        dynamic = iter(tree_util.tree_unflatten(in_tree, xs))
        full = [args[i] if i in nums else next(dynamic) for i in range(len(args))]
        pair = custom.fwd(*full)  # type: ignore[misc]
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise TypeError(
                f"Custom VJP fwd rule {_name(custom.fwd)} for function {name} must produce a pair "
                f"(list or tuple of length two) where the first element represents the primal "
                f"output and the second the residuals, but got {pair}."
            )
        outs, out_tree = tree_util.tree_flatten(pair[0])
        out_trees.append(out_tree)
        leaves, res_tree = tree_util.tree_flatten(pair[1])
        return outs, Residuals(leaves, (res_tree, out_tree)), [get_aval(o) for o in outs]

    @functools.wraps(custom.bwd)  # type: ignore[arg-type]
    def bwd(trees: Any, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        res_tree, out_tree = trees
        result = custom.bwd(  # type: ignore[misc]
            *static,
            tree_util.tree_unflatten(res_tree, residuals),
            tree_util.tree_unflatten(out_tree, cts),
        )
        return _check_bwd(custom, result, in_tree, in_avals)

    return fwd, bwd


class Residuals:
    """What fwd hands to bwd: arrays, and the structures to rebuild them and the cotangents."""

    __slots__ = ("leaves", "trees")

    def __init__(self, leaves: list[Any], trees: Any):
        self.leaves = leaves
        self.trees = trees


def _name(fun: Any) -> str:
    return getattr(fun, "__name__", repr(fun))


def _check_bwd(custom: custom_vjp, result: Any, in_tree: Any, in_avals: list[Any]) -> list[Any]:
    if isinstance(result, list):
        result = tuple(result)
    dynamic_avals = tree_util.tree_unflatten(in_tree, in_avals)
    if not isinstance(result, tuple) or len(result) != len(dynamic_avals):
        raise TypeError(
            f"Custom VJP bwd rule {_name(custom.bwd)} for function {custom.__name__} must produce "
            f"a tuple of length {len(dynamic_avals)}, one cotangent for each differentiable "
            f"argument, but got {result!r}."
        )
    flat: list[Any] = []
    for ct, avals in zip(result, dynamic_avals):
        leaves, tree = tree_util.tree_flatten(avals)
        if ct is None:
            flat += [Zero(ad.tangent_aval(a)) for a in leaves]
            continue
        full = tree_util.tree_flatten(ct, is_leaf=lambda x: x is None)[0]
        if len(full) != len(leaves):
            raise TypeError(
                f"Custom VJP bwd rule {_name(custom.bwd)} for function {custom.__name__} must "
                f"produce cotangents with the structure of the arguments: expected {tree}, got "
                f"{tree_util.tree_structure(ct)}."
            )
        flat += [_cotangent(custom, c, a) for c, a in zip(full, leaves)]
    return flat


def _cotangent(custom: custom_vjp, ct: Any, aval: Any) -> Any:
    want = ad.tangent_aval(aval)
    if ct is None or want.dtype == float0 or is_zero(ct):
        return Zero(want)
    got = get_aval(ct)
    if got.shape != want.shape or got.dtype != want.dtype:
        raise ValueError(
            f"Custom VJP bwd rule {_name(custom.bwd)} for function {custom.__name__} must produce "
            f"cotangents of the arguments' shapes and dtypes: got {got.str_short()}, expected "
            f"{want.str_short()}."
        )
    return ct


class _Bwd:
    """A bwd rule with the structures its residuals and cotangents are rebuilt by."""

    __slots__ = ("bwd", "trees")

    def __init__(self, bwd: Any, trees: Any):
        self.bwd = bwd
        self.trees = trees

    def __call__(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        return self.bwd(self.trees, residuals, cts)


def custom_lin(
    bwd: Any, residuals: Residuals, tangents: Sequence[Any], out_avals: Sequence[Any]
) -> list[Any]:
    """The tangents of a custom_vjp function: defined by their transpose only."""
    avals = tuple(ad.tangent_aval(a) for a in out_avals)
    outs = custom_lin_p.bind(
        *residuals.leaves,
        *tangents,
        num_residuals=len(residuals.leaves),
        bwd=_Bwd(bwd, residuals.trees),
        out_avals=avals,
    )
    return [Zero(a) if a.dtype == float0 else o for o, a in zip(outs, avals)]


def _no_forward_mode(*args: Any, **params: Any) -> Any:
    raise TypeError("can't apply forward-mode differentiation (jvp) to a custom_vjp function.")


custom_lin_p.impl = _no_forward_mode


ad.primitive_jvps[custom_lin_p] = _no_forward_mode


batching.primitive_batchers[custom_lin_p] = _no_forward_mode


def custom_lin_transpose(
    cts: Any, *args: Any, num_residuals: int, bwd: Any, out_avals: Any
) -> list[Any]:
    residuals = args[:num_residuals]
    cts = [ad.instantiate_zeros(ct) for ct in cts]
    return [None] * num_residuals + list(bwd(residuals, cts))


ad.primitive_transposes[custom_lin_p] = custom_lin_transpose


def batch_custom_vjp(axis: Any, fun: Any, fwd: Any, bwd: Any, in_dims: Sequence[Any]) -> Any:
    """The three callables over batched values, and the results' batch axes."""
    batched_fun, out_dims = batching.batch_subtrace(fun, axis, in_dims)

    @functools.wraps(fwd)
    def batched_fwd(*args: Any) -> tuple[list[Any], Residuals, list[Any]]:
        found: dict[str, Any] = {}

        def flat(*xs: Any) -> list[Any]:
            outs, residuals, _ = fwd(*xs)
            found.update(n=len(outs), trees=residuals.trees)
            return [*outs, *residuals.leaves]

        run, _ = batching.batch_subtrace(flat, axis, in_dims)
        outs = run(*args)
        n = found["n"]
        residuals = Residuals(outs[n:], found["trees"])
        return outs[:n], residuals, [get_aval(o) for o in outs[:n]]

    @functools.wraps(bwd)
    def batched_bwd(trees: Any, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        zeros: list[Any] = []

        def flat(*xs: Any) -> list[Any]:
            outs = bwd(trees, xs[: len(residuals)], xs[len(residuals) :])
            zeros.extend(type(o) is Zero for o in outs)
            return [o for o in outs if type(o) is not Zero]

        run, _ = batching.batch_subtrace(flat, axis, [0] * (len(residuals) + len(cts)))
        outs = iter(run(*residuals, *cts))
        return [
            Zero(ad.tangent_aval(get_aval(0.0))) if z else _unbatched(next(outs), d)
            for z, d in zip(zeros, in_dims)
        ]

    return (batched_fun, batched_fwd, batched_bwd), out_dims


def _unbatched(ct: Any, dim: int | None) -> Any:
    """A batched cotangent for an argument batched at `dim`; summed if it is not batched."""
    if dim is None:
        return primitive("reduce_sum").bind(ct, axes=(0,), out_sharding=None)
    return batching.moveaxis(ct, 0, dim)


def custom_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function that returns its value and its VJP: `fun(*args) -> (out, vjp(ct))`."""

    @custom_vjp
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return fun(*args, **kwargs)[0]

    def fwd(*args: Any) -> Any:
        out, rule = fun(*args)
        out_tree = tree_util.tree_structure(out)
        avals = [get_aval(o) for o in tree_util.tree_leaves(out)]

        def flat_rule(*cts: Any) -> Any:
            result = rule(tree_util.tree_unflatten(out_tree, cts))
            result = result if isinstance(result, tuple) else (result,)
            return tree_util.tree_leaves(result)

        closed = trace_to_jaxpr(flat_rule, avals)
        return out, tree_util.Partial(functools.partial(_apply, closed.jaxpr), closed.consts)

    def bwd(rule: Any, ct: Any) -> Any:
        return tuple(rule(*tree_util.tree_leaves(ct)))

    wrapped.defvjp(fwd, bwd)
    return wrapped


def _apply(jaxpr: Any, consts: Any, *args: Any) -> Any:
    return eval_jaxpr(jaxpr, consts, *args)


def zero_from_primal(x: Any, symbolic_zeros: bool = False) -> Any:
    """A zero tangent for a primal value."""
    aval = ad.tangent_aval(get_aval(x))
    return np.zeros(aval.shape, float0) if aval.dtype == float0 else ad.zeros_like_aval(aval)


def linear_call(fun: Any, fun_transpose: Any, residual_args: Any, linear_args: Any) -> Any:
    """Call `fun(residuals, linear)`, linear in its second argument, with a given transpose."""

    @custom_vjp
    def call(residuals: Any, linear: Any) -> Any:
        return fun(residuals, linear)

    call.defvjp(
        lambda residuals, linear: (fun(residuals, linear), residuals),
        lambda residuals, ct: (None, fun_transpose(residuals, ct)),
    )
    return call(residual_args, linear_args)
