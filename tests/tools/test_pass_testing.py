"""`jaxc_tools.testing`: what a test of a pass catches."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import jaxc.numpy as jnp
from jaxc_compiler.diagnostics import CompileError
from jaxc_compiler.rewriting import build, constant, error, ops, pattern, remark
from jaxc_tools.testing import (
    check,
    check_diagnostics,
    check_values_kept,
    load_pass,
    module_from_text,
    module_of,
)

pytestmark = pytest.mark.compiler

X = np.array([0.1, -0.0, np.nan, -np.inf], np.float32)


@pattern("lax.add")
def first_of_sum(op):
    return op.operands[0]


@pattern("lax.reduce_sum")
def times_three(op):
    x = op.operands[0].owner.operation.operands[0]
    return build("lax.mul", x, constant(3, like=x))


def test_a_lost_sign_of_zero_is_found():
    with pytest.raises(AssertionError, match="first_of_sum changes result 0 of main"):
        check_values_kept(first_of_sum, module_of(lambda x: x + 0.0, X), [X])
    check_values_kept(first_of_sum, module_of(lambda x: x + -0.0, X), [X])


def test_values_may_differ_by_as_much_as_the_test_says():
    module = module_of(lambda x: jnp.broadcast_to(x, (3, 4)).sum(0), X)
    check_values_kept(times_three, module, [X], rtol=1e-6)
    module = module_of(lambda x: jnp.broadcast_to(x, (4, 4)).sum(0), X)
    with pytest.raises(AssertionError, match="times_three changes result 0"):
        check_values_kept(times_three, module, [X], rtol=1e-6)


@pytest.mark.parametrize("value", [2.5, 300, np.nan])
def test_a_constant_that_does_not_fit_is_refused(value):
    @pattern("lax.neg")
    def wrong(op):
        return constant(value, like=op.operands[0])

    x = np.ones(3, np.int8)
    with pytest.raises(CompileError, match=r"test_pass_testing.py:.* no value of int8"):
        check_values_kept(wrong, module_of(lambda x: -x, x), [x])


def looks(module, target):
    for op in ops(module, "lax.neg", "lax.sin"):
        if op.name == "lax.sin":
            raise error(op, "no sines")
        remark(op, "negated")


def test_loading_a_pass_leaves_what_jax_means(tmp_path):
    (tmp_path / "nothing.py").write_text("def nothing(module, target): pass\n")
    before = list(sys.meta_path)
    load_pass("nothing.py", beside=str(tmp_path / "test_nothing.py"))
    assert sys.meta_path == before


TEXT = """
func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
  // expected-remark @+1 {{negated}}
  %0 = "lax.neg"(%x) : (tensor<3xf32>) -> tensor<3xf32>
  // expected-error @+1 {{no sines}}
  %1 = "lax.sin"(%0) : (tensor<3xf32>) -> tensor<3xf32>
  return %1 : tensor<3xf32>
}
// -----
func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
  return %x : tensor<3xf32>
}
"""


NEGATED = """func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = "lax.neg"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
"""


def test_diagnostics_are_those_that_the_text_expects():
    check_diagnostics(looks, TEXT)
    with pytest.raises(AssertionError, match="unexpected remark: pass looks: negated"):
        check_diagnostics(looks, TEXT.replace("expected-remark @+1 {{negated}}", ""))
    with pytest.raises(AssertionError, match='expected error "no cosines" at line 6'):
        check_diagnostics(looks, TEXT.replace("no sines", "no cosines"))


@pytest.mark.parametrize(
    "line",
    ["expeced-error {{x}}", "exptected-error @+1 {{x}}", "expected-error @+1 x", "{{no sines}}",
     "expected-error @+2 {{no sines}} expeced-error {{x}}", "expected-error @1 {{x}}"],
)  # fmt: skip
def test_a_misspelt_directive_fails(line):
    with pytest.raises(AssertionError, match=r"-:1: misspelt directive: // "):
        check_diagnostics(looks, f"// {line}\n{TEXT}")


def test_prose_and_other_checks_are_no_directives():
    check_diagnostics(looks, f"{TEXT}// we expect the result\n// CHECK: {{{{.*}}}}\n")


def test_a_module_from_text():
    module = module_from_text(NEGATED)
    check(check_values_kept(first_of_sum, module, [X]), "// CHECK: lax.neg")
    with pytest.raises(CompileError, match=r"-:2:8: error: unregistered operation 'lax.nog'"):
        module_from_text(NEGATED.replace("lax.neg", "lax.nog"))


def test_in_a_program_a_remark_is_logged(caplog):
    import jaxc

    x = np.ones(3, np.float32)
    jaxc.jit(lambda x: -x, pipeline=looks)(x)
    assert "test_pass_testing.py" in caplog.text
    assert "remark: pass looks: negated" in caplog.text
