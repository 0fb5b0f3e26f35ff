"""Vectorization: `BatchTrace` pushes an extra axis through every primitive.

A batching rule takes the values and, for each, the position of its batch axis or `not_mapped`, and
gives the result with the position of its batch axis. Rules are derived by class of primitive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc.core.primitive import Primitive, primitive
from jaxc.core.trace import (
    Trace,
    Tracer,
    current_trace,
    extend_axis_env,
    get_aval,
    set_current_trace,
)
from jaxc.transforms.ad import Missing
from jaxc_compiler.opset.avals import ShapedArray

__all__ = ["BatchTrace", "Missing", "batch_flat", "bdim_at_front", "broadcast", "defbroadcasting",
           "defreducer", "defvectorized", "moveaxis", "not_mapped",
           "primitive_batchers"]  # fmt: skip

not_mapped = None
Dim = Any  # the position of a batch axis, or not_mapped

# rule(args, dims, **params) -> (out, out_dim)
primitive_batchers: dict[Primitive, Callable[..., Any]] = {}
# rule(axis, args, dims, **params): primitives that need the mapped axis's name and size
axis_primitive_batchers: dict[Primitive, Callable[..., Any]] = {}


class Axis:
    """The axis a vmap maps over: its size and name (None if it has none)."""

    __slots__ = ("name", "size")

    def __init__(self, size: int, name: Any = None):
        self.size = size
        self.name = name


class BatchTracer(Tracer):
    """A value with one axis hidden."""

    __slots__ = ("batch_dim", "val")

    def __init__(self, trace: BatchTrace, val: Any, batch_dim: int):
        self._trace = trace
        self.val = val
        self.batch_dim = batch_dim

    @property
    def aval(self) -> ShapedArray:
        aval = get_aval(self.val)
        shape = aval.shape[: self.batch_dim] + aval.shape[self.batch_dim + 1 :]
        return aval.update(shape=shape)

    def __repr__(self) -> str:
        batched = get_aval(self.val).str_short(short_dtypes=False)
        return f"VmapTracer(aval={self.aval.str_short(short_dtypes=False)}, batched={batched})"


class BatchTrace(Trace):
    """Interprets primitives on batched values; hands the arithmetic to its parent."""

    __slots__ = ("axis", "parent")

    def __init__(self, parent: Trace, axis: Axis):
        super().__init__()
        self.parent = parent
        self.axis = axis

    def unwrap(self, x: Any) -> tuple[Any, Dim]:
        if isinstance(x, BatchTracer) and x._trace is self:
            return x.val, x.batch_dim
        return x, not_mapped

    def wrap(self, val: Any, dim: Dim) -> Any:
        return val if dim is not_mapped else BatchTracer(self, val, dim)

    def unwrap_all(self, args: Sequence[Any]) -> tuple[list[Any], list[Dim]]:
        pairs = [self.unwrap(a) for a in args]
        return [v for v, _ in pairs], [d for _, d in pairs]

    def process_primitive(self, primitive: Any, args: tuple[Any, ...], params: dict) -> Any:
        vals, dims = self.unwrap_all(args)
        unmapped = all(d is not_mapped for d in dims)
        if primitive in axis_primitive_batchers and not (unmapped and self.axis.name is None):
            with set_current_trace(self.parent):
                out, dim = axis_primitive_batchers[primitive](self.axis, vals, dims, **params)
        elif unmapped:
            return primitive.bind_with_trace(self.parent, tuple(vals), params)
        else:
            rule = primitive_batchers.get(primitive)
            if rule is None:
                raise NotImplementedError(f"Batching rule for '{primitive}' not implemented")
            with set_current_trace(self.parent):
                out, dim = rule(vals, dims, **params)
        if not primitive.multiple_results:
            return self.wrap(out, dim)
        dims_out = dim if isinstance(dim, list | tuple) else [dim] * len(out)
        return [self.wrap(o, d) for o, d in zip(out, dims_out)]

    def process_custom_jvp_call(self, primitive: Any, fun: Any, jvp: Any, args: Any, params: dict):
        vals, dims = self.unwrap_all(args)
        if all(d is not_mapped for d in dims):
            with set_current_trace(self.parent):
                return primitive.bind_custom(fun, jvp, *vals, **params)
        batched_fun, out_dims = batch_subtrace(fun, self.axis, dims)
        batched_jvp, _ = batch_subtrace(jvp, self.axis, [*dims, *dims])
        with set_current_trace(self.parent):
            outs = primitive.bind_custom(batched_fun, batched_jvp, *vals, **params)
        return [self.wrap(o, d) for o, d in zip(outs, out_dims(outs))]

    def process_custom_vjp_call(
        self, primitive: Any, fun: Any, fwd: Any, bwd: Any, args: Any, params: dict
    ):
        from jaxc.transforms.custom_vjp import batch_custom_vjp

        vals, dims = self.unwrap_all(args)
        if all(d is not_mapped for d in dims):
            with set_current_trace(self.parent):
                return primitive.bind_custom(fun, fwd, bwd, *vals, **params)
        batched, out_dims = batch_custom_vjp(self.axis, fun, fwd, bwd, dims)
        with set_current_trace(self.parent):
            outs = primitive.bind_custom(*batched, *vals, **params)
        return [self.wrap(o, d) for o, d in zip(outs, out_dims(outs))]


def batch_flat(
    fun: Callable[..., Sequence[Any]],
    axis: Axis,
    args: Sequence[Any],
    in_dims: Sequence[Dim],
    out_dims: Callable[[], Sequence[Any]] | Sequence[Any],
) -> list[Any]:
    """Run a function on flat batched arguments, with the batch axes of the results where asked.

    `out_dims` may be a thunk called after the function ran (when the results' structure is known).
    """
    trace = BatchTrace(current_trace(), axis)
    tracers = [trace.wrap(a, d) for a, d in zip(args, in_dims)]
    with set_current_trace(trace), extend_axis_env(axis.name, axis.size):
        outs = fun(*tracers)
    pairs = [trace.unwrap(o) for o in outs]
    trace.invalidate()
    wanted = out_dims() if callable(out_dims) else out_dims
    return [match_axis(axis.size, d, w, v) for (v, d), w in zip(pairs, wanted, strict=True)]


def batch_subtrace(
    fun: Callable[..., Sequence[Any]], axis: Axis, in_dims: Sequence[Dim]
) -> tuple[Callable[..., Any], Callable[[Any], list[Dim]]]:
    """A function of batched values and, after a call, its results' batch axes (all of them 0)."""
    found: dict[str, Any] = {}

    def batched(*vals: Any) -> list[Any]:
        trace = BatchTrace(current_trace(), axis)
        tracers = [trace.wrap(v, d) for v, d in zip(vals, in_dims)]
        with set_current_trace(trace), extend_axis_env(axis.name, axis.size):
            outs = fun(*tracers)
        pairs = [trace.unwrap(o) for o in outs]
        found["dims"] = [0] * len(pairs)
        return [bdim_at_front(v, d, axis.size) for v, d in pairs]

    def out_dims(outs: Any) -> list[Dim]:
        return found.get("dims", [0] * len(outs))

    return batched, out_dims


def batch_jaxpr(
    closed: Any, axis: Axis, in_batched: Sequence[bool], instantiate: Sequence[bool] | bool
) -> tuple[Any, list[bool]]:
    """The jaxpr over batched arguments (batch axis 0), and which results are batched.

    `instantiate` marks results that must be batched even if they need not be.
    """
    from jaxc.core.jaxpr import eval_jaxpr
    from jaxc.transforms.staging import trace_to_jaxpr

    force = [instantiate] * len(closed.out_avals) if isinstance(instantiate, bool) else instantiate
    found: dict[str, list[bool]] = {}

    def fun(*args: Any) -> list[Any]:
        trace = BatchTrace(current_trace(), axis)
        tracers = [trace.wrap(a, 0 if b else None) for a, b in zip(args, in_batched)]
        with set_current_trace(trace), extend_axis_env(axis.name, axis.size):
            outs = eval_jaxpr(closed.jaxpr, closed.consts, *tracers)
        pairs = [trace.unwrap(o) for o in outs]
        trace.invalidate()
        found["out"] = [f or d is not not_mapped for f, (_, d) in zip(force, pairs)]
        return [
            bdim_at_front(v, d, axis.size) if b else v for (v, d), b in zip(pairs, found["out"])
        ]

    avals = [
        a.update(shape=(axis.size, *a.shape)) if b else a
        for a, b in zip(closed.in_avals, in_batched)
    ]
    batched = trace_to_jaxpr(fun, avals, closed.jaxpr.debug_info)
    return batched, found["out"]


# ---- moving batch axes --------------------------------------------------------------------------


def broadcast(x: Any, size: int, axis: int) -> Any:
    """A copy of x for every index of a new axis."""
    aval = get_aval(x)
    shape = (*aval.shape[:axis], size, *aval.shape[axis:])
    dims = tuple(np.int64(i) for i in range(len(shape)) if i != axis)  # prints as JAX's
    return primitive("broadcast_in_dim").bind(
        x, shape=shape, broadcast_dimensions=dims, sharding=None
    )


def moveaxis(x: Any, source: int, destination: int) -> Any:
    """Move one axis; the identity if it is there already."""
    ndim = len(get_aval(x).shape)
    source, destination = source % ndim, destination % ndim
    if source == destination:
        return x
    perm = [i for i in range(ndim) if i != source]
    perm.insert(destination, source)
    return primitive("transpose").bind(x, permutation=tuple(perm))


def bdim_at_front(x: Any, dim: Dim, size: int) -> Any:
    """x with its batch axis first, broadcast if it has none."""
    return broadcast(x, size, 0) if dim is not_mapped else moveaxis(x, dim, 0)


def bdim_at(x: Any, dim: Dim, size: int, axis: int) -> Any:
    return broadcast(x, size, axis) if dim is not_mapped else moveaxis(x, dim, axis)


def match_axis(size: int, dim: Dim, wanted: Any, x: Any) -> Any:
    """x with its batch axis where an out_axes entry wants it.

    Raises:
      ValueError: if `wanted` is None but the value is batched.
    """
    if wanted is None:
        if dim is not not_mapped:
            raise ValueError(
                "vmap has mapped output "
                f"(axis {dim} of {get_aval(x).str_short()}) but out_axes is None"
            )
        return x
    ndim = len(get_aval(x).shape) + (1 if dim is not_mapped else 0)
    if not -ndim <= wanted < ndim:
        raise ValueError(f"axis {wanted} is out of bounds for array of dimension {ndim}")
    return bdim_at(x, dim, size, wanted % ndim)


# ---- rules by class of primitive -------------------------------------------------------------


def defvectorized(prim: Primitive) -> None:
    """Elementwise with one operand: the batch axis stays where it is."""

    def rule(args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
        return prim.bind(*args, **params), dims[0]

    primitive_batchers[prim] = rule


def defbroadcasting(prim: Primitive) -> None:
    """Elementwise with several operands of equal shape."""

    def rule(args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
        return broadcast_batcher(prim, args, dims, **params)

    primitive_batchers[prim] = rule


def broadcast_batcher(
    prim: Primitive, args: Sequence[Any], dims: Sequence[Dim], **params: Any
) -> Any:
    """Line up the batch axes of elementwise operands, then apply the primitive."""
    shapes = [get_aval(a).shape for a in args]
    mapped = [(s, d) for s, d in zip(shapes, dims) if d is not not_mapped]
    shape, dim = mapped[0]
    if any(d != dim for _, d in mapped):
        dim = 0
    rank = max(len(s) - (d is not not_mapped) for s, d in zip(shapes, dims))
    # binary operations broadcast axes of size 1, the others want equal shapes
    size = shape[mapped[0][1]]
    unmapped = 1 if len(args) == 2 else size
    full = [_line_up(a, s, d, size if d is not not_mapped else unmapped, dim, rank)
            for a, s, d in zip(args, shapes, dims)]  # fmt: skip
    out = prim.bind(*full, **params)
    return (out, [dim] * len(out)) if prim.multiple_results else (out, dim)


def _line_up(x: Any, shape: Any, dim: Dim, size: int, out_dim: int, rank: int) -> Any:
    """An operand with its batch axis at `out_dim`; scalars stay scalars if they have none."""
    if dim is not_mapped:
        return x if not shape else broadcast(x, size, out_dim)
    if len(shape) - 1 < rank:  # a batch of scalars against arrays: repeat along their axes
        full = primitive("broadcast_in_dim")
        target = [1] * (rank + 1)
        target[out_dim] = size
        return full.bind(x, shape=tuple(target), broadcast_dimensions=(out_dim,), sharding=None)
    return moveaxis(x, dim, out_dim)


def defreducer(prim: Primitive) -> None:
    """Reductions with an `axes` parameter over all their operands' common axes."""

    def rule(args: Sequence[Any], dims: Sequence[Any], *, axes: Any, **params: Any) -> Any:
        dim = dims[0]
        shifted = tuple(np.int64(a + (a >= dim)) for a in axes)  # prints as JAX's
        out_dim = dim - sum(a < dim for a in axes)
        out = prim.bind(*args, axes=shifted, **params)
        return (out, [out_dim] * len(out)) if prim.multiple_results else (out, out_dim)

    primitive_batchers[prim] = rule
