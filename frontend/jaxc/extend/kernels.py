"""`mlir_kernel`: a kernel of the user's as `linalg`, `scf` or `vector` text, called from Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxc.core.trace import get_aval
from jaxc.lax.mlir_kernel import mlir_kernel_p
from jaxc.transforms.custom_jvp import custom_jvp
from jaxc_compiler.opset.mlir_kernel import read_signature, specialize


class MlirKernel:
    """A function of arrays whose body is MLIR text; made by `mlir_kernel`.

    Attributes:
      name: the function's name in the text.
      signature: the types it is written for.
    """

    __slots__ = ("_call", "_checked", "name", "signature", "text")  # wrappers copy a `__dict__`

    def __init__(self, text: str, jvp: Callable[..., Any] | None = None):
        self.text = text
        self.signature = read_signature(text)
        self.name = self.signature.name
        self._checked: set[str] = set()
        self._call: Callable[..., Any] = self._bind
        if jvp is not None:
            self._call = self._differentiable(jvp)
        if not self.signature.has_names:
            self._check(text)

    @property
    def __name__(self) -> str:  # type: ignore[override]
        return self.name

    def __call__(self, *args: Any) -> Any:
        self._specialize(args)  # before anything is traced: an error names the argument
        return self._call(*args)

    def _bind(self, *args: Any) -> Any:
        text = self._specialize(args)
        outs = mlir_kernel_p.bind(*args, kernel=self.name, text=text)
        return outs[0] if len(self.signature.results) == 1 else tuple(outs)

    def _differentiable(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        def bind(*args: Any) -> Any:
            return self._bind(*args)

        bind.__name__ = self.name
        call = custom_jvp(bind)
        call.defjvp(rule)
        return call

    def _specialize(self, args: Any) -> str:
        text = specialize(self.text, self.signature, [get_aval(a) for a in args])
        self._check(text)
        return text

    def _check(self, text: str) -> None:
        if text in self._checked:
            return
        from jaxc_compiler.lowering.linalg.mlir_kernel import check_kernel  # loads MLIR

        check_kernel(self.name, text)
        self._checked.add(text)

    def __repr__(self) -> str:
        arguments = ", ".join(str(kind) for _, kind in self.signature.arguments)
        return f"<mlir_kernel {self.name}({arguments})>"


def mlir_kernel(text: str, *, jvp: Callable[..., Any] | None = None) -> MlirKernel:
    """A function of arrays from the text of a `func.func` on tensors.

    The text may use the `linalg`, `arith`, `math`, `tensor`, `scf`, `vector`, `affine` and
    `complex` dialects. A size or an element type may be a name, `tensor<$Nx$T>`: each call says
    what it is. Unsigned integers are written `ui32` in types.

    Args:
      text: one function with tensor arguments and results.
      jvp: its derivative, `rule(primals, tangents) -> (result, tangent)`; without it there is none.

    Returns:
      A function to be called eagerly or inside `jit`; `vmap` maps it row by row.

    Raises:
      ValueError: if the signature is not understood.
      CompileError: with line and column, if the text is not valid; texts with names are checked
        when they are called.

    Example:
      >>> double = mlir_kernel('''
      ... func.func @double(%x: tensor<$Nxf32>) -> tensor<$Nxf32> {
      ...   %y = arith.addf %x, %x : tensor<$Nxf32>
      ...   return %y : tensor<$Nxf32>
      ... }''')
      >>> double
      <mlir_kernel double(tensor<$Nxf32>)>
    """
    if not isinstance(text, str):
        raise TypeError(f"mlir_kernel: expected text, got {type(text).__name__}")
    return MlirKernel(text, jvp)
