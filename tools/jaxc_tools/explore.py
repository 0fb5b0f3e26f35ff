"""`jaxc explore`: one HTML page with every stage of a function side by side."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from jaxc_tools.dump import Request, compiling, traced_of
from jaxc_tools.errors import UsageError
from jaxc_tools.sources import module_of_traced

if TYPE_CHECKING:
    from jaxc_compiler.explorer import Page


def explore(request: Request, output: str) -> Page:
    """Write the page of `file.py:function`, whose `problem` says if it ends before the last stage.

    Raises:
        UsageError: unknown names, a function that does not trace or compile, an unwritable file.
    """
    from jaxc.core.printer import format_with_lines
    from jaxc_compiler import driver
    from jaxc_tools.compile import target_named

    target = target_named(request.target)
    traced = traced_of(request)
    with compiling(request.source):
        page = driver.explore(
            module_of_traced(traced),
            target,
            jaxpr=format_with_lines(traced.closed),
            defined_at=_definition(traced.function),
        )
    try:
        page.save(output)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from None
    return page


def _definition(function: Any) -> tuple[str, int] | None:
    """The file and line of a function, or of the one that decorators wrap."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else None
