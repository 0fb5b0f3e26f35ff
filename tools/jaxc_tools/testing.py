"""What tests of passes are written with: modules, checks of their text, equal values.

    my_pass = load_pass("my_pass.py", beside=__file__)

    def test_double_negation_vanishes():
        module = module_of(lambda x: -(-x), np.ones(3, np.float32))
        check(check_values_kept(my_pass, module, [np.ones(3, np.float32)]), '''
            // CHECK:     func.func @main
            // CHECK-NOT: lax.neg
        ''')

Needs the `filecheck` package (`pip install -e '.[testing]'` in a checkout).
"""

from __future__ import annotations

import contextlib
import difflib
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import Options
from filecheck.parser import Parser, pattern_for_opts

import jaxc
from jaxc.lowering import lower_jaxpr
from jaxc_compiler import mlir, pipelines, reference, targets
from jaxc_compiler.dialects import kernel
from jaxc_compiler.plugins import Pass
from jaxc_compiler.stages import ANY
from jaxc_tools import loading, opt
from jaxc_tools.errors import UsageError
from jaxc_tools.expected import unmatched

_KNOWN = re.compile(r"CHECK(-(DAG|COUNT-\d+|NOT|EMPTY|NEXT|SAME|LABEL))?(\{LITERAL\})?:")
# The first word of a comment, or of a line without one.
_FIRST_WORD = re.compile(r"(?:(?://|[#;])|^(?!.*(?://|[#;])))\s*([a-z][\w-]*)", re.IGNORECASE)


def check(text: str, checks: str) -> None:
    """Match a text against FileCheck directives.

    Fails on a text without CHECK lines and on misspelt ones: a check that is never run is worse
    than none.

    Args:
      text: what a pass or a tool printed.
      checks: lines of `// CHECK...: pattern`.

    Raises:
      AssertionError: if a directive does not match, is misspelt, or there is none.

    Example:
      >>> check('%0 = "lax.sin"(%x)', "// CHECK: lax.sin")
    """
    for line in checks.splitlines():
        word = _FIRST_WORD.search(line)
        if word and _is_like_check(word[1]) and not _KNOWN.match(line, word.start(1)):
            raise AssertionError(f"misspelt directive: {line.strip()}")
    if not _KNOWN.search(checks):
        raise AssertionError("no CHECK lines")
    options = Options(match_filename="<checks>", dump_input="fail", extensions=set())
    parser = Parser(options, io.StringIO(checks), *pattern_for_opts(options))
    messages = io.StringIO()
    with contextlib.redirect_stderr(messages):
        status = Matcher(options, FInput("<text>", text), parser).run()
    if status != 0:
        raise AssertionError(f"{messages.getvalue()}\nin the text:\n{text}")


def _is_like_check(word: str) -> bool:
    """Whether a reader takes a word for a directive: CHECK-NEX, CHEKC, CHECKNOT, Check_Not."""
    word = word.upper()
    close = (difflib.SequenceMatcher(None, word[:n], "CHECK").ratio() for n in (4, 5, 6))
    return max(close) > 0.75


def load_pass(path: str, beside: str = "") -> Pass:
    """The pass of a file, as `jaxc opt --load` takes it.

    Args:
      path: the file, named like the pass.
      beside: a file in whose folder `path` is looked for: the test's `__file__`.

    Raises:
      UsageError: if there is no such pass.
    """
    return loading.load_pass(str(Path(beside).parent / path if beside else path))


def module_of(function: Callable[..., Any], *arguments: np.ndarray) -> Any:
    """The `lax` module that a Python function is traced to."""
    module = lower_jaxpr(jaxc.make_jaxpr(function)(*arguments), embed_constants=True)
    with mlir.LOCK, mlir.CONTEXT:
        assert module.operation.verify()
    return module


def module_from_text(text: str) -> Any:
    """A module of IR at any of our stages.

    Raises:
      CompileError: at the line that does not parse or verify.
    """
    return kernel.parse(text)


def run_pass(run: Pass, module: Any, target: str = "cpu") -> str:
    """Run a pass on a module, as a pipeline does; returns its text.

    Raises:
      CompileError: if the pass raises or leaves invalid IR.
    """
    with mlir.LOCK, mlir.CONTEXT:
        pipelines.run_passes(module, targets.get(target), ((ANY, (run,)),))
        assert module.operation.verify()
        return str(module)


def check_values_kept(
    run: Pass, module: Any, arguments: Sequence[np.ndarray], rtol: float = 0
) -> str:
    """Run a pass; the module must compute the same. Returns its text.

    Args:
      run: the pass.
      module: at the `lax` or the `kernel` stage: it is run by the op book's NumPy kernels.
      arguments: arrays for the parameters of `main`.
      rtol: by how much of it a result may change. With 0 the sign of a zero counts too; any NaN
        is like any other.

    Raises:
      AssertionError: with the values before and after.
    """
    before = reference.run_module(module, *arguments)
    text = run_pass(run, module)
    after = reference.run_module(module, *arguments)
    for number, (x, y) in enumerate(zip(before, after, strict=True)):
        assert x.dtype == y.dtype
        same = _close(x, y, rtol) if rtol else _identical(x, y)
        if not same.all():
            name = getattr(run, "__name__", type(run).__name__)
            values = f"before:\n{x}\nafter:\n{y}\nin the text:\n{text}"
            raise AssertionError(f"pass {name} changes result {number} of main\n{values}")
    return text


def _identical(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "c":
        return _identical(x.real, y.real) & _identical(x.imag, y.imag)
    if jaxc.numpy.issubdtype(x.dtype, jaxc.numpy.floating):
        return ((x == y) & (np.signbit(x) == np.signbit(y))) | (np.isnan(x) & np.isnan(y))
    return x == y


def _close(x: np.ndarray, y: np.ndarray, rtol: float) -> np.ndarray:
    wide = [np.asarray(each, "c16" if each.dtype.kind == "c" else "f8") for each in (x, y)]
    return np.isclose(*wide, rtol=rtol, atol=0, equal_nan=True)


def check_diagnostics(run: Pass, text: str, target: str = "cpu") -> None:
    """Compare what a pass says about IR with what the IR says it expects.

    Args:
      run: the pass.
      text: modules with lines like `// expected-error @+1 {{text}}` (or `expected-remark`),
        between `// -----` lines if they are several.
      target: what the pass is told it compiles for.

    Raises:
      AssertionError: naming what was expected and not said, said and not expected, or misspelt.
    """
    command = opt.Run("-", targets.get(target), ((ANY, (run,)),), [])
    try:
        found = [each for chunk in opt.split(text) for each in command.diagnostics_of(chunk)]
        complaints = unmatched(text, found, "-")
    except UsageError as error:
        raise AssertionError(str(error)) from None
    if complaints:
        raise AssertionError("\n".join(complaints))
