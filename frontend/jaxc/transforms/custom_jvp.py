"""`custom_jvp`: functions with a JVP rule of their own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from jaxc import tree_util
from jaxc.core.trace import get_aval
from jaxc.transforms import ad
from jaxc.transforms.ad import Zero
from jaxc.transforms.custom_calls import custom_jvp_call_p
from jaxc_compiler.opset.avals import float0


def positional(fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict) -> tuple[Any, ...]:
    """Keyword arguments put in their positions and defaults filled in."""
    try:
        bound = inspect.signature(fun).bind(*args, **kwargs)
    except (ValueError, TypeError):
        if kwargs:
            raise
        return args
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError("keyword arguments could not be resolved to positions")
    return bound.args


class Custom:
    """What the two decorators share: the function, its non-differentiable arguments, its name."""

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Any = (), nondiff_argnames=()):
        wrapper: Any = self  # subclasses are callable
        functools.update_wrapper(wrapper, fun)
        self.fun = fun
        nums = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
        if nondiff_argnames:
            names = (nondiff_argnames,) if isinstance(nondiff_argnames, str) else nondiff_argnames
            order = list(inspect.signature(fun).parameters)
            nums += tuple(order.index(n) for n in names)
        self.nondiff_argnums = tuple(sorted(set(nums)))
        self.__name__ = getattr(fun, "__name__", str(fun))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        bound: Any = self
        return self if instance is None else functools.partial(bound, instance)

    def _split(self, args: tuple[Any, ...]) -> tuple[list[Any], list[Any], Callable[..., Any]]:
        """Differentiable arguments, the others, and the function of the former."""
        nums = [n % len(args) for n in self.nondiff_argnums]
        static = [args[n] for n in nums]
        dynamic = [a for i, a in enumerate(args) if i not in nums]

        def fun(*dyn: Any) -> Any:
            rest = iter(dyn)
            full = [args[i] if i in nums else next(rest) for i in range(len(args))]
            return self.fun(*full)

        return dynamic, static, fun


class custom_jvp(Custom):
    """A function with a JVP rule of its own.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> @jax.custom_jvp
      ... def f(x):
      ...     return jnp.sin(x)
      >>> f.defjvps(lambda t, ans, x: 2.0 * t)
      >>> float(jax.grad(f)(0.0))
      2.0
    """

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Any = (), nondiff_argnames=()):
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.jvp: Callable[..., Any] | None = None
        self.symbolic_zeros = False

    def defjvp(self, jvp: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """Set the rule: `jvp(*nondiff, primals, tangents) -> (primal_out, tangent_out)`."""
        self.jvp = jvp
        self.symbolic_zeros = symbolic_zeros
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Set one rule an argument, `(tangent, result, *primals) -> tangent`; None for zero."""
        if self.nondiff_argnums:
            raise TypeError("Can't use ``defjvps`` with ``nondiff_argnums``.")

        def jvp(primals: Any, tangents: Any) -> Any:
            out = self(*primals)
            zeros = tree_util.tree_map(_zeros_of, out)
            terms = [
                rule(t, out, *primals)
                for rule, t in zip(jvps, tangents)
                if rule is not None and not is_zero(t)
            ]
            total = (
                functools.reduce(lambda a, b: tree_util.tree_map(ad.add_tangents, a, b), terms)
                if terms
                else zeros
            )
            return out, total

        self.defjvp(jvp)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.jvp is None:
            raise AttributeError(
                f"No JVP defined for custom_jvp function {self.__name__} using defjvp."
            )
        dynamic, static, fun = self._split(positional(self.fun, args, kwargs))
        flat, in_tree = tree_util.tree_flatten(tuple(dynamic))
        out_trees: list[Any] = []

        def flat_fun(*xs: Any) -> list[Any]:
            leaves, out_tree = tree_util.tree_flatten(fun(*tree_util.tree_unflatten(in_tree, xs)))
            out_trees.append(out_tree)
            return leaves

        rule = self.jvp

        def jvp(*xs: Any) -> list[Any]:
            half = len(xs) // 2
            primals = tree_util.tree_unflatten(in_tree, xs[:half])
            tangents = tree_util.tree_unflatten(in_tree, xs[half:])
            pair = rule(*static, primals, tangents)
            return check_jvp(self.__name__, pair, out_trees)

        jvp.__name__ = getattr(rule, "__name__", "jvp")  # as jaxprs print it
        outs = custom_jvp_call_p.bind_custom(
            flat_fun, jvp, *flat, name=self.__name__, symbolic_zeros=self.symbolic_zeros
        )
        return tree_util.tree_unflatten(out_trees[-1], outs)


def _zeros_of(x: Any) -> Any:
    return ad.zeros_like_aval(ad.tangent_aval(get_aval(x)))


def is_zero(t: Any) -> bool:
    return type(t) is Zero or getattr(t, "dtype", None) == float0


def check_jvp(name: str, pair: Any, out_trees: list[Any]) -> list[Any]:
    """The flat results and tangents of a rule; their structure is appended to `out_trees`.

    Raises:
      TypeError: no such pair, or tangents that are not those of the results.
    """
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise TypeError(
            f"Custom JVP rule for function {name} must produce a pair (list or tuple of length "
            f"two) representing primal and tangent outputs, but got {pair}."
        )
    primals, primal_tree = tree_util.tree_flatten(pair[0])
    tangents, tangent_tree = tree_util.tree_flatten(pair[1])
    if primal_tree != tangent_tree:
        raise TypeError(
            f"Custom JVP rule for function {name} must produce primal and tangent outputs with "
            f"equal container (pytree) structures, but got {primal_tree} and {tangent_tree}."
        )
    out_trees.append(primal_tree)
    checked = []
    for p, t in zip(primals, tangents):
        p_aval, t_aval = ad.tangent_aval(get_aval(p)), get_aval(t)
        if p_aval.shape != t_aval.shape or (
            p_aval.dtype != t_aval.dtype and p_aval.dtype != float0
        ):
            raise TypeError(
                "Custom JVP rule must produce primal and tangent outputs with equal shapes and "
                f"dtypes, but function {name} returned {get_aval(p).str_short()} with tangent "
                f"{t_aval.str_short()}, expected tangent {p_aval.str_short()}."
            )
        checked.append(Zero(p_aval) if p_aval.dtype == float0 else t)
    return [*primals, *checked]
