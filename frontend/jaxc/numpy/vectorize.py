"""`vectorize` by signature, apply_along_axis and apply_over_axes.

Built on `jaxc.vmap`. Must not import statistics.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc.numpy.manipulation import expand_dims, squeeze
from jaxc.numpy.promotion import array_of, canonicalize_axis, check_arraylike
from jaxc.transforms.api import vmap
from jaxc.tree_util import tree_map

_DIM = r"\w+"
_DIMS = f"(?:{_DIM}(?:,{_DIM})*)?"
_ARG = rf"\({_DIMS}\)"
_ARGS = f"{_ARG}(?:,{_ARG})*"
_SIGNATURE = re.compile(f"^{_ARGS}->{_ARGS}$")


def _parse(signature: str) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    if not _SIGNATURE.match(signature.replace(" ", "")):
        raise ValueError(f"not a valid gufunc signature: {signature}")
    sides = signature.replace(" ", "").split("->")
    return tuple(  # type: ignore[return-value]
        [tuple(re.findall(_DIM, arg)) for arg in re.findall(_ARG, side)] for side in sides
    )


def _core_sizes(x: Any, core: tuple[str, ...], sizes: dict[str, int], where: str) -> None:
    if x.ndim < len(core):
        raise ValueError(
            f"input with shape {x.shape} does not have enough dimensions for all core dimensions "
            f"{core} {where}"
        )
    for name, n in zip(core, x.shape[x.ndim - len(core) :], strict=True):
        if sizes.setdefault(name, n) != n:
            raise ValueError(
                f"inconsistent size for core dimension {name!r}: {n} vs {sizes[name]} {where}"
            )


def vectorize(
    pyfunc: Callable, *, excluded: Any = frozenset(), signature: str | None = None
) -> Any:
    """A function of scalars (or of the signature's core arrays) mapped over leading axes.

    Example:
      >>> import jaxc.numpy as jnp
      >>> jnp.vectorize(lambda x, y: x * y)(jnp.arange(3), 2)
      Array([0, 2, 4], dtype=int32)
    """
    if any(not isinstance(e, str | int) for e in excluded):
        raise TypeError("jax.numpy.vectorize can only exclude integer or string arguments, "
                        f"but excluded={excluded!r}")  # fmt: skip
    if any(isinstance(e, int) and e < 0 for e in excluded):
        raise ValueError(f"excluded={excluded!r} contains negative numbers")

    @functools.wraps(pyfunc)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        where = f"on vectorized function with excluded={excluded!r} and signature={signature!r}"
        missing = {e for e in excluded if isinstance(e, int) and e >= len(args)}
        if missing:
            raise ValueError(f"jax.numpy.vectorize can only exclude arguments that are passed; got "
                             f"excluded={excluded!r}")  # fmt: skip
        dynamic_kwargs = {k: v for k, v in kwargs.items() if k not in excluded}
        fixed_kwargs = {k: v for k, v in kwargs.items() if k in excluded}
        positions = [i for i in range(len(args)) if i not in excluded]
        names = list(dynamic_kwargs)

        def fun(*values: Any) -> Any:
            full = list(args)
            for i, v in zip(positions, values, strict=False):
                full[i] = v
            named = dict(zip(names, values[len(positions) :], strict=True))
            return pyfunc(*full, **named, **fixed_kwargs)

        values = [args[i] for i in positions] + [dynamic_kwargs[n] for n in names]
        return _call(fun, values, signature, where)

    return wrapped


def _call(fun: Callable, values: list[Any], signature: str | None, where: str) -> Any:
    check_arraylike("vectorize", *(v for v in values if v is not None), none_ok=True)
    arrays = [None if v is None else array_of(v) for v in values]
    if signature is None:
        inputs, outputs = [()] * len(arrays), None
    else:
        inputs, outputs = _parse(signature)
        if len(inputs) != len(arrays):
            raise TypeError(f"wrong number of positional arguments: expected {len(inputs)}, got "
                            f"{len(arrays)} {where}")  # fmt: skip
    sizes: dict[str, int] = {}
    batches = []
    for x, core in zip(arrays, inputs, strict=True):
        if x is None:
            batches.append(())
            continue
        _core_sizes(x, core, sizes, where)
        batches.append(x.shape[: x.ndim - len(core)])
    batch = np.broadcast_shapes(*batches)
    checked = _checked(fun, outputs, sizes, where)
    mapped, squeezed = checked, []
    for x, shape in zip(arrays, batches, strict=True):
        unit = tuple(i for i, n in enumerate(shape) if n == 1)
        squeezed.append(squeeze(x, unit) if x is not None and unit else x)
    while_axes = []
    for axis in range(len(batch)):  # the innermost vmap is the last batch axis
        at = len(batch) - 1 - axis
        in_axes = []
        for shape in batches:
            k = at - (len(batch) - len(shape))
            in_axes.append(0 if k >= 0 and shape[k] != 1 else None)
        while_axes.append(in_axes)
    for in_axes in while_axes:
        if all(i is None for i in in_axes):
            continue
        mapped = vmap(mapped, in_axes=tuple(in_axes))
    out = mapped(*squeezed)
    unit = tuple(
        i for i in range(len(batch)) if all(a is None for a in while_axes[len(batch) - 1 - i])
    )
    if not unit:
        return out
    return tree_map(lambda o: expand_dims(o, unit), out)


def _checked(fun: Callable, outputs: Any, sizes: dict[str, int], where: str) -> Callable:
    """`fun` with its results checked against the signature."""

    def run(*values: Any) -> Any:
        out = fun(*values)
        if outputs is None:
            return _as_arrays(out)
        results = out if isinstance(out, tuple) else (out,)
        if len(results) != len(outputs):
            raise TypeError(f"output must be a tuple of length {len(outputs)} {where}"
                            if len(outputs) > 1 else
                            f"wrong number of results: expected 1 {where}")  # fmt: skip
        arrays = [array_of(r) for r in results]
        for x, core in zip(arrays, outputs, strict=True):
            if x.ndim != len(core):
                raise ValueError(
                    f"output shape {x.shape} does not match core dimensions {core} {where}"
                )
            _core_sizes(x, core, sizes, where)
        return arrays[0] if len(arrays) == 1 else tuple(arrays)

    return run


def _as_arrays(out: Any) -> Any:
    if isinstance(out, tuple):
        return tuple(array_of(o) for o in out)
    return array_of(out)


def apply_along_axis(func1d: Callable, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """A function of vectors applied to every vector along an axis."""
    check_arraylike("apply_along_axis", arr)
    arr = array_of(arr)
    axis = canonicalize_axis(axis, arr.ndim)

    def fun(x: Any) -> Any:
        return func1d(x, *args, **kwargs)

    for i in range(1, arr.ndim - axis):
        fun = vmap(fun, in_axes=i, out_axes=-1)
    for _ in range(axis):
        fun = vmap(fun, in_axes=0, out_axes=0)
    return fun(arr)


def apply_over_axes(func: Callable, a: Any, axes: Any) -> Any:
    """A function of (array, axis) applied for one axis after the other."""
    a = array_of(a)
    for axis in axes if isinstance(axes, tuple | list) else (axes,):
        out = func(a, axis)
        if out.ndim == a.ndim - 1:
            out = expand_dims(out, axis)
        if out.ndim != a.ndim:
            raise ValueError("function is not returning an array of the correct shape")
        a = out
    return a
