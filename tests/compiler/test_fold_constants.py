"""Small constant expressions are computed; large ones and those on arguments are not."""

from __future__ import annotations

import numpy as np
import pytest

import jaxc.numpy as jnp
from jaxc import lax
from jaxc_tools.testing import check, check_values_kept, module_of

pytestmark = pytest.mark.compiler
X = np.array([1.0, 2.0, 3.0], np.float32)


def fold(function, *arguments):
    from jaxc_compiler.passes.fold_constants import fold_constants

    return check_values_kept(fold_constants, module_of(function, *arguments), arguments)


def test_scalar_expression():
    text = fold(lambda x: x * lax.mul(np.float32(2), lax.neg(np.float32(3))), X)
    text = fold(lambda x: lax.clamp(0, lax.convert_element_type(x, np.int32), 5), X)
    check(text, "// CHECK-NOT: lax.neg\n// CHECK: lax.clamp")


def test_conversion_of_a_literal():
    text = fold(lambda x: jnp.where(x > 2, 0, x), X)
    checks = """
      // CHECK: lax.constant
      // CHECK-NOT: {{convert_element_type.*i32}}
      // CHECK: lax.select_n"""
    check(text, checks)


def test_large_results_stay():
    text = fold(lambda x: lax.iota(np.float32, 1000) + lax.full((1000,), 2.0, np.float32), X)
    check(text, "// CHECK: lax.iota\n// CHECK: lax.add")


def test_arguments_stay():
    check(fold(lambda x: lax.neg(x), X), "// CHECK: lax.neg")
