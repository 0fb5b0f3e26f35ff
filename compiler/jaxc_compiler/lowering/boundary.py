"""The last step before IREE: the function's own types, and who may overwrite an argument.

    func.func @main(%k: tensor<4x!lax.key>, %x: tensor<9xui32>)
->  func.func @main(%k: tensor<4x2xi32>, %x: tensor<9xi32>) {
      %0 = flow.tensor.bitcast %k : tensor<4x2xi32> -> tensor<4xi64>
      util.optimization_barrier %k : ...

A large constant of a shipped program arrives as an argument marked `jaxc.weight`. It becomes a
global of the module, with its value or as a parameter that an archive beside the program holds:

    util.global private @weight.w0 = #flow.parameter.named<"model"::"w0"> : tensor<784x128xf32>

IREE updates an argument in place, donated or not, if nothing else uses it. So every argument gets a
second use, a barrier that costs nothing, except a donated one, which is marked consumed. Imports
`mlir` and the marks only.
"""

from __future__ import annotations

from typing import Any

from jaxc_compiler import mlir
from jaxc_compiler.marks import DONATED, WEIGHT, WEIGHT_VALUE
from jaxc_compiler.mlir import ir

CAST = "builtin.unrealized_conversion_cast"
PARAMETER_SCOPE = "model"


def lower_boundary(module: ir.Module, target: Any = None) -> None:
    """Give functions storage types, resolve the casts to them, and protect its arguments."""
    del target
    for op in module.body.operations:
        function = op.operation
        if function.name == "func.func":
            block = function.regions[0].blocks[0]
            _lower_weights(module, function, block)
            _lower_arguments(function, block)
            _resolve_casts(block)
            _lower_results(function, block)


def _lower_weights(module: ir.Module, function: ir.Operation, block: ir.Block) -> None:
    """Replace the arguments that stand for weights, the first ones, by loads of globals."""
    if "arg_attrs" not in function.attributes:
        return
    marks = [ir.DictAttr(mark) for mark in ir.ArrayAttr(function.attributes["arg_attrs"])]
    weights = [mark for mark in marks if WEIGHT in mark]
    for mark in weights:
        argument = block.arguments[0]
        storage = mlir.storage_type(argument.type)
        symbol = _weight_global(module, mark, storage)
        argument.set_type(storage)
        reference = {"global": ir.FlatSymbolRefAttr.get(symbol)}
        load = mlir.create("util.global.load", [storage], [], reference, ip=_after_arguments(block))
        argument.replace_all_uses_with(load.result)
        block.erase_argument(0)
    function.attributes["arg_attrs"] = ir.ArrayAttr.get(marks[len(weights) :])


def _weight_global(module: ir.Module, mark: ir.DictAttr, storage: ir.Type) -> str:
    """The symbol of a weight's global, which is made where the first function asks for it."""
    name = ir.StringAttr(mark[WEIGHT]).value
    symbol = f"weight.{name}"
    for op in module.body.operations:
        attributes = op.operation.attributes
        if op.operation.name == "util.global" and attributes["sym_name"].value == symbol:
            return symbol
    parameter = f'#flow.parameter.named<"{PARAMETER_SCOPE}"::"{name}"> : {storage}'
    attributes = {
        "sym_name": ir.StringAttr.get(symbol),
        "sym_visibility": ir.StringAttr.get("private"),
        "type": ir.TypeAttr.get(storage),
        "initial_value": mark[WEIGHT_VALUE]
        if WEIGHT_VALUE in mark
        else ir.Attribute.parse(parameter),
    }
    mlir.create("util.global", [], [], attributes, ip=ir.InsertionPoint.at_block_begin(module.body))
    return symbol


def _lower_arguments(function: ir.Operation, block: ir.Block) -> None:
    attributes = []
    marks: Any = [{}] * len(block.arguments)  # a module read from text has none if all are empty
    if "arg_attrs" in function.attributes:
        marks = [ir.DictAttr(mark) for mark in ir.ArrayAttr(function.attributes["arg_attrs"])]
    for argument, mark in zip(block.arguments, marks):
        donated = DONATED in mark
        mark = {"iree.abi.consume": ir.UnitAttr.get()} if donated else {}
        attributes.append(ir.DictAttr.get(mark))
        _lower_argument(block, argument)
        if not donated:
            ip = _after_arguments(block)
            mlir.create("util.optimization_barrier", [argument.type], [argument], ip=ip)
    function.attributes["arg_attrs"] = ir.ArrayAttr.get(attributes)


def _after_arguments(block: ir.Block) -> ir.InsertionPoint:
    return ir.InsertionPoint.at_block_begin(block)


def _lower_argument(block: ir.Block, argument: ir.Value) -> None:
    """Change an argument's type to what crosses the call, keys to pairs of words."""
    aval = mlir.aval_of(argument.type)
    storage = mlir.storage_type(argument.type)
    if aval.dtype != mlir.KEY:
        argument.set_type(storage)
        return
    words = mlir.ranked_tensor([*aval.shape, 2], ir.IntegerType.get_signless(32))
    argument.set_type(words)
    ip = _after_arguments(block)
    key = _bitcast(argument, storage, ip)
    argument.replace_all_uses_except(key, key.owner.operation)


def _bitcast(value: ir.Value, result: ir.Type, ip: ir.InsertionPoint) -> ir.Value:
    sizes = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0])}
    return mlir.create("flow.tensor.bitcast", [result], [value], sizes, ip=ip).result


def _resolve_casts(block: ir.Block) -> None:
    """Casts stand between a value's `lax` type and its storage type: now both are the same."""
    for op in list(_walk(block)):
        if op.name == CAST:
            source = op.operands[0]
            if mlir.storage_type(source.type) != mlir.storage_type(op.results[0].type):
                raise ValueError(f"no conversion from {source.type} to {op.results[0].type}")
            op.results[0].replace_all_uses_with(source)
            op.erase()


def _walk(block: ir.Block) -> list[ir.Operation]:
    found = []
    for op in block.operations:
        found.append(op.operation)
        for region in op.operation.regions:
            for inner in region.blocks:
                found += _walk(inner)
    return found


def _lower_results(function: ir.Operation, block: ir.Block) -> None:
    last = block.operations[len(block.operations) - 1].operation
    old = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    ip = ir.InsertionPoint(last)
    for number, declared in enumerate(old.results):
        aval = mlir.aval_of(declared)
        if aval.dtype == mlir.KEY:
            words = mlir.ranked_tensor([*aval.shape, 2], ir.IntegerType.get_signless(32))
            last.operands[number] = _bitcast(last.operands[number], words, ip)
    arguments = [argument.type for argument in block.arguments]
    results = [value.type for value in last.operands]
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(arguments, results))
