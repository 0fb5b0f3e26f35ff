"""Fingerprints: what functions of the user's read changes them, what cannot be told gives none."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

import jaxc.numpy as jnp
from jaxc.extend import define_op
from jaxc_compiler.fingerprint import fingerprint
from jaxc_compiler.plugins import PipelineSpec, pipeline_spec
from jaxc_compiler.rewriting import pattern

pytestmark = pytest.mark.compiler


def function(source, **known):
    """The last function of a text, in a module of no file, beside some globals."""
    names = {"__name__": "nowhere", **known}
    exec(source, names)
    return list(names.values())[-1]


READ = "def f(module, target):\n    return (lambda: X)()\n"


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (2.0, 5.0), (0.0, -0.0), (1, True), ("a", b"a"), ([1, 2], (1, 2)), ({1: 2}, {1: 3}),
        (frozenset("ab"), frozenset("ac")), (np.float32(2), np.float64(2)), (np.sin, np.cos),
        (np.zeros(3), np.zeros(4)), (np.arange(3), np.array([0, 1, 3])), (jnp.sin, jnp.float32),
        (np.dtype("f4"), np.dtype("f8")), (np, jnp), (len, max),
        (function("def g(): return 1"), function("def g(): return 2")),
        (function("def g(): return Y", Y=1), function("def g(): return Y", Y=2)),
        (function("def g(y=1): return y"), function("def g(y=2): return y")),
        (function("def g(*, y=1): return y"), function("def g(*, y=2): return y")),
        (function("g = lambda: 1"), function("g = lambda: 2")),
    ],
)  # fmt: skip
def test_it_follows_what_nested_code_reads(value, other):
    prints = [fingerprint(function(READ, X=x)) for x in (value, value, other)]
    assert prints[0] is not None
    assert prints[0] == prints[1] != prints[2]


def test_it_follows_values_of_arrays():
    one, same, other = (fingerprint(function(READ, X=jnp.array([1.0, x]))) for x in (2, 2, 3))
    assert one == same != other


def test_what_is_not_read_and_where_it_stands_is_no_matter():
    assert fingerprint(function(READ, X=1)) == fingerprint(function(f"\n\n{READ}", X=1, Y=object()))


@pytest.mark.parametrize(
    "value", [object(), np.array([object()]), type("Mine", (), {}), [object()], {1: object()}]
)
def test_what_nothing_tells(value):
    assert fingerprint(function(READ, X=value)) is None
    assert fingerprint(function(READ, X=function(READ, X=value))) is None


def test_functions_that_call_each_other():
    names = {"__name__": "nowhere", "X": 1}
    exec("def f(x): return g(x) + X\ndef g(x): return f(x)", names)
    before = fingerprint(names["f"])
    names["X"] = 2
    assert before is not None
    assert before != fingerprint(names["f"])


def test_files_of_the_users(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def load(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    def using(factor, text):
        load("factors", f"FACTOR = {factor}\n")
        return fingerprint(load("using", text).f)

    value = "from factors import FACTOR\ndef f(module, target): return FACTOR\n"
    assert using(2, value) == using(2, value) != using(5, value)
    # A module may change later; so may what is imported when the function runs.
    assert using(2, "import factors\ndef f(module, target): return factors.FACTOR\n") is None
    assert using(2, "def f(module, target):\n    from factors import FACTOR\n") is None
    assert using(2, "def f(module, target):\n    from math import pi\n") is not None


def test_a_closure_has_none():
    width = 3

    def closure(module, target):
        return width

    assert fingerprint(closure) is None
    assert pipeline_spec(closure).fingerprint() is None


def test_a_pattern_is_its_ops_and_its_rewrite():
    def rewrite(op):
        return None

    one, same, other = (pattern(name)(rewrite) for name in ("lax.sin", "lax.sin", "lax.cos"))
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)


def test_a_pipeline_is_its_text_and_its_passes():
    one, other = function(READ, X=1), function(READ, X=2)
    specs = [
        PipelineSpec("lax"), PipelineSpec("cpu"), PipelineSpec(named=(one,)),
        PipelineSpec(named=(other,)), PipelineSpec().before("fuse", one),
        PipelineSpec().after("fuse", one), PipelineSpec().before("fuse", other),
    ]  # fmt: skip
    prints = [spec.fingerprint() for spec in specs]
    assert None not in prints
    assert len(set(prints)) == len(prints)


def test_an_operation_is_its_function_and_its_rules():
    @define_op("fingerprinted")
    def op(x):
        return x

    try:
        caller = function("def f(x): return op(x)", op=op)
        prints = [fingerprint(caller)]
        op.def_element(function("rule = lambda s, x: s.mul(x, 2.0)"))
        prints.append(fingerprint(caller))
        op.def_element(function("rule = lambda s, x: s.mul(x, 3.0)"))
        prints.append(fingerprint(caller))
    finally:
        op.remove()
    assert None not in prints
    assert len(set(prints)) == 3
