"""Ops that only rearrange elements are merged or removed."""

from __future__ import annotations

import numpy as np
import pytest

from jaxc import lax
from jaxc_tools.testing import check, check_values_kept, module_of

pytestmark = pytest.mark.compiler
X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def fold(function):
    from jaxc_compiler.passes.eliminate_dead_ops import eliminate_dead_ops
    from jaxc_compiler.passes.fold_shape_ops import fold_shape_ops

    def run(module, target):
        fold_shape_ops(module, target)
        eliminate_dead_ops(module, target)

    return check_values_kept(run, module_of(function, X), [X])


def test_inverse_transposes_vanish():
    text = fold(lambda x: lax.transpose(lax.transpose(x, (1, 2, 0)), (2, 0, 1)))
    check(text, "// CHECK: func.func\n// CHECK-NOT: lax.transpose\n// CHECK: return %arg0")


def test_transposes_merge():
    text = fold(lambda x: lax.transpose(lax.transpose(x, (1, 0, 2)), (0, 2, 1)))
    check(text, '// CHECK: "lax.transpose"(%arg0) {permutation = [1, 2, 0]}\n// CHECK-NEXT: return')


def test_reshapes_merge():
    text = fold(lambda x: lax.reshape(lax.reshape(x, (6, 4)), (4, 6)))
    check(text, '// CHECK: "lax.reshape"(%arg0)\n// CHECK-NEXT: return')


def test_broadcasts_merge():
    def function(x):
        return lax.broadcast_in_dim(lax.broadcast_in_dim(x[0, 0], (3, 4), (1,)), (2, 3, 4), (1, 2))

    text = fold(function)
    check(text, "// CHECK: {{broadcast_dimensions = \\[2\\]}}\n// CHECK-NEXT: return")


def test_double_negation_vanishes():
    text = fold(lambda x: lax.neg(lax.neg(x)))
    check(text, "// CHECK: func.func\n// CHECK-NOT: lax.neg\n// CHECK: return %arg0")


def test_a_single_transpose_stays():
    check(fold(lambda x: lax.transpose(x, (1, 0, 2))), "// CHECK: lax.transpose")
