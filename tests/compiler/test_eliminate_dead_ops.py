"""Dead ops go, live ones stay."""

from __future__ import annotations

import numpy as np
import pytest

import jaxc.numpy as jnp
from jaxc import lax
from jaxc_tools.testing import check, check_values_kept, module_of

pytestmark = pytest.mark.compiler
X = np.array([1.0, 2.0, 3.0], np.float32)


def test_chain_of_dead_ops():
    from jaxc_compiler.passes.eliminate_dead_ops import eliminate_dead_ops

    def function(x):
        jnp.sin(jnp.cos(x))
        return lax.neg(x)

    text = check_values_kept(eliminate_dead_ops, module_of(function, X), [X])
    check(text, "// CHECK-NOT: lax.cos\n// CHECK-NOT: lax.sin\n// CHECK: lax.neg")


def test_inside_of_a_body():
    from jaxc_compiler.passes.eliminate_dead_ops import eliminate_dead_ops

    def body(carry, x):
        jnp.tanh(x)
        return carry + x, ()

    module = module_of(lambda x: lax.scan(body, x[0], x)[0], X)
    text = check_values_kept(eliminate_dead_ops, module, [X])
    check(text, "// CHECK: lax.scan\n// CHECK-NOT: lax.tanh\n// CHECK: lax.yield")


def test_live_ops_stay():
    from jaxc_compiler.passes.eliminate_dead_ops import eliminate_dead_ops

    text = check_values_kept(eliminate_dead_ops, module_of(lambda x: lax.sin(x), X), [X])
    check(text, "// CHECK: lax.sin")
