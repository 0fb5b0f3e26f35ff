"""Patterns and the guard around passes of the user's: what goes wrong is named, nothing crashes."""

from __future__ import annotations

import re

import ml_dtypes
import numpy as np
import pytest

import jaxc.numpy as jnp
from jaxc import lax
from jaxc_compiler import mlir
from jaxc_compiler.diagnostics import CompileError
from jaxc_compiler.rewriting import (
    apply_patterns,
    at,
    build,
    constant,
    erase,
    error,
    ir,
    name_of,
    ops,
    params_of,
    pattern,
    producer,
    replace,
)
from jaxc_tools.testing import check, check_values_kept, module_of, run_pass

pytestmark = pytest.mark.compiler
X = np.array([1.5, -2.0, 0.25], np.float32)


@pattern("lax.neg")
def fold_neg_of_neg(op):
    inner = producer(op.operands[0], "lax.neg")
    return None if inner is None else inner.operands[0]


@pattern("lax.mul")
def double_as_sum(op):
    x, factor = op.operands
    made = producer(factor, "lax.constant")
    if made is None or np.any(np.asarray(params_of(made)["value"]) != 2):
        return None
    return build("lax.add", x, x)


def test_a_pattern_is_a_pass():
    module = module_of(lambda x: lax.neg(lax.neg(lax.neg(lax.neg(x)))), X)
    check(check_values_kept(fold_neg_of_neg, module, [X]), "// CHECK: func\n// CHECK-NEXT: return")


def test_patterns_reach_the_bodies_of_loops():
    module = module_of(lambda x: lax.fori_loop(0, 2, lambda i, c: lax.neg(lax.neg(c)) + 1.0, x), X)
    text = check_values_kept(fold_neg_of_neg, module, [X])
    check(text, "// CHECK: lax.scan\n// CHECK-NOT: lax.neg")


def test_what_died_by_a_rewrite_is_erased():
    module = module_of(lambda x: x * 2.0 + 1.0, X)
    check(check_values_kept(double_as_sum, module, [X]), """
        // CHECK-NOT: lax.mul
        // CHECK-NOT: dense<2.0
        // CHECK:     lax.add
    """)  # fmt: skip


@pattern("lax.mul")
def zero_of_a_product_with_sine(op):
    made = producer(op.operands[0], "lax.sin")
    return None if made is None else constant(0.0, op.operands[0])


def _square_of_sine(x):
    sine = jnp.sin(x)
    return sine * sine


def _sine_times_its_operand(x):
    inner = jnp.exp(x)
    return jnp.sin(inner) * inner


@pytest.mark.parametrize("function", [_square_of_sine, _sine_times_its_operand])
@pytest.mark.parametrize("guarded", [True, False])
def test_what_died_twice_is_erased_once(function, guarded):
    module = module_of(function, X)
    if guarded:
        text = run_pass(zero_of_a_product_with_sine, module)
    else:
        with mlir.LOCK, mlir.CONTEXT:
            zero_of_a_product_with_sine(module)
            text = str(module)
    check(text, """
        // CHECK:      func
        // CHECK-NEXT: lax.constant
        // CHECK-NEXT: return
    """)  # fmt: skip


def test_patterns_work_together():
    def both(module, target):
        apply_patterns(module, fold_neg_of_neg, double_as_sum)

    module = module_of(lambda x: lax.neg(lax.neg(x * 2.0)), X)
    check(check_values_kept(both, module, [X]), "// CHECK-NOT: lax.neg\n// CHECK: lax.add")


def test_a_pass_of_hand_made_ops():
    def halve(module, target):
        for op in ops(module, "lax.sin"):
            with at(op):
                half = build("lax.mul", op.operands[0], constant(0.5, op.operands[0]))
                replace(op, half)

    check(run_pass(halve, module_of(jnp.sin, X)), """
        // CHECK:      "lax.constant"() {value = dense<5.000000e-01> : tensor<3xf32>}
        // CHECK-NEXT: "lax.mul"(%arg0
        // CHECK-NOT:  lax.sin
    """)  # fmt: skip


def _constant_like(value, dtype):
    def make(module, target):
        for op in ops(module, "lax.add"):
            with at(op):
                made.append(str(constant(value, op.operands[0]).owner))

    made = []
    run_pass(make, module_of(lambda x: x + x, np.ones(2, dtype)))
    return made[0]


def test_constants_of_a_dtype():
    assert "dense<7> : tensor<2xi4>" in _constant_like(7, ml_dtypes.int4)
    assert "dense<3.000000e+00> : tensor<2xf32>" in _constant_like(3 + 0j, np.float32)
    assert "[0.000000e+00, 1.000000e+00]" in _constant_like(1j, np.complex64)
    assert "1.000980e-01" in _constant_like(0.1, ml_dtypes.bfloat16)  # rounded


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(2.5, np.int8), (300, np.int8), (-1, np.uint8), (300, ml_dtypes.int4), (-1, ml_dtypes.uint4),
     (2**64, np.int32), (np.nan, np.int32), (1 + 2j, np.float32), ("4", np.float32)],
)  # fmt: skip
def test_no_constant_of_a_dtype(value, dtype):
    message = re.escape(f"ValueError: {value!r} is no value of {np.dtype(dtype).name}")
    with pytest.raises(CompileError, match=message):
        _constant_like(value, dtype)


def test_ops_walks_into_regions():
    module = module_of(lambda x: lax.fori_loop(0, 2, lambda i, c: jnp.sin(c), x), X)
    names = []
    run_pass(lambda module, target: names.extend(map(name_of, ops(module))), module)
    assert names.index("lax.scan") < names.index("lax.sin")
    assert "func.return" in names


# -- what is wrong with a pass ---------------------------------------------------------------------


@pattern("lax.sin")
def rewrites_what_it_made(op):
    return build("lax.sin", op.operands[0])


@pattern("lax.sin")
def of_another_type(op):
    return constant(1)


@pattern("lax.sin")
def no_value(op):
    return 3


@pattern("lax.sin")
def itself(op):
    return op.results[0]


def raises(module, target):
    raise KeyError("no such thing")


def refuses(module, target):
    for op in ops(module, "lax.sin"):
        raise error(op, "no sines here")


def erases_what_is_used(module, target):
    for op in ops(module, "lax.sin"):
        op.erase()


def erases_by_name(module, target):
    for op in ops(module, "lax.sin"):
        erase(op)


def changes_a_type(module, target):
    for op in ops(module, "lax.sin"):
        op.results[0].set_type(ir.Type.parse("tensor<7xf32>"))


def removes_the_end(module, target):
    for op in ops(module, "func.return"):
        op.erase()


def removes_main(module, target):
    for op in ops(module, "func.func"):
        op.erase()


def misspells(module, target):
    for op in ops(module, "lax.sin"):
        with at(op):
            build("lax.sine", op.operands[0])


@pattern("lax.sine")
def never_matches(op):
    return None


@pattern("lax.sin")
def looks_for_nothing(op):
    return producer(op.operands[0], "lax.tranpose")


def erases_the_module(module, target):
    module.operation.erase()


def erases_an_argument(module, target):
    for op in ops(module, "func.func"):
        op.regions[0].blocks[0].erase_argument(0)


def detaches(module, target):
    for op in ops(module, "lax.sin"):
        op.detach_from_parent()


def erases_all_it_can(module, target):
    found = list(ops(module))
    for op in [*found, *reversed(found)]:
        try:
            op.erase()
        except ValueError:
            continue
    assert all(op.name for op in found), "what is erased can still be looked at"


@pattern("lax.sin")
def forgets_a_parameter(op):
    return build("lax.reduce_sum", op.operands[0])


@pattern("lax.sin")
def doubles_the_module(op):
    return build("lax.sin", build("lax.sin", op.operands[0]))


@pattern("lax.sin")
def forgets_an_operand(op):
    return build("lax.add", op.operands[0])


@pattern("lax.sin")
def invents_a_parameter(op):
    return build("lax.sin", op.operands[0], axis=0)


@pattern("lax.sin")
def adds_a_number(op):
    return build("lax.add", op.operands[0], 1.0)


@pattern("lax.sin")
def takes_an_op_for_a_value(op):
    return build("lax.sin", op)


def builds_nowhere(module, target):
    for op in ops(module, "lax.sin"):
        replace(op, build("lax.cos", op.operands[0]))


def takes_a_value_of_another_module(module, target):
    other = ir.Module.parse("func.func @a(%x: tensor<3xf32>) { return }")
    (value,) = other.body.operations[0].regions[0].blocks[0].arguments
    for op in ops(module, "lax.sin"):
        replace(op, value)


def declares(module, target):
    with ir.InsertionPoint(module.body), ir.Location.unknown():
        ir.Module.parse("func.func private @extern()").body.operations[0].clone()


def leaves(module, target):
    raise SystemExit(3)


HERE = r"test_rewriting\.py:\d+:\d+: error: pass "


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (rewrites_what_it_made, "rewrites_what_it_made does not come to an end"),
        (of_another_type, r"lax.sin has results \(tensor<3xf32>\), its replacement \(tensor<i64>"),
        (no_value, "no_value: TypeError: lax.sin must be replaced by values, got 3"),
        (itself, "lax.sin is replaced by its own result"),
        (doubles_the_module, "doubles_the_module does not come to an end"),
        (forgets_an_operand, HERE + ".*lax.add takes 2 operands, got 1"),
        (invents_a_parameter, HERE + ".*lax.sin has no parameter 'axis'; it has accuracy"),
        (adds_a_number, HERE + r".*operand 1 of lax.add must be a value.* constant\(1.0, like=x\)"),
        (takes_an_op_for_a_value, HERE + r".*got the op lax.sin: op.results\[0\]"),
        (builds_nowhere, HERE + r".*no place to put lax.cos: build it inside of `with at\(op\):`"),
        (takes_a_value_of_another_module, "replaced by a value that is not in the module"),
        (declares, 'pass declares left a function without a body: "extern"'),
        (leaves, HERE + "leaves: SystemExit: 3"),
        (raises, HERE + "raises: KeyError: 'no such thing'"),
        (refuses, HERE + "refuses: no sines here"),
        (erases_what_is_used, HERE + ".* lax.sin is erased, but its results are used"),
        (erases_by_name, HERE + ".* lax.sin is erased, but its results are used"),
        (changes_a_type, r"left invalid IR: lax.sin: results must be"),
        (removes_the_end, "left invalid IR"),
        (removes_main, 'removes_main: "main" was .*, now it is gone'),
        (misspells, "ValueError: no op 'lax.sine'; did you mean 'lax.sin'"),
        (never_matches, "ValueError: no op 'lax.sine'"),
        (looks_for_nothing, "ValueError: no op 'lax.tranpose'; did you mean 'lax.transpose'"),
        (erases_the_module, HERE + ".* builtin.module cannot be erased"),
        (erases_an_argument, HERE + ".* argument 0 of a block is erased, but it is used"),
        (detaches, HERE + ".* lax.sin is detached, but its results are used"),
        (erases_all_it_can, '"main" was .*, now it is gone'),
        (forgets_a_parameter, "TypeError: build: lax.reduce_sum needs the parameter 'axes'"),
    ],
)
def test_a_wrong_pass_is_named(wrong, message):
    module = module_of(lambda x: jnp.sin(x) + x, X)
    with pytest.raises(CompileError, match=message):
        run_pass(wrong, module)
    run_pass(
        fold_neg_of_neg, module_of(lambda x: lax.neg(lax.neg(x)), X)
    )  # the context is as it was


def test_a_pattern_needs_names_of_ops():
    with pytest.raises(TypeError, match="expected names of ops"):
        pattern(lambda op: None)  # type: ignore[arg-type]
