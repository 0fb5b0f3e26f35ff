"""The compile path as a whole: dispatch counts, arguments' safety, errors, keys."""

from __future__ import annotations

import re
import subprocess
import sys
import threading

import ml_dtypes
import numpy as np
import pytest

import jaxc
import jaxc.numpy as jnp
from jaxc import lax
from jaxc_compiler import driver, iree, targets
from jaxc_compiler.diagnostics import CompileError
from jaxc_tools.testing import module_of

pytestmark = pytest.mark.compiler
X = np.arange(12, dtype=np.float32).reshape(3, 4)


def load(artifact):
    from jaxc_runtime import executable

    return executable.load(artifact.vmfb)


def call(artifact, *arrays):
    from jaxc_runtime import buffer

    return [np.array(r.map()) for r in load(artifact)([buffer.to_device(a) for a in arrays])]


def dispatches(function, *arguments) -> int:
    return driver.dump_stages(module_of(function, *arguments), until="linalg")["linalg"].count(
        "flow.dispatch @"
    )


def test_elementwise_chain_and_reduction_are_one_dispatch():
    def function(x):
        return jnp.sum(jnp.exp(x - jnp.max(x, axis=1, keepdims=True)) * 2 + x[0], axis=1)

    assert dispatches(function, X) == 1


def test_softmax_is_one_dispatch():
    assert dispatches(jaxc.nn.softmax, X) == 1


def test_dump_has_every_stage():
    texts = driver.dump_stages(module_of(lambda x: jnp.sin(x) + 1, X))
    assert list(texts) == ["lax", "kernel", "linalg", "iree", "llvm", "llvm-opt", "asm"]
    assert "kernel.fused" in texts["kernel"]
    assert "hal.executable" in texts["iree"]
    assert re.search(r"^\s*ret", texts["asm"], re.MULTILINE)


def test_dump_of_no_stage():
    message = "no stage 'ptx' for cpu:host: there are lax, kernel, linalg, iree, .*, stablehlo"
    with pytest.raises(ValueError, match=message):
        driver.dump_stages(module_of(jnp.sin, X), until="ptx")


def test_a_saved_stage_that_is_not_iree_text():
    with pytest.raises(CompileError, match=r"-:1:\d+: error: .*foo"):
        iree.bytecode_of("func.func @f() { foo.bar }")


def test_an_argument_that_is_not_donated_keeps_its_value():
    x = X.copy()
    result = jaxc.jit(lambda x: x.at[0].set(7.0))(jnp.asarray(x))
    np.testing.assert_array_equal(x, X)
    assert np.asarray(result)[0, 0] == 7

    both = jaxc.jit(lambda x: (x.at[1].add(1.0), x * 1))(jnp.asarray(x))
    np.testing.assert_array_equal(np.asarray(both[1]), X)


def test_constants_and_repeated_results():
    results = jaxc.jit(lambda x: (jnp.ones(3), x + 1, x + 1, jnp.arange(4), x))(X)
    np.testing.assert_array_equal(results[0], np.ones(3))
    np.testing.assert_array_equal(results[1], X + 1)
    np.testing.assert_array_equal(results[2], X + 1)
    np.testing.assert_array_equal(results[3], np.arange(4))
    np.testing.assert_array_equal(results[4], X)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (1, 1, 1)])
def test_small_shapes(shape):
    x = np.full(shape, 2.0, np.float32)
    result = jaxc.jit(lambda x: (x * 2, jnp.sum(x), x.reshape(-1)))(x)
    np.testing.assert_array_equal(result[0], x * 2)
    np.testing.assert_array_equal(result[1], x.sum())
    np.testing.assert_array_equal(result[2], x.reshape(-1))


def test_an_op_without_lowering_names_the_users_line(monkeypatch):
    from jaxc_compiler.diagnostics import CompileError
    from jaxc_compiler.lowering.element.values import ELEMENT

    module = module_of(lambda x: lax.lgamma(x), X)
    monkeypatch.delitem(ELEMENT, "lgamma")
    with pytest.raises(CompileError, match=r"test_driver\.py:\d+:\d+: error: lax\.lgamma"):
        driver.compile(module)


def test_iree_errors_name_the_users_line():
    text = """func.func @f(%x: tensor<3xf32>) -> tensor<3xf32> {
      %0 = math.erfc %x : tensor<3xf32> loc("erfc"("user.py":8:2))
      return %0 : tensor<3xf32> }"""
    with pytest.raises(CompileError, match=r"user\.py:8:2") as caught:
        iree.compile_module(text, targets.get("cpu").flags)
    assert "+avx" not in str(caught.value)
    # The session still works.
    iree.compile_module(text.replace("math.erfc", "math.absf"), targets.get("cpu").flags)


@pytest.mark.parametrize("name", ["cpu", "cuda", "vulkan", "rocm", "metal"])
def test_every_chip_that_has_a_name_is_compiled_for(name):
    def function(x):
        return jnp.sum(jnp.exp(x) @ x.T, axis=1)

    found = {t.flags: t for t in (targets.get(f"{name}:{c}") for c in targets.chips(name))}
    for target in found.values():  # some chips have the programs of another
        assert len(driver.compile(module_of(function, X), target).vmfb) > 1000, target


def test_a_triple_is_a_chip():
    target = targets.get("cpu:aarch64-linux-android29:cortex-a78")
    assert b"aarch64" in driver.compile(module_of(jnp.sin, X), target).vmfb


@pytest.mark.parametrize(
    ("chip", "message"),
    [
        ("z80", "it is no triple; one of host, generic, x86-64,"),
        ("x86-64-v5", r"\(did you mean 'x86-64-v4'\?\): LLVM does not compile for it"),
        ("sparc-sun-solaris", "LLVM does not compile for it; one of host"),
        ("x86_64-linux-gnu:nosuchcpu", "LLVM has no CPU 'nosuchcpu' of that kind, but "),
        ("aarch64-linux-gnu:cortex-a", "LLVM has no CPU .* but .*cortex-a76"),
        ("armv7a-linux-gnueabihf:nosuchcpu", "LLVM does not compile for it"),  # would be ignored
    ],
)
def test_a_cpu_that_llvm_does_not_know(chip, message):
    with pytest.raises(ValueError, match=f"unknown chip '{chip}'.*{message}"):
        targets.get(f"cpu:{chip}")


def test_unknown_target():
    with pytest.raises(ValueError, match="unknown target 'tpu9'"):
        targets.get("tpu9")


def test_the_same_program_gives_the_same_artifact():
    first, second = (driver.compile(module_of(lambda x: jnp.tanh(x), X)).vmfb for _ in range(2))
    assert first == second


def test_a_key_tells_programs_flags_and_donation_apart():
    keys = {
        driver.cache_key("a"),
        driver.cache_key("b"),
        driver.cache_key("a", targets.get("cuda")),
        driver.cache_key("a", extra=("donated", (0,))),
    }
    assert len(keys) == 4
    assert driver.cache_key("a") == driver.cache_key("a")


def test_a_key_is_made_without_mlir():
    code = (
        "import sys; from jaxc_compiler import driver; driver.cache_key('x');"
        "assert not [m for m in sys.modules if m.startswith(('torch_mlir', 'iree'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_compiling_from_several_threads():
    failures = []

    def work(number):
        try:
            function = jaxc.jit(lambda x: lax.sin(x) * number + number)
            expected = np.sin(X) * number + number
            np.testing.assert_allclose(function(X), expected, rtol=1e-5, atol=1e-5)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize("name", ["int2", "uint2", "int4", "uint4"])
def test_integers_of_less_than_a_byte(name):
    dtype = np.dtype(getattr(ml_dtypes, name))
    x = np.array([[0, 1, 2], [3, 1, 0]]).astype(dtype)

    def function(x):
        return x.T + dtype.type(1), x.astype(np.int32), x.reshape(-1)

    for got, wanted in zip(jaxc.jit(function)(x), function(jnp.asarray(x)), strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(np.asarray(got).astype(int), np.asarray(wanted).astype(int))


def test_contraction_into_another_kind():
    def function(x):
        return lax.dot(x, x.T, preferred_element_type=np.complex64)

    np.testing.assert_allclose(jaxc.jit(function)(X), X @ X.T)
