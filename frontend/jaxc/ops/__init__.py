"""Reductions over segments of an array (`jax.ops`)."""

from jaxc.ops.segments import segment_max as segment_max
from jaxc.ops.segments import segment_min as segment_min
from jaxc.ops.segments import segment_prod as segment_prod
from jaxc.ops.segments import segment_sum as segment_sum
