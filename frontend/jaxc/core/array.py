"""`Array` (= `jax.Array`): an immutable array on the host or in a device buffer.

Holds a NumPy array, a runtime buffer, or both, each made from the other when first asked for
(without a copy on the CPU). Operators and methods are attached by `jaxc.numpy.array_methods`.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes  # noqa: F401  (registers bfloat16 with NumPy)
import numpy as np

from jaxc.core import dtypes
from jaxc.core.trace import Tracer, get_aval
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray


class _ArrayMeta(type):
    """Tracers count as arrays in `isinstance`, as in JAX."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        return cls is Array and isinstance(instance, Tracer)


class Array(metaclass=_ArrayMeta):
    """An immutable n-dimensional array.

    Example:
      >>> import jaxc.numpy as jnp
      >>> jnp.arange(3)
      Array([0, 1, 2], dtype=int32)
    """

    __slots__ = ("__weakref__", "_buffer", "_device", "_exported", "_pending", "_value", "aval")
    __array_priority__ = 100

    def __init__(
        self, value: np.ndarray | None, aval: ShapedArray, buffer: Any = None, pending: Any = None
    ):
        self._value = value
        self._buffer = buffer
        self._pending = pending  # a jitted call's result, not yet taken out of the runtime's list
        self.aval = aval
        self._exported = False  # a NumPy view of the storage may live on: never update in place
        self._device: Any = None

    # ---- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> Any:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return len(self.aval.shape)

    @property
    def size(self) -> int:
        return self.aval.size

    @property
    def weak_type(self) -> bool:
        return self.aval.weak_type

    @property
    def nbytes(self) -> int:
        return self.aval.size * self.aval.dtype.itemsize

    @property
    def itemsize(self) -> int:
        return self.aval.dtype.itemsize

    def __len__(self) -> int:
        return len(self.aval)

    # ---- its value

    def _numpy(self) -> np.ndarray:
        """The elements as a NumPy array that must not be written."""
        value = self._value
        if value is None:
            value = self._fetch()
        return value

    def _fetch(self) -> np.ndarray:
        if self._buffer is None and self._pending is None:
            raise RuntimeError(f"Array has been deleted with shape={self.aval.str_short()}.")
        from jaxc_runtime import buffer  # loaded already: a buffer exists

        shape, dtype = physical_shape(self.aval), physical_dtype(self.aval)
        value = buffer.to_numpy(self._take_buffer(), shape, dtype)
        value.flags.writeable = False
        self._value = value
        return value

    def _take_buffer(self) -> Any:
        """The device buffer, if there is one."""
        if self._pending is not None:
            from jaxc_runtime import executable

            self._buffer, self._pending = executable.take(self._pending), None
        return self._buffer

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if isinstance(self.aval.dtype, KeyDtype):
            raise TypeError(
                "JAX array with PRNGKey dtype cannot be converted to a NumPy array. "
                "Use jax.random.key_data(arr) if you wish to extract the underlying "
                "integer array."
            )
        value = self._numpy()
        if dtype is not None and np.dtype(dtype) != value.dtype:
            return value.astype(dtype)
        if copy:
            return value.copy()
        self._exported = True
        view = value.view()
        view.flags.writeable = False
        return view

    def __bool__(self) -> bool:
        value = self._numpy()
        if value.size == 0:
            raise ValueError(
                "The truth value of an empty array is ambiguous. Use `array.size > 0`"
                " to check that an array is not empty."
            )
        return bool(value)

    def _scalar(self) -> np.ndarray:
        if self.aval.shape:
            raise TypeError(
                "Only scalar arrays can be converted to Python scalars; "
                f"got arr.ndim={self.aval.ndim}"
            )
        return self._numpy()

    def __int__(self) -> int:
        return int(self._scalar())

    def __float__(self) -> float:
        return float(self._scalar())

    def __complex__(self) -> complex:
        return complex(self._scalar())

    def __index__(self) -> int:
        if self.aval.shape or not dtypes.issubdtype(self.aval.dtype, np.integer):
            raise TypeError("Only integer scalar arrays can be converted to a scalar index.")
        return int(self._numpy())

    def __format__(self, spec: str) -> str:
        if not self.aval.shape and not isinstance(self.aval.dtype, KeyDtype):
            return format(self._numpy()[()], spec)
        return format(str(self), spec)

    def __hash__(self) -> int:
        raise TypeError(f"unhashable type: {type(self)}")

    def __iter__(self) -> Any:
        if not self.aval.shape:
            raise TypeError("iteration over a 0-d array")
        aval = ShapedArray(self.aval.shape[1:], self.aval.dtype)
        return iter([wrap(row, aval) for row in self._numpy()])

    def tolist(self) -> Any:
        """The elements as nested Python lists (a scalar for 0-d)."""
        return self._numpy().tolist()

    def item(self, *args: Any) -> Any:
        """One element as a Python scalar."""
        if args:
            return self._numpy().item(*args)
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self._numpy().item()

    def tobytes(self, order: Any = "C") -> bytes:
        return self._numpy().tobytes(order)

    def __reduce__(self) -> Any:
        return _unpickle, (np.array(self._numpy()), self.aval.dtype, self.aval.weak_type)

    def __copy__(self) -> Array:
        return self

    def __deepcopy__(self, memo: Any) -> Array:
        return wrap(self._numpy().copy(), self.aval)

    def copy_to_host_async(self) -> None:
        """Nothing to do: results are on the host."""

    def block_until_ready(self) -> Array:
        """Waits for the computation (calls are synchronous: returns at once)."""
        if self.is_deleted():
            self._fetch()  # raises
        return self

    # ---- interchange

    def __dlpack__(self, **kwargs: Any) -> Any:
        value = self._numpy()
        self._exported = True
        if not value.flags.writeable:
            # consumers without read-only support get the same storage; it must not be written
            value = _writable_alias(value)
        return value.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    # ---- where it is

    def devices(self) -> set[Any]:
        return {self.device}

    @property
    def device(self) -> Any:
        from jaxc.core import devices

        return self._device or devices.cpu()

    @property
    def sharding(self) -> Any:
        from jaxc.core import devices

        return devices.SingleDeviceSharding(self.device)

    @property
    def committed(self) -> bool:
        return self._device is not None

    @property
    def is_fully_addressable(self) -> bool:
        return True

    @property
    def is_fully_replicated(self) -> bool:
        return True

    @property
    def global_shards(self) -> list[Any]:
        return self.addressable_shards

    @property
    def addressable_shards(self) -> list[Any]:
        from jaxc.core import devices

        index = tuple(slice(None) for _ in self.shape)
        return [devices.Shard(self.device, index, 0, self)]

    def addressable_data(self, index: int) -> Array:
        """The part of the array on local device `index`."""
        if index != 0:
            raise IndexError(f"addressable_data: index {index} is out of range for 1 device")
        return self

    def is_deleted(self) -> bool:
        return self._value is None and self._buffer is None and self._pending is None

    def is_ready(self) -> bool:
        return True

    def delete(self) -> None:
        """Drops the storage; later uses raise RuntimeError."""
        self._value = self._buffer = self._pending = None

    @property
    def traceback(self) -> None:
        return None

    # ---- printing

    def __str__(self) -> str:
        if isinstance(self.aval.dtype, KeyDtype):
            return repr(self)
        return str(self._numpy())

    def __repr__(self) -> str:
        name = self.aval.dtype.name
        if isinstance(self.aval.dtype, KeyDtype):
            return f"Array({self.shape}, dtype={name}) overlaying:\n{self._numpy()}"
        weak = ", weak_type=True" if self.aval.weak_type else ""
        suffix = f"dtype={name}{weak})"
        if self.size == 0:
            text = f"[], shape={self.shape}"
        else:
            width = np.get_printoptions()["linewidth"]
            text = np.array2string(
                self._numpy(), prefix="Array(", suffix=",", separator=", ", max_line_width=width
            )
            last = len(text) - text.rfind("\n") + 1
            if last + len(suffix) + 1 > width:  # JAX widens the space but breaks no line
                return f"Array({text},{' ' * 6}{suffix}"
        return f"Array({text}, {suffix}"


def _writable_alias(value: np.ndarray) -> np.ndarray:
    interface = dict(value.__array_interface__)
    interface["data"] = (interface["data"][0], False)

    class Holder:
        __array_interface__ = interface
        owner = value

    return np.asarray(Holder()).view(value.dtype)


def _unpickle(value: np.ndarray, dtype: Any, weak_type: bool) -> Array:
    shape = value.shape[: value.ndim - (1 if isinstance(dtype, KeyDtype) else 0)]
    return Array(value, ShapedArray(shape, dtype, weak_type))


def physical_shape(aval: ShapedArray) -> tuple[int, ...]:
    """The stored shape: keys have a trailing dimension of words."""
    return aval.shape + aval.dtype.key_shape if isinstance(aval.dtype, KeyDtype) else aval.shape


def physical_dtype(aval: ShapedArray) -> np.dtype:
    return np.dtype(np.uint32) if isinstance(aval.dtype, KeyDtype) else aval.dtype


def wrap(value: Any, aval: ShapedArray) -> Array:
    """An Array over a kernel's result; `value` must not be written afterwards."""
    if type(value) is not np.ndarray:
        value = np.asarray(value, dtype=physical_dtype(aval))
    return Array(value, aval)


def raw(x: Any) -> np.ndarray:
    """The NumPy array a kernel works on, of the canonical dtype."""
    if type(x) is Array:
        value = x._value
        return x._fetch() if value is None else value
    if isinstance(x, Tracer):
        raise TypeError(f"{x} has no value")
    if isinstance(x, Array):  # on another device
        return x._numpy()
    if isinstance(x, np.ndarray):
        found = dtypes.canonicalize_dtype(x.dtype)
        return x if found == x.dtype else x.astype(found)
    if isinstance(x, np.generic):
        found = dtypes.canonicalize_dtype(x.dtype)
        return np.asarray(x) if found == x.dtype else np.asarray(x, dtype=found)
    if hasattr(x, "__jax_array__"):
        return raw(x.__jax_array__())
    return np.asarray(x, dtype=get_aval(x).dtype)


def as_array(x: Any) -> Array:
    """Any concrete array-like or Python scalar as an Array (NumPy inputs are copied)."""
    if type(x) is Array or (isinstance(x, Array) and not isinstance(x, Tracer)):
        return x
    value = raw(x)
    return Array(np.array(value) if value is x else value, get_aval(x))
