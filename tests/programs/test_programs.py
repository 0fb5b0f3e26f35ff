"""Small programs run on real JAX and on jaxc must print the same (numbers to a tolerance)."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxc
import jaxc.numpy

real = pytest.importorskip("jax")
pytest.importorskip("jax.flatten_util")

HERE = Path(__file__).parent / "cases"
FILES = ("transformations", "arrays", "algorithms")
_NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:e[-+]?\d+)?")


@functools.cache
def programs(file: str, module: Any) -> dict[str, Callable[[], None]]:
    """The programs of a file, bound to one of the two packages."""
    found: dict[str, Callable[[], None]] = {}

    def prog(f: Callable[[], None]) -> Callable[[], None]:
        found[f.__name__] = f
        return f

    namespace = {"jax": module, "jnp": module.numpy, "lax": module.lax, "np": np,
                 "functools": functools, "prog": prog, "random": module.random}  # fmt: skip
    path = HERE / f"{file}.py"
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    return found


def output(f: Callable[[], None]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            f()
        except Exception as error:  # then both packages must raise it, at the same place
            print("raised", type(error).__name__)
    return normalized(printed.getvalue())


def normalized(text: str) -> str:
    """Without addresses and what JAX prints of Python floats it passes through."""
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    text = re.sub(r"TypedFloat\(([^,]*), dtype=float32\)", r"\1", text)
    return re.sub(r"np\.int64\((\d+)\)", r"\1", text)


def same(a: str, b: str) -> bool:
    """Equal texts, numbers compared to 1e-5."""
    if re.sub(r"\s+", "", _NUMBER.sub("#", a)) != re.sub(r"\s+", "", _NUMBER.sub("#", b)):
        return False
    pairs = zip(_NUMBER.findall(a), _NUMBER.findall(b))
    return all(x == y or abs(float(x) - float(y)) <= 1e-5 * max(1.0, abs(float(x)))
               for x, y in pairs)  # fmt: skip


@pytest.fixture(autouse=True)
def _same_random_stream():
    before = real.config.jax_threefry_partitionable
    real.config.update("jax_threefry_partitionable", False)
    yield
    real.config.update("jax_threefry_partitionable", before)


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for file in FILES for name in programs(file, jaxc)]
)
def test_program_prints_what_jax_prints(file: str, name: str) -> None:
    expected = output(programs(file, real)[name])
    got = output(programs(file, jaxc)[name])
    assert same(expected, got), f"--- jax\n{expected}\n+++ jaxc\n{got}"


def test_jaxprs_print_as_jax_prints_them() -> None:
    expected = output(programs("jaxprs", real)["j_all"]).split("\n{ lambda")
    got = output(programs("jaxprs", jaxc)["j_all"]).split("\n{ lambda")
    assert len(expected) == len(got)
    differing = [(a, b) for a, b in zip(expected, got) if a != b]
    assert not differing, "\n".join(f"--- jax\n{a}\n+++ jaxc\n{b}" for a, b in differing)
