"""`jaxc dump` and `jaxc why`: every stage, every pass, and the reasons, for every target."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from tools.commands import Done, run_commands

import jaxc
import jaxc.numpy as jnp
from jaxc import lax

pytestmark = pytest.mark.compiler

MODEL = """import jax
import jax.numpy as jnp
from jax import lax

def copies(x, i, v):
    y = x.at[i].set(v)
    return y * 2 + x

def heat(u):
    def step(i, u):
        return u.at[1:-1].add(0.1 * (u[:-2] - 2 * u[1:-1] + u[2:]))
    return lax.fori_loop(0, 100, step, u)

def left_out(x, w):
    y = x @ w
    return jnp.maximum(y, 0).sum(0) + 1

def host_loop(x, w):
    return lax.scan(lambda c, _: (jnp.minimum(c @ w, 3), c.sum()), x, None, length=5)

def slot(x):
    return lax.dynamic_update_slice(jnp.sin(x), x[:2], (3,))

def until(x, w):
    return lax.while_loop(lambda c: c.sum() < 9, lambda c: jnp.minimum(c @ w, 3), x)
"""
JITTED = """import functools, jax

print("loaded")

@functools.partial(jax.jit, donate_argnums=0)
def own(x):
    print("traced")
    return x.at[0].set(1)
"""
SAVED = """
func.func @main(%x: tensor<3xf32>, %y: tensor<1xf32>, %i: tensor<i32>) -> tensor<3xf32> {
  %0 = "lax.dynamic_update_slice"(%x, %y, %i) : (tensor<3xf32>, tensor<1xf32>, tensor<i32>) -> tensor<3xf32>
  return %0 : tensor<3xf32>
}
"""  # noqa: E501
COPIES = ("model.py:copies", "--args", "f32[100], i32[], f32[]")
HEAT = ("model.py:heat", "--args", "f32[100]")
BIG = "i32[512,512], i32[512,512]"
COMMANDS = {
    "llvm": ("dump", *COPIES, "--stage", "llvm"),
    "asm": ("dump", *COPIES, "--stage", "asm"),
    "ptx": ("dump", *HEAT, "--stage", "ptx", "--target", "cuda"),
    "spirv": ("dump", *HEAT, "--stage", "spirv", "--target", "vulkan"),
    "no ptx": ("dump", *COPIES, "--stage", "ptx"),
    "linalg": ("dump", *COPIES, "--stage", "linalg"),
    "linalg again": ("dump", "linalg.mlir", "--stage", "linalg"),
    "linalg to asm": ("dump", "linalg.mlir", "--stage", "asm"),
    "loc": ("dump", *COPIES, "--stage", "linalg", "--loc"),
    "after": ("dump", *COPIES, "--after", "fuse"),
    "diff": ("dump", *COPIES, "--after", "mark_in_place", "--diff"),
    "all diffs": ("dump", *COPIES, "--diff"),
    "no pass": ("dump", *COPIES, "--after", "fuze"),
    "gpu pass": ("dump", *COPIES, "--after", "fuse", "--target", "cuda"),
    "why copies": ("why", *COPIES, "--forbid-copies"),
    "why heat": ("why", *HEAT, "--donate", "0", "--forbid-copies", "--json"),
    "why left out": ("why", "model.py:left_out", "--args", BIG),
    "why host loop": ("why", "model.py:host_loop", "--args", BIG),
    "why while": ("why", "model.py:until", "--args", BIG),
    "why cuda": ("why", *HEAT, "--target", "cuda", "--json"),
    "cuda copies": ("why", *COPIES, "--target", "cuda", "--forbid-copies"),
    "cuda unknown": (
        "why",
        "model.py:slot",
        "--args",
        "f32[9]",
        "--target",
        "cuda",
        "--forbid-copies",
    ),
    "tpu": ("dump", *HEAT, "--stage", "stablehlo", "--target", "tpu:v5e:2x2"),
    "tpu asm": ("dump", *HEAT, "--stage", "asm", "--target", "tpu:v5e:2x2"),
    "why tpu": ("why", *HEAT, "--target", "tpu:v5e:2x2"),
    "why what": ("why", "model.py:cold"),
    "stages of own": ("dump", "jitted.py:own", "--args", "f32[3]", "--all-stages", "stages"),
    "why own": ("why", "jitted.py:own", "--args", "f32[3]"),
    "why saved": ("why", "lax.mlir"),
    "saved and args": ("why", "lax.mlir", "--args", "f32[3]"),
    "saved and donate": ("why", "lax.mlir", "--donate", "0"),
    "stage of a pass": ("dump", *HEAT, "--stage", "kernel", "--after", "fuse"),
    "all and one": ("dump", *HEAT, "--stage", "kernel", "--all-stages", "stages"),
    "donate what": ("why", *HEAT, "--donate", "first"),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> dict[str, Done]:
    folder = tmp_path_factory.mktemp("seeing")
    (folder / "model.py").write_text(MODEL)
    [saved] = run_commands([COMMANDS["linalg"]], folder)
    (folder / "linalg.mlir").write_text(saved.stdout)
    (folder / "jitted.py").write_text(JITTED)
    (folder / "lax.mlir").write_text(SAVED)
    return dict(zip(COMMANDS, run_commands(list(COMMANDS.values()), folder), strict=True))


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("llvm", "define "),
        ("asm", "kernel_0:"),
        ("ptx", ".visible .entry main_dispatch_"),
        ("spirv", "spirv.module"),
        ("linalg", "flow.dispatch @kernel_0::@kernel_0("),
        ("loc", 'loc("scatter"('),
        ("after", '"kernel.fused_3to1"'),
        ("linalg to asm", "kernel_0:"),
        ("tpu", "stablehlo.while"),
    ],
)
def test_stages_below_and_around(done, command, text):
    assert done[command].returncode == 0, done[command].stderr
    assert text in done[command].stdout


def test_a_saved_linalg_stage_is_read_back(done):
    assert done["linalg again"].stdout == done["linalg"].stdout


def test_a_users_file_is_run_once_and_a_function_traced_once(done):
    text = done["stages of own"].stdout
    assert text.startswith("loaded\ntraced\nstages/00-jaxpr.jaxpr\n"), done["stages of own"]
    assert (text.count("loaded"), text.count("traced")) == (1, 1)


def test_what_a_jitted_function_donates_itself_is_known(done):
    assert "scatter: in place" in done["why own"].stdout


def test_lines_of_a_saved_stage_are_those_of_its_file(done):
    assert 'lax.mlir:3  %0 = "lax.dynamic_update_slice"(%x' in done["why saved"].stdout


def test_a_diff_shows_what_a_pass_changed_and_nothing_else(done):
    lines = done["diff"].stdout.splitlines()
    changed = [x for x in lines if x[:1] in "+-" and x[:3] not in ("+++", "---")]
    assert len(changed) == 2
    assert 'copies = "its operand is used again by add at model.py:7"' in changed[1]
    assert "after lower_boundary" in done["all diffs"].stdout
    assert "merge_equal_ops (4): no change" in done["all diffs"].stdout


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no ptx", "no stage 'ptx' for cpu:host: there are jaxpr, lax, kernel, linalg, iree"),
        ("no pass", "no pass 'fuze' for cpu:host: there are eliminate_dead_ops"),
        ("gpu pass", "no pass 'fuse' for cuda:sm_80"),
        ("tpu asm", "no stage 'asm' for tpu:v5e:2x2: there are jaxpr, lax, stablehlo"),
        ("why tpu", "XLA decides what becomes of a program for tpu:v5e:2x2"),
        ("why what", "model.py has no 'cold'"),
        ("saved and args", "lax.mlir says what its arguments are: leave out --args and --donate"),
        ("saved and donate", "lax.mlir says what its arguments are: leave out --args"),
        ("stage of a pass", "--stage kernel: --after and --diff show what a pass leaves, no stage"),
        ("all and one", "--all-stages writes every stage: leave out --stage, --after and --diff"),
        ("donate what", "expected positions such as 0,2"),
    ],
)
def test_mistakes_are_one_line(done, command, message):
    assert done[command].returncode == 2
    assert message in done[command].stderr
    assert done[command].stderr.count("\n") == 1


def test_why_names_the_copy_the_line_and_who_needs_the_operand(done):
    found = done["why copies"]
    assert found.returncode == 1  # --forbid-copies
    [line] = [x for x in found.stdout.splitlines() if "scatter:" in x]
    assert " ".join(line.split()) == (
        "model.py:6 y = x.at[i].set(v) scatter: copies f32[100]: "
        "its operand is used again by add at model.py:7"
    )
    assert "kernel_0: 7 ops" in found.stdout


def test_why_as_data(done):
    assert done["why heat"].returncode == 0
    report = json.loads(done["why heat"].stdout)
    [loop], [update] = report["loops"], report["updates"]
    assert (loop["name"], loop["trips"], loop["place"]) == ("scan", 100, "kernel_0")
    assert update["reason"] == ""
    [kernel] = [node for node in report["nodes"] if node["kind"] == "dispatch"]
    assert kernel["bytes_read"] == 400 == kernel["bytes_written"]
    # Each of 100 steps: a counter, 2 u, the two sums, 0.1 * and the update, of 98 elements.
    assert kernel["flops"] == 100 * (1 + 5 * 98)
    assert {edge["in_place"] for edge in report["edges"] if edge["source"] == "arg0"} == {True}


def test_why_says_what_is_in_no_kernel(done):
    text = done["why left out"].stdout
    assert "dot_general: the contraction takes 268 MFLOP, and a kernel's limit for int32" in text
    assert "it needs the result of dot_general at model.py:15, which is in no kernel" in text
    loop = done["why host loop"].stdout
    assert "scan, 5 steps: runs in the host program, because of dot_general at model.py:19" in loop


def test_why_of_a_gpu_reads_the_dispatches_that_iree_forms(done):
    report = json.loads(done["why cuda"].stdout)
    dispatches = [node for node in report["nodes"] if node["kind"] == "dispatch"]
    assert all(node["label"].startswith("main_dispatch_") for node in dispatches)
    lines = {line for node in dispatches for _, line in node["lines"]}
    assert {11, 12} >= lines > set()


def test_a_call_counts_every_step_of_its_host_loops(done):
    # 5 times 2 * 512 ** 3 of the contraction; of the while loop nobody knows how often.
    assert "about 1.3 GFLOP" in done["why host loop"].stdout.splitlines()[0]
    first = done["why while"].stdout.splitlines()[0]
    assert re.search(r"about 0 FLOP, .* and per step of loops whose length data decide 26\d", first)


def test_what_a_gpu_does_with_updates_is_said_or_said_not_to_be_known(done):
    found = done["cuda copies"]
    assert found.returncode == 1
    assert (
        "scatter: copies f32[100]: IREE writes a new array for it, in main_dispatch" in found.stdout
    )
    unknown = done["cuda unknown"]
    assert unknown.returncode == 2
    assert "dynamic_update_slice: not known for this target" in unknown.stdout
    assert "whether 1 of the updates copy is not known for cuda" in unknown.stderr
    assert unknown.stderr.count("\n") == 1


def test_report_in_python():
    def many(*xs):
        return [jnp.sin(x) + xs[k - 1] for k, x in enumerate(xs)]

    report = jaxc.jit(many).lower(*[jnp.ones(8)] * 21).report()
    assert len(report.dispatches) == 2
    assert "would bind more than" in report.dispatches[1].reason
    assert "for cpu:host: 2 dispatches" in str(report)
    names = {op.name for ops in report.lines().values() for _, op in ops}
    assert names == {"sin", "add"}


def test_equal_kernels_share_their_code():
    w = jnp.ones((512, 512), jnp.int32)

    def thrice(x):
        for _ in range(3):
            x = jnp.minimum(x, 3) @ w
        return x

    nodes = jaxc.jit(thrice).lower(w).report().dispatches
    assert [node.label for node in nodes] == ["kernel_0", "kernel_1", "kernel_2"]
    # The first may not overwrite the argument; the others overwrite what they read.
    assert [node.code for node in nodes] == ["kernel_0", "kernel_1", "kernel_1"]


@pytest.mark.parametrize("action", ["error", "log"])
def test_copies_can_be_forbidden_or_logged(action, caplog):
    def update(x):
        return x.at[0].set(1.0), x

    before = jaxc.config.jaxc_copy_in_place
    jaxc.config.update("jaxc_copy_in_place", action)
    try:
        if action == "error":
            with pytest.raises(jaxc.errors.CopyInPlaceError, match=r"test_seeing\.py:\d+: scatter"):
                jaxc.jit(update)(jnp.zeros(3))
        else:
            jaxc.jit(update)(jnp.zeros(3))
            assert "copies f32[3]: its operand is" in caplog.text or "argument 0" in caplog.text
        donated = jaxc.jit(lambda x: x.at[0].set(1.0), donate_argnums=0)(jnp.zeros(3))
        np.testing.assert_array_equal(donated, [1, 0, 0])
    finally:
        jaxc.config.update("jaxc_copy_in_place", before)


def test_copies_are_looked_for_whenever_the_flag_says_so(caplog):
    """In programs that were called before, and in those that another process compiled."""
    update = jaxc.jit(lambda x: x.at[0].set(5.0))
    update(jnp.zeros(3))
    before = jaxc.config.jaxc_copy_in_place
    try:
        for times in (1, 2):
            jaxc.config.update("jaxc_copy_in_place", "log")
            jaxc.clear_caches()
            update(jnp.zeros(3))
            assert caplog.text.count("copies f32[3]: argument 0 is not donated") == times
        jaxc.config.update("jaxc_copy_in_place", "error")
        with pytest.raises(jaxc.errors.CopyInPlaceError, match="argument 0 is not donated"):
            update(jnp.zeros(3))
    finally:
        jaxc.config.update("jaxc_copy_in_place", before)
    np.testing.assert_array_equal(update(jnp.zeros(3)), [5, 0, 0])


def test_scan_flops_count_every_step():
    def rnn(w, h, xs):
        def step(h, x):
            h = jnp.tanh(w @ h + x)
            return h, h

        return lax.scan(step, h, xs)

    report = jaxc.jit(rnn).lower(jnp.ones((8, 8)), jnp.ones(8), jnp.ones((5, 8))).report()
    assert sum(node.flops for node in report.dispatches) == 5 * (2 * 64 + 8 + 8)


def first_line(function, *arguments):
    return str(jaxc.jit(function).lower(*arguments).report()).split("\n")[0]


def test_what_stands_beside_a_loop_of_unknown_length_is_counted():
    def f(x):
        s = (jnp.tanh(x * 2)).sum()
        return lax.while_loop(lambda c: c < 10.0, lambda c: c + 1.0, s)

    line = first_line(f, jnp.ones(100_000))
    assert "about 300.0 kFLOP, " in line
    assert "per step of loops whose length data decide 2 FLOP, " in line


@pytest.mark.parametrize("size", [8, 512])
def test_a_loop_of_no_steps_costs_nothing(size):
    w = jnp.ones((size, size), jnp.int32)

    def f(x):
        return lax.scan(lambda c, _: (jnp.minimum(c @ w, 3), None), x, None, length=0)[0]

    assert "about 0 FLOP, " in first_line(f, w)


def test_each_of_two_branches_runs_in_half_of_the_cases():
    w = jnp.ones((512, 512), jnp.int32)

    def f(p, x):
        return lax.cond(p, lambda x: x @ w, lambda x: w @ x @ w, x)

    report = jaxc.jit(f).lower(True, w).report()
    assert f"about {(2 * 512**3 * 1.5) / 1e6:.1f} MFLOP" in str(report)  # half of three products


def test_a_dispatch_in_a_branch_or_a_loop():
    w = jnp.ones((512, 512), jnp.int32)

    def branch(p, x):
        return lax.cond(p, lambda x: jnp.minimum(x, 3) @ w, lambda x: x, x)

    def steps(p, x):
        return lax.fori_loop(0, 3, lambda i, x: branch(p, x), x)

    alone, inside = (str(jaxc.jit(f).lower(True, w).report()) for f in (branch, steps))
    assert ", in a branch\n" in alone
    assert "every step of a loop" not in alone
    assert ", in a branch, every step of a loop\n" in inside
