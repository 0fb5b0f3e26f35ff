"""Runs a pass that is not ours, so that whatever is wrong with it becomes a CompileError.

A pass may raise, leave an invalid module or a function without a body behind, change what `main`
takes, or erase an op that is still used, which would end the process. The error names the pass and
the line of its file. Imports `mlir`, the diagnostics and the names of passes.
"""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jaxc_compiler.diagnostics import CompileError, Diagnostic, collected, emit, from_mlir_error
from jaxc_compiler.mlir import UNKNOWN, ir
from jaxc_compiler.plugins import name_of


def run_guarded(run_pass: Callable, module: ir.Module, target: Any, stage: str) -> None:
    """Run a pass and look at what it left.

    Raises:
      CompileError: naming the pass.
    """
    before = _signatures(module)
    try:
        with _careful(), _named_remarks(run_pass):
            run_pass(module, target)
    except CompileError as error:
        raise _named(run_pass, error, stage) from None
    except (Exception, SystemExit) as error:
        raise _raised(run_pass, error, stage) from error
    verify(module, name_of(run_pass), stage)
    _refuse_declarations(module, name_of(run_pass), stage)
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


def _refuse_declarations(module: ir.Module, name: str, stage: str) -> None:
    """A function without a body is valid, but nobody has one to call."""
    for op in module.body.operations:
        if op.operation.name == "func.func" and not op.operation.regions[0].blocks:
            function = op.operation.attributes["sym_name"]
            raise _error(stage, f"pass {name} left a function without a body: {function}")


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
    return CompileError(stage, [_of_pass(run_pass, first), *rest])


@contextmanager
def _named_remarks(run_pass: Callable) -> Iterator[None]:
    """What the pass emits, with the pass's name."""
    try:
        with collected() as found:
            yield
    finally:
        for each in found:
            emit(_of_pass(run_pass, each))


def _of_pass(run_pass: Callable, found: Diagnostic) -> Diagnostic:
    return dataclasses.replace(found, message=f"pass {name_of(run_pass)}: {found.message}")


def _raised(run_pass: Callable, error: BaseException, stage: str) -> CompileError:
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


# -- erasing with care -----------------------------------------------------------------------------

# The bindings keep no count of the Python objects that stand for an op: one that was erased through
# another object reads freed memory. So while a pass of the user's runs, `erase` takes an op out of
# the module and frees it when the pass is over; and what MLIR would not look at is refused.
_OPERATION = ir.Operation.__mro__[1]


# What the operands of erased ops are replaced by, one value of each type. They stay for good: an
# erased op lives as long as the last Python object for it, a traceback's included.
_STAND_INS: dict[ir.Type, ir.Operation] = {}


def _drop_operands(op: ir.Operation) -> None:
    for number, value in enumerate(op.operands):
        if value.type not in _STAND_INS:
            made = ir.Operation.create("jaxc.erased", [value.type], [], loc=UNKNOWN, ip=False)
            _STAND_INS[value.type] = made
        op.operands[number] = _STAND_INS[value.type].results[0]
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                _drop_operands(inner.operation)


def _refuse_if_used(op: ir.Operation, what: str) -> None:
    if not _is_in_module(op):
        raise ValueError(f"{op.name} cannot be {what}: it is in no module any more, or is one")
    for result in op.results:
        if any(True for _ in result.uses):
            raise ValueError(f"{op.name} is {what}, but its results are used")


def _is_in_module(op: ir.Operation) -> bool:
    try:
        return op.parent is not None
    except ValueError:  # the bindings' word for an op that they took out
        return False


@contextmanager
def _careful() -> Iterator[None]:
    """`erase` and its like look for uses, and free nothing before the end."""
    erase, detach = _OPERATION.erase, _OPERATION.detach_from_parent
    erase_argument = ir.Block.erase_argument
    erased: list[ir.Operation] = []

    def careful_erase(op: Any) -> None:
        _refuse_if_used(op.operation, "erased")
        _drop_operands(op.operation)
        detach(op.operation)
        erased.append(op.operation)

    def careful_detach(op: Any) -> Any:
        _refuse_if_used(op.operation, "detached")
        return detach(op)

    def careful_erase_argument(block: ir.Block, number: int) -> None:
        if any(True for _ in block.arguments[number].uses):
            raise ValueError(f"argument {number} of a block is erased, but it is used")
        erase_argument(block, number)

    _OPERATION.erase, _OPERATION.detach_from_parent = careful_erase, careful_detach
    ir.Block.erase_argument = careful_erase_argument
    try:
        yield
    finally:
        _OPERATION.erase, _OPERATION.detach_from_parent = erase, detach
        ir.Block.erase_argument = erase_argument
        erased.clear()
