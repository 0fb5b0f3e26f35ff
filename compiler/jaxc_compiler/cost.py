"""The cost model: what an element of an op takes, and which ops become kernels.

Owns every threshold that decides between a kernel and a separate dispatch, and between computing a
value again and storing it. Numbers are in simple operations (one add of a vectorized loop).
Must not import the lowerings.
"""

from __future__ import annotations

import math
from typing import Any

from jaxc_compiler.opset.user import USER_OPS

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
_OF_A_USER = 16.0  # unknown: rather stored than computed twice
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
    return _COSTS.get(name, _OF_A_USER if name in USER_OPS else _CHEAP)


def contraction_flops(dimension_numbers: Any, lhs: tuple[int, ...], rhs: tuple[int, ...]) -> float:
    """Multiplications and additions of a `dot_general`."""
    (_, rhs_contract), (_, rhs_batch) = dimension_numbers
    free = [d for i, d in enumerate(rhs) if i not in rhs_contract and i not in rhs_batch]
    return 2.0 * math.prod(lhs) * math.prod(free)


# Ops that only move elements or name them.
_MOVES = frozenset({
    "broadcast_in_dim", "reshape", "transpose", "squeeze", "expand_dims", "slice", "copy", "iota",
    "rev", "pad", "concatenate", "gather", "dynamic_slice", "dynamic_update_slice", "scatter",
    "select_n", "convert_element_type", "bitcast_convert_type", "stop_gradient", "split", "stack",
    "optimization_barrier", "constant", "yield", "branch", "tile",
})  # fmt: skip


def flops_of(name: str, kind: str, params: Any, in_avals: Any, out_avals: Any) -> float:
    """Estimated floating-point (or integer) operations of an op without regions.

    Args:
      kind: the op book's kind: `reduction`, `elementwise`, ...
      params: read for contractions and convolutions only.
    """
    if name in _MOVES:
        return 0.0
    if name == "dot_general":
        return contraction_flops(params["dimension_numbers"], in_avals[0].shape, in_avals[1].shape)
    out = float(sum(aval.size for aval in out_avals))
    if name == "conv_general_dilated":
        features = params["dimension_numbers"].rhs_spec[0]
        return 2.0 * out * in_avals[1].size / in_avals[1].shape[features]
    if name.startswith("scatter"):
        return float(in_avals[-1].size)
    if kind in ("reduction", "cumulative"):
        return float(sum(aval.size for aval in in_avals))
    return out


def work_of(name: str, flops: float, out_avals: Any) -> float:
    """What an op takes in simple operations: the weight by which a dispatch's time is split."""
    size = float(sum(aval.size for aval in out_avals))
    return max(flops, size * of_element(name))


# Ops that are never part of a kernel: calls to the host, and whole algorithms with their own
# lowering.
CALLS = frozenset({"debug_callback", "debug_print", "io_callback", "pure_callback"})
HOST_OPS = CALLS | frozenset({
    "fft", "cholesky", "lu",
    "eigh", "eig", "svd", "qr", "geqrf", "householder_product", "triangular_solve", "schur",
    "hessenberg", "tridiagonal", "tridiagonal_solve", "mlir_kernel",
})  # fmt: skip


def why_not_in_kernel(name: str, params: Any, in_avals: Any) -> str:
    """Why an op without regions is not computed inside a kernel on a CPU; empty if it is."""
    if name in CALLS:
        return "it calls back to Python"
    if name in HOST_OPS:
        return "it is an algorithm with a lowering of its own"
    if name != "dot_general":
        return ""
    flops = contraction_flops(params["dimension_numbers"], in_avals[0].shape, in_avals[1].shape)
    dtypes = {aval.dtype.name for aval in in_avals}
    tiled = dtypes <= set(TILED_DTYPES)
    limit = TILED_CONTRACTION_FLOPS if tiled else KERNEL_CONTRACTION_FLOPS
    if flops <= limit:
        return ""
    return (
        f"the contraction takes {flops / 1e6:,.0f} MFLOP, and a kernel's limit for "
        f"{', '.join(sorted(dtypes))} is {limit / 1e6:,.0f}"
    )
