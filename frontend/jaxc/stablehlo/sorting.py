"""`stablehlo.sort`: what its comparator means is found by asking it.

Frontends spell "less than" in many ways (total order, NaN last, equal zeros), so a comparator is
not matched by its form: it is evaluated on pairs of values, and taken for the order that gives
the same answers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core.trace import eval_context
from jaxc.stablehlo.op import Op
from jaxc.stablehlo.reader import Reader, imports
from jaxc_compiler import mlir
from jaxc_compiler.opset.inference import dtype_class

Before = Callable[[Sequence[Any], Sequence[Any]], bool]


@imports("sort")
def import_sort(r: Reader, op: Op, operands: list[Any]) -> Any:
    dimension = op.int("dimension", -1) % np.ndim(operands[0])
    stable = op.flag("is_stable")
    order, descending = _order(r, op)
    arrays = [operands[k] for k in order]
    arrays += [x for k, x in enumerate(operands) if k not in order]
    places = [*order, *[k for k in range(len(operands)) if k not in order]]
    if descending:  # of equals the first stays first: they are reversed twice
        arrays = [lax.rev(x, (dimension,)) for x in arrays]
    results = lax.sort(arrays, dimension, stable or descending, len(order))
    if descending:
        results = [lax.rev(x, (dimension,)) for x in results]
    return [results[places.index(k)] for k in range(len(operands))]


def _order(r: Reader, op: Op) -> tuple[tuple[int, ...], bool]:
    """Which operands are the keys, most important first, and whether the greatest comes first.

    Raises:
      NotImplementedError: the comparator is none of these orders.
    """
    block = op.raw.regions[0].blocks[0]
    dtypes = [mlir.aval_of(a.type).dtype for a in block.arguments][::2]
    count = len(dtypes)
    hypotheses = [tuple(range(n)) for n in range(1, count + 1)]
    hypotheses += [(k,) for k in range(1, count)]
    probes = _probes(dtypes)
    answers = [_ask(r, op, x, y) for x, y in probes]
    for keys, descending in itertools.product(hypotheses, (False, True)):
        if all(
            answer == _before(keys, *((y, x) if descending else (x, y)))
            for answer, (x, y) in zip(answers, probes)
        ):
            return keys, descending
    raise NotImplementedError("the comparator is neither ascending nor descending in its operands")


def _probes(dtypes: Sequence[Any]) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Pairs of rows that tell the orders apart."""
    columns = [[np.asarray(v).astype(d) for v in _values(d)] for d in dtypes]
    rows = list(itertools.product(*[c[:3] for c in columns]))[:27]
    rows += [tuple(c[n % len(c)] for c in columns) for n in range(max(map(len, columns)))]
    return list(itertools.product(rows, rows))


def _values(dtype: Any) -> list[Any]:
    found = dtype_class(dtype)
    if found == "bool":
        return [False, True]
    if found == "unsigned integer":
        return [0, 1, 3]
    if found.endswith("integer"):
        return [-2, 0, 3]
    return [-2.0, 0.0, 3.0, -np.inf, np.inf]


def _ask(r: Reader, op: Op, x: Sequence[Any], y: Sequence[Any]) -> bool:
    pairs = [value for pair in zip(x, y) for value in pair]
    with eval_context():
        return bool(r.region(op, 0)(*pairs)[0])


def _before(keys: tuple[int, ...], x: Sequence[Any], y: Sequence[Any]) -> bool:
    return [x[k] for k in keys] < [y[k] for k in keys]
