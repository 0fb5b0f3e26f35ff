"""The single-file format: signature, structure and checksum travel with a plain .vmfb."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

import jaxc_runtime
from jaxc_runtime import ArraySpec, ArtifactError, Metadata, executable, structure

Point = namedtuple("Point", "x y")


@pytest.fixture
def metadata() -> Metadata:
    spec = ArraySpec((1000,), "float32")
    return Metadata(
        name="sum_and_product",
        target="cpu",
        driver="local-sync",
        inputs=(spec, spec),
        outputs=(spec, spec),
        in_structure=structure.encode(({"a": 0, "b": [1]},)),
        out_structure=structure.encode(Point(0, (None, 1))),
        versions={"jaxc": "0.1.0"},
    )


@pytest.fixture
def model_path(sum_and_product, metadata, tmp_path) -> Path:
    path = tmp_path / "model.vmfb"
    path.write_bytes(jaxc_runtime.pack(sum_and_product, metadata))
    return path


X = np.arange(1000, dtype=np.float32)


def test_call_with_nested_arguments(model_path, metadata):
    program = jaxc_runtime.load(model_path)
    assert program.metadata == metadata
    result = program({"a": X, "b": [X + 1]})
    assert type(result).__name__ == "Point"
    assert result._fields == ("x", "y")
    np.testing.assert_array_equal(result.x, 2 * X + 1)
    assert result.y[0] is None
    np.testing.assert_array_equal(result.y[1], X * (X + 1))
    assert "float32[1000]" in repr(program)


def test_lists_numbers_and_wider_floats_convert(model_path):
    program = jaxc_runtime.load(model_path)
    result = program({"a": [1] * 0 or X.astype(np.float64), "b": [X.tolist()]})
    np.testing.assert_array_equal(result.x, X + X)


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        ({"a": X}, TypeError, r"argument\[0\]: expected a dict with the keys \['a', 'b'\]"),
        ({"a": X, "b": X}, TypeError, r"argument\[0\]\['b'\]: expected a list of 1"),
        ({"a": X[1:], "b": [X]}, ValueError, r"\['a'\]: expected float32\[1000\], got shape"),
        ({"a": X * 1j, "b": [X]}, TypeError, r"expected float32\[1000\], got dtype complex64"),
    ],
)
def test_wrong_arguments_name_the_leaf(model_path, argument, error, message):
    with pytest.raises(error, match=message):
        jaxc_runtime.load(model_path)(argument)


def test_iree_takes_the_file_as_a_plain_program(model_path, tmp_path):
    executable.load(model_path)
    tool = Path(sys.executable).parent / "iree-run-module"
    if not tool.exists():
        pytest.skip("needs the iree-run-module command")
    done = subprocess.run(
        [tool, f"--module={model_path}", "--function=main", "--device=local-sync",
         "--input=1000xf32=2", "--input=1000xf32=3"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "1000xf32=5" in done.stdout
    assert "1000xf32=6" in done.stdout


def test_damage_is_noticed(model_path, sum_and_product):
    data = model_path.read_bytes()
    for damaged in (data[:-1], data[10:], data[:500], b"", data[:900] + b"\x00\x01" + data[902:]):
        model_path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"model\.vmfb"):
            jaxc_runtime.load(model_path)
    model_path.write_bytes(sum_and_product)
    with pytest.raises(ArtifactError, match="no jaxc metadata"):
        jaxc_runtime.load(model_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', "null"])
def test_bad_metadata(text):
    with pytest.raises(ArtifactError):
        Metadata.from_json(text)


@pytest.mark.parametrize("nested", [0, None, (), [], {}, (0, [1, {"k": (2, None)}]), {3: 0}])
def test_structure_round_trip(nested):
    import json

    described = json.loads(json.dumps(structure.encode(nested)))
    leaves = [value for _, value in structure.flatten(described, nested)]
    assert structure.unflatten(described, leaves) == nested


def test_structure_refuses_what_a_file_cannot_rebuild():
    with pytest.raises(TypeError, match="cannot take or return a set"):
        structure.encode({1, 2})


def test_runtime_stands_alone():
    """Deployment needs NumPy, ml_dtypes and iree.runtime: no compiler, no frontend, no extras."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys("
        "['jaxc', 'jaxc_compiler', 'torch_mlir', 'iree.compiler', 'platformdirs', 'optree']));"
        "import jaxc_runtime; print(jaxc_runtime.load.__name__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
