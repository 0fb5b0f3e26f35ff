"""Arrays from host data and shapes: array, zeros, full, eye, ...

Composed of lax functions. Must not import manipulation or ufuncs at load.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jaxc import errors, lax
from jaxc.core import dtypes
from jaxc.core.array import Array
from jaxc.core.placed import PlacedArray
from jaxc.core.placement import device_put, settle
from jaxc.core.trace import NotOnHost, Tracer, _state, eval_trace, get_aval
from jaxc.numpy import promotion
from jaxc.numpy.promotion import check_arraylike, convert
from jaxc_compiler.opset.avals import KeyDtype

_PYTHON_SCALARS = (bool, int, float, complex)


def user_dtype(dtype: Any, fun_name: str) -> Any:
    """The canonical dtype for a user's `dtype` argument (None stays None)."""
    return None if dtype is None else dtypes.check_user_dtype(dtype, fun_name, 4)


def array(
    object: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: str | None = "K",
    ndmin: int = 0,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """An array from numbers, nested sequences, NumPy or JAX arrays.

    Example:
      >>> import jaxc.numpy as jnp
      >>> jnp.array([[1, 2], [3, 4.5]])
      Array([[1. , 2. ],
             [3. , 4.5]], dtype=float32)
    """
    if order is not None and order != "K":
        raise NotImplementedError("Only implemented for order='K'")
    dtype = user_dtype(dtype, "array")
    out = _from_object(object, dtype, copy)
    if ndmin > np.ndim(out) if not hasattr(out, "ndim") else ndmin > out.ndim:
        out = lax.broadcast_in_dim(
            out, (1,) * (ndmin - out.ndim) + out.shape, tuple(range(ndmin - out.ndim, ndmin))
        )
    return placed(out, device)


def placed(x: Any, device: Any) -> Any:
    if device is None:
        return x if _state.trace is eval_trace else settle(x)
    return device_put(x, device)


def _from_object(object: Any, dtype: Any, copy: bool | None) -> Any:
    if isinstance(object, Array | Tracer):
        out = lax.copy_p.bind(object) if copy else object
        return out if dtype is None else convert(out, dtype)
    if object is None:
        raise ValueError("None is not a valid value for jnp.array")
    if type(object) in _PYTHON_SCALARS:
        return _from_scalar(object, dtype)
    if hasattr(object, "__jax_array__"):
        return _from_object(object.__jax_array__(), dtype, copy)
    if isinstance(object, np.ndarray | np.generic):
        return _from_numpy(object, dtype)
    if isinstance(object, list | tuple):
        return _from_sequence(object, dtype)
    return _from_foreign(object, dtype)


def _from_scalar(value: Any, dtype: Any) -> Array:
    if dtype is None:
        aval = get_aval(value)
        return Array(np.asarray(value, aval.dtype), aval)
    if isinstance(dtype, KeyDtype):
        raise TypeError(f"Cannot make an array of dtype {dtype} from {value!r}")
    data = np.asarray(dtype.type(value) if dtype.kind in "iu" else value, dtype)
    return Array(data, get_aval(data))


def _from_numpy(value: Any, dtype: Any) -> Array:
    source = get_aval(value)
    if value.dtype.kind == "c" and dtype is not None and dtype.kind not in "cb":
        value = value.real
    data = np.array(value, dtype=source.dtype if dtype is None else dtype)
    return Array(data, source.update(dtype=data.dtype))


def _from_foreign(object: Any, dtype: Any) -> Array:
    view = np.asarray(object)
    if view.dtype.kind in "OSUMmV" and view.dtype not in dtypes._CUSTOM_FLOATS:
        raise TypeError(
            f"Value '{object}' with dtype {view.dtype} is not a valid JAX array type. "
            "Only arrays of numeric types are supported by JAX."
        )
    if view.dtype.kind in "i" and not isinstance(object, np.ndarray) and dtype is None:
        return _from_numpy(view, dtypes.canonicalize_dtype(view.dtype))
    return _from_numpy(view, dtype)


def _leaves(nested: Any) -> Any:
    for item in nested:
        if isinstance(item, list | tuple):
            yield from _leaves(item)
        else:
            yield item


def _from_sequence(nested: Any, dtype: Any) -> Any:
    leaves = [x.__jax_array__() if hasattr(x, "__jax_array__") else x for x in _leaves(nested)]
    if any(x is None for x in leaves):
        raise ValueError("None is not a valid value for jnp.array")
    if dtype is None:
        dtype = _leaves_dtype(leaves)
    tracing = _state.trace is not eval_trace
    if isinstance(dtype, KeyDtype) or any(
        isinstance(x, NotOnHost) or (tracing and type(x) is Array) for x in leaves
    ):
        return _stack_nested(nested, dtype)
    host = _host_nested(nested)
    data = np.array(host, dtype=dtype) if _plain(leaves) else _cast_nested(host, dtype)
    return Array(data, get_aval(data))


def _plain(leaves: list[Any]) -> bool:
    return all(type(x) in _PYTHON_SCALARS for x in leaves)


def _cast_nested(host: Any, dtype: Any) -> np.ndarray:
    data = np.array(host)
    if data.dtype.kind in "OSUMm":
        found = next(iter(_leaves(host)))
        raise TypeError(
            f"Value '{found}' with dtype {data.dtype} is not a valid JAX array type. "
            "Only arrays of numeric types are supported by JAX."
        )
    if data.dtype.kind == "c" and dtype.kind not in "cb":
        data = data.real
    return data.astype(dtype)


def _leaves_dtype(leaves: list[Any]) -> Any:
    if not leaves:
        return dtypes.default_dtype(float)
    kinds = {type(x) for x in leaves}
    if kinds <= {float, int} and float in kinds:
        return dtypes.default_dtype(float)
    if kinds == {int}:
        return dtypes.default_dtype(int)
    samples = {}
    for x in leaves:
        if isinstance(x, Array | Tracer | np.ndarray | np.generic):
            samples[(x.dtype, bool(getattr(x, "weak_type", False)))] = x
        elif type(x) in _PYTHON_SCALARS:
            samples[type(x)] = x
        else:
            samples[type(x)] = _from_foreign(x, None)
    return dtypes.canonicalize_dtype(dtypes.lattice_result_type(*samples.values())[0])


def _host_nested(nested: Any) -> Any:
    if isinstance(nested, list | tuple):
        return [_host_nested(x) for x in nested]
    if type(nested) in _PYTHON_SCALARS:
        return nested
    return np.asarray(nested.__jax_array__() if hasattr(nested, "__jax_array__") else nested)


def _stack_nested(nested: Any, dtype: Any) -> Any:
    """Stacks element by element, for sequences that hold traced values."""
    if not isinstance(nested, list | tuple):
        if type(nested) in _PYTHON_SCALARS and not isinstance(dtype, KeyDtype):
            return convert(nested, dtype)
        return _from_object(nested, dtype, copy=False)
    if not nested:
        return zeros((0,), dtype)
    rows, shapes = [], set()
    for item in nested:
        part = _stack_nested(item, dtype)
        shape = () if isinstance(part, np.generic) else promotion.shape_of(part)
        shapes.add(shape)
        if len(shapes) > 1:
            raise ValueError("All input arrays must have the same shape.")
        rows.append(lax.broadcast_in_dim(part, (1, *shape), tuple(range(1, len(shape) + 1))))
    return lax.concatenate(rows, 0)


def asarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """Like `array`, but an array that needs no change is returned as it is."""
    if copy is None and dtype is None and device is None and isinstance(a, Array | Tracer):
        return a
    dtype = user_dtype(dtype, "asarray")
    if order is not None and order != "K":
        raise NotImplementedError("Only implemented for order='K'")
    return placed(_from_object(a, dtype, bool(copy)), device)


def copy(a: Any, order: str | None = None) -> Any:
    """A copy of `a`."""
    check_arraylike("copy", a)
    return array(a, copy=True, order=order)


# ---- constant fill ----------------------------------------------------------------------------


def canonicalize_shape(shape: Any, context: str = "") -> tuple[int, ...]:
    """A tuple of ints; TypeError for traced or non-integer sizes."""
    if isinstance(shape, Array | np.ndarray) and shape.ndim == 1:
        shape = tuple(int(d) for d in np.asarray(shape))
    sizes = shape if isinstance(shape, tuple | list) else (shape,)
    try:
        return tuple(operator.index(d) for d in sizes)
    except (TypeError, errors.TracerIntegerConversionError):
        pass
    traced = any(isinstance(d, Tracer) for d in sizes)
    hint = (
        "\nIf using `jit`, try using `static_argnums` or applying `jit` to smaller subfunctions."
        if traced
        else ""
    )
    raise TypeError(
        "Shapes must be 1D sequences of concrete values of integer type, got "
        f"{tuple(sizes)}.{hint}{context}"
    )


def zeros(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array of zeros."""
    return _filled("zeros", shape, 0, dtype, device)


def ones(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array of ones."""
    return _filled("ones", shape, 1, dtype, device)


def empty(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array of zeros: results do not depend on what memory held before."""
    return _filled("empty", shape, 0, dtype, device)


def _filled(name: str, shape: Any, value: int, dtype: Any, device: Any) -> Any:
    dtype = dtypes.default_dtype(float) if dtype is None else user_dtype(dtype, name)
    return placed(array_of_full(canonicalize_shape(shape), value, dtype), device)


def array_of_full(shape: tuple[int, ...], value: Any, dtype: Any) -> Any:
    """lax.full that also gives an array (not a literal) for shape ()."""
    return promotion.array_of(lax.full(shape, value, dtype))


def full(shape: Any, fill_value: Any, dtype: Any = None, *, device: Any = None) -> Any:
    """An array filled with `fill_value` (a scalar, or an array broadcast to `shape`)."""
    check_arraylike("full", fill_value)
    dtype = user_dtype(dtype, "full")
    if np.ndim(fill_value) if type(fill_value) in _PYTHON_SCALARS else fill_value.ndim:
        shape = canonicalize_shape(shape)
        out = broadcast_to_shape(asarray(fill_value, dtype), shape)
    else:
        out = promotion.array_of(
            lax.full(canonicalize_shape(shape), promotion.as_operand(fill_value), dtype)
        )
    return placed(out, device)


def broadcast_to_shape(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` broadcast to `shape` by NumPy's rules (one broadcast_in_dim at most)."""
    if x.shape == shape:
        return x
    extra = len(shape) - x.ndim
    if extra < 0 or any(d not in (1, s) for d, s in zip(x.shape, shape[extra:], strict=True)):
        wanted = get_aval(x).update(shape=shape, weak_type=False).str_short(short_dtypes=False)
        given = get_aval(x).str_short(short_dtypes=False)
        raise ValueError(
            f"Incompatible types for broadcasting: input type={given} and requested type={wanted}"
        )
    return lax.broadcast_in_dim(x, shape, tuple(range(extra, len(shape))))


def _like(name: str, a: Any, value: Any, dtype: Any, shape: Any, device: Any) -> Any:
    if not (hasattr(a, "shape") and hasattr(a, "dtype")):
        check_arraylike(name, a)
    dtype = user_dtype(dtype, name)
    if device is None and isinstance(a, PlacedArray) and a.committed:
        device = a.device
    shape = None if shape is None else canonicalize_shape(shape)
    aval = a if hasattr(a, "shape") and hasattr(a, "dtype") else get_aval(a)
    weak = dtype is None and bool(getattr(aval, "weak_type", False))
    found = dtypes.canonicalize_dtype(aval.dtype) if dtype is None else dtype
    shape = tuple(aval.shape) if shape is None else shape
    if isinstance(found, KeyDtype):
        if getattr(value, "dtype", None) == found:
            return placed(broadcast_to_shape(value, shape), device)
        if isinstance(value, Tracer):
            raise TypeError(f"{name}: cannot fill keys with a traced value")
        words = np.full(shape + found.key_shape, np.asarray(value), np.uint32)
        aval = get_aval(0).update(shape=shape, dtype=found, weak_type=False)
        return placed(Array(words, aval), device)
    if type(value) is int and found.kind in "iu" and not weak:
        value = promotion.wrap_int(value, found, check=False)
    if type(value) not in _PYTHON_SCALARS:
        return placed(promotion.array_of(lax.full(shape, value, found)), device)
    return placed(promotion.array_of(lax.full(shape, convert(value, found, weak))), device)


def zeros_like(a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Any:
    """Zeros of the shape and dtype of `a`."""
    return _like("zeros_like", a, 0, dtype, shape, device)


def ones_like(a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Any:
    """Ones of the shape and dtype of `a`."""
    return _like("ones_like", a, 1, dtype, shape, device)


def empty_like(prototype: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Any:
    """Zeros of the shape and dtype of `prototype`."""
    return _like("empty_like", prototype, 0, dtype, shape, device)


def full_like(
    a: Any, fill_value: Any, dtype: Any = None, shape: Any = None, *, device: Any = None
) -> Any:
    """An array of the shape and dtype of `a`, filled with `fill_value`."""
    check_arraylike("full_like", fill_value)
    if type(fill_value) in _PYTHON_SCALARS or fill_value.ndim == 0:
        return _like("full_like", a, promotion.as_operand(fill_value), dtype, shape, device)
    dtype = user_dtype(dtype, "full_like")
    shape = np.shape(a) if shape is None else canonicalize_shape(shape)
    dtype = dtypes.canonicalize_dtype(dtypes.dtype(a)) if dtype is None else dtype
    return placed(broadcast_to_shape(asarray(fill_value, dtype), shape), device)


# ---- matrices ---------------------------------------------------------------------------------


def eye(N: Any, M: Any = None, k: Any = 0, dtype: Any = None, *, device: Any = None) -> Any:
    """Ones on the k-th diagonal of an N by M matrix, zeros elsewhere."""
    dtype = dtypes.default_dtype(float) if dtype is None else user_dtype(dtype, "eye")
    rows = canonicalize_shape(N, " argument of 'N' jnp.eye().")[0]
    cols = rows if M is None else canonicalize_shape(M, " argument of 'M' jnp.eye().")[0]
    if rows < 0 or cols < 0:
        raise ValueError(f"negative dimensions are not allowed, got {N} and {M}")
    return placed(convert(diagonal_mask((rows, cols), k), dtype), device)


def diagonal_mask(shape: tuple[int, int], k: Any) -> Any:
    """bool matrix, true where column == row + k."""
    rows = lax.broadcasted_iota(np.int32, shape, 0)
    cols = lax.broadcasted_iota(np.int32, shape, 1)
    return lax.eq(lax.add(rows, _offset(k)), cols)


def triangle_mask(shape: tuple[int, int], k: Any) -> Any:
    """bool matrix, true where column <= row + k."""
    rows = lax.add(lax.broadcasted_iota(np.int32, shape, 0), _offset(k))
    return lax.ge(rows, lax.broadcasted_iota(np.int32, shape, 1))


def _offset(k: Any) -> Any:
    return convert(k, np.dtype(np.int32)) if isinstance(k, Array | Tracer) else np.int32(k)


def identity(n: Any, dtype: Any = None) -> Any:
    """The n by n identity matrix."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Ones on and below the k-th diagonal of an N by M matrix."""
    dtype = dtypes.default_dtype(float) if dtype is None else user_dtype(dtype, "tri")
    shape = canonicalize_shape((N, N if M is None else M))
    return convert(triangle_mask(shape, k), dtype)
