"""`jax.profiler` and `jaxc profile`: times that add up, lines, and a trace that viewers open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from runtime.device_harness import device_of
from tools.commands import jaxc as jaxc_command

import jaxc
import jaxc.numpy as jnp
from jaxc.extend import define_op
from jaxc_runtime import replay

pytestmark = pytest.mark.compiler

SCRIPT = """import sys
import jax
import jax.numpy as jnp

@jax.jit
def step(x, w):
    h = jnp.tanh(x @ w)
    return h / jnp.max(h)

x = jnp.ones((256, 256))
for k in range(20):
    x = step(x, x)
y = jnp.sin(x)
print(sys.argv[1:])
sys.exit(3)
"""


def spans(path):
    events = json.loads(path.read_text())["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X"}
    found = [event for event in events if event["ph"] == "X"]
    for event in found:
        assert event["ts"] >= 0
        assert event["dur"] >= 0
        assert {"name", "cat", "pid", "tid", "args"} <= event.keys()
    return found


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    (folder / "script.py").write_text(SCRIPT)
    command = ["profile", "-o", "t.json", "--top", "4", "script.py", "--flag", "x"]
    done = subprocess.run(
        [sys.executable, "-m", "jaxc_tools", *command], capture_output=True, text=True, cwd=folder
    )
    return folder, done


def test_the_script_runs_as_itself(script):
    _, done = script
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("['--flag', 'x']\n")


def test_the_tables_name_programs_dispatches_lines_and_ops(script):
    _, done = script
    lines = [line.split() for line in done.stdout.splitlines()]
    assert any(line[:2] == ["step", "20"] for line in lines)
    assert any(line[:2] == ["kernel_0", "20"] for line in lines)
    assert any(line[:1] == ["script.py:7"] for line in lines)
    assert any(line[:2] == ["sin", "1"] for line in lines)


def test_the_trace_nests_dispatches_in_their_calls(script):
    folder, _ = script
    found = spans(folder / "t.json")
    calls = [event for event in found if event["cat"] == "program"]
    dispatches = [event for event in found if event["cat"] == "dispatch"]
    assert len(calls) == len(dispatches) == 20
    for call, dispatch in zip(calls, dispatches, strict=True):
        assert dispatch["name"] == "step: kernel_0"
        assert dispatch["ts"] == pytest.approx(call["ts"])
        assert dispatch["dur"] <= call["dur"] * 1.001
        assert call["args"]["line"].endswith("script.py:12")
        assert "script.py:7" in dispatch["args"]["lines"]


def test_a_mistake_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jaxc_tools", "profile", "missing.py"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "jaxc: cannot read missing.py: No such file or directory\n"


def test_programs_and_kernels_of_the_user_are_recorded():
    value = object()
    doubled = define_op("doubled")(lambda x, *, kernel=1: x * 2)
    doubled.def_numpy(lambda x, *, kernel: x * 2)
    try:
        with jaxc.profiler.record() as recorder:
            doubled(jnp.ones(2))
            jaxc.jit(lambda x: x - 7, pipeline=lambda module, target: value)(jnp.ones(2))
    finally:
        doubled.remove()
    found = {(event.name, event.category) for event in recorder.events}
    assert {("doubled", "eager"), ("compile <lambda>", "compile")} <= found
    assert all(e.line[0] == __file__ for e in recorder.events if e.name == "doubled")


def test_a_folder_that_is_none_leaves_the_profiler_as_it_was(tmp_path):
    with pytest.raises(TypeError):
        jaxc.profiler.start_trace(None)
    with jaxc.profiler.trace(tmp_path):
        jnp.sin(jnp.ones(2))
    assert any(span["name"] == "sin" for span in spans(tmp_path / jaxc.profiler.FILE_NAME))


def profiled(folder):
    command = [sys.executable, "-m", "jaxc_tools", "profile", "-o", "t.json", "script.py"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


WANDERER = """import os, sys
os.mkdir("elsewhere")
os.chdir("elsewhere")
sys.exit("lost")
"""


def test_a_script_that_changes_folders_and_ends_with_a_message(tmp_path):
    (tmp_path / "script.py").write_text(WANDERER)
    done = profiled(tmp_path)
    assert (done.returncode, done.stderr) == (1, "lost\n")
    assert "traceEvents" in json.loads((tmp_path / "t.json").read_text())


def test_an_unwritable_trace_is_said_before_the_script_runs(tmp_path):
    (tmp_path / "script.py").write_text(WANDERER)
    done = jaxc_command("profile", "-o", "no/t.json", "script.py", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "jaxc: cannot write no/t.json: No such file or directory\n"
    assert not (tmp_path / "elsewhere").exists()


def test_a_trace_that_becomes_unwritable_leaves_the_tables(tmp_path):
    (tmp_path / "script.py").write_text("import os\nos.mkdir('t.json')")
    done = profiled(tmp_path)
    assert done.returncode == 2
    assert "in all: " in done.stdout
    assert done.stderr.endswith("t.json: Is a directory\n")


def test_times_add_up_to_what_a_clock_says():
    @jaxc.jit
    def work(x):
        return jnp.tanh(x @ x) @ x

    x = jnp.full((384, 384), 1e-3)
    work(x).block_until_ready()
    with jaxc.profiler.record() as recorder:
        work(x).block_until_ready()
        start = time.perf_counter()
        for _ in range(10):
            work(x).block_until_ready()
        clock = time.perf_counter() - start
    profile = jaxc.profiler.profile_of(recorder)
    [program] = profile.programs
    assert len(program.calls) == 11
    assert sum(program.calls[1:]) <= clock
    assert sum(program.calls[1:]) > 0.8 * clock
    [kernel] = program.dispatches
    assert kernel.count == 1
    # What the kernel takes alone is about what a call takes; the bounds allow for a busy machine.
    assert 0.2 * min(program.calls) < kernel.seconds < 5 * np.median(program.calls)
    assert sum(kernel.shares.values()) == pytest.approx(1)
    on_lines = sum(line.compiled for line in profile.lines.values())
    assert on_lines == pytest.approx(kernel.seconds * 11 * program.scale)
    assert on_lines <= program.seconds * 1.001


def test_trace_writes_annotations_steps_and_functions(tmp_path):
    @jaxc.profiler.annotate_function
    def load():
        return jnp.ones(3) * 2

    with jaxc.profiler.trace(tmp_path / "log"):
        with jaxc.profiler.StepTraceAnnotation("train", step_num=7):
            load()
        with jaxc.profiler.TraceAnnotation("evaluate"):
            pass
    found = spans(tmp_path / "log" / "jaxc.trace.json")
    named = {event["name"]: event for event in found}
    assert named["train"]["args"]["step_num"] == "7"
    assert {"evaluate", "multiply"} <= named.keys()
    [inner] = [event for event in found if event["name"].endswith("load")]
    outer = named["train"]
    assert outer["ts"] <= inner["ts"]
    assert inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"]


def test_one_trace_at_a_time(tmp_path):
    with pytest.raises(RuntimeError, match="No profile started"):
        jaxc.profiler.stop_trace()
    jaxc.profiler.start_trace(tmp_path)
    with pytest.raises(RuntimeError, match="already been started"):
        jaxc.profiler.start_trace(tmp_path)
    with jaxc.profiler.TraceAnnotation("the only one"):
        pass
    jaxc.profiler.stop_trace()
    assert [event["name"] for event in spans(tmp_path / "jaxc.trace.json")] == ["the only one"]


def test_nothing_is_recorded_after_the_end():
    f = jaxc.jit(lambda x: x + 1)
    with jaxc.profiler.record() as recorder:
        f(jnp.ones(3))
    count = len(recorder.events)
    f(jnp.ones(3))
    jnp.sin(jnp.ones(3))
    assert len(recorder.events) == count


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "float16", "bfloat16", "complex64"])
def test_programs_of_every_kind_of_argument_are_replayed(dtype):
    f = jaxc.jit(lambda x: x[::-1])
    with jaxc.profiler.record() as recorder:
        f(jnp.ones((2, 3), dtype))
    [program] = jaxc.profiler.profile_of(recorder).programs
    assert program.problem == ""
    assert [d.name for d in program.dispatches] == ["kernel_0"]


@pytest.fixture
def every_platform():
    before = jaxc.config.jax_platforms
    jaxc.config.update("jax_platforms", None)
    yield
    jaxc.config.update("jax_platforms", before)


@pytest.mark.vulkan
def test_dispatches_of_a_vulkan_device(every_platform):
    device = device_of("vulkan")
    step = jaxc.jit(lambda x: jnp.tanh(x @ x) / jnp.max(x))
    x = jaxc.device_put(np.ones((64, 64), np.float32), device)
    with jaxc.profiler.record() as recorder:
        for _ in range(3):
            step(x)
    profile = jaxc.profiler.profile_of(recorder)
    [program] = profile.programs
    assert program.problem == ""
    assert any("matmul" in dispatch.name for dispatch in program.dispatches)
    assert all(d.seconds > 0 and d.count == 1 and d.shares for d in program.dispatches)
    assert sum(d.flops for d in program.dispatches) > 2 * 64**3
    assert 0 < sum(line.compiled for line in profile.lines.values()) <= program.seconds * 1.001


def test_a_program_that_cannot_be_replayed_says_so():
    with pytest.raises(replay.ReplayError, match=r"does not run alone: [A-Z_]+: ") as caught:
        replay.time_dispatches(b"no program", [], "local-sync", 1.0)
    assert ".c:" not in str(caught.value)
    with pytest.raises(replay.ReplayError, match="does not report"):
        replay.time_dispatches(b"", [], "cuda", 1.0)


@pytest.mark.skipif(os.name != "posix", reason="its program is a shell script")
def test_a_program_that_does_not_end_says_so(monkeypatch, tmp_path):
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(replay, "_PATIENCE", 0.1)
    monkeypatch.setattr(replay, "_tool", lambda _: str(sleeper))
    with pytest.raises(replay.ReplayError, match=r"no end after 0\.1 seconds"):
        replay.time_dispatches(b"", [], "local-sync", 1.0)
