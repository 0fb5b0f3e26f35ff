"""`jaxc why`: what the compiler decided about a function, and why."""

from __future__ import annotations

from typing import Any

from jaxc_tools.dump import Request, compiling, module_of
from jaxc_tools.errors import UsageError


def report_of(request: Request) -> Any:
    """The report of `file.py:function` (see `jaxc_compiler.report`).

    Raises:
        UsageError: unknown names, a function that does not trace or compile.
    """
    from jaxc_compiler import driver
    from jaxc_tools.compile import target_named

    target = target_named(request.target)
    with compiling(request.source):
        module = module_of(request)
        if isinstance(module, bytes):
            raise UsageError(f"{request.source}: a linalg stage holds no decisions any more")
        return driver.report(module, target)
