"""`jnp.ufunc`: binary functions with reduce, accumulate, at and outer, and `frompyfunc`.

Must not import files of this package at load, so that ufuncs.py can build on it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jaxc import lax


class ufunc:
    """A function of arrays that can also reduce along an axis.

    Example:
      >>> import jaxc.numpy as jnp
      >>> jnp.add.reduce(jnp.arange(4))
      Array(6, dtype=int32)
    """

    __module__ = "jax.numpy"

    def __init__(
        self,
        func: Callable,
        /,
        nin: int,
        nout: int,
        *,
        name: str | None = None,
        identity: Any = None,
        reduce: Callable | None = None,
        accumulate: Callable | None = None,
        at: str | None = None,
    ):
        self._call = func
        self.nin, self.nout, self.nargs = nin, nout, nin + nout
        self.identity = identity
        self.__name__ = name or func.__name__
        self.__doc__ = func.__doc__
        self._reduce, self._accumulate, self._at = reduce, accumulate, at

    def __repr__(self) -> str:
        return f"<jnp.ufunc '{self.__name__}'>"

    def __hash__(self) -> int:
        return hash((self._call, self.nin, self.nout, self.__name__))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ufunc) and self._call is other._call

    def __call__(self, *args: Any, out: None = None, where: None = None) -> Any:
        if out is not None or where is not None:
            raise NotImplementedError(f"out or where argument of {self}")
        if len(args) != self.nin:
            raise TypeError(f"{self.__name__}: expected {self.nin} arguments; got {len(args)}")
        return self._call(*args)

    def _needs_binary(self, method: str) -> None:
        if self.nin != 2:
            raise ValueError(f"{method} only supported for binary ufuncs")
        if self.nout != 1:
            raise ValueError(f"{method} only supported for functions returning a single value")

    def reduce(
        self,
        a: Any,
        axis: int | None = 0,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        """Combine the elements along an axis."""
        self._needs_binary("reduce")
        if out is not None:
            raise NotImplementedError(f"out argument of {self.__name__}.reduce()")
        if initial is not None:
            _check_scalar(initial, "reduce: initial")
        if where is not None and self.identity is None and initial is None:
            raise ValueError(f"reduction operation {self.__name__!r} does not have an identity, "
                             "so to use a where mask one has to specify 'initial'.")  # fmt: skip
        if self._reduce is not None:
            return self._reduce(a, axis=axis, dtype=dtype, keepdims=keepdims, initial=initial,
                                where=where)  # fmt: skip
        return self._scan_reduce(a, axis, dtype, keepdims, initial, where)

    def _scan_reduce(self, a, axis, dtype, keepdims, initial, where):
        import jaxc.numpy as jnp

        a = jnp.asarray(a)
        shape, names = a.shape, axis
        a = a if dtype is None else a.astype(dtype)
        where = None if where is None else jnp.broadcast_to(where, shape)
        if axis is None:
            a, axis = a.ravel(), 0
            where = None if where is None else where.ravel()
        if isinstance(axis, tuple):
            raise NotImplementedError("reduce over several axes")
        a = jnp.moveaxis(a, axis, 0)
        if where is not None:
            where = jnp.moveaxis(where, axis, 0)
        first = self.identity if initial is None else initial
        if first is None:
            if not a.shape[0]:
                raise ValueError(f"zero-size array to reduction operation {self.__name__} "
                                 "which has no identity")  # fmt: skip
            carry, rest = a[0], a[1:]
            where = None if where is None else where[1:]
        else:
            carry, rest = jnp.full(a.shape[1:], first, a.dtype), a

        def step(carry, row):
            x, keep = row if where is not None else (row, None)
            new = self._call(carry, x)
            return (new if keep is None else jnp.where(keep, new, carry)), None

        rows = (rest, where) if where is not None else rest
        out, _ = lax.scan(step, carry, rows)
        if keepdims:
            out = out.reshape(_kept_shape(shape, names))
        return out

    def accumulate(self, a: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
        """Running combination of the elements along an axis."""
        self._needs_binary("accumulate")
        if out is not None:
            raise NotImplementedError(f"out argument of {self.__name__}.accumulate()")
        if axis is None or isinstance(axis, bool):
            raise ValueError("accumulate does not allow multiple axes")
        if self._accumulate is not None:
            return self._accumulate(a, axis=axis, dtype=dtype)
        import jaxc.numpy as jnp

        a = jnp.moveaxis(jnp.asarray(a, dtype), axis, 0)

        def step(carry, x):
            new = self._call(carry, x)
            return new, new

        _, rest = lax.scan(step, a[0], a[1:])
        return jnp.moveaxis(jnp.concatenate([a[:1], rest]), 0, axis)

    def at(self, a: Any, indices: Any, b: Any = None, /, *, inplace: bool = True) -> Any:
        """`a` with `self(a[indices], b)` at the indices, one after the other if they repeat."""
        if inplace:
            raise NotImplementedError("JAX does not support in-place operations; pass "
                                      "inplace=False to get an updated copy.")  # fmt: skip
        import jaxc.numpy as jnp

        a = jnp.asarray(a)
        if self._at is not None:
            return getattr(a.at[indices], self._at)(b)
        if self.nin == 1:
            return a.at[indices].apply(self._call)
        return self._at_in_turn(a, indices, jnp.asarray(b))

    def _at_in_turn(self, a: Any, indices: Any, b: Any) -> Any:
        """One update after the other: repeated indices see the earlier updates."""
        import jaxc.numpy as jnp

        positions = jnp.arange(a.size).reshape(a.shape)[indices]
        values = jnp.broadcast_to(b, positions.shape).reshape(-1)
        flat = a.reshape(-1)
        for k in range(positions.size):
            at = positions.reshape(-1)[k]
            flat = flat.at[at].set(self._call(flat[at], values[k]).astype(a.dtype))
        return flat.reshape(a.shape)

    def reduceat(
        self, a: Any, indices: Any, axis: int = 0, dtype: Any = None, out: None = None
    ) -> Any:
        """Reductions over slices that start at the given indices."""
        self._needs_binary("reduceat")
        import jaxc.numpy as jnp

        a = jnp.moveaxis(jnp.asarray(a), axis, 0)
        starts = [int(i) for i in jnp.asarray(indices)]
        ends = [*starts[1:], a.shape[0]] if starts else []
        if not starts:
            return jnp.moveaxis(a[:0], 0, axis)
        parts = [
            self.reduce(a[s:e], axis=0, dtype=dtype) if e > s else a[s]
            for s, e in zip(starts, ends, strict=True)
        ]
        return jnp.moveaxis(jnp.stack(parts), 0, axis)

    def outer(self, A: Any, B: Any, /) -> Any:
        """The function of every pair of elements."""
        self._needs_binary("outer")
        import jaxc.numpy as jnp

        A, B = jnp.asarray(A), jnp.asarray(B)
        return self._call(A.reshape(A.shape + (1,) * B.ndim), B)


def _check_scalar(x: Any, what: str) -> None:
    import numpy as np

    if np.ndim(x):
        raise ValueError(f"{what} must be a scalar, got shape {np.shape(x)}")


def _kept_shape(shape: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    if axis is None:
        return (1,) * len(shape)
    axis %= len(shape)
    return (*shape[:axis], 1, *shape[axis + 1 :])


def frompyfunc(func: Callable, /, nin: int, nout: int, *, identity: Any = None) -> ufunc:
    """A ufunc from a function of scalars."""
    import jaxc.numpy as jnp

    return ufunc(functools.wraps(func)(jnp.vectorize(func)), nin, nout, identity=identity)
