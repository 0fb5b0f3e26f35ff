"""JAX's exception classes (`jax.errors`), with messages that name the user's line."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ConcretizationTypeError",
    "CopyInPlaceError",
    "JAXIndexError",
    "JAXTypeError",
    "JaxRuntimeError",
    "KeyReuseError",
    "NonConcreteBooleanIndexError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "TypePromotionError",
    "UnexpectedTracerError",
    "UnsupportedFeatureError",
]


class JAXTypeError(TypeError):
    """A TypeError raised by tracing."""


class JAXIndexError(IndexError):
    """An IndexError raised by tracing."""


class CopyInPlaceError(RuntimeError):
    """An `at[]` update copies its operand, which `jaxc_copy_in_place="error"` forbids."""


def _origin(tracer: Any) -> str:
    describe = getattr(tracer, "_origin_msg", None)
    return describe() if callable(describe) else ""


class ConcretizationTypeError(JAXTypeError):
    """A traced value was used where its concrete value is needed."""

    def __init__(self, tracer: Any, context: str = ""):
        detail = f" {context}" if context else ""
        super().__init__(
            "Abstract tracer value encountered where concrete value is expected: "
            f"{tracer}.{detail}{_origin(tracer)}"
        )


class TracerBoolConversionError(ConcretizationTypeError):
    """`bool()` of a traced array: `if x > 0` inside jit."""

    def __init__(self, tracer: Any):
        JAXTypeError.__init__(
            self,
            f"Attempted boolean conversion of traced array with shape {_shape(tracer)}."
            f"{_origin(tracer)}\nUse jax.lax.cond, jax.numpy.where, or mark the argument static.",
        )


class TracerArrayConversionError(JAXTypeError):
    """`np.asarray` of a traced array."""

    def __init__(self, tracer: Any):
        super().__init__(
            "The numpy.ndarray conversion method __array__() was called on traced array with "
            f"shape {_shape(tracer)}.{_origin(tracer)}"
        )


class TracerIntegerConversionError(JAXTypeError):
    """A traced array was used where Python wants an integer."""

    def __init__(self, tracer: Any):
        super().__init__(
            "The __index__() method was called on traced array with shape "
            f"{_shape(tracer)}.{_origin(tracer)}"
        )


class NonConcreteBooleanIndexError(JAXIndexError):
    """A traced boolean mask was used as an index: the result's shape would depend on its values."""

    def __init__(self, tracer: Any):
        super().__init__(
            f"Array boolean indices must be concrete; got {tracer}.{_origin(tracer)}\n"
            "Use the three-argument jax.numpy.where or `x.at[mask].set(...)`."
        )


class UnexpectedTracerError(JAXTypeError):
    """A tracer escaped the transformation that made it."""


class TypePromotionError(ValueError):
    """Two dtypes have no implicit promotion."""


class KeyReuseError(RuntimeError):
    """A random key was consumed twice (`jax_debug_key_reuse`)."""


class JaxRuntimeError(RuntimeError):
    """The compiled program failed while running."""


class UnsupportedFeatureError(NotImplementedError):
    """A target cannot do what the program asks."""


def _shape(tracer: Any) -> str:
    aval = getattr(tracer, "aval", None)
    return aval.str_short() if hasattr(aval, "str_short") else str(aval)
