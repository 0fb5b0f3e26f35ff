"""Runs a `lax` module with the op book's NumPy kernels: what every lowering is compared with.

Understands the `lax` and `kernel` stages. Slow and exact; imports `mlir`, the dialects and the op
book.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.dialects import lax
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.op import OPS


def run_module(module: ir.Module, *arguments: np.ndarray) -> list[np.ndarray]:
    """The results of the module's function `main` on arrays.

    Raises:
      NotImplementedError: for an op that has no NumPy kernel.
    """
    with mlir.LOCK, mlir.CONTEXT, np.errstate(all="ignore"):
        for op in module.body.operations:
            if op.operation.name == "func.func":
                return run_block(op.operation.regions[0].blocks[0], arguments)
    raise ValueError("the module has no function")


def run_block(block: ir.Block, arguments: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a block's last op returns or yields."""
    values = dict(zip(block.arguments, arguments, strict=True))
    for op in (op.operation for op in block.operations):
        operands = [values[operand] for operand in op.operands]
        if op.name == "func.return" or lax.name_of(op) == "yield":
            return operands
        values.update(zip(op.results, run_op(op, operands), strict=True))
    raise ValueError("the block does not end in a return or a yield")


def run_op(op: ir.Operation, operands: list[np.ndarray]) -> list[np.ndarray]:
    """The results of one op."""
    name = lax.name_of(op)
    if op.name.startswith("kernel.fused"):
        return run_block(op.regions[0].blocks[0], operands)
    if name == "constant":
        return [mlir.constant_array(op.attributes["value"])]
    if name in _CONTROL_FLOW:
        return _CONTROL_FLOW[name](op, operands)
    if name not in OPS or OPS[name].numpy is None or lax.region_params(name):
        raise NotImplementedError(f"{op.name} has no NumPy kernel")
    params = {p: v for p, v in lax.params_of(op).items() if p in OPS[name].params}
    params |= dict.fromkeys(lax.IMPLIED_PARAMS & set(OPS[name].params))
    results = OPS[name].numpy(*operands, **params)
    return list(results) if OPS[name].multiple_results else [results]


def _run_while(op: ir.Operation, operands: list[np.ndarray]) -> list[np.ndarray]:
    conditions = mlir.from_attr(op.attributes["cond_nconsts"])
    constants = conditions + mlir.from_attr(op.attributes["body_nconsts"])
    body, test = (region.blocks[0] for region in op.regions)
    state = operands[constants:]
    while run_block(test, [*operands[:conditions], *state])[0]:
        state = run_block(body, [*operands[conditions:constants], *state])
    return state


def _run_cond(op: ir.Operation, operands: list[np.ndarray]) -> list[np.ndarray]:
    branches = lax.branches_of(op)
    number = min(max(int(operands[0]), 0), len(branches) - 1)
    return run_block(branches[number], operands[1:])


def _run_scan(op: ir.Operation, operands: list[np.ndarray]) -> list[np.ndarray]:
    names = ("num_consts", "num_carry", "length", "reverse")
    consts, carries, length, reverse = (mlir.from_attr(op.attributes[n]) for n in names)
    fixed, state = operands[:consts], operands[consts : consts + carries]
    xs = operands[consts + carries :]
    stacks = [np.empty(a.shape, a.dtype) for a in _avals(op)[carries:]]
    for step in reversed(range(length)) if reverse else range(length):
        rows = [x[step] for x in xs]
        results = run_block(op.regions[0].blocks[0], [*fixed, *state, *rows])
        state = results[:carries]
        for stack, row in zip(stacks, results[carries:]):
            stack[step] = row
    return [*state, *stacks]


def _avals(op: ir.Operation) -> list:
    return [mlir.aval_of(result.type) for result in op.results]


_CONTROL_FLOW = {"while": _run_while, "cond": _run_cond, "scan": _run_scan}
