"""Functions with derivative rules of their own (`jax.custom_derivatives`)."""

from jaxc.transforms.custom_jvp import custom_jvp
from jaxc.transforms.custom_vjp import custom_gradient, custom_vjp, linear_call, zero_from_primal

__all__ = ["custom_gradient", "custom_jvp", "custom_vjp", "linear_call", "zero_from_primal"]
