"""Operations of your own: `define_op`, and kernels written as MLIR text: `mlir_kernel`."""

from jaxc.extend.define import DefinedOp, define_op
from jaxc.extend.kernels import MlirKernel, mlir_kernel

__all__ = ["DefinedOp", "MlirKernel", "define_op", "mlir_kernel"]
