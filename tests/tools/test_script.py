"""`jaxc run script.py`: like `python script.py`, with jaxc wherever the script says jax."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def run(path: Path, *arguments: str, jaxc: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(["-m", "jaxc_tools", "run"] if jaxc else []), path.name]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=path.parent)


@pytest.fixture
def script(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "script.py"
        path.write_text(text)
        return path

    return write


IMPORTS = """
import sys
import jax, jaxc
import jax.numpy as jnp
import jax.scipy.special
from jax import lax, grad
from jax.tree_util import tree_map
from jax.numpy import sin
from jax.nn import relu
import jax.random as jr
assert jax is jaxc
for name in ("numpy", "lax", "tree_util", "nn", "random", "scipy", "scipy.special"):
    assert sys.modules["jax." + name] is sys.modules["jaxc." + name], name
assert jnp.__name__ == jnp.__spec__.name == "jaxc.numpy"
try:
    import jax.no_such_module
except ModuleNotFoundError as error:
    print(error, error.name)
try:
    from jax import no_such_name
except ImportError as error:
    print(type(error).__name__)
print(grad(lambda x: sin(x) * 2)(0.0))
"""


def test_imports_mean_jaxc(script):
    done = run(script(IMPORTS))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "No module named 'jax.no_such_module' jax.no_such_module",
        "ImportError",
        "2.0",
    ]


MAIN = """
import sys, os, inspect, pickle
class Point: pass
print(__name__, __file__, sys.argv, sys.path[0] == os.getcwd())
print(type(pickle.loads(pickle.dumps(Point()))) is Point, inspect.getsource(Point))
print(sys.modules["__main__"].Point is Point, __builtins__ is not None)
"""


@pytest.mark.parametrize("arguments", [(), ("--help", "-v", "x y"), ("--input", "1")])
def test_main_module_and_arguments(script, arguments):
    path = script(MAIN)
    ours, pythons = run(path, *arguments), run(path, *arguments, jaxc=False)
    assert ours.returncode == 0, ours.stderr
    expected = pythons.stdout.replace(str(path), path.name)
    assert ours.stdout.replace(str(path), path.name) == expected


@pytest.mark.parametrize(
    "text",
    [
        "import sys; sys.exit(7)",
        "import sys; sys.exit('message')",
        "raise SystemExit",
        "import sys\n\ndef f():\n    raise ValueError('boom')\n\nf()",
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('x') from e",
        "x = (",
        "class MyError(Exception): pass\nraise MyError",
        "raise KeyboardInterrupt",
        "import os; os._exit(3)",
        "exit(4)",
    ],
)
def test_exit_status_and_traceback_are_pythons(script, text):
    path = script(text)
    ours, pythons = run(path), run(path, jaxc=False)
    status = pythons.returncode
    assert ours.returncode == (130 if status == -2 else status)
    assert ours.stderr.replace(str(path), path.name) == pythons.stderr.replace(str(path), path.name)
