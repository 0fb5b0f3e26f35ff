"""From a jaxpr to a module of the `lax` dialect: one generic function, no code per primitive.

An equation becomes the op of the same name: operands stay operands, static parameters become
attributes, jaxpr parameters become regions. Calls (`jit`, `checkpoint`, custom derivatives whose
rules are no longer needed) are inlined. Importing this module loads MLIR: only the compile path of
`jit` and the tools do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxc.core.config import flag_context
from jaxc.core.defined import DEFINED
from jaxc.core.jaxpr import CALLS, ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jaxc.core.source import SourceInfo, at
from jaxc.core.trace import eval_context
from jaxc.expansions import EXPANSIONS
from jaxc.physical import physicalize
from jaxc.transforms.api import make_jaxpr
from jaxc.transforms.stages import struct_of
from jaxc_compiler import mlir
from jaxc_compiler.dialects import definition, lax
from jaxc_compiler.marks import DONATED, WEIGHT, WEIGHT_VALUE
from jaxc_compiler.mlir import ir

_enable_x64 = flag_context("jax_enable_x64")

ERASED = {"stop_gradient"}  # says something to transformations only


# Constants of this size and more are weights of a shipped program: arrays beside the code.
WEIGHT_BYTES = 1024


@dataclass(frozen=True)
class EntryPoint:
    """A function of a module.

    Attributes:
      symbol: its name in the module.
      jaxpr: what it computes.
      donated: for each input, whether its buffer may be overwritten; empty if none may.
      wide: whether the programs its ops stand for have 64-bit types, whatever JAX's flag.
    """

    symbol: str
    jaxpr: ClosedJaxpr
    donated: tuple[bool, ...] = ()
    wide: bool = False

    def flags(self) -> AbstractContextManager[Any]:
        """The flags under which it is lowered."""
        return _enable_x64(True) if self.wide else nullcontext()


@dataclass
class Weights:
    """The large constants of a module, each once, whoever uses it.

    Attributes:
      inline: whether their values go into the module, or an archive beside it holds them.
      arrays: by name.
    """

    inline: bool = True
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    _names: dict[Any, str] = field(default_factory=dict)

    def marks(self, constant: Any) -> dict[str, ir.Attribute] | None:
        """The attributes of the argument that stands for a constant; None for a small one."""
        value = np.ascontiguousarray(constant)
        whole_bytes = value.dtype.kind in "iuf" or value.dtype.name == "bfloat16"
        if value.nbytes < WEIGHT_BYTES or not whole_bytes:
            return None
        digest = hashlib.sha256(value.view(np.uint8).data).digest()
        key = (value.dtype, np.shape(constant), digest)
        if key not in self._names:
            self._names[key] = f"w{len(self._names)}"
            self.arrays[self._names[key]] = value
        name = self._names[key]
        marks: dict[str, ir.Attribute] = {WEIGHT: ir.StringAttr.get(name)}
        if self.inline:
            signless = value.view(f"i{value.itemsize}") if value.dtype.kind == "u" else value
            marks[WEIGHT_VALUE] = mlir.dense(signless)
        return marks


def lower_jaxpr(
    closed_jaxpr: ClosedJaxpr,
    name: str = "main",
    donated: Sequence[bool] = (),
    embed_constants: bool = False,
) -> ir.Module:
    """The module whose function `main` computes what the jaxpr does.

    Args:
      closed_jaxpr: its constants become the function's first arguments, before its inputs.
      name: the module's name: the traced function's.
      donated: for each input (constants not counted), whether its buffer may be overwritten.
      embed_constants: write the constants into the module instead of taking them as arguments, as
        a program that is shipped alone needs.
    """
    entry = EntryPoint("main", closed_jaxpr, tuple(donated))
    return _lower([entry], name, lambda value: None if embed_constants else {})


def lower_entry_points(
    entry_points: Sequence[EntryPoint], weights: Weights, name: str = "module"
) -> ir.Module:
    """A module of several functions that stands alone: their constants are in it or are weights.

    Args:
      entry_points: its functions.
      weights: collects the large constants.
      name: the module's name.
    """
    return _lower(entry_points, name, weights.marks)


def _lower(
    entry_points: Sequence[EntryPoint],
    name: str,
    marks_of: Callable[[Any], dict[str, ir.Attribute] | None],
) -> ir.Module:
    """`marks_of` gives the marks of the argument a constant becomes; None: it is written inline."""
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown():
        lax.load()
        module = ir.Module.create()
        module.operation.attributes["sym_name"] = ir.StringAttr.get(name)
        for entry in entry_points:
            with entry.flags():
                _lower_function(module, entry, [marks_of(value) for value in entry.jaxpr.consts])
    return module


def _lower_function(
    module: ir.Module, entry: EntryPoint, constants: list[dict[str, ir.Attribute] | None]
) -> None:
    jaxpr = entry.jaxpr.jaxpr
    hidden = [var for var, marks in zip(jaxpr.constvars, constants) if marks is not None]
    flags = entry.donated or (False,) * len(jaxpr.invars)
    marks = [marks for marks in constants if marks is not None]
    marks += [{DONATED: ir.UnitAttr.get()} if flag else {} for flag in flags]
    types = [mlir.tensor_type(var.aval) for var in [*hidden, *jaxpr.invars]]
    block = _function(module, entry.symbol, types, marks, jaxpr)
    lowering = _Lowering(block)
    arguments = iter(block.arguments)
    values = [
        lowering.constant(value) if marks is None else next(arguments)
        for value, marks in zip(entry.jaxpr.consts, constants)
    ]
    results = lowering.run(jaxpr, [*values, *arguments])
    mlir.create("func.return", [], results, ip=ir.InsertionPoint(block))


def _function(
    module: ir.Module,
    symbol: str,
    types: list[ir.Type],
    marks: list[dict[str, ir.Attribute]],
    jaxpr: Jaxpr,
) -> ir.Block:
    """An empty `func.func` with marked arguments; returns its entry block."""
    results = [mlir.tensor_type(var.aval) for var in jaxpr.outvars]
    attributes = {
        "sym_name": ir.StringAttr.get(symbol),
        "function_type": ir.TypeAttr.get(ir.FunctionType.get(types, results)),
        "arg_attrs": ir.ArrayAttr.get([ir.DictAttr.get(mark) for mark in marks]),
    }
    where = ir.InsertionPoint(module.body)
    function = mlir.create("func.func", [], [], attributes, regions=1, ip=where)
    return function.regions[0].blocks.append(*types)


class _Lowering:
    """Lowers equations into one block; a region's block has a lowering of its own."""

    def __init__(self, block: ir.Block):
        self.ip = ir.InsertionPoint(block)
        self.constants: dict[Any, ir.Value] = {}

    def run(self, jaxpr: Jaxpr, values: Sequence[ir.Value]) -> list[ir.Value]:
        """Emit a jaxpr whose constvars and invars are `values`; returns its results."""
        env = dict(zip([*jaxpr.constvars, *jaxpr.invars], values, strict=True))

        def read(atom: Any) -> ir.Value:
            return self.literal(atom) if type(atom) is Literal else env[atom]

        for eqn in jaxpr.eqns:
            results = self.equation(eqn, [read(atom) for atom in eqn.invars])
            env.update(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def equation(self, eqn: JaxprEqn, operands: list[ir.Value]) -> Sequence[ir.Value]:
        name = eqn.primitive.name
        if name in ERASED:
            return operands
        if name in CALLS or _is_expanded(eqn):
            inner = eqn.params[CALLS[name]] if name in CALLS else _expansion(eqn)
            jaxpr, consts = _open(inner)
            return self.run(jaxpr, [*map(self.constant, consts), *operands])
        regions = lax.region_params(name)
        attributes = lax.attributes_of(eqn.params)
        types = [mlir.tensor_type(var.aval) for var in eqn.outvars]
        op = definition.build(
            lax.mlir_name(name), types, operands, attributes, ip=self.ip, loc=_location(eqn)
        )
        for param, region in zip(regions, op.regions):
            if param == "branches":
                _lower_branches(eqn.params[param], region)
            else:
                _lower_region(eqn.params[param], region)
        return op.results

    def literal(self, literal: Literal) -> ir.Value:
        return self.constant(np.asarray(literal.val, dtype=literal.aval.dtype))

    def constant(self, value: Any) -> ir.Value:
        """A constant of this block; small ones are made once."""
        value = np.asarray(value)
        if value.size > 16:
            return self._new_constant(value)
        key = (value.dtype, value.shape, value.tobytes())
        if key not in self.constants:
            self.constants[key] = self._new_constant(value)
        return self.constants[key]

    def _new_constant(self, value: np.ndarray) -> ir.Value:
        with self.ip:
            return lax.constant(value)


def _lower_branches(branches: Sequence[ClosedJaxpr], region: ir.Region) -> None:
    block = region.blocks.append()
    for branch in branches:
        op = definition.build("lax.branch", [], [], ip=ir.InsertionPoint(block))
        _lower_region(branch, op.regions[0])


def _lower_region(closed_jaxpr: ClosedJaxpr | Jaxpr, region: ir.Region) -> None:
    jaxpr, consts = _open(closed_jaxpr)
    block = region.blocks.append(*[mlir.tensor_type(var.aval) for var in jaxpr.invars])
    lowering = _Lowering(block)
    constants = [lowering.constant(value) for value in consts]
    results = lowering.run(jaxpr, [*constants, *block.arguments])
    definition.build("lax.yield", [], results, ip=ir.InsertionPoint(block))


def _open(jaxpr: ClosedJaxpr | Jaxpr) -> tuple[Jaxpr, Sequence[Any]]:
    return (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, ClosedJaxpr) else (jaxpr, ())


def _is_expanded(eqn: JaxprEqn) -> bool:
    """Plain scatters and reshapes are ops; with a function or a permutation they are programs."""
    name = eqn.primitive.name
    if name in DEFINED:
        return not DEFINED[name].stays
    special = {"scatter": "update_jaxpr", "reshape": "dimensions"}.get(name)
    return name in EXPANSIONS and (special is None or eqn.params[special] is not None)


def _expansion(eqn: JaxprEqn) -> ClosedJaxpr:
    """The program of simpler ops that computes an equation.

    Raises:
      TypeError: it gives something else than what the equation was traced with.
    """
    name = eqn.primitive.name
    own = name in DEFINED
    function = DEFINED[name].fun if own else EXPANSIONS[name]
    avals = [atom.aval for atom in eqn.invars]
    if not own:  # ours depend on dtypes only, as the text of a jaxpr does
        avals = [aval.strip_weak_type() for aval in avals]

    def program(*operands: Any) -> Any:
        return function(*operands, **eqn.params)

    with eval_context(), at(eqn.source_info):  # its ops come from where the equation does
        found = make_jaxpr(program)(*map(struct_of, avals))
    wanted = [var.aval.str_short() for var in eqn.outvars]
    got = [aval.str_short() for aval in found.out_avals]
    if got != wanted:
        raise TypeError(
            f"{name} gives {', '.join(got)} when it is compiled, expected {', '.join(wanted)} as "
            "when it was traced"
        )
    return physicalize(found)


def _location(eqn: JaxprEqn) -> ir.Location:
    """The user's line, labelled with the name stack and the primitive."""
    source: SourceInfo | None = eqn.source_info
    if source is None:
        return ir.Location.name(eqn.primitive.name)
    key = (source.code, source.lasti, source.name_stack, eqn.primitive.name)
    found = _locations.get(key)
    if found is None:
        frame = source.frame()
        label = "/".join([*source.name_stack, eqn.primitive.name])
        position = (frame.file, frame.line, frame.column) if frame else (None,)
        found = _locations[key] = mlir.location(*position, name=label)
    return found


_locations: dict[Any, ir.Location] = {}
