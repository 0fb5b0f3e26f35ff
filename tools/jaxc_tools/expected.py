"""`// expected-error @+1 {{text}}`: what a file says about the diagnostics it leads to.

A directive stands in a comment of the line it is about, or names one relative to its own: `@+2`,
`@-1`, `@above`, `@below`. `expected-warning`, `expected-note` and `expected-remark` expect others
than errors, `expected-error-re` takes a regular expression. Imports nothing of MLIR.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jaxc_compiler.diagnostics import Diagnostic
from jaxc_tools.errors import UsageError

_DIRECTIVE = re.compile(
    r"expected-(?P<severity>error|warning|note|remark)(?P<re>-re)?"
    r"\s*(?:@(?P<where>[+-]\d+|above|below))?\s*\{\{(?P<text>.*?)\}\}"
)
# What a reader would take for a directive; FileCheck's have braces too.
_LOOKS_LIKE_ONE = re.compile(r"//(?!\s*CHECK).*(?:\{\{|\bexpected[-_]\w)")
_NAMED = {"above": -1, "below": 1, None: 0}


@dataclass(frozen=True)
class Expected:
    """One directive.

    Attributes:
      severity: "error", "warning", "note" or "remark".
      line: the line the diagnostic must be at.
      text: what its message must hold.
      pattern: whether `text` is a regular expression.
      written: the line of the directive itself.
    """

    severity: str
    line: int
    text: str
    pattern: bool
    written: int

    def matches(self, found: Diagnostic) -> bool:
        """Whether a diagnostic is the expected one."""
        if (found.severity, found.line) != (self.severity, self.line):
            return False
        if self.pattern:
            return re.search(self.text, found.message) is not None
        return self.text in found.message


def directives(text: str, source: str) -> list[Expected]:
    """All directives of a text.

    Raises:
      UsageError: for one that is misspelt: it would never be looked at.
    """
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        matches = list(_DIRECTIVE.finditer(line))
        if _LOOKS_LIKE_ONE.search(_DIRECTIVE.sub("", line)):
            raise UsageError(f"{source}:{number}: misspelt directive: {line.strip()}")
        for match in matches:
            where = match["where"]
            at = number + (_NAMED[where] if where in _NAMED else int(where))
            found.append(Expected(match["severity"], at, match["text"], bool(match["re"]), number))
    return found


def unmatched(text: str, found: Sequence[Diagnostic], source: str) -> list[str]:
    """Directives without a diagnostic and diagnostics without a directive, a line each."""
    wanted = directives(text, source)
    complaints = []
    for diagnostic in found:
        here = diagnostic.file in (None, "-", source)
        match = next((each for each in wanted if here and each.matches(diagnostic)), None)
        if match is not None:
            wanted.remove(match)
            continue
        at = f"{source}:{diagnostic.line}:{diagnostic.column}"
        complaints.append(f"{at}: error: unexpected {diagnostic.severity}: {diagnostic.message}")
    complaints += [
        f'{source}:{each.written}: error: expected {each.severity} "{each.text}" at line '
        f"{each.line} was not produced"
        for each in wanted
    ]
    return complaints
