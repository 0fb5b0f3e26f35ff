"""The lowering for GPUs: samples and programs run on lavapipe, compiled for CUDA and the others."""

from __future__ import annotations

import numpy as np
import pytest
from compiler import calls, gpu_harness
from compiler.programs import PROGRAMS

import jaxc
import jaxc.numpy as jnp
from jaxc_compiler import driver, targets
from jaxc_compiler.opset import book

pytestmark = pytest.mark.compiler

FAMILIES = sorted({op.kind for op in book.OPS.values() if op.samples} - {"linalg"})
LAVAPIPE = "vulkan:llvmpipe"


def samples(kind: str, target: str) -> list[calls.Call]:
    """The samples of a family that a target takes."""
    chip = targets.get(target).chip
    found = []
    for name, op in book.OPS.items():
        if op.kind != kind or name in calls.EXPANDED:
            continue
        found += [
            call
            for call in calls.calls(name)
            if targets.refusal(target, chip, name, frozenset(call.dtypes)) is None
        ]
    return found


def check_samples(made: list[calls.Call], spec: str) -> None:
    target = targets.get(spec)
    for call, got in zip(made, gpu_harness.run_calls(made, target), strict=True):
        calls.assert_close(call, got)


PARTS = 8  # of the elementwise samples


@pytest.mark.vulkan
@pytest.mark.parametrize("kind", sorted({*FAMILIES} - {"elementwise"}))
def test_samples_on_lavapipe(kind):
    check_samples(samples(kind, "vulkan"), LAVAPIPE)


@pytest.mark.vulkan
@pytest.mark.parametrize("part", range(PARTS))
def test_elementwise_samples_on_lavapipe(part):
    check_samples(samples("elementwise", "vulkan")[part::PARTS], LAVAPIPE)


@pytest.mark.cuda
@pytest.mark.parametrize("kind", FAMILIES)
def test_samples_on_cuda(kind):
    check_samples(samples(kind, "cuda"), "cuda:sm_80")


@pytest.mark.cuda
def test_programs_on_cuda():
    check_programs([name for name in PROGRAMS if name != "float8"], targets.get("cuda:sm_80"))


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cuda", "rocm", "metal"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_all_samples_compile(kind, target):
    made = samples(kind, target)
    assert len(driver.compile(calls.module_of_calls(made), targets.get(target)).vmfb) > 1000


# Those that make `make test` see each part of the lowering without compiling for minutes.
SHORT = (
    "softmax", "grouped conv", "depthwise conv", "complex dot", "complex reductions", "while",
    "reverse scan", "switch out of range", "loop from a value used later", "stable argsort",
    "scatter", "complex scatter", "gather", "random", "cumlogsumexp", "max pool gradient",
    "train step", "recurrent net", "attention", "solve", "stacked", "float16", "float8", "int64",
    "booleans", "empty", "scalars", "constants", "rows", "pieces in a loop",
    "sums of negations", "long reductions", "extrema of nan", "gather beside a sum", "remainders",
    "complex sums", "sums beside their array", "sum of middle loops", "normalized strided conv",
    "places beside a sum", "trace", "sine of a product", "complex beside a sum",
)  # fmt: skip


def check_programs(names, target):
    programs = [(PROGRAMS[name][0], list(PROGRAMS[name][1:])) for name in names]
    found = gpu_harness.run_programs(programs, target)
    for name, (function, arguments), results in zip(names, programs, found, strict=True):
        eager = function(*map(jnp.asarray, arguments))  # by the op book's NumPy kernels
        leaves = jaxc.tree_util.tree_leaves(eager)
        for got, leaf in zip(results, leaves, strict=True):
            assert_near(got, np.asarray(leaf), name)


def assert_near(got, wanted, name):
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype), name
    tolerance = 2e-5 if wanted.dtype.itemsize >= 4 else 2e-3
    wide = np.complex128 if wanted.dtype.kind == "c" else np.float64
    np.testing.assert_allclose(
        got.astype(wide), wanted.astype(wide), tolerance, tolerance, err_msg=name
    )


@pytest.mark.vulkan
def test_programs_on_lavapipe():
    check_programs(SHORT, targets.get(LAVAPIPE))


@pytest.mark.vulkan
@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_other_programs_on_lavapipe(part):
    names = [name for name in PROGRAMS if name not in SHORT]
    check_programs(names[part::3], targets.get(LAVAPIPE))


def compile_programs(names, spec):
    target = targets.get(spec)
    taken = [n for n in names if n != "float8" or target.name in ("vulkan", "metal")]
    programs = [(PROGRAMS[name][0], list(PROGRAMS[name][1:])) for name in taken]
    assert len(driver.compile(gpu_harness.module_of_programs(programs), target).vmfb) > 1000


def test_programs_compile_for_cuda():
    compile_programs(SHORT[::3], "cuda")


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["cuda:sm_89", "rocm:gfx1100", "rocm:gfx942", "metal"])
def test_all_programs_compile(spec):
    compile_programs(list(PROGRAMS), spec)
