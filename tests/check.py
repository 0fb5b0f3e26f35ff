"""FileCheck in this process, for tests of passes.

    check(text, '''
        // CHECK: kernel.fused
        // CHECK-NOT: lax.neg
    ''')

Fails on a text without CHECK lines and on misspelt ones: a check that is never run is worse than
none. Imports nothing of jaxc.
"""

from __future__ import annotations

import contextlib
import io
import re

from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import Options
from filecheck.parser import Parser, pattern_for_opts

_KNOWN = re.compile(r"CHECK(-(DAG|COUNT-\d+|NOT|EMPTY|NEXT|SAME|LABEL))?(\{LITERAL\})?:")
# What a reader would take for a directive: CHECK-NEX:, CHEKC:, Check-not:, CHECK NOT:
_LOOKS_LIKE_ONE = re.compile(r"//\s*(ch\w*[ck]\b[\w -]*:?)", re.IGNORECASE)


def check(text: str, checks: str) -> None:
    """Match a text against FileCheck directives.

    Args:
      text: what a pass or a tool printed.
      checks: lines of `// CHECK...: pattern`.

    Raises:
      AssertionError: if a directive does not match, is misspelt, or there is none.
    """
    for line in checks.splitlines():
        found = _LOOKS_LIKE_ONE.search(line)
        if found and not _KNOWN.match(line[found.start(1) :]):
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
