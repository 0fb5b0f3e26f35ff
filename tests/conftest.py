"""Settings that hold for every test. Must not import jaxc: some tests check what its import loads.

Groups are markers declared in pyproject.toml: a test that needs a compiler, a GPU or real JAX says
so, and is skipped where that is missing.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile

import pytest

# Before anything reads them: tests never touch the user's compile cache (the workers of one run
# share a fresh one, through the environment they inherit), and the oracle runs on the CPU.
if "JAXC_TESTS_CACHE" not in os.environ:
    os.environ["JAXC_TESTS_CACHE"] = os.path.join(tempfile.mkdtemp(prefix="jaxc-tests-"), "cache")
os.environ["JAXC_CACHE_DIR"] = os.environ["JAXC_TESTS_CACHE"]
os.environ.setdefault("JAX_PLATFORMS", "cpu")

_NEEDS = {"compiler": "torch_mlir", "oracle": "jax"}
_NEEDS_PROGRAM = {"chromium": "chromium"}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose marker names something that is not installed."""
    for marker, package in _NEEDS.items():
        if item.get_closest_marker(marker) and importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    for marker, program in _NEEDS_PROGRAM.items():
        if item.get_closest_marker(marker) and shutil.which(program) is None:
            pytest.skip(f"needs the program {program}")
    for marker in ("vulkan", "cuda"):
        if item.get_closest_marker(marker):
            from compiler.gpu_harness import problem_of

            if problem := problem_of(marker):
                pytest.skip(f"needs a device of {marker}: {problem}")


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """`import jax` goes on meaning real JAX: an oracle that is jaxc itself would always agree."""
    alias = sys.modules.get("jaxc_tools.alias")
    if alias and any(isinstance(finder, alias.JaxFinder) for finder in sys.meta_path):
        pytest.fail(f"{item.nodeid} replaced jax by jaxc in the process of the tests")
