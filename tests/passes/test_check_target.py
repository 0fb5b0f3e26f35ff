"""What a target cannot do is refused with the user's line, and really cannot be compiled."""

from __future__ import annotations

import numpy as np
import pytest
from compiler import calls

import jaxc.numpy as jnp
from jaxc import lax
from jaxc_compiler import driver, pipelines, targets
from jaxc_compiler.diagnostics import CompileError
from jaxc_compiler.passes.check_target import check_target
from jaxc_tools.testing import module_of

pytestmark = pytest.mark.compiler


def call(name, dtype):
    """A sample of an op on a dtype."""
    return next(c for c in calls.calls(name) if dtype in c.dtypes and all(a.size for a in c.avals))


# One for each entry of `targets.REFUSALS` that can be compiled without a crash or a wrong result.
REFUSED = [
    ("metal", "add", "float64"),
    ("metal", "igamma", "float32"),
    ("vulkan:adreno", "sin", "float64"),
    ("vulkan:adreno", "zeta", "float32"),
    ("vulkan:valhall4", "div", "int64"),
    ("vulkan:vp_android_baseline_2022", "rem", "int64"),
    ("vulkan:adreno", "abs", "int64"),
]


@pytest.mark.parametrize(("spec", "name", "dtype"), REFUSED)
def test_refused_and_really_not_compiled(spec, name, dtype, monkeypatch):
    target = targets.get(spec)
    message = rf"{name} of {dtype} cannot be compiled for {target}: "
    with pytest.raises(CompileError, match=message):
        driver.compile(calls.module_of_calls([call(name, dtype)]), target)
    unchecked = tuple(
        (stage, tuple(p for p in passes if p is not check_target))
        for stage, passes in pipelines.GPU
    )
    monkeypatch.setitem(pipelines.PIPELINES, "gpu", unchecked)
    with pytest.raises(CompileError, match="at the iree stage"):
        driver.compile(calls.module_of_calls([call(name, dtype)]), target)


def to_float8(x):
    return x.astype("float8_e4m3fn")


@pytest.mark.parametrize("spec", ["cuda", "rocm:gfx1100"])
def test_float8_names_the_users_line(spec):
    module = module_of(to_float8, np.ones(3, np.float32))
    message = r"test_check_target\.py:\d+:\d+: error: convert_element_type of float8_e4m3fn"
    with pytest.raises(CompileError, match=message):
        driver.compile(module, targets.get(spec))


def test_inside_of_a_loop():
    def function(x):
        return lax.fori_loop(0, 3, lambda i, c: c.at[0].multiply(2j), x * 1j)

    module = module_of(function, np.ones(3, np.float32))
    with pytest.raises(CompileError, match="scatter-mul of complex64"):
        driver.compile(module, targets.get("cuda"))


def test_unread_values_are_not_refused():
    def function(x):
        to_float8(x)
        return jnp.sin(x)

    module = module_of(function, np.ones(3, np.float32))
    assert driver.compile(module, targets.get("cuda")).vmfb
