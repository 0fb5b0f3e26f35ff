"""`while_loop` and `fori_loop`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core import dtypes
from jaxc.core.array import as_array, raw
from jaxc.core.config import config
from jaxc.core.jaxpr import ClosedJaxpr, eval_jaxpr
from jaxc.core.primitive import primitive
from jaxc.core.trace import Tracer, get_aval
from jaxc.lax.control_flow.tracing import (
    avals_of,
    convert_outputs,
    describe_mismatch,
    open_consts,
    promote_weak,
    rearrange,
    trace_body,
)
from jaxc.transforms import ad, batching, compiling
from jaxc.transforms import partial_eval as pe
from jaxc.transforms.calls import batched_jaxpr, jvp_jaxpr
from jaxc.transforms.staging import trace_to_jaxpr
from jaxc_compiler.opset.avals import ShapedArray, typematch

while_p = primitive("while")

# An eager loop is interpreted for this many equations, then the rest of it is compiled.
EAGER_EQUATIONS = 400


def while_loop(cond_fun: Callable[..., Any], body_fun: Callable[..., Any], init_val: Any) -> Any:
    """Repeat `val = body_fun(val)` while `cond_fun(val)` holds.

    Args:
      cond_fun: gives a boolean scalar.
      body_fun: gives a value of the structure and types of its argument.
      init_val: the first value.

    Raises:
      TypeError: if the condition is no boolean scalar or the body changes structure or types.

    Example:
      >>> from jaxc import lax
      >>> int(lax.while_loop(lambda n: n < 100, lambda n: 2 * n, 3))
      192
    """
    if not callable(cond_fun) or not callable(body_fun):
        raise TypeError("lax.while_loop: body_fun and cond_fun arguments should be callable.")
    if config.jax_disable_jit:
        return _python_while(cond_fun, body_fun, init_val)
    init, tree = tree_util.tree_flatten(init_val)
    args_tree = tree_util.treedef_tuple([tree])
    body, body_consts, body_tree = trace_body("while_loop", body_fun, args_tree, avals_of(init))
    promoted = None
    if body_tree == tree:
        promoted = promote_weak(init, avals_of(init), body.out_avals)
    if promoted is not None:
        init = promoted
        body, body_consts, body_tree = trace_body("while_loop", body_fun, args_tree, avals_of(init))
    cond, cond_consts, cond_tree = trace_body("while_loop", cond_fun, args_tree, avals_of(init))
    _check_condition(cond_tree, cond.out_avals)
    before = avals_of(init)
    if body_tree != tree or not all(map(typematch, before, body.out_avals)):
        raise TypeError(
            describe_mismatch("body_fun output and input", tree, body_tree, before, body.out_avals)
        )
    outs = while_p.bind(
        *cond_consts,
        *body_consts,
        *init,
        cond_jaxpr=cond,
        body_jaxpr=body,
        cond_nconsts=len(cond_consts),
        body_nconsts=len(body_consts),
    )
    return tree_util.tree_unflatten(tree, outs)


def _python_while(cond_fun: Any, body_fun: Any, val: Any) -> Any:
    while bool(cond_fun(val)):
        val = body_fun(val)
    return val


def _check_condition(tree: Any, avals: Any) -> None:
    if not tree_util.treedef_is_leaf(tree) or len(avals) != 1:
        raise TypeError(f"cond_fun must return a boolean scalar, but got pytree {tree}.")
    if avals[0].shape != () or avals[0].dtype != np.bool_:
        raise TypeError(
            "cond_fun must return a boolean scalar, but got output type(s) "
            f"{[a.str_short() for a in avals]}."
        )


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[..., Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
) -> Any:
    """`for i in range(lower, upper): val = body_fun(i, val)`.

    A loop with bounds known when traced is a `scan` and can be differentiated in reverse mode.

    Args:
      lower, upper: integer bounds.
      body_fun: function of the index and the value.
      init_val: the first value.
      unroll: hint for loops with known bounds.

    Example:
      >>> from jaxc import lax
      >>> int(lax.fori_loop(0, 5, lambda i, total: total + i, 0))
      10
    """
    from jaxc.lax.control_flow.scanning import scan

    if not callable(body_fun):
        raise TypeError("lax.fori_loop: body_fun argument should be callable.")
    dtype, weak = _bound_dtype(lower, upper)
    start, stop = _concrete(lower), _concrete(upper)
    if start is not None and stop is not None and not config.jax_disable_jit:

        def body(carry: Any, _: Any) -> Any:
            i, val = carry
            return (i + 1, body_fun(i, val)), None

        first = start if weak else np.asarray(start, dtype)[()]
        (_, out), _ = scan(
            body,
            (first, init_val),
            None,
            length=max(stop - start, 0),
            unroll=1 if unroll is None else unroll,
        )
        return out
    if unroll is not None:
        raise ValueError(
            "Can only use `unroll` in `fori_loop` if the loop bounds are statically known."
        )
    lower, upper = (_as_bound(b, dtype, weak) for b in (lower, upper))
    _, _, out = while_loop(
        lambda val: val[0] < val[1],
        lambda val: (val[0] + 1, val[1], body_fun(val[0], val[2])),
        (lower, upper, init_val),
    )
    return out


def _bound_dtype(lower: Any, upper: Any) -> tuple[Any, bool]:
    a, b = get_aval(lower), get_aval(upper)
    for aval in (a, b):
        if aval.shape != () or not dtypes.issubdtype(aval.dtype, np.integer):
            raise TypeError(f"fori_loop bounds must be integer scalars, got {aval.str_short()}")
    found, weak = dtypes.result_type(lower, upper, return_weak_type_flag=True)
    return found, weak


def _concrete(x: Any) -> int | None:
    if isinstance(x, Tracer):
        known = x.to_concrete_value()
        return None if known is None else operator.index(known)
    return int(raw(x))


def _as_bound(x: Any, dtype: Any, weak: bool) -> Any:
    aval = get_aval(x)
    if aval.dtype == dtype and aval.weak_type == weak:
        return x
    return primitive("convert_element_type").bind(x, new_dtype=dtype, weak_type=weak, sharding=None)


# ---- rules -----------------------------------------------------------------------------------


def while_impl(
    *args: Any,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> list[Any]:
    """Interpret a short loop; compile what is left of a long one."""
    cond_consts = args[:cond_nconsts]
    body_consts = args[cond_nconsts : cond_nconsts + body_nconsts]
    carry = list(args[cond_nconsts + body_nconsts :])
    budget = EAGER_EQUATIONS // max(1, len(body_jaxpr.eqns) + len(cond_jaxpr.eqns))
    while True:
        (go,) = eval_jaxpr(cond_jaxpr.jaxpr, cond_jaxpr.consts, *cond_consts, *carry)
        if not bool(raw(go)):
            return [as_array(c) for c in carry]
        if budget <= 0:
            break
        budget -= 1
        carry = eval_jaxpr(body_jaxpr.jaxpr, body_jaxpr.consts, *body_consts, *carry)
    program = _whole_loop(cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts, avals_of(args))
    return compiling.program_of(program, (), "while")(
        [as_array(a) for a in (*cond_consts, *body_consts, *carry)]
    )


while_p.impl = while_impl
_loops: dict[Any, ClosedJaxpr] = {}


def _whole_loop(cond: Any, body: Any, cond_nconsts: int, body_nconsts: int, avals: Any) -> Any:
    key = (cond, body, tuple(avals))
    found = _loops.get(key)
    if found is None:
        if len(_loops) > 256:
            _loops.clear()
        found = _loops[key] = trace_to_jaxpr(
            lambda *xs: while_p.bind(
                *xs,
                cond_jaxpr=cond,
                body_jaxpr=body,
                cond_nconsts=cond_nconsts,
                body_nconsts=body_nconsts,
            ),
            avals,
        )
    return found


def _split_args(args: Any, cond_nconsts: int, body_nconsts: int) -> tuple[Any, Any, Any]:
    n = cond_nconsts + body_nconsts
    return args[:cond_nconsts], args[cond_nconsts:n], args[n:]


def while_jvp(
    primals: Any,
    tangents: Any,
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> Any:
    nonzero = [type(t) is not ad.Zero for t in tangents]
    _, const_nz, carry_nz = _split_args(nonzero, cond_nconsts, body_nconsts)
    while True:
        body_jvp, out_nz = jvp_jaxpr(body_jaxpr, [*const_nz, *carry_nz], carry_nz)
        if out_nz == carry_nz:
            break
        carry_nz = [a or b for a, b in zip(carry_nz, out_nz)]
    cond_consts, consts, init = _split_args(primals, cond_nconsts, body_nconsts)
    _, consts_dot, init_dot = _split_args(tangents, cond_nconsts, body_nconsts)
    consts_dot = [t for t, nz in zip(consts_dot, const_nz) if nz]
    init_dot = [ad.instantiate_zeros(t) for t, nz in zip(init_dot, carry_nz) if nz]
    b, k, db = len(consts), len(init), len(consts_dot)
    order = [
        *range(b),
        *range(b + k, b + k + db),
        *range(b, b + k),
        *range(b + k + db, b + k + db + len(init_dot)),
    ]
    avals = [*avals_of(init), *avals_of(init_dot)]
    body = convert_outputs(rearrange(body_jvp, order), avals)
    cond = _with_extra_carry(cond_jaxpr, avals_of(init_dot))
    body, extra = open_consts(body)
    outs = while_p.bind(
        *cond_consts,
        *extra,
        *consts,
        *consts_dot,
        *init,
        *init_dot,
        cond_jaxpr=cond,
        body_jaxpr=body,
        cond_nconsts=cond_nconsts,
        body_nconsts=len(extra) + b + db,
    )
    dots = iter(outs[k:])
    return outs[:k], [
        next(dots) if nz else ad.Zero(ad.tangent_aval(a))
        for nz, a in zip(carry_nz, body_jaxpr.out_avals)
    ]


def _with_extra_carry(cond: ClosedJaxpr, avals: list[ShapedArray]) -> ClosedJaxpr:
    from jaxc.lax.control_flow.tracing import with_unused_args

    return with_unused_args(cond, avals, len(cond.in_avals))


ad.primitive_jvps[while_p] = while_jvp


def while_partial_eval(split: pe.SplitTrace, args: Any, params: dict) -> list[Any]:
    """Carries that depend on no unknowns are computed now; the unknown part runs the loop again.

    So a while loop can be linearized, but not transposed.
    """
    cond, body = params["cond_jaxpr"], params["body_jaxpr"]
    nc, nb = params["cond_nconsts"], params["body_nconsts"]
    unknown = [split.is_unknown(a) for a in args]
    cond_uk, const_uk, carry_uk = _split_args(unknown, nc, nb)
    while True:
        out = pe.partial_eval_jaxpr(body, [*const_uk, *carry_uk], carry_uk)
        if out.out_unknown == carry_uk:
            break
        carry_uk = [a or b for a, b in zip(carry_uk, out.out_unknown)]
    cond_unknown = pe.partial_eval_jaxpr(cond, [*cond_uk, *carry_uk]).out_unknown[0]
    record = while_p.bind_with_trace(split.unknown, args, params)
    if cond_unknown or all(carry_uk):
        return record
    keep = [not u for u in carry_uk]
    known_cond, _ = pe.dce_closed(cond, [True], [True] * nc + keep)
    known_body, used = pe.dce_closed(body, keep, [True] * nb + keep)
    consts = [a for a, u in zip(args[nc : nc + nb], used[:nb]) if u]
    carry = [a for a, k in zip(args[nc + nb :], keep) if k]
    consts_flags = [u for u, k in zip(const_uk, used[:nb]) if k]
    if any(consts_flags):
        known_body, used2 = pe.dce_closed(
            known_body, [True] * len(carry), [not f for f in consts_flags] + [True] * len(carry)
        )
        consts = [a for a, u in zip(consts, used2) if u]
    known = while_p.bind_with_trace(split.parent, (*args[:nc], *consts, *carry), {
        "cond_jaxpr": known_cond, "body_jaxpr": known_body, "cond_nconsts": nc,
        "body_nconsts": len(consts)})  # fmt: skip
    found = iter(known)
    return [next(found) if k else r for k, r in zip(keep, record)]


pe.partial_eval_rules[while_p] = while_partial_eval


def while_transpose(*_: Any, **__: Any) -> Any:
    raise ValueError(
        "Reverse-mode differentiation does not work for lax.while_loop or lax.fori_loop with "
        "dynamic start/stop values. Try using lax.scan, or using fori_loop with static start/stop."
    )


ad.primitive_transposes[while_p] = while_transpose


def while_batch(
    axis: Any,
    args: Any,
    dims: Any,
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> Any:
    cond_b, const_b, carry_b = _split_args(
        [d is not None for d in dims], cond_nconsts, body_nconsts
    )
    while True:
        _, out_b = batched_jaxpr(body_jaxpr, axis, [*const_b, *carry_b], carry_b)
        _, (pred_b,) = batched_jaxpr(cond_jaxpr, axis, [*cond_b, *carry_b])
        grown = [a or b or pred_b for a, b in zip(carry_b, out_b)]
        if grown == carry_b:
            break
        carry_b = grown
    new_args = []
    for a, d, b in zip(args, dims, [*cond_b, *const_b, *carry_b]):
        new_args.append(batching.bdim_at_front(a, d, axis.size) if b else a)
    body, _ = batched_jaxpr(body_jaxpr, axis, [*const_b, *carry_b], carry_b)
    cond, _ = batched_jaxpr(cond_jaxpr, axis, [*cond_b, *carry_b])
    cond_consts, consts, carry = _split_args(new_args, cond_nconsts, body_nconsts)
    if pred_b:
        body, cond, consts = _masked(body, cond, cond_consts, consts, carry)
        cond_nconsts = len(cond_consts)
    body, extra = open_consts(convert_outputs(body, avals_of(carry)))
    cond, cond_extra = open_consts(cond)
    outs = while_p.bind(
        *cond_extra,
        *cond_consts,
        *extra,
        *consts,
        *carry,
        cond_jaxpr=cond,
        body_jaxpr=body,
        cond_nconsts=len(cond_extra) + len(cond_consts),
        body_nconsts=len(extra) + len(consts),
    )
    return outs, [0 if b else None for b in carry_b]


def _masked(body: Any, cond: Any, cond_consts: Any, consts: Any, carry: Any) -> Any:
    """A batch of predicates: loop while any holds, keep the values of those that do not."""
    nc, nb = len(cond_consts), len(consts)

    def new_cond(*xs: Any) -> list[Any]:
        (pred,) = eval_jaxpr(cond.jaxpr, cond.consts, *xs)
        return [primitive("reduce_or").bind(pred, axes=(0,))]

    def new_body(*xs: Any) -> list[Any]:
        cc, bc, vals = xs[:nc], xs[nc : nc + nb], xs[nc + nb :]
        (pred,) = eval_jaxpr(cond.jaxpr, cond.consts, *cc, *vals)
        new = eval_jaxpr(body.jaxpr, body.consts, *bc, *vals)
        return [_where(pred, n, v) for n, v in zip(new, vals)]

    avals = avals_of(carry)
    traced_cond = trace_to_jaxpr(new_cond, [*avals_of(cond_consts), *avals])
    traced_body = trace_to_jaxpr(new_body, [*avals_of(cond_consts), *avals_of(consts), *avals])
    return traced_body, traced_cond, [*cond_consts, *consts]


def _where(pred: Any, new: Any, old: Any) -> Any:
    shape = get_aval(old).shape
    if len(shape) > 1:
        pred = primitive("broadcast_in_dim").bind(
            pred, shape=shape, broadcast_dimensions=(0,), sharding=None
        )
    return primitive("select_n").bind(pred, old, new)


batching.axis_primitive_batchers[while_p] = while_batch
