"""From a closed jaxpr to something callable on flat arrays: compile, load, remember.

The compiler and the runtime are imported on the first compile, never by `import jaxc`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc.core.array import Array, as_array, physical_dtype, physical_shape
from jaxc.core.config import config
from jaxc.core.devices import Device, cpu
from jaxc.core.jaxpr import ClosedJaxpr, Literal, Var, eval_jaxpr
from jaxc.core.placed import OnOtherDevice, PlacedArray, alias, place
from jaxc.core.trace import eval_context
from jaxc.transforms.partial_eval import dce_jaxpr
from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.plugins import PipelineSpec


class Program:
    """A compiled jaxpr.

    Attributes:
      kept: indices of the arguments the executable takes (unused ones are dropped).
      consts: device buffers of the jaxpr's constants, passed before the arguments.
      results: for each result, ("argument", i), ("constant", array), ("computed", k) or, for what
        an earlier result is too, ("repeated", k). All but the computed ones are aliases.
      donated: indices (into the arguments) that the executable may overwrite.
    """

    __slots__ = (
        "consts",
        "donated",
        "executable",
        "kept",
        "num_args",
        "out_avals",
        "plain",
        "results",
    )

    def __init__(
        self,
        closed: ClosedJaxpr,
        donated: Sequence[bool],
        name: str,
        pipeline: PipelineSpec | None = None,
    ):
        jaxpr = closed.jaxpr
        position = {v: i for i, v in enumerate(jaxpr.invars)}
        constants = dict(zip(jaxpr.constvars, closed.consts))
        self.results: list[tuple[str, Any]] = []
        computed: dict[Var, int] = {}
        for atom in jaxpr.outvars:
            if type(atom) is Literal:
                self.results.append(("constant", self._here(_typed(atom.val, atom.aval))))
            elif atom in position:
                self.results.append(("argument", position[atom]))
            elif atom in constants:
                self.results.append(("constant", self._here(as_array(constants[atom]))))
            else:
                kind = "repeated" if atom in computed else "computed"
                self.results.append((kind, computed.setdefault(atom, len(computed))))
        self.out_avals = [v.aval for v in computed]
        self.plain = all(r == ("computed", i) for i, r in enumerate(self.results))
        pruned, used = dce_jaxpr(jaxpr.replace(outvars=list(computed)), [True] * len(computed))
        self.kept = [i for i, u in enumerate(used) if u]
        self.num_args = len(used)
        returned = {i for kind, i in self.results if kind == "argument"}
        self.donated = frozenset(
            i for i in self.kept if i < len(donated) and donated[i] and i not in returned
        )
        self.executable: Callable[[list[Any]], list[Any]] | None = None
        self.consts: list[Any] = []
        if not pruned.eqns and not pruned.effects:
            return
        pairs = [(v, c) for v, c in zip(jaxpr.constvars, closed.consts) if _uses(pruned, v)]
        program = ClosedJaxpr(pruned.replace(constvars=[v for v, _ in pairs]),
                              [c for _, c in pairs])  # fmt: skip
        self._load(program, name, pipeline)

    def _load(self, program: ClosedJaxpr, name: str, pipeline: PipelineSpec | None) -> None:
        if config.jaxc_jit_target == "reference":
            self.executable = _interpreter(program)
            return
        from jaxc.backend import build

        donated = [i in self.donated for i in self.kept]
        self.executable = build(program, name=name, donated=donated, pipeline=pipeline)
        self.consts = [buffer_of(self._here(as_array(c))) for c in program.consts]

    def _here(self, array: Array) -> Array:
        """An alias where the program runs."""
        return alias(array, cpu(), array.committed)

    def direct(self, long: Callable[[Sequence[Array]], Any]) -> Callable[..., Any] | None:
        """The shortest call path, for programs of one computed result that use all arguments.

        Gives the result itself rather than a list, or None where the program needs more care.

        Args:
          long: the path for arguments on another device, which are found out by their buffers.
        """
        simple = self.plain and len(self.out_avals) == 1 and not self.donated
        if not simple or self.executable is None or len(self.kept) != self.num_args:
            return None
        (aval,), consts = self.out_avals, self.consts
        call = getattr(self.executable, "call_pending", None)
        if call is None:  # the reference target
            return None

        def run(args: Sequence[Array]) -> Array:
            try:
                return Array(None, aval, None, call([a._buffer or buffer_of(a) for a in args]))
            except OnOtherDevice:
                return long(args)

        def run_with_constants(args: Sequence[Array]) -> Array:
            try:
                buffers = consts + [a._buffer or buffer_of(a) for a in args]
            except OnOtherDevice:
                return long(args)
            return Array(None, aval, None, call(buffers))

        return run_with_constants if consts else run

    def __call__(self, args: Sequence[Array]) -> list[Array]:
        """Run on Arrays (one for each argument of the original jaxpr)."""
        outs: list[Array] = []
        if self.executable is not None:
            buffers = [*self.consts]
            for i in self.kept:
                a = args[i]
                b = a._buffer
                if i in self.donated:
                    b = _own_buffer(a)
                elif b is None:
                    b = buffer_of(a)
                buffers.append(b)
            outs = [
                Array(None, aval, b) for aval, b in zip(self.out_avals, self.executable(buffers))
            ]
        if self.plain:
            return outs
        return [
            outs[x] if kind == "computed" else self._here(self._found(kind, x, outs, args))
            for kind, x in self.results
        ]

    def _found(self, kind: str, x: Any, outs: Sequence[Array], args: Sequence[Array]) -> Array:
        """An array that a result is an alias of."""
        return x if kind == "constant" else args[x] if kind == "argument" else outs[x]


class PlacedProgram(Program):
    """A jaxpr compiled for a device other than the host's CPU; its constants are there."""

    __slots__ = ("device",)

    def __init__(
        self,
        closed: ClosedJaxpr,
        donated: Sequence[bool],
        name: str,
        device: Device,
        pipeline: PipelineSpec | None = None,
    ) -> None:
        self.device = device
        super().__init__(closed, donated, name, pipeline)

    def _load(self, program: ClosedJaxpr, name: str, pipeline: PipelineSpec | None) -> None:
        from jaxc.backend import build_for

        donated = [i in self.donated for i in self.kept]
        with eval_context():
            self.executable = build_for(
                self.device, program, name=name, donated=donated, pipeline=pipeline
            )
        self.consts = [self._held(self._here(as_array(c))) for c in program.consts]

    def _here(self, array: Array) -> Array:
        return alias(array, self.device, array.committed)

    def _held(self, array: Array) -> Any:
        here = place(array, self.device, committed=False)
        assert isinstance(here, PlacedArray)
        return here._held

    def run(self, args: Sequence[Array], committed: bool) -> list[Array]:
        """Run on Arrays from anywhere; the results are on the device, committed or not."""
        outs: list[Array] = []
        if self.executable is not None:
            take = self._argument if self.donated else self._plain_argument
            buffers = self.consts + [take(i, args[i]) for i in self.kept]
            outs = [
                PlacedArray(b, aval, self.device, committed)
                for aval, b in zip(self.out_avals, self.executable(buffers))
            ]
        if self.plain:
            return outs
        return [
            outs[x] if kind == "computed"
            else alias(self._found(kind, x, outs, args), self.device, committed)
            for kind, x in self.results
        ]  # fmt: skip

    def _plain_argument(self, _: int, array: Array) -> Any:
        if type(array) is PlacedArray and array._device is self.device and array._held is not None:
            return array._held
        return self._held(array)

    def _argument(self, i: int, array: Array) -> Any:
        """The argument's buffer there; one of its own if it is donated but another array has it."""
        if i in self.donated and array._exported and isinstance(array, PlacedArray):
            value = array._numpy().reshape(physical_shape(array.aval))
            return self.device.runtime.to_device(value)
        return self._held(array)


def _uses(jaxpr: Any, var: Var) -> bool:
    return any(v is var for e in jaxpr.eqns for v in e.invars) or any(
        v is var for v in jaxpr.outvars
    )


def _typed(value: Any, aval: ShapedArray) -> Array:
    if isinstance(value, Array):
        return value
    return Array(np.asarray(value, dtype=physical_dtype(aval)), aval)


def buffer_of(a: Array) -> Any:
    """The device buffer of an array, made (without a copy where possible) on first use."""
    if a._take_buffer() is None:
        from jaxc_runtime import buffer

        value = a._numpy()
        if not value.flags.writeable and value.base is None:
            value.flags.writeable = True  # ours: lets the runtime share it instead of copying
        a._buffer = buffer.to_device(value.reshape(physical_shape(a.aval)))
    return a._buffer


def _own_buffer(a: Array) -> Any:
    """A buffer that may be overwritten: the array's own, or a copy if a NumPy view of it is out."""
    from jaxc_runtime import buffer

    if (a._take_buffer() is None and a._value is not None) or a._exported:
        copy = buffer.empty_aligned(physical_shape(a.aval), physical_dtype(a.aval))
        copy[...] = a._numpy()
        return buffer.to_device(copy)
    return buffer_of(a)


def _interpreter(program: ClosedJaxpr) -> Callable[[list[Any]], list[Any]]:
    """The reference target: the jaxpr on the op book's NumPy kernels."""

    def run(buffers: list[Any]) -> list[Any]:
        from jaxc.core.array import wrap
        from jaxc_runtime import buffer

        args = [
            wrap(buffer.to_numpy(b, physical_shape(a), physical_dtype(a)), a)
            for b, a in zip(buffers, program.in_avals)
        ]
        with eval_context():
            outs = eval_jaxpr(program.jaxpr, program.consts, *args)
        return [buffer_of(as_array(_typed(o, a))) for o, a in zip(outs, program.out_avals)]

    return run


_programs: weakref.WeakKeyDictionary[ClosedJaxpr, dict[Any, Any]] = weakref.WeakKeyDictionary()


def placed_program_of(
    closed: ClosedJaxpr,
    donated: Sequence[bool],
    name: str,
    device: Device,
    pipeline: PipelineSpec | None = None,
) -> PlacedProgram:
    """The program of a jaxpr for a device other than the host's CPU, compiled on first use."""
    cache = _programs.setdefault(closed, {})
    chip, copies = config.jaxc_vulkan_chip, config.jaxc_copy_in_place
    key = (tuple(donated), device, chip, copies, pipeline)
    found = cache.get(key)
    if found is None:
        found = cache[key] = PlacedProgram(closed, donated, name, device, pipeline)
    return found


def program_of(
    closed: ClosedJaxpr,
    donated: Sequence[bool] = (),
    name: str = "main",
    pipeline: PipelineSpec | None = None,
) -> Program:
    """The compiled program of a jaxpr for the host's CPU, compiled on first use."""
    cache = _programs.setdefault(closed, {})
    key = (tuple(donated), config.jaxc_jit_target, config.jaxc_copy_in_place, pipeline)
    found = cache.get(key)
    if found is None:
        found = cache[key] = Program(closed, donated, name, pipeline)
    return found


def clear_programs() -> None:
    _programs.clear()
