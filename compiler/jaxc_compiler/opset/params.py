"""The static parameter types of ops: dimension numbers and enums.

Owns every NamedTuple and enum that may appear as an op's parameter. They print in jaxprs as JAX
prints them, compare and hash by value, and import nothing, so that attributes of the `lax` dialect,
rules and kernels share one definition.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple


class GatherDimensionNumbers(NamedTuple):
    """Which dimensions of a gather play which role.

    The last dimension of the start indices is always the index vector.

    Attributes:
      offset_dims: result dimensions that run over the slice taken at one index vector.
      collapsed_slice_dims: operand dimensions of slice size 1 that the result drops.
      start_index_map: the operand dimension each component of an index vector addresses.
      operand_batching_dims: operand dimensions walked in step with the start indices.
      start_indices_batching_dims: the matching dimensions of the start indices.
    """

    offset_dims: tuple[int, ...]
    collapsed_slice_dims: tuple[int, ...]
    start_index_map: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    start_indices_batching_dims: tuple[int, ...] = ()


class ScatterDimensionNumbers(NamedTuple):
    """Which dimensions of a scatter play which role: a gather's numbers read backwards.

    Attributes:
      update_window_dims: update dimensions that run over the window written at one index vector.
      inserted_window_dims: operand dimensions of window size 1 that the updates do not have.
      scatter_dims_to_operand_dims: the operand dimension each index component addresses.
      operand_batching_dims: operand dimensions walked in step with the scatter indices.
      scatter_indices_batching_dims: the matching dimensions of the scatter indices.
    """

    update_window_dims: tuple[int, ...]
    inserted_window_dims: tuple[int, ...]
    scatter_dims_to_operand_dims: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    scatter_indices_batching_dims: tuple[int, ...] = ()


class ConvDimensionNumbers(NamedTuple):
    """The layout of a convolution: for each array, its dimensions in canonical order.

    Attributes:
      lhs_spec: the input's (batch, feature, *spatial) dimensions.
      rhs_spec: the kernel's (out feature, in feature, *spatial) dimensions.
      out_spec: the result's (batch, feature, *spatial) dimensions.
    """

    lhs_spec: tuple[int, ...]
    rhs_spec: tuple[int, ...]
    out_spec: tuple[int, ...]


class GatherScatterMode(enum.Enum):
    """What a gather or scatter does with an index that lies outside its operand."""

    CLIP = enum.auto()  # move the slice inside
    FILL_OR_DROP = enum.auto()  # a gather gives the fill value, a scatter skips the update
    PROMISE_IN_BOUNDS = enum.auto()  # the caller's promise: gathers clip, scatters drop
    ONE_HOT = enum.auto()

    @staticmethod
    def from_any(mode: Any) -> GatherScatterMode:
        """The mode that a user's string, enum value or None (fill or drop) stands for."""
        if isinstance(mode, GatherScatterMode):
            return mode
        if mode is None or mode in ("fill", "drop"):
            return GatherScatterMode.FILL_OR_DROP
        named = {
            "clip": GatherScatterMode.CLIP,
            "promise_in_bounds": GatherScatterMode.PROMISE_IN_BOUNDS,
            "one_hot": GatherScatterMode.ONE_HOT,
        }
        if isinstance(mode, str) and mode in named:
            return named[mode]
        raise ValueError(f'Unknown gather mode "{mode}"')


class Precision(enum.Enum):
    """How exactly a contraction on f32 must be computed; the CPU always computes in full f32."""

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def _missing_(cls, value: object) -> Precision | None:
        return _PRECISION_ALIASES.get(value)  # type: ignore[arg-type]


_PRECISION_ALIASES: dict[Any, Precision] = {
    None: Precision.DEFAULT,
    "default": Precision.DEFAULT,
    "fastest": Precision.DEFAULT,
    "bfloat16": Precision.DEFAULT,
    "high": Precision.HIGH,
    "bfloat16_3x": Precision.HIGH,
    "tensorfloat32": Precision.HIGH,
    "highest": Precision.HIGHEST,
    "float32": Precision.HIGHEST,
}


class DotAlgorithm(NamedTuple):
    """A way to compute a contraction, spelt out; no CPU runs one, so `dot_general` rejects it."""

    lhs_precision_type: Any
    rhs_precision_type: Any
    accumulation_type: Any
    lhs_component_count: int = 1
    rhs_component_count: int = 1
    num_primitive_operations: int = 1
    allow_imprecise_accumulation: bool = False


class DotAlgorithmPreset(enum.Enum):
    """Named ways to compute a contraction: types of lhs, rhs and accumulator."""

    DEFAULT = enum.auto()
    ANY_F8_ANY_F8_F32 = enum.auto()
    ANY_F8_ANY_F8_F32_FAST_ACCUM = enum.auto()
    ANY_F8_ANY_F8_ANY = enum.auto()
    ANY_F8_ANY_F8_ANY_FAST_ACCUM = enum.auto()
    F16_F16_F16 = enum.auto()
    F16_F16_F32 = enum.auto()
    BF16_BF16_BF16 = enum.auto()
    BF16_BF16_F32 = enum.auto()
    BF16_BF16_F32_X3 = enum.auto()
    BF16_BF16_F32_X6 = enum.auto()
    BF16_BF16_F32_X9 = enum.auto()
    TF32_TF32_F32 = enum.auto()
    TF32_TF32_F32_X3 = enum.auto()
    F32_F32_F32 = enum.auto()
    F64_F64_F64 = enum.auto()

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    def __str__(self) -> str:
        return self.name


class RandomAlgorithm(enum.IntEnum):
    """The generator behind `rng_bit_generator`."""

    RNG_DEFAULT = 0
    RNG_THREE_FRY = 1
    RNG_PHILOX = 2

    def __str__(self) -> str:
        return self.name


class SvdAlgorithm(enum.Enum):
    """How a singular value decomposition is computed."""

    DEFAULT = "default"
    QR = "QR"
    JACOBI = "Jacobi"
    POLAR = "polar"
    DIVIDE_AND_CONQUER = "divide_and_conquer"


class EighImplementation(enum.Enum):
    """How a symmetric eigendecomposition is computed."""

    QR = "qr"
    JACOBI = "jacobi"
    QDWH = "qdwh"


class RoundingMethod(enum.IntEnum):
    """Where `round` sends numbers half way between two integers."""

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


class AccuracyMode(enum.Enum):
    """The accuracy asked of a transcendental op; ours are always computed at their best."""

    HIGHEST = 1
    DEFAULT = 2


class Tolerance(NamedTuple):
    """The error asked of a transcendental op: absolute, relative, in units in the last place."""

    atol: float = 0.0
    rtol: float = 0.0
    ulps: int = 0
