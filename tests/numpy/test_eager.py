"""Facts of eager mode: immutability, exact kernels and time. No oracle, no compiler."""

from __future__ import annotations

import numpy as np
import pytest

import jaxc as jax
import jaxc.numpy as jnp


def test_updates_leave_the_operand_alone() -> None:
    x = jnp.zeros(3)
    y = x.at[0].set(1)
    assert x.tolist() == [0, 0, 0]
    assert y.tolist() == [1, 0, 0]


def test_rows_do_not_share_storage() -> None:
    x = jnp.arange(6.0).reshape(2, 3)
    assert not np.shares_memory(np.asarray(x), np.asarray(x[0]))


def test_item_assignment_is_refused() -> None:
    with pytest.raises(TypeError, match="immutable"):
        jnp.zeros(3)[0] = 1  # type: ignore[index]


def test_numpy_input_is_copied() -> None:
    source = np.ones(3, np.float32)
    x = jnp.asarray(source)
    source[0] = 5
    assert x.tolist() == [1, 1, 1]


def test_unknown_operands_get_their_turn() -> None:
    class Other:
        __array_priority__ = 1000

        def __radd__(self, x):
            return "other"

    assert jnp.zeros(3) + Other() == "other"


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bfloat16", "float16"])
def test_eager_shortcuts_equal_the_traced_operation(dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        x = jnp.asarray(np.linspace(-3, 3, 7)).astype(dtype)
        for fun in (lambda a: a + 2, lambda a: 2 - a, lambda a: a * a, lambda a: a > 1,
                    lambda a: jnp.where(a > 0, a, 0), lambda a: a[2], lambda a: a[::-2],
                    lambda a: a.at[1:3].add(2)):  # fmt: skip
            closed = jax.make_jaxpr(fun)(x)
            (want,) = jax.core.eval_jaxpr(closed.jaxpr, closed.consts, x)
            got = fun(x)
            assert got.dtype == want.dtype
            assert np.array_equal(np.asarray(got), np.asarray(want))


def test_places_named_twice_in_a_table_of_indices_add_up():
    x, index = np.zeros((3, 40, 5), np.float32), np.array([[0, 2, 0], [1, 2, 2]])
    got = jnp.asarray(x).at[index].add(np.ones((2, 3, 40, 5), np.float32))
    np.testing.assert_array_equal(np.asarray(got)[:, 0, 0], [2, 1, 3])
