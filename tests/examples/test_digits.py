"""The demo does what the README says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.compiler
def test_digits_demo():
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "digits.py"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "held-out accuracy 9" in done.stdout
    assert "run without jaxc: the same" in done.stdout
    out = ROOT / "examples" / "out"
    for name in ("training.png", "predictions.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
