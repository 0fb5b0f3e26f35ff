"""How a dialect of ours is defined: op definitions made into IRDL, one arity at a time.

Owns `OpDef`, `define_dialect`, and building and parsing of ops that are defined when first used.
Imports `mlir` only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxc_compiler.mlir import CONTEXT, UNKNOWN, ir, load_irdl


class _NoMemoryEffect(ir.MemoryEffectsOpInterface):
    @staticmethod
    def get_effects(op: Any, effects: Any) -> None:
        pass


class _AlwaysSpeculatable(ir.ConditionallySpeculatable):
    @staticmethod
    def get_speculatability(op: Any) -> Any:
        return ir.Speculatability.Speculatable


@dataclass(frozen=True)
class OpDef:
    """How an op of one of our dialects is defined.

    IRDL makes all values of one variadic group have one type, so an op whose values differ in
    number and in type is defined once for each arity, under a name that says it:
    `lax.scan_3to2` has three operands and two results.

    Attributes:
      operands: how many operands; None if it varies (the arity is then part of the name).
      results: how many results; None if it varies.
      rest: after `operands` single ones, any number of operands that share one type.
      regions: how many regions.
      traits: `pure`, `isolated`, `terminator`, `no_terminator`.
      verify: `(operation) -> str`, what is wrong with it or an empty string.
    """

    operands: int | None = None
    results: int | None = 1
    rest: bool = False
    regions: int = 0
    traits: frozenset[str] = frozenset({"pure"})
    verify: Callable[[ir.Operation], str] | None = None


_op_defs: dict[str, OpDef] = {}
_defined: set[str] = set()


def define_dialect(dialect: str, ops: dict[str, OpDef], types: tuple[str, ...] = ()) -> None:
    """Define a dialect in CONTEXT; its ops are registered when first used."""
    body = "\n".join(f"irdl.type @{name}" for name in types)
    load_irdl(f"irdl.dialect @{dialect} {{ {body} }}")
    add_ops(dialect, ops)


def add_ops(dialect: str, ops: dict[str, OpDef]) -> None:
    """Say how ops are defined; they are registered when first used."""
    _op_defs.update({f"{dialect}.{name}": op_def for name, op_def in ops.items()})


_ARITY = re.compile(r"_(\d+)to(\d+)$")


def base_name(op_name: str) -> str:
    """`lax.scan` for `lax.scan_3to2`: the name without the arity."""
    return _ARITY.sub("", op_name)


def op_name(name: str, operands: int, results: int) -> str:
    """The full name of an op of ours at an arity, defined if it was not yet.

    Example:
      >>> from jaxc_compiler.dialects import lax
      >>> lax.load()
      >>> op_name("lax.concatenate", 3, 1)
      'lax.concatenate_3to1'
    """
    op_def = _op_defs[name]
    varies = op_def.operands is None or op_def.results is None
    full = f"{name}_{operands}to{results}" if varies else name
    if full not in _defined:
        _define_op(full, op_def, operands, results)
    return full


def _define_op(full: str, op_def: OpDef, operands: int, results: int) -> None:
    dialect, name = full.split(".", 1)
    single = op_def.operands if op_def.operands is not None else operands
    values = [f"o{i}: %o{i}" for i in range(single)] + ["rest: variadic %rest"] * op_def.rest
    variables = [f"%o{i}" for i in range(single)] + ["%rest"] * op_def.rest
    made = op_def.results if op_def.results is not None else results
    lines = [f"{v} = irdl.any" for v in variables + [f"%r{i}" for i in range(made)]]
    lines += [f"irdl.operands({', '.join(values)})"] * bool(values)
    lines += [f"irdl.results({', '.join(f'r{i}: %r{i}' for i in range(made))})"] * bool(made)
    lines += [f"%g{i} = irdl.region" for i in range(op_def.regions)]
    regions = ", ".join(f"g{i}: %g{i}" for i in range(op_def.regions))
    lines += [f"irdl.regions({regions})"] * bool(op_def.regions)
    body = "\n".join(lines)
    load_irdl(f'irdl.dialect @{dialect} {{ irdl.operation @"{name}" {{ {body} }} }}')
    with CONTEXT, UNKNOWN:
        for trait in op_def.traits:
            _ATTACH[trait](full)
        if op_def.verify is not None:
            ir.DynamicOpTrait.attach(full, _Verifier)
    _defined.add(full)


class _Verifier(ir.DynamicOpTrait):
    @staticmethod
    def verify_invariants(op: Any) -> bool:
        operation = op.operation
        name = base_name(operation.name)
        try:
            problem = _op_defs[name].verify(operation)
        except Exception as error:  # of IR so wrong that it cannot be looked at: never out of here
            problem = f"{type(error).__name__}: {error}"
        if problem:
            operation.location.emit_error(f"{name}: {problem}")
        return not problem

    @staticmethod
    def verify_region_invariants(op: Any) -> bool:
        return True


def _attach_pure(full: str) -> None:
    _NoMemoryEffect.attach(full)
    _AlwaysSpeculatable.attach(full)


_ATTACH = {
    "pure": _attach_pure,
    "isolated": ir.IsIsolatedFromAboveTrait.attach,
    "terminator": ir.IsTerminatorTrait.attach,
    "no_terminator": ir.NoTerminatorTrait.attach,
}

MOST_RESULTS = 10_000
_GENERIC_OP = re.compile(r'"(\w+\.\w+)"\(([^()]*)\)')


def parse(text: str, path: str | None = None) -> ir.Module:
    """Read a module, located in its file if there is one.

    Ops of ours are defined at the arities that occur in it.

    Raises:
      MLIRError: with all diagnostics, if it does not parse or verify.
    """
    for full, operands in _GENERIC_OP.findall(text):
        name, arity = base_name(full), _ARITY.search(full)
        if name in _op_defs:
            wanted, results = map(int, arity.groups() if arity else (operands.count("%"), 1))
            # An arity that does not fit the text would be defined for nothing, however large.
            if wanted == operands.count("%") and results <= MOST_RESULTS:
                op_name(name, wanted, results)
    with CONTEXT:
        return ir.Module.parseFile(path) if path else ir.Module.parse(text)


def build(
    name: str,
    results: list[ir.Type],
    operands: list[ir.Value],
    attributes: dict[str, ir.Attribute] | None = None,
    **where: Any,
) -> ir.Operation:
    """Make an op of one of our dialects: `build("lax.scan", ...)`, whatever its arity."""
    full = op_name(name, len(operands), len(results))
    regions = _op_defs[name].regions
    return ir.Operation.create(full, results, operands, attributes or {}, [], regions, **where)
