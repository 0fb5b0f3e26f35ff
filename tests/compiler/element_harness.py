"""Compiles element rules into one kernel and runs it: the test bench of lowering/element."""

from __future__ import annotations

import ctypes

import iree.compiler.api.ctypes_dl as compiler_dl
import iree.runtime as rt
import numpy as np
from iree.compiler.api import Output, Session, Source

from jaxc_compiler import mlir
from jaxc_compiler.lowering.element.base import ScalarBuilder, type_name
from jaxc_compiler.lowering.element.values import Memory
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray

FLAGS = [
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
    "--iree-input-demote-f64-to-f32=false",
    "--iree-llvmcpu-link-embedded=true",
    "--iree-llvmcpu-debug-symbols=false",
    "--iree-hal-executable-debug-level=0",
    "--iree-opt-const-eval=false",
    "--iree-opt-const-expr-hoisting=false",
    "--iree-vm-emit-polyglot-zip=false",
    "--iree-input-type=none",
    "--iree-llvmcpu-loop-vectorization",
    "--iree-llvmcpu-loop-unrolling",
    "--iree-llvmcpu-loop-interleaving",
]
_state: dict = {}


def _session() -> Session:
    if "session" not in _state:
        library = compiler_dl._dylib
        library.ireeCompilerInvocationSetVerifyIR.argtypes = [ctypes.c_void_p, ctypes.c_bool]
        library.ireeCompilerInvocationSetVerifyIR.restype = None
        _state["session"] = Session()
        _state["session"].set_flags(*FLAGS)
    return _state["session"]


def compile_text(text: str) -> bytes:
    session = _session()
    invocation = session.invocation()
    invocation.enable_console_diagnostics()
    compiler_dl._dylib.ireeCompilerInvocationSetVerifyIR(invocation._inv_p, False)
    assert invocation.parse_source(Source.wrap_buffer(session, text.encode() + b"\0")), text
    assert invocation.execute(), "the kernel does not compile"
    output = Output.open_membuffer()
    invocation.output_vm_bytecode(output)
    return bytes(output.map_memory())


def kernel_text(outputs, in_avals, **options) -> str:
    """`outputs`: list of (inputs by number, function(b, memories) -> lazy array, out aval)."""
    memref = lambda a: (  # noqa: E731
        "memref<" + "".join(f"{d}x" for d in a.shape) + type_name(a.dtype, memory=True) + ">"
    )
    tensor = lambda a: memref(a).replace("memref", "tensor")  # noqa: E731
    avals = [*in_avals, *(aval for _, aval in outputs)]
    with mlir.CONTEXT, mlir.ir.Location.unknown():
        module = mlir.ir.Module.parse(
            f"func.func @k({', '.join(f'%a{i}: {memref(a)}' for i, a in enumerate(avals))})"
            " { return }",
        )
        function = module.body.operations[0]
        block = function.regions[0].blocks[0]
        b = ScalarBuilder(mlir.ir.InsertionPoint(block.operations[0]), block, **options)
        refs = list(block.arguments)
        inputs = [Memory(a, r) for a, r in zip(in_avals, refs)]
        for (make, aval), ref in zip(outputs, refs[len(in_avals) :]):
            with b.nest():
                _emit_loops(b, make(inputs), aval, ref, ())
        module.operation.verify()
        body = str(function)
        globals_ = "\n".join(
            str(op) for op in module.body.operations if op.operation.name == "memref.global"
        )
    layout = "#hal.pipeline.layout<bindings = [" + ", ".join(
        ["#hal.pipeline.binding<storage_buffer, ReadOnly>"] * len(in_avals)
        + ["#hal.pipeline.binding<storage_buffer>"] * len(outputs)
    )
    layout += "]>"
    subspans = "".join(
        f"%arg{i} = hal.interface.binding.subspan layout({layout}) binding({i}) alignment(64) "
        f"offset(%zero){' flags(ReadOnly)' if i < len(in_avals) else ''} : {memref(a)}\n"
        for i, a in enumerate(avals)
    )
    body = body.split("\n", 1)[1].rsplit("}", 1)[0]
    results = ", ".join(tensor(a) for a in avals[len(in_avals) :])
    arguments = ", ".join(f"%x{i}: {tensor(a)}" for i, a in enumerate(in_avals))
    operands = ", ".join(f"%x{i}" for i in range(len(in_avals)))
    kinds = ", ".join(tensor(a) for a in in_avals)
    n = len(outputs)
    named = "%r" if n == 1 else ", ".join(f"%r#{i}" for i in range(n))
    return f"""module {{
  hal.executable.source private @ex {{
    hal.executable.export public @k ordinal(0) layout({layout})
        count(%dev: !hal.device) -> (index, index, index) {{
      %c1 = arith.constant 1 : index
      hal.return %c1, %c1, %c1 : index, index, index
    }}
    builtin.module {{
      {globals_}
      func.func @k() {{
        %zero = arith.constant 0 : index
        {subspans}
        {body}
      }}
    }}
  }}
  func.func @main({arguments}) -> ({results}) {{
    %r{"" if n == 1 else f":{n}"} = flow.dispatch @ex::@k({operands}) : ({kinds}) -> ({results})
    return {named} : {results}
  }}
}}"""


def _emit_loops(b, value, aval, ref, index):
    if len(index) == len(aval.shape):
        b.store(aval.dtype, value.at(b, index), ref, index)
        return
    if aval.shape[len(index)] == 1:
        _emit_loops(b, value, aval, ref, (*index, 0))
        return
    with b.for_(0, aval.shape[len(index)]) as loop:
        _emit_loops(b, value, aval, ref, (*index, loop.index))


def load(text: str):
    """A compiled module as (invoke function, device)."""
    if "config" not in _state:
        _state["config"] = rt.Config("local-sync")
    config = _state["config"]
    data = compile_text(text)
    return rt.load_vm_module(rt.VmModule.copy_buffer(config.vm_instance, data), config)


def to_storage(x: np.ndarray) -> np.ndarray:
    if x.dtype == np.bool_:
        return x.astype(np.int8)
    return x


def run(outputs, arrays, in_avals=None, **options):
    """Run `outputs` (list of (make, aval)) on concrete arrays; returns ndarrays."""
    in_avals = in_avals or [ShapedArray(x.shape, x.dtype) for x in arrays]
    module = load(kernel_text(outputs, in_avals, **options))
    results = module.main(*[_input(x, aval.shape) for x, aval in zip(arrays, in_avals)])
    results = results if isinstance(results, (list, tuple)) else [results]
    return [_output(r, aval) for r, (_, aval) in zip(results, outputs)]


def _input(x, shape):
    if x.shape != shape:  # keys: two words each
        x = np.ascontiguousarray(x).view(np.int64).reshape(shape)
    x = np.array(to_storage(x), order="C")
    kinds = {
        "bfloat16": "BFLOAT_16",
        "float16": "FLOAT_16",
        "float8_e4m3fn": "FLOAT_8_E4M3_FN",
        "float8_e5m2": "FLOAT_8_E5M2",
        "float8_e4m3fnuz": "FLOAT_8_E4M3_FNUZ",
        "float8_e5m2fnuz": "FLOAT_8_E5M2_FNUZ",
        "complex64": "COMPLEX_64",
        "complex128": "COMPLEX_128",
    }
    names = {"b": "BOOL_8", "f4": "FLOAT_32", "f8": "FLOAT_64"}
    device = _state["config"].device
    kind = kinds.get(x.dtype.name)
    if kind is None:
        code = x.dtype.kind + str(x.dtype.itemsize)
        kind = names.get(code) or f"INT_{x.dtype.itemsize * 8}"
    view = device.allocator.allocate_buffer_copy(
        memory_type=rt.MemoryType.DEVICE_LOCAL,
        allowed_usage=rt.BufferUsage.DEFAULT | rt.BufferUsage.MAPPING,
        device=device,
        buffer=x.view(np.uint8).reshape(-1) if x.ndim else x.reshape(1).view(np.uint8),
    )
    view = rt.HalBufferView(view, shape=x.shape, element_type=int(getattr(rt.HalElementType, kind)))
    return rt.DeviceArray(device, view)


def _output(result, aval):
    view = result._buffer_view
    raw = np.array(view.map().asarray([aval.size * aval.dtype.itemsize], np.dtype(np.uint8)))
    if isinstance(aval.dtype, KeyDtype):
        return raw.view(np.uint32).reshape(*aval.shape, 2)
    if aval.dtype == np.bool_:
        return raw.astype(bool).reshape(aval.shape)
    return raw.view(aval.dtype).reshape(aval.shape)
