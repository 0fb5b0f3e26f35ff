"""Programs for the runtime tests, compiled by IREE alone: no code of ours above the runtime."""

from __future__ import annotations

import pytest

_FLAGS = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
    "--iree-input-demote-f64-to-f32=false",
    "--iree-vm-emit-polyglot-zip=false",
)


@pytest.fixture(scope="session")
def compile_mlir():
    """A function from MLIR text to the bytes of a `.vmfb`, remembering what it compiled."""
    from iree.compiler.api import Output, Session, Source

    session = Session()
    session.set_flags(*_FLAGS)
    done: dict[str, bytes] = {}

    def compile_text(text: str) -> bytes:
        if text not in done:
            invocation = session.invocation()
            invocation.enable_console_diagnostics()
            assert invocation.parse_source(Source.wrap_buffer(session, text.encode()))
            assert invocation.execute()
            output = Output.open_membuffer()
            invocation.output_vm_bytecode(output)
            done[text] = bytes(output.map_memory())
            invocation.close()
            output.close()
        return done[text]

    return compile_text


@pytest.fixture(scope="session")
def double(compile_mlir) -> bytes:
    """f(x) = x + x on ten floats."""
    return compile_mlir(
        "func.func @main(%x: tensor<10xf32>) -> tensor<10xf32> {"
        " %0 = arith.addf %x, %x : tensor<10xf32> return %0 : tensor<10xf32> }"
    )


@pytest.fixture(scope="session")
def sum_and_product_of_weights(compile_mlir) -> bytes:
    """`sum_and_product` with 1 from the archive `model` added to y: f(x, y - 1) is the same."""
    kind = "tensor<1000xf32>"
    return compile_mlir(
        f'util.global private @w = #flow.parameter.named<"model"::"w0"> : {kind}'
        f" func.func @main(%x: {kind}, %y: {kind}) -> ({kind}, {kind}) {{"
        f" %w = util.global.load @w : {kind} %z = arith.addf %y, %w : {kind}"
        f" %0 = arith.addf %x, %z : {kind} %1 = arith.mulf %x, %z : {kind}"
        f" return %0, %1 : {kind}, {kind} }}"
    )


@pytest.fixture(scope="session")
def sum_and_product(compile_mlir) -> bytes:
    """f(x, y) = x + y, x * y on a thousand floats."""
    kind = "tensor<1000xf32>"
    return compile_mlir(
        f"func.func @main(%x: {kind}, %y: {kind}) -> ({kind}, {kind}) {{"
        f" %0 = arith.addf %x, %y : {kind} %1 = arith.mulf %x, %y : {kind}"
        f" return %0, %1 : {kind}, {kind} }}"
    )
