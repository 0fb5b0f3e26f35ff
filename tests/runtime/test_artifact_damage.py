"""Damaged and altered files by the hundred: refused in one line or right, never wrong, no crash."""

from __future__ import annotations

import collections
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxc_runtime
from jaxc_runtime import ArraySpec, CompiledProgram, Metadata, Signature, archive, matching
from jaxc_runtime.artifact import FunctionReport, UpdateReport

DAMAGE = Path(__file__).with_name("damage.py")
SPEC = ArraySpec((1000,), "float32")
OUT = {"namedtuple": ["P", ["x", "y"], [0, {"tuple": [None, 1]}]]}
IN = {"tuple": [{"dict": [["a", 0], ["b", {"list": [1]}]]}]}


@pytest.fixture(scope="module")
def good(sum_and_product_of_weights, double, tmp_path_factory) -> Path:
    """A file with an archive and programs for two targets; the second would give wrong values."""
    one = Signature("sum_and_product", "main", (SPEC, SPEC), (SPEC, SPEC), IN, OUT, (1,))
    reports = {"main": FunctionReport(1, (0,), (UpdateReport("scatter", "f.py:1", ""),), (0,))}
    arch = matching._arch(platform.machine())
    programs = (
        CompiledProgram("cpu:host", "local-sync", arch, (), reports),
        CompiledProgram("cpu:riscv64", "local-sync", "riscv64"),
    )
    versions = {"iree-base-compiler": jaxc_runtime.program.IREE_VERSION}
    path = tmp_path_factory.mktemp("damage") / "good.vmfb"
    ones = {"w0": np.ones(1000, np.float32)}
    kept = archive.write(path.with_suffix(".irpa"), ones)
    metadata = Metadata((one,), programs, versions, kept)
    path.write_bytes(jaxc_runtime.pack([sum_and_product_of_weights, double], metadata))
    jaxc_runtime.load(path)
    return path


@pytest.mark.parametrize(
    ("kind", "allowed", "at_least"),
    [
        ("bytes_changed", {"refused"}, 700),
        ("trailer_changed", {"refused"}, 40),
        # Somebody who makes a new checksum may also leave a file that is right, or one whose
        # signature does not fit its program.
        ("metadata_changed", {"refused", "named", "right"}, 1500),
    ],
)
def test_damage(good, kind, allowed, at_least):
    command = [sys.executable, str(DAMAGE), str(good), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{lines[-1]}: {done.stderr[-500:]}"
    wrong = [
        line for line in lines
        if line[-1] not in allowed and not (line[0] == "same" and line[-1] == "right")
    ]  # fmt: skip
    assert not wrong, wrong[:10]
    counts = collections.Counter(line[-1] for line in lines)
    assert counts["refused"] >= at_least, counts
