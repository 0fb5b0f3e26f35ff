"""Pipelines as text, as `jaxc opt --pass-pipeline=` and `jit(f, pipeline=...)` take them.

    fold_shape_ops,fuse,mark_in_place     passes, by name
    lax,kernel                            the passes that lead to a stage, and the check after it
    cpu                                   a whole pipeline
    mlir(cse),mlir(canonicalize)          MLIR's own passes, those of UPSTREAM

A name that is not known is an error here: MLIR's own parser of pipelines ends the process for a
pass that stands at the wrong place. Imports `pipelines`.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from jaxc_compiler import mlir, pipelines, plugins
from jaxc_compiler.mlir import ir
from jaxc_compiler.pipelines import Pass, Pipeline
from jaxc_compiler.plugins import Edit, PipelineSpec
from jaxc_compiler.stages import ANY
from jaxc_compiler.targets import Target

# MLIR's passes that keep modules with ops of IREE's in them (inline and remove-dead-values end the
# process there).
UPSTREAM = (
    "canonicalize",
    "control-flow-sink",
    "cse",
    "linalg-fold-unit-extent-dims",
    "linalg-fuse-elementwise-ops",
    "linalg-generalize-named-ops",
    "loop-invariant-code-motion",
    "sccp",
    "strip-debuginfo",
)

_ELEMENT = re.compile(r"\s*(?:mlir\(\s*(?P<mlir>[\w-]+)\s*\)|(?P<name>\w+))\s*(?:,|\Z)")


def known_passes() -> dict[str, Pass]:
    """Our passes by name: all that stand in some pipeline."""
    return {
        run_pass.__name__: run_pass
        for pipeline in pipelines.all_pipelines().values()
        for _, passes in pipeline
        for run_pass in passes
    }


def description(run_pass: Pass) -> str:
    """What a pass says about itself: its file's docstring, unless the file is this list's."""
    module = sys.modules[run_pass.__module__]
    alone = module is not pipelines
    return inspect.cleandoc((module.__doc__ if alone else run_pass.__doc__) or "")


def reserved_names() -> set[str]:
    """Names of stages and pipelines, which no pass may have."""
    whole = pipelines.all_pipelines()
    return {*whole, *(stage.name for pipeline in whole.values() for stage, _ in pipeline)}


def parse(text: str, target: Target, extra: Mapping[str, Pass] | None = None) -> Pipeline:
    """The pipeline that a text says.

    Args:
      text: see the module's docstring; for a stage, the passes are those of the target.
      target: what is compiled for.
      extra: the user's passes by name; they come before ours.

    Raises:
      ValueError: for a name that is not known, and text that is no list of names.
    """
    found = [
        each
        for upstream, name in _elements(text)
        for each in _element(upstream, name, target, extra or {})
    ]
    if not found:
        raise ValueError(f"pipeline {text!r} holds no pass")
    return tuple(found)


def _elements(text: str) -> Iterator[tuple[str | None, str]]:
    """What a text lists: the name of one of MLIR's passes, or else another name."""
    position = 0
    while position < len(text):
        match = _ELEMENT.match(text, position)
        if match is None:
            rest = text[position:].strip()[:30]
            raise ValueError(
                f"pipeline {text!r}: expected the name of a pass, or mlir(cse), got {rest!r}"
            )
        yield match["mlir"], match["name"]
        position = match.end()


def _names(text: str) -> list[str]:
    """Those that a text lists without MLIR's."""
    return [name for _, name in _elements(text) if name is not None]


def _element(upstream: str | None, name: str, target: Target, extra: Mapping[str, Pass]) -> list:
    if upstream is not None:
        return [(ANY, (_upstream(upstream),))]
    whole = pipelines.all_pipelines()
    own = {stage.name: (stage, passes) for stage, passes in whole["stablehlo"]}
    own |= {stage.name: (stage, passes) for stage, passes in pipelines.PIPELINES[target.backend]}
    passes = {**known_passes(), **extra}
    if name in passes:
        return [(ANY, (passes[name],))]
    if name in whole and name not in own:
        return list(whole[name])
    if name in own:
        return [own[name]]
    raise ValueError(f"unknown pass {name!r}{suggestion(name, [*passes, *own, *whole])}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _upstream(name: str) -> Pass:
    if name not in UPSTREAM:
        message = f"unknown pass mlir({name}){suggestion(name, UPSTREAM)}"
        raise ValueError(f"{message}; known are {', '.join(UPSTREAM)}")

    def run(module: ir.Module, target: Target) -> None:
        del target
        _manager(name).run(module.operation)

    run.__name__ = run.__qualname__ = f"mlir({name})"
    return run


@cache
def _manager(name: str) -> mlir.PassManager:
    """Never made from a user's text: a wrong nesting ends the process."""
    manager = mlir.PassManager.parse(f"builtin.module({name})", context=mlir.CONTEXT)
    manager.enable_verifier(False)
    return manager


# -- what a user says about a target's pipeline ----------------------------------------------------


def resolve(spec: PipelineSpec, target: Target) -> Pipeline:
    """The stages and passes of a spec.

    Raises:
      ValueError: if a name is not that of a pass in the pipeline, or a pipeline for another target,
        and for passes that a text cannot name: two of one name, or with a stage's.
    """
    _check_target(spec, target)
    extra = {plugins.name_of(each): each for each in plugins.passes_of(spec)}
    if spec.text:
        _check_named(spec)
        pipeline = _staged(parse(spec.text, target, extra), target)
    else:
        pipeline = pipelines.PIPELINES[target.backend]
    for edit in spec.edits:
        pipeline = _edited(pipeline, edit)
    return pipeline


def _check_target(spec: PipelineSpec, target: Target) -> None:
    """A whole pipeline may lead to no stage that the target's programs do not go through."""
    whole, own = pipelines.all_pipelines(), pipelines.PIPELINES[target.backend]
    stages = {stage.name for stage, _ in own}
    for name in _names(spec.text):
        foreign = [stage.name for stage, _ in whole.get(name, ()) if stage.name not in stages]
        if foreign:
            mine = next(each for each, pipeline in whole.items() if pipeline is own)
            raise ValueError(
                f"pipeline {name!r} is for another target: programs for {target} have no stage "
                f"{foreign[0]!r}; their own is {mine!r}"
            )


def _check_named(spec: PipelineSpec) -> None:
    """A pass that was brought along and is not named would never run, and nobody would know."""
    known: dict[str, Pass] = {}
    for each in plugins.passes_of(spec):
        name = plugins.name_of(each)
        if name in reserved_names():
            raise ValueError(f"no pass can be named {name}: it is the name of a stage or pipeline")
        if known.setdefault(name, each) is not each:
            raise ValueError(f"pipeline {spec.text!r}: two passes are named {name}")
    for name in map(plugins.name_of, spec.named):
        if name not in _names(spec.text):
            raise ValueError(f"pipeline {spec.text!r} does not name the pass {name}")


def _edited(pipeline: Pipeline, edit: Edit) -> Pipeline:
    places = [
        (stage, index)
        for stage, (_, passes) in enumerate(pipeline)
        for index, run_pass in enumerate(passes)
        if plugins.name_of(run_pass) == edit.anchor
    ]
    if not places:
        names = [plugins.name_of(each) for _, passes in pipeline for each in passes]
        message = f"pipeline.{edit.where}: no pass {edit.anchor!r}{suggestion(edit.anchor, names)}"
        raise ValueError(f"{message}; there are {', '.join(dict.fromkeys(names))}")
    if edit.where == "without":
        return tuple((stage, _without(passes, edit.anchor)) for stage, passes in pipeline)
    stage, index = places[0] if edit.where == "before" else places[-1]
    index += edit.where == "after"
    return tuple(
        (kept, (*passes[:index], *edit.passes, *passes[index:]) if number == stage else passes)
        for number, (kept, passes) in enumerate(pipeline)
    )


def _without(passes: tuple[Pass, ...], name: str) -> tuple[Pass, ...]:
    return tuple(each for each in passes if plugins.name_of(each) != name)


def _staged(pipeline: Pipeline, target: Target) -> Pipeline:
    """Single passes put into the target's stages, in their order; others stay with the one before.

    What a program is compiled by is checked after each stage and dumped at each.
    """
    own = pipelines.PIPELINES[target.backend]
    names = [stage.name for stage, _ in own]
    home = {each.__name__: number for number, (_, passes) in enumerate(own) for each in passes}
    groups: list[list[Pass]] = [[] for _ in own]
    current = 0
    for stage, passes in pipeline:
        for each in passes:
            place = (
                names.index(stage.name)
                if stage.name in names
                else home.get(plugins.name_of(each), current)
            )
            current = max(current, place)
            groups[current].append(each)
    return tuple((stage, tuple(group)) for (stage, _), group in zip(own, groups))
