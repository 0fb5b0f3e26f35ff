"""Where a computation runs: the device of its operands, and operations one at a time there.

An operation on arrays of a device other than the host's CPU is a compiled program of one equation,
remembered by primitive, avals and parameters, and on disk like every program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxc.core import devices
from jaxc.core.array import Array, as_array
from jaxc.core.config import config
from jaxc.core.devices import Device
from jaxc.core.jaxpr import ClosedJaxpr
from jaxc.core.placed import PlacedArray, place
from jaxc.core.primitive import check_nans
from jaxc.core.trace import eval_context, off_host
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
    first = -1
    for i, arg in enumerate(args):
        if type(arg) is PlacedArray:  # `isinstance` asks Python code
            if not arg._committed:
                continue
        elif not isinstance(arg, Array) or not arg.committed:
            continue
        if first < 0:
            first = i
        elif arg._device is not args[first]._device and arg._device != args[first]._device:
            raise ValueError(
                "Received incompatible devices for jitted computation. Got "
                f"{_described(args[first], names(first), name)} and "
                f"{_described(arg, names(i), name)}"
            )
    if first < 0:
        return devices.default_device(), False
    return args[first]._device, True


def _described(array: Array, argument: str, name: str) -> str:
    device, shape = array.device, array.aval.str_short(short_dtypes=False)
    return (
        f"argument {argument} of {name} with shape {shape} and with device ids "
        f"[{device.id}] on platform {device.platform.upper()}"
    )


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
