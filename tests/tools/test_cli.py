"""The `jaxc` command end to end: what it prints, and one clear line for every mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tools.commands import Done, jaxc

import jaxc_runtime
from jaxc_tools import cli

MODEL = """
import jax
import jax.numpy as jnp

weights = jnp.arange(6.0).reshape(3, 2)

def predict(x, bias):
    return {"y": jnp.tanh(x @ weights) + bias["b"]}

def mismatched(x):
    return x @ weights.T

def no_arguments():
    return jnp.ones(3)

number = 3
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


def check_usage_error(done: Done[str], message: str) -> None:
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("jaxc: ")
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run"], "Missing argument"),
        (["run", "missing.py"], "cannot read missing.py"),
        (["run", "missing.vmfb"], "cannot read missing.vmfb"),
        (["run", "."], "cannot read ."),
        (["dump", "missing.py:f"], "cannot read missing.py"),
        (["dump", "missing.mlir", "--stage", "kernel"], "cannot read missing.mlir"),
        (["dump", "x.py:f", "--stage", "soup"], "unknown stage 'soup'"),
        (["compile", "missing.py:f", "-o", "x"], "cannot read missing.py"),
        (["compile", "nothing", "-o", "x"], "expected file.py:function"),
        (["compile", "x.py:f"], "Missing option"),
        (["cache", "polish"], "No such command 'polish'"),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, message, capsys):
    status = cli.main(arguments)
    error = capsys.readouterr().err
    assert status == 2
    assert message in error
    assert error.count("\n") == 1


def test_wrong_files_and_inputs_of_a_program(tmp_path, capsys):
    path = tmp_path / "text.vmfb"
    path.write_text("this is no program, but it is long enough to look like one " * 9)
    assert cli.main(["run", str(path)]) == 2
    assert "cannot be loaded" in capsys.readouterr().err
    assert cli.main(["run", str(path), "--colour", "red"]) == 2
    assert "unknown option '--colour'" in capsys.readouterr().err
    assert cli.main(["run", str(path), "--input"]) == 2
    assert "needs a value" in capsys.readouterr().err


def test_cache_commands(capsys):
    assert cli.main(["cache", "stats"]) == 0
    assert "programs" in capsys.readouterr().out
    assert cli.main(["cache", "clear"]) == 0
    assert "removed" in capsys.readouterr().out


def test_devices(capsys):
    assert cli.main(["devices"]) == 0
    assert "local-sync" in capsys.readouterr().out


def test_dump_jaxpr(model):
    done = jaxc("dump", f"{model}:predict", "--args", "f32[4,3], {b: f32[]}")
    assert done.returncode == 0, done.stderr
    assert "tanh" in done.stdout
    assert "f32[4,2]" in done.stdout


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("predikt", "f32[4,3]", "did you mean 'predict'?"),
        ("number", "", "number is a int, not a function"),
        ("mismatched", "f32[4,3]", "model.py:11: TypeError"),
        ("predict", "f32[4,3]", "TypeError"),
        ("predict", "f32[4", "--args"),
    ],
)
def test_dump_mistakes(model, function, arguments, message):
    check_usage_error(jaxc("dump", f"{model}:{function}", "--args", arguments), message)


def test_file_that_fails_when_imported(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("x = 1\ny = x.missing\n")
    check_usage_error(jaxc("dump", f"{path}:f"), "broken.py:2: AttributeError")
    path.write_text("def f(:\n")
    check_usage_error(jaxc("dump", f"{path}:f"), "broken.py:1: SyntaxError")


@pytest.mark.compiler
def test_dump_all_stages_and_go_on_from_a_saved_one(model, tmp_path):
    folder = tmp_path / "stages"
    source, arguments = f"{model}:predict", "f32[4,3], {b: f32[]}"
    done = jaxc("dump", source, "--args", arguments, "--all-stages", folder)
    assert done.returncode == 0, done.stderr
    files = sorted(folder.iterdir())
    names = [path.stem.partition("-")[2] for path in files]
    assert names[:3] == ["jaxpr", "lax", "kernel"]
    assert [Path(line).name for line in done.stdout.splitlines()] == [path.name for path in files]
    assert "lax.tanh" in files[1].read_text()
    kernel = jaxc("dump", source, "--args", arguments, "--stage", "kernel")
    assert kernel.stdout == files[2].read_text()
    again = jaxc("dump", files[1], "--stage", "kernel")
    assert again.returncode == 0, again.stderr
    assert "kernel." in again.stdout
    piped = jaxc("dump", "-", "--stage", "kernel", stdin=files[1].read_text())
    assert piped.stdout == again.stdout


@pytest.mark.compiler
def test_dump_of_text_that_is_no_ir():
    check_usage_error(jaxc("dump", "-", "--stage", "kernel", stdin="hello"), "-:1:1: error: ")


@pytest.mark.compiler
def test_compile_and_run_alone(model, tmp_path):
    out, x_path, y_path = tmp_path / "model.vmfb", tmp_path / "x.npy", tmp_path / "y.npy"
    done = jaxc(
        "compile", f"{model}:predict", "--args", "f32[4,3], {b: f32[]}", "-o", out
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "predict(float32[4,3], float32[]) -> (float32[4,2]) for cpu" in done.stdout
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    expected = np.tanh(x @ np.arange(6, dtype=np.float32).reshape(3, 2)) + 0.5

    program = jaxc_runtime.load(out)
    np.testing.assert_allclose(program(x, {"b": 0.5})["y"], expected, rtol=1e-6, atol=1e-6)
    np.save(x_path, x)
    done = jaxc("run", out, "--input", x_path, "--input", "0.5", "--output", y_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(y_path), expected, rtol=1e-6, atol=1e-6)
    shown = jaxc("run", out, "--input", "f32[4,3]=0", "--input", "f32[]=2")
    assert "result 0: float32[4,2]" in shown.stdout
    check_usage_error(jaxc("run", out, "--input", "1"), "2 inputs expected")
    wrong_shape = jaxc("run", out, "--input", "f32[4]=1", "--input", "1")
    check_usage_error(wrong_shape, "input 0: expected float32[4,3], got shape (4,)")


@pytest.mark.compiler
def test_compile_mistakes(model, tmp_path):
    good = ["compile", f"{model}:no_arguments"]
    check_usage_error(jaxc(*good, "-o", "x", "--target", "abacus"), "unknown target 'abacus'")
    check_usage_error(jaxc(*good, "-o", tmp_path / "no" / "x"), "cannot write")
