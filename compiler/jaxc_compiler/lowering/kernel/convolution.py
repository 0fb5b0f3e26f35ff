"""Convolutions inside a kernel, with the register tile of `tile`, in one of two forms.

Rows: where the rows of image and result are contiguous and long enough (NCHW), a padded copy of an
image is read in place: weights [feature, depth] times shifted rows of the copy. A table says where
in the copy each element of the depth begins.

Patches: otherwise, rows of patches times a packed matrix of weights. For each row of the result's
last spatial dimension the patches under it are laid out as a matrix, small enough to stay in cache,
and multiplied by the weights.

Padding, strides, dilations and groups only change which elements are copied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc_compiler import cost
from jaxc_compiler.lowering.element.base import Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.values import delinearize, linearize
from jaxc_compiler.lowering.kernel.contraction import Dot
from jaxc_compiler.lowering.kernel.kernel import Computed, Kernel
from jaxc_compiler.lowering.kernel.memory import View
from jaxc_compiler.lowering.kernel.reduction import accumulator_dtype
from jaxc_compiler.lowering.kernel.region import Call, lowering
from jaxc_compiler.lowering.kernel.tile import Operand, Shifted, Tiles, convert
from jaxc_compiler.opset.avals import ShapedArray

SMALL_IMAGE = 1 << 16  # a padded copy of an image may have this many elements more


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
    if conv.has_rows():
        conv.emit_rows()
    else:
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

    # Rows.

    def has_rows(self) -> bool:
        """Whether the first form applies."""
        ndim = len(self.dest.aval.shape)
        identity = tuple(range(ndim))
        return (
            bool(self.out_spatial)
            and self.wide == self.dest.aval.dtype
            and self.wide in (np.float32, np.float64)
            and self.depth > 0
            and self.batch_groups == 1
            and tuple(self.numbers.out_spec) == identity
            and self.numbers.lhs_spec[-1] == ndim - 1
            and self.out_spatial[-1] >= self.k.vectors.bytes // self.wide.itemsize
            and math.prod(self._padded()) <= 4 * math.prod(self.image) + SMALL_IMAGE
        )

    def _padded(self) -> list[int]:
        """The spatial shape of the copy: what the windows of the result reach."""
        return [
            (out - 1) * stride + (window - 1) * dilation + 1
            for out, stride, window, dilation in zip(
                self.out_spatial, self.strides, self.window, self.rhs_dilation
            )
        ]

    def emit_rows(self) -> None:
        """All images of the result."""
        k, b = self.k, self.b
        weights = self._row_weights()
        step, reach = self.strides[-1], self._padded()
        # A row is kept as `step` rows of every `step`-th element, so that a shift is contiguous.
        pitch = -(-reach[-1] // step)
        shape = (self.features, *reach[:-1], step, pitch)
        image = k.temporary(ShapedArray(shape, self.wide))
        table = self._table(shape)
        *outer, last = self.out_spatial
        with b.nest(), k.loops((self.batch, self.groups)) as (batch, group):
            self._pad(image, batch, group, shape)
            first = b.imul(group, self.columns)
            left = Operand(weights.row(b, group), 0, self.depth, 1)
            with k.loops(outer) as position:
                starts = [b.imul(i, s) for i, s in zip(position, self.strides)]
                offset = linearize(b, [0, *starts, 0, 0], shape)
                right = Shifted(View(image.aval, image.buffer, b.iadd(image.offset, offset)), table)
                at = self.dest.position(b, [batch, first, *position, 0])
                row = View(self.dest.aval, self.dest.buffer, at)
                sizes = (1, self.columns, last, self.depth)
                Tiles(k, left, right, sizes, row, math.prod(self.out_spatial)).emit()

    def _row_weights(self) -> View:
        """The kernel as [group, output feature, depth], depth being (feature, window)."""
        spec, rhs, wide = self.numbers.rhs_spec, self.rhs, self.wide
        shape = (self.groups, self.columns, self.features, *self.window)

        def element(b: ScalarBuilder, index: tuple) -> Scalar:
            group, column, feature, *window = index
            at: list[Index] = [0] * len(rhs.aval.shape)
            at[spec[0]] = b.iadd(b.imul(group, self.columns), column)
            at[spec[1]] = feature
            for dim, i in zip(spec[2:], window):
                at[dim] = i
            return convert(b, rhs.at(b, tuple(at)), rhs.aval.dtype, wide)

        if tuple(spec) == tuple(range(len(spec))) and rhs.aval.dtype == wide:
            packed = self.k.materialize(rhs)
        else:
            packed = self.k.materialize(Computed(ShapedArray(shape, wide), element, (rhs,)))
        return packed.reshaped((self.groups, self.columns, self.depth))

    def _table(self, shape: tuple[int, ...]) -> View:
        """For each element of the depth, where in the copy its first row begins."""
        k, step = self.k, self.strides[-1]
        table = k.temporary(ShapedArray((self.depth,), np.dtype(np.int32)))

        def element(b: ScalarBuilder, index: tuple) -> Scalar:
            feature, *window = delinearize(b, index[0], (self.features, *self.window))
            places = [b.imul(i, d) for i, d in zip(window, self.rhs_dilation)]
            *rows, last = places
            place = linearize(b, [feature, *rows, b.imod(last, step), b.idiv(last, step)], shape)
            return b.from_index(place, 32)

        return k.materialize(Computed(table.aval, element, ()), table)

    def _pad(self, image: View, batch: Index, group: Index, shape: tuple[int, ...]) -> None:
        """Copy one image's features of a group, with its padding and dilation."""
        k, b, spec = self.k, self.b, self.numbers.lhs_spec
        first = b.imul(group, self.features)
        step = self.strides[-1]
        with k.loops(shape) as (feature, *outer, phase, within):
            index: list[Index] = [0] * len(self.lhs.aval.shape)
            index[spec[0]], index[spec[1]] = batch, b.iadd(first, feature)
            fits = []
            for dim, place in enumerate([*outer, b.iadd(b.imul(within, step), phase)]):
                at, ok = self._inside(dim, b.isub(place, self.padding[dim][0]))
                index[spec[2 + dim]] = at
                fits += ok
            value = convert(b, self.lhs.at(b, tuple(index)), self.lhs.aval.dtype, self.wide)
            valid = b.all_of(fits)
            if valid is not True:
                value = b.select(valid, value, b.constant(0, self.wide))
            image.store(b, [feature, *outer, phase, within], value)

    # Patches.

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
        low, high = self.padding[dim]
        place = b.isub(place, low)
        if low <= 0 and high <= 0 and self.lhs_dilation[dim] == 1:
            return place, []
        return self._inside(dim, place)

    def _inside(self, dim: int, place: Index) -> tuple[Index, list[Any]]:
        """The input's index at a place of the dilated dimension, and whether it is inside."""
        b = self.b
        size, dilation = self.image[dim], self.lhs_dilation[dim]
        span = (size - 1) * dilation + 1
        fits = [b.icmp("ge", place, 0), b.icmp("lt", place, span)]
        inner = b.imin(b.imax(place, 0), max(span - 1, 0))
        if dilation != 1:
            fits.append(b.icmp("eq", b.imod(inner, dilation), 0))
            inner = b.idiv(inner, dilation)
        return inner, fits
