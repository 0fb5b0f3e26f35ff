"""Einstein summation: opt_einsum plans the order, dot_general does each step.

Must not import indexing or sorting.
"""

from __future__ import annotations

import collections
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.numpy.contractions import result_element_type
from jaxc.numpy.promotion import array_of, check_arraylike, convert
from jaxc.numpy.reductions import sum as sum_axes


def _parse_operands(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """(subscripts, *arrays), from either calling convention."""
    if isinstance(args[0], str):
        return args
    import opt_einsum

    found = opt_einsum.parser.parse_einsum_input(args, shapes=False)
    inputs, output, arrays = found
    return (f"{inputs}->{output}", *arrays)


def einsum_path(subscripts: Any, /, *operands: Any, optimize: Any = "auto") -> tuple[list, Any]:
    """The order in which `einsum` would contract, and a description of it."""
    import opt_einsum

    if isinstance(optimize, bool):
        optimize = "optimal" if optimize else "auto"
    return opt_einsum.contract_path(subscripts, *operands, optimize=optimize)


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    out: None = None,
    optimize: Any = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    _dot_general: Any = None,
    out_sharding: Any = None,
) -> Any:
    """Sum of products of elements with the given index labels.

    Example:
      >>> import jaxc.numpy as jnp
      >>> jnp.einsum("ij,j->i", jnp.ones((2, 3)), jnp.arange(3.0))
      Array([3., 3.], dtype=float32)
    """
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.einsum is not supported.")
    import opt_einsum

    spec, *arrays = _parse_operands((subscripts, *operands))
    check_arraylike("einsum", *arrays)
    arrays = [array_of(a) for a in arrays]
    if isinstance(optimize, bool):
        optimize = "optimal" if optimize else "auto"
    dtype, weak = result_element_type(preferred_element_type, *arrays)
    shapes = [opt_einsum_shape(a) for a in arrays]
    _, steps = opt_einsum.contract_path(
        spec, *shapes, einsum_call=True, use_blas=True, optimize=optimize
    )
    dot = lax.dot_general if _dot_general is None else _dot_general
    for step in steps:
        positions, contracted, equation = step[0], step[1], step[2]
        inputs, result = equation.split("->")
        names = inputs.split(",")
        contracted_names = sorted(contracted)
        if len(positions) == 1:
            x = arrays.pop(positions[0])
            x, labels = _one(x, names[0], contracted_names)
        elif len(positions) == 2:
            lhs, rhs = (arrays.pop(i) for i in positions)
            x, labels = _two(lhs, names[0], rhs, names[1], contracted_names, result,
                             dot, precision, dtype)  # fmt: skip
        else:
            raise NotImplementedError("einsum step with more than two operands")
        if labels != result:
            x = lax.transpose(x, tuple(labels.index(n) for n in result))
        arrays.append(x)
    return convert(arrays[0], dtype, weak)


def opt_einsum_shape(x: Any) -> Any:
    """A stand-in of the same shape: opt_einsum must not see (or copy) the operand."""
    return np.broadcast_to(np.zeros((), np.float32), x.shape)


def _sum_names(x: Any, names: str, drop: list[str]) -> tuple[Any, str]:
    if not drop:
        return x, names
    axes = tuple(names.index(n) for n in drop)
    return sum_axes(x, axis=axes), "".join(n for n in names if n not in drop)


def _diagonals(x: Any, names: str, counts: Any, keep: Any) -> tuple[Any, str]:
    """One axis for each label: elements off the diagonal are summed away as zeros."""
    for name, count in counts.items():
        if count == 1:
            continue
        axes = [i for i, n in enumerate(names) if n == name]
        mask = _delta_mask(x.shape, axes)
        x = lax.select(mask, x, lax.full(x.shape, 0, x.dtype))
        if name in keep:
            drop = axes[:-1] if len(axes) > 1 else []
            x = sum_axes(x, axis=tuple(drop))
            names = "".join(n for i, n in enumerate(names) if i not in drop)
        else:
            x = sum_axes(x, axis=tuple(axes))
            names = names.replace(name, "")
    return x, names


def _delta_mask(shape: tuple[int, ...], axes: list[int]) -> Any:
    sizes = tuple(shape[i] for i in axes)
    iotas = [lax.broadcasted_iota(np.uint32, sizes, i) for i in range(len(axes))]
    mask = lax.eq(iotas[0], iotas[1])
    for other in iotas[2:]:
        mask = lax.bitwise_and(mask, lax.eq(iotas[0], other))
    return mask if sizes == shape else lax.broadcast_in_dim(mask, shape, tuple(axes))


def _one(x: Any, names: str, contracted: list[str]) -> tuple[Any, str]:
    counts = collections.Counter(names)
    x, names = _sum_names(x, names, [n for n in contracted if counts[n] == 1])
    repeated = {n: c for n, c in collections.Counter(names).items() if c > 1}
    keep = set(names) - set(contracted)
    return _diagonals(x, names, repeated, keep)


def _two(
    lhs: Any, lhs_names: str, rhs: Any, rhs_names: str, contracted: list[str], result: str,
    dot: Any, precision: Any, dtype: Any,
) -> tuple[Any, str]:  # fmt: skip
    lhs, lhs_names = _prepared(lhs, lhs_names, rhs_names, contracted)
    rhs, rhs_names = _prepared(rhs, rhs_names, lhs_names, contracted)
    lhs, lhs_names, rhs, rhs_names = _without_unit_dims(lhs, lhs_names, rhs, rhs_names)
    contracted = [n for n in contracted if n in lhs_names and n in rhs_names]
    batch = "".join(n for n in lhs_names if n in rhs_names and n not in contracted)
    # labels that broadcasting left on one side only are free there
    lhs_rest = "".join(n for n in lhs_names if n not in batch and n not in contracted)
    rhs_rest = "".join(n for n in rhs_names if n not in batch and n not in contracted)
    pair = [(lhs, lhs_names), (rhs, rhs_names)]
    if batch + rhs_rest + lhs_rest == result:
        pair.reverse()
        labels = batch + rhs_rest + lhs_rest
    else:
        labels = batch + lhs_rest + rhs_rest
    (a, a_names), (b, b_names) = pair
    dims = (
        (tuple(a_names.index(n) for n in contracted), tuple(b_names.index(n) for n in contracted)),
        (tuple(a_names.index(n) for n in batch), tuple(b_names.index(n) for n in batch)),
    )
    return dot(a, b, dims, precision=precision, preferred_element_type=dtype), labels


def _prepared(x: Any, names: str, other: str, contracted: list[str]) -> tuple[Any, str]:
    """Labels of this operand alone that are contracted summed, repeated ones made diagonal."""
    counts = collections.Counter(names)
    alone = [n for n in contracted if counts[n] == 1 and n not in other]
    x, names = _sum_names(x, names, alone)
    repeated = {n: c for n, c in collections.Counter(names).items() if c > 1}
    keep = {n for n in names if n in other or n not in contracted}
    return _diagonals(x, names, repeated, keep)


def _without_unit_dims(lhs: Any, lhs_names: str, rhs: Any, rhs_names: str) -> Any:
    """Shared labels of size 1 on one side only are dropped there: they broadcast."""

    def drop(x: Any, names: str, other: Any, other_names: str) -> Any:
        axes = [i for i, n in enumerate(names)
                if n in other_names and x.shape[i] == 1
                and other.shape[other_names.index(n)] != 1]  # fmt: skip
        if not axes:
            return x, names
        kept = "".join(n for i, n in enumerate(names) if i not in axes)
        return lax.squeeze(x, tuple(axes)), kept

    new_lhs = drop(lhs, lhs_names, rhs, rhs_names)
    new_rhs = drop(rhs, rhs_names, lhs, lhs_names)
    return (*new_lhs, *new_rhs)
