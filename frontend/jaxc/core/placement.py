"""Moving values to and from devices: `device_put`, `device_get`, `block_until_ready`."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core.array import Array, as_array
from jaxc.core.devices import Device, default_device
from jaxc.core.trace import Tracer, get_aval


def device_put(
    x: Any, device: Any = None, *, src: Any = None, donate: bool = False, may_alias: Any = None
) -> Any:
    """Put a pytree of arrays on a device.

    Args:
      x: pytree of arrays, NumPy arrays or Python scalars.
      device: a Device or a sharding; the default device if None.

    Raises:
      ValueError: for something that is no device or sharding.
      TypeError: for leaves that are no arrays.

    Example:
      >>> import jaxc as jax
      >>> jax.device_put([1.0, 2])
      [Array(1., dtype=float32, weak_type=True), Array(2, dtype=int32, weak_type=True)]
    """
    targets = [device] if _is_target(device) else tree_util.tree_leaves(device)
    for target in targets:
        if not _is_target(target):
            raise ValueError(f"device_put: expected a Device or Sharding, got {target!r}")
    return tree_util.tree_map(lambda leaf: _put(leaf, targets[0] if targets else None), x)


def _is_target(x: Any) -> bool:
    return x is None or isinstance(x, Device) or hasattr(x, "device_set")


def _put(leaf: Any, target: Any) -> Any:
    if isinstance(leaf, Tracer):
        return leaf
    get_aval(leaf)
    array = as_array(leaf)
    if target is None:
        return array
    out = Array(array._value, array.aval, array._take_buffer())
    out._device = target if isinstance(target, Device) else default_device()
    return out


def device_get(x: Any) -> Any:
    """A pytree with its arrays as NumPy arrays.

    Example:
      >>> import jaxc as jax
      >>> import jaxc.numpy as jnp
      >>> jax.device_get(jnp.arange(2))
      array([0, 1], dtype=int32)
    """
    return tree_util.tree_map(lambda leaf: np.asarray(leaf) if isinstance(leaf, Array) else leaf, x)


def block_until_ready(x: Any) -> Any:
    """Wait until the arrays of a pytree are computed, and return it."""
    for leaf in tree_util.tree_leaves(x):
        if isinstance(leaf, Array):
            leaf.block_until_ready()
    return x


def live_arrays(platform: str | None = None) -> list[Array]:
    """The arrays that exist in this process."""
    import gc

    return [a for a in gc.get_objects() if type(a) is Array and not a.is_deleted()]
