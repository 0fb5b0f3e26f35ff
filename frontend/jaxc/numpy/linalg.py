"""`jaxc.numpy.linalg`: the public names."""

from jaxc.numpy.contractions import cross, matmul, outer, tensordot, vecdot
from jaxc.numpy.decompositions import (
    cholesky,
    cond,
    det,
    diagonal,
    eigh,
    eigvalsh,
    inv,
    lstsq,
    matrix_rank,
    pinv,
    qr,
    slogdet,
    solve,
    svd,
    svdvals,
)
from jaxc.numpy.linalg_norm import matrix_norm, norm, vector_norm
from jaxc.numpy.manipulation import matrix_transpose
from jaxc.numpy.matrices import matrix_power, multi_dot, trace

__all__ = [
    "cholesky", "cond", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "lstsq", "matmul",
    "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer",
    "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "vecdot",
    "vector_norm",
]  # fmt: skip
