"""Rematerialization (`jax.ad_checkpoint`)."""

from jaxc.transforms.remat import checkpoint, everything_saveable, nothing_saveable

remat = checkpoint

__all__ = ["checkpoint", "everything_saveable", "nothing_saveable", "remat"]
