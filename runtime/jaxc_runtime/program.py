"""Shipped programs as functions of NumPy arrays: `load` and what it returns.

Owns which of a file's programs is taken, and who owns which memory. It needs no compiler and no
frontend. Imports the file format, the conversion of arguments, devices, buffers and executables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from iree.runtime.version import VERSION as IREE_VERSION

from jaxc_runtime import archive, artifact, buffer, executable, matching, platforms, structure
from jaxc_runtime.artifact import ArraySpec, Artifact, CompiledProgram, Metadata, Signature
from jaxc_runtime.conversion import as_array
from jaxc_runtime.errors import ArtifactError, DeviceError, ExecutionError


class DeviceArray:
    """An array that stays on its device: a result of `Function.on_device`.

    It may be an argument of any function of the same program. A function that it is donated to
    overwrites its memory; it cannot be used after that.
    """

    __slots__ = ("_borrowed", "_device", "_view", "dtype", "shape")

    def __init__(self, view: Any, spec: ArraySpec, on: platforms.Device, borrowed: bool):
        self._view: Any = view
        self._borrowed = borrowed  # others may have this memory too
        self._device = on
        self.shape = spec.shape
        self.dtype = spec.numpy_dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """A copy of the elements: its own memory may be overwritten.

        Raises:
            ValueError: `copy` is False, or it was donated.
        """
        if copy is False:
            raise ValueError("the elements of a DeviceArray cannot be had without a copy")
        held = self._device.to_numpy(self.view(), self.shape, self.dtype)
        return np.array(held, dtype=dtype)

    def view(self) -> Any:
        """The buffer.

        Raises:
            ValueError: it was donated.
        """
        if self._view is None:
            raise ValueError("this array was donated: its memory belongs to a result now")
        return self._view

    def lend(self) -> None:
        """Note that a result may have its memory too."""
        self._borrowed = True

    def is_on(self, other: platforms.Device) -> bool:
        """Whether it is in the memory of a device."""
        return self._device is other

    def donate(self) -> Any:
        """A buffer with the elements, which the caller may overwrite."""
        view = self.view()
        if self._borrowed:
            view = self._device.to_device(buffer.aligned_copy(np.asarray(self)))
        self._view = None
        return view

    def __repr__(self) -> str:
        state = "donated" if self._view is None else self._device.platform
        return f"DeviceArray({self.shape}, {self.dtype.name}, {state})"


class Function:
    """One function of a loaded program: call it with NumPy arrays, get NumPy arrays."""

    def __init__(
        self,
        run: platforms.Run,
        on: platforms.Device,
        signature: Signature,
        report: artifact.FunctionReport | None = None,
    ):
        self.signature = signature
        self._run = run
        self._on = on
        self._is_host = on.platform == "cpu"  # its results are views of the program's memory
        self._donated = frozenset(signature.donated)
        every = range(len(signature.outputs))
        self._borrowed = frozenset(every if report is None else report.borrowed)

    def __call__(self, *arguments: Any) -> Any:
        """Run the function.

        The caller's arrays are never changed, donated or not: a donated NumPy array is copied
        first. The results are the caller's: nothing else has their memory.

        Args:
            arguments: nested like the arguments of the function it was made from.

        Raises:
            TypeError: arguments nested otherwise, or of a dtype that does not convert safely.
            ValueError: an array of another shape, or one that was donated.
            OverflowError: an integer that the wanted dtype does not hold.
            ExecutionError: the program failed.
        """
        arrays = self._run_to_numpy(self._leaves(arguments))
        return structure.unflatten(self.signature.out_structure, arrays)

    def flat(self, leaves: Sequence[Any]) -> list[np.ndarray]:
        """Run the function on the leaves of its arguments; returns those of its result.

        Args:
            leaves: as many as `signature.inputs`.

        Raises:
            TypeError: another number of them.
            TypeError, ValueError, OverflowError, ExecutionError: as a call.
        """
        if len(leaves) != len(self.signature.inputs):
            wanted = len(self.signature.inputs)
            raise TypeError(f"{self.signature.name}: expected {wanted} leaves, got {len(leaves)}")
        return self._run_to_numpy([(f"input {n}", leaf) for n, leaf in enumerate(leaves)])

    def _run_to_numpy(self, leaves: list[tuple[str, Any]]) -> list[np.ndarray]:
        arrays = [
            self._on.to_numpy(view, spec.shape, spec.numpy_dtype)
            for view, spec in zip(self._invoke(leaves), self.signature.outputs)
        ]
        for number in self._borrowed if self._is_host else ():
            arrays[number] = arrays[number].copy()
        return arrays

    def on_device(self, *arguments: Any) -> Any:
        """Run the function and leave its results where they are, as `DeviceArray`s.

        What is donated must be such an array to save its copy:

            state = program.step.on_device(state)
        """
        results = self._invoke(self._leaves(arguments), share=False)
        arrays = [
            DeviceArray(view, spec, self._on, number in self._borrowed)
            for number, (view, spec) in enumerate(zip(results, self.signature.outputs))
        ]
        return structure.unflatten(self.signature.out_structure, arrays)

    def _leaves(self, arguments: tuple) -> list[tuple[str, Any]]:
        return structure.flatten(self.signature.in_structure, arguments, "argument")

    def _invoke(self, leaves: list[tuple[str, Any]], share: bool = True) -> list[Any]:
        """Run; unless `share`, no result has memory of the caller's arrays."""
        signature, on = self.signature, self._on
        prepared = [
            _resident(value, spec, path, on)
            if isinstance(value, DeviceArray)
            else as_array(value, spec, path)
            for spec, (path, value) in zip(signature.inputs, leaves, strict=True)
        ]
        held = [value for value in prepared if isinstance(value, DeviceArray)]
        self._check_donated(prepared, held)
        views = []
        for number, value in enumerate(prepared):
            owned = number in self._donated
            if isinstance(value, DeviceArray):
                if self._borrowed and not owned:  # what is donated is no array afterwards
                    value.lend()
                views.append(value.donate() if owned else value.view())
                continue
            if (owned or not share) and value.nbytes >= buffer.SHARE_FROM_BYTES:
                value = buffer.aligned_copy(value)
            views.append(on.to_device(value))
        results = self._run(views)
        _check_results(results, signature, on)
        return results

    def _check_donated(self, prepared: list[Any], held: list[DeviceArray]) -> None:
        for number in self._donated:
            if sum(value is prepared[number] for value in held) > 1:
                raise ValueError(f"argument {number} is donated, and is another argument too")

    def __repr__(self) -> str:
        return f"<Function {self.signature}>"


class Program:
    """A loaded file: its functions as attributes and by name; a call runs the first.

    Attributes:
        metadata: what the file says.
        target: what the program in use was compiled for.
        functions: by name; `program["target"]` finds a function that an attribute hides.
    """

    def __init__(self, functions: Mapping[str, Function], metadata: Metadata, compiled_for: str):
        self.metadata = metadata
        self.target = compiled_for
        self.functions = dict(functions)
        self._first = next(iter(self.functions.values()))

    def __call__(self, *arguments: Any) -> Any:
        """Run the first function; see `Function.__call__`."""
        return self._first(*arguments)

    def on_device(self, *arguments: Any) -> Any:
        """Run the first function; see `Function.on_device`."""
        return self._first.on_device(*arguments)

    def __getitem__(self, name: str) -> Function:
        signature = self.metadata.signature(name)
        if signature is None:
            raise KeyError(f"no function {name!r}; there are {', '.join(self.functions)}")
        return self.functions[signature.name]

    def __getattr__(self, name: str) -> Function:
        functions = self.__dict__.get("functions", {})
        if name in functions:
            return functions[name]
        raise AttributeError(f"no function {name!r}; there are {', '.join(functions)}")

    def __repr__(self) -> str:
        functions = ", ".join(str(f.signature) for f in self.functions.values())
        return f"<Program {functions}, {self.target}>"


def load(path: str | os.PathLike, driver: str | None = None) -> Program:
    """Load a program made by `jaxc compile` or `jaxc_tools.compile.compile_function`.

    Args:
        path: the file.
        driver: the device driver to use; by default, of the file's programs the first that runs
            on this machine is taken.

    Raises:
        ArtifactError: not a program, cut off, damaged, or none of its programs is for this machine.
        OSError: the path cannot be read.

    >>> predict = load("model.vmfb")  # doctest: +SKIP
    >>> predict(images)  # doctest: +SKIP
    """
    return load_packed(Path(path).read_bytes(), path, driver)


def load_packed(data: bytes, path: str | os.PathLike, driver: str | None = None) -> Program:
    """`load` for a file that was read already.

    Args:
        data: its bytes.
        path: what the messages call it; an archive of weights is looked for beside it.
        driver: as for `load`.

    Raises:
        ArtifactError: as `load`.
    """
    try:
        found = artifact.unpack(data)
        weights = None
        if found.metadata.weights is not None:
            weights = archive.read(os.path.dirname(os.fspath(path)), found.metadata.weights)
        entry, on, run_of = first_that_runs(found, driver, weights)
        functions = {
            one.name: Function(run_of(one.symbol), on, one, entry.reports.get(one.symbol))
            for one in found.metadata.functions
        }
    except ArtifactError as error:
        raise ArtifactError(f"{os.fspath(path)}: {error}") from None
    return Program(functions, found.metadata, entry.target)


RunOf = Callable[[str], platforms.Run]  # the function of a symbol


def first_that_runs(
    found: Artifact, driver: str | None = None, weights: archive.Weights | None = None
) -> tuple[CompiledProgram, platforms.Device, RunOf]:
    """Load the first program of a file that runs on this machine.

    Returns:
        The program's entry, the device that runs it, and what gives the function of a symbol.

    Raises:
        ArtifactError: there is none; says of each why not.
    """
    problems = []
    for entry, data in zip(found.metadata.programs, found.programs):
        if driver is not None and not matching.takes(driver, entry):
            problems.append(f"{entry.target}: not for driver {driver}")
            continue
        address = driver or entry.driver
        try:
            if matching.is_for_plugin(entry):
                return entry, *_load_on_plugin(address, found.metadata, data)
            check_versions(found.metadata)
            return entry, *_load_on_hal(address, found.metadata, entry, data, weights)
        except (DeviceError, ArtifactError) as error:
            problems.append(f"{entry.target}: {error}")
    raise ArtifactError(f"no program in it runs here: {'; '.join(problems)}")


def _load_on_hal(
    address: str,
    metadata: Metadata,
    entry: CompiledProgram,
    data: memoryview,
    weights: archive.Weights | None,
) -> tuple[platforms.Device, RunOf]:
    on = platforms.hal_device(address)
    problem = matching.mismatch(entry, on.hal)
    if problem is not None:
        raise ArtifactError(problem)
    modules = () if weights is None else (weights.module(),)
    loaded = executable.load(data, on.hal, function=metadata.functions[0].symbol, modules=modules)
    return on, lambda symbol: loaded.function(symbol).call


def _load_on_plugin(
    address: str, metadata: Metadata, data: memoryview
) -> tuple[platforms.Device, RunOf]:
    """A plugin's program is one function, `main`, and holds its weights."""
    if len(metadata.functions) > 1 or metadata.weights is not None:
        raise ArtifactError("a plugin's program holds one function, with its weights")
    on = platforms.at(address)
    run = on.load(bytes(data))
    return on, lambda symbol: run


def check_versions(metadata: Metadata) -> None:
    """Refuse programs of another release of IREE: what they expect of the runtime may differ.

    Raises:
        ArtifactError: naming both releases.
    """
    made_by = metadata.versions.get(_COMPILER, "")
    if _release(made_by) != _release(IREE_VERSION):
        raise ArtifactError(
            f"compiled by IREE {made_by or 'of unknown version'}, this runtime is IREE "
            f"{IREE_VERSION}: compile it again, or install iree-base-runtime of its release"
        )


_COMPILER = "iree-base-compiler"


def _release(version: str) -> list[str]:
    return version.split(".")[:2]


def _resident(value: DeviceArray, spec: ArraySpec, path: str, on: platforms.Device) -> Any:
    """A device array as an argument; one that is elsewhere is brought here."""
    if value.shape != spec.shape or value.dtype != spec.numpy_dtype:
        raise ValueError(f"{path}: expected {spec}, got {value.dtype.name}{list(value.shape)}")
    value.view()  # raises if it was donated
    return value if value.is_on(on) else np.asarray(value)


def _check_results(results: Sequence[Any], signature: Signature, on: platforms.Device) -> None:
    specs = signature.outputs
    same = len(results) == len(specs) and all(
        on.holds(view, spec.shape, spec.numpy_dtype) for view, spec in zip(results, specs)
    )
    if not same:
        raise ExecutionError(f"{signature.name}: the program's results are not as its file says")
