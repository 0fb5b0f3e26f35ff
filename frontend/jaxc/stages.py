"""Ahead-of-time compilation (`jax.stages`)."""

from jaxc.transforms.jit import JitFunction as Wrapped
from jaxc.transforms.stages import ArgInfo, Compiled, Lowered, Traced

__all__ = ["ArgInfo", "Compiled", "Lowered", "Traced", "Wrapped"]
