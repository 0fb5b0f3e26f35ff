"""The PJRT client on XLA's CPU plugin: values, wrong calls, and the end of the process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from jaxc_runtime import ArtifactError, DeviceError, ExecutionError, pjrt
from jaxc_runtime.pjrt import plugins
from jaxc_runtime.pjrt.api import PluginError

pytest.importorskip("fastatomstruct_xla_cpu")

PROGRAM = """
func.func @main(%a: tensor<2x3xf32>, %b: tensor<3xui8>) -> (tensor<2x3xf32>, tensor<i1>) {
  %c = stablehlo.convert %b : (tensor<3xui8>) -> tensor<3xf32>
  %d = stablehlo.broadcast_in_dim %c, dims = [1] : (tensor<3xf32>) -> tensor<2x3xf32>
  %e = stablehlo.add %a, %d : tensor<2x3xf32>
  %f = stablehlo.constant dense<true> : tensor<i1>
  return %e, %f : tensor<2x3xf32>, tensor<i1>
}
"""
A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.array([1, 2, 255], np.uint8)


@pytest.fixture(scope="module")
def device():
    return pjrt.devices("xla_cpu")[0]


@pytest.fixture(scope="module")
def program(device):
    return device.load(PROGRAM)


def _run(device, program, *arrays):
    results = program([device.to_device(array) for array in arrays])
    return [device.to_numpy(r, s, d) for r, (s, d) in zip(results, program.outputs, strict=True)]


def test_values(device, program):
    total, flag = _run(device, program, A, B)
    np.testing.assert_array_equal(total, A + B)
    assert flag.shape == () and flag.dtype == bool and flag


def test_device_is_described(device):
    assert (device.platform, device.kind, device.index) == ("xla_cpu", "cpu", 0)
    assert repr(device) == "Device(xla_cpu:0)"
    assert device.target() == "pjrt:xla_cpu"


def test_signature_is_found_in_the_program(program):
    assert program.inputs == [((2, 3), np.dtype("float32")), ((3,), np.dtype("uint8"))]
    assert program.outputs == [((2, 3), np.dtype("float32")), ((), np.dtype("bool"))]


@pytest.mark.parametrize("dtype", list(pjrt.buffer.ELEMENT_TYPES), ids=str)
@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4)], ids=str)
def test_every_dtype_there_and_back(device, dtype, shape):
    array = (np.arange(6)[: int(np.prod(shape))].reshape(shape) % 2).astype(dtype)
    back = device.to_numpy(device.to_device(array), shape, dtype)
    assert back.dtype == dtype and back.tobytes() == array.tobytes()


def test_any_strides(device):
    for array in (A.T, A[::-1], A[:, ::2], np.broadcast_to(B, (2, 3))):
        back = device.to_numpy(device.to_device(array), array.shape, array.dtype)
        np.testing.assert_array_equal(back, array)


WRONG = {
    "count": ((A,), r"main: expected 2 arguments, got 1"),
    "shape": ((A.T, B), r"argument 0: expected float32\[2, 3\] .*, got float32\[3, 2\]"),
    "dtype of the same size": ((A.view(np.int32), B), r"argument 0: .*, got int32\[2, 3\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(device, program, name):
    arrays, message = WRONG[name]
    with pytest.raises(ExecutionError, match=message):
        program([device.to_device(array) for array in arrays])


def test_buffer_of_another_device(program):
    other = pjrt.devices("xla_cpu")[1]
    with pytest.raises(ExecutionError, match=r"on Device\(xla_cpu:0\), got .*xla_cpu:1"):
        program([other.to_device(A), other.to_device(B)])


def test_no_buffers(program):
    with pytest.raises(TypeError, match="expected buffers"):
        program([A, B])


def test_unknown_dtype(device):
    with pytest.raises(TypeError, match="<U1"):
        device.to_device(np.array(["x"]))


def test_result_of_another_type(device):
    with pytest.raises(TypeError, match=r"expected a buffer of int32\[3\], got uint8\[3\]"):
        device.to_numpy(device.to_device(B), (3,), np.dtype("int32"))


def test_donated_argument_is_used_up(device):
    mark = "%a: tensor<2x3xf32> {tf.aliasing_output = 0 : i32}"
    donating = device.load(PROGRAM.replace("%a: tensor<2x3xf32>", mark))
    a, b = device.to_device(A), device.to_device(B)
    total = device.to_numpy(donating([a, b])[0], (2, 3), A.dtype)
    np.testing.assert_array_equal(total, A + B)
    np.testing.assert_array_equal(device.to_numpy(b, (3,), B.dtype), B)
    with pytest.raises(ExecutionError, match="deleted or donated"):
        donating([a, b])
    with pytest.raises(ExecutionError, match="deleted or donated"):
        device.to_numpy(a, (2, 3), A.dtype)


def test_plugin_says_what_is_wrong(device):
    with pytest.raises(ArtifactError, match=r"custom op 'stablehlo\.adx' is unknown") as caught:
        device.load(PROGRAM.replace("stablehlo.add", "stablehlo.adx"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x02", b"ML\xefR", b"\xff" * 100], ids=repr)
def test_damaged_program(device, data):
    with pytest.raises(ArtifactError):
        device.load(data)


def test_results_that_are_no_arrays(device):
    text = """func.func @main() -> (tensor<3xf32>, !stablehlo.token) {
      %a = stablehlo.constant dense<1.0> : tensor<3xf32>
      %b = stablehlo.create_token : !stablehlo.token
      return %a, %b : tensor<3xf32>, !stablehlo.token
    }"""
    with pytest.raises(ArtifactError, match="results that are no arrays: 1 of type"):
        device.load(text)


def test_a_program_that_loads_and_does_not_say_its_name(device, monkeypatch):
    def refuse(*_, **__):
        raise PluginError("UNIMPLEMENTED", "no names")

    monkeypatch.setattr(type(device.client.api), "text", refuse)
    with pytest.raises(ArtifactError, match="cannot be loaded: UNIMPLEMENTED: no names"):
        device.load(PROGRAM)


def test_other_function(device):
    with pytest.raises(ArtifactError, match="no function 'second'; it has: main"):
        device.load(PROGRAM, "second")


def test_serialized_program(device, program):
    again = device.load(program.serialize())
    np.testing.assert_array_equal(_run(device, again, A, B)[0], A + B)
    assert again.inputs == program.inputs


def test_calls_from_threads(device, program):
    wrong = []

    def work(number):
        for _ in range(50):
            total = _run(device, program, A + number, B)[0]
            if not np.array_equal(total, A + number + B):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


def test_reading_waits_for_the_program(device):
    text = """func.func @main(%a: tensor<700x700xf32>) -> tensor<700x700xf32> {
      %b = stablehlo.dot %a, %a : (tensor<700x700xf32>, tensor<700x700xf32>) -> tensor<700x700xf32>
      return %b : tensor<700x700xf32>
    }"""
    square = device.load(text)
    x = device.to_device(np.full((700, 700), 1 / 700, np.float32))
    for _ in range(5):
        (x,) = square([x])
    device.wait(x)
    np.testing.assert_allclose(device.to_numpy(x, (700, 700), np.dtype("float32")), 1 / 700, 1e-4)


# -- plugins ---------------------------------------------------------------------------------------


def test_plugin_of_the_environment(monkeypatch):
    path = plugins.find("xla_cpu").path
    monkeypatch.setenv(plugins.VARIABLE, f"mine:{path}")
    assert plugins.find("mine").path == path
    assert plugins.names()[0] == "mine"
    assert pjrt.devices("mine")[0].platform == "mine"


def test_malformed_variable():
    with pytest.raises(DeviceError, match="must be name:path"):
        plugins.find("x", {plugins.VARIABLE: "libx.so"})


def test_unknown_plugin():
    with pytest.raises(DeviceError, match="no PJRT plugin 'npu': one of"):
        plugins.find("npu", {})


def test_not_a_plugin(tmp_path, monkeypatch):
    file = tmp_path / "libx.so"
    file.write_bytes(b"not a library")
    monkeypatch.setenv(plugins.VARIABLE, f"x:{file}")
    with pytest.raises(DeviceError, match="is not a PJRT plugin"):
        pjrt.devices("x")


def test_a_plugin_that_does_not_open_leaves_the_environment_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv(plugins.VARIABLE, f"tpu:{tmp_path / 'libtpu.so'}")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    before = dict(os.environ)
    with pytest.raises(DeviceError, match="is not a PJRT plugin"):
        pjrt.devices("tpu")
    assert dict(os.environ) == before


def test_what_a_plugin_reads_is_set_while_it_opens(monkeypatch):
    monkeypatch.setattr(plugins, "glob", lambda _: [])
    monkeypatch.setattr(os, "environ", {"TPU_WORKER_ID": "7"})
    with pytest.raises(DeviceError), plugins.prepared("tpu"):
        assert os.environ == plugins.WITHOUT_TPU | {
            "TF_CPP_MIN_LOG_LEVEL": "3", "TPU_WORKER_ID": "7"
        }  # fmt: skip
        raise DeviceError
    assert os.environ == {"TPU_WORKER_ID": "7"}


def test_package_that_is_not_installed():
    if plugins._library(plugins.PACKAGES["tpu"]):
        pytest.skip("libtpu is installed")
    with pytest.raises(DeviceError, match=r"pip install libtpu"):
        pjrt.devices("tpu")


def test_other_options_of_an_open_client(device):
    with pytest.raises(DeviceError, match="is open with"):
        pjrt.get("xla_cpu", cpu_device_count=7)


# -- the process -----------------------------------------------------------------------------------

SCRIPT = """
import os, signal, sys, numpy as np
import jaxc_runtime
assert not any(name.startswith("jaxc_runtime.pjrt") for name in sys.modules)
from jaxc_runtime import pjrt, platforms
device = pjrt.get("xla_cpu", cpu_device_count=2).devices[1]
assert platforms.devices("xla_cpu")[1] is device
text = '''func.func @main(%a: tensor<900x900xf32>) -> tensor<900x900xf32> {
  %b = stablehlo.dot %a, %a : (tensor<900x900xf32>, tensor<900x900xf32>) -> tensor<900x900xf32>
  return %b : tensor<900x900xf32>
}'''
program = device.load(text)
x = device.to_device(np.ones((900, 900), np.float32))
child = os.fork()
if child == 0:
    signal.alarm(60)
    for use in (lambda: program([x]), lambda: device.to_numpy(x, x.shape, x.dtype), x.wait,
                lambda: device.to_device(np.ones(3)), program.serialize):
        try:
            use()
        except jaxc_runtime.ExecutionError as error:
            assert "the process that this one was forked from" in str(error)
        else:
            raise AssertionError("it ran")
    for find in (pjrt.devices, platforms.devices):
        try:
            find("xla_cpu")
        except jaxc_runtime.DeviceError as error:
            assert "no xla_cpu device: the plugin was opened by the process" in str(error)
        else:
            raise AssertionError("it opened")
    del x, program
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
for _ in range(10):
    (x,) = program([x])
print("left while it works")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_and_end_of_the_process_while_a_program_runs():
    command = [sys.executable, "-c", SCRIPT]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stdout, found.stderr) == (0, "left while it works\n", "")
