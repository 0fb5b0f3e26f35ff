"""`mlir_kernel`: text of MLIR called from Python, on the CPU and on Vulkan; mistakes are named."""

from __future__ import annotations

import numpy as np
import pytest

import jaxc
import jaxc.numpy as jnp
from jaxc.extend import mlir_kernel
from jaxc_compiler.diagnostics import CompileError

pytestmark = pytest.mark.compiler
X = np.array([0.5, 1.0, -2.0, 4.0], np.float32)
Y = np.array([1.0, -1.0, 3.0, 0.0], np.float32)

AXPY = """
#scalar = affine_map<(i) -> ()>
#each = affine_map<(i) -> (i)>
func.func @axpy(%a: tensor<f32>, %x: tensor<$Nxf32>, %y: tensor<$Nxf32>) -> tensor<$Nxf32> {
  %r = linalg.generic {indexing_maps = [#scalar, #each, #each], iterator_types = ["parallel"]}
      ins(%a, %x : tensor<f32>, tensor<$Nxf32>) outs(%y : tensor<$Nxf32>) {
    ^bb0(%u: f32, %v: f32, %w: f32):
      %p = arith.mulf %u, %v : f32
      %q = arith.addf %p, %w : f32
      linalg.yield %q : f32
  } -> tensor<$Nxf32>
  return %r : tensor<$Nxf32>
}"""
RUNNING_SUM = """
func.func @running_sum(%x: tensor<$Nx$T>) -> (tensor<$Nx$T>, tensor<$T>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = arith.constant $N : index
  %empty = tensor.empty() : tensor<$Nx$T>
  %zero = arith.constant 0.0 : $T
  %w:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %empty, %s = %zero)
      -> (tensor<$Nx$T>, $T) {
    %e = tensor.extract %x[%i] : tensor<$Nx$T>
    %t = arith.addf %e, %s : $T
    %b = tensor.insert %t into %a[%i] : tensor<$Nx$T>
    scf.yield %b, %t : tensor<$Nx$T>, $T
  }
  %total = tensor.from_elements %w#1 : tensor<$T>
  return %w#0, %total : tensor<$Nx$T>, tensor<$T>
}"""
TWICE = """
func.func @twice(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %pad = arith.constant 0.0 : f32
  %v = vector.transfer_read %x[%c0], %pad {in_bounds = [true]} : tensor<4xf32>, vector<4xf32>
  %s = arith.addf %v, %v : vector<4xf32>
  %e = tensor.empty() : tensor<4xf32>
  %w = vector.transfer_write %s, %e[%c0] {in_bounds = [true]} : vector<4xf32>, tensor<4xf32>
  return %w : tensor<4xf32>
}"""


def axpy_jvp(primals, tangents):
    (a, x, y), (da, dx, dy) = primals, tangents
    return axpy(a, x, y), da * x + a * dx + dy


axpy = mlir_kernel(AXPY, jvp=axpy_jvp)
running_sum = mlir_kernel(RUNNING_SUM)


def test_linalg_text():
    np.testing.assert_array_equal(axpy(2.0, X, Y), 2 * X + Y)

    @jaxc.jit
    def program(x, y):
        return (
            axpy(2.0, x * 2, y).sum(),
            jaxc.grad(lambda x: (axpy(2.0, x, y) ** 2).sum())(x),
            jaxc.vmap(axpy, in_axes=(None, 0, None))(2.0, jnp.stack([x, y]), y),
            jaxc.lax.fori_loop(0, 2, lambda i, c: axpy(2.0, c, y), x),
        )

    total, gradient, rows, twice = program(X, Y)
    np.testing.assert_allclose(total, (4 * X + Y).sum())
    np.testing.assert_allclose(gradient, 4 * (2 * X + Y))
    np.testing.assert_allclose(rows, [2 * X + Y, 3 * Y])
    np.testing.assert_allclose(twice, 2 * (2 * X + Y) + Y)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_loop_of_any_size_and_type(dtype):
    sums, total = running_sum(X.astype(dtype))
    assert sums.dtype == total.dtype == dtype
    np.testing.assert_array_equal(sums, np.cumsum(X))
    np.testing.assert_array_equal(total, X.sum())


def test_rows_one_by_one():
    sums, totals = jaxc.vmap(running_sum)(np.stack([X, Y]))
    np.testing.assert_array_equal(sums, np.cumsum([X, Y], axis=1))
    np.testing.assert_array_equal(totals, [X.sum(), Y.sum()])


def test_vectors():
    np.testing.assert_array_equal(mlir_kernel(TWICE)(X), 2 * X)


def test_unsigned_integers():
    half = mlir_kernel("""
func.func @half(%x: tensor<2xui32>) -> tensor<2xui32> {
  %two = arith.constant dense<2> : tensor<2xui32>
  %y = arith.divui %x, %two : tensor<2xui32>
  return %y : tensor<2xui32>
}""")
    got = half(np.array([7, 4_000_000_000], np.uint32))
    assert got.dtype == np.uint32
    np.testing.assert_array_equal(got, [3, 2_000_000_000])


def test_on_vulkan(vulkan):
    x, y = jaxc.device_put(X, vulkan), jaxc.device_put(Y, vulkan)
    result = jaxc.jit(lambda x, y: running_sum(axpy(2.0, x, y))[0])(x, y)
    assert result.devices() == {vulkan}
    np.testing.assert_allclose(np.asarray(result), np.cumsum(2 * X + Y))


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2.0, X), "axpy takes 3 arrays, got 2"),
        ((2.0, X, Y[:3]), r"argument %y must be tensor<\$Nxf32>, \$N = 4, got f32\[3\]"),
        ((2.0, X.astype(np.int32), Y), r"argument %x must be .*, got i32\[4\]"),
        ((X, X, Y), r"argument %a must be tensor<f32>, got f32\[4\]"),
    ],
)
def test_wrong_arguments(arguments, message):
    for run in (axpy, jaxc.jit(axpy)):
        with pytest.raises(TypeError, match=message):
            run(*arguments)


F = "func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {{\n  {}\n  return %y : tensor<4xf32>\n}}"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("hello", ValueError, "expected one func.func with results, found 0"),
        (AXPY * 2, ValueError, "expected one func.func with results, found 2"),
        (AXPY.replace("$Nxf32>, %y", "?xf32>, %y"), ValueError, r"a size in tensor<\?xf32>"),
        (AXPY.replace("-> tensor<$N", "-> tensor<$M"), ValueError, r"\$M is in no argument's type"),
        (AXPY.replace("tensor<f32>", "f32", 1), ValueError, "expected a type .*, got 'f32'"),
        (AXPY.replace("f32", "f37"), ValueError, "no arrays have the element type f37"),
        (F.format("%y = arith.addi %x, %x : tensor<4xf32>"), CompileError,
         r"<mlir_kernel f>:2:8: error: 'arith.addi' op operand #0 must be"),
        (F.format("%y = func.call @f(%x) : (tensor<4xf32>) -> tensor<4xf32>"), CompileError,
         "<mlir_kernel f>:2:8: error: func.call cannot be used"),
        (F.format("%y = arith.addf %x, %z : tensor<4xf32>"), CompileError,
         "<mlir_kernel f>:2:.*use of undeclared SSA value"),
    ],
)  # fmt: skip
def test_wrong_text(text, error, message):
    with pytest.raises(error, match=message):
        mlir_kernel(text)


def test_a_text_with_names_is_checked_at_the_call():
    kernel = mlir_kernel(F.format("%y = arith.addi %x, %x : tensor<4xf32>").replace("4x", "$Nx"))
    with pytest.raises(CompileError, match="<mlir_kernel f>:2:8"):
        kernel(X)


def test_what_does_not_follow():
    with pytest.raises(NotImplementedError, match="running_sum has no derivative: state one"):
        jaxc.grad(lambda x: running_sum(x)[1])(X)
    with pytest.raises(CompileError, match="its text is of linalg, which XLA does not read"):
        jaxc.jit(running_sum).lower(X).as_text("stablehlo")
