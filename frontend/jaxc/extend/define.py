"""`define_op`: a primitive of the user's, with its rules and its lowering in one place.

The decorated function says what the operation computes, in other operations. All else follows from
it, and may be stated instead: the NumPy kernel, the derivative, the batching rule, the lowering.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc.core import recording
from jaxc.core.array import Array, as_array, wrap
from jaxc.core.defined import DEFINED
from jaxc.core.primitive import Primitive, forget, primitive, register
from jaxc.core.trace import eval_context, get_aval
from jaxc.transforms import ad, batching
from jaxc.transforms.api import make_jaxpr, vmap
from jaxc.transforms.custom_jvp import check_jvp
from jaxc.transforms.jit import clear_caches
from jaxc.transforms.jvp import jvp_flat
from jaxc.transforms.stages import struct_of
from jaxc.transforms.trace_key import flags_key, typed
from jaxc_compiler.fingerprint import fingerprint
from jaxc_compiler.opset import user
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.op import Op


class _DefinedPrimitive(Primitive):
    """What is inferred depends on flags and on the types of parameters: the operation caches it."""

    __slots__ = ()

    def abstract_eval(self, *avals: ShapedArray, **params: Any) -> Any:
        return self.op.infer(*avals, **params)


class DefinedOp:
    """An operation made by `define_op`: call it with arrays and keyword parameters.

    Attributes:
      name: in jaxprs, and after `lax.` in the compiler's IR.
      fun: what it computes.
      primitive: what jaxprs hold.
    """

    def __init__(self, name: str, fun: Callable[..., Any], multiple_results: bool, replace: bool):
        functools.update_wrapper(self, fun)
        self.name, self.fun = name, fun
        self.params = _parameters(name, fun)
        self.multiple_results = multiple_results
        self._kernel: Callable[..., Any] | None = None
        self._jvp_rule: Callable[..., Any] | None = None
        self._batch_rule: Callable[..., Any] | None = None
        self._rule: Callable[..., Any] | None = None
        self._inferred: dict[Any, list[ShapedArray]] = {}
        self.primitive = self._register(replace)

    def _register(self, replace: bool) -> Primitive:
        op = Op(
            self.name,
            kind="elementwise",
            params=tuple(self.params),
            infer=self._infer,
            numpy=self._numpy,
            multiple_results=self.multiple_results,
        )
        again = self.name in DEFINED
        user.add(op, replace=replace or (again and _same_place(DEFINED[self.name].fun, self.fun)))
        if again:  # what was traced and compiled before holds the old one
            forget(self.name)
            clear_caches()
        DEFINED[self.name] = self
        made = _DefinedPrimitive(op)
        register(made)
        made.impl = self._run
        ad.primitive_jvps[made] = self._jvp
        batching.primitive_batchers[made] = self._batch
        return made

    def __call__(self, *args: Any, **params: Any) -> Any:
        self._check_present()
        unknown = params.keys() - self.params.keys()
        if unknown:
            raise TypeError(f"{self.name} got an unexpected parameter {sorted(unknown)[0]!r}")
        full = self.params | params
        for name, value in full.items():
            _check_parameter(self.name, name, value)
        outs = self.primitive.bind(*args, **full)
        return tuple(outs) if self.multiple_results else outs

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def remove(self) -> None:
        """Take the operation away; its name may be used again.

        Raises:
          RuntimeError: it was removed before, or replaced.
        """
        self._check_present()
        user.remove(self.name)
        forget(self.name)
        del DEFINED[self.name]
        clear_caches()

    def _check_present(self) -> None:
        found = DEFINED.get(self.name)
        if found is not self:
            what = "was removed" if found is None else "was replaced by another of that name"
            raise RuntimeError(f"op {self.name!r} {what}")

    # ---- what may be stated instead of following from the function

    def def_numpy(self, kernel: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: compute it eagerly by `kernel(*ndarrays, **params)`, on NumPy arrays."""
        self._kernel = kernel
        return kernel

    def def_jvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: `rule(primals, tangents, **params) -> (result, its tangent)`."""
        self._jvp_rule = rule
        return rule

    def def_batch(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: `rule(args, dims, **params) -> (result, its dim)`.

        `dims` holds the position of each argument's batch axis, None where it has none.
        """
        self._batch_rule = rule
        return rule

    def def_element(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: the lowering, one element at a time: `rule(s, *scalars, **params) -> scalar`.

        With it the operation is an op of its own for the compiler's passes, and elementwise: its
        arrays have one shape, that of the result, or none. `s` has a method for each elementwise
        primitive (`s.add`, `s.and_`), and `s.op("math.roundeven", x)` for MLIR's ops.
        """
        if self.multiple_results:
            raise TypeError(f"{self.name}: an element rule gives one result")
        self._rule = rule
        self._inferred.clear()
        user.add_rule(self.name, rule)
        return rule

    # ---- how transformations and the compiler see it

    @property
    def stays(self) -> bool:
        """Whether it is an op of its own in the compiler."""
        return self._rule is not None

    def fingerprint(self) -> str | None:
        """Text that changes when what it computes does; None if that cannot be told."""
        return fingerprint(*self.fingerprint_parts)

    @property
    def fingerprint_parts(self) -> tuple[Any, ...]:
        """What it depends on (see `jaxc_compiler.fingerprint`)."""
        return self.fun, self._rule, self._kernel, self._jvp_rule, self._batch_rule

    def _infer(self, *avals: ShapedArray, **params: Any) -> Any:
        key = (avals, typed(params), flags_key())
        found = self._inferred.get(key)
        if found is None:
            found = self._inferred[key] = self._traced_avals(avals, params)
        return found if self.multiple_results else found[0]

    def _traced_avals(self, avals: Sequence[ShapedArray], params: Any) -> list[ShapedArray]:
        with eval_context():
            outs = make_jaxpr(lambda *xs: self._flat(*xs, **params))(
                *map(struct_of, avals)
            ).out_avals
        if self._rule is not None:
            shapes = [a.shape for a in avals if a.shape not in ((), outs[0].shape)]
            if shapes:
                raise TypeError(
                    f"{self.name} has an element rule: its arguments must be scalars or of the "
                    f"result's shape {outs[0].shape}, got {shapes[0]}"
                )
        return list(outs)

    def _flat(self, *args: Any, **params: Any) -> list[Any]:
        outs = self.fun(*args, **params)
        if isinstance(outs, list | tuple) != self.multiple_results:
            wanted = "a tuple of arrays" if self.multiple_results else "one array"
            say = "" if self.multiple_results else " (or define_op(..., multiple_results=True))"
            raise TypeError(f"{self.name} must return {wanted}{say}, got {outs!r}")
        return list(outs) if self.multiple_results else [outs]

    def _run(self, *args: Any, **params: Any) -> Any:
        if self._kernel is None:
            outs = [as_array(out) for out in self._flat(*map(as_array, args), **params)]
            return outs if self.multiple_results else outs[0]
        avals = self._infer(*map(get_aval, args), **params)
        arrays = [np.asarray(as_array(a)) for a in args]
        with recording.span(self.name, "eager"):
            values = self._kernel(*arrays, **params)
        if not self.multiple_results:
            return self._wrapped(values, avals)
        return [self._wrapped(v, a) for v, a in zip(values, avals, strict=True)]

    def _wrapped(self, value: Any, aval: ShapedArray) -> Array:
        value = np.array(value)  # a copy: the user may keep what the kernel gave
        if (value.shape, value.dtype) != (aval.shape, aval.dtype):
            got = f"{value.dtype.name}{list(value.shape)}"
            message = f"the NumPy kernel of {self.name} must return {aval.str_short()}, got {got}"
            raise TypeError(message)
        return wrap(value, aval)

    def _numpy(self, *arrays: np.ndarray, **params: Any) -> Any:
        """For the compiler's reference interpreter and the folding of constants."""
        with eval_context():
            outs = self._run(*arrays, **params)
        return [np.asarray(out) for out in outs] if self.multiple_results else np.asarray(outs)

    def _jvp(self, primals: Any, tangents: Any, **params: Any) -> Any:
        if self._jvp_rule is not None:
            return self._ruled_jvp(primals, map(ad.instantiate_zeros, tangents), params)
        flat = functools.partial(self._flat, **params)
        outs, outs_dot = jvp_flat(flat, primals, tangents)
        return (outs, outs_dot) if self.multiple_results else (outs[0], outs_dot[0])

    def _ruled_jvp(self, primals: Any, tangents: Any, params: Any) -> Any:
        assert self._jvp_rule is not None
        pair = self._jvp_rule(tuple(primals), tuple(tangents), **params)
        flat = check_jvp(self.name, pair, [])
        outs, outs_dot = flat[: len(flat) // 2], flat[len(flat) // 2 :]
        wanted = self._infer(*map(get_aval, primals), **params)
        wanted = [a.str_short() for a in (wanted if self.multiple_results else [wanted])]
        got = [get_aval(out).str_short() for out in outs]
        if got != wanted:
            raise TypeError(
                f"the JVP rule of {self.name} must return {', '.join(wanted)}, got {', '.join(got)}"
            )
        return (outs, outs_dot) if self.multiple_results else (outs[0], outs_dot[0])

    def _batch(self, args: Any, dims: Any, **params: Any) -> Any:
        if self._batch_rule is not None:
            return self._batch_rule(tuple(args), tuple(dims), **params)
        if self._rule is not None:
            return self._batch_elements(args, dims, params)
        outs = vmap(functools.partial(self._flat, **params), in_axes=tuple(dims))(*args)
        return (outs, [0] * len(outs)) if self.multiple_results else (outs[0], 0)

    def _batch_elements(self, args: Sequence[Any], dims: Sequence[Any], params: Any) -> Any:
        """All arguments with the batch axis first; scalars that have none stay scalars."""
        avals = [get_aval(a) for a in args]
        inner = [
            a if d is None else a.update(shape=a.shape[:d] + a.shape[d + 1 :])
            for a, d in zip(avals, dims)
        ]
        shape = self._infer(*inner, **params).shape
        size = next(a.shape[d] for a, d in zip(avals, dims) if d is not None)
        lined = [
            x if d is None and not a.shape else _batch_first(x, d, a.shape, (size, *shape))
            for x, d, a in zip(args, dims, inner)
        ]
        return self.primitive.bind(*lined, **params), 0


def _same_place(old: Any, new: Any) -> bool:
    """Whether a function is another one's file run again.

    Functions that close over values may be two of one factory.
    """
    functions = [inspect.unwrap(each) for each in (old, new)]
    if any(getattr(each, "__closure__", None) for each in functions):
        return False
    places = [getattr(each, "__code__", None) for each in functions]
    files = [code and (code.co_filename, code.co_qualname) for code in places]
    return files[0] is not None and files[0] == files[1]


def _batch_first(x: Any, dim: int | None, inner: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """An argument with its batch axis first, and repeated along the axes of the result."""
    x = batching.bdim_at_front(x, dim, shape[0])
    if inner or len(shape) == 1:
        return x
    broadcast = primitive("broadcast_in_dim")
    return broadcast.bind(x, shape=shape, broadcast_dimensions=(0,), sharding=None)


def _parameters(name: str, fun: Callable[..., Any]) -> dict[str, Any]:
    """The keyword-only arguments of a function, with their defaults."""
    found = {}
    for parameter in inspect.signature(fun).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            found[parameter.name] = parameter.default
        elif parameter.kind is parameter.VAR_KEYWORD:
            raise TypeError(f"define_op {name!r}: parameters are named, not **{parameter.name}")
    return found


def _check_parameter(op: str, name: str, value: Any) -> None:
    if value is inspect.Parameter.empty:
        raise TypeError(f"{op} needs the parameter {name!r}")
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"{op}: parameter {name!r} must be hashable, got {type(value).__name__}"
        ) from None


def define_op(
    name: str, *, multiple_results: bool = False, replace: bool = False
) -> Callable[[Callable[..., Any]], DefinedOp]:
    """Decorator: make a primitive of a function of arrays.

    The function's positional arguments are arrays, its keyword-only ones static parameters. Eager
    calls, `jit` on every target, derivatives and `vmap` follow from it; `def_numpy`, `def_jvp`,
    `def_batch` and `def_element` of the result state them instead.

    Args:
      name: in jaxprs and, after `lax.`, in the compiler's IR.
      multiple_results: whether the function returns a tuple of arrays.
      replace: define a name of yours anew; functions that were jitted before are traced again. The
        same function of the same file, run again, needs no word, unless it closes over variables.

    Raises:
      ValueError: for a name that is taken.

    Example:
      >>> import jaxc.numpy as jnp
      >>> @define_op("soft_clip")
      ... def soft_clip(x, *, limit=1.0):
      ...     return limit * jnp.tanh(x / limit)
      >>> soft_clip(jnp.float32(3.0), limit=2.0).round(3)
      Array(1.81, dtype=float32)
      >>> soft_clip.remove()
    """

    def define(fun: Callable[..., Any]) -> DefinedOp:
        if not callable(fun):
            raise TypeError(f"define_op {name!r}: expected a function, got {fun!r}")
        return DefinedOp(name, fun, multiple_results, replace)

    return define
