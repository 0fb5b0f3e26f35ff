"""Products of arrays: dot, matmul, tensordot, inner, outer, kron, trace, cross, ...

All are lax.dot_general and layout changes around it. Must not import indexing at load.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core import dtypes
from jaxc.core.array import Array
from jaxc.numpy.creation import diagonal_mask, full_like, user_dtype
from jaxc.numpy.elementwise import multiply
from jaxc.numpy.manipulation import expand_dims, moveaxis, ravel
from jaxc.numpy.nested import nested_jit
from jaxc.numpy.promotion import (
    array_of,
    canonicalize_axis,
    check_arraylike,
    convert,
    ensure_arraylike,
    promote_dtypes,
    promoted_dtype,
)
from jaxc.numpy.selection import where


def result_element_type(preferred: Any, *operands: Any) -> tuple[Any, bool]:
    """(dtype, weak) of a product's result, `preferred` if given."""
    if preferred is None:
        return promoted_dtype(*operands)
    return user_dtype(preferred, "preferred_element_type"), False


def contract(
    a: Any, b: Any, dims: Any, precision: Any, preferred: Any, out_sharding: Any = None
) -> Any:
    """dot_general of operands that may differ in dtype, with JAX's result type."""
    dtype, weak = result_element_type(preferred, a, b)
    out = lax.dot_general(a, b, dims, precision=precision, preferred_element_type=dtype)
    return out if out.weak_type == weak else convert(out, dtype, weak)


def dot(
    a: Any,
    b: Any,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """Product over the last axis of `a` and the second to last (or only) axis of `b`.

    Example:
      >>> import jaxc.numpy as jnp
      >>> jnp.dot(jnp.ones((2, 3)), jnp.arange(3.0))
      Array([3., 3.], dtype=float32)
    """
    a, b = ensure_arraylike("dot", a, b)
    if a.ndim == 0 or b.ndim == 0:
        contracted: Any = ((), ())
    elif b.ndim == 1:
        contracted = ((a.ndim - 1,), (0,))
    else:
        contracted = ((a.ndim - 1,), (b.ndim - 2,))
    return contract(a, b, (contracted, ((), ())), precision, preferred_element_type)


def matmul(
    a: Any,
    b: Any,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """Matrix product, broadcast over leading axes."""
    if (
        type(a) is Array and type(b) is Array and precision is None
        and preferred_element_type is None and len(a.aval.shape) == 2 and len(b.aval.shape) == 2
        and a.aval.dtype is b.aval.dtype and not a.aval.weak_type and not b.aval.weak_type
    ):  # fmt: skip
        return lax.dot_general(a, b, (((1,), (0,)), ((), ())), preferred_element_type=a.aval.dtype)
    a, b = ensure_arraylike("matmul", a, b)
    for position, operand in enumerate((a, b)):
        if operand.ndim < 1:
            raise ValueError(
                f"matmul input operand {position} must have ndim at least 1, but it has ndim 0"
            )
    a_matrix, b_matrix = a.ndim > 1, b.ndim > 1
    batch_a, batch_b = a.shape[:-2], b.shape[:-2]
    rank = max(len(batch_a), len(batch_b))
    try:
        np.broadcast_shapes(batch_a, batch_b)
    except ValueError:
        raise ValueError(
            f"Incompatible shapes for broadcasting: shapes=[{batch_a}, {batch_b}]"
        ) from None
    a, a_axes = _without_unit_dims(a, batch_a, rank)
    b, b_axes = _without_unit_dims(b, batch_b, rank)
    shared = [i for i in range(rank) if i in a_axes and i in b_axes]
    dims = (
        ((a.ndim - 1,), (b.ndim - 2 if b_matrix else 0,)),
        (tuple(a_axes.index(i) for i in shared), tuple(b_axes.index(i) for i in shared)),
    )
    out = contract(a, b, dims, precision, preferred_element_type)
    # dot_general gives (shared, rest of a, rows, rest of b, columns)
    labels: list[Any] = [*shared, *(i for i in a_axes if i not in shared)]
    labels += ["row"] if a_matrix else []
    labels += [i for i in b_axes if i not in shared]
    labels += ["column"] if b_matrix else []
    missing = [i for i in range(rank) if i not in labels]
    wanted = [i for i in range(rank) if i in labels]
    wanted += [x for x in ("row", "column") if x in labels]
    out = lax.transpose(out, tuple(labels.index(x) for x in wanted))
    return lax.expand_dims(out, tuple(missing)) if missing else out


def _without_unit_dims(x: Any, own: tuple, rank: int) -> tuple[Any, list[int]]:
    """`x` without unit batch axes, and the result axes of the others."""
    axes, squeezed = [], []
    for i, size in enumerate(own):
        at = i + rank - len(own)
        if size == 1:  # also where both are 1: the result gets its axis back at the end
            squeezed.append(i)
        else:
            axes.append(at)
    return (lax.squeeze(x, tuple(squeezed)) if squeezed else x), axes


def vdot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Product of the flattened arrays, the first conjugated."""
    a, b = ensure_arraylike("vdot", a, b)
    if dtypes.issubdtype(a.dtype, np.complexfloating):
        a = lax.conj(a)
    return dot(ravel(a), ravel(b), precision=precision,
               preferred_element_type=preferred_element_type)  # fmt: skip


def tensordot(
    a: Any,
    b: Any,
    axes: Any = 2,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """Product over given pairs of axes (the last n of a and first n of b for an int)."""
    a, b = ensure_arraylike("tensordot", a, b)
    if isinstance(axes, list):
        axes = tuple(axes)
    if isinstance(axes, int | np.integer):
        if axes > min(a.ndim, b.ndim):
            raise TypeError(f"Number of tensordot axes (axes {axes}) exceeds input ranks "
                            f"({a.shape} and {b.shape})")  # fmt: skip
        pairs: Any = (tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes)))
    elif isinstance(axes, tuple) and len(axes) == 2:
        first, second = axes
        if isinstance(first, int | np.integer) and isinstance(second, int | np.integer):
            first, second = (first,), (second,)
        if len(first) != len(second):
            raise TypeError("tensordot requires axes lists to have equal length, got "
                            f"{first} and {second}.")  # fmt: skip
        pairs = (
            tuple(canonicalize_axis(i, a.ndim) for i in first),
            tuple(canonicalize_axis(i, b.ndim) for i in second),
        )
    else:
        raise TypeError("tensordot axes argument must be an int, a pair of ints, or a pair of "
                        f"lists/tuples of ints; got {axes}")  # fmt: skip
    return contract(a, b, (pairs, ((), ())), precision, preferred_element_type)


def inner(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Product over the last axes."""
    a, b = (x if isinstance(x, int | float | complex) else array_of(x)
            for x in _checked("inner", a, b))  # fmt: skip
    if np.ndim(a) == 0 if not hasattr(a, "ndim") else a.ndim == 0:
        return multiply(a, b)
    if not hasattr(b, "ndim") or b.ndim == 0:
        return multiply(a, b)
    return tensordot(a, b, (-1, -1), precision=precision,
                     preferred_element_type=preferred_element_type)  # fmt: skip


def _checked(name: str, *args: Any) -> tuple[Any, ...]:
    check_arraylike(name, *args)
    return args


def outer(a: Any, b: Any, out: None = None) -> Any:
    """Products of every pair of elements of the flattened arrays."""
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.outer is not supported.")
    a, b = promote_dtypes(*_checked("outer", a, b))
    a, b = array_of(a), array_of(b)
    return multiply(expand_dims(ravel(a), 1), expand_dims(ravel(b), 0))


@nested_jit
def kron(a: Any, b: Any) -> Any:
    """Kronecker product."""
    a, b = (array_of(x) for x in promote_dtypes(*_checked("kron", a, b)))
    rank = max(a.ndim, b.ndim)
    a = lax.expand_dims(a, tuple(range(rank - a.ndim))) if a.ndim < rank else a
    b = lax.expand_dims(b, tuple(range(rank - b.ndim))) if b.ndim < rank else b
    wide_a = lax.expand_dims(a, tuple(range(1, 2 * rank, 2))) if rank else a
    wide_b = lax.expand_dims(b, tuple(range(0, 2 * rank, 2))) if rank else b
    shape = tuple(m * n for m, n in zip(a.shape, b.shape, strict=True))
    return lax.reshape(multiply(wide_a, wide_b), shape)


@nested_jit(static_argnames=("offset", "axis1", "axis2", "dtype", "out"))
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
) -> Any:
    """Sum along a diagonal of the plane of two axes."""
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.trace is not supported.")
    a = ensure_arraylike("trace", a)
    if a.ndim < 2:
        raise ValueError("trace requires an array of at least two dimensions.")
    dtype = user_dtype(dtype, "trace")
    a = moveaxis(a, (axis1, axis2), (-2, -1))
    found = a.dtype if dtype is None else dtype
    mask = diagonal_mask(a.shape[-2:], offset)
    from jaxc.numpy.reductions import sum

    return sum(where(mask, a, full_like(a, 0)), axis=(-2, -1),
               dtype=None if dtype is None else found)  # fmt: skip


@nested_jit(static_argnames=("axisa", "axisb", "axisc", "axis"))
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """Cross product of vectors with 2 or 3 components."""
    a, b = (array_of(x) for x in promote_dtypes(*_checked("cross", a, b)))
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ValueError("Dimension must be either 2 or 3 for cross product")
    if a.shape[-1] == 2 or b.shape[-1] == 2:
        raise ValueError("Cross product of 2-dimensional vectors is not supported; use "
                         "a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]")  # fmt: skip
    from jaxc.numpy.joining import concatenate

    a0, a1, a2 = a[..., 0], a[..., 1], a[..., 2]
    b0, b1, b2 = b[..., 0], b[..., 1], b[..., 2]
    parts = [
        multiply(a1, b2) - multiply(a2, b1),
        multiply(a2, b0) - multiply(a0, b2),
        multiply(a0, b1) - multiply(a1, b0),
    ]
    parts = [lax.expand_dims(p, (p.ndim,)) for p in parts]
    out = concatenate(parts, axis=-1)
    return moveaxis(out, -1, axisc)


def vecdot(
    x1: Any,
    x2: Any,
    /,
    *,
    axis: int = -1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Product of vectors along an axis, the first conjugated, broadcast over the others."""
    x1, x2 = ensure_arraylike("vecdot", x1, x2)
    if x1.shape[axis] != x2.shape[axis]:
        raise ValueError(f"axes must match; got shapes {x1.shape} and {x2.shape} with {axis=}")
    from jaxc.numpy.einsum import einsum

    x1, x2 = moveaxis(x1, axis, -1), moveaxis(x2, axis, -1)
    if dtypes.issubdtype(x1.dtype, np.complexfloating):
        x1 = lax.conj(x1)
    return einsum("...i,...i->...", x1, x2, precision=precision,
                  preferred_element_type=preferred_element_type)  # fmt: skip


@nested_jit
def matvec(x1: Any, x2: Any, /) -> Any:
    """Matrices times vectors, broadcast over leading axes."""
    x1, x2 = ensure_arraylike("matvec", x1, x2)
    return matmul(x1, lax.expand_dims(x2, (x2.ndim,)))[..., 0]


@nested_jit
def vecmat(x1: Any, x2: Any, /) -> Any:
    """Conjugated vectors times matrices, broadcast over leading axes."""
    x1, x2 = ensure_arraylike("vecmat", x1, x2)
    if dtypes.issubdtype(x1.dtype, np.complexfloating):
        x1 = lax.conj(x1)
    return matmul(lax.expand_dims(x1, (x1.ndim - 1,)), x2)[..., 0, :]
