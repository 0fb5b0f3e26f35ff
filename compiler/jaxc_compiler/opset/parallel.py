"""Collectives over named axes. They are interpreted away by the transformation that binds the axis,
so there are no NumPy kernels and no samples; a vmap test covers each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.op import define


def reduction_infer(x: ShapedArray, *, axes: Any, axis_index_groups: Any) -> ShapedArray:
    return x


def all_gather_infer(
    x: ShapedArray, *, all_gather_dimension: int, axis_name: Any, axis_index_groups: Any,
    axis_size: int, tiled: bool,
) -> ShapedArray:  # fmt: skip
    shape = list(x.shape)
    if tiled:
        shape[all_gather_dimension] *= axis_size
    else:
        shape.insert(all_gather_dimension, axis_size)
    return x.update(shape=tuple(shape))


def ppermute_infer(x: ShapedArray, *, axis_name: Any, perm: Any) -> ShapedArray:
    return x


def axis_index_infer(*, axis_name: Any) -> ShapedArray:
    return ShapedArray((), np.int32)


_GATHER = ("all_gather_dimension", "axis_index_groups", "axis_name", "axis_size", "tiled")
for _name in ("psum", "pmax", "pmin"):
    define(_name, kind="call", params=("axes", "axis_index_groups"), infer=reduction_infer)
all_gather = define("all_gather", kind="call", params=_GATHER, infer=all_gather_infer)
ppermute = define("ppermute", kind="call", params=("axis_name", "perm"), infer=ppermute_infer)
axis_index = define("axis_index", kind="call", params=("axis_name",), infer=axis_index_infer)
