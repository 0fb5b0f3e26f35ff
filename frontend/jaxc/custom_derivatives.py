"""Functions with derivative rules of their own (`jax.custom_derivatives`)."""

from jaxc.transforms.custom_derivatives import (
    custom_gradient,
    custom_jvp,
    custom_vjp,
    linear_call,
    zero_from_primal,
)

__all__ = ["custom_gradient", "custom_jvp", "custom_vjp", "linear_call", "zero_from_primal"]
