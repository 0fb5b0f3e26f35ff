"""`scan`, `map` and `associative_scan`: loops over the leading axis of arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core.array import Array, as_array, raw, wrap
from jaxc.core.config import config
from jaxc.core.jaxpr import ClosedJaxpr, eval_jaxpr
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc.lax.control_flow.loops import EAGER_EQUATIONS
from jaxc.lax.control_flow.tracing import (
    avals_of,
    describe_mismatch,
    promote_weak,
    trace_body,
)
from jaxc.transforms import compiling
from jaxc.transforms.staging import trace_to_jaxpr
from jaxc_compiler.opset.avals import ShapedArray, typematch

scan_p = primitive("scan")


def scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
) -> tuple[Any, Any]:
    """Loop over the leading axis of `xs`, carrying a value along.

    Args:
      f: `f(carry, x) -> (carry, y)`; the carry keeps its structure and types.
      init: the first carry.
      xs: pytree of arrays with equal leading axes, or None.
      length: number of iterations; needed if `xs` has no leaves.
      reverse: go from the last element to the first.
      unroll: hint: how many iterations to unroll.

    Returns:
      The last carry, and the y's stacked along a new leading axis.

    Raises:
      ValueError: for unequal or missing lengths.
      TypeError: if the carry changes structure or type.

    Example:
      >>> import jaxc.numpy as jnp
      >>> from jaxc import lax
      >>> lax.scan(lambda total, x: (total + x, total), 0, jnp.arange(4))
      (Array(6, dtype=int32), Array([0, 0, 1, 3], dtype=int32, weak_type=True))
    """
    if not callable(f):
        raise TypeError("lax.scan: f argument should be a callable.")
    xs_flat, xs_tree = tree_util.tree_flatten(xs)
    length = _length(xs_flat, xs_tree, length)
    if config.jax_disable_jit:
        return _python_scan(f, init, xs_flat, xs_tree, length, reverse)
    init_flat, init_tree = tree_util.tree_flatten(init)
    x_avals = [a.update(shape=a.shape[1:]) for a in avals_of(xs_flat)]
    args_tree = tree_util.treedef_tuple([init_tree, xs_tree])

    def trace(carry: Sequence[Any]) -> Any:
        closed, consts, out = trace_body("scan", f, args_tree, [*avals_of(carry), *x_avals])
        return closed, consts, _split_result(f, out)

    closed, consts, (carry_tree, y_tree) = trace(init_flat)
    n = len(init_flat)
    if carry_tree == init_tree:
        promoted = promote_weak(init_flat, avals_of(init_flat), closed.out_avals[:n])
        if promoted is not None:
            init_flat = promoted
            closed, consts, (carry_tree, y_tree) = trace(init_flat)
    before, after = avals_of(init_flat), closed.out_avals[: carry_tree.num_leaves]
    if carry_tree != init_tree or not all(typematch(a, b) for a, b in zip(before, after)):
        raise TypeError(
            describe_mismatch(
                "scan body function carry input and carry output",
                init_tree,
                carry_tree,
                before,
                after,
            )
        )
    outs = scan_p.bind(
        *consts,
        *init_flat,
        *xs_flat,
        jaxpr=closed,
        length=length,
        num_consts=len(consts),
        num_carry=n,
        reverse=bool(reverse),
        unroll=_unroll(unroll, length),
    )
    return (
        tree_util.tree_unflatten(init_tree, outs[:n]),
        tree_util.tree_unflatten(y_tree, outs[n:]),
    )


def _unroll(unroll: Any, length: int) -> int:
    if isinstance(unroll, bool):
        return max(length, 1) if unroll else 1
    if unroll < 0:
        raise ValueError("`unroll` must be a `bool` or a non-negative `int`.")
    return max(unroll, 1)


def _length(xs: Sequence[Any], tree: Any, length: int | None) -> int:
    lengths = []
    for x in xs:
        shape = get_aval(x).shape
        if not shape:
            raise ValueError(
                "scan got value with no leading axis to scan over: "
                f"{[get_aval(x).str_short() for x in xs]}."
            )
        lengths.append(shape[0])
    if length is not None:
        try:
            length = int(length)
        except Exception as err:
            raise TypeError(
                "The `length` argument to `scan` expects a concrete `int` value."
            ) from err
        if any(n != length for n in lengths):
            raise ValueError(
                f"scan got `length` argument of {length} which disagrees with leading "
                f"axis sizes {lengths}."
            )
        return length
    if len(set(lengths)) > 1:
        raise ValueError(f"scan got values with different leading axis sizes: {lengths}.")
    if not lengths:
        raise ValueError("scan got no values to scan over and `length` not provided.")
    return lengths[0]


def _split_result(f: Any, out_tree: Any) -> tuple[Any, Any]:
    children = out_tree.children()
    if len(children) != 2 or out_tree.node_data() is None or out_tree.node_data()[0] is not tuple:
        raise TypeError(
            "scan body output must be a pair, got "
            f"{tree_util.tree_unflatten(out_tree, range(out_tree.num_leaves))}."
        )
    return children[0], children[1]


def _python_scan(f: Any, carry: Any, xs: Any, tree: Any, length: int, reverse: bool) -> Any:
    ys = []
    for i in reversed(range(length)) if reverse else range(length):
        carry, y = f(carry, tree_util.tree_unflatten(tree, [as_array(x)[i] for x in xs]))
        ys.append(y)
    if not ys:
        raise ValueError(
            "zero-length scan is not supported in disable_jit() mode because the "
            "output type is unknown."
        )
    ys = ys[::-1] if reverse else ys
    stacked = tree_util.tree_map(
        lambda *rows: wrap(
            np.stack([raw(r) for r in rows]),
            ShapedArray(
                (length, *get_aval(rows[0]).shape),
                rows[0].dtype,
                all(get_aval(r).weak_type for r in rows),
            ),
        ),
        *tree_util.tree_map(as_array, ys),
    )
    return carry, stacked


# ---- evaluation ------------------------------------------------------------------------------


def scan_impl(
    *args: Any,
    jaxpr: ClosedJaxpr,
    length: int,
    num_consts: int,
    num_carry: int,
    reverse: bool,
    unroll: int,
) -> list[Any]:
    """Interpret a short scan, compile a long one."""
    if length * max(1, len(jaxpr.eqns)) > EAGER_EQUATIONS:
        program = _whole_scan(jaxpr, length, num_consts, num_carry, reverse, tuple(avals_of(args)))
        return compiling.program_of(program, (), "scan")([as_array(a) for a in args])
    consts, carry = args[:num_consts], list(args[num_consts : num_consts + num_carry])
    xs = [raw(x) for x in args[num_consts + num_carry :]]
    avals = [
        get_aval(x).update(shape=get_aval(x).shape[1:]) for x in args[num_consts + num_carry :]
    ]
    y_avals = jaxpr.out_avals[num_carry:]
    ys = [np.zeros((length, *_stored(a)), _stored_dtype(a)) for a in y_avals]
    for i in reversed(range(length)) if reverse else range(length):
        rows = [wrap(x[i], a) for x, a in zip(xs, avals)]
        outs = eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, *consts, *carry, *rows)
        carry = outs[:num_carry]
        for y, row in zip(ys, outs[num_carry:]):
            y[i] = raw(row)
    carry = [_as(c, a) for c, a in zip(carry, jaxpr.out_avals[:num_carry])]
    return carry + [wrap(y, a.update(shape=(length, *a.shape))) for y, a in zip(ys, y_avals)]


def _stored(aval: ShapedArray) -> tuple[int, ...]:
    from jaxc.core.array import physical_shape

    return physical_shape(aval)


def _stored_dtype(aval: ShapedArray) -> Any:
    from jaxc.core.array import physical_dtype

    return physical_dtype(aval)


def _as(x: Any, aval: ShapedArray) -> Array:
    return x if type(x) is Array and x.aval == aval else wrap(np.asarray(raw(x)), aval)


scan_p.impl = scan_impl


@functools.lru_cache(256)
def _whole_scan(
    jaxpr: Any,
    length: int,
    num_consts: int,
    num_carry: int,
    reverse: bool,
    avals: tuple[ShapedArray, ...],
) -> ClosedJaxpr:
    return trace_to_jaxpr(
        lambda *xs: scan_p.bind(
            *xs,
            jaxpr=jaxpr,
            length=length,
            num_consts=num_consts,
            num_carry=num_carry,
            reverse=reverse,
            unroll=1,
        ),
        avals,
    )


# ---- map and associative_scan -------------------------------------------------------------------


def map(f: Callable[..., Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """Apply a function to every element of the leading axis, one after the other.

    Args:
      f: function of one element.
      xs: pytree of arrays with equal leading axes.
      batch_size: if given, elements are taken in batches of this size, each batch vectorized.

    Example:
      >>> import jaxc.numpy as jnp
      >>> from jaxc import lax
      >>> lax.map(lambda x: x * x, jnp.arange(3))
      Array([0, 1, 4], dtype=int32)
    """
    if batch_size is None:
        return scan(lambda _, x: ((), f(x)), (), xs)[1]
    from jaxc.transforms.api import vmap

    flat, tree = tree_util.tree_flatten(xs)
    length = _length(flat, tree, None)
    whole = length // batch_size
    if whole == 0:
        return vmap(f)(xs)

    def rows(start: int, stop: int) -> Any:
        return [primitive("slice").bind(
            as_traceable(x), start_indices=(start, *(0,) * (len(get_aval(x).shape) - 1)),
            limit_indices=(stop, *get_aval(x).shape[1:]), strides=None) for x in flat]  # fmt: skip

    def reshape(x: Any, shape: tuple[int, ...]) -> Any:
        return primitive("reshape").bind(x, new_sizes=shape, dimensions=None, sharding=None)

    batched = [reshape(x, (whole, batch_size, *get_aval(x).shape[1:]))
               for x in rows(0, whole * batch_size)]  # fmt: skip
    ys = scan(lambda _, x: ((), vmap(f)(x)), (), tree_util.tree_unflatten(tree, batched))[1]
    ys = tree_util.tree_map(lambda y: reshape(y, (whole * batch_size, *y.shape[2:])), ys)
    if whole * batch_size == length:
        return ys
    rest = vmap(f)(tree_util.tree_unflatten(tree, rows(whole * batch_size, length)))
    return tree_util.tree_map(
        lambda a, b: primitive("concatenate").bind(a, b, dimension=0), ys, rest
    )


def as_traceable(x: Any) -> Any:
    return as_array(x) if isinstance(x, np.ndarray) else x


def associative_scan(fn: Callable[..., Any], elems: Any, reverse: bool = False, axis: int = 0):
    """Prefix results of an associative function along an axis, in logarithmic depth.

    Args:
      fn: associative function of two pytrees like `elems`, elementwise along the axis.
      elems: pytree of arrays.
      reverse: from the last element to the first.
      axis: the axis.

    Example:
      >>> import jaxc.numpy as jnp
      >>> from jaxc import lax
      >>> lax.associative_scan(jnp.add, jnp.arange(4))
      Array([0, 1, 3, 6], dtype=int32)
    """
    if not callable(fn):
        raise TypeError("lax.associative_scan: fn argument should be callable.")
    flat, tree = tree_util.tree_flatten(elems)
    ndim = len(get_aval(flat[0]).shape)
    axis = axis % ndim if -ndim <= axis < ndim else axis
    size = get_aval(flat[0]).shape[axis]
    for x in flat[1:]:
        if get_aval(x).shape[axis] != size:
            raise ValueError(
                "Array inputs to associative_scan must have the same first dimension. "
                f"(saw: {[get_aval(x).shape for x in flat]})"
            )
    if reverse:
        flat = [primitive("rev").bind(x, dimensions=(axis,)) for x in flat]

    def combine(a: list[Any], b: list[Any]) -> list[Any]:
        c = fn(tree_util.tree_unflatten(tree, a), tree_util.tree_unflatten(tree, b))
        return tree_util.tree_leaves(c)

    outs = _prefix(combine, flat, axis)
    if reverse:
        outs = [primitive("rev").bind(x, dimensions=(axis,)) for x in outs]
    return tree_util.tree_unflatten(tree, outs)


def _take(x: Any, start: int, stop: int, step: int, axis: int) -> Any:
    shape = get_aval(x).shape
    starts = tuple(start if i == axis else 0 for i in range(len(shape)))
    limits = tuple(stop if i == axis else n for i, n in enumerate(shape))
    strides = tuple(step if i == axis else 1 for i in range(len(shape)))
    return primitive("slice").bind(x, start_indices=starts, limit_indices=limits, strides=strides)


def _prefix(combine: Any, elems: list[Any], axis: int) -> list[Any]:
    n = get_aval(elems[0]).shape[axis]
    if n < 2:
        return elems
    evens = [_take(x, 0, n - 1, 2, axis) for x in elems]
    odds = [_take(x, 1, n, 2, axis) for x in elems]
    odd = _prefix(combine, combine(evens, odds), axis)
    m = get_aval(odd[0]).shape[axis]
    left = [_take(x, 0, m - 1, 1, axis) for x in odd] if n % 2 == 0 else odd
    even = combine(left, [_take(x, 2, n, 2, axis) for x in elems])
    even = [
        primitive("concatenate").bind(_take(x, 0, 1, 1, axis), y, dimension=axis)
        for x, y in zip(elems, even)
    ]
    return [_interleave(a, b, axis) for a, b in zip(even, odd)]


def _interleave(a: Any, b: Any, axis: int) -> Any:
    n, m = get_aval(a).shape[axis], get_aval(b).shape[axis]
    aval = get_aval(a)
    zero = np.zeros((), aval.dtype)[()]
    is_bool = aval.dtype == np.bool_

    def spread(x: Any, low: int, high: int) -> Any:
        padding = tuple((low, high, 1) if i == axis else (0, 0, 0) for i in range(aval.ndim))
        return primitive("pad").bind(x, zero, padding_config=padding)

    left, right = spread(a, 0, 1 if n == m else 0), spread(b, 1, 0 if n == m else 1)
    return primitive("or" if is_bool else "add").bind(left, right)
