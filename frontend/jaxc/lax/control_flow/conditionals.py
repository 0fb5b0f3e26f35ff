"""`cond` and `switch`: run one of several branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core import dtypes
from jaxc.core.array import as_array, raw
from jaxc.core.config import config
from jaxc.core.jaxpr import ClosedJaxpr, eval_jaxpr
from jaxc.core.primitive import primitive
from jaxc.core.trace import NotOnHost, Tracer, get_aval, set_current_trace
from jaxc.lax.control_flow.tracing import (
    avals_of,
    convert_outputs,
    join_weak_types,
    open_consts,
    trace_body,
    with_unused_args,
)
from jaxc.transforms import ad, batching
from jaxc.transforms import partial_eval as pe
from jaxc.transforms.calls import batched_jaxpr, jvp_jaxpr, split_jaxpr, transpose_jaxpr
from jaxc_compiler.opset.avals import typematch

cond_p = primitive("cond")
_no_operand = object()


def switch(
    index: Any, branches: Sequence[Callable[..., Any]], *operands: Any, operand: Any = _no_operand
) -> Any:
    """Run `branches[clamp(index)](*operands)`.

    Args:
      index: integer scalar; clamped to the number of branches.
      branches: functions with results of equal structure and types.
      operands: arguments of the branch.

    Raises:
      TypeError: if the branches' results differ in structure or type, or index is no integer
        scalar.
      ValueError: without branches.

    Example:
      >>> from jaxc import lax
      >>> int(lax.switch(1, [lambda x: x, lambda x: -x], 3))
      -3
    """
    if not all(callable(b) for b in branches):
        raise TypeError("lax.switch: branches argument should be a sequence of callables.")
    if operand is not _no_operand:
        operands = (operand,)
    aval = _scalar_aval("Index", index)
    if not dtypes.issubdtype(aval.dtype, np.integer):
        raise TypeError(f"Index type must be an integer, got {aval.dtype}.")
    if not branches:
        raise ValueError("Empty branch sequence")
    if len(branches) == 1:
        return branches[0](*operands)
    if config.jax_disable_jit and not isinstance(index, Tracer):
        return branches[int(np.clip(int(index), 0, len(branches) - 1))](*operands)
    index = _convert(index, np.dtype(np.int32))
    low, high = np.array(0, np.int32), np.array(len(branches) - 1, np.int32)
    index = primitive("clamp").bind(low, index, high)
    return _run("switch", index, list(branches), operands)


def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
    operand: Any = _no_operand,
    **_: Any,
) -> Any:
    """Run `true_fun(*operands)` if `pred` holds, else `false_fun(*operands)`.

    Args:
      pred: scalar; a number counts as true if it is not zero.
      true_fun, false_fun: functions with results of equal structure and types.
      operands: their arguments.

    Raises:
      TypeError: if pred is no scalar or the branches' results differ in structure or type.

    Example:
      >>> from jaxc import lax
      >>> float(lax.cond(True, lambda x: x + 1.0, lambda x: x - 1.0, 1.0))
      2.0
    """
    if not callable(true_fun) or not callable(false_fun):
        raise TypeError("lax.cond: true_fun and false_fun arguments should be callable.")
    if operand is not _no_operand:
        if operands:
            raise TypeError(
                "if 'operand' keyword is passed then no positional operands can be "
                f"passed, got operand={operand} and positional operands {operands}"
            )
        operands = (operand,)
    aval = _scalar_aval("Pred", pred)
    if not (aval.dtype == np.bool_ or dtypes.issubdtype(aval.dtype, np.number)):
        raise TypeError(f"Pred type must be either boolean or number, got {aval.dtype}.")
    if config.jax_disable_jit and not isinstance(pred, Tracer):
        return (true_fun if bool(pred) else false_fun)(*operands)
    if aval.dtype != np.bool_:
        pred = primitive("ne").bind(pred, np.zeros((), aval.dtype))
    index = _convert(pred, np.dtype(np.int32))
    return _run("cond", index, [false_fun, true_fun], operands)


def _scalar_aval(what: str, x: Any) -> Any:
    try:
        aval = get_aval(x)
    except TypeError:
        raise TypeError(f"{what} must be a scalar, got {x!r} of type {type(x)}.") from None
    if aval.shape != ():
        raise TypeError(f"{what} must be a scalar, got {x} of shape {aval.shape}.")
    return aval


def _convert(x: Any, dtype: Any) -> Any:
    if not isinstance(x, NotOnHost):
        return np.asarray(raw(x)).astype(dtype)[()]
    if x.dtype == dtype and not x.aval.weak_type:
        return x
    return primitive("convert_element_type").bind(
        x, new_dtype=dtype, weak_type=False, sharding=None
    )


def _run(name: str, index: Any, branches: list[Any], operands: tuple[Any, ...]) -> Any:
    flat, tree = tree_util.tree_flatten(operands)
    traced = [trace_body(name, f, tree, avals_of(flat)) for f in branches]
    out_trees = [t for _, _, t in traced]
    jaxprs, consts = _common_consts([c for c, _, _ in traced], [k for _, k, _ in traced])
    for i, (jaxpr, out_tree) in enumerate(zip(jaxprs[1:], out_trees[1:]), 1):
        _check_branches(name, i, out_trees[0], out_tree, jaxprs[0].out_avals, jaxpr.out_avals)
    joined = join_weak_types([j.out_avals for j in jaxprs])
    jaxprs = [convert_outputs(j, joined) for j in jaxprs]
    outs = cond_p.bind(index, *consts, *flat, branches=tuple(jaxprs))
    return tree_util.tree_unflatten(out_trees[0], outs)


def _common_consts(
    jaxprs: list[ClosedJaxpr], consts: list[list[Any]]
) -> tuple[list[ClosedJaxpr], list[Any]]:
    """Give all branches the same leading arguments: the union of what they close over."""
    union = {id(c): c for branch in consts for c in branch}
    order = {key: i for i, key in enumerate(union)}
    out = []
    for jaxpr, own in zip(jaxprs, consts):
        invars = jaxpr.jaxpr.invars
        leading: list[Any] = [None] * len(union)
        for var, c in zip(invars, own):
            leading[order[id(c)]] = var
        missing = [c for c, v in zip(union.values(), leading) if v is None]
        unused = iter(with_unused_args(jaxpr, avals_of(missing), 0).jaxpr.invars[: len(missing)])
        leading = [next(unused) if v is None else v for v in leading]
        full = jaxpr.jaxpr.replace(invars=[*leading, *invars[len(own) :]])
        out.append(ClosedJaxpr(full, ()))
    return out, list(union.values())


def _check_branches(name: str, i: int, tree: Any, other: Any, avals: Any, others: Any) -> None:
    labels = ("false_fun", "true_fun") if name == "cond" else ("branch 0", f"branch {i}")
    if tree != other:
        raise TypeError(
            f"{labels[1]} and {labels[0]} output must have same type structure, got {other} and "
            f"{tree}."
        )
    if not all(typematch(a, b) for a, b in zip(avals, others)):
        raise TypeError(
            f"{labels[1]} and {labels[0]} output must have identical types, got "
            f"{[a.str_short() for a in others]} and {[a.str_short() for a in avals]}."
        )


# ---- rules -----------------------------------------------------------------------------------


def cond_impl(index: Any, *operands: Any, branches: Any) -> list[Any]:
    i = int(np.clip(int(raw(index)), 0, len(branches) - 1))
    return [as_array(x) for x in eval_jaxpr(branches[i].jaxpr, branches[i].consts, *operands)]


cond_p.impl = cond_impl


def _bind(index: Any, operands: Sequence[Any], branches: Sequence[ClosedJaxpr]) -> list[Any]:
    """Bind with branches whose constants differ: they become operands."""
    opened = [open_consts(b) for b in branches]
    if any(consts for _, consts in opened):
        branches, consts = _common_consts([b for b, _ in opened], [c for _, c in opened])
        operands = [*consts, *operands]
    return cond_p.bind(index, *operands, branches=tuple(branches))


def cond_jvp(primals: Any, tangents: Any, *, branches: Any) -> Any:
    index, *operands = primals
    nonzero = [type(t) is not ad.Zero for t in tangents[1:]]
    found = [jvp_jaxpr(b, nonzero)[1] for b in branches]
    nonzero_out = [any(flags) for flags in zip(*found)] if found[0] else []
    jvps = [jvp_jaxpr(b, nonzero, nonzero_out)[0] for b in branches]
    joined = join_weak_types([j.out_avals for j in jvps])
    given = [t for t in tangents[1:] if type(t) is not ad.Zero]
    outs = _bind(index, [*operands, *given], [convert_outputs(j, joined) for j in jvps])
    n = len(nonzero_out)
    dots = iter(outs[n:])
    avals = [ad.tangent_aval(a) for a in branches[0].out_avals]
    return outs[:n], [next(dots) if nz else ad.Zero(a) for nz, a in zip(nonzero_out, avals)]


ad.primitive_jvps[cond_p] = cond_jvp


def cond_partial_eval(split: pe.SplitTrace, args: Any, params: dict) -> list[Any]:
    branches = params["branches"]
    index, *operands = args
    if split.is_unknown(index):
        return cond_p.bind_with_trace(split.unknown, args, params)
    known_ops, unknown = pe.known_values(split, operands)
    out_unknown = [
        any(flags) for flags in zip(*(split_jaxpr(b, unknown).out_unknown for b in branches))
    ]
    parts = [split_jaxpr(b, unknown, out_unknown) for b in branches]
    knowns, unknowns, n_res = _join_residuals(parts)
    n_known = sum(not u for u in out_unknown)
    outs: list[Any] = []
    if knowns[0].out_avals:
        with set_current_trace(split.parent):
            outs = _bind(index, known_ops, knowns)
    residuals = outs[n_known : n_known + n_res]
    unknown_outs: list[Any] = []
    if any(out_unknown):
        rest = [o for o, u in zip(operands, unknown) if u]
        with set_current_trace(split.unknown):
            unknown_outs = _bind(index, [*residuals, *rest], unknowns)
    return pe.merge(out_unknown, outs[:n_known], unknown_outs)


def _join_residuals(
    parts: Sequence[pe.Split],
) -> tuple[list[ClosedJaxpr], list[ClosedJaxpr], int]:
    """Give the known branches the same results and the unknown branches the same arguments.

    A residual of one branch shares its slot with residuals of equal type of the others; a branch
    that has none for a slot hands over zeros.
    """
    slots: list[Any] = []
    assigned: list[list[int]] = []
    for part in parts:
        free, own = list(range(len(slots))), []
        for aval in [v.aval for v in part.unknown.jaxpr.invars[: part.num_residuals]]:
            slot = next((s for s in free if typematch(slots[s], aval)), None)
            if slot is None:
                slots.append(aval)
                slot = len(slots) - 1
            else:
                free.remove(slot)
            own.append(slot)
        assigned.append(own)
    knowns, unknowns = [], []
    for part, own in zip(parts, assigned):
        knowns.append(_known_with_slots(part, own, slots))
        unknowns.append(_unknown_with_slots(part, own, slots))
    return knowns, unknowns, len(slots)


def _known_with_slots(part: pe.Split, own: list[int], slots: list[Any]) -> ClosedJaxpr:
    from jaxc.transforms.staging import trace_to_jaxpr

    n_out = len(part.known.out_avals) - part.num_residuals

    def fun(*args: Any) -> list[Any]:
        outs = eval_jaxpr(part.known.jaxpr, part.known.consts, *args)
        filled = dict(zip(own, outs[n_out:]))
        return outs[:n_out] + [
            filled[s] if s in filled else ad.zeros_like_aval(aval) for s, aval in enumerate(slots)
        ]

    traced = trace_to_jaxpr(fun, part.known.in_avals)
    return convert_outputs(traced, [*part.known.out_avals[:n_out], *slots])


def _unknown_with_slots(part: pe.Split, own: list[int], slots: list[Any]) -> ClosedJaxpr:
    invars = part.unknown.jaxpr.invars
    residuals = dict(zip(own, invars[: part.num_residuals]))
    missing = [a for s, a in enumerate(slots) if s not in residuals]
    unused = iter(with_unused_args(part.unknown, missing, 0).jaxpr.invars[: len(missing)])
    leading = [residuals[s] if s in residuals else next(unused) for s in range(len(slots))]
    jaxpr = part.unknown.jaxpr.replace(invars=[*leading, *invars[part.num_residuals :]])
    return ClosedJaxpr(jaxpr, part.unknown.consts)


pe.partial_eval_rules[cond_p] = cond_partial_eval


def cond_transpose(cts: Any, index: Any, *operands: Any, branches: Any) -> list[Any]:
    from jaxc.transforms.staging import trace_to_jaxpr

    linear = [ad.is_undefined_primal(o) for o in operands]
    nonzero = [type(ct) is not ad.Zero for ct in cts]
    lin_avals = [ad.tangent_aval(o.aval) for o in operands if ad.is_undefined_primal(o)]

    def instantiated(branch: ClosedJaxpr) -> ClosedJaxpr:
        back, nonzero_out = transpose_jaxpr(branch, linear, nonzero)

        def fun(*args: Any) -> list[Any]:
            outs = iter(eval_jaxpr(back.jaxpr, back.consts, *args))
            return [
                next(outs) if nz else ad.zeros_like_aval(a) for nz, a in zip(nonzero_out, lin_avals)
            ]

        return convert_outputs(trace_to_jaxpr(fun, back.in_avals), lin_avals)

    given = [o for o, lin in zip(operands, linear) if not lin]
    given += [ct for ct in cts if type(ct) is not ad.Zero]
    outs = iter(_bind(index, given, [instantiated(b) for b in branches]))
    return [None, *(next(outs) if lin else None for lin in linear)]


ad.primitive_transposes[cond_p] = cond_transpose


def cond_batch(axis: Any, args: Any, dims: Any, *, branches: Any) -> Any:
    index, *operands = args
    index_dim, *op_dims = dims
    batched = [d is not None for d in op_dims]
    operands = [
        batching.moveaxis(o, d, 0) if d is not None else o for o, d in zip(operands, op_dims)
    ]
    if index_dim is not None:
        return _select_branches(
            axis, batching.moveaxis(index, index_dim, 0), operands, batched, branches
        )
    out_batched = [any(f) for f in zip(*(batched_jaxpr(b, axis, batched)[1] for b in branches))]
    new = [batched_jaxpr(b, axis, batched, out_batched)[0] for b in branches]
    outs = _bind(index, operands, new)
    return outs, [0 if b else None for b in out_batched]


def _select_branches(axis: Any, index: Any, operands: Any, batched: Any, branches: Any) -> Any:
    """A batch of indices: run all branches, select for each element of the batch."""
    results = []
    for branch in branches:
        new, _ = batched_jaxpr(branch, axis, batched, True)
        results.append(eval_jaxpr(new.jaxpr, new.consts, *operands))
    if len(branches) == 2:
        index = primitive("ne").bind(index, np.int32(0))
    else:
        index = primitive("clamp").bind(np.int32(0), index, np.int32(len(branches) - 1))
    outs = []
    for cases in zip(*results):
        shape = get_aval(cases[0]).shape
        which = index
        if len(shape) > 1:
            which = primitive("broadcast_in_dim").bind(
                index, shape=shape, broadcast_dimensions=(0,), sharding=None
            )
        outs.append(primitive("select_n").bind(which, *cases))
    return outs, [0] * len(outs)


batching.axis_primitive_batchers[cond_p] = cond_batch


def cond_dce(used: list[bool], eqn: Any) -> tuple[list[bool], Any]:
    branches = eqn.params["branches"]
    if all(used):
        return [True] * len(eqn.invars), eqn
    keep = [any(f) for f in zip(*(pe.dce_jaxpr(b.jaxpr, used)[1] for b in branches))]
    new = tuple(ClosedJaxpr(pe.dce_jaxpr(b.jaxpr, used, keep)[0], b.consts) for b in branches)
    used_in = [True, *keep]
    return used_in, eqn.replace(
        invars=[v for v, u in zip(eqn.invars, used_in) if u],
        outvars=[v for v, u in zip(eqn.outvars, used) if u],
        params={"branches": new},
    )


pe.dce_rules[cond_p] = cond_dce
