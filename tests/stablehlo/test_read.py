"""StableHLO of other tools: real JAX's programs, what is refused, and `jaxc compile model.mlir`."""

from __future__ import annotations

import numpy as np
import pytest
from tools import commands

import jaxc
import jaxc.numpy as jnp
import jaxc_runtime
from jaxc import lax, stablehlo
from jaxc_compiler.diagnostics import CompileError
from jaxc_tools.compile import compile_references

pytestmark = pytest.mark.compiler
X = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)


def _main(body, result="tensor<4xf32>", argument="tensor<4xf32>"):
    return f"func.func @main(%x: {argument}) -> {result} {{\n{body}\n}}"


# -- programs of real JAX --------------------------------------------------------------------------

JAX_PROGRAMS = {
    "mlp gradient": lambda j: j.grad(lambda x: j.nn.softmax(j.nn.gelu(x @ x)).max()),
    "layer norm": lambda j: lambda x: (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True),
    "attention": lambda j: lambda x: j.nn.softmax(x @ x.T / 2.0) @ x,
    "sort": lambda j: lambda x: j.numpy.sort(x, 1),
    "sort of complex numbers": lambda j: lambda x: j.lax.sort(
        j.lax.complex(j.numpy.round(x), x[::-1]), dimension=1
    ),
    "sort by two keys": lambda j: lambda x: j.lax.sort(
        (j.numpy.round(x), x[::-1], x), dimension=1, num_keys=2
    ),
    "argsort, descending": lambda j: lambda x: j.numpy.argsort(x, 1, descending=True),
    "median": lambda j: lambda x: j.numpy.median(x, 1),
    "top_k": lambda j: lambda x: j.lax.top_k(x, 2),
    "argmax": lambda j: lambda x: j.numpy.argmax(x, 1),
    "normal": lambda j: lambda x: j.random.normal(j.random.key(0), (4, 4)) + x,
    "permutation": lambda j: lambda x: j.random.permutation(j.random.key(2), x),
    "scan": lambda j: lambda x: j.lax.scan(lambda c, a: (c + a, (c * a).sum()), x[0], x),
    "while": lambda j: lambda x: j.lax.while_loop(
        lambda c: c.sum() < 100, lambda c: c * 2 + 1, abs(x)
    ),
    "cond": lambda j: lambda x: j.lax.cond(x.sum() > 0, j.numpy.sin, j.numpy.cos, x),
    "slice before the start": lambda j: lambda x: j.lax.dynamic_slice(
        x, -(x[:2, 0] < 9).astype(int), (2, 2), allow_negative_indices=(False, False)
    ),
    "update before the start": lambda j: lambda x: j.lax.dynamic_update_slice(
        x, x[:2, :2], -(x[:2, 0] < 9).astype(int), allow_negative_indices=(False, False)
    ),
    "gather": lambda j: lambda x: x[j.numpy.array([0, 9, 1, -1])],
    "scatter": lambda j: lambda x: x.at[j.numpy.array([0, 9, 0])].add(1.0),
    "two indices": lambda j: lambda x: x.at[1:3, j.numpy.array([0, 2])].set(7.0),
    "cumulative": lambda j: lambda x: (j.numpy.cumsum(x, 1), j.lax.cummax(x)),
    "pooling gradient": lambda j: j.grad(
        lambda x: (
            j.lax.reduce_window(x, -j.numpy.inf, j.lax.max, (2, 2), (1, 1), "SAME") ** 2
        ).sum()
    ),
    "convolution": lambda j: lambda x: j.lax.conv_general_dilated(
        x[None, None], j.numpy.ones((2, 1, 2, 2)), (1, 2), "SAME"
    ),
    "special": lambda j: lambda x: (
        j.scipy.special.erfinv(x / 4), j.scipy.special.gammaln(abs(x)), j.scipy.special.i1e(x)
    ),
    "complex": lambda j: lambda x: abs(j.numpy.exp(1j * x) * j.numpy.array([1j, 2, 3, 4])),
    "integers": lambda j: lambda x: (x * 9).astype(int) // j.numpy.arange(1, 5),
    "isnan": lambda j: lambda x: j.numpy.isnan(x / 0),
    "cholesky": lambda j: lambda x: j.numpy.linalg.cholesky(x @ x.T + 5 * j.numpy.eye(4)),
    "triangular": lambda j: lambda x: j.scipy.linalg.solve_triangular(
        x @ x.T + 5 * j.numpy.eye(4), x, trans=1
    ),
    "inverse": lambda j: lambda x: j.numpy.linalg.inv(x @ x.T + 5 * j.numpy.eye(4)),
}  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("name", JAX_PROGRAMS)
def test_program_of_jax(name):
    jax = pytest.importorskip("jax")
    export = pytest.importorskip("jax.export")
    function = jax.jit(JAX_PROGRAMS[name](jax))
    # for the TPU: programs for the CPU call LAPACK
    exported = export.export(function, platforms=["tpu"])(X)
    expected = [np.asarray(leaf) for leaf in jax.tree.leaves(function(X))]
    for data in (exported.mlir_module_serialized, exported.mlir_module()):
        results = stablehlo.read(data)(X)
        for got, wanted in zip(results, expected, strict=True):
            assert got.dtype == wanted.dtype
            np.testing.assert_allclose(np.asarray(got), wanted, 2e-4, 2e-4)


@pytest.mark.oracle
def test_lapack_is_explained():
    jax = pytest.importorskip("jax")
    export = pytest.importorskip("jax.export")
    exported = export.export(jax.jit(jax.numpy.linalg.inv), platforms=["cpu"])(X)
    for data in (exported.mlir_module_serialized, exported.mlir_module()):
        with pytest.raises(CompileError, match=r"export with platforms=\['tpu'\]"):
            stablehlo.read(data)


# -- what a program is -----------------------------------------------------------------------------

SINE = _main("  %0 = stablehlo.sine %x : tensor<4xf32>\n  return %0 : tensor<4xf32>")


def test_program_inside_transformations():
    program = stablehlo.read(SINE)
    x = jnp.asarray(X[0])
    np.testing.assert_allclose(program(x)[0], np.sin(X[0]), 1e-6)
    np.testing.assert_allclose(jaxc.jit(program)(x)[0], np.sin(X[0]), 1e-6)
    np.testing.assert_allclose(jaxc.vmap(program)(X)[0], np.sin(X), 1e-6)
    gradient = jaxc.grad(lambda x: program(x)[0].sum())(x)
    np.testing.assert_allclose(gradient, np.cos(X[0]), 1e-6)


def test_exported_and_read():
    exported = jaxc.jit(lambda x: jnp.tanh(x) @ x).lower(X).as_text("stablehlo")
    np.testing.assert_allclose(stablehlo.read(exported)(X)[0], np.tanh(X) @ X, 1e-5, 1e-5)


def test_types_of_64_bits():
    text = _main("  return %x : tensor<4xf64>", "tensor<4xf64>", "tensor<4xf64>")
    assert stablehlo.read(text).closed.in_avals[0].dtype == np.float64


def test_wrong_arguments():
    program = stablehlo.read(SINE)
    with pytest.raises(TypeError, match="takes 1 arrays, got 2"):
        program(X, X)
    with pytest.raises(TypeError, match=r"argument 0: expected f32\[4\], got float32\[4, 4\]"):
        program(X)


def test_case_out_of_range_takes_the_last_branch():
    text = """func.func @main(%i: tensor<i32>) -> tensor<i32> {
      %0 = "stablehlo.case"(%i) ({
        %a = stablehlo.constant dense<10> : tensor<i32>
        stablehlo.return %a : tensor<i32>
      }, {
        %b = stablehlo.constant dense<20> : tensor<i32>
        stablehlo.return %b : tensor<i32>
      }) : (tensor<i32>) -> tensor<i32>
      return %0 : tensor<i32>
    }"""
    program = stablehlo.read(text)
    found = [int(program(np.int32(i))[0]) for i in (-1, 0, 1, 7)]
    assert found == [20, 10, 20, 20]


@pytest.mark.parametrize("kind, dtype", [("i32", np.int32), ("ui8", np.uint8)])
def test_power_of_integers(kind, dtype):
    types = f"tensor<4x{kind}>"
    text = f"""func.func @main(%x: {types}, %y: {types}) -> {types} {{
      %0 = stablehlo.power %x, %y : {types}
      return %0 : {types}
    }}"""
    program = stablehlo.read(text)
    x, y = np.array([2, 3, 0, 7], dtype), np.array([7, 5, 0, 9], dtype)
    np.testing.assert_array_equal(program(x, y)[0], x**y)
    if kind == "i32":
        x, y = np.array([1, -1, -1, 2], dtype), np.array([-3, -3, -2, -1], dtype)
        np.testing.assert_array_equal(program(x, y)[0], [1, -1, 1, 0])


def test_fold_that_starts_elsewhere():
    text = """func.func @main(%x: tensor<4xf32>) -> tensor<f32> {
      %c = stablehlo.constant dense<5.0> : tensor<f32>
      %0 = stablehlo.reduce(%x init: %c) applies stablehlo.add across dimensions = [0]
        : (tensor<4xf32>, tensor<f32>) -> tensor<f32>
      return %0 : tensor<f32>
    }"""
    np.testing.assert_allclose(stablehlo.read(text)(X[0])[0], X[0].sum() + 5, 1e-6)


# -- what is refused -------------------------------------------------------------------------------

REFUSED = {
    "no MLIR": ("hello", "error"),
    "damaged encoding": (b"ML\xefR\rStableHLO_v1.15\x00junk", "error"),
    "no main": ("func.func @f() { return }", "no function @main"),
    "unknown op": (
        _main("  %0 = stablehlo.fft %x, type = RFFT, length = [4]"
              " : (tensor<4xf32>) -> tensor<3xcomplex<f32>>\n  return %0 : tensor<3xcomplex<f32>>",
              "tensor<3xcomplex<f32>>"),
        r"-:2:8: error: stablehlo\.fft is not supported",
    ),
    "unknown function": (
        _main("  %0 = stablehlo.custom_call @mine(%x) : (tensor<4xf32>) -> tensor<4xf32>\n"
              "  return %0 : tensor<4xf32>"),
        "the function 'mine' is not known",
    ),
    "recursion": (
        _main("  %0 = call @main(%x) : (tensor<4xf32>) -> tensor<4xf32>\n"
              "  return %0 : tensor<4xf32>"),
        "the function @main calls itself",
    ),
    "strange order": (
        _main("""  %0 = "stablehlo.sort"(%x) <{dimension = 0 : i64}> ({
          ^bb0(%a: tensor<f32>, %b: tensor<f32>):
            %c = stablehlo.compare EQ, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
            stablehlo.return %c : tensor<i1>
          }) : (tensor<4xf32>) -> tensor<4xf32>
          return %0 : tensor<4xf32>"""),
        "the comparator is neither ascending nor descending",
    ),
    "order of something else": (
        _main("""  %0 = "stablehlo.sort"(%x) <{dimension = 0 : i64}> ({
          ^bb0(%a: tensor<f32>, %b: tensor<f32>):
            %c = stablehlo.floor %a : tensor<f32>
            %d = stablehlo.floor %b : tensor<f32>
            %e = stablehlo.compare LT, %c, %d : (tensor<f32>, tensor<f32>) -> tensor<i1>
            stablehlo.return %e : tensor<i1>
          }) : (tensor<4xf32>) -> tensor<4xf32>
          return %0 : tensor<4xf32>"""),
        r"-:2:8: error: stablehlo\.sort: a comparator with stablehlo\.floor",
    ),
    "order up to a bound": (
        _main("""  %k = stablehlo.constant dense<50.0> : tensor<f32>
          %0 = "stablehlo.sort"(%x) <{dimension = 0 : i64}> ({
          ^bb0(%a: tensor<f32>, %b: tensor<f32>):
            %c = stablehlo.compare LT, %a, %k : (tensor<f32>, tensor<f32>) -> tensor<i1>
            %d = stablehlo.select %c, %a, %k : tensor<i1>, tensor<f32>
            %e = stablehlo.compare LT, %d, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
            stablehlo.return %e : tensor<i1>
          }) : (tensor<4xf32>) -> tensor<4xf32>
          return %0 : tensor<4xf32>"""),
        "the comparator is neither ascending nor descending",
    ),
    "order of real parts": (
        _main("""  %0 = "stablehlo.sort"(%x) <{dimension = 0 : i64}> ({
          ^bb0(%a: tensor<complex<f32>>, %b: tensor<complex<f32>>):
            %c = stablehlo.real %a : (tensor<complex<f32>>) -> tensor<f32>
            %d = stablehlo.real %b : (tensor<complex<f32>>) -> tensor<f32>
            %e = stablehlo.compare LT, %c, %d : (tensor<f32>, tensor<f32>) -> tensor<i1>
            stablehlo.return %e : tensor<i1>
          }) : (tensor<4xcomplex<f32>>) -> tensor<4xcomplex<f32>>
          return %0 : tensor<4xcomplex<f32>>""",
          "tensor<4xcomplex<f32>>", "tensor<4xcomplex<f32>>"),
        "the comparator is neither ascending nor descending",
    ),
    "unknown shape": (
        _main("  return %x : tensor<?xf32>", "tensor<?xf32>", "tensor<?xf32>"),
        r"argument of @main: expected a tensor of a known shape, got tensor<\?xf32>",
    ),
    "unknown shape inside": (
        _main("  %0 = stablehlo.abs %x : (tensor<4xf32>) -> tensor<?xf32>\n"
              "  return %0 : tensor<?xf32>", "tensor<?xf32>"),
        r"-:2:8: error: stablehlo\.abs: expected a tensor of a known shape",
    ),
    "no body": ("func.func private @main(tensor<2xf32>) -> tensor<2xf32>", "@main has no body"),
    "no tensor": (_main("  return %x : i32", "i32", "i32"), "known shape, got i32"),
    "quantized": (
        _main("  return %x : tensor<2x!quant.uniform<i8:f32, 1.0>>",
              *["tensor<2x!quant.uniform<i8:f32, 1.0>>"] * 2),
        r"expected a tensor of numbers of a known dtype, got tensor<2x!quant",
    ),
    "constant elsewhere": (
        _main("  %0 = stablehlo.constant dense_resource<big> : tensor<4xf32>\n"
              "  return %0 : tensor<4xf32>"),
        "a constant as dense_resource: expected its elements",
    ),
    "invalid": (_main("  %0 = stablehlo.sine %x : tensor<5xf32>\n return %0 : tensor<5xf32>"),
                "error"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    data, message = REFUSED[name]
    with pytest.raises(CompileError, match=message):
        stablehlo.read(data)


def test_what_is_no_program():
    with pytest.raises(TypeError, match="expected text or bytes, got int"):
        stablehlo.read(3)


# -- compiled --------------------------------------------------------------------------------------

# What IREE's own StableHLO input gets wrong: indices and casts out of range.
OUTSIDE = jaxc.jit(
    lambda x, i: (
        lax.gather(
            x, i[:, None], lax.GatherDimensionNumbers((1,), (0,), (0,)), (1, 4), mode="clip"
        ),
        (x * 1e20).astype(jnp.int32),
        jnp.arange(4) // i,
    )
)


def test_compiled_module_clamps_and_saturates(tmp_path):
    i = np.array([0, 99, -7, 2], np.int32)
    text = OUTSIDE.lower(X, i).as_text("stablehlo")
    source, output = tmp_path / "outside.mlir", tmp_path / "outside.vmfb"
    source.write_text(text)
    metadata = compile_references([str(source)], [], str(output), ["cpu"])
    assert [str(s) for s in metadata.functions[0].inputs] == ["float32[4,4]", "int32[4]"]
    for got, wanted in zip(jaxc_runtime.load(output)(X, i), OUTSIDE(X, i), strict=True):
        np.testing.assert_array_equal(got, np.asarray(wanted))


def test_command(tmp_path):
    source, output = tmp_path / "model.stablehlo.mlir", tmp_path / "model.vmfb"
    source.write_text(f"module @sine {{ {SINE} }}")
    done = commands.jaxc("compile", source, "-o", output)
    assert done.returncode == 0, done.stderr
    assert "sine(float32[4]) -> (float32[4]) for cpu" in done.stdout
    np.testing.assert_allclose(jaxc_runtime.load(output)(X[0]), np.sin(X[0]), 1e-6)


def test_command_says_what_is_wrong(tmp_path):
    source = tmp_path / "model.mlir"
    source.write_text(REFUSED["unknown op"][0])
    for path, message in [(source, "fft is not supported"), (tmp_path / "no.mlir", "cannot read")]:
        done = commands.jaxc("compile", path, "-o", tmp_path / "x")
        assert done.returncode == 2
        assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1
