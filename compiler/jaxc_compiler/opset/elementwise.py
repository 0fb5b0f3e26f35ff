"""Elementwise ops with rules of their own: casts, bitcasts, select, clamp, optimization barrier."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import ShapedArray, float0
from jaxc_compiler.opset.inference import (
    ANY,
    BITS,
    check_accepts,
    check_same_dtypes,
    dtype_class,
)
from jaxc_compiler.opset.kernels import COMPLEXES, FLOATS, INTEGERS
from jaxc_compiler.opset.op import Sample, define

# ---- convert_element_type -----------------------------------------------------------------------


def convert_element_type_infer(
    x: ShapedArray, *, new_dtype: Any, weak_type: bool, sharding: Any
) -> ShapedArray:
    if new_dtype != float0:
        check_accepts("convert_element_type", ANY, x.dtype)
    return ShapedArray(x.shape, new_dtype, weak_type)


def convert_element_type_numpy(
    x: Any, *, new_dtype: Any, sharding: Any = None, weak_type: bool = False
) -> np.ndarray:
    """A cast: complex to real drops the imaginary part, float to integer saturates, NaN gives 0."""
    if x.dtype == new_dtype:
        return x.copy()
    if new_dtype == float0:
        return np.zeros(x.shape, float0)
    old = dtype_class(x.dtype)
    new = dtype_class(new_dtype)
    if old == "complex" and new != "complex":
        x, old = x.real, "floating"
    if new == "bool":
        return np.asarray(x != 0)
    if old == "floating" and new.endswith("integer"):
        return _float_to_integer(x, new_dtype)
    if old.endswith("integer") and x.dtype.kind not in "iu":
        x = x.astype(np.int32)  # ml_dtypes' 2- and 4-bit integers cast to few dtypes
    return x.astype(new_dtype)


def _float_to_integer(x: np.ndarray, new_dtype: Any) -> np.ndarray:
    if new_dtype.kind not in "iu":
        return _float_to_integer(x, np.dtype(np.int32)).astype(new_dtype)
    info = np.iinfo(new_dtype)
    if x.dtype.itemsize >= 4 and ((x > info.min - 1.0) & (x < info.max + 1.0)).all():
        return x.astype(new_dtype)  # in range and no NaN: a plain cast does it
    wide = x.astype(np.float64) if x.dtype.itemsize < 8 else x
    # float(max) of 64-bit integers rounds up to 2**63: compare with >= and set the value itself.
    above, below = wide >= float(info.max), wide <= float(info.min)
    inside = np.where(above | below | np.isnan(wide), 0.0, wide).astype(new_dtype)
    saturated = np.where(above, np.array(info.max, new_dtype), inside)
    return np.where(below, np.array(info.min, new_dtype), saturated)


# ---- bitcast_convert_type -----------------------------------------------------------------------


def bit_width(dtype: Any) -> int:
    """Bits of an element; ml_dtypes' narrow integers are stored in a byte each."""
    if dtype.kind in "biufc":
        return 8 * dtype.itemsize
    digits = dtype.name.rpartition("int")[2]
    return int(digits) if digits.isdigit() else 8 * dtype.itemsize


def bitcast_convert_type_infer(x: ShapedArray, *, new_dtype: Any) -> ShapedArray:
    if x.dtype == new_dtype:
        return x.strip_weak_type()
    if {dtype_class(x.dtype), dtype_class(new_dtype)} & {"bool", "complex"}:
        raise TypeError(
            "bitcast_convert_type casts bool and complex arrays only to their own dtype, got "
            f"{x.dtype.name} to {np.dtype(new_dtype).name}. Consider arr.view()."
        )
    old, new = bit_width(x.dtype), bit_width(new_dtype)
    if old == new:
        return ShapedArray(x.shape, new_dtype)
    if old > new:
        return ShapedArray((*x.shape, old // new), new_dtype)
    last = x.shape[-1] if x.shape else 1
    if last * old != new:
        raise ValueError(
            f"bitcast_convert_type of an array of shape {x.shape} from {x.dtype.name} to "
            f"{new_dtype.name}: the last dimension holds {last * old} bits, not {new}"
        )
    return ShapedArray(x.shape[:-1], new_dtype)


def bitcast_convert_type_numpy(x: np.ndarray, *, new_dtype: Any) -> np.ndarray:
    old, new = bit_width(x.dtype), bit_width(new_dtype)
    if old == new:
        return x.copy().view(new_dtype)
    if min(old, new) < 8:
        return _bitcast_narrow(x, old, new, new_dtype)
    out = np.array(x, order="C", copy=True)
    if old > new:
        return out.reshape(*x.shape, 1).view(new_dtype)
    return out.view(new_dtype).reshape(x.shape[:-1])


def _bitcast_narrow(x: np.ndarray, old: int, new: int, new_dtype: Any) -> np.ndarray:
    """To or from a dtype of 2 or 4 bits, of which NumPy stores one a byte: by single bits."""
    stored = np.ascontiguousarray(x).reshape(*x.shape, 1).view(np.uint8)
    bits = np.unpackbits(stored, axis=-1, bitorder="little")[..., :old]
    if old < new:
        shape = x.shape[:-1]
    else:
        shape = (*x.shape, old // new)
    packed = np.packbits(bits.reshape(*shape, new), axis=-1, bitorder="little")
    return packed.view(new_dtype).reshape(shape)


# ---- select_n and clamp -------------------------------------------------------------------------


def select_n_infer(which: ShapedArray, *cases: ShapedArray) -> ShapedArray:
    if len(cases) == 0:
        raise TypeError("select must have at least one case")
    if any(c.shape != cases[0].shape for c in cases):
        raise TypeError(f"select cases must have the same shapes, got {[c.shape for c in cases]}.")
    if which.shape and which.shape != cases[0].shape:
        raise TypeError(
            "select `which` must be scalar or have the same shape as cases, got `which` shape "
            f"{which.shape} but case shape {cases[0].shape}."
        )
    check_same_dtypes("select", *cases)
    if dtype_class(which.dtype) not in BITS:
        raise TypeError(f"select `which` must be boolean or integer, got {which.str_short()}.")
    if dtype_class(which.dtype) == "bool" and len(cases) > 2:
        raise TypeError(f"select with boolean `which` takes at most 2 cases, got {len(cases)}.")
    return ShapedArray(cases[0].shape, cases[0].dtype, all(c.weak_type for c in cases))


def select_n_numpy(which: np.ndarray, *cases: np.ndarray) -> np.ndarray:
    """An index below 0 takes the first case, one above the last takes the last."""
    if which.ndim == 0:
        return cases[min(max(int(which), 0), len(cases) - 1)].copy()
    if which.ndim < cases[0].ndim:  # key arrays have trailing dimensions of words
        which = which.reshape(which.shape + (1,) * (cases[0].ndim - which.ndim))
    if len(cases) == 2:
        chosen = which if which.dtype == bool else which > 0
        return np.where(chosen, cases[1], cases[0])
    out = cases[0]
    for i, case in enumerate(cases[1:], start=1):
        out = np.where(which >= i, case, out)
    return out.copy() if out is cases[0] else out


def clamp_infer(lo: ShapedArray, x: ShapedArray, hi: ShapedArray) -> ShapedArray:
    for name, bound in (("min", lo), ("max", hi)):
        if bound.shape and bound.shape != x.shape:
            raise TypeError(
                f"clamp requires {name}.shape == () or {name}.shape == operand.shape, got "
                f"{name}.shape={bound.shape}, operand.shape={x.shape}."
            )
    for i, aval in enumerate((lo, x, hi)):
        check_accepts("clamp", ANY, aval.dtype, i)
    check_same_dtypes("clamp", lo, x, hi)
    return ShapedArray(x.shape, x.dtype, lo.weak_type and x.weak_type and hi.weak_type)


def clamp_numpy(lo: np.ndarray, x: np.ndarray, hi: np.ndarray) -> np.ndarray:
    return np.asarray(np.minimum(np.maximum(lo, x), hi))


# ---- optimization_barrier -----------------------------------------------------------------------


def optimization_barrier_infer(*avals: ShapedArray) -> list[ShapedArray]:
    return list(avals)


def optimization_barrier_numpy(*operands: np.ndarray) -> list[np.ndarray]:
    return [x.copy() for x in operands]


# ---- the book -----------------------------------------------------------------------------------


def _convert_samples() -> Any:
    dtypes = ("bool", *INTEGERS, *FLOATS, *COMPLEXES[:1])
    for old in dtypes:
        for new in dtypes:
            params = {"new_dtype": np.dtype(_named(new)), "weak_type": False, "sharding": None}
            yield Sample((ShapedArray((3,), _named(old)),), params)


def _named(name: str) -> Any:
    return ShapedArray((), name).dtype


def _bitcast_samples() -> Any:
    for shape, old, new in (
        ((2, 3), "float32", "int32"),
        ((), "float64", "uint64"),
        ((3,), "float32", "uint8"),
        ((3, 4), "uint8", "float32"),
        ((2,), "bfloat16", "uint16"),
    ):
        yield Sample((ShapedArray(shape, old),), {"new_dtype": _named(new)})


def _select_samples() -> Any:
    for dtype in (*FLOATS, "complex64", "int32", "bool"):
        case = ShapedArray((2, 3), dtype)
        yield Sample((ShapedArray((2, 3), "bool"), case, case))
    case = ShapedArray((4,), "float32")
    yield Sample((ShapedArray((), "bool"), case, case))
    yield Sample((ShapedArray((4,), "int32"), case, case, case))
    empty = ShapedArray((0,), "float32")
    yield Sample((ShapedArray((0,), "bool"), empty, empty))


def _clamp_samples() -> Any:
    for dtype in (*FLOATS, *INTEGERS):
        yield Sample((ShapedArray((2, 3), dtype),) * 3)
    scalar = ShapedArray((), "float32")
    yield Sample((scalar, ShapedArray((2, 3), "float32"), scalar))
    yield Sample((scalar, ShapedArray((0,), "float32"), scalar))


define(
    "convert_element_type",
    kind="elementwise",
    params=("new_dtype", "sharding", "weak_type"),
    infer=convert_element_type_infer,
    numpy=convert_element_type_numpy,
    samples=_convert_samples,
)
define(
    "bitcast_convert_type",
    kind="elementwise",
    params=("new_dtype",),
    infer=bitcast_convert_type_infer,
    numpy=bitcast_convert_type_numpy,
    samples=_bitcast_samples,
)
define(
    "select_n",
    kind="elementwise",
    infer=select_n_infer,
    numpy=select_n_numpy,
    samples=_select_samples,
)
define(
    "clamp",
    kind="elementwise",
    infer=clamp_infer,
    numpy=clamp_numpy,
    samples=_clamp_samples,
)
define(
    "optimization_barrier",
    kind="elementwise",
    infer=optimization_barrier_infer,
    numpy=optimization_barrier_numpy,
    multiple_results=True,
    samples=lambda: [Sample((ShapedArray((2,), "float32"), ShapedArray((), "int32")))],
)
