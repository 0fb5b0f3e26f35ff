"""What the compiler made of each function, collected while it compiles: dispatches and updates."""

from __future__ import annotations

import os
from typing import Any

from jaxc_compiler import flow, pipelines
from jaxc_compiler.diagnostics import parse_diagnostic
from jaxc_compiler.passes import mark_in_place
from jaxc_runtime.artifact import FunctionReport, UpdateReport


class FunctionReports(pipelines.Instrument):
    """Watches one compilation; `of` says what it saw."""

    def __init__(self) -> None:
        self._dispatches: dict[str, int] = {}
        self._borrowed: dict[str, tuple[int, ...]] = {}
        self._updates: dict[str, tuple[UpdateReport, ...]] = {}
        self._reused: dict[str, tuple[int, ...]] = {}

    def after_pass(self, name: str, stage: Any, module: Any) -> None:
        """Read the decisions on memory while they stand in the module."""
        if name != mark_in_place.mark_in_place.__name__:
            return
        for op in module.body.operations:
            symbol = op.operation.attributes["sym_name"].value
            found = mark_in_place.updates(op.operation)
            self._updates[symbol] = tuple(_update(update) for update in found)
            self._reused[symbol] = tuple(mark_in_place.reused_arguments(op.operation))

    def dispatches_formed(self, module: Any) -> None:
        """Count, and see where results come from."""
        self._dispatches = flow.count_dispatches(module)
        self._borrowed = flow.borrowed_results(module)

    def of(self, symbol: str) -> FunctionReport:
        """What became of one function."""
        return FunctionReport(
            self._dispatches[symbol],
            self._borrowed[symbol],
            self._updates.get(symbol),
            self._reused.get(symbol),
        )


def _update(update: mark_in_place.Update) -> UpdateReport:
    """The file's name without its directory: a file that is shipped tells nothing of its maker."""
    where = parse_diagnostic(update.location)
    place = f"{os.path.basename(where.file)}:{where.line}" if where.file else ""
    return UpdateReport(update.op, place, update.reason)
