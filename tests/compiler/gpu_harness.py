"""Calls and programs compiled for a GPU target, and run where there is such a device.

Lavapipe, Mesa's Vulkan device on the CPU, is one.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from compiler import calls

import jaxc
from jaxc_compiler import driver, targets
from jaxc_compiler.mlir import ir
from jaxc_runtime import buffer, device, executable
from jaxc_runtime.errors import DeviceError
from jaxc_tools.testing import module_of


@functools.cache
def problem_of(driver: str) -> str:
    """Why there is no device of a driver; empty if there is one."""
    try:
        device.get(driver)
    except DeviceError as error:
        return str(error)
    return ""


def linalg_on_cpu() -> targets.Target:
    """The lowering for GPUs, compiled for the CPU so that it runs anywhere."""
    return dataclasses.replace(targets.get("cpu"), backend="gpu")


def run_calls(made: Sequence[calls.Call], target: targets.Target) -> Iterator[list[np.ndarray]]:
    """The results of every call, compiled in one module."""
    out_avals = [call.out_avals for call in made]
    arguments = [call.arrays for call in made]
    return _run(calls.module_of_calls(made), calls.names(made), arguments, out_avals, target)


Program = tuple[Callable[..., Any], list[np.ndarray]]


def module_of_programs(programs: Sequence[Program]) -> ir.Module:
    """One module with a function `f0`, `f1`, ... for each Python function and its arguments."""
    return calls.joined([module_of(function, *arguments) for function, arguments in programs])


def run_programs(programs: Sequence[Program], target: targets.Target) -> Iterator[list[np.ndarray]]:
    """The results, as flat lists, of every program, compiled in one module."""
    names = [f"f{number}" for number in range(len(programs))]
    shapes = [jaxc.eval_shape(function, *arguments) for function, arguments in programs]
    out_avals = [jaxc.tree_util.tree_leaves(shape) for shape in shapes]
    arguments = [arrays for _, arrays in programs]
    return _run(module_of_programs(programs), names, arguments, out_avals, target)


def _run(
    module: ir.Module, names: Sequence[str], arguments: Any, out_avals: Any, target: targets.Target
) -> Iterator[list[np.ndarray]]:
    on = device.get(target.driver)
    artifact = driver.compile(module, target)
    loaded = executable.load(artifact.vmfb, on, function=names[0])
    for name, arrays, outs in zip(names, arguments, out_avals):
        call = loaded.function(name)
        first = call([buffer.to_device(a, on) for a in arrays])  # kept: the next are elsewhere
        results = call([buffer.to_device(a, on) for a in arrays])
        del first
        yield [
            np.array(buffer.to_numpy(r, *calls.physical(a), on))
            for r, a in zip(results, outs, strict=True)
        ]
