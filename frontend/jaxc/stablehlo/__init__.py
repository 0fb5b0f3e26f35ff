"""StableHLO programs of other tools as JAX programs.

    program = stablehlo.read(Path("model.stablehlo.mlir").read_bytes())
    program(x)                      # eagerly, or inside jit, vmap and grad

Every op becomes the `lax` operation of the same meaning, so that a foreign program is optimized and
lowered like any other, for every target. Importing this package loads MLIR.
"""

from jaxc.stablehlo import (
    contraction,
    control_flow,
    elementwise,
    indexing,
    reduction,
    shape,
    sorting,
)
from jaxc.stablehlo.reader import Program, UnsupportedOp, read

__all__ = ["Program", "UnsupportedOp", "read"]
