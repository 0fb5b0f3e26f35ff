"""Rematerialization (`jax.ad_checkpoint`)."""

from jaxc.transforms.remat import checkpoint, checkpoint_policies

remat = checkpoint

__all__ = ["checkpoint", "checkpoint_policies", "remat"]
