"""`jaxc explore`: one HTML page with every stage of a function side by side."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from jaxc_tools.dump import Request, compiling, traced_of
from jaxc_tools.errors import UsageError
from jaxc_tools.loading import load_function


def explore(request: Request, output: str) -> int:
    """Write the page of `file.py:function`; returns its size in bytes.

    Raises:
        UsageError: unknown names, a function that does not trace or compile, an unwritable file.
    """
    from jaxc.core.printer import format_with_lines
    from jaxc.lowering import lower_jaxpr
    from jaxc.physical import physicalize
    from jaxc_compiler import driver
    from jaxc_tools.compile import target_named

    target = target_named(request.target)
    traced = traced_of(request)
    closed = physicalize(traced.closed)

    def make_module():
        return lower_jaxpr(closed, traced.name, traced.donated or ())

    with compiling(request.source):
        page = driver.explore(
            make_module,
            target,
            jaxpr=format_with_lines(traced.closed),
            defined_at=_definition(load_function(request.source)),
        )
    try:
        page.save(output)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from None
    return Path(output).stat().st_size


def _definition(function: Any) -> tuple[str, int] | None:
    """The file and line of a function, or of the one that decorators wrap."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else None
