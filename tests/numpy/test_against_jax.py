"""`calls.txt`: expressions whose results, errors and printed jaxprs must be JAX's.

`other_jaxprs.txt` lists those whose jaxpr is allowed to differ (same values, other equations).
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("jax")
from against_jax import difference, jaxprs

pytestmark = pytest.mark.oracle

_HERE = Path(__file__).parent
_CALLS = (_HERE / "calls.txt").read_text().splitlines()
_OTHER = set((_HERE / "other_jaxprs.txt").read_text().splitlines())


@pytest.mark.parametrize("source", _CALLS)
def test_value(source: str) -> None:
    found = difference(source)
    assert found is None, f"{source}: {found}"


@pytest.mark.parametrize("source", [c for c in _CALLS if c not in _OTHER])
def test_jaxpr(source: str) -> None:
    want, got = jaxprs(source)
    assert got == want


_BINARY = ("add", "divide", "floor_divide", "equal")
_OPERANDS = ("b", "u", "i", "bf", "s", "w", "True", "2", "2.5")


@pytest.mark.parametrize("function", _BINARY)
def test_promotion(function: str) -> None:
    """Every pair of dtypes, weak types and Python scalars."""
    wrong = []
    for left in _OPERANDS:
        for right in _OPERANDS:
            source = f"jnp.{function}({left}, {right})"
            found = difference(source)
            if found:
                wrong.append(f"{source}: {found}")
    assert not wrong, "\n".join(wrong)


_UNARY = ("abs", "exp", "floor", "round", "square", "logical_not", "real", "sum", "max", "mean",
          "any", "cumsum", "sort", "zeros_like")  # fmt: skip


@pytest.mark.parametrize("function", _UNARY)
def test_dtypes(function: str) -> None:
    """Every dtype, 0-d and empty arrays, Python scalars."""
    wrong = []
    operands = ("b", "u", "i", "h", "bf", "n", "c", "w", "e", "t", "2")
    for operand in operands:
        source = f"jnp.{function}({operand})"
        found = difference(source)
        if found:
            wrong.append(f"{source}: {found}")
    assert not wrong, "\n".join(wrong)
