"""Loading, calling, failing, and calling from several threads at once."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from jaxc_runtime import ArtifactError, ExecutionError, buffer, device, executable

F32 = np.dtype(np.float32)


def test_call_from_bytes_and_from_a_path(double, tmp_path):
    path = tmp_path / "double.vmfb"
    path.write_bytes(double)
    x = np.arange(10, dtype=np.float32)
    for source in (double, path, str(path)):
        (result,) = executable.load(source)([buffer.to_device(x)])
        np.testing.assert_array_equal(buffer.to_numpy(result, (10,), F32), x + x)


def test_several_functions_results_and_no_arguments(compile_mlir):
    run = executable.load(
        compile_mlir(
            "func.func @two(%x: tensor<f32>, %y: tensor<f32>) -> (tensor<f32>, tensor<f32>) {"
            " return %y, %x : tensor<f32>, tensor<f32> }"
            "func.func @none() { return }"
            "func.func @seven() -> tensor<i32> {"
            " %0 = arith.constant dense<7> : tensor<i32> return %0 : tensor<i32> }"
        ),
        function="two",
    )
    assert sorted(run.function_names) == ["none", "seven", "two"]
    one, two = (buffer.to_device(np.float32(v) * np.ones((), F32)) for v in (1, 2))
    assert [float(buffer.to_numpy(r, (), F32)) for r in run([one, two])] == [2.0, 1.0]
    assert run.function("none")([]) == []
    (seven,) = run.function("seven")([])
    assert buffer.to_numpy(seven, (), np.dtype(np.int32)) == 7


def test_results_do_not_stay_alive_in_the_executable(double):
    run = executable.load(double)
    x = [buffer.to_device(np.ones(10, np.float32))]
    first = buffer.to_numpy(run(x)[0], (10,), F32)
    second = buffer.to_numpy(run(x)[0], (10,), F32)
    assert not np.shares_memory(first, second)


def test_threads_share_one_executable(sum_and_product):
    run = executable.load(sum_and_product)
    wrong: list[object] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(300):
            x, y = rng.normal(size=(2, 1000)).astype(np.float32)
            total, product = run([buffer.to_device(x), buffer.to_device(y)])
            same = np.array_equal(buffer.to_numpy(total, (1000,), F32), x + y)
            if not same or not np.array_equal(buffer.to_numpy(product, (1000,), F32), x * y):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_threads_open_one_device():
    found = []
    threads = [threading.Thread(target=lambda: found.append(device.get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected 1 arguments but passed 0"),
        ([np.zeros(10, np.float32)] * 2, "expected 1 arguments but passed 2"),
        ([np.zeros(11, np.float32)], "expected shape `10`, actual shape `11`"),
        ([np.zeros(10, np.float64)], "expected f32"),
    ],
)
def test_wrong_arguments(double, arguments, message):
    run = executable.load(double)
    with pytest.raises(ExecutionError, match=message) as caught:
        run([buffer.to_device(a) for a in arguments])
    assert "runtime/src" not in str(caught.value)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_cut_off_programs_are_refused(double, part, tmp_path):
    cut = double[: int(len(double) * part)]
    path = tmp_path / "cut.vmfb"
    path.write_bytes(cut)
    for source in (cut, path):
        with pytest.raises(ArtifactError):
            executable.load(source)


def test_text_is_not_a_program_and_paths_say_what_is_wrong(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        executable.load(b"hello world, this is not a program at all" * 10)
    with pytest.raises(FileNotFoundError):
        executable.load(tmp_path / "missing.vmfb")
    with pytest.raises(IsADirectoryError):
        executable.load(tmp_path)


def test_unknown_function_names_the_known_ones(double):
    with pytest.raises(ArtifactError, match=r"no function 'other'; it has: main"):
        executable.load(double, function="other")


def test_devices_are_listed_by_what_opens_them():
    listed = device.query(device.HOST_DRIVERS)
    assert {found["uri"] for found in listed} == device.HOST_DRIVERS
    assert device.get("local-sync://").is_host


def test_unknown_device():
    with pytest.raises(device.DeviceError, match="'abacus'"):
        device.get("abacus")


def test_forked_child_opens_its_own_thread_pool(double, tmp_path):
    (tmp_path / "double.vmfb").write_bytes(double)
    code = """
import os, signal, sys
import numpy as np
from jaxc_runtime import ExecutionError, buffer, device, executable

def load():
    on = device.get("local-task")
    return executable.load("double.vmfb", on), buffer.to_device(np.ones(10, np.float32), on)

def run(program, x):
    (result,) = program([x])
    assert buffer.to_numpy(result, (10,), np.dtype("f4"))[0] == 2

loaded = load()
run(*loaded)
child = os.fork()
if not child:
    signal.alarm(20)
    try:
        run(*loaded)
    except ExecutionError as error:
        assert "the threads of local-task are in the process that" in str(error)
    else:
        raise AssertionError("it ran")
    run(*load())
    sys.exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=60)
    assert done.returncode == 0


@pytest.mark.parametrize("driver", ["local-sync", "local-task"])
def test_forked_child_ends_when_python_does(double, tmp_path, driver):
    (tmp_path / "double.vmfb").write_bytes(double)
    code = """
import os, signal, sys
import numpy as np
from jaxc_runtime import buffer, device, executable

on = device.get(sys.argv[1])
program = executable.load("double.vmfb", on)
results = program([buffer.to_device(np.ones(10, np.float32), on)])
child = os.fork()
if not child:
    signal.alarm(20)
    sys.exit(3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, driver],
        cwd=tmp_path, timeout=60, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (3, b"")
