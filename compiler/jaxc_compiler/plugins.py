"""Passes that are not ours: which they are, and where they go in a pipeline.

Owns `PipelineSpec`, what a user says about the pipeline before anything is compiled. Importing this
module loads no MLIR: `jit` is given such a pipeline long before its first compilation.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxc_compiler.fingerprint import fingerprint

Pass = Callable[..., None]


@dataclass(frozen=True)
class Edit:
    """Passes put into a pipeline.

    Attributes:
      where: "before", "after" or "without".
      anchor: the name of the pass they are put next to, or that is left out.
      passes: functions `(module, target)`.
    """

    where: str
    anchor: str
    passes: tuple[Pass, ...] = ()


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline with passes of the user's: made by `jaxc.pipeline`.

    Attributes:
      text: names of passes, stages or pipelines, separated by commas (see `pipeline_text`); empty
        for what the target runs by itself.
      edits: applied in order.
      named: passes that the text may name.
    """

    text: str = ""
    edits: tuple[Edit, ...] = ()
    named: tuple[Pass, ...] = ()

    def before(self, anchor: str, *passes: Pass) -> PipelineSpec:
        """With passes before the first pass of a name.

        Example:
          >>> def my_pass(module, target): ...
          >>> PipelineSpec().before("fuse", my_pass).edits[0].anchor
          'fuse'
        """
        return self._with("before", anchor, passes)

    def after(self, anchor: str, *passes: Pass) -> PipelineSpec:
        """With passes after the last pass of a name."""
        return self._with("after", anchor, passes)

    def without(self, anchor: str) -> PipelineSpec:
        """Without any pass of a name."""
        return replace(self, edits=(*self.edits, Edit("without", anchor)))

    def _with(self, where: str, anchor: str, passes: tuple[Pass, ...]) -> PipelineSpec:
        if not isinstance(anchor, str):
            raise TypeError(f"pipeline.{where}: expected the name of a pass, got {anchor!r}")
        if not passes:
            raise TypeError(f"pipeline.{where}({anchor!r}): expected one or more passes")
        checked = tuple(map(check_pass, passes))
        return replace(self, edits=(*self.edits, Edit(where, anchor, checked)))

    def fingerprint(self) -> str | None:
        """Text that changes when the pipeline does; None if that cannot be told."""
        edits = [(edit.where, edit.anchor, edit.passes) for edit in self.edits]
        return fingerprint(self.text, self.named, *edits)


# Where passes of the user's go if the user does not say: what they then see is simplified.
USUAL_ANCHOR = "eliminate_dead_ops"


def pipeline_spec(given: Any) -> PipelineSpec:
    """What was given as `pipeline=`: a spec, a text, a pass or a list of passes.

    Raises:
      TypeError: for anything else.
    """
    if isinstance(given, PipelineSpec):
        return given
    if isinstance(given, str):
        return PipelineSpec(given)
    passes = given if isinstance(given, list | tuple) else [given]
    return PipelineSpec().after(USUAL_ANCHOR, *passes)


def check_pass(given: Any) -> Pass:
    """The pass itself, if it can be called with a module and a target.

    Raises:
      TypeError: saying what was given instead.
    """
    if not callable(given) or isinstance(given, type):
        raise TypeError(f"expected a pass, a function (module, target) or a pattern, got {given!r}")
    try:
        signature = inspect.signature(given, follow_wrapped=False)  # a pattern wraps its rewrite
    except ValueError:  # a builtin without one
        return given
    try:
        signature.bind(None, None)
    except TypeError:
        message = f"pass {name_of(given)} takes {signature}, expected (module, target)"
        raise TypeError(message) from None
    return given


def name_of(run_pass: Pass) -> str:
    """The name of a pass: its function's."""
    return getattr(run_pass, "__name__", type(run_pass).__name__)


def is_ours(run_pass: Pass) -> bool:
    """Whether a pass belongs to this compiler."""
    module = getattr(run_pass, "__module__", None) or ""  # None after exec(code, {})
    return module.partition(".")[0] == "jaxc_compiler"


def passes_of(spec: PipelineSpec) -> Sequence[Pass]:
    """All passes a spec brings along."""
    return [*spec.named, *(each for edit in spec.edits for each in edit.passes)]
