"""Moving values to and from devices: `device_put`, `device_get`, `block_until_ready`.

Also follows the flags that name the default device: while it is not the host, `placed_trace` is the
outermost trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import tree_util
from jaxc.core import devices
from jaxc.core.array import Array, as_array
from jaxc.core.config import config
from jaxc.core.devices import Device
from jaxc.core.placed import PlacedArray, place
from jaxc.core.trace import (
    EvalTrace,
    Tracer,
    _state,
    eval_trace,
    get_aval,
    off_host,
    placed_trace,
    set_base_trace,
)


def device_put(
    x: Any, device: Any = None, *, src: Any = None, donate: bool = False, may_alias: Any = None
) -> Any:
    """Put a pytree of arrays on a device, committed to it.

    Args:
      x: pytree of arrays, NumPy arrays or Python scalars.
      device: a Device, a sharding of one device, or a tree of those that is a prefix of `x`; None
        leaves arrays where they are and puts other values on the default device, uncommitted.
      src, donate, may_alias: accepted for compatibility; nothing is donated.

    Raises:
      ValueError: for something that is no device or sharding, or spans several devices.
      TypeError: for leaves that are no arrays.

    Example:
      >>> import jaxc as jax
      >>> jax.device_put([1.0, 2])
      [Array(1., dtype=float32, weak_type=True), Array(2, dtype=int32, weak_type=True)]
    """
    leaves, structure = tree_util.tree_flatten(x)
    if _is_target(device):
        targets = [device] * len(leaves)
    else:
        targets = _broadcast(device, x)
    placed = [_put(leaf, _device_of(target)) for leaf, target in zip(leaves, targets)]
    return tree_util.tree_unflatten(structure, placed)


def _is_target(x: Any) -> bool:
    return x is None or isinstance(x, Device) or hasattr(x, "device_set")


def _broadcast(device: Any, x: Any) -> list[Any]:
    for target in tree_util.tree_leaves(device, is_leaf=_is_target):
        if not _is_target(target):
            raise ValueError(
                "`jax.device_put` only accepts `None`, `jax.sharding.Sharding`, `jax.Device`, "
                "`Format`, `jax.memory.Space` or a pytree of these values. Received invalid "
                f"value: {target}"
            )
    try:
        return tree_util.broadcast_prefix(device, x, is_leaf=_is_target)
    except ValueError as error:
        details = str(error).replace("broadcast_prefix prefix_tree", "device_put device")
        raise ValueError(
            "device_put device specification must be a tree prefix of the corresponding value; "
            f"\n  Mismatch details (1 found):\n  {details}"
        ) from None


def _device_of(target: Any) -> Device | None:
    if target is None or isinstance(target, Device):
        return target
    return devices.only_device(target)


def _put(leaf: Any, device: Device | None) -> Any:
    if isinstance(leaf, Tracer):
        return leaf
    if not isinstance(leaf, Array):
        try:
            get_aval(leaf)
        except TypeError:
            raise TypeError(
                f"Argument {leaf!r} of type {type(leaf)} is not a valid JAX type"
            ) from None
    array = as_array(leaf)
    if device is None:
        return array if isinstance(leaf, Array) else settle(array)
    if array is not leaf and device.is_host:  # new: nobody else holds it
        array._device = device
        return array
    return place(array, device, committed=True)


def settle(array: Any) -> Any:
    """A new host array where the default device wants it, uncommitted."""
    if isinstance(array, Tracer) or not isinstance(_state.trace, EvalTrace):
        return array
    if array.committed or devices.default_is_host():
        return array
    return place(array, devices.default_device(), committed=False)


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
    """The arrays that exist in this process, of one backend or of all."""
    import gc

    arrays = [a for a in gc.get_objects() if type(a) in (Array, PlacedArray) and not a.is_deleted()]
    wanted = platform and devices.devices(platform)[0].platform
    return [a for a in arrays if wanted in (None, a.device.platform)]


# ---- the default device ------------------------------------------------------------------------


def _follow_default_device() -> None:
    """Make the outermost trace the default device's: in this thread, and while none has flags of
    its own in all."""
    trace = eval_trace if devices.default_is_host() else placed_trace
    if trace is placed_trace:
        off_host.used = True
    if not config.overridden:
        set_base_trace(trace)
    elif isinstance(_state.trace, EvalTrace):
        _state.trace = trace


config.check_with("jax_default_device", devices.check_default_device)
config.on_change(_follow_default_device)
_follow_default_device()
