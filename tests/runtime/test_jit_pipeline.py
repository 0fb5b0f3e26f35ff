"""`jit(f, pipeline=...)`: passes of the user's in the compiled program, its dumps and its cache."""

from __future__ import annotations

import numpy as np
import pytest

import jaxc
import jaxc.numpy as jnp
from jaxc import backend
from jaxc_compiler.diagnostics import CompileError
from jaxc_compiler.rewriting import build, pattern
from jaxc_tools.testing import check

pytestmark = pytest.mark.compiler
X = np.array([0.5, 1.0, -2.0], np.float32)


@pattern("lax.sin")
def sin_to_cos(op):
    """Shows in the values that the pass ran."""
    return build("lax.cos", op.operands[0])


def refuses(module, target):
    raise ValueError(f"not for {target.name}")


def f(x):
    return jnp.sin(x) + 1


@pytest.mark.parametrize(
    "pipeline",
    [sin_to_cos, [sin_to_cos], jaxc.pipeline().before("fuse", sin_to_cos),
     jaxc.pipeline("cpu,mlir(cse)").after("fold_constants", sin_to_cos)],
)  # fmt: skip
def test_a_pass_changes_the_program(pipeline):
    jitted = jaxc.jit(f, pipeline=pipeline)
    check(jitted.lower(X).as_text("kernel"), "// CHECK-NOT: lax.sin\n// CHECK: lax.cos")
    np.testing.assert_allclose(jitted(X), np.cos(X) + 1, rtol=1e-6)
    np.testing.assert_allclose(jitted.lower(X).compile()(X), np.cos(X) + 1, rtol=1e-6)


@pytest.mark.parametrize(
    "pipeline", [sin_to_cos, jaxc.pipeline("lax,sin_to_cos,stablehlo", sin_to_cos)]
)
def test_a_pass_changes_the_stablehlo(pipeline):
    text = jaxc.jit(f, pipeline=pipeline).lower(X).as_text("stablehlo")
    check(text, "// CHECK-NOT: stablehlo.sine\n// CHECK: stablehlo.cosine")


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (
            jaxc.pipeline("cpu,sin_to_cos", sin_to_cos),
            "programs for pjrt:any have no stage 'kernel'",
        ),
        (
            jaxc.pipeline().before("fuse", sin_to_cos),
            "no pass 'fuse'; there are eliminate_dead_ops",
        ),
    ],
)
def test_a_pipeline_that_does_not_lead_to_stablehlo(pipeline, message):
    lowered = jaxc.jit(f, pipeline=pipeline).lower(X)
    with pytest.raises(ValueError, match=message):
        lowered.as_text("stablehlo")


def test_a_stage_that_there_is_not():
    with pytest.raises(ValueError, match="no stage 'soup' for cpu:host: there are lax, kernel"):
        jaxc.jit(f).lower(X).as_text("soup")


def test_without_it_the_program_is_another():
    np.testing.assert_allclose(jaxc.jit(f)(X), np.sin(X) + 1, rtol=1e-6)


def test_what_is_said_of_the_program_is_of_its_passes():
    names = []
    lowered = jaxc.jit(f, pipeline=sin_to_cos).lower(X)
    for report in (lowered.report(), jaxc.jit(f).lower(X).report()):
        [kernel] = report.dispatches
        names.append({op.name for op in kernel.ops} & {"sin", "cos"})
    assert names == [{"cos"}, {"sin"}]
    assert "sin_to_cos" in lowered.explore().html
    with jaxc.profiler.record() as recorder:
        jaxc.jit(f, pipeline=sin_to_cos)(X)
    [program] = jaxc.profiler.profile_of(recorder).programs
    assert program.problem == "" and len(program.dispatches) == 1
    [kernel] = backend.dispatches_of(recorder.programs[0]).values()
    assert "cos" in {op.name for op in kernel.ops}


def test_only_passes_that_a_file_tells_are_cached_on_disk(monkeypatch):
    kept = []
    monkeypatch.setattr(backend.disk_cache(), "put", lambda key, data: kept.append(key))
    factor = 1
    jaxc.jit(lambda x: jnp.sin(x) * 3, pipeline=sin_to_cos)(X)
    assert len(kept) == 1
    jaxc.jit(lambda x: jnp.sin(x) * 4, pipeline=lambda module, target: factor)(X)
    assert len(kept) == 1


def test_a_pass_that_raises_is_named_and_harms_nothing():
    with pytest.raises(CompileError, match=r"test_jit_pipeline\.py:\d+:\d+: error: pass refuses: "
                       "ValueError: not for cpu"):  # fmt: skip
        jaxc.jit(f, pipeline=refuses)(X)
    test_without_it_the_program_is_another()


def test_what_is_no_pipeline():
    with pytest.raises(TypeError, match="expected a pass"):
        jaxc.jit(f, pipeline=3)
    with pytest.raises(ValueError, match="unknown pass 'fus'; did you mean 'fuse'"):
        jaxc.jit(f, pipeline="fus")(X)
    with pytest.raises(CompileError, match="no pass lowered it"):
        jaxc.jit(f, pipeline="lax,kernel")(X)
