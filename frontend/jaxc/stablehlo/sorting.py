"""`stablehlo.sort`: what its comparator means is found by asking it.

Frontends spell "less than" in many ways (total order, NaN last, equal zeros), so a comparator is
not matched by its form: one that only compares and selects is evaluated on pairs of values, and
taken for the order that gives the same answers.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from jaxc import lax
from jaxc.core.trace import Tracer, eval_context
from jaxc.stablehlo.op import Op
from jaxc.stablehlo.reader import Reader, imports
from jaxc.transforms.api import vmap
from jaxc_compiler import mlir
from jaxc_compiler.opset.inference import dtype_class

Row = tuple[Any, ...]


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
      NotImplementedError: the comparator is none of these orders, or computes what values do not
        tell.
    """
    block = op.raw.regions[0].blocks[0]
    dtypes = [mlir.aval_of(a.type).dtype for a in block.arguments][::2]
    count = len(dtypes)
    hypotheses = [tuple(range(n)) for n in range(1, count + 1)]
    hypotheses += [(k,) for k in range(1, count)]
    probes = _probes(dtypes, _thresholds(op))
    answers = _ask(r, op, probes)
    for keys, descending in itertools.product(hypotheses, (False, True)):
        if all(
            answer == _before(keys, *((y, x) if descending else (x, y)))
            for answer, (x, y) in zip(answers, probes)
        ):
            return keys, descending
    raise NotImplementedError("the comparator is neither ascending nor descending in its operands")


# A comparator of these is between its constants what it is at any two points there. That of floats
# may also map NaNs and zeros to one of each.
_STEPS = frozenset({"compare", "select", "constant", "real", "imag", "return"})
_LOGIC = frozenset({"and", "or", "xor", "not"})


def _thresholds(op: Op) -> list[np.ndarray]:
    """The constants that a comparator uses.

    Raises:
      NotImplementedError: it has an op that a few values do not tell from others.
    """
    found = []
    for each in op.raw.regions[0].blocks[0].operations:
        step = Op(each.operation, {})
        short = step.name.removeprefix("stablehlo.")
        logic = short in _LOGIC and step.dtype == np.bool_
        if short not in _STEPS and not logic:
            raise NotImplementedError(f"a comparator with {step.name}")
        if short == "constant":
            found.append(step.constant())
        for value in step.raw.operands:
            if isinstance(op.values.get(value), Tracer):
                raise NotImplementedError("a comparator that depends on what is computed")
            if value in op.values:
                found.append(np.asarray(op.values[value]))
    return found


def _probes(dtypes: Sequence[Any], thresholds: Sequence[np.ndarray]) -> list[tuple[Row, Row]]:
    """Pairs of rows that tell the orders apart."""
    columns = [[np.asarray(v).astype(d) for v in _values(d, thresholds)] for d in dtypes]
    rows = list(itertools.product(*[c[:3] for c in columns]))[:27]
    rows += [tuple(c[n % len(c)] for c in columns) for n in range(max(map(len, columns)))]
    return list(itertools.product(rows, rows))


def _values(dtype: Any, thresholds: Sequence[np.ndarray]) -> list[Any]:
    """Values of a dtype: first three that differ, then two between any thresholds."""
    found = dtype_class(dtype)
    if found == "bool":
        return [False, True]
    if found == "complex":
        parts = _values(np.zeros(0, dtype).real.dtype, thresholds)
        first = [complex(-2, 3), complex(0, -2), complex(0, 3)]
        return first + [complex(a, b) for a, b in itertools.product(parts, parts)]
    first = [0, 1, 3] if found == "unsigned integer" else [-2, 0, 3]
    if found.endswith("integer"):
        info, near = ml_dtypes.iinfo(dtype), range(-2, 3)
        known = {int(t) for t in thresholds if t.dtype == dtype}
        return first + [v for t in known for k in near if info.min <= (v := t + k) <= info.max]
    known = {float(t) for t in thresholds if t.dtype == dtype and np.isfinite(t)}
    points = sorted({*map(float, first), *known})
    between = [a + (b - a) * part / 3 for a, b in itertools.pairwise(points) for part in (1, 2)]
    outside = [points[0] - 2, points[0] - 1, points[-1] + 1, points[-1] + 2, -np.inf, np.inf]
    return [*first, *known, *between, *outside]


def _ask(r: Reader, op: Op, probes: Sequence[tuple[Row, Row]]) -> list[bool]:
    """What the comparator says of each pair of rows."""
    pairs = [[v for pair in zip(x, y) for v in pair] for x, y in probes]
    with eval_context():
        answers = vmap(lambda *row: r.region(op, 0)(*row)[0])(*map(np.stack, zip(*pairs)))
    return np.asarray(answers).tolist()


def _before(keys: tuple[int, ...], x: Row, y: Row) -> bool:
    return [x[k] for k in keys] < [y[k] for k in keys]
