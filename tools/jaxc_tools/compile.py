"""`jaxc compile` and `compile_function`: a Python function becomes one file that runs alone."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jaxc
from jaxc import tree_util
from jaxc.lowering import lower_jaxpr
from jaxc.physical import physicalize
from jaxc_compiler import driver, targets
from jaxc_compiler.diagnostics import CompileError
from jaxc_runtime import ArraySpec, Metadata, artifact, structure
from jaxc_tools.errors import UsageError
from jaxc_tools.loading import load_function, user_error
from jaxc_tools.specs import ArgSpec, parse_args

_VERSIONS = ("jaxc", "iree-base-compiler", "torch-mlir")


def trace(fn: Callable[..., Any], arguments: Sequence[Any]) -> tuple[Any, Any]:
    """Trace `fn` on the shapes of `arguments`; returns its jaxpr and the shapes of its results."""
    return jaxc.make_jaxpr(fn, return_shape=True)(*shapes_of(arguments))


def shapes_of(arguments: Sequence[Any]) -> Any:
    """The arguments with a shape in the place of each array or `ArgSpec`."""
    return tree_util.tree_map(_shape_of, tuple(arguments), is_leaf=_is_spec)


def compile_function(
    fn: Callable[..., Any],
    arguments: Sequence[Any],
    path: str | os.PathLike,
    target: str = "cpu",
) -> Metadata:
    """Compile a function and write it, with its constants and its signature, as one file.

    Args:
        fn: a function of arrays, jitted or not. What it closes over becomes part of the program.
        arguments: its positional arguments, or `ArgSpec`s and other things with a shape and a
            dtype in their place. Only shapes and dtypes are used.
        path: where the `.vmfb` goes.
        target: `name` or `name:chip` of `jaxc_compiler.targets`: this machine's CPU if not given,
            `cpu:generic` for any.

    Returns:
        The metadata in the file; `jaxc_runtime.load(path)` gives the callable.

    Raises:
        TypeError: an argument or result that is no array, or a container a file cannot describe.

    >>> import jaxc.numpy as jnp, jaxc_runtime, tempfile  # doctest: +SKIP
    >>> compile_function(jnp.sin, [ArgSpec((3,), np.dtype("f4"))], "sin.vmfb")  # doctest: +SKIP
    """
    arguments = tuple(arguments)
    closed, out_shapes = trace(fn, arguments)
    closed = physicalize(closed)
    name = getattr(fn, "__name__", "function")
    compile_for = targets.get(target, portable=True)
    compiled = driver.compile(lower_jaxpr(closed, name, embed_constants=True), compile_for)
    metadata = Metadata(
        name=name,
        target=str(compile_for),
        driver=compile_for.driver,
        inputs=_array_specs(closed.in_avals),
        outputs=_array_specs(closed.out_avals),
        in_structure=_structure(arguments),
        out_structure=_structure(out_shapes),
        versions={p: importlib.metadata.version(p) for p in _VERSIONS} | compiled.about,
    )
    Path(path).write_bytes(artifact.pack(compiled.vmfb, metadata))
    return metadata


def target_named(spec: str) -> targets.Target:
    """The target a user named, or a `UsageError`."""
    try:
        return targets.get(spec, portable=True)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _structure(nested: Any) -> Any:
    leaves, treedef = tree_util.tree_flatten(nested, is_leaf=_is_spec)
    return structure.encode(tree_util.tree_unflatten(treedef, range(len(leaves))))


def _array_specs(avals: Sequence[Any]) -> tuple[ArraySpec, ...]:
    return tuple(ArraySpec(tuple(aval.shape), aval.dtype.name) for aval in avals)


def _is_spec(value: Any) -> bool:
    return isinstance(value, ArgSpec)


def _shape_of(value: Any) -> Any:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return jaxc.ShapeDtypeStruct(value.shape, value.dtype)
    return value


def compile_reference(source: str, arguments: str, output: str, target: str) -> Metadata:
    """`compile_function` for what a user typed.

    Args:
        source: `file.py:function`.
        arguments: shapes of its arguments (see `specs.parse_args`).
        output: the file to write.
        target: a target's `name` or `name:chip`.

    Raises:
        UsageError: unknown names, wrong shapes, unreadable or unwritable files.
    """
    function = load_function(source)
    specs = parse_args(arguments)
    target_named(target)
    try:
        trace(function, specs)
    except Exception as error:  # whatever the user's function raises is one line for the user
        raise user_error(error, source.rpartition(":")[0]) from None
    try:
        return compile_function(function, specs, output, target)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from None
    except (CompileError, NotImplementedError, TypeError) as error:
        raise UsageError(f"{source}: {' '.join(str(error).split())}") from None
