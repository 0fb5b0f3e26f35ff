"""Runs the jaxpr of a scalar function on whole arrays, element by element.

Some ops carry such a jaxpr as a parameter: what a scatter does with an old and a new element, how a
window is folded. A jaxpr is taken by its attributes (`eqns`, `invars`, ...), so that this module
need not import the frontend, which defines the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def evaluate_elementwise(jaxpr: Any, consts: Sequence[Any], *args: np.ndarray) -> list[np.ndarray]:
    """The results of a scalar jaxpr for every element of the arguments.

    Args:
      jaxpr: all of its operands and results are scalars.
      consts: values of its constvars.
      args: arrays of one shape.

    Raises:
      NotImplementedError: if it holds control flow, which acts on one element at a time.
    """
    shape = args[0].shape if args else ()
    env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts))
    env.update(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> np.ndarray:
        value = atom.val if hasattr(atom, "val") else env[atom]
        return np.asarray(value, atom.aval.dtype)

    for eqn in jaxpr.eqns:
        outs = _apply(eqn, [read(atom) for atom in eqn.invars])
        env.update(zip(eqn.outvars, outs))
    return [np.broadcast_to(read(atom), shape) for atom in jaxpr.outvars]


def _apply(eqn: Any, args: list[np.ndarray]) -> Sequence[np.ndarray]:
    op = eqn.primitive.op
    inner = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
    if op.kind == "elementwise" and op.numpy is not None:
        full = np.broadcast_arrays(*args)
        outs = op.numpy(*map(np.ascontiguousarray, full), **eqn.params)
        outs = outs if op.multiple_results else [outs]
        return [out.reshape(full[0].shape) for out in outs]
    if op.kind == "shape" and len(args) == 1:
        return args  # scalar to scalar: nothing moves
    if op.kind == "call" and inner is not None:
        closed = getattr(inner, "jaxpr", inner)
        full = np.broadcast_arrays(*args)
        return evaluate_elementwise(closed, getattr(inner, "consts", ()), *full)
    raise NotImplementedError(
        f"'{op.name}' is not supported in a function that is applied to each element."
    )
