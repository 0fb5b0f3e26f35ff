"""The op book's entry type and registry.

An `Op` states once what every layer needs: the parameters, the result type, the NumPy kernel and
the samples tests are generated from. The frontend makes a primitive of it, the dialect an MLIR op,
the verifier calls `infer`, and constant folding and eager mode call `numpy`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

KINDS = (
    "elementwise",  # same-shape operands, one scalar function per element
    "shape",  # moves elements: result[i] = operand[f(i)] or a constant
    "reduction",
    "contraction",
    "indexing",  # gather, scatter, dynamic slices
    "sorting",
    "cumulative",
    "linalg",  # decompositions of and solves with matrices
    "random",
    "control_flow",  # params hold jaxprs, MLIR ops hold regions
    "call",
)


# Parameters that say nothing if they are None.
OPTIONAL = frozenset({
    "accuracy", "dimensions", "out_dtype", "out_sharding", "precision", "preferred_element_type",
    "sharding",
})  # fmt: skip

# Parameters that hold functions: regions of the op in MLIR, or stated by its name (scatter_add) or
# its region already.
REGION_PARAMS = frozenset({"jaxpr", "call_jaxpr", "cond_jaxpr", "body_jaxpr", "branches"})
IMPLIED_PARAMS = frozenset({"update_jaxpr", "computation"})


@dataclass(frozen=True)
class Sample:
    """One call that the generated tests make: array operands (or their avals) and params."""

    operands: tuple[Any, ...]  # ShapedArray, filled from the op's domain, or a concrete ndarray
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Op:
    """One operation.

    Attributes:
      name: the primitive's and the dialect op's name.
      kind: one of KINDS.
      params: names of the static parameters, keyword-only in `infer` and `numpy`.
      infer: `(*avals, **params) -> ShapedArray`, or a list of them if `multiple_results`.
        Raises TypeError or ValueError, worded as JAX words it, for operands it rejects.
      numpy: `(*ndarrays, **params) -> ndarray`, or a list if `multiple_results`. Results have
        exactly the inferred dtype and shape and never alias an operand that could be written.
      samples: calls for the generated tests; `None` for ops with functions or MLIR text as
        parameters, and for users' ops.
      domain: the interval floating operands are drawn from.
      tolerance: accepted error of `jit` against `numpy`, in units in the last place of f32.
      multiple_results: whether it gives a list of results.
    """

    name: str
    kind: str
    params: tuple[str, ...]
    infer: Callable[..., Any]
    numpy: Callable[..., Any] | None
    samples: Callable[[], Iterable[Sample]] | None = None
    domain: tuple[float, float] = (-3.0, 3.0)
    tolerance: float = 4.0
    multiple_results: bool = False


OPS: dict[str, Op] = {}


def define(name: str, **fields: Any) -> Op:
    """Add an op to the book; a name is defined once."""
    if name in OPS:
        raise ValueError(f"op {name!r} is defined twice")
    op = Op(name=name, **{"params": (), "numpy": None, **fields})
    if op.kind not in KINDS:
        raise ValueError(f"op {name!r}: kind {op.kind!r} is not one of {KINDS}")
    OPS[name] = op
    return op
