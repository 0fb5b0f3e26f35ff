"""A short way through IREE for modules whose work is all in kernels: a third of the time.

IREE's pipeline spends most of a small compilation on preparing passes that find nothing to do. A
module of kernels needs no dispatch formation and no choice of tilings, so here hand-picked lists of
passes, kept alive between compilations, take the host code to bytecode; IREE's own phases translate
and serialize the executables only. HOST_OPS says which modules may go this way; all others
take `iree.compile_module`.
"""

from __future__ import annotations

from iree.compiler import ir
from iree.compiler.passmanager import PassManager

from jaxc_compiler import iree
from jaxc_compiler.diagnostics import from_mlir_error

# What the host function of such a module may hold.
HOST_OPS = frozenset({
    "flow.dispatch", "flow.tensor.bitcast", "flow.tensor.reshape", "flow.tensor.empty",
    "util.optimization_barrier", "arith.constant", "func.return",
})  # fmt: skip

_INLINE = "inline{default-pipeline= inlining-threshold=4294967295 max-iterations=4}"

# From flow.dispatch on tensors to scheduled stream commands.
_HOST_TO_STREAM = (
    "iree-import-public", "iree-abi-wrap-entry-points{invocation-model=sync}", _INLINE,
    "symbol-dce", "iree-stream-conversion", "util.func(canonicalize,cse)",
    "util.func(iree-stream-encode-host-tensors)", "iree-stream-materialize-encodings",
    "util.func(iree-stream-materialize-copy-on-write)", "iree-stream-elide-async-copies",
    "util.func(canonicalize,iree-stream-emplace-allocations)", "iree-stream-refine-usage",
    "util.func(iree-stream-schedule-execution,iree-stream-schedule-concurrency)",
    "iree-stream-propagate-timepoints", "iree-stream-materialize-builtins",
    "util.func(canonicalize,cse)", "iree-stream-schedule-allocation",
    "util.func(iree-stream-pack-constants,iree-stream-layout-slices)",
    "iree-util-propagate-subranges", "util.func(canonicalize,cse)",
    "iree-stream-automatic-reference-counting", "iree-stream-elide-timepoints",
    "util.func(canonicalize,cse)", "symbol-dce",
)  # fmt: skip

# From stream commands to calls of the HAL. The executables are serialized in a module of their own.
_STREAM_TO_HAL = (
    "iree-hal-conversion", "iree-hal-outline-memoize-regions", "canonicalize", "cse",
    "iree-hal-prune-executables",
    "hal.executable(hal.executable.variant(iree-hal-hoist-executable-objects))",
    "iree-hal-resolve-export-ordinals", "iree-hal-materialize-resource-caches",
    "iree-hal-resolve-topology-queries", "iree-hal-memoize-device-selection",
    "iree-hal-memoize-device-queries", "canonicalize", "cse", "symbol-dce",
    "iree-affine-expand-index-ops", "iree-lower-affine", "convert-scf-to-cf", "canonicalize", "cse",
)  # fmt: skip

_HAL_TO_VM = (
    _INLINE, "symbol-dce", "iree-util-combine-initializers", "canonicalize", "cse",
    "iree-vm-conversion{f32-extension=true f64-extension=true index-bits=64 "
    "optimize-for-stack-size=false truncate-unsupported-floats=false}",
    "vm.module(iree-vm-reify-rodata-tables)", "vm.module(iree-vm-hoist-inlined-rodata)",
    "vm.module(iree-vm-deduplicate-rodata)", "vm.module(iree-vm-drop-unused-calls)", "symbol-dce",
    "vm.module(iree-vm-resolve-rodata-loads)", "vm.module(iree-vm-global-initialization)",
    "canonicalize", "cse", "vm.module(iree-vm-drop-empty-module-initializers)",
    "vm.module(iree-vm-annotate-functions)", "vm.module(iree-vm-convert-to-yieldable-calls)",
    "vm.module(iree-vm-drop-optimization-barriers)", "vm.module(iree-vm-materialize-ref-discards)",
)  # fmt: skip

_AFFINITY = "stream.affinity.default"
_PROBE = "func.func @f(%x: tensor<2xf32>) -> tensor<2xf32> { return %x : tensor<2xf32> }"


class QuickCompiler:
    """Compiles modules of kernels with one set of flags."""

    def __init__(self, flags: tuple[str, ...]):
        self.session = iree.session(flags)
        context = self.session.context
        # IREE makes the attributes of the device; they are the same in every module.
        self._probe = self.session.parse(_PROBE)
        self.session.run_phases(self._probe, None, "preprocessing")
        self._device = _named(self._probe, "util.global", "__device_0")
        self._affinity = self._probe.operation.attributes[_AFFINITY]
        self._lowered = ir.Module.create(loc=ir.Location.unknown(context))
        device = self._device.clone(ip=ir.InsertionPoint(self._lowered.body))
        _set_visibility(device, "public")  # nothing uses it yet
        self.session.run_phases(self._lowered, "executable-targets", "hal")
        self._to_stream = _manager(_HOST_TO_STREAM, context)
        self._to_hal = _manager(_STREAM_TO_HAL, context)
        self._to_vm = _manager(_HAL_TO_VM, context)

    @property
    def device(self) -> str:
        """IREE's description of what it compiles for, the features of a CPU included."""
        return str(self._device)

    def compile(self, source: bytes | str) -> bytes:
        """The `.vmfb` of a module whose host code holds HOST_OPS only.

        Raises:
          CompileError: if it does not compile.
        """
        with self.session.lock:
            try:
                module = self.session.parse(source)
                return self._compile(module)
            except ir.MLIRError as error:
                raise from_mlir_error("iree", error) from None

    def _compile(self, module: ir.Module) -> bytes:
        module.operation.attributes[_AFFINITY] = self._affinity
        self._device.clone(ip=ir.InsertionPoint.at_block_begin(module.body))
        self._to_stream.run(module.operation)
        self.session.run_phases(module, "stream", "executable-targets")
        binaries = self._serialize(module)
        self._to_hal.run(module.operation)
        for op in _operations(module):
            if op.name == "hal.executable":
                binary = _named(binaries[_symbol(op)], "hal.executable", _symbol(op))
                private = binary.clone(ip=ir.InsertionPoint(op))
                _set_visibility(private, "private")
                op.erase()
        self._replace_device(module)
        self._to_vm.run(module.operation)
        return self.session.output(module)

    def _serialize(self, module: ir.Module) -> dict[str, ir.Module]:
        """The executables by name, compiled, each in a module of its own."""
        return {
            _symbol(op): self._serialize_one(op)
            for op in _operations(module)
            if op.name == "hal.executable"
        }

    def _serialize_one(self, op: ir.Operation) -> ir.Module:
        """One executable, compiled: IREE would link several into one, under another name."""
        alone = ir.Module.create(loc=ir.Location.unknown(self.session.context))
        clone = op.clone(ip=ir.InsertionPoint(alone.body))
        del clone.attributes["sym_visibility"]  # a private one would be pruned
        self.session.run_phases(alone, "executable-targets", "hal")
        return alone

    def _replace_device(self, module: ir.Module) -> None:
        """Put the code that finds the device at start-up where its declaration is."""
        declared = _named(module, "util.global", "__device_0")
        for op in _operations(self._lowered):
            clone = op.clone(ip=ir.InsertionPoint(declared))
            if op.name == "util.global":
                _set_visibility(clone, "private")
        declared.erase()
        if _AFFINITY in module.operation.attributes:
            del module.operation.attributes[_AFFINITY]


def compiler(flags: tuple[str, ...]) -> QuickCompiler:
    """The process's compiler for a set of flags."""
    with iree.MAKING, iree.session(flags).lock:
        return _compiler(flags)


@iree.per_process
def _compiler(flags: tuple[str, ...]) -> QuickCompiler:
    return QuickCompiler(flags)


def _manager(passes: tuple[str, ...], context: ir.Context) -> PassManager:
    manager = PassManager.parse(f"builtin.module({','.join(passes)})", context=context)
    manager.enable_verifier(False)
    return manager


def _operations(module: ir.Module) -> list[ir.Operation]:
    return [op.operation for op in module.body.operations]


def _set_visibility(op: ir.Operation, visibility: str) -> None:
    op.attributes["sym_visibility"] = ir.StringAttr.get(visibility, op.context)


def _symbol(op: ir.Operation) -> str:
    return ir.StringAttr(op.attributes["sym_name"]).value


def _named(module: ir.Module, kind: str, symbol: str) -> ir.Operation:
    return next(op for op in _operations(module) if op.name == kind and _symbol(op) == symbol)
