"""The cost model: what an element of an op takes, and which ops become kernels.

Owns every threshold that decides between a kernel and a separate dispatch, and between computing a
value again and storing it. Numbers are in simple operations (one add of a vectorized loop).
Must not import the lowerings.
"""

from __future__ import annotations

import math
from typing import Any

# A value used at several places is stored when one element costs at least this much.
EXPENSIVE = 8.0
# LLVM unrolls no loop whose body costs more: the code would grow, not the speed.
UNROLLED_EXPRESSION = 8.0
# An expensive operand of a sum is stored first if it stays in the nearer caches.
STAGED_BYTES = 128 * 1024
# No expression may grow larger than this: the code would, and so would what is computed twice.
LARGEST_EXPRESSION = 300.0
# A contraction below this many floating point operations runs inside a kernel: on one thread the
# register tile is faster than IREE's own matmul at every size; types without it are not.
TILED_CONTRACTION_FLOPS = 20e9
KERNEL_CONTRACTION_FLOPS = 20e6
TILED_DTYPES = ("float32", "float64", "float16", "bfloat16")
# A concatenation of at least this many elements is stored piece by piece.
STORED_PIECES = 64
# A transposition of at least this many elements goes block by block.
BLOCKED_ELEMENTS = 1 << 14
# Arrays a kernel reads and writes; IREE's limit for a dispatch is 32, scratch memory included.
LARGEST_BINDINGS = 26

_CHEAP = 1.0
_COSTS = {
    **dict.fromkeys(
        ("exp", "exp2", "log", "log1p", "expm1", "tanh", "logistic", "sin", "cos", "tan", "erf"),
        16.0,
    ),
    **dict.fromkeys(
        (
            "pow", "sinh", "cosh", "asinh", "acosh", "atanh", "atan", "atan2", "asin", "acos",
            "cbrt", "erfc", "erf_inv", "lgamma", "digamma", "bessel_i0e", "bessel_i1e", "igamma",
            "igammac", "regularized_incomplete_beta", "polygamma", "zeta",
        ),
        40.0,
    ),
    **dict.fromkeys(("div", "rem", "sqrt", "rsqrt"), 4.0),
    **dict.fromkeys(("gather", "dynamic_slice", "pad", "concatenate"), 3.0),
    **dict.fromkeys(("random_bits", "threefry2x32", "random_fold_in", "random_split"), 80.0),
}  # fmt: skip


def of_element(name: str) -> float:
    """What one element of an op costs beyond its operands."""
    return _COSTS.get(name, _CHEAP)


def contraction_flops(dimension_numbers: Any, lhs: tuple[int, ...], rhs: tuple[int, ...]) -> float:
    """Multiplications and additions of a `dot_general`."""
    (_, rhs_contract), (_, rhs_batch) = dimension_numbers
    free = [d for i, d in enumerate(rhs) if i not in rhs_contract and i not in rhs_batch]
    return 2.0 * math.prod(lhs) * math.prod(free)


# Ops that are never part of a kernel: calls to the host, and whole algorithms with their own
# lowering.
HOST_OPS = frozenset({
    "debug_callback", "debug_print", "io_callback", "pure_callback", "fft", "cholesky", "lu",
    "eigh", "eig", "svd", "qr", "geqrf", "householder_product", "triangular_solve", "schur",
    "hessenberg", "tridiagonal", "tridiagonal_solve",
})  # fmt: skip


def belongs_in_kernel(name: str, params: Any, in_avals: Any) -> bool:
    """Whether an op without regions is to be computed inside a kernel on a CPU."""
    if name in HOST_OPS:
        return False
    if name == "dot_general":
        flops = contraction_flops(params["dimension_numbers"], in_avals[0].shape, in_avals[1].shape)
        tiled = all(aval.dtype.name in TILED_DTYPES for aval in in_avals)
        return flops <= (TILED_CONTRACTION_FLOPS if tiled else KERNEL_CONTRACTION_FLOPS)
    return True
