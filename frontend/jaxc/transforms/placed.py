"""Where a computation runs: the device of its operands, and operations one at a time there.

An operation on arrays of a device other than the host's CPU is a compiled program of one equation,
remembered by primitive, avals and parameters, and on disk like every program.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxc import tree_util
from jaxc.core import devices
from jaxc.core.array import Array, as_array
from jaxc.core.config import config
from jaxc.core.devices import Device
from jaxc.core.jaxpr import ClosedJaxpr
from jaxc.core.placed import PlacedArray, place
from jaxc.core.primitive import check_nans
from jaxc.core.trace import eval_context, get_aval, off_host
from jaxc.sharding import PartitionSpec
from jaxc.transforms import compiling
from jaxc.transforms.staging import trace_to_jaxpr
from jaxc.transforms.trace_key import flags_key, typed

_MOST_OPERATIONS = 4096


def placement(args: Sequence[Any], name: str, names: Callable[[int], str]) -> tuple[Device, bool]:
    """The device a computation runs on, and whether its results are committed to it.

    Args:
      args: its arrays; those that are committed decide, and must agree.
      name: the function's name, for the error.
      names: the name of each argument, for the error.

    Raises:
      ValueError: two arguments are committed to different devices.
    """
    first, device = -1, None
    for i, arg in enumerate(args):
        found = _device_of(arg)
        if found is None:
            continue
        if device is None:
            first, device = i, found
        elif found is not device and found != device:
            raise _incompatible(
                f"{_described(args[first], names(first), name)}{_with_ids(device)}",
                f"{_described(arg, names(i), name)}{_with_ids(found)}",
            )
    return (devices.default_device(), False) if device is None else (device, True)


def _device_of(arg: Any) -> Device | None:
    """The device that an argument is committed to, or that the sharding of a struct names."""
    if type(arg) is PlacedArray:  # `isinstance` asks Python code
        return arg._device if arg._committed else None
    if type(arg) is Array:
        return arg._device
    sharding = getattr(arg, "sharding", None)
    return None if sharding is None else devices.only_device(sharding)


def _incompatible(one: str, other: str) -> ValueError:
    return ValueError(
        f"Received incompatible devices for jitted computation. Got {one} and {other}"
    )


def _described(array: Any, argument: str, name: str) -> str:
    shape = get_aval(array).str_short(short_dtypes=False)
    return f"argument {argument} of {name} with shape {shape} and"


def _with_ids(device: Device) -> str:
    return f" with device ids [{device.id}] on platform {device.platform.upper()}"


@dataclass(frozen=True)
class Chosen:
    """The device that `jit` is told to run on.

    Attributes:
      device: gives it.
      by_results: whether only the results' shardings name it: arguments are not moved to it.
    """

    device: Callable[[], Device]
    by_results: bool = False

    def for_call(self, traced: Any, args: Sequence[Any]) -> Device:
        """The device for a call.

        Raises:
          ValueError: its arguments are committed to another, and may not be moved.
        """
        device = self.device()
        if self.by_results:
            found, committed = traced.placement(args)
            if committed and found != device:
                raise _incompatible(
                    f"arguments of {traced.name}{_with_ids(found)}",
                    f"explicit output sharding{_with_ids(device)}",
                )
        return device


def chosen_device(
    device: Any, backend: str | None, in_shardings: Any, out_shardings: Any
) -> Chosen | None:
    """What `jit`'s parameters say about where to run; None if they leave it to the arguments.

    Raises:
      TypeError: shardings that are none.
      ValueError: parameters that disagree.
      NotImplementedError: a sharding over several devices.
    """
    inputs = _devices_of("in_shardings", in_shardings)
    found = [*inputs, *_devices_of("out_shardings", out_shardings)]
    for other in found[1:]:
        if other != found[0]:
            raise _incompatible(*[f"explicit sharding{_with_ids(d)}" for d in (found[0], other)])
    if device is None and backend is None:
        return Chosen(lambda: found[0], by_results=not inputs) if found else None
    warnings.warn(
        "backend and device argument on jit is deprecated. You can use `jax.device_put(..., "
        'jax.local_devices(backend="cpu")[0])` on the inputs to the jitted function to get the '
        "same behavior.",
        DeprecationWarning,
        stacklevel=3,
    )
    if device is not None and backend is not None:
        raise ValueError(
            f"can't specify both a device and a backend for jit, got {device=} and {backend=}"
        )
    if found:
        raise ValueError(
            "If backend or device is specified on jit, then in_shardings and out_shardings should "
            "not be specified."
        )
    return Chosen(lambda: device if device is not None else devices.devices(backend)[0])


def _devices_of(parameter: str, shardings: Any) -> list[Device]:
    """The devices that a tree of shardings names; a PartitionSpec names none."""
    found = []
    for leaf in tree_util.tree_leaves(shardings, is_leaf=lambda x: isinstance(x, PartitionSpec)):
        if isinstance(leaf, PartitionSpec):
            continue
        if not hasattr(leaf, "device_set"):
            raise TypeError(f"{parameter}: expected shardings, PartitionSpecs or None, got {leaf}")
        found.append(devices.only_device(leaf))
    return found


def run_operation(primitive: Any, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Run an operation where its operands are, or on the default device.

    Raises:
      ValueError: operands committed to different devices.
      FloatingPointError: a result holds a NaN (`jax_debug_nans`).
    """
    binary = len(args) == 2 and primitive.op.kind == "elementwise"
    device, committed = placement(
        args, primitive.name, lambda i: "xy"[i] if binary else f"args[{i}]"
    )
    if device.is_host:
        here = [place(a, device, False) if isinstance(a, PlacedArray) else a for a in args]
        with eval_context():
            return primitive.impl(*here, **params)
    arrays = [as_array(a) for a in args]
    closed, name = _operation(primitive, tuple([a.aval for a in arrays]), params)
    program = compiling.placed_program_of(closed, (), name, device)
    outs = program.run(arrays, committed)
    if config.jax_debug_nans:
        check_nans(name, outs)
    return outs if primitive.multiple_results else outs[0]


_operations: dict[Any, ClosedJaxpr] = {}


def _operation(
    primitive: Any, avals: tuple[Any, ...], params: dict[str, Any]
) -> tuple[ClosedJaxpr, str]:
    """The jaxpr of one operation: the called one of a `jit`, else one of a single equation."""
    if primitive.name == "jit":
        return params["jaxpr"], params["name"]
    key = (primitive, avals, typed(params), flags_key())
    try:
        found = _operations.get(key)
    except TypeError:  # an unhashable parameter
        return _trace_operation(primitive, avals, params), primitive.name
    if found is None:
        if len(_operations) >= _MOST_OPERATIONS:
            _operations.clear()
        found = _operations[key] = _trace_operation(primitive, avals, params)
    return found, primitive.name


def _trace_operation(primitive: Any, avals: Sequence[Any], params: dict[str, Any]) -> ClosedJaxpr:
    def operation(*args: Any) -> Sequence[Any]:
        outs = primitive.bind(*args, **params)
        return outs if primitive.multiple_results else [outs]

    return trace_to_jaxpr(operation, avals)


def forget_operations() -> None:
    """Drop the remembered operations and their programs."""
    _operations.clear()


off_host.run = run_operation
