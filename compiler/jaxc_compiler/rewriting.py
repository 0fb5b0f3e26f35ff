"""What a pass is written with: patterns, a walk over the ops, building and replacing them.

A pass is a function `(module, target)` that changes the module in place, or one pattern:

    from jaxc_compiler.rewriting import pattern, producer

    @pattern("lax.neg")
    def fold_neg_of_neg(op):
        inner = producer(op.operands[0], "lax.neg")
        return None if inner is None else inner.operands[0]

Ops are named as they are printed, without the arity: `lax.scan` for a `lax.scan_3to2`. Everything
here may be used inside a pass only: the pipeline holds the context's lock then. Ops and values must
not be kept either: a later pass may free them, and the first use of one that is freed may end the
process. Imports `mlir` and the dialects; knows no pass.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from jaxc_compiler.diagnostics import Diagnostic, emit, error_at, parse_diagnostic
from jaxc_compiler.dialects import definition, lax
from jaxc_compiler.dialects.lax import params_of
from jaxc_compiler.mlir import aval_of, ir
from jaxc_compiler.opset.avals import of_dtype
from jaxc_compiler.opset.op import OPS, OPTIONAL

__all__ = [
    "Pattern", "apply_patterns", "at", "aval_of", "build", "constant", "erase", "error", "ir",
    "name_of", "ops", "params_of", "pattern", "producer", "remark", "replace",
]  # fmt: skip

# Sweeps of patterns over a module before they are said not to come to an end, and rewrites: a
# pattern that makes two ops of one doubles the module with each sweep.
MOST_SWEEPS = 32
MOST_REWRITES = 10_000

Rewrite = Callable[[ir.Operation], Any]


class Pattern:
    """A rewrite of one kind of op; called with a module, it is a pass.

    Attributes:
      roots: names of the ops it is tried on.
      rewrite: `(op) -> None`, or the value (a list, for several results) that replaces the op.
    """

    def __init__(self, roots: tuple[str, ...], rewrite: Rewrite):
        functools.update_wrapper(self, rewrite)
        self.roots = roots
        self.rewrite = rewrite

    def __call__(self, module: ir.Module, target: Any = None) -> None:
        """Apply the pattern wherever it matches, until it matches nowhere."""
        del target
        apply_patterns(module, self)

    @property
    def fingerprint_parts(self) -> tuple[Any, ...]:
        """What it depends on (see `jaxc_compiler.fingerprint`)."""
        return self.roots, self.rewrite

    def __repr__(self) -> str:
        return f"<pattern {self.rewrite.__name__} of {', '.join(self.roots)}>"


def pattern(*roots: str) -> Callable[[Rewrite], Pattern]:
    """Make a pattern of a function that looks at one op.

    The function returns None if the op stays, or else what replaces its results: a value of the
    same type, new or old, or a list of them. New ops are put before the op, at its location.

    Args:
      roots: names of the ops the function is called with, as printed: `"lax.neg"`.

    Example:
      >>> @pattern("lax.neg")
      ... def fold_neg_of_neg(op):
      ...     inner = producer(op.operands[0], "lax.neg")
      ...     return None if inner is None else inner.operands[0]
      >>> fold_neg_of_neg
      <pattern fold_neg_of_neg of lax.neg>
    """
    if not roots or not all(isinstance(root, str) and "." in root for root in roots):
        raise TypeError(f'pattern: expected names of ops, as in @pattern("lax.neg"), got {roots}')
    return functools.partial(Pattern, roots)


def apply_patterns(module: ir.Module, *patterns: Pattern) -> None:
    """Apply patterns, operands before their users, until none matches; erase what dies by it.

    Raises:
      ValueError: for a pattern of a `lax` op that does not exist: it would never match.
      CompileError: at the op that is still rewritten after MOST_SWEEPS sweeps, or is replaced by a
        value of another type.
    """
    by_root: dict[str, list[Pattern]] = {}
    for each in patterns:
        for root in each.roots:
            _check_name(root)
            by_root.setdefault(root, []).append(each)
    most = MOST_REWRITES + MOST_SWEEPS * sum(1 for _ in ops(module))
    rewrites = 0
    for sweep in range(MOST_SWEEPS + 1):
        before = rewrites
        for name, location in _sweep(module.body, by_root):
            rewrites += 1
            if sweep == MOST_SWEEPS or rewrites > most:
                again = f"after {sweep} sweeps it still rewrites what it made"
                raise error_at("rewriting", location, f"{name} does not come to an end: {again}")
        if rewrites == before:
            return


def _sweep(block: ir.Block, by_root: dict[str, list[Pattern]]) -> Iterator[tuple[str, ir.Location]]:
    """Try every op once; gives the patterns that matched and where."""
    matched = False
    for op in [op.operation for op in block.operations]:
        if matched and not _exists(op):
            continue
        for region in op.regions:
            for inner in region.blocks:
                for found in _sweep(inner, by_root):
                    matched = True
                    yield found
        for each in by_root.get(definition.base_name(op.name), ()):
            location = op.location
            if _rewrite(each, op):
                matched = True
                yield each.rewrite.__name__, location
                break


def _rewrite(each: Pattern, op: ir.Operation) -> bool:
    with at(op):
        made = each.rewrite(op)
    if made is None:
        return False
    operands = list(op.operands)
    replace(op, made)
    _erase_dead(operands)
    return True


def _exists(op: ir.Operation) -> bool:
    """Whether an op was not erased: it has no parent then, or the bindings raise."""
    try:
        return op.parent is not None
    except (RuntimeError, ValueError):
        return False


def _erase_dead(values: Sequence[ir.Value]) -> None:
    """Erase the ops of values that nobody reads, and what dies with them, each once."""
    waiting, erased = list(values), set()
    while waiting:
        value = waiting.pop()
        # The owner of an erased op's result is freed memory: it must not be asked for.
        if value in erased or isinstance(value.owner, ir.Block):
            continue
        op = value.owner.operation
        if lax.is_dead(op):
            waiting += op.operands
            erased.update(op.results)
            op.erase()


# -- looking at ops --------------------------------------------------------------------------------


def ops(inside: Any, *names: str) -> Iterator[ir.Operation]:
    """The ops of a module, an op or a block, outer ones before those in their regions.

    Each list of ops is read before its first one is given out, so they may be replaced meanwhile.

    Args:
      inside: a module, an op (its regions are walked) or a block.
      names: only ops of these names; all if none is given.

    Raises:
      ValueError: for the name of a `lax` op that does not exist.
    """
    for name in names:
        _check_name(name)
    for block in _blocks(inside):
        for op in [op.operation for op in block.operations]:
            if not _exists(op):
                continue
            if not names or name_of(op) in names:
                yield op
            if _exists(op):
                yield from ops(op, *names)


def _blocks(inside: Any) -> list[ir.Block]:
    if isinstance(inside, ir.Block):
        return [inside]
    return [block for region in inside.operation.regions for block in region.blocks]


def name_of(op: ir.Operation) -> str:
    """The op's name without its arity: `lax.scan` for a `lax.scan_3to2`."""
    return definition.base_name(op.name)


def producer(value: ir.Value, name: str = "") -> ir.Operation | None:
    """The op that makes a value; None for a block's argument and for an op of another name."""
    if name:
        _check_name(name)
    if isinstance(value.owner, ir.Block):
        return None
    op = value.owner.operation
    return op if not name or name_of(op) == name else None


_NO_ENTRY = frozenset({"lax.constant", "lax.yield", "lax.branch"})


def _check_name(name: str) -> None:
    """A misspelt name would match nothing, and nobody would know."""
    if not name.startswith("lax.") or name in _NO_ENTRY or lax.book_name(name) in OPS:
        return
    close = difflib.get_close_matches(name, [lax.mlir_name(known) for known in OPS], n=1)
    raise ValueError(f"no op {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))


def error(op: ir.Operation, message: str) -> Exception:
    """The exception to raise for a program that a pass refuses: it names the user's line.

    Example:
      raise error(op, "my_pass: no f64 here")
    """
    return error_at("pass", op.location, message)


def remark(op: ir.Operation, message: str) -> None:
    """Say something at the user's line and go on.

    `jaxc opt` prints it and `--verify-diagnostics` compares it; elsewhere it is a warning of the
    logger `jaxc`, when a program is compiled and not when it comes from the cache.

    Example:
      remark(op, "this product is summed right away")
    """
    where = parse_diagnostic(str(op.location))
    emit(Diagnostic("remark", message, where.file, where.line, where.column))


# -- changing them ---------------------------------------------------------------------------------


@contextmanager
def at(op: ir.Operation) -> Iterator[None]:
    """Build ops before this one, at its location. Patterns are called inside of it already."""
    with ir.InsertionPoint(op), op.location:
        yield


def build(name: str, *operands: ir.Value, **params: Any) -> Any:
    """Make a `lax` op; result types are inferred.

    Args:
      name: as printed, without the arity: `"lax.add"`.
      operands: values.
      params: the op's static parameters; `params_of(op)` gives those of another op. Those of
        `opset.op.OPTIONAL` are None unless they are given.

    Returns:
      Its value, or a list of them if the op may have several results.

    Raises:
      TypeError, ValueError: for operands and parameters that the op rejects, and missing ones.
    """
    _check_name(name)
    book_name = lax.book_name(name)
    if not name.startswith("lax.") or name in _NO_ENTRY:
        raise ValueError(f"build: makes ops of the book, lax.add and so on, got {name!r}")
    _check_operands(name, operands)
    known = set(OPS[book_name].params)
    params = dict.fromkeys(OPTIONAL & known) | params
    if missing := sorted(known - set(params) - lax.IMPLIED_PARAMS):
        raise TypeError(f"build: {name} needs the parameter {missing[0]!r}")
    if unknown := sorted(set(params) - known):
        has = ", ".join(sorted(known)) or "none"
        raise TypeError(f"build: {name} has no parameter {unknown[0]!r}; it has {has}")
    values = lax.build(book_name, list(operands), **params)
    return values if OPS[book_name].multiple_results else values[0]


def _check_operands(name: str, operands: tuple[Any, ...]) -> None:
    _check_place(name)
    for number, operand in enumerate(operands):
        if not isinstance(operand, ir.Value):
            raise TypeError(f"build: operand {number} of {name} must be a value, {_got(operand)}")
    count = lax.operand_count(lax.book_name(name))
    if count is not None and count != len(operands):
        raise TypeError(f"build: {name} takes {count} operands, got {len(operands)}")


def _check_place(name: str) -> None:
    """An op that is in no block is freed with its Python object, and so are its results."""
    try:
        _ = ir.InsertionPoint.current
    except ValueError:
        message = f"there is no place to put {name}: build it inside of `with at(op):`"
        raise ValueError(message) from None


def _got(given: Any) -> str:
    """What was given instead of a value, and how to come to one."""
    if isinstance(given, ir.Operation | ir.OpView):
        return f"got the op {name_of(given.operation)}: op.results[0] is a value of it"
    if isinstance(given, int | float | complex | np.ndarray):
        return f"got {given!r}: constant({given!r}, like=x) makes one"
    return f"got {given!r}"


def constant(value: Any, like: ir.Value | None = None) -> ir.Value:
    """A `lax.constant`; of the shape and dtype of the value `like`, if one is given.

    Raises:
      ValueError: for a value that is another one in that dtype: 2.5 or 300 in an int8, 1j in a
        float32.
    """
    _check_place("lax.constant")
    if like is None:
        return lax.constant(np.asarray(value))
    aval = aval_of(like.type)
    made = of_dtype(value, aval.dtype)
    return lax.constant(np.broadcast_to(made, aval.shape))


def replace(op: ir.Operation, values: ir.Value | Sequence[ir.Value]) -> None:
    """Let every user of an op's results use other values of the same types, and erase the op.

    Raises:
      CompileError: for values of other types or number.
    """
    new = list(values) if isinstance(values, Sequence) else [values]
    for value in new:
        if not isinstance(value, ir.Value):
            raise TypeError(f"{name_of(op)} must be replaced by values, {_got(value)}")
        if _module_of(value) != _module_of(op):
            raise error(op, f"{name_of(op)} is replaced by a value that is not in the module")
    got, expected = [value.type for value in new], [result.type for result in op.results]
    if got != expected:
        message = f"{name_of(op)} has results {_types(expected)}, its replacement {_types(got)}"
        raise error(op, message)
    if any(value == result for value in new for result in op.results):
        raise error(op, f"{name_of(op)} is replaced by its own result")
    for result, value in zip(op.results, new):
        result.replace_all_uses_with(value)
    op.erase()


def _module_of(inside: Any) -> ir.Operation | None:
    """The outermost op around an op or a value."""
    op = inside.owner if isinstance(inside, ir.Value) else inside
    op = op.owner if isinstance(op, ir.Block) else op
    while op.operation.parent is not None:
        op = op.operation.parent
    return op.operation


def erase(op: ir.Operation) -> None:
    """Remove an op whose results nobody uses.

    Raises:
      CompileError: if somebody does.
    """
    if any(True for result in op.results for _ in result.uses):
        raise error(op, f"{name_of(op)} is erased, but its results are used")
    op.erase()


def _types(types: list[ir.Type]) -> str:
    return "(" + ", ".join(map(str, types)) + ")"
