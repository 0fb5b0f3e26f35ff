"""The text of a module at every stage, and before and after every pass.

Owns the instruments that keep texts, and how IREE's ops are made readable: MLIR prints an op it
does not know in generic form, so what IREE can read is printed by IREE. Imports pipelines; only
the driver and the tools import it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jaxc_compiler import iree, mlir, pipelines, stages
from jaxc_compiler.dialects import kernel
from jaxc_compiler.mlir import ir
from jaxc_compiler.pipelines import Instrument, Pipeline
from jaxc_compiler.stages import Stage
from jaxc_compiler.targets import Target

# What IREE writes for a target's executables: stage -> the files that hold it, in order.
CODE = {
    "cpu": {"llvm": "*.codegen.ll", "llvm-opt": "*.optimized.ll", "asm": "*.s"},
    "cuda": {"llvm": "*.linked.ll", "llvm-opt": "*.optimized.ll", "ptx": "*.ptx"},
    "rocm": {"llvm": "*.linked.ll", "llvm-opt": "*.optimized.ll", "asm": "*.rocmasm"},
    "vulkan": {"spirv": "*.spirv.mlir"},
    "metal": {"spirv": "*_metal_msl_fb.mlir", "msl": "*.metal"},
}
IREE = "iree"
_IREE_PHASE = "executable-targets"


def stage_names(target: Target) -> tuple[str, ...]:
    """The stages of a target, in order.

    >>> from jaxc_compiler import targets
    >>> stage_names(targets.get("vulkan"))
    ('lax', 'linalg', 'iree', 'spirv')
    """
    ours = tuple(stage.name for stage, _ in pipelines.PIPELINES[target.backend])
    return (*ours, IREE, *CODE[target.name]) if is_irees(target) else ours


def is_irees(target: Target) -> bool:
    """Whether IREE compiles for a target; PJRT plugins do not show what they make of StableHLO."""
    return target.name in CODE


@dataclass(frozen=True)
class PassText:
    """One pass that ran.

    Attributes:
      name: its function's.
      stage: the stage it leads to.
      before, after: the module's text.
    """

    name: str
    stage: str
    before: str
    after: str


class PassTexts(Instrument):
    """Keeps the module's text before and after every pass."""

    def __init__(self, locations: bool = False) -> None:
        self.locations = locations
        self.passes: list[PassText] = []
        self._before = ""

    def before_pass(self, name: str, stage: Stage, module: ir.Module) -> None:
        self._before = self.passes[-1].after if self.passes else text_of(module, self.locations)

    def after_pass(self, name: str, stage: Stage, module: ir.Module) -> None:
        after = text_of(module, self.locations)
        self.passes.append(PassText(name, stage.name, self._before, after))


class StageTexts(Instrument):
    """Keeps the text of every stage, by name."""

    def __init__(self, locations: bool = False) -> None:
        self.locations = locations
        self.texts: dict[str, str] = {}

    def after_stage(self, stage: Stage, module: ir.Module) -> None:
        self.texts.setdefault(stage.name, text_of(module, self.locations))


def text_of(module: ir.Module, locations: bool = False) -> str:
    """The module as text: IREE's ops as IREE prints them, once nothing of ours is left."""
    text = module.operation.get_asm(enable_debug_info=locations)
    if "!lax." in text or not stages.is_legal(module, stages.LINALG):
        return text + "\n"
    return iree.text_of(mlir.to_bytecode(module), locations)


def dump_stages(
    module: ir.Module,
    target: Target,
    until: str | None = None,
    *,
    locations: bool = False,
    pipeline: Pipeline | None = None,
) -> dict[str, str]:
    """The text of every stage up to `until`, ours and IREE's.

    Args:
      module: in `lax`, or saved at a later stage: it goes on from there.
      until: the last stage that is wanted; all if not given.
      locations: print where each op comes from.
      pipeline: what runs, up to `until`; if not given the target's own, or the way to StableHLO.
        Towards StableHLO it leads there.

    Raises:
      ValueError: for a stage that the target has not.
    """
    if until is not None:
        _check_stage(until, target)
    with mlir.LOCK, mlir.CONTEXT:
        kernel.load()
        if until == stages.STABLEHLO.name:
            seen = StageTexts(locations)
            pipelines.lower(module, target, [seen], pipeline or pipelines.STABLEHLO)
            return seen.texts
        current, pipeline = _remaining(module, pipeline or pipelines.PIPELINES[target.backend])
        texts = {current: text_of(module, locations)}
    names = [stage.name for stage, _ in pipeline]
    if until in names:
        pipeline = pipeline[: names.index(until) + 1]
    if until == current:
        return texts
    seen = StageTexts(locations)
    code = pipelines.lower(module, target, [seen], pipeline)
    texts |= {stage: text for stage, text in seen.texts.items() if stage not in texts}
    if until in texts or not is_irees(target):
        return texts
    return texts | dump_code(code, target, until, locations=locations)


def _check_stage(name: str, target: Target) -> None:
    known = dict.fromkeys((*stage_names(target), stages.STABLEHLO.name))
    if name not in known:
        raise ValueError(f"no stage {name!r} for {target}: there are {', '.join(known)}")


def dump_code(
    code: bytes | str, target: Target, until: str | None = None, *, locations: bool = False
) -> dict[str, str]:
    """What IREE makes of a `linalg` module, by stage: `iree` and the target's CODE."""
    texts = {}
    if until in (None, IREE):
        phases = iree.dump_phases(code, target.flags, (_IREE_PHASE,), locations)
        texts[IREE] = phases[_IREE_PHASE]
    if until == IREE:
        return texts
    patterns = CODE[target.name]
    files = iree.dump_files(code, target.flags, tuple(patterns.values()))
    return texts | {stage: files[pattern] for stage, pattern in patterns.items()}


def dump_passes(
    module: ir.Module, target: Target, *, stablehlo: bool = False, locations: bool = False
) -> list[PassText]:
    """Every pass of a target's pipeline with the module's text before and after it.

    Example:
      >>> [p.name for p in dump_passes(module, target) if p.before != p.after]  # doctest: +SKIP
      ['fold_constants', 'fuse', 'mark_in_place', 'lower_kernels', 'lower_boundary']
    """
    with mlir.LOCK, mlir.CONTEXT:
        kernel.load()
        whole = pipelines.PIPELINES[target.backend]
        pipeline = pipelines.STABLEHLO if stablehlo else _remaining(module, whole)[1]
    seen = PassTexts(locations)
    pipelines.lower(module, target, [seen], pipeline)
    return seen.passes


def without_large_constants(text: str) -> str:
    """The text with long constants cut: `dense<"0x0000803F...">`; it cannot be read back."""
    return re.sub(r'(dense<"0x[0-9A-F]{64})[0-9A-F]+(">)', r"\1...\2", text)


def _remaining(module: ir.Module, pipeline: Pipeline) -> tuple[str, Pipeline]:
    """The stage a module is at, and the stages after it (`lax` itself may be simplified again)."""
    for index, (stage, _) in enumerate(pipeline):
        if stages.is_legal(module, stage):
            return stage.name, pipeline[index + (index > 0) :]
    return "lax", pipeline
