"""`jaxc compile --load --pass-pipeline` and `compile_function(pipeline=)`: passes of the user's."""

from __future__ import annotations

import numpy as np
import pytest
from tools.commands import jaxc as run_command

import jaxc
import jaxc_runtime
from jaxc_compiler.diagnostics import CompileError
from jaxc_compiler.rewriting import error, ops, pattern
from jaxc_tools.compile import compile_function
from jaxc_tools.specs import ArgSpec

pytestmark = pytest.mark.compiler

X = np.array([1.0, 2.0, 3.0], np.float32)
SPEC = [ArgSpec((3,), np.dtype("f4"))]


@pattern("lax.neg")
def identity_for_neg(op):
    return op.operands[0]


def no_sines(module, target):
    for op in ops(module, "lax.sin"):
        raise error(op, f"no sines on {target.name}")


def test_a_pass_is_part_of_the_program(tmp_path):
    path = tmp_path / "f.vmfb"
    for pipeline in [
        identity_for_neg,
        jaxc.pipeline().before("fuse", identity_for_neg),
        jaxc.pipeline("lax,identity_for_neg,kernel,linalg", identity_for_neg),
    ]:
        compile_function(lambda x: -x, SPEC, path, pipeline=pipeline)
        np.testing.assert_array_equal(jaxc_runtime.load(path)(X), X)


def test_a_pass_knows_each_target(tmp_path):
    for target in ["cpu", "vulkan:llvmpipe", "pjrt:any"]:
        with pytest.raises(CompileError, match=f"no sines on {target.partition(':')[0]}"):
            compile_function(jaxc.numpy.sin, SPEC, tmp_path / "f.vmfb", target, pipeline=no_sines)


FILES = {
    "model.py": """import jax.numpy as jnp

def f(x):
    return -jnp.abs(x)
""",
    "drop_neg.py": """from jaxc_compiler.rewriting import pattern

@pattern("lax.neg")
def drop_neg(op):
    return op.operands[0]
""",
}


def test_command_line(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)

    def run(*options):
        command = ["compile", "model.py:f", "--args", "f32[3]", "-o", "f.vmfb"]
        return run_command(*command, *options, folder=tmp_path)

    done = run("--load", "drop_neg.py")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(jaxc_runtime.load(tmp_path / "f.vmfb")(-X), X)
    for options, message in [
        (["--load", "drop_neg.py", "--pass-pipeline=cpu"], "does not name the pass drop_neg"),
        (["--pass-pipeline=lax,drop_neg"], "unknown pass 'drop_neg'"),
        (["--pass-pipeline=lax"], "model.py:4:13: error: lax.abs is not legal at this stage"),
        (["--load", "none.py"], "cannot read none.py"),
    ]:
        done = run(*options)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert message in done.stderr


def test_two_files_of_one_name(tmp_path):
    (tmp_path / "model.py").write_text("def f(x): return x")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tweak.py").write_text("def tweak(module, target): pass")
    loads = ["--load", "a/tweak.py", "--load", "b/tweak.py"]
    words = ["model.py:f", "--args", "f32[3]", "-o", "f.vmfb", *loads]
    done = run_command("compile", *words, folder=tmp_path)
    assert done.returncode == 2
    assert "--load b/tweak.py: there is a pass 'tweak' already; rename one" in done.stderr
