"""Convolutions inside a kernel: rows of patches times a packed matrix of weights.

For each row of the result's last spatial dimension the patches under it are laid out as a matrix,
small enough to stay in cache, and multiplied by the weights with the register tile of
`contraction`. Padding, strides, dilations and groups only change which elements a patch holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jaxc_compiler import cost
from jaxc_compiler.lowering.element.base import Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.kernel.contraction import Dot, Operand, convert
from jaxc_compiler.lowering.kernel.kernel import Computed, Kernel
from jaxc_compiler.lowering.kernel.memory import View
from jaxc_compiler.lowering.kernel.reduction import accumulator_dtype
from jaxc_compiler.lowering.kernel.region import Call, lowering
from jaxc_compiler.opset.avals import ShapedArray


@lowering("conv_general_dilated")
def lower_conv_general_dilated(k: Kernel, call: Call) -> list[Any]:
    """A convolution of any rank, layout, grouping and dilation."""
    dest = call.place(k)
    if not dest.aval.size:
        return [dest]
    lhs = k.stored(call.operands[0], cost.EXPENSIVE)
    rhs = k.stored(call.operands[1], cost.EXPENSIVE)
    if any(dest.buffer in k.reads(x) for x in (lhs, rhs)):
        dest = k.temporary(call.out_avals[0])
    conv = _Convolution(k, lhs, rhs, call.params, dest)
    conv.emit()
    return [dest]


class _Convolution:
    def __init__(self, k: Kernel, lhs: Any, rhs: Any, params: dict[str, Any], dest: View):
        self.k, self.b, self.lhs, self.rhs, self.dest = k, k.b, lhs, rhs, dest
        self.numbers = params["dimension_numbers"]
        self.strides = params["window_strides"]
        self.padding = params["padding"]
        self.lhs_dilation, self.rhs_dilation = params["lhs_dilation"], params["rhs_dilation"]
        self.feature_groups = params["feature_group_count"]
        self.batch_groups = params["batch_group_count"]
        self.groups = self.feature_groups * self.batch_groups
        spatial = self.numbers.lhs_spec[2:]
        self.image = [lhs.aval.shape[d] for d in spatial]
        self.window = [rhs.aval.shape[d] for d in self.numbers.rhs_spec[2:]]
        self.features = rhs.aval.shape[self.numbers.rhs_spec[1]]  # input features of a group
        self.columns = rhs.aval.shape[self.numbers.rhs_spec[0]] // self.groups
        self.depth = self.features * math.prod(self.window)
        out = [dest.aval.shape[d] for d in self.numbers.out_spec]
        self.batch, self.out_spatial = out[0], out[2:]
        self.wide = accumulator_dtype("add", dest.aval.dtype)

    def emit(self) -> None:
        """All rows of the result."""
        k, b = self.k, self.b
        *outer, last = self.out_spatial or [1]
        weights = self._weights()
        patches = k.temporary(ShapedArray((last, self.depth), self.wide))
        result = k.temporary(ShapedArray((last, self.columns), self.wide))
        sizes = (1, last, self.columns, self.depth)
        left = Operand(patches, 0, self.depth, 1)
        with b.nest(), k.loops((self.groups, self.batch, *outer)) as (group, batch, *position):
            self._fill(patches, group, batch, position)
            start = b.imul(group, self.depth * self.columns)
            matrix = View(weights.aval.update(shape=weights.aval.shape[1:]), weights.buffer, start)
            Dot(k, left, Operand(matrix, 0, 1, self.columns), sizes, result).emit()
            with k.loops((last, self.columns)) as (row, column):
                value = b.load(self.wide, result.buffer.ref, (result.position(b, (row, column)),))
                feature = b.iadd(b.imul(group, self.columns), column)
                at = (batch, feature, *position, *([row] if self.out_spatial else []))
                index: list[Index] = [0] * len(self.dest.aval.shape)
                for dim, i in zip(self.numbers.out_spec, at):
                    index[dim] = i
                value = convert(b, value, self.wide, self.dest.aval.dtype)
                self.dest.store(b, index, value)

    def _weights(self) -> View:
        """The kernel as [group, depth, column]."""
        spec, rhs, wide = self.numbers.rhs_spec, self.rhs, self.wide
        shape = (self.groups, *self.window, self.features, self.columns)

        def element(b: ScalarBuilder, index: tuple) -> Scalar:
            group, *window, feature, column = index
            at: list[Index] = [0] * len(rhs.aval.shape)
            at[spec[0]] = b.iadd(b.imul(group, self.columns), column)
            at[spec[1]] = feature
            for dim, i in zip(spec[2:], window):
                at[dim] = i
            return convert(b, rhs.at(b, tuple(at)), rhs.aval.dtype, wide)

        array = Computed(ShapedArray(shape, wide), element, (rhs,))
        packed = self.k.materialize(array)
        return packed.reshaped((self.groups, self.depth, self.columns))

    def _fill(self, patches: View, group: Index, batch: Index, outer: Sequence[Index]) -> None:
        """The patches under one row of the result: [column of the row, window, feature]."""
        k, b = self.k, self.b
        last = self.out_spatial[-1] if self.out_spatial else 1
        dtype = self.lhs.aval.dtype
        with k.loops((last, *self.window)) as (row, *inside):
            place = [*outer, row] if self.out_spatial else []
            index: list[Index] = [0] * len(self.lhs.aval.shape)
            spec = self.numbers.lhs_spec
            fits = []
            for dim, (out, within) in enumerate(zip(place, inside)):
                at, ok = self._source(dim, out, within)
                index[spec[2 + dim]] = at
                fits += ok
            index[spec[0]] = batch
            if self.batch_groups > 1:
                index[spec[0]] = b.iadd(b.imul(group, self.batch), batch)
            first = b.imul(group, self.features) if self.feature_groups > 1 else 0
            valid = b.all_of(fits)
            with k.loops((self.features,)) as (feature,):
                index[spec[1]] = b.iadd(first, feature)
                zero = b.constant(0, self.wide)
                value = zero
                if valid is not False:
                    value = convert(b, self.lhs.at(b, tuple(index)), dtype, self.wide)
                    value = b.select(valid, value, zero)
                target: Index = row
                for size, i in zip((*self.window, self.features), (*inside, feature)):
                    target = b.iadd(b.imul(target, size), i)
                patches.store_flat(b, target, value)

    def _source(self, dim: int, out: Index, inside: Index) -> tuple[Index, list[Any]]:
        """The input's index along a spatial dimension, moved inside, and whether it was."""
        b = self.b
        place = b.iadd(b.imul(out, self.strides[dim]), b.imul(inside, self.rhs_dilation[dim]))
        place = b.isub(place, self.padding[dim][0])
        size, dilation = self.image[dim], self.lhs_dilation[dim]
        span = (size - 1) * dilation + 1
        low, high = self.padding[dim]
        if low <= 0 and high <= 0 and dilation == 1:
            return place, []
        fits = [b.icmp("ge", place, 0), b.icmp("lt", place, span)]
        inner = b.imin(b.imax(place, 0), max(span - 1, 0))
        if dilation != 1:
            fits.append(b.icmp("eq", b.imod(inner, dilation), 0))
            inner = b.idiv(inner, dilation)
        return inner, fits
