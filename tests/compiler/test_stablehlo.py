"""The StableHLO lowering: it verifies, has the NumPy kernels' values in StableHLO's reference
interpreter and through IREE, and real JAX's StableHLO reads its text."""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest
from compiler import calls, xla_harness
from compiler import stablehlo_harness as harness

import jaxc
import jaxc.numpy as jnp
from jaxc import lax, lowering, stablehlo
from jaxc.expansions import EXPANSIONS
from jaxc.random import expand
from jaxc_compiler import driver, mlir
from jaxc_compiler.diagnostics import CompileError
from jaxc_compiler.lowering.stablehlo.base import LOWERINGS, MISSING
from jaxc_compiler.lowering.stablehlo.elementwise import NAMES
from jaxc_compiler.lowering.stablehlo.scalar_rules import ELEMENT, POINTWISE
from jaxc_compiler.opset import book
from jaxc_tools.testing import module_of

pytestmark = pytest.mark.compiler

OPS = [
    name
    for name, op in book.OPS.items()
    if op.samples and op.numpy and name not in calls.EXPANDED and not name.startswith("random_")
]
QUICK = {"float32", "int32", "uint32", "bool"}


@pytest.mark.parametrize("name", OPS)
def test_interpreted_value(name):
    for call in calls.calls(name):
        if call.dtypes <= QUICK and harness.interpretable(call):
            harness.assert_close(call, harness.interpret(call))


# -- through XLA -----------------------------------------------------------------------------------

SAMPLED = [name for name, op in book.OPS.items() if op.samples and op.numpy]


@functools.cache
def _program_of(name):
    made = calls.calls(name)
    with jaxc.enable_x64(True):
        return made, xla_harness.stablehlo_of(made)


@pytest.mark.parametrize("name", SAMPLED)
def test_values_by_xla(name):
    """Every sample of every op, with all of XLA's simplifications, on the way `jit` takes."""
    pytest.importorskip("fastatomstruct_xla_cpu")
    made, program = _program_of(name)
    results = xla_harness.run_with_xla(program, xla_harness.operands_of(made))
    for call, got in zip(made, xla_harness.by_call(made, results), strict=True):
        harness.assert_close(call, got)


@pytest.mark.parametrize("name", SAMPLED)
def test_read_back(name):
    """What was written for other tools is read again with equal values."""
    made, program = _program_of(name)
    with jaxc.enable_x64(True):
        results = stablehlo.read(program)(*map(jnp.asarray, xla_harness.operands_of(made)))
    results = [np.asarray(result) for result in results]
    for call, got in zip(made, xla_harness.by_call(made, results), strict=True):
        harness.assert_close(call, got)


# -- through IREE ----------------------------------------------------------------------------------


# IREE has no lowering of it.
NOT_IN_IREE = frozenset({"select_and_scatter_add"})


def _bad_scatter(call):
    """IREE's scatter writes foreign memory where StableHLO drops an update, and its compiler
    crashes on windows of several rows."""
    if not call.op.name.startswith("scatter"):
        return False
    numbers = call.params["dimension_numbers"]
    rows = numbers.inserted_window_dims == numbers.scatter_dims_to_operand_dims
    index, shape = call.arrays[1], call.arrays[0].shape
    return not rows or bool((index < 0).any() or (index >= min(shape)).any())


def _runs_with_iree(call):
    if call.op.name in NOT_IN_IREE or _bad_scatter(call):
        return False
    return call.dtypes <= {"float32", "int32", "bool"}


BATCHES = 6


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_values_by_iree(batch):
    """One module for many ops, compiled from StableHLO by IREE."""
    made = []
    for name in OPS[batch::BATCHES]:
        made += [c for c in calls.calls(name) if _runs_with_iree(c)][:2]
    for call, got in zip(made, harness.run_with_iree(made), strict=True):
        harness.assert_close(call, got)


# -- whole programs --------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)

PROGRAMS = {
    "softmax of a product": lambda x: jaxc.nn.softmax(jnp.sin(x) @ x.T),
    "while": lambda x: lax.while_loop(lambda c: c.sum() < 100, lambda c: c * 2 + 1, jnp.abs(x)),
    "scan": lambda x: lax.scan(lambda c, a: (c + a, (c * a).sum()), x[0], x),
    "reverse scan": lambda x: lax.scan(lambda c, a: (c + a, c * a), x[0], x, reverse=True),
    "cond": lambda x: lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x),
    "switch out of range": lambda x: lax.switch(
        jnp.int32(x.sum() > -1e9) * 7, [jnp.sin, jnp.cos, jnp.tanh], x
    ),
    "nested loops": lambda x: lax.fori_loop(
        0, 3, lambda i, c: lax.fori_loop(0, i, lambda j, d: d * x + j, c), x
    ),
    "sort of nan": lambda x: jnp.sort(jnp.where(x > 0, jnp.nan, x), axis=1),
    "top_k": lambda x: lax.top_k(x, 3),
    "argmax of nan": lambda x: jnp.argmax(jnp.where(x > 0, jnp.nan, x), 1),
    "float to integer": lambda x: (x * 1e20).astype(jnp.int32),
    "division by zero": lambda x: (x * 9).astype(jnp.int32) // jnp.arange(4),
    "gather": lambda x: x[jnp.array([0, 9, 1, -1])],
    "scatter": lambda x: x.at[jnp.array([0, 9, 0])].add(1.0),
    "dynamic slice": lambda x: lax.dynamic_slice(x, (jnp.int32(x.sum() > -1e9) * 9, 1), (2, 2)),
    "random bits": lambda x: jaxc.random.bits(jaxc.random.key(3), (5,)),
    "normal": lambda x: jaxc.random.normal(jaxc.random.key(0), (3, 4)) + x,
    "split": lambda x: jaxc.random.uniform(jaxc.random.split(jaxc.random.key(1))[1], (5,)),
    "gradient": jaxc.grad(lambda x: (jnp.tanh(x @ x.T) ** 2).sum()),
    "cholesky": lambda x: jnp.linalg.cholesky(x @ x.T + 5 * jnp.eye(3)),
    "user's reduction": lambda x: lax.reduce(x, 0.0, lambda a, b: a * b + a + b, (1,)),
    "conv": lambda x: lax.conv_general_dilated(
        x[None, None], jnp.ones((2, 1, 2, 2)), (1, 2), "SAME"
    ),
    "max pool": lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (1, 2), "SAME"),
    "max pool gradient": jaxc.grad(
        lambda x: (lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (1, 1), "SAME") ** 2).sum()
    ),
    "complex magnitude": lambda x: jnp.abs(jnp.exp(1j * x) * x),
    "cumulative": lambda x: (jnp.cumsum(x, 1), lax.cummax(x, 0, reverse=True)),
    "empty": lambda x: (x[:0] + 1, x[:0].sum(0)),
}


@functools.cache
def _text(name):
    return jaxc.jit(PROGRAMS[name]).lower(X).as_text("stablehlo")


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    results = PROGRAMS[name](jnp.asarray(X))
    expected = [np.asarray(leaf) for leaf in jaxc.tree_util.tree_leaves(results)]
    for got, wanted in zip(harness.interpret_text(_text(name), X), expected, strict=True):
        np.testing.assert_allclose(got.reshape(wanted.shape), wanted, 2e-5, 2e-5)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_read_back(name):
    results = PROGRAMS[name](jnp.asarray(X))
    expected = [np.asarray(leaf) for leaf in jaxc.tree_util.tree_leaves(results)]
    for got, wanted in zip(stablehlo.read(_text(name))(X), expected, strict=True):
        np.testing.assert_allclose(np.asarray(got), wanted, 2e-5, 2e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("name", PROGRAMS)
def test_jax_parses_the_text(name):
    jax_mlir = pytest.importorskip("jax.interpreters.mlir")
    with jax_mlir.make_ir_context():
        assert jax_mlir.ir.Module.parse(_text(name)).operation.verify()


# -- where it stands -------------------------------------------------------------------------------


def test_missing_rule_names_op_and_line(monkeypatch):
    def function(x):
        return lax.cumsum(x)

    module = module_of(function, X[0])
    monkeypatch.delitem(LOWERINGS, "cumsum")
    monkeypatch.setitem(MISSING, "cumsum", "this is a test")
    message = r"test_stablehlo\.py:\d+:.*lax\.cumsum has no StableHLO lowering: this is a test"
    with pytest.raises(CompileError, match=message):
        driver.dump_stages(module, until="stablehlo")


def _ways(name):
    """What becomes of an op on the way to StableHLO."""
    return {
        "lowered": name in LOWERINGS or name in NAMES or (name in POINTWISE and name in ELEMENT),
        "inlined by the frontend": name in lowering.CALLS or name in lowering.ERASED,
        "expanded by the frontend": name in EXPANSIONS or name in expand.RULES,
        "missing": name in MISSING,
    }


@pytest.mark.parametrize("name", book.OPS)
def test_every_op_has_a_way(name):
    ways = _ways(name)
    assert any(ways.values()), f"no StableHLO lowering of {name}, nor an entry in MISSING"
    assert not (ways["missing"] and ways["lowered"]), f"{name} has a lowering: not MISSING"


def test_donated_argument_is_given_to_a_result_of_its_type():
    function = lambda x, y: (x.sum(), x + y, x - y)  # noqa: E731
    closed = jaxc.make_jaxpr(function)(X, X)
    module = lowering.lower_jaxpr(closed, donated=[False, True])
    text = driver.dump_stages(module, until="stablehlo")["stablehlo"]
    assert "%arg0: tensor<3x4xf32>, %arg1: tensor<3x4xf32> {tf.aliasing_output = 1 : i32}" in text


def test_only_stablehlo_is_left():
    text = driver.dump_stages(module_of(PROGRAMS["scan"], X), until="stablehlo")["stablehlo"]
    assert "lax." not in text
    assert "stablehlo.while" in text


def test_every_rule_is_for_an_op_of_the_book():
    assert not set(LOWERINGS) - set(book.OPS)


def test_other_stages_do_not_load_it():
    with mlir.LOCK:
        texts = driver.dump_stages(module_of(jnp.sin, X), until="linalg")
    assert "stablehlo" not in texts


def test_dump_command(tmp_path):
    file = tmp_path / "program.py"
    file.write_text("import jaxc.numpy as jnp\ndef f(x): return jnp.sin(x) + jnp.arange(3.0)\n")
    command = [sys.executable, "-m", "jaxc_tools", "dump", f"{file}:f", "--args", "f32[3]"]
    found = subprocess.run([*command, "--stage", "stablehlo"], capture_output=True, text=True)
    text = found.stdout
    assert "stablehlo.sine" in text
    assert "(%arg0: tensor<3xf32>) -> tensor<3xf32>" in text
