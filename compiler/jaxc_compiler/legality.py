"""What each target cannot do, as data: dtypes and ops, with the reason in words.

`passes/check_target.py` refuses by these tables, before anything is compiled. Imports nothing of
ours.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Ops on dtypes that a target's programs must not hold.

    Attributes:
      dtypes: their names; an operand or a result of one of them counts.
      reason: why, and what to do instead.
      ops: names of the op book, or none for every op.
      chips: the target's chips that it holds for, or none for all.
    """

    dtypes: frozenset[str]
    reason: str
    ops: frozenset[str] = frozenset()
    chips: frozenset[str] = frozenset()

    def holds(self, op: str, dtype: str, chip: str) -> bool:
        """Whether an op on a dtype is refused for a chip."""
        of_op = not self.ops or op in self.ops
        return of_op and dtype in self.dtypes and (not self.chips or chip in self.chips)


_FLOAT8 = frozenset({
    "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e4m3b11fnuz",
    "float8_e3m4", "float8_e4m3",
})  # fmt: skip
_DOUBLES = frozenset({"float64", "complex128"})
_COMPLEX = frozenset({"complex64", "complex128"})
# Of floats of any width these are computed in doubles.
_BY_DOUBLES = frozenset({
    "bessel_i0e", "bessel_i1e", "igamma", "igammac", "igamma_grad_a", "polygamma",
    "random_gamma_grad", "regularized_incomplete_beta", "zeta",
})  # fmt: skip
_FLOATS = frozenset({"float32", "float16", "bfloat16"})
# Vulkan chips of telephones.
_MOBILE = frozenset({"adreno", "valhall4", "vp_android_baseline_2022"})
_BASELINE = frozenset({"vp_android_baseline_2022"})


def _no_doubles(chips: frozenset[str] = frozenset()) -> tuple[Refusal, ...]:
    return (
        Refusal(_DOUBLES, "it has no doubles; use float32", chips=chips),
        Refusal(_FLOATS, "it is computed in doubles, which the target has not", _BY_DOUBLES, chips),
    )


# For every target whose programs are lowered to linalg.
_LINALG = (
    Refusal(
        _COMPLEX,
        "updates of complex numbers can only be set, added and subtracted",
        frozenset({"scatter-mul", "scatter-min", "scatter-max"}),
    ),
)

REFUSALS: dict[str, tuple[Refusal, ...]] = {
    "cpu": (),
    "cuda": (
        *_LINALG,
        Refusal(_FLOAT8, "it has no conversion from and to 8-bit floats; use bfloat16"),
    ),
    "rocm": (
        *_LINALG,
        Refusal(
            _FLOAT8, "it has no conversion from and to 8-bit floats; use bfloat16",
            chips=frozenset({"gfx1100", "gfx90a", "gfx942", "mi250x", "mi300x"}),
        ),
    ),
    "metal": (*_LINALG, *_no_doubles()),
    "vulkan": (
        *_LINALG,
        *_no_doubles(_MOBILE),
        Refusal(
            frozenset({"int64", "uint64"}),
            "its 64-bit integers are pairs of words, without this op; use int32",
            frozenset({"abs", "div", "mulhi", "population_count", "rem"}), _MOBILE,
        ),
        # Compiled, they give wrong results on lavapipe.
        Refusal(
            frozenset({"int8", "uint8", "int16", "uint16", "float16", "bfloat16"}) | _FLOAT8,
            "it has no arrays of 8-bit and 16-bit numbers; use int32 or float32", chips=_BASELINE,
        ),
    ),
}  # fmt: skip


def refusal(target: str, chip: str, op: str, dtypes: frozenset[str]) -> tuple[str, str] | None:
    """The dtype and the reason for which an op cannot be compiled for a target, or None.

    Example:
      >>> refusal("metal", "apple", "sin", frozenset({"float64"}))
      ('float64', 'it has no doubles; use float32')
    """
    for entry in REFUSALS.get(target, ()):
        for dtype in sorted(dtypes):
            if entry.holds(op, dtype, chip):
                return dtype, entry.reason
    return None
