"""Runs a pass that is not ours, so that whatever is wrong with it becomes a CompileError.

A pass may raise, leave an invalid module behind, change what `main` takes, or erase an op that is
still used, which would end the process. The error names the pass and the line of its file. Imports
`mlir` only.
"""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jaxc_compiler.diagnostics import CompileError, Diagnostic, from_mlir_error
from jaxc_compiler.mlir import ir
from jaxc_compiler.plugins import name_of


def run_guarded(run_pass: Callable, module: ir.Module, target: Any, stage: str) -> None:
    """Run a pass and look at what it left.

    Raises:
      CompileError: naming the pass.
    """
    before = _signatures(module)
    try:
        with _careful_erase():
            run_pass(module, target)
    except CompileError as error:
        raise _named(run_pass, error, stage) from None
    except Exception as error:
        raise _raised(run_pass, error, stage) from error
    verify(module, name_of(run_pass), stage)
    after = _signatures(module)
    for name, signature in before.items():
        if after.get(name) != signature:
            now = after.get(name, "gone")
            raise _error(
                stage, f"pass {name_of(run_pass)}: {name} was {signature}, now it is {now}"
            )


def verify(module: ir.Module, name: str, stage: str) -> None:
    """Raise unless a module is valid after the pass of this name."""
    try:
        valid = module.operation.verify()
    except ir.MLIRError as error:
        found = from_mlir_error(stage, error).diagnostics
        first = found[0]
        message = f"pass {name} left invalid IR: {first.message}"
        changed = Diagnostic("error", message, first.file, first.line, first.column)
        raise CompileError(stage, [changed, *found[1:]]) from None
    if not valid:
        raise _error(stage, f"pass {name} left invalid IR")


def _signatures(module: ir.Module) -> dict[str, str]:
    """Names and types of the functions that callers know."""
    found = {}
    for op in module.body.operations:
        attributes = op.operation.attributes
        if op.operation.name == "func.func" and "sym_visibility" not in attributes:
            found[str(attributes["sym_name"])] = str(attributes["function_type"])
    return found


def _named(run_pass: Callable, error: CompileError, stage: str) -> CompileError:
    """The pass's own error about the program, with the pass's name."""
    first, *rest = error.diagnostics
    message = f"pass {name_of(run_pass)}: {first.message}"
    return CompileError(stage, [dataclasses.replace(first, message=message), *rest])


def _raised(run_pass: Callable, error: Exception, stage: str) -> CompileError:
    """An exception of a pass, at the line of the pass's own file that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    code = getattr(getattr(run_pass, "__wrapped__", run_pass), "__code__", None)
    own = [frame for frame in frames if code and frame.filename == code.co_filename]
    where = (code.co_filename, code.co_firstlineno) if code else (None,)
    if own:
        where = (own[-1].filename, own[-1].lineno or 0, (own[-1].colno or 0) + 1)
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, ir.MLIRError):
        text = from_mlir_error(stage, error).diagnostics[0].message
    return CompileError(stage, [Diagnostic("error", f"pass {name_of(run_pass)}: {text}", *where)])


def _error(stage: str, message: str) -> CompileError:
    return CompileError(stage, [Diagnostic("error", message)])


_ERASE = ir.Operation.__mro__[1].erase


def _erase(op: Any) -> None:
    operation = op.operation
    for result in operation.results:
        if any(True for _ in result.uses):
            raise ValueError(f"{operation.name} is erased, but its results are used")
    _ERASE(op)


@contextmanager
def _careful_erase() -> Iterator[None]:
    """`op.erase()` of an op in use raises; MLIR would leave its users with what is gone."""
    owner = ir.Operation.__mro__[1]
    owner.erase = _erase
    try:
        yield
    finally:
        owner.erase = _ERASE
