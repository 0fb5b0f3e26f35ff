"""`jaxc opt`: passes run on IR, as `mlir-opt` runs MLIR's.

The IR is read from a file, from standard input or traced from `file.py:function`; what the passes
leave is text that `jaxc opt` reads again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from jaxc_compiler import guard, mlir, pipeline_text, pipelines
from jaxc_compiler.diagnostics import CompileError, Diagnostic, collected, parse_diagnostic
from jaxc_compiler.dialects import kernel
from jaxc_compiler.mlir import ir
from jaxc_compiler.pipelines import Instrument, Pipeline
from jaxc_compiler.stages import Stage
from jaxc_compiler.targets import Target
from jaxc_tools.compile import target_named
from jaxc_tools.errors import UsageError, one_line
from jaxc_tools.expected import unmatched
from jaxc_tools.loading import load_passes
from jaxc_tools.sources import (
    is_function,
    located,
    lower_function,
    read_source,
    reject_arguments,
)

SEPARATOR = "// -----"


@dataclass(frozen=True)
class Options:
    """What `jaxc opt` was asked for.

    Attributes:
      pipeline: text of `jaxc_compiler.pipeline_text`.
      load: files of passes.
      target: `name` or `name:chip`.
      print_before, print_after: names of passes around which the IR is printed; "*" for all.
      timing: print how long each pass took.
      verify_each: verify after each pass, not only at the end.
      split: treat what is between `// -----` lines as modules of their own.
    """

    pipeline: str
    load: tuple[str, ...] = ()
    target: str = "cpu"
    print_before: frozenset[str] = frozenset()
    print_after: frozenset[str] = frozenset()
    timing: bool = False
    verify_each: bool = False
    split: bool = False


def optimize(source: str, options: Options, arguments: str = "") -> str:
    """The text of a program after the passes.

    Args:
      source: a file of IR, `-`, or `file.py:function`.
      options: which passes, and what is printed meanwhile (on standard error).
      arguments: shapes of the function's arguments (see `specs.parse_args`).

    Raises:
      UsageError: with the position of the first mistake, in the program or in a pass.
    """
    run = Run.of(options, source)
    if is_function(source):
        return run.text_of(lower_function(source, arguments))
    reject_arguments(source, args=arguments)
    text = read_source(source)
    chunks = split(text) if options.split else [text]
    return f"{SEPARATOR}\n".join(map(run.text_of, chunks))


def verify_diagnostics(source: str, options: Options) -> list[str]:
    """What differs between the diagnostics of a file and those it says it expects.

    A line `// expected-error @+1 {{text}}` expects an error on the next line whose message holds
    the text. `jaxc_tools.expected` has the other forms.

    Raises:
      UsageError: for a file that cannot be read, and for directives that cannot be understood.
    """
    if is_function(source):
        raise UsageError(
            f"{source}: --verify-diagnostics needs a file of IR: what is expected stands in it"
        )
    run = Run.of(options, source)
    text = read_source(source)
    found: list[Diagnostic] = []
    for chunk in split(text) if options.split else [text]:
        found += run.diagnostics_of(chunk)
    return unmatched(text, found, source)


def split(text: str) -> list[str]:
    """The modules of a text, each with as many empty lines before it as keep its line numbers."""
    chunks, first, current = [], 0, []
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.strip() == SEPARATOR:
            chunks.append("\n" * first + "".join(current))
            first, current = number + 1, []
        else:
            current.append(line)
    return [*chunks, "\n" * first + "".join(current)]


@dataclass
class Run:
    """One run of the command: the passes, resolved, and what watches them."""

    source: str
    target: Target
    pipeline: Pipeline
    instruments: list[Watcher]
    current: Current = field(default_factory=lambda: Current())

    @classmethod
    def of(cls, options: Options, source: str) -> Run:
        """Load the user's passes and look up the names.

        Raises:
          UsageError: for names and files that are not there.
        """
        if not options.pipeline:
            raise UsageError("expected --pass-pipeline; --list-passes shows what there is")
        target = target_named(options.target)
        loaded = load_passes(options.load)
        try:
            pipeline = pipeline_text.parse(options.pipeline, target, loaded)
        except ValueError as error:
            raise UsageError(str(error)) from None
        _check_names(options, pipeline)
        watching: list[Watcher] = [Printer(options.print_before, options.print_after)]
        watching += [VerifyEach()] * options.verify_each + [Timing()] * options.timing
        return cls(source, target, pipeline, watching)

    def text_of(self, program: str | ir.Module) -> str:
        """What the passes make of a text or a module."""
        with _collected() as emitted:
            try:
                result = self._run(program)
            except CompileError as error:
                raise UsageError(located(error.diagnostics[0], self.source)) from None
            finally:
                for diagnostic in emitted:
                    print(located(diagnostic, self.source), file=sys.stderr)
        for each in self.instruments:
            each.report()
        return result

    def diagnostics_of(self, text: str) -> list[Diagnostic]:
        """All that is said about a text while it is read and the passes run."""
        with _collected() as emitted:
            try:
                self._run(text)
            except CompileError as error:
                return [*emitted, *error.diagnostics]
        return emitted

    def _run(self, program: str | ir.Module) -> str:
        if isinstance(program, str) and not program.strip():
            raise UsageError(f"{self.source}: no IR there")
        module = kernel.parse(program) if isinstance(program, str) else program
        watching = [self.current, *self.instruments]
        with mlir.LOCK, mlir.CONTEXT:
            try:
                pipelines.run_passes(module, self.target, self.pipeline, watching)
                guard.verify(module, self.current.name, "opt")
            except (CompileError, UsageError):
                raise
            except Exception as error:  # of our own passes, on IR that no frontend makes
                message = f"pass {self.current.name}: {type(error).__name__}: {one_line(error)}"
                raise CompileError("opt", [Diagnostic("error", message)]) from error
            return module.operation.get_asm()


def _check_names(options: Options, pipeline: Pipeline) -> None:
    names = {pipelines.name_of(each) for _, passes in pipeline for each in passes}
    for name in sorted((options.print_before | options.print_after) - {"*"} - names):
        close = pipeline_text.suggestion(name, names)
        raise UsageError(f"no pass {name!r} in the pipeline{close}")


@contextmanager
def _collected() -> Iterator[list[Diagnostic]]:
    """What passes say without raising: remarks, and MLIR's diagnostics at locations."""

    with mlir.LOCK, mlir.CONTEXT as context, collected() as found:

        def collect(diagnostic: Any) -> bool:
            severity = str(diagnostic.severity).rpartition(".")[2].lower()
            found.append(parse_diagnostic(f"{diagnostic.location}: {diagnostic.message}", severity))
            return True

        handler = context.attach_diagnostic_handler(collect)
        try:
            yield found
        finally:
            handler.detach()


# -- what watches the passes -----------------------------------------------------------------------


class Watcher(Instrument):
    """An instrument that may have something to say when a module is done."""

    def report(self) -> None:
        """Called after the last pass of a module."""


class Current(Watcher):
    """Knows the pass that runs."""

    name = "parse"

    def before_pass(self, name: str, stage: Stage, module: ir.Module) -> None:
        self.name = name


class Printer(Watcher):
    """Prints the IR around passes of some names, "*" being all."""

    def __init__(self, before: frozenset[str], after: frozenset[str], out: TextIO | None = None):
        self.before, self.after = before, after
        self.out = out or sys.stderr

    def before_pass(self, name: str, stage: Stage, module: ir.Module) -> None:
        if {name, "*"} & self.before:
            self._print(f"IR Dump Before {name}", module)

    def after_pass(self, name: str, stage: Stage, module: ir.Module) -> None:
        if {name, "*"} & self.after:
            self._print(f"IR Dump After {name}", module)

    def _print(self, title: str, module: ir.Module) -> None:
        self.out.write(f"// -----// {title} //----- //\n{module.operation.get_asm()}")


class VerifyEach(Watcher):
    """Verifies the module after each pass."""

    def after_pass(self, name: str, stage: Stage, module: ir.Module) -> None:
        guard.verify(module, name, stage.name)


class Timing(Watcher):
    """Times passes, and prints a line for each when a module is done."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.times: list[tuple[str, float]] = []

    def before_pass(self, name: str, stage: Stage, module: ir.Module) -> None:
        self.started = self.clock()

    def after_pass(self, name: str, stage: Stage, module: ir.Module) -> None:
        self.times.append((name, self.clock() - self.started))

    def report(self) -> None:
        total = sum(seconds for _, seconds in self.times)
        for name, seconds in [*self.times, ("total", total)]:
            share = 100 * seconds / (total or 1)
            print(f"{seconds * 1e3:10.3f} ms {share:6.1f}%  {name}", file=sys.stderr)
        self.times.clear()


def list_passes() -> list[tuple[str, str]]:
    """Names of passes, stages and pipelines, with what each does."""
    ours = pipeline_text.known_passes().items()
    found = [(name, pipeline_text.description(each).partition("\n")[0]) for name, each in ours]
    found += [(f"mlir({name})", "MLIR's own.") for name in pipeline_text.UPSTREAM]
    for name, pipeline in pipelines.all_pipelines().items():
        members = (f"{stage.name}: {_names(passes)}" for stage, passes in pipeline)
        found.append((name, f"Pipeline of the stages {'; '.join(members)}."))
    return found


def _names(passes: Iterable[Callable]) -> str:
    return ", ".join(pipelines.name_of(each) for each in passes)
