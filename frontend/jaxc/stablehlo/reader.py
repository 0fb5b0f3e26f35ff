"""Reading a StableHLO module and tracing its `main`.

Owns `IMPORTS`, the registry of ops, and the walk over blocks. A family's module registers functions
`(reader, op, operands) -> results`, which call `lax` on arrays or tracers:

    @imports("reverse")
    def import_reverse(r, op, operands):
        return lax.rev(operands[0], op.ints("dimensions"))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc.core.config import flag_context
from jaxc.core.jaxpr import ClosedJaxpr, eval_jaxpr
from jaxc.stablehlo.op import Op
from jaxc.transforms.staging import trace_to_jaxpr
from jaxc_compiler import mlir
from jaxc_compiler.diagnostics import CompileError, Diagnostic, error_at, from_mlir_error
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray

STAGE = "stablehlo"
Import = Callable[["Reader", Op, list[Any]], Any]
IMPORTS: dict[str, Import] = {}

# Shardy's annotations stand on calls of LAPACK, which no other machine has.
JAX_ON_CPU = "JAX's matrix ops for the CPU call LAPACK: export with platforms=['tpu']"

_enable_x64 = flag_context("jax_enable_x64")


class UnsupportedOp(CompileError):
    """An op, or a use of one, that has no counterpart here."""


def imports(*names: str) -> Callable[[Import], Import]:
    """Register a function as the import of StableHLO ops."""

    def register(function: Import) -> Import:
        IMPORTS.update(dict.fromkeys(names, function))
        return function

    return register


class Program:
    """A StableHLO program: a function of arrays that gives a list of arrays.

    Attributes:
      name: the module's name.
      closed: what it computes.
      donated: for each argument, whether the module lets a result have its memory.
    """

    def __init__(self, name: str, closed: ClosedJaxpr, donated: tuple[bool, ...]):
        self.name = name
        self.closed = closed
        self.donated = donated

    def __call__(self, *arrays: Any) -> list[Any]:
        wanted = self.closed.in_avals
        if len(arrays) != len(wanted):
            raise TypeError(f"{self.name} takes {len(wanted)} arrays, got {len(arrays)}")
        for index, (array, aval) in enumerate(zip(arrays, wanted)):
            shape, dtype = np.shape(array), getattr(array, "dtype", None)
            if (shape, dtype) != (aval.shape, aval.dtype):
                raise TypeError(
                    f"{self.name}: argument {index}: expected {aval.str_short()}, "
                    f"got {dtype}{list(shape)}"
                )
        with _enable_x64(True):  # types are as the module says
            return eval_jaxpr(self.closed.jaxpr, self.closed.consts, *arrays)

    def __repr__(self) -> str:
        return f"<StableHLO program {self.name}>"


def read(data: bytes | str) -> Program:
    """Read a module: text, MLIR bytecode, or StableHLO's portable encoding (as JAX exports).

    Raises:
      UnsupportedOp: naming the op and its line in the text.
      CompileError: no StableHLO, or no function `main` of arrays of known shapes.
      TypeError: `data` is neither text nor bytes.
    """
    if not isinstance(data, str | bytes | bytearray | memoryview):
        raise TypeError(f"stablehlo.read: expected text or bytes, got {type(data).__name__}")
    with mlir.LOCK, mlir.CONTEXT, ir.Location.unknown(), _enable_x64(True):
        module = _parse(data)
        functions = {
            ir.StringAttr(op.operation.attributes["sym_name"]).value: op.operation
            for op in module.body.operations
            if op.operation.name == "func.func"
        }
        if "main" not in functions:
            raise CompileError(STAGE, [Diagnostic("error", "the module has no function @main")])
        main, reader = functions["main"], Reader(functions)
        avals = reader.arguments(main)
        closed = trace_to_jaxpr(lambda *args: reader.call("main", args), avals)
        return Program(_name(module), closed, _donated(main, len(avals)))


def _parse(data: bytes | str) -> ir.Module:
    mlir.load_stablehlo()
    raw = data.encode() if isinstance(data, str) else bytes(data)
    if raw.startswith(b"ML\xefR") and b"StableHLO" in raw[:16]:
        return _parse_portable(raw)
    try:
        return ir.Module.parse(raw)
    except (ir.MLIRError, ValueError) as error:
        raise from_mlir_error(STAGE, error) from None


def _parse_portable(raw: bytes) -> ir.Module:
    try:
        return mlir.from_portable_stablehlo(raw)
    except CompileError as error:
        if "dialect 'sdy'" not in str(error):
            raise
        message = f"{error.diagnostics[0].message} ({JAX_ON_CPU})"
        raise CompileError(STAGE, [Diagnostic("error", message)]) from None


def _name(module: ir.Module) -> str:
    attributes = module.operation.attributes
    return ir.StringAttr(attributes["sym_name"]).value if "sym_name" in attributes else "main"


def _donated(main: ir.Operation, count: int) -> tuple[bool, ...]:
    if "arg_attrs" not in main.attributes:
        return (False,) * count
    marks = [ir.DictAttr(mark) for mark in ir.ArrayAttr(main.attributes["arg_attrs"])]
    return tuple("tf.aliasing_output" in m or "jax.buffer_donor" in m for m in marks)


class Reader:
    """Evaluates blocks on arrays and tracers.

    Attributes:
      functions: the module's functions, by name.
    """

    def __init__(self, functions: dict[str, ir.Operation]):
        self.functions = functions
        self.calls: list[str] = []

    def arguments(self, main: ir.Operation) -> list[ShapedArray]:
        """The avals of a function's arguments."""
        if not main.regions[0].blocks:
            raise self.unsupported(Op(main, {}), "the function @main has no body")
        try:
            return [mlir.aval_of(a.type) for a in main.regions[0].blocks[0].arguments]
        except TypeError as error:
            raise self.unsupported(Op(main, {}), f"an argument of @main: {error}") from None

    def call(self, name: str, arguments: Sequence[Any]) -> list[Any]:
        """A function of the module, inlined."""
        if name in self.calls or name not in self.functions:
            what = "calls itself" if name in self.calls else "does not exist"
            raise CompileError(STAGE, [Diagnostic("error", f"the function @{name} {what}")])
        self.calls.append(name)
        try:
            return self.block(self.functions[name].regions[0].blocks[0], arguments, {})
        finally:
            self.calls.pop()

    def block(self, block: ir.Block, arguments: Sequence[Any], outer: dict[Any, Any]) -> list[Any]:
        """The operands of a block's terminator, its ops evaluated on `arguments`.

        Args:
          outer: the values that the block sees around it.
        """
        values = dict(outer)
        values.update(zip(block.arguments, arguments, strict=True))
        for raw in block.operations:
            op = Op(raw.operation, values)
            operands = [values[v] for v in op.raw.operands]
            if op.name in ("func.return", "stablehlo.return"):
                return operands
            results = self._evaluate(op, operands)
            values.update(zip(op.raw.results, results, strict=True))
        raise CompileError(STAGE, [Diagnostic("error", "a block has no return")])

    def region(self, op: Op, number: int) -> Callable[..., list[Any]]:
        """A region of an op as a function of its arguments."""
        block = op.raw.regions[number].blocks[0]
        return lambda *arguments: self.block(block, arguments, op.values)

    def _evaluate(self, op: Op, operands: list[Any]) -> list[Any]:
        short = op.name.removeprefix("stablehlo.")
        if short not in IMPORTS:
            raise self.unsupported(op, f"{op.name} is not supported")
        try:
            avals = [op.aval(n) for n in range(len(op.raw.results))]
            results = IMPORTS[short](self, op, operands)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise self.unsupported(op, f"{op.name}: {error}") from error
        results = list(results) if isinstance(results, list | tuple) else [results]
        return [self._checked(op, a, result) for a, result in zip(avals, results, strict=True)]

    def _checked(self, op: Op, aval: ShapedArray, result: Any) -> Any:
        if (np.shape(result), result.dtype) != (aval.shape, aval.dtype):
            got = f"{result.dtype}{list(np.shape(result))}"
            raise self.unsupported(op, f"{op.name} gave {got}, expected {aval.str_short()}")
        return result

    def unsupported(self, op: Op, message: str) -> UnsupportedOp:
        """The error at an op's line."""
        return UnsupportedOp(STAGE, error_at(STAGE, op.raw.location, message).diagnostics)
