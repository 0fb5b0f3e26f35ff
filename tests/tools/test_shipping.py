"""Shipped programs end to end: several functions and targets, weights beside them, donation."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tools.commands import jaxc

import jaxc.numpy as jnp
import jaxc_runtime
from jaxc_runtime import ArtifactError, buffer
from jaxc_tools import cli
from jaxc_tools.compile import Request, compile_functions
from jaxc_tools.specs import ArgSpec

pytestmark = pytest.mark.compiler

F32 = np.dtype(np.float32)
N = 100  # 40 KB: large enough for memory to be shared with NumPy
SQUARE = ArgSpec((N, N), F32)
WEIGHTS = np.random.default_rng(0).normal(size=(N, N)).astype(np.float32)
BIAS = np.arange(3, dtype=np.float32)
_weights, _bias = jnp.asarray(WEIGHTS), jnp.asarray(BIAS)


def predict(x):
    return {"y": jnp.tanh(x @ _weights)[:, :3] + _bias}


def loss(x, y):
    return ((x @ _weights - y) ** 2).mean()


def step(x):
    return x.at[0].add(1.0)


LINE = step.__code__.co_firstlineno + 1


def unchanged(x):
    return x, x.reshape(-1), x + 1


def twice(x):
    y = x * 2
    return y, y


REQUESTS = [
    Request(predict, [SQUARE]), Request(loss, [SQUARE, SQUARE]), Request(step, [SQUARE], [0]),
    Request(unchanged, [SQUARE]), Request(twice, [SQUARE]), Request(lambda: _weights + 1, []),
]  # fmt: skip


@pytest.fixture(scope="module")
def inline(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("inline") / "model.vmfb"
    compile_functions(REQUESTS, path, ["cpu:aarch64", "cpu"])
    return path


@pytest.fixture(scope="module")
def beside(tmp_path_factory) -> Path:
    """Weights in model.irpa; no target but the first would do for IREE's own tools."""
    path = tmp_path_factory.mktemp("file") / "model.vmfb"
    targets = ["cpu", "cuda:sm_89", "vulkan:llvmpipe"]
    compile_functions(REQUESTS[:3], path, targets, weights="file")
    return path


@pytest.fixture
def x() -> np.ndarray:
    array = buffer.empty_aligned((N, N), F32)
    array[...] = np.linspace(-1, 1, N * N, dtype=np.float32).reshape(N, N)
    return array


@pytest.mark.parametrize("where", ["inline", "beside"])
def test_several_functions_share_their_weights(where, request, x):
    path = request.getfixturevalue(where)
    program = jaxc_runtime.load(path)
    assert program.target == "cpu:host"
    expected = np.tanh(x @ WEIGHTS)[:, :3] + BIAS
    for result in (program(x), program.predict(x), program["predict"](x)):
        np.testing.assert_allclose(result["y"], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(program.loss(x, x), ((x @ WEIGHTS - x) ** 2).mean(), rtol=1e-4)
    once = WEIGHTS.nbytes
    held = path.stat().st_size if where == "inline" else path.with_suffix(".irpa").stat().st_size
    programs = len(program.metadata.programs) if where == "inline" else 1
    assert once * programs < held < once * programs + 120_000


def test_nothing_of_the_callers_is_changed_or_shared(inline, x):
    program, before = jaxc_runtime.load(inline), x.copy()
    assert program.step(x)[0, 0] == before[0, 0] + 1  # donated, and copied first
    for function in (program.unchanged, program.twice):
        results = function(x)
        for number, result in enumerate(results):
            result[...] = 55
            assert not any((other == 55).all() for other in results[number + 1 :])
    np.testing.assert_array_equal(x, before)
    constant = program["<lambda>"]
    constant()[...] = 55
    np.testing.assert_array_equal(constant(), WEIGHTS + 1)


def test_donated_arrays_on_the_device_are_overwritten(inline, x):
    program = jaxc_runtime.load(inline)
    first = program.step.on_device(x)
    state, address = first, _address(first)
    for _ in range(3):
        state = program.step.on_device(state)
    assert _address(state) == address
    np.testing.assert_allclose(np.asarray(state)[0], x[0] + 4)
    with pytest.raises(ValueError, match="was donated"):
        np.asarray(first)
    np.testing.assert_allclose(program.loss(state, np.asarray(state)), program.loss(state, state))


def test_donating_memory_that_others_have_copies_it(inline, x):
    program = jaxc_runtime.load(inline)
    state = program.step.on_device(x)
    same, flat, _ = program.unchanged.on_device(state)
    after = program.step.on_device(state)
    y, z = program.twice.on_device(x)
    program.step.on_device(y)
    weights = program["<lambda>"].on_device()
    program.step.on_device(weights)
    np.testing.assert_array_equal(np.asarray(same)[0], x[0] + 1)
    np.testing.assert_array_equal(np.asarray(flat)[:N], x[0] + 1)
    np.testing.assert_array_equal(np.asarray(after)[0], x[0] + 1 + 1)
    np.testing.assert_array_equal(np.asarray(z), x * 2)
    np.testing.assert_array_equal(program["<lambda>"](), WEIGHTS + 1)


def _address(array: jaxc_runtime.DeviceArray) -> int:
    held = buffer.to_numpy(array.view(), array.shape, array.dtype)
    return held.__array_interface__["data"][0]


def test_weights_that_are_not_those_of_the_program(beside, tmp_path, x):
    archive = beside.with_suffix(".irpa")
    good = archive.read_bytes()
    copy, weights = tmp_path / "model.vmfb", tmp_path / "model.irpa"
    copy.write_bytes(beside.read_bytes())
    rng = np.random.default_rng(3)
    damaged = [b"", good[:-1], good + b"x", bytes(len(good)), good[::-1], copy.read_bytes()]
    damaged += [good[: int(n)] for n in rng.integers(0, len(good), 40)]
    for place in rng.integers(0, len(good), 100):
        damaged.append(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
    for data in damaged:
        weights.write_bytes(data)
        with pytest.raises(ArtifactError, match=r"model\.vmfb: model\.irpa is not the archive"):
            jaxc_runtime.load(copy)
    weights.unlink()
    with pytest.raises(ArtifactError, match=r"model\.irpa, which cannot be read: No such file"):
        jaxc_runtime.load(copy)
    weights.mkdir()
    with pytest.raises(ArtifactError, match=r"model\.irpa, which cannot be read: Is a directory"):
        jaxc_runtime.load(copy)
    weights.rmdir()
    weights.write_bytes(good)
    assert jaxc_runtime.load(copy).predict(x)["y"].shape == (N, 3)


def test_iree_takes_the_first_program_and_the_archive(beside):
    tool = Path(sys.executable).parent / "iree-run-module"
    command = [
        tool, f"--module={beside}", f"--parameters=model={beside.with_suffix('.irpa')}",
        "--device=local-sync", "--function=loss",
        f"--input={N}x{N}xf32=0", f"--input={N}x{N}xf32=3",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "f32=9" in done.stdout


def test_runtime_alone_runs_it(beside):
    """Whatever asks for the compiler or the frontend fails."""
    code = (
        "import sys, importlib.abc\n"
        "class Forbid(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        top = name.partition('.')[0]\n"
        "        if top in ('jaxc', 'jaxc_compiler', 'jaxc_tools', 'torch_mlir', 'jax', 'scipy')"
        " or name.startswith('iree.compiler'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Forbid())\n"
        "import numpy as np, jaxc_runtime\n"
        f"program = jaxc_runtime.load({str(beside)!r})\n"
        f"print(program.loss(np.zeros(({N}, {N})), np.full(({N}, {N}), 3.0)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "9.0\n", done.stderr


def test_inspect(beside, capsys, tmp_path):
    assert cli.main(["inspect", str(beside)]) == 0
    shown = capsys.readouterr().out
    for part in (
        "step(float32[100,100] donated) -> (float32[100,100])",
        "weights in model.irpa", "program 1: cuda:sm_89", "predict: 1 dispatch\n",
        f"test_shipping.py:{LINE}: scatter-add: in place", "input 0: its memory becomes a result's",
        "  step: 4 dispatches\n    at[] updates: not known for this target\n",
    ):  # fmt: skip
        assert part in shown
    assert cli.main(["inspect", str(beside), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [entry["target"] for entry in data["programs"]][1:] == ["cuda:sm_89", "vulkan:llvmpipe"]
    part = tmp_path / "second.vmfb"
    assert cli.main(["inspect", str(beside), "--extract", "1", "-o", str(part)]) == 0
    assert part.stat().st_size == data["programs"][1]["length"]
    assert cli.main(["inspect", str(beside), "--extract", "7", "-o", str(part)]) == 2
    assert "no program 7; there are 0 cpu:host" in capsys.readouterr().err
    for half in (["--extract", "1"], ["-o", str(part)]):
        assert cli.main(["inspect", str(beside), *half]) == 2
        assert "--extract N needs -o FILE, and -o is for --extract" in capsys.readouterr().err


def test_bench_and_run_choose_functions(inline, capsys, monkeypatch):
    monkeypatch.setattr("jaxc_tools.program.SECONDS", 0.01)
    assert cli.main(["bench", str(inline)]) == 0
    shown = capsys.readouterr().out
    assert "predict(float32[100,100]) -> (float32[100,3]) on cpu:host, 1 dispatch" in shown
    assert shown.count("min ") == len(REQUESTS)
    arguments = ["bench", str(inline), "--function", "step", "--input", "f32[100,100]=1"]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.count("median ") == 1
    inputs = ["--input", "f32[100,100]=0", "--input", "f32[100,100]=3"]
    assert cli.main(["run", str(inline), "--function", "loss", *inputs]) == 0
    assert "result 0: float32[]\n9.0" in capsys.readouterr().out
    assert cli.main(["run", str(inline), "--function", "missing"]) == 2
    assert "no function 'missing'; there are predict, loss, step" in capsys.readouterr().err


MODEL = """
import jax.numpy as jnp

def double(x): return x * 2

def add(x, y): return {"sum": x + y}
"""


def test_command_line(tmp_path):
    source, out = tmp_path / "model.py", tmp_path / "model.vmfb"
    source.write_text(MODEL)
    both = ["compile", f"{source}:double", f"{source}:add", "-o", str(out)]
    shapes = ["--args", "f32[4]", "--args", "f32[4], f32[4]"]
    options = ["--donate", "", "--donate", "1", "--weights", "file"]
    targets = ["--target", "cpu", "--target", "cpu:riscv64"]
    done = jaxc(*both, *shapes, *options, *targets)
    made = "add(float32[4], float32[4] donated) -> (float32[4]) for cpu:host, cpu:riscv64"
    assert made in done.stdout, done.stderr
    assert not out.with_suffix(".irpa").exists()  # there are no weights
    np.testing.assert_array_equal(jaxc_runtime.load(out).add([1.0] * 4, [2.0] * 4)["sum"], [3] * 4)
    done = jaxc(*both, *shapes, "--donate", "3", "--donate", "")
    assert "double has 1 arguments, no 3 to donate" in done.stderr
    assert done.stderr.count("\n") == 1
    for options, message in [
        (["--args", "f32[4]"], "2 functions and 1 --args: give one for each"),
        ([*shapes, "--donate", "0"], "2 functions and 1 --donate"),
        (
            [*shapes, "--donate", "x", "--donate", ""],
            "--donate 'x': expected positions",
        ),
        ([*shapes, "--weights", "zip"], "unknown weights 'zip': expected inline or file"),
        ([*shapes, "--target", "cpu", "--target", "abacus"], "unknown target 'abacus'"),
    ]:
        done = jaxc(*both, *options)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1


def test_weights_and_paths_that_cannot_be(tmp_path):
    request = Request(predict, [SQUARE])
    for name, weights, message in [
        ("model.vmfb", "archive", "unknown weights 'archive': expected inline or file"),
        ("model.irpa", "file", "model.irpa is where the weights go"),
    ]:
        with pytest.raises(ValueError, match=message):
            compile_functions([request], tmp_path / name, weights=weights)
    assert list(tmp_path.iterdir()) == []


JITTED = """
import functools, jax

print("loaded")

@functools.partial(jax.jit, donate_argnums=1)
def update(x, y):
    print("traced")
    return x.sum(), y.at[0].set(1.0)

@functools.partial(jax.jit, static_argnums=1)
def power(x, n): return x ** n
"""


def test_what_a_jitted_function_donates_itself(tmp_path):
    (tmp_path / "jitted.py").write_text(JITTED)
    run = functools.partial(jaxc, "compile", folder=tmp_path)
    shapes = ["--args", "f32[3], f32[3]"]
    done = run("jitted.py:update", *shapes, "-o", "update.vmfb")
    assert "update(float32[3], float32[3] donated) -> " in done.stdout, done.stderr
    assert (done.stdout.count("loaded"), done.stdout.count("traced")) == (1, 1)
    done = run("jitted.py:update", *shapes, "--donate", "0", "-o", "update.vmfb")
    assert "update(float32[3] donated, float32[3]) -> " in done.stdout, done.stderr
    done = run("jitted.py:power", *shapes, "-o", "power.vmfb")
    assert "TypeError: argument 1 is static: expected a function of arrays only" in done.stderr


ADD = """
module @wide {
  func.func @main(%x: tensor<3xf64>) -> tensor<3xf64> {
    %0 = stablehlo.add %x, %x : tensor<3xf64>
    return %0 : tensor<3xf64>
  }
}
"""


def test_stablehlo_beside_a_function_does_not_widen_it(tmp_path):
    (tmp_path / "add.mlir").write_text(ADD)
    (tmp_path / "model.py").write_text("import jax.numpy as jnp\ndef f(x): return x, jnp.arange(3)")
    arguments = ["--args", "", "--args", "f32[3]", "-o", "both.vmfb"]
    done = jaxc("compile", "add.mlir", "model.py:f", *arguments, folder=tmp_path)
    assert "wide(float64[3]) -> (float64[3])" in done.stdout, done.stderr
    assert "f(float32[3]) -> (float32[3], int32[3])" in done.stdout


@pytest.fixture(scope="module")
def for_plugin(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "model.vmfb"
    targets = ["pjrt:xla_cpu", "cpu"]
    with pytest.raises(ValueError, match="pjrt:xla_cpu holds one function, not 2"):
        compile_functions(REQUESTS[:2], path, targets)
    compile_functions([Request(predict, [SQUARE], [0])], path, targets)
    return path


def test_a_plugin_of_xla_runs_its_program(for_plugin, x, capsys):
    pytest.importorskip("fastatomstruct_xla_cpu")
    expected = np.tanh(x @ WEIGHTS)[:, :3] + BIAS
    program = jaxc_runtime.load(for_plugin)
    assert (program.target, jaxc_runtime.load(for_plugin, "local-task").target) == (
        "pjrt:xla_cpu", "cpu:host",
    )  # fmt: skip
    for run in (program, jaxc_runtime.load(for_plugin, "xla_cpu://1")):
        np.testing.assert_allclose(run(x)["y"], expected, rtol=1e-4, atol=1e-4)
        held = run.on_device(x)["y"]
        np.testing.assert_allclose(held, expected, rtol=1e-4, atol=1e-4)
        assert repr(held) == "DeviceArray((100, 3), float32, xla_cpu)"
    with pytest.raises(ArtifactError, match="no device 'xla_cpu://9': xla_cpu has 4"):
        jaxc_runtime.load(for_plugin, "xla_cpu://9")
    assert cli.main(["inspect", str(for_plugin)]) == 0
    assert "program 0: pjrt:xla_cpu" in capsys.readouterr().out
    assert cli.main(["run", str(for_plugin), "--input", "f32[100,100]=0"]) == 0
    assert "result 0: float32[100,3]" in capsys.readouterr().out


WITHOUT_PLUGIN = """
import sys
sys.modules["fastatomstruct_xla_cpu"] = None
import jaxc_runtime
print(jaxc_runtime.load(sys.argv[1]).target)
try:
    jaxc_runtime.load(sys.argv[1], "xla_cpu")
except jaxc_runtime.ArtifactError as error:
    print(error)
print([name for name in ("jaxc", "jaxc_compiler", "iree.compiler") if name in sys.modules])
"""


def test_where_there_is_no_plugin_the_next_program_is_taken(for_plugin):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PLUGIN, for_plugin], capture_output=True, text=True
    )
    target, error, imported = done.stdout.splitlines()
    assert (target, imported) == ("cpu:host", "[]")
    assert "pjrt:xla_cpu: the xla_cpu plugin is not installed: pip install" in error


def test_names_become_symbols(tmp_path):
    def kernel_0(x):
        return x + 1

    def für(x):
        return x + 2

    path, spec = tmp_path / "names.vmfb", ArgSpec((3,), F32)
    functions = [kernel_0, für, lambda x: x + 3]
    metadata = compile_functions([Request(f, [spec]) for f in functions], path)
    assert [f.symbol for f in metadata.functions] == ["f_kernel_0", "f_r", "f_lambda"]
    program = jaxc_runtime.load(path)
    assert [program[f.__name__]([0.0] * 3)[0] for f in functions] == [1, 2, 3]
    with pytest.raises(ValueError, match="two functions are called 'kernel_0'"):
        compile_functions([Request(kernel_0, [spec])] * 2, path)


def constants(x):
    """Tables in the kernel and weights, of every kind that is passed another way."""
    small = [
        np.array([1j, 2, 3], np.complex64),
        np.array([True, False, True]),
        np.arange(3, dtype="u1"),
    ]
    large = [np.resize(array, 1200) for array in small]
    return [x[0] * jnp.asarray(array) for array in (*small, *large)], jnp.asarray(large[1])


def test_constants_of_every_kind(tmp_path):
    path = tmp_path / "constants.vmfb"
    for weights in ("inline", "file"):
        compile_functions([Request(constants, [ArgSpec((1,), F32)])], path, weights=weights)
        results, booleans = jaxc_runtime.load(path)([2.0])
        wanted, _ = constants(jnp.full(1, 2.0))
        for got, expected in zip(results, wanted, strict=True):
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(got, np.asarray(expected))
        np.testing.assert_array_equal(booleans, np.resize([True, False, True], 1200))
