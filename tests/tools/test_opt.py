"""`jaxc opt` and `jaxc new-pass`: what they print, write and refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tools.commands import jaxc

from jaxc_tools.testing import check

pytestmark = pytest.mark.compiler

NEGATIONS = """func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
  %0 = "lax.neg"(%x) : (tensor<3xf32>) -> tensor<3xf32>
  %1 = "lax.neg"(%0) : (tensor<3xf32>) -> tensor<3xf32>
  return %1 : tensor<3xf32>
}
"""
PROGRAM = """import jax.numpy as jnp

def f(x, y):
    return jnp.sin(x) + -(y * 2)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("neg.mlir").write_text(NEGATIONS)
    Path("program.py").write_text(PROGRAM)
    return tmp_path


@pytest.fixture
def opt(here):
    def run(*arguments, status=0, stdin=""):
        done = jaxc("opt", *arguments, stdin=stdin)
        assert done.returncode == status, done.stderr
        return done

    return run


def write(name, body):
    Path(f"{name}.py").write_text(
        "from jaxc_compiler.rewriting import *\n"
        f"def {name}(module, target):\n    for op in ops(module, 'lax.neg'):\n        {body}\n"
    )


def test_passes_run_and_their_text_is_read_again(opt):
    out = opt("neg.mlir", "--pass-pipeline=fold_shape_ops").stdout
    check(out, "// CHECK: func.func @main\n// CHECK-NEXT: return %arg0")
    opt("program.py:f", "--args", "f32[3], f32[3]", "--pass-pipeline=lax,kernel", "-o", "k.mlir")
    check(Path("k.mlir").read_text(), "// CHECK: kernel.fused_2to1\n// CHECK: lax.yield_1to0")
    check(opt("k.mlir", "--pass-pipeline=linalg").stdout, "// CHECK: hal.executable")


def test_what_is_printed_meanwhile(opt):
    found = opt("neg.mlir", "--pass-pipeline=lax", "--print-after", "fold_shape_ops", "--timing")
    check(found.stderr, """
        // CHECK: IR Dump After fold_shape_ops
        // CHECK: ms {{.*}}  fold_constants
        // CHECK: ms {{.*}}  total
    """)  # fmt: skip
    everything = opt("neg.mlir", "--pass-pipeline=lax", "--print-after-all", "--print-before-all")
    assert (
        everything.stderr.count("IR Dump After") == everything.stderr.count("IR Dump Before") == 5
    )


def test_a_users_pass(opt):
    write("stops_here", "raise error(op, 'no negations')")
    found = opt("neg.mlir", "--load", "stops_here.py", "--pass-pipeline=stops_here", status=2)
    assert found.stderr == "jaxc: neg.mlir:2:8: error: pass stops_here: no negations\n"


def test_remarks_stop_nothing(opt):
    write("says", "remark(op, 'a negation')")
    text = NEGATIONS.replace("  %1", "  // expected-remark @+1 {{a negation}}\n  %1")
    Path("neg.mlir").write_text(text)
    arguments = ["neg.mlir", "--load", "says.py", "--pass-pipeline=says"]
    found = opt(*arguments)
    assert "return %1" in found.stdout
    assert found.stderr.splitlines()[0] == "neg.mlir:2:8: remark: pass says: a negation"
    found = opt(*arguments, "--verify-diagnostics", status=1)
    assert found.stderr == "neg.mlir:2:8: error: unexpected remark: pass says: a negation\n"


def test_ir_comes_from_standard_input(opt):
    assert "return %arg0" in opt("--pass-pipeline=fold_shape_ops", stdin=NEGATIONS).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["neg.mlir"], "expected --pass-pipeline"),
        (["neg.mlir", "--pass-pipeline=fus"], "unknown pass 'fus'; did you mean 'fuse'?"),
        (["neg.mlir", "--pass-pipeline=mlir(cse"], "expected the name of a pass"),
        (["none.mlir", "--pass-pipeline=fuse"], "cannot read none.mlir"),
        (["neg.mlir", "--pass-pipeline=fuse", "--print-after", "fus"], "did you mean 'fuse'?"),
        (["neg.mlir", "--pass-pipeline=fuse", "--target", "tpu9"], "unknown target 'tpu9'"),
        (["neg.mlir", "--pass-pipeline=x", "--load", "none.py"], "cannot read none.py"),
        (["neg.mlir", "--pass-pipeline=x", "--load", "program.py"], "program.py has no 'program'"),
        (["neg.mlir", "--pass-pipeline=fuse", "-o", "no/where"], "cannot write no/where"),
        (["neg.mlir", "--pass-pipeline=fuse", "--args", "f32[3]"], "leave out --args"),
        (
            ["program.py:f", "--pass-pipeline=fuse", "--verify-diagnostics"],
            "program.py:f: --verify-diagnostics needs a file of IR",
        ),
        (["program.py:g", "--pass-pipeline=fuse"], "program.py has no 'g'"),
        (["program.py", "--pass-pipeline=fuse"], "program.py:1:1: error: "),
    ],
)
def test_mistakes_are_one_line(opt, arguments, message):
    found = opt(*arguments, status=2)
    assert message in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("lax.neg", "lax.nog", "2:8: error: unregistered operation 'lax.nog'"),
        ("-> tensor<3xf32>\n  ret", "-> tensor<4xf32>\n  ret", "4:10: error: use of value '%1'"),
        ("return %1", "return %7", "4:10: error: use of undeclared SSA value"),
        (NEGATIONS, "\n", "no IR there"),
    ],
)
def test_mistakes_in_ir_have_a_position(opt, old, new, where):
    Path("bad.mlir").write_text(NEGATIONS.replace(old, new, 1))
    assert f"bad.mlir:{where}" in opt("bad.mlir", "--pass-pipeline=lax", status=2).stderr.replace(
        "bad.mlir: no", "bad.mlir:no"
    )


_MUTATIONS = """
import random, re, sys
from jaxc_compiler import pipeline_text, pipelines, targets
from jaxc_compiler.dialects import kernel
from jaxc_tools.sources import lower_function
cpu = targets.get("cpu")
text = lower_function("program.py:f", "f32[3], f32[3]").operation.get_asm()
words = ["0", "-1", "9" * 30, "lax.yield_1to0", "lax.scan_1to1", "tensor<?xf32>", "tensor<*xf32>",
         "!lax.key", "%0", "({", "})", "()", "index", "kernel.fused_1to1", "lax.scan_99999to3"]
choose, parsed = random.Random(1), 0
for _ in range(300):
    places = [m.span() for m in re.finditer(r"[\\w.%!<>]+|[(){},:=]", text)]
    start, end = choose.choice(places)
    other = choose.choice([*words, "", text[slice(*choose.choice(places))]])
    try:
        module = kernel.parse(text[:start] + other + text[end:])
        parsed += 1
        pipeline = choose.choice(["cpu", "lax,kernel", "fold_shape_ops", "mlir(canonicalize)"])
        pipelines.run_passes(module, cpu, pipeline_text.parse(pipeline, cpu))
    except Exception:
        pass
print(parsed > 5)
"""


def test_altered_ir_never_ends_the_process(here):
    command = [sys.executable, "-c", _MUTATIONS]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_expected_diagnostics(opt):
    write("stops_here", "raise error(op, 'no negations')")
    wrong = NEGATIONS.replace("(tensor<3xf32>) -> tensor<3xf32>\n  return", "(i1) -> i1\n return")
    chunks = [
        NEGATIONS.replace("{\n", "{  // expected-error @+1 {{no neg}}\n", 1),
        wrong.replace("return %1", "return %1  // expected-error-re @-1 {{type.*i1}}"),
    ]
    Path("both.mlir").write_text("// -----\n".join(chunks))
    arguments = ["both.mlir", "--load", "stops_here.py", "--pass-pipeline=stops_here"]
    arguments += ["--split-input-file", "--verify-diagnostics"]
    assert opt(*arguments).stderr == ""
    Path("both.mlir").write_text("// -----\n".join([*chunks, chunks[0].replace("no neg", "other")]))
    found = opt(*arguments, status=1).stderr.splitlines()
    assert found == [
        "both.mlir:14:8: error: unexpected error: pass stops_here: no negations",
        'both.mlir:13: error: expected error "other" at line 14 was not produced',
    ]
    Path("both.mlir").write_text(NEGATIONS + "// expected-eror {{x}}\n")
    assert "misspelt directive" in opt(*arguments, status=2).stderr


def test_modules_of_one_file(opt):
    Path("two.mlir").write_text(f"{NEGATIONS}// -----\n{NEGATIONS}")
    out = opt("two.mlir", "--split-input-file", "--pass-pipeline=fold_shape_ops").stdout
    assert out.count("// -----\n") == 1
    assert out.count("return %arg0") == 2


def test_list_of_passes(opt):
    out = opt("--list-passes").stdout
    check(out, """
        // CHECK: eliminate_dead_ops{{ +}}Removes ops whose results nobody reads.
        // CHECK: mlir(cse)
        // CHECK: cpu{{ +}}Pipeline of the stages lax:
    """)  # fmt: skip


# -- jaxc new-pass ---------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--pattern"]])
def test_a_new_pass_runs_and_its_test_passes(opt, options):
    name = f"use_sub_{len(options)}"
    assert jaxc("new-pass", name, *options).returncode == 0
    out = opt(
        "program.py:f", "--args", "f32[3], f32[3]", "--load", f"{name}.py",
        f"--pass-pipeline={name},eliminate_dead_ops",
    ).stdout  # fmt: skip
    check(out, "// CHECK-NOT: lax.neg\n// CHECK: lax.sub\n// CHECK-NEXT: return")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"test_{name}.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert "2 passed" in done.stdout, done.stdout
    again = jaxc("new-pass", name)
    assert again.returncode == 2
    assert f"{name}.py exists already" in again.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fuse", "a pass or a stage of jaxc's own"),
        ("kernel", "a pass or a stage of jaxc's own"),
        ("random", "is a Python module"),
        ("a-b", "is no name of a pass"),
        ("class", "is no name of a pass"),
        ("../x", "is no name of a pass"),
    ],
)
def test_names_a_pass_cannot_have(here, name, message):
    done = jaxc("new-pass", name)
    assert done.returncode == 2
    assert message in done.stderr
    assert not [path for path in here.iterdir() if path.name.startswith("test_")]


def test_what_a_jitted_function_donates_itself(opt):
    text = "import jax\nf = jax.jit(lambda x: x.at[0].set(1), donate_argnums=0)\n"
    Path("jitted.py").write_text(text)
    check(
        opt("jitted.py:f", "--args", "f32[3]", "--pass-pipeline=lax,kernel").stdout,
        "// CHECK: in_place = [0]",
    )
