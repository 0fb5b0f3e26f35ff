"""`jaxc.numpy.linalg`: the public names.

Decompositions come with `lax.linalg`; here are the functions that need none of them.
"""

from jaxc.numpy.contractions import cross, matmul, outer, tensordot, vecdot
from jaxc.numpy.linalg_norm import matrix_norm, norm, vector_norm
from jaxc.numpy.manipulation import matrix_transpose
from jaxc.numpy.matrices import diagonal, matrix_power, multi_dot, trace

__all__ = [
    "cross", "diagonal", "matmul", "matrix_norm", "matrix_power", "matrix_transpose", "multi_dot",
    "norm", "outer", "tensordot", "trace", "vecdot", "vector_norm",
]  # fmt: skip
