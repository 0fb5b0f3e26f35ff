"""How `scan` is differentiated, split, transposed, batched and pruned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxc.core.jaxpr import ClosedJaxpr, Literal, eval_jaxpr
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval, set_current_trace
from jaxc.lax.control_flow.tracing import avals_of, convert_outputs, open_consts, rearrange
from jaxc.transforms import ad, batching
from jaxc.transforms import partial_eval as pe
from jaxc.transforms.calls import batched_jaxpr, jvp_jaxpr, split_jaxpr, transpose_jaxpr
from jaxc.transforms.staging import trace_to_jaxpr

scan_p = primitive("scan")


def split3(xs: Sequence[Any], num_consts: int, num_carry: int) -> tuple[Any, Any, Any]:
    """(consts, carry, scanned)."""
    n = num_consts + num_carry
    return list(xs[:num_consts]), list(xs[num_consts:n]), list(xs[n:])


def _bind(consts: Any, carry: Any, xs: Any, body: ClosedJaxpr, params: dict) -> list[Any]:
    body, extra = open_consts(body)
    return scan_p.bind(
        *extra,
        *consts,
        *carry,
        *xs,
        jaxpr=body,
        num_consts=len(extra) + len(consts),
        num_carry=len(carry),
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )


def _fix_carry(body: ClosedJaxpr, carry: Sequence[Any]) -> ClosedJaxpr:
    avals = avals_of(carry)
    return convert_outputs(body, [*avals, *body.out_avals[len(avals) :]])


def scan_jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    body, nc, nk = params["jaxpr"], params["num_consts"], params["num_carry"]
    nonzero = [type(t) is not ad.Zero for t in tangents]
    const_nz, carry_nz, xs_nz = split3(nonzero, nc, nk)
    n_ys = len(body.out_avals) - nk
    while True:
        jvp, out_nz = jvp_jaxpr(body, [*const_nz, *carry_nz, *xs_nz], carry_nz + [False] * n_ys)
        if out_nz[:nk] == carry_nz:
            break
        carry_nz = [a or b for a, b in zip(carry_nz, out_nz)]
    ys_nz = out_nz[nk:]
    consts, init, xs = split3(primals, nc, nk)
    consts_dot, init_dot, xs_dot = split3(tangents, nc, nk)
    consts_dot = [t for t, nz in zip(consts_dot, const_nz) if nz]
    init_dot = [ad.instantiate_zeros(t) for t, nz in zip(init_dot, carry_nz) if nz]
    xs_dot = [t for t, nz in zip(xs_dot, xs_nz) if nz]
    n, dc, dk = len(primals), len(consts_dot), len(init_dot)
    inputs = [
        *range(nc),
        *range(n, n + dc),
        *range(nc, nc + nk),
        *range(n + dc, n + dc + dk),
        *range(nc + nk, n),
        *range(n + dc + dk, n + dc + dk + len(xs_dot)),
    ]
    m = nk + n_ys
    outputs = [*range(nk), *range(m, m + dk), *range(nk, m), *range(m + dk, m + dk + sum(ys_nz))]
    carry = [*init, *init_dot]
    jvp = _fix_carry(rearrange(jvp, inputs, outputs), carry)
    outs = _bind([*consts, *consts_dot], carry, [*xs, *xs_dot], jvp, params)
    carry_out, carry_dot = outs[:nk], iter(outs[nk : nk + dk])
    ys, ys_dot = outs[nk + dk : nk + dk + n_ys], iter(outs[nk + dk + n_ys :])
    dots = [next(carry_dot) if nz else None for nz in carry_nz]
    dots += [next(ys_dot) if nz else None for nz in ys_nz]
    primals_out = [*carry_out, *ys]
    return primals_out, [
        ad.Zero.from_primal_value(p) if t is None else t for p, t in zip(primals_out, dots)
    ]


ad.primitive_jvps[scan_p] = scan_jvp


def scan_partial_eval(split: pe.SplitTrace, args: Any, params: dict) -> list[Any]:
    """A scan of what is known, which stacks residuals, and a scan of the rest over them."""
    body, nc, nk = params["jaxpr"], params["num_consts"], params["num_carry"]
    const_uk, carry_uk, xs_uk = split3([split.is_unknown(a) for a in args], nc, nk)
    n_ys = len(body.out_avals) - nk
    while True:
        parts = split_jaxpr(body, [*const_uk, *carry_uk, *xs_uk], carry_uk + [False] * n_ys)
        if parts.out_unknown[:nk] == carry_uk:
            break
        carry_uk = [a or b for a, b in zip(carry_uk, parts.out_unknown)]
    consts, init, xs = split3(args, nc, nk)
    known_consts, unknown_consts = pe.partition(const_uk, consts)
    known_init, unknown_init = pe.partition(carry_uk, init)
    known_xs, unknown_xs = pe.partition(xs_uk, xs)
    residuals, known_outs = _run_known(split, parts, known_consts, known_init, known_xs, params)
    if not any(parts.out_unknown):
        return known_outs
    invariant = [kind == "const" for kind, _ in residuals]
    stacked, fixed = pe.partition(invariant, [r for _, r in residuals])
    r, c = len(residuals), len(unknown_consts)
    k = len(unknown_init)
    positions = list(range(r))
    stacked_at, fixed_at = pe.partition(invariant, positions)
    inputs = [*fixed_at, *range(r, r + c + k), *stacked_at,
              *range(r + c + k, r + c + k + len(unknown_xs))]  # fmt: skip
    unknown_body = rearrange(parts.unknown, inputs)
    with set_current_trace(split.unknown):
        unknown_body = _fix_carry(unknown_body, unknown_init)
        unknown_outs = _bind([*fixed, *unknown_consts], unknown_init, [*stacked, *unknown_xs],
                             unknown_body, params)  # fmt: skip
    return pe.merge(parts.out_unknown, known_outs, unknown_outs)


def _run_known(
    split: pe.SplitTrace, parts: pe.Split, consts: Any, init: Any, xs: Any, params: dict
) -> tuple[list[tuple[str, Any]], list[Any]]:
    """Run the known scan.

    Residuals that are its own constants or scanned operands are handed on rather than stacked.

    Returns:
      ("const" | "stacked", value) for each residual, and the known results.
    """
    known, n_res = parts.known, parts.num_residuals
    n_out = len(known.out_avals) - n_res
    invars = known.jaxpr.invars
    nc, nk = len(consts), len(init)
    const_of = dict(zip(invars[:nc], consts))
    const_of.update(zip(known.jaxpr.constvars, known.consts))
    xs_of = dict(zip(invars[nc + nk :], xs))
    computed: list[int] = []
    found: list[Any] = []
    for i, atom in enumerate(known.jaxpr.outvars[n_out:]):
        if type(atom) is not Literal and atom in const_of:
            found.append(("const", const_of[atom]))
        elif type(atom) is not Literal and atom in xs_of:
            found.append(("stacked", xs_of[atom]))
        else:
            found.append(None)
            computed.append(n_out + i)
    outs: list[Any] = []
    if n_out or computed:
        body = rearrange(known, None, [*range(n_out), *computed])
        with set_current_trace(split.parent):
            outs = _bind(consts, init, xs, _fix_carry(body, init), params)
    stacked = iter(outs[n_out:])
    return [f if f is not None else ("stacked", next(stacked)) for f in found], outs[:n_out]


pe.partial_eval_rules[scan_p] = scan_partial_eval


def scan_transpose(cts: Any, *args: Any, **params: Any) -> list[Any]:
    """The scan backwards: carries the cotangents of constants and carry, stacks those of xs."""
    body, nc, nk = params["jaxpr"], params["num_consts"], params["num_carry"]
    asked = [ad.is_undefined_primal(a) for a in args]
    const_lin, _, xs_lin = split3(asked, nc, nk)
    linear = [*const_lin, *[True] * nk, *xs_lin]  # a carry may start at a known zero
    consts, _, xs = split3(args, nc, nk)
    ct_carry = [ad.instantiate_zeros(ct) for ct in cts[:nk]]
    ct_ys = cts[nk:]
    ys_nz = [type(ct) is not ad.Zero for ct in ct_ys]
    res_consts = [c for c, lin in zip(consts, const_lin) if not lin]
    res_xs = [x for x, lin in zip(xs, xs_lin) if not lin]
    back, nonzero_out = transpose_jaxpr(body, linear, [True] * nk + ys_nz)
    lin_avals = [ad.tangent_aval(get_aval(a)) for a, lin in zip(args, linear) if lin]
    lin_avals = [
        *lin_avals[: sum(const_lin) + nk],
        *(a.update(shape=a.shape[1:]) for a in lin_avals[sum(const_lin) + nk :]),
    ]
    n_c, n_rc = sum(const_lin), len(res_consts)
    carry_avals = [ad.tangent_aval(a) for a in body.out_avals[:nk]]
    const_avals = lin_avals[:n_c]

    def fun(*operands: Any) -> list[Any]:
        rc, rest = operands[:n_rc], operands[n_rc:]
        ct_c, ct_k, rest = rest[:n_c], rest[n_c : n_c + nk], rest[n_c + nk :]
        given_ys, rx = rest[: sum(ys_nz)], rest[sum(ys_nz) :]
        found = iter(eval_jaxpr(back.jaxpr, back.consts, *rc, *rx, *ct_k, *given_ys))
        outs = [next(found) if nz else ad.Zero(a) for nz, a in zip(nonzero_out, lin_avals)]
        sums = [ad.instantiate_zeros(ad.add_tangents(a, b)) for a, b in zip(ct_c, outs)]
        return sums + [ad.instantiate_zeros(o) for o in outs[n_c:]]

    ct_consts = [ad.zeros_like_aval(a) for a in const_avals]
    carry = [*ct_consts, *ct_carry]
    given = [ct for ct, nz in zip(ct_ys, ys_nz) if nz]
    x_avals = [get_aval(x).update(shape=get_aval(x).shape[1:]) for x in (*given, *res_xs)]
    avals = [*avals_of(res_consts), *const_avals, *carry_avals, *x_avals]
    traced = _fix_carry(trace_to_jaxpr(fun, avals), carry)
    flipped = params | {"reverse": not params["reverse"]}
    outs = _bind(res_consts, carry, [*given, *res_xs], traced, flipped)
    found = iter(outs)
    all_cts = [next(found) if lin else None for lin in linear]
    return [ct if a else None for ct, a in zip(all_cts, asked)]


ad.primitive_transposes[scan_p] = scan_transpose


def scan_batch(axis: Any, args: Any, dims: Any, **params: Any) -> Any:
    body, nc, nk = params["jaxpr"], params["num_consts"], params["num_carry"]
    const_b, carry_b, xs_b = split3([d is not None for d in dims], nc, nk)
    n_ys = len(body.out_avals) - nk
    while True:
        batched, out_b = batched_jaxpr(
            body, axis, [*const_b, *carry_b, *xs_b], carry_b + [False] * n_ys
        )
        if out_b[:nk] == carry_b:
            break
        carry_b = [a or b for a, b in zip(carry_b, out_b)]
    consts, init, xs = split3(args, nc, nk)
    const_d, carry_d, xs_d = split3(dims, nc, nk)
    consts = [batching.moveaxis(c, d, 0) if d is not None else c for c, d in zip(consts, const_d)]
    init = [batching.bdim_at_front(c, d, axis.size) if b else c
            for c, d, b in zip(init, carry_d, carry_b)]  # fmt: skip
    xs = [batching.moveaxis(x, d, 1) if d is not None else x for x, d in zip(xs, xs_d)]
    outs = _bind(consts, init, xs, _fix_carry(batched, init), params)
    out_dims = [0 if b else None for b in carry_b] + [1 if b else None for b in out_b[nk:]]
    return outs, out_dims


batching.axis_primitive_batchers[scan_p] = scan_batch


def scan_dce(used: list[bool], eqn: Any) -> tuple[list[bool], Any]:
    """Drop unused results; a carry is needed if its result is, or if another one needs it."""
    params = eqn.params
    body, nc, nk = params["jaxpr"], params["num_consts"], params["num_carry"]
    used_carry, used_ys = list(used[:nk]), list(used[nk:])
    while True:
        jaxpr, used_in = pe.dce_jaxpr(body.jaxpr, [*used_carry, *used_ys])
        needed = used_in[nc : nc + nk]
        grown = [a or b for a, b in zip(used_carry, needed)]
        if grown == used_carry:
            break
        used_carry = grown
    const_in, _, xs_in = split3(used_in, nc, nk)
    keep_in = [*const_in, *used_carry, *xs_in]
    jaxpr, _ = pe.dce_jaxpr(body.jaxpr, [*used_carry, *used_ys], keep_in)
    keep_out = [*used_carry, *used_ys]
    new = eqn.replace(
        invars=[v for v, u in zip(eqn.invars, keep_in) if u],
        outvars=[v for v, u in zip(eqn.outvars, keep_out) if u],
        params=params | {"jaxpr": ClosedJaxpr(jaxpr, body.consts), "num_consts": sum(const_in),
                         "num_carry": sum(used_carry)},
    )  # fmt: skip
    return keep_in, new


pe.dce_rules[scan_p] = scan_dce
