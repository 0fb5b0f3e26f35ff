"""The single-file format: signatures, structure and checksum travel with plain .vmfbs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import jaxc_runtime
from jaxc_runtime import (
    ArraySpec,
    ArtifactError,
    CompiledProgram,
    ExecutionError,
    Metadata,
    Signature,
    archive,
    artifact,
    executable,
    matching,
    platforms,
    structure,
)
from jaxc_runtime.artifact import Archive, FunctionReport
from jaxc_runtime.program import Function

Point = namedtuple("Point", "x y")
VERSIONS = {"iree-base-compiler": jaxc_runtime.program.IREE_VERSION}
ARCH = matching._arch(platform.machine())


def signature_of_sum_and_product() -> Signature:
    spec = ArraySpec((1000,), "float32")
    return Signature(
        name="sum_and_product",
        symbol="main",
        inputs=(spec, spec),
        outputs=(spec, spec),
        in_structure=structure.encode(({"a": 0, "b": [1]},)),
        out_structure=structure.encode(Point(0, (None, 1))),
    )


def metadata_of(*programs: CompiledProgram) -> Metadata:
    return Metadata((signature_of_sum_and_product(),), programs, VERSIONS)


HERE = CompiledProgram("cpu:host", "local-sync", ARCH)


@pytest.fixture
def model_path(sum_and_product, tmp_path) -> Path:
    path = tmp_path / "model.vmfb"
    path.write_bytes(jaxc_runtime.pack([sum_and_product], metadata_of(HERE)))
    return path


X = np.arange(1000, dtype=np.float32)


def test_call_with_nested_arguments(model_path):
    program = jaxc_runtime.load(model_path)
    assert program.metadata.functions == (signature_of_sum_and_product(),)
    result = program({"a": X, "b": [X + 1]})
    assert type(result).__name__ == "Point"
    assert result._fields == ("x", "y")
    np.testing.assert_array_equal(result.x, 2 * X + 1)
    assert result.y[0] is None
    np.testing.assert_array_equal(result.y[1], X * (X + 1))
    assert "float32[1000]" in repr(program)
    np.testing.assert_array_equal(program.sum_and_product({"a": X, "b": [X]}).x, X + X)
    np.testing.assert_array_equal(program["main"]({"a": X, "b": [X]}).x, X + X)
    with pytest.raises(AttributeError, match="no function 'other'; there are sum_and_product"):
        program.other  # noqa: B018


def test_lists_numbers_and_wider_floats_convert(model_path):
    program = jaxc_runtime.load(model_path)
    result = program({"a": X.astype(np.float64), "b": [X.tolist()]})
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


def test_another_number_of_leaves(model_path):
    with pytest.raises(TypeError, match=r"^sum_and_product: expected 2 leaves, got 1"):
        jaxc_runtime.load(model_path).sum_and_product.flat([X])


def test_device_arrays_are_copied_when_read(model_path):
    total, _ = jaxc_runtime.load(model_path).on_device({"a": X, "b": [X]})
    np.array(total, copy=True)[...] = 5
    np.testing.assert_array_equal(np.asarray(total), X + X)
    with pytest.raises(ValueError, match="cannot be had without a copy"):
        np.array(total, copy=False)


def test_a_donated_array_is_not_copied_for_another_results_sake():
    """`f(s) = s, constant`, whose second result may be anybody's: the first is s's memory."""
    on = platforms.at("cpu")
    constant = on.to_device(np.ones(3, np.float32))
    spec = ArraySpec((3,), "float32")
    one = Signature("f", "main", (spec,), (spec, spec), {"tuple": [0]}, {"tuple": [0, 1]}, (0,))
    report = FunctionReport(1, borrowed=(1,), reused=(0,))
    function = Function(lambda views: [views[0], constant], on, one, report)
    state, borrowed = function.on_device(X[:3])
    memory = state.view()
    for _ in range(3):
        state, borrowed = function.on_device(state)
    assert state.view() is memory
    copied, _ = function.on_device(borrowed)
    assert copied.view() is not constant


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


def test_the_first_program_that_runs_here_is_taken(double, sum_and_product, tmp_path):
    """`double` stands for programs of other machines: if it ran, its values would be wrong."""
    foreign = CompiledProgram("cpu:riscv64", "local-sync", "riscv64")
    gpu = CompiledProgram("cuda:sm_89", "nonexistent-gpu")
    needy = replace(HERE, target="cpu:future", features=("warp_drive",))
    path = tmp_path / "several.vmfb"
    entries = [foreign, gpu, needy, HERE]
    programs = [double, double, double, sum_and_product]
    path.write_bytes(jaxc_runtime.pack(programs, metadata_of(*entries)))
    program = jaxc_runtime.load(path)
    assert program.target == "cpu:host"
    np.testing.assert_array_equal(program({"a": X, "b": [X]}).x, X + X)
    assert jaxc_runtime.load(path, driver="local-task").target == "cpu:host"
    path.write_bytes(jaxc_runtime.pack(programs[:3], metadata_of(*entries[:3])))
    with pytest.raises(ArtifactError) as caught:
        jaxc_runtime.load(path)
    for part in (
        f"cpu:riscv64: made for riscv64, this machine is {ARCH}",
        "cuda:sm_89: device driver 'nonexistent-gpu' does not start",
        "cpu:future: uses warp_drive, which this CPU does not have",
    ):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", ["2.0.0", "4.13.0", "", "not a version"])
def test_another_release_of_iree_is_refused(sum_and_product, tmp_path, version):
    path = tmp_path / "old.vmfb"
    metadata = replace(metadata_of(HERE), versions={"iree-base-compiler": version})
    path.write_bytes(jaxc_runtime.pack([sum_and_product], metadata))
    with pytest.raises(ArtifactError, match=r"compiled by IREE .*this runtime is IREE 3\."):
        jaxc_runtime.load(path)


def test_results_that_are_not_as_the_file_says(double, tmp_path):
    spec, wrong = ArraySpec((10,), "float32"), ArraySpec((5,), "float32")
    one = Signature("double", "main", (spec,), (wrong,), {"tuple": [0]}, 0)
    path = tmp_path / "wrong.vmfb"
    path.write_bytes(jaxc_runtime.pack([double], Metadata((one,), (HERE,), VERSIONS)))
    with pytest.raises(ExecutionError, match="results are not as its file says"):
        jaxc_runtime.load(path)(np.ones(10, np.float32))


def test_plain_programs_say_what_they_lack(model_path, sum_and_product):
    model_path.write_bytes(sum_and_product)
    with pytest.raises(ArtifactError, match="no jaxc metadata"):
        jaxc_runtime.load(model_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', "null", "[" * 100_000])
def test_bad_metadata(text):
    with pytest.raises(ArtifactError):
        Metadata.from_json(text)


def test_threads_and_forked_children_share_a_program(model_path):
    program = jaxc_runtime.load(model_path)
    wrong: list[int] = []

    def work(seed: int) -> None:
        a, b = np.random.default_rng(seed).normal(size=(2, 1000)).astype(np.float32)
        for _ in range(200):
            if not np.array_equal(program({"a": a, "b": [b]}).x, a + b):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    code = (
        "import os, sys, numpy as np, jaxc_runtime\n"
        f"program = jaxc_runtime.load({str(model_path)!r}); x = np.ones(1000, 'f4')\n"
        "run = lambda: program({'a': x, 'b': [x]}).x[0] == 2; assert run()\n"
        "child = os.fork()\n"
        "if not child: os._exit(0 if run() else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize("nested", [0, None, (), [], {}, (0, [1, {"k": (2, None)}]), {3: 0}])
def test_structure_round_trip(nested):
    described = json.loads(json.dumps(structure.encode(nested)))
    leaves = [value for _, value in structure.flatten(described, nested)]
    structure.check(described, len(leaves), "it")
    assert structure.unflatten(described, leaves) == nested


def _nested(depth: int) -> object:
    nested: object = 0
    for _ in range(depth):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        ({1, 2}, "a set: use tuples"),
        (_nested(101), "what is nested more than 100 deep"),
        (namedtuple("P", ["x", "x"], rename=True)(0, 1), r"a P with the fields \['x', '_1'\]"),
    ],
)
def test_structure_refuses_what_a_file_cannot_rebuild(nested, message):
    with pytest.raises(TypeError, match=f"cannot take or return {message}"):
        structure.encode(nested)


def test_a_structure_may_be_100_deep():
    structure.check(structure.encode(_nested(100)), 1, "it")


@pytest.mark.parametrize("name", ["", ".", "..", "a:b.irpa", "a\\b.irpa", "a/b.irpa", "a\nb", "\0"])
def test_packing_refuses_what_unpacking_would(name):
    metadata = replace(metadata_of(HERE), weights=Archive(name, "model", 0, ""))
    with pytest.raises(ArtifactError, match=r"cannot be the file|line of text"):
        jaxc_runtime.pack([b"program"], metadata)


def test_no_archive_is_written_that_metadata_cannot_name(tmp_path):
    with pytest.raises(ArtifactError, match=r"'model:v1\.irpa' cannot be the file of the weights"):
        archive.write(tmp_path / "model:v1.irpa", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "described",
    [
        1, -1, True, "0", 0.0, {"tuple": [0, 0]}, {"tuple": [1]}, {"set": [0]}, {"tuple": 0}, [0],
        {"dict": [["a", 0], ["a", 0]]}, {"dict": [[None, 0]]}, {"dict": [["a"]]}, {"dict": [0]},
        {"namedtuple": ["P", ["x", "x"], [0, None]]}, {"namedtuple": ["P", ["class"], [0]]},
        {"namedtuple": ["P", ["_x"], [0]]}, {"namedtuple": [1, ["x"], [0]]},
        {"namedtuple": ["P", ["x"], []]}, {"namedtuple": ["P", "x", [0]]}, {"namedtuple": []},
    ],
)  # fmt: skip
def test_structures_from_files_are_checked(described):
    with pytest.raises(ArtifactError):
        structure.check(described, 1, "it")


def test_runtime_stands_alone(model_path):
    """Deployment needs NumPy, ml_dtypes and iree.runtime: no compiler, no frontend, no extras."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys("
        "['jaxc', 'jaxc_compiler', 'jaxc_tools', 'torch_mlir', 'iree.compiler', 'jax', "
        "'platformdirs', 'optree', 'scipy']))\n"
        "import numpy as np, jaxc_runtime\n"
        f"x = np.ones(1000, 'f4'); program = jaxc_runtime.load({os.fspath(model_path)!r})\n"
        "assert program({'a': x, 'b': [x]}).x[0] == 2"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_packing_twice_gives_the_same_bytes(sum_and_product):
    first = jaxc_runtime.pack([sum_and_product], metadata_of(HERE))
    found = artifact.unpack(first)
    assert jaxc_runtime.pack(list(map(bytes, found.programs)), found.metadata) == first
