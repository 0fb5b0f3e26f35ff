"""`jaxc.numpy`: NumPy's functions on immutable arrays, with JAX's names and semantics.

Importing it attaches the operators and methods to `Array` and to tracers.
"""

# ruff: noqa: I001, RUF022  (one short line a family reads better than one name a line)
# fmt: off
from jaxc.core.array import Array as ndarray
from jaxc.numpy import array_methods as _array_methods
from jaxc.numpy import linalg
from jaxc.numpy.arithmetic import (
    allclose, around, array_equal, array_equiv, divmod, fix, floor_divide, fmod, isclose, mod,
    modf, pow, power, remainder, rint, round, trunc,
)
from jaxc.numpy.contractions import (
    cross, dot, inner, kron, matmul, matvec, outer, tensordot, trace, vdot, vecdot, vecmat,
)
from jaxc.numpy.creation import (
    array, asarray, copy, empty, empty_like, eye, full, full_like, identity, ones, ones_like,
    tri, zeros, zeros_like,
)
from jaxc.numpy.cumulative import (
    cumprod, cumsum, cumulative_prod, cumulative_sum, diff, ediff1d, nancumprod, nancumsum,
    trapezoid,
)
from jaxc.numpy.einsum import einsum, einsum_path
from jaxc.numpy.elementwise import (
    abs, absolute, acos, arccos, arcsin, arcsinh, arctan, arctan2, arctanh, asin, asinh, atan,
    atan2, atanh, bitwise_invert, bitwise_left_shift, bitwise_not, bitwise_right_shift, cbrt,
    ceil, conj, conjugate, cos, cosh, deg2rad, degrees, divide, equal, exp, exp2, expm1, fabs,
    float_power, floor, greater, greater_equal, imag, invert, iscomplex, iscomplexobj, isfinite,
    isnan, isneginf, isposinf, isreal, isrealobj, isscalar, left_shift, less, less_equal, log,
    log10, log1p, log2, logical_not, nextafter, not_equal, positive, rad2deg, radians, real,
    reciprocal, right_shift, sign, sin, sinh, sqrt, square, tan, tanh, true_divide,
)
from jaxc.numpy.flipping import flip, fliplr, flipud, roll, rot90
from jaxc.numpy.host import (
    ComplexWarning, array_repr, array_str, can_cast, from_dlpack, frombuffer, fromfile,
    fromiter, fromstring, get_printoptions, isdtype, iterable, load, printoptions, save, savez,
    set_printoptions,
)
from jaxc.numpy.indexing import place, put, put_along_axis, take, take_along_axis
from jaxc.numpy.interpolation import interp
from jaxc.numpy.joining import (
    append, array_split, block, column_stack, concat, concatenate, delete, dsplit, dstack,
    hsplit, hstack, insert, split, stack, vsplit, vstack,
)
from jaxc.numpy.manipulation import (
    astype, atleast_1d, atleast_2d, atleast_3d, broadcast_arrays, broadcast_shapes,
    broadcast_to, expand_dims, matrix_transpose, moveaxis, ndim, permute_dims, ravel, repeat,
    reshape, resize, rollaxis, shape, size, squeeze, swapaxes, tile, transpose, unstack,
)
from jaxc.numpy.matrices import (
    c_, diag, diag_indices, diag_indices_from, diagflat, diagonal, fill_diagonal, fromfunction,
    index_exp, indices, ix_, mask_indices, meshgrid, mgrid, ogrid, r_, ravel_multi_index, s_,
    tril, tril_indices, tril_indices_from, triu, triu_indices, triu_indices_from, unravel_index,
    vander,
)
from jaxc.numpy.nan_reductions import (
    nanargmax, nanargmin, nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar,
)
from jaxc.numpy.padding import pad
from jaxc.numpy.polynomial import (
    bartlett, blackman, convolve, correlate, gradient, hamming, hanning, kaiser, poly, polyadd,
    polyder, polydiv, polyint, polymul, polysub, polyval, trim_zeros, unwrap,
)
from jaxc.numpy.ranges import arange, geomspace, linspace, logspace
from jaxc.numpy.reductions import (
    all, amax, amin, any, argmax, argmin, average, count_nonzero, max, mean, min, prod, ptp,
    std, sum, var,
)
from jaxc.numpy.scalars import (
    bfloat16, bool_, cdouble, character, complex128, complex64, complex_, complexfloating,
    csingle, double, dtype, e, euler_gamma, finfo, flexible, float16, float32, float4_e2m1fn,
    float64, float8_e3m4, float8_e4m3, float8_e4m3b11fnuz, float8_e4m3fn, float8_e4m3fnuz,
    float8_e5m2, float8_e5m2fnuz, float8_e8m0fnu, float_, floating, generic, iinfo, inexact,
    inf, int16, int2, int32, int4, int64, int8, int_, integer, issubdtype, nan, newaxis, number,
    object_, pi, promote_types, result_type, signedinteger, single, uint, uint16, uint2, uint32,
    uint4, uint64, uint8, unsignedinteger,
)
from jaxc.numpy.searching import (
    argwhere, compress, digitize, extract, flatnonzero, intersect1d, isin, nonzero,
    searchsorted, setdiff1d, setxor1d, union1d, unique, unique_all, unique_counts,
    unique_inverse, unique_values,
)
from jaxc.numpy.selection import choose, clip, nan_to_num, piecewise, select, where
from jaxc.numpy.sorting import argpartition, argsort, lexsort, partition, sort, sort_complex
from jaxc.numpy.special import (
    acosh, angle, arccosh, bitwise_count, copysign, fmax, fmin, frexp, gcd, heaviside, hypot,
    i0, isinf, lcm, ldexp, signbit, sinc, spacing,
)
from jaxc.numpy.statistics import (
    bincount, corrcoef, cov, histogram, histogram2d, histogram_bin_edges, histogramdd, median,
    nanmedian, nanpercentile, nanquantile, percentile, quantile,
)
from jaxc.numpy.ufunc import frompyfunc, ufunc
from jaxc.numpy.ufuncs import (
    add, bitwise_and, bitwise_or, bitwise_xor, logaddexp, logaddexp2, logical_and, logical_or,
    logical_xor, maximum, minimum, multiply, negative, subtract,
)
from jaxc.numpy.vectorize import apply_along_axis, apply_over_axes, vectorize

bool = bool_

__all__ = [
    "ComplexWarning", "abs", "absolute", "acos", "acosh", "add", "all", "allclose", "amax",
    "amin", "angle", "any", "append", "apply_along_axis", "apply_over_axes", "arange", "arccos",
    "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin",
    "argpartition", "argsort", "argwhere", "around", "array", "array_equal", "array_equiv",
    "array_repr", "array_split", "array_str", "asarray", "asin", "asinh", "astype", "atan",
    "atan2", "atanh", "atleast_1d", "atleast_2d", "atleast_3d", "average", "bartlett",
    "bfloat16", "bincount", "bitwise_and", "bitwise_count", "bitwise_invert",
    "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
    "blackman", "block", "bool", "bool_", "broadcast_arrays", "broadcast_shapes",
    "broadcast_to", "c_", "can_cast", "cbrt", "cdouble", "ceil", "character", "choose", "clip",
    "column_stack", "complex128", "complex64", "complex_", "complexfloating", "compress",
    "concat", "concatenate", "conj", "conjugate", "convolve", "copy", "copysign", "corrcoef",
    "correlate", "cos", "cosh", "count_nonzero", "cov", "cross", "csingle", "cumprod", "cumsum",
    "cumulative_prod", "cumulative_sum", "deg2rad", "degrees", "delete", "diag", "diag_indices",
    "diag_indices_from", "diagflat", "diagonal", "diff", "digitize", "divide", "divmod", "dot",
    "double", "dsplit", "dstack", "dtype", "e", "ediff1d", "einsum", "einsum_path", "empty",
    "empty_like", "equal", "euler_gamma", "exp", "exp2", "expand_dims", "expm1", "extract",
    "eye", "fabs", "fill_diagonal", "finfo", "fix", "flatnonzero", "flexible", "flip", "fliplr",
    "flipud", "float16", "float32", "float4_e2m1fn", "float64", "float8_e3m4", "float8_e4m3",
    "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
    "float8_e8m0fnu", "float_", "float_power", "floating", "floor", "floor_divide", "fmax",
    "fmin", "fmod", "frexp", "from_dlpack", "frombuffer", "fromfile", "fromfunction",
    "fromiter", "frompyfunc", "fromstring", "full", "full_like", "gcd", "generic", "geomspace",
    "get_printoptions", "gradient", "greater", "greater_equal", "hamming", "hanning",
    "heaviside", "histogram", "histogram2d", "histogram_bin_edges", "histogramdd", "hsplit",
    "hstack", "hypot", "i0", "identity", "iinfo", "imag", "index_exp", "indices", "inexact",
    "inf", "inner", "insert", "int16", "int2", "int32", "int4", "int64", "int8", "int_",
    "integer", "interp", "intersect1d", "invert", "isclose", "iscomplex", "iscomplexobj",
    "isdtype", "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf", "isreal",
    "isrealobj", "isscalar", "issubdtype", "iterable", "ix_", "kaiser", "kron", "lcm", "ldexp",
    "left_shift", "less", "less_equal", "lexsort", "linalg", "linspace", "load", "log", "log10",
    "log1p", "log2", "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or",
    "logical_xor", "logspace", "mask_indices", "matmul", "matrix_transpose", "matvec", "max",
    "maximum", "mean", "median", "meshgrid", "mgrid", "min", "minimum", "mod", "modf",
    "moveaxis", "multiply", "nan", "nan_to_num", "nanargmax", "nanargmin", "nancumprod",
    "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile", "nanprod",
    "nanquantile", "nanstd", "nansum", "nanvar", "ndarray", "ndim", "negative", "newaxis",
    "nextafter", "nonzero", "not_equal", "number", "object_", "ogrid", "ones", "ones_like",
    "outer", "pad", "partition", "percentile", "permute_dims", "pi", "piecewise", "place",
    "poly", "polyadd", "polyder", "polydiv", "polyint", "polymul", "polysub", "polyval",
    "positive", "pow", "power", "printoptions", "prod", "promote_types", "ptp", "put",
    "put_along_axis", "quantile", "r_", "rad2deg", "radians", "ravel", "ravel_multi_index",
    "real", "reciprocal", "remainder", "repeat", "reshape", "resize", "result_type",
    "right_shift", "rint", "roll", "rollaxis", "rot90", "round", "s_", "save", "savez",
    "searchsorted", "select", "set_printoptions", "setdiff1d", "setxor1d", "shape", "sign",
    "signbit", "signedinteger", "sin", "sinc", "single", "sinh", "size", "sort", "sort_complex",
    "spacing", "split", "sqrt", "square", "squeeze", "stack", "std", "subtract", "sum",
    "swapaxes", "take", "take_along_axis", "tan", "tanh", "tensordot", "tile", "trace",
    "transpose", "trapezoid", "tri", "tril", "tril_indices", "tril_indices_from", "trim_zeros",
    "triu", "triu_indices", "triu_indices_from", "true_divide", "trunc", "ufunc", "uint",
    "uint16", "uint2", "uint32", "uint4", "uint64", "uint8", "union1d", "unique", "unique_all",
    "unique_counts", "unique_inverse", "unique_values", "unravel_index", "unsignedinteger",
    "unstack", "unwrap", "vander", "var", "vdot", "vecdot", "vecmat", "vectorize", "vsplit",
    "vstack", "where", "zeros", "zeros_like",
]
# fmt: on
