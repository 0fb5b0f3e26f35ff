"""The `lax` dialect is registered, verified by the op book, and pure."""

from __future__ import annotations

import numpy as np
import pytest

from jaxc_compiler.opset.book import OPS
from jaxc_tools.testing import check

pytestmark = pytest.mark.compiler


def parse(text: str):
    from jaxc_compiler.dialects import definition, lax

    lax.load()
    return definition.parse(text)


def function(body: str, result: str = "tensor<3xf32>") -> str:
    return f"""func.func @main(%x: tensor<3xf32>, %m: tensor<2x3xf32>) -> {result} {{
      {body}
      return %r : {result}
    }}"""


def test_every_op_of_the_book_is_defined():
    from jaxc_compiler.dialects import definition, lax

    lax.load()
    for name in OPS:
        assert lax.mlir_name(name) in definition._op_defs


def test_arity_of_fixed_ops_matches_their_samples():
    from jaxc_compiler.dialects import lax

    for name, op in OPS.items():
        op_def = lax._op_def(name)
        if op.samples is None or op_def.operands is None or op_def.rest:
            continue
        for sample in op.samples():
            assert len(sample.operands) == op_def.operands, name


def test_valid_op_verifies():
    op = '%r = "lax.sin"(%x) : (tensor<3xf32>) -> tensor<3xf32>'
    check(str(parse(function(op))), '// CHECK: "lax.sin"(%arg0)')


def test_wrong_result_type_names_the_users_line():
    op = '%r = "lax.sin"(%x) : (tensor<3xf32>) -> tensor<4xf32> loc("sin"("user.py":12:3))'
    with pytest.raises(Exception, match=r"(?s)user\.py.*12.*lax\.sin: results must be"):
        parse(function(op, "tensor<4xf32>"))


def test_missing_parameter_is_named():
    op = '%r = "lax.reduce_sum"(%m) : (tensor<2x3xf32>) -> tensor<3xf32>'
    with pytest.raises(Exception, match="parameter 'axes' is missing"):
        parse(function(op))


def test_a_parameter_that_is_not_set_is_not_printed_and_need_not_be_written():
    from jaxc_compiler import mlir
    from jaxc_compiler.dialects import lax

    op = '%r = "lax.sin"(%x) : (tensor<3xf32>) -> tensor<3xf32>'
    module = parse(function(op))
    with mlir.LOCK, mlir.CONTEXT:
        sin = module.body.operations[0].regions[0].blocks[0].operations[0].operation
        assert lax.params_of(sin) == {"accuracy": None}
        assert not lax.attributes_of({"accuracy": None, "sharding": None})
        assert set(lax.attributes_of({"accuracy": None, "axes": (0,)})) == {"axes"}


def test_rejected_operands_give_the_op_books_message():
    op = (
        '%r = "lax.concatenate_2to1"(%x, %m) {dimension = 0 : i64}'
        " : (tensor<3xf32>, tensor<2x3xf32>) -> tensor<3xf32>"
    )
    with pytest.raises(Exception, match="concatenate"):
        parse(function(op))


def test_ops_of_any_arity_are_registered_when_used():
    op = (
        '%r = "lax.concatenate_4to1"(%x, %x, %x, %x) {dimension = 0 : i64}'
        " : (tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<12xf32>"
    )
    assert parse(function(op, "tensor<12xf32>")).operation.verify()


def test_equal_ops_are_merged_because_they_are_pure():
    from jaxc_compiler.pipelines import merge_equal_ops

    body = """
      %0 = "lax.sin"(%x) : (tensor<3xf32>) -> tensor<3xf32>
      %1 = "lax.sin"(%x) : (tensor<3xf32>) -> tensor<3xf32>
      %r = "lax.sub"(%0, %1) : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>"""
    module = parse(function(body))
    merge_equal_ops(module, None)
    checks = """
      // CHECK-COUNT-1: lax.sin
      // CHECK-NOT: lax.sin
      // CHECK: "lax.sub"(%0, %0)"""
    check(str(module), checks)


def test_while_body_must_return_the_carry():
    body = """
      %r = "lax.while_1to1"(%x) ({
      ^bb0(%a: tensor<3xf32>):
        %0 = "lax.constant"() {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>
        "lax.yield_1to0"(%0) : (tensor<f32>) -> ()
      }, {
      ^bb0(%a: tensor<3xf32>):
        %1 = "lax.constant"() {value = dense<true> : tensor<i1>} : () -> tensor<i1>
        "lax.yield_1to0"(%1) : (tensor<i1>) -> ()
      }) {body_nconsts = 0 : i64, cond_nconsts = 0 : i64} : (tensor<3xf32>) -> tensor<3xf32>"""
    with pytest.raises(Exception, match="the region yields"):
        parse(function(body))


def test_constants_hold_their_value():
    from jaxc_compiler import mlir
    from jaxc_compiler.dialects import lax

    lax.load()
    with mlir.LOCK, mlir.CONTEXT, mlir.ir.Location.unknown():
        module = mlir.ir.Module.create()
        with mlir.ir.InsertionPoint(module.body):
            value = lax.constant(np.array([1 + 2j], np.complex64))
        attribute = value.owner.attributes["value"]
        np.testing.assert_array_equal(mlir.constant_array(attribute), [1 + 2j])
