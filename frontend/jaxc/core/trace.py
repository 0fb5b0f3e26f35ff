"""Traces and tracers: what `Primitive.bind` hands an operation to.

There is one current trace per thread. A transformation makes a new one (`set_current_trace`) that
knows its parent and wraps the values it follows in tracers of its own. Must not import arrays,
primitives or transforms.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from jaxc import errors
from jaxc.core import dtypes
from jaxc_compiler.opset.avals import ShapedArray, float0


class Trace:
    """One interpretation of primitives. Subclasses implement `process_primitive`."""

    __slots__ = ("__weakref__", "valid")

    def __init__(self) -> None:
        self.valid = True

    def process_primitive(self, primitive: Any, args: tuple[Any, ...], params: dict) -> Any:
        raise NotImplementedError

    def process_custom_jvp_call(self, primitive: Any, fun: Any, jvp: Any, args: Any, params: dict):
        raise NotImplementedError(type(self).__name__)

    def process_custom_vjp_call(
        self, primitive: Any, fun: Any, fwd: Any, bwd: Any, args: Any, params: dict
    ):
        raise NotImplementedError(type(self).__name__)

    def invalidate(self) -> None:
        """Tracers of this trace that live on are leaks from now on."""
        self.valid = False


class NotOnHost:
    """A value no NumPy kernel can take: a tracer, or an array on another device."""

    __slots__ = ()


class Tracer(NotOnHost):
    """A value that a transformation follows; like an array (numpy/ attaches the methods)."""

    __array_priority__ = 1000
    __slots__ = ("__weakref__", "_trace")

    def __init__(self, trace: Trace):
        self._trace = trace

    @property
    def aval(self) -> ShapedArray:
        raise NotImplementedError(type(self).__name__)

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
    def sharding(self) -> Any:
        raise AttributeError("A traced array has no concrete sharding.")

    def to_concrete_value(self) -> Any:
        """The array this tracer stands for, if its value is known; else None."""
        return None

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise errors.TracerArrayConversionError(self)

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any:
        raise errors.ConcretizationTypeError(self, "__dlpack__() was called on a traced array.")

    def tobytes(self, order: str = "C") -> bytes:
        raise errors.ConcretizationTypeError(self, "tobytes() was called on a traced array.")

    def tolist(self) -> list:
        raise errors.ConcretizationTypeError(self, "tolist() was called on a traced array.")

    def _concrete(self, error: Any) -> Any:
        value = self.to_concrete_value()
        if value is None:
            raise error
        return value

    def __bool__(self) -> bool:
        if self.aval.size != 1 and self.to_concrete_value() is None:
            _check_scalar_bool(self)
        return bool(self._concrete(errors.TracerBoolConversionError(self)))

    def __int__(self) -> int:
        return int(self._conversion("int"))

    def __float__(self) -> float:
        return float(self._conversion("float"))

    def __complex__(self) -> complex:
        return complex(self._conversion("complex"))

    def _conversion(self, name: str) -> Any:
        if self.aval.shape:
            raise TypeError(
                "Only scalar arrays can be converted to Python scalars; "
                f"got arr.ndim={self.aval.ndim}"
            )
        return self._concrete(
            errors.ConcretizationTypeError(self, f"The problem arose with the `{name}` function. ")
        )

    def __index__(self) -> int:
        if self.aval.shape or not dtypes.issubdtype(self.dtype, np.integer):
            raise TypeError("Only integer scalar arrays can be converted to a scalar index.")
        value = self.to_concrete_value()
        if value is None:
            raise errors.TracerIntegerConversionError(self)
        return value.__index__()

    def __hash__(self) -> int:
        raise TypeError(f"unhashable type: '{type(self).__name__}'")

    def __iter__(self) -> Iterator[Any]:
        if not self.aval.shape:
            raise TypeError("iteration over a 0-d array")
        return iter([self[i] for i in range(self.aval.shape[0])])  # type: ignore[index]

    def __len__(self) -> int:
        return len(self.aval)

    def block_until_ready(self) -> Any:
        return self

    def copy_to_host_async(self) -> None:
        """Nothing to do for a traced value."""

    def _origin_msg(self) -> str:
        return ""

    def __repr__(self) -> str:
        return f"{type(self).__name__.removesuffix('Tracer')}Tracer<{self.aval.str_short()}>"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)


def _check_scalar_bool(tracer: Tracer) -> None:
    if tracer.aval.size == 0:
        raise ValueError(
            "The truth value of an empty array is ambiguous. Use `array.size > 0` to "
            "check that an array is not empty."
        )
    raise ValueError(
        "The truth value of an array with more than one element is ambiguous. Use "
        "a.any() or a.all()"
    )


class _TraceState(threading.local):
    trace: Trace
    axis_env: dict[Any, int]
    eval_contexts: int  # how many are open

    def __init__(self) -> None:
        self.trace = off_host.base_trace or eval_trace
        self.axis_env = {}
        self.eval_contexts = 0
        _threads[threading.get_ident()] = self.__dict__


# What each thread's state holds, so that a flag that one sets reaches the others. The numbers of
# threads that ended are used again.
_threads: dict[int, dict[str, Any]] = {}


def set_base_trace(trace: Trace) -> None:
    """Make `trace` the outermost one of all threads that are in no other, and of new ones."""
    off_host.base_trace = trace
    for state in list(_threads.values()):  # a copy: threads begin meanwhile
        if isinstance(state["trace"], EvalTrace) and not state["eval_contexts"]:
            state["trace"] = trace


class _OffHost:
    """Whether and how operations run elsewhere than on the host; empty until they do.

    Attributes:
      used: whether an array was ever put on another device.
      run: function(primitive, args, params) that runs an operation where its operands are.
      base_trace: the outermost trace of new threads, where it is not `eval_trace`.
    """

    used = False
    run: Any = None
    base_trace: Trace | None = None


off_host = _OffHost()


class EvalTrace(Trace):
    """The outermost trace: runs operations at once, on the op book's kernels."""

    __slots__ = ()

    def process_primitive(self, primitive: Any, args: tuple[Any, ...], params: dict) -> Any:
        for arg in args:
            if isinstance(arg, NotOnHost):
                return _run_off_host(primitive, args, params)
        return primitive.impl(*args, **params)

    def process_custom_jvp_call(self, primitive: Any, fun: Any, jvp: Any, args: Any, params: dict):
        return fun(*args)

    def process_custom_vjp_call(
        self, primitive: Any, fun: Any, fwd: Any, bwd: Any, args: Any, params: dict
    ):
        return fun(*args)


class PlacedTrace(EvalTrace):
    """The outermost trace while the default device is not the host: runs operations there."""

    __slots__ = ()

    def process_primitive(self, primitive: Any, args: tuple[Any, ...], params: dict) -> Any:
        return _run_off_host(primitive, args, params)


def _run_off_host(primitive: Any, args: tuple[Any, ...], params: dict) -> Any:
    for arg in args:
        if isinstance(arg, Tracer):
            raise escaped_tracer_error(arg)
    return off_host.run(primitive, args, params)


def escaped_tracer_error(tracer: Tracer) -> errors.UnexpectedTracerError:
    return errors.UnexpectedTracerError(
        "Encountered an unexpected tracer. A function transformed by JAX had a side effect, "
        f"allowing for a reference to an intermediate value with type {tracer.aval.str_short()} "
        f"to escape the scope of the transformation.{tracer._origin_msg()}"
    )


eval_trace = EvalTrace()
placed_trace = PlacedTrace()
_state = _TraceState()


def current_trace() -> Trace:
    return _state.trace


@contextmanager
def set_current_trace(trace: Trace) -> Iterator[Trace]:
    """Makes `trace` the one that primitives are handed to inside the block."""
    before = _state.trace
    _state.trace = trace
    try:
        yield trace
    finally:
        _state.trace = before


class EvalContext:
    """`with eval_context():` computes at once even while something is being traced."""

    def __enter__(self) -> None:
        self._before = _state.trace
        _state.eval_contexts += 1
        _state.trace = eval_trace

    def __exit__(self, *exc: Any) -> None:
        _state.trace = self._before
        _state.eval_contexts -= 1


def eval_context() -> EvalContext:
    return EvalContext()


ensure_compile_time_eval = eval_context


def trace_state_clean() -> bool:
    """Whether nothing is being traced in this thread."""
    return isinstance(_state.trace, EvalTrace)


# ---- named axes -------------------------------------------------------------------------------


@contextmanager
def extend_axis_env(name: Any, size: int) -> Iterator[None]:
    """Binds a mapped axis name (vmap, pmap) inside the block."""
    if name is None:
        yield
        return
    before = _state.axis_env
    _state.axis_env = {**before, name: size}
    try:
        yield
    finally:
        _state.axis_env = before


def axis_env() -> tuple[tuple[Any, int], ...]:
    return tuple(_state.axis_env.items())


def axis_size(name: Any) -> int:
    """Size of a named axis.

    Raises:
      NameError: if no enclosing vmap or pmap binds the name.
    """
    if isinstance(name, tuple | list):
        total = 1
        for n in name:
            total *= axis_size(n)
        return total
    if name not in _state.axis_env:
        raise NameError(f"unbound axis name: {name}")
    return _state.axis_env[name]


# ---- avals of values ----------------------------------------------------------------------------


def _both_modes(dtype: np.dtype) -> tuple[ShapedArray, ShapedArray]:
    narrow = dtypes._DTYPE32.get(dtype, dtype)
    return ShapedArray((), narrow), ShapedArray((), dtype)


# NumPy scalar type -> its aval without and with x64
_numpy_scalar_avals: dict[type, tuple[ShapedArray, ShapedArray]] = {
    np.dtype(name).type: _both_modes(np.dtype(name))
    for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                 "float16", "float32", "float64", "complex64", "complex128")
}  # fmt: skip
_scalar_avals: dict[tuple[type, bool], ShapedArray] = {}
aval_handlers: dict[type, Any] = {}  # other array types register a function value -> aval here


def get_aval(x: Any) -> ShapedArray:
    """The abstract value of an array, tracer, NumPy value or Python scalar.

    Raises:
      TypeError: for values that are no arrays.
    """
    kind = type(x)
    found = _numpy_scalar_avals.get(kind)
    if found is not None:
        return found[dtypes.config.jax_enable_x64]
    aval = getattr(x, "aval", None)
    if aval is not None:
        return aval
    if kind in (bool, int, float, complex):
        key = (kind, dtypes.config.jax_enable_x64)
        if kind is int and not _fits(x):
            raise OverflowError(
                f"Python int {x} too large to convert to {dtypes.default_dtype(int).name}"
            )
        found = _scalar_avals.get(key)
        if found is None:
            found = ShapedArray((), dtypes.default_dtype(kind), weak_type=kind is not bool)
            _scalar_avals[key] = found
        return found
    if isinstance(x, np.ndarray | np.generic):
        if (
            x.dtype != float0
            and x.dtype.kind in "OSUMmV"
            and x.dtype.names is None
            and x.dtype not in dtypes._CUSTOM_FLOATS
            and x.dtype not in dtypes._SMALL_INTS
        ):
            raise TypeError(
                f"Value {x!r} with dtype {x.dtype} is not a valid JAX array type. "
                "Only arrays of numeric types are supported by JAX."
            )
        return ShapedArray(x.shape, dtypes.canonicalize_dtype(x.dtype))
    for base in kind.__mro__:
        if base in aval_handlers:
            return aval_handlers[base](x)
    if hasattr(x, "__jax_array__"):
        return get_aval(x.__jax_array__())
    raise TypeError(f"Value {x!r} with type {kind} is not a valid JAX type")


def _fits(x: int) -> bool:
    bits = 63 if dtypes.config.jax_enable_x64 else 31
    return -(1 << bits) <= x < (1 << bits)


def typeof(x: Any) -> ShapedArray:
    """`jax.typeof`: the aval of a value."""
    return get_aval(x)


def valid_jaxtype(x: Any) -> bool:
    try:
        get_aval(x)
    except (TypeError, OverflowError):
        return False
    return True


def to_concrete_value(x: Any) -> Any:
    """`x` if it is concrete, the value behind a tracer if known, else None."""
    if not isinstance(x, Tracer):
        return x
    return x.to_concrete_value()


def is_concrete(x: Any) -> bool:
    return to_concrete_value(x) is not None


def concrete_or_error(force: Any, value: Any, context: str = "") -> Any:
    """`force(value)`, or ConcretizationTypeError if the value is being traced."""
    if value is None:
        raise errors.ConcretizationTypeError(value, context)
    if not isinstance(value, Tracer):
        return value if force is None else force(value)
    known = value.to_concrete_value()
    if known is None:
        raise errors.ConcretizationTypeError(value, context)
    return known if force is None else force(known)
