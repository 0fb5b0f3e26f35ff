"""IREE's compiler, in this process: MLIR bytecode in, a `.vmfb` out.

With `iree_repairs` and `iree_quick` the only importer of `iree.compiler`; loaded on a cache miss
only. Knows nothing of our dialects. One session for each set of flags, kept; its context is used by
one thread at a time.
"""

from __future__ import annotations

import ctypes
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from iree.compiler import ir
from iree.compiler._mlir_libs import _mlir
from iree.compiler.api import Output, Session, ctypes_dl

from jaxc_compiler import iree_repairs
from jaxc_compiler.diagnostics import CompileError, Diagnostic, from_mlir_error, parse_diagnostic

# As in `mlir.py`: ops are used by name, their Python modules (0.1 s to load) are not needed.
_mlir.globals.dialect_search_modules = []

PHASES = (
    "input", "abi", "preprocessing", "global-optimization", "dispatch-creation", "flow", "stream",
    "executable-sources", "executable-configurations", "executable-targets", "hal", "vm",
)  # fmt: skip
_SEVERITIES = ("note", "warning", "error", "remark")

_CALLBACK = ctypes.CFUNCTYPE(
    None, ctypes.c_int, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t, ctypes.c_void_p
)


def _function(name: str, *argument_types: Any) -> Any:
    """A function of IREE's C API that its Python package does not declare."""
    function = getattr(ctypes_dl._dylib, name)
    function.argtypes = argument_types
    function.restype = None
    return function


_PTR, _STR = ctypes.c_void_p, ctypes.c_char_p
_set_verify = _function("ireeCompilerInvocationSetVerifyIR", _PTR, ctypes.c_bool)
_set_from_phase = _function("ireeCompilerInvocationSetCompileFromPhase", _PTR, _STR)
_set_to_phase = _function("ireeCompilerInvocationSetCompileToPhase", _PTR, _STR)
_on_diagnostic = _function(
    "ireeCompilerInvocationEnableCallbackDiagnostics", _PTR, ctypes.c_int, _CALLBACK, _PTR
)


class IreeSession:
    """IREE's compiler with one set of flags."""

    def __init__(self, flags: tuple[str, ...]):
        self.flags = flags
        self.lock = threading.RLock()
        self.session = Session()
        self.session.set_flags(*flags)
        self.context: ir.Context = self.session.context
        if _forked:
            self.context.enable_multithreading(False)

    def parse(self, source: bytes | str) -> ir.Module:
        """A module of bytecode or text, in this session's context.

        Raises:
          CompileError: if it is not valid here.
        """
        # The parser keeps Python's lock: a message from another thread would wait for it for ever.
        self.context.enable_multithreading(False)
        try:
            return ir.Module.parse(source, context=self.context)
        except ir.MLIRError as error:
            raise from_mlir_error("iree", error) from None
        finally:
            self.context.enable_multithreading(not _forked)

    def run_phases(self, module: ir.Module, start: str | None, end: str | None) -> None:
        """Run IREE's own pipeline, in place, from after phase `start` to the end of phase `end`.

        Raises:
          CompileError: with the messages IREE gave.
        """
        for done, repair in iree_repairs.REPAIRS.items():
            if end is not None and PHASES.index(end) <= PHASES.index(done):
                break
            if start is None or PHASES.index(start) < PHASES.index(done):
                self._run_phases(module, start, done)
                start = done
            if start == done:
                repair(module, self.flags)
        self._run_phases(module, start, end)

    def _run_phases(self, module: ir.Module, start: str | None, end: str | None) -> None:
        with self._invocation() as (invocation, diagnostics):
            if start is not None:
                _set_from_phase(invocation._inv_p, start.encode())
            if end is not None:
                _set_to_phase(invocation._inv_p, end.encode())
            invocation.import_module(module.operation)
            if not invocation.execute():
                raise CompileError("iree", diagnostics)

    def output(self, module: ir.Module) -> bytes:
        """The `.vmfb` of a module that went through the last phase."""
        with self._invocation() as (invocation, _):
            invocation.import_module(module.operation)
            output = Output.open_membuffer()
            invocation.output_vm_bytecode(output)
            data = bytes(output.map_memory())
            output.close()
        return data

    @contextmanager
    def _invocation(self) -> Iterator[tuple[Any, list[Diagnostic]]]:
        diagnostics: list[Diagnostic] = []

        def collect(severity: int, text: Any, size: int, _: Any) -> None:
            message = ctypes.string_at(text, size).decode(errors="replace")
            diagnostics.append(parse_diagnostic(message, _SEVERITIES[severity]))

        callback = _CALLBACK(collect)  # must outlive the invocation
        invocation = self.session.invocation()
        _on_diagnostic(invocation._inv_p, 0, callback, None)
        _set_verify(invocation._inv_p, False)
        try:
            yield invocation, diagnostics
        finally:
            invocation.close()


# Held while a session or a quick compiler is made: `cache` alone lets two threads make one each.
MAKING = threading.RLock()
_forked = False
_per_process: list[Any] = []


def per_process(make: Any) -> Any:
    """`functools.cache` for what owns a session, which a forked child makes anew.

    All contexts of IREE's share one pool of threads, which stays with the parent: waiting for them
    would never end. A child's sessions use no pool, and the parent's, which may wait for it when
    they are destroyed, never are.
    """
    made: dict[Any, Any] = {}

    @wraps(make)
    def cached(flags: tuple[str, ...]) -> Any:
        if flags not in made:
            made[flags] = make(flags)
        return made[flags]

    _per_process.append(made)
    return cached


def _forget_sessions() -> None:
    global MAKING, _forked
    _forked = True
    MAKING = threading.RLock()  # a thread that held it is not in the child
    for made in _per_process:
        for value in made.values():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
        made.clear()
    _leave_without_destructors()


def _leave_without_destructors() -> None:
    """End this process without those of native libraries: LLVM's wait for the pool's threads.

    Python has finished by then. Only glibc lets a handler know the exit status; elsewhere a child
    ends by `os._exit`, as those of `multiprocessing` do.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):
        libc.on_exit(libc._exit, None)


os.register_at_fork(after_in_child=_forget_sessions)


def session(flags: tuple[str, ...]) -> IreeSession:
    """The process's session for a set of flags."""
    with MAKING:
        return _session(flags)


@per_process
def _session(flags: tuple[str, ...]) -> IreeSession:
    return IreeSession(flags)


def compile_module(
    source: bytes | str,
    flags: tuple[str, ...],
    on_flow: Callable[[ir.Module], None] | None = None,
) -> bytes:
    """The `.vmfb` of a module by IREE's whole pipeline.

    Args:
      source: MLIR bytecode or text in IREE's input dialects.
      flags: of the command line of `iree-compile`.
      on_flow: called with the module when all of its work is in dispatches.

    Raises:
      CompileError: if it does not compile.
    """
    compiler = session(flags)
    with compiler.lock:
        module = compiler.parse(source)
        if on_flow is None:
            compiler.run_phases(module, None, None)
        else:
            compiler.run_phases(module, None, "flow")
            on_flow(module)
            compiler.run_phases(module, "flow", None)
        return compiler.output(module)


def text_of(code: bytes, locations: bool = False) -> str:
    """A module of IREE's input dialects as IREE prints it."""
    with _printer().lock:
        return _text(_printer().parse(code), locations)


def bytecode_of(text: str) -> bytes:
    """The bytecode of a module that `text_of` printed, such as a saved `linalg` stage.

    Raises:
      CompileError: if it is none.
    """
    buffer = io.BytesIO()
    with _printer().lock:
        _printer().parse(text).operation.write_bytecode(buffer)
    return buffer.getvalue()


def _printer() -> IreeSession:
    return session(("--iree-input-type=none",))


def _text(module: ir.Module, locations: bool) -> str:
    return module.operation.get_asm(enable_debug_info=locations) + "\n"


def dump_phases(
    source: bytes | str, flags: tuple[str, ...], phases: tuple[str, ...], locations: bool = False
) -> dict[str, str]:
    """The IR after each of some of PHASES, as text."""
    compiler = session(flags)
    texts: dict[str, str] = {}
    with compiler.lock:
        module = compiler.parse(source)
        previous = None
        for phase in phases:
            compiler.run_phases(module, previous, phase)
            texts[phase] = _text(module, locations)
            previous = phase
    return texts


@contextmanager
def phase(source: bytes | str, flags: tuple[str, ...], end: str) -> Iterator[ir.Module]:
    """A module after one of PHASES, to be read while the session is held."""
    compiler = session(flags)
    with compiler.lock:
        module = compiler.parse(source)
        compiler.run_phases(module, None, end)
        yield module


def dump_files(
    source: bytes | str, flags: tuple[str, ...], patterns: tuple[str, ...]
) -> dict[str, str]:
    """What IREE writes on the way to a module's executables, by pattern of the files' names.

    Args:
      patterns: such as `*.s`; the texts of several executables are joined.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--iree-hal-dump-executable-{k}-to={folder}" for k in _DUMPED]
        compiler = IreeSession((*flags, *options))
        module = compiler.parse(source)
        compiler.run_phases(module, None, "hal")
        found = {pattern: sorted(Path(folder).glob(pattern)) for pattern in patterns}
        return {
            pattern: "\n".join(file.read_text(errors="replace") for file in files)
            for pattern, files in found.items()
        }


_DUMPED = ("intermediates", "binaries")
