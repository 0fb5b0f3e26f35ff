"""Programs compiled for TPUs that are not there, and what happens without the plugin."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest

import jaxc
import jaxc.numpy as jnp
from jaxc_compiler import ahead_of_time, driver, targets
from jaxc_compiler.diagnostics import CompileError
from jaxc_runtime import CompiledProgram, Metadata, Signature, artifact
from jaxc_runtime.pjrt import compile_ahead, plugins, topology
from jaxc_tools.testing import module_of

pytestmark = pytest.mark.compiler
X = np.ones((4, 8), np.float32)
needs_libtpu = pytest.mark.skipif("tpu" not in plugins.names(), reason="needs libtpu")


def _program():
    return module_of(lambda x: (jaxc.nn.softmax(jnp.sin(x) @ x.T), x.sum()), X)


def test_without_the_plugin(monkeypatch):
    if "tpu" in plugins.names():
        monkeypatch.setenv(plugins.VARIABLE, "tpu:/nowhere/libtpu.so")
        message = r"/nowhere/libtpu\.so is not a PJRT plugin"
    else:
        message = r"the tpu plugin is not installed: pip install libtpu"
    with pytest.raises(CompileError, match=message) as caught:
        driver.compile(_program(), targets.get("tpu:v5e:2x2"))
    assert len(str(caught.value).splitlines()) == 2


def test_no_file_of_the_current_directory_is_run(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('json.py was run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(plugins.VARIABLE, "tpu:/nowhere/libtpu.so")
    with pytest.raises(CompileError, match=r"/nowhere/libtpu\.so is not a PJRT plugin"):
        ahead_of_time.compile_for_topology(b"", targets.get("tpu:v5e:2x2"))


def test_plugin_that_cannot():
    pytest.importorskip("fastatomstruct_xla_cpu")
    text = b"func.func @main(%a: tensor<3xf32>) -> tensor<3xf32> { return %a : tensor<3xf32> }"
    target = targets.Target("xla_cpu", "pjrt", chip="1x1")
    with pytest.raises(CompileError, match="Topology not supported for CPU compilation"):
        ahead_of_time.compile_for_topology(text, target)


@needs_libtpu
@pytest.mark.parametrize("topology", targets.chips("tpu"))
def test_every_generation(topology):
    compiled = driver.compile(_program(), targets.get(f"tpu:{topology}"))
    assert len(compiled.vmfb) > 10_000
    assert compiled.about["topology"] == topology
    assert compiled.about["version"].startswith("TFRT TPU")
    assert "\n" not in compiled.about["version"]


def test_what_describes_a_program_is_kept_by_its_file(monkeypatch, tmp_path, capsys):
    """libtpu's version text has two lines; stdin and libtpu stand for what they give."""
    compiled = topology.Compiled(b"executable", [], "TFRT TPU v5 lite\nBuilt on Jun 1 2026")
    monkeypatch.setattr(topology, "compile_ahead", lambda *_: compiled)
    monkeypatch.setattr("os.environ", {})
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"program")))
    monkeypatch.setattr("sys.argv", ["compile_ahead", "v5e:2x2", "-o", str(tmp_path / "out")])
    assert compile_ahead.main() == 0
    about = json.loads(capsys.readouterr().out)
    entry = CompiledProgram("tpu:v5e:2x2", "tpu", about=about)
    one = Signature("f", "main", (), (), {"tuple": []}, None)
    packed = artifact.pack([(tmp_path / "out").read_bytes()], Metadata((one,), (entry,)))
    found = artifact.unpack(packed).metadata.programs[0]
    assert found.about["version"] == "TFRT TPU v5 lite Built on Jun 1 2026"


@needs_libtpu
def test_grid_that_does_not_exist():
    with pytest.raises(CompileError, match="no topology 'v5e:3x3' of tpu"):
        driver.compile(_program(), targets.get("tpu:v5e:3x3"))


@pytest.mark.parametrize("name", ["tpu:v9:2x2", "tpu:v5e", "tpu:v5e:2xy", "tpu:2x2"])
def test_malformed_topology(name):
    with pytest.raises(ValueError, match=r"unknown topology .* of target tpu: such as v5e:2x2"):
        targets.get(name)


def test_plugin_targets():
    assert targets.get("tpu").driver == "tpu"
    assert targets.get("pjrt:xla_cpu").driver == "xla_cpu"
    with pytest.raises(ValueError, match="needs a plugin's name"):
        targets.get("pjrt")
