"""Pipelines as text: what they stand for, and that no text reaches MLIR's own parser."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from jaxc_compiler import pipeline_text, pipelines, stages, targets
from jaxc_compiler.plugins import PipelineSpec, is_ours, pipeline_spec

pytestmark = pytest.mark.compiler
CPU = targets.get("cpu")


def names(pipeline):
    return [each.__name__ for _, passes in pipeline for each in passes]


def one(module, target):
    pass


def two(module, target):
    pass


def test_names_of_passes_stages_and_pipelines():
    assert names(pipeline_text.parse("fuse, mark_in_place", CPU)) == ["fuse", "mark_in_place"]
    assert names(pipeline_text.parse("kernel", CPU)) == ["fuse", "mark_in_place"]
    whole = pipeline_text.parse("gpu,mlir(cse)", CPU)
    assert names(whole) == [*names(pipelines.GPU), "mlir(cse)"]


def test_a_users_pass_comes_before_ours():
    assert pipeline_text.parse("one", CPU, {"one": one})[0][1] == (one,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fus", "unknown pass 'fus'; did you mean 'fuse'"),
        ("mlir(csee)", r"unknown pass mlir\(csee\); did you mean 'cse'"),
        ("builtin.module(cse)", "or mlir.cse., got 'builtin"),
        ("mlir(func.func(cse))", "expected the name of a pass"),
        ("", "holds no pass"),
        ("fuse,,fuse", "or mlir.cse., got ',fuse'"),
        ("fuse;fuse", "expected the name of a pass"),
    ],
)
def test_wrong_text(text, message):
    with pytest.raises(ValueError, match=message):
        pipeline_text.parse(text, CPU)


def test_garbage_is_an_error_and_nothing_else():
    choose = random.Random(0)
    words = ["fuse", "mlir", "(", ")", ",", "cse", "{", "}", "builtin.module", "=", " ", "\n", "é"]
    for _ in range(500):
        text = "".join(choose.choices(words, k=choose.randint(0, 8)))
        try:
            found = pipeline_text.parse(text, CPU)
        except ValueError:
            continue
        assert set(names(found)) <= {"fuse", "mlir(cse)"}


def test_every_upstream_pass_runs_at_every_stage():
    code = """
import numpy as np, jaxc.numpy as jnp
from jaxc_compiler import pipelines, pipeline_text, targets
from jaxc_tools.testing import module_of
def f(x):
    return jnp.sort(x).sum() + jnp.linalg.cholesky(x @ x)
for name in pipeline_text.UPSTREAM:
    module = module_of(f, np.ones((3, 3), np.complex64).real)
    for stage in ("lax", "kernel", "linalg"):
        passes = pipeline_text.parse(f"mlir({name}),{stage},mlir({name})", targets.get("cpu"))
        pipelines.run_passes(module, targets.get("cpu"), passes)
        assert module.operation.verify()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# -- what a user says ------------------------------------------------------------------------------


def test_edits():
    spec = PipelineSpec().before("fuse", one).after("eliminate_dead_ops", two)
    spec = spec.without("fold_constants")
    found = names(pipeline_text.resolve(spec, CPU))
    assert found[found.index("fuse") - 1] == "one"
    assert found[found.index("one") - 1] == "two"
    assert "fold_constants" not in found


def test_single_passes_are_put_into_stages():
    spec = PipelineSpec("fuse,mlir(cse),lower_kernels,lower_linalg,lower_boundary")
    staged = pipeline_text.resolve(spec, CPU)
    assert [stage for stage, _ in staged] == [stages.LAX, stages.KERNEL, stages.LINALG]
    assert [len(passes) for _, passes in staged] == [0, 2, 3]


@pytest.mark.parametrize(
    ("text", "target", "stage", "own"),
    [("cpu", "vulkan:llvmpipe", "kernel", "gpu"), ("stablehlo", "cpu:generic", "stablehlo", "cpu"),
     ("mlir(cse),gpu", "pjrt:xla_cpu", "linalg", "stablehlo")],
)  # fmt: skip
def test_a_pipeline_for_another_target(text, target, stage, own):
    name = text.split(",")[-1]
    message = f"pipeline {name!r} is for another target: programs for {target} have no stage "
    with pytest.raises(ValueError, match=f"{message}{stage!r}; their own is {own!r}"):
        pipeline_text.resolve(PipelineSpec(text), targets.get(target))


def test_an_edit_of_no_pass():
    with pytest.raises(ValueError, match=r"pipeline.before: no pass 'fus'; did you mean 'fuse'"):
        pipeline_text.resolve(PipelineSpec().before("fus", one), CPU)


def named(name):
    def run(module, target):
        pass

    run.__name__ = name
    return run


@pytest.mark.parametrize(
    ("text", "passes", "message"),
    [
        ("mlir(cse),cpu", [named("cse")], r"'mlir\(cse\),cpu' does not name the pass cse"),
        ("cpu", [one], "'cpu' does not name the pass one"),
        ("one,cpu", [one, named("one")], "'one,cpu': two passes are named one"),
        ("lax,kernel", [named("lax")], "no pass can be named lax: it is the name of a stage"),
        ("cpu", [named("cpu")], "no pass can be named cpu"),
    ],
)
def test_passes_that_a_text_cannot_name(text, passes, message):
    with pytest.raises(ValueError, match=message):
        pipeline_text.resolve(PipelineSpec(text, named=tuple(passes)), CPU)


def test_one_pass_may_stand_twice():
    staged = pipeline_text.resolve(PipelineSpec("one,cpu,one", named=(one, one)), CPU)
    assert names(staged).count("one") == 2


def test_a_pass_of_no_module():
    made = {}
    exec("def made_of_text(module, target): pass", made)
    assert made["made_of_text"].__module__ is None
    assert not is_ours(made["made_of_text"])
    assert is_ours(pipelines.fuse)


@pytest.mark.parametrize("given", [3, [], [one, 3], lambda module: None, PipelineSpec])
def test_what_is_no_pipeline(given):
    with pytest.raises(TypeError):
        pipeline_spec(given)
