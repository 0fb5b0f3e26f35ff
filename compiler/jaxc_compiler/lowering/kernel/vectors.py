"""What vectors the CPU has that a kernel is compiled for.

Owns `Vectors`, which sizes the register tile. Must not import the op lowerings.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CPU_FLAG = "--iree-llvmcpu-target-cpu="
_TRIPLE_FLAG = "--iree-llvmcpu-target-triple="
_WIDE = ("x86-64-v4", "znver4", "znver5", "skylake-avx512", "icelake", "sapphirerapids")


@dataclass(frozen=True)
class Vectors:
    """The vector registers of a CPU: how many bytes each has, and how many there are."""

    bytes: int
    registers: int

    @property
    def tile_rows(self) -> int:
        """Rows of a register tile; half of the registers accumulate."""
        return 8 if self.registers >= 32 else 4


AVX512, AVX2, NEON = Vectors(64, 32), Vectors(32, 16), Vectors(16, 32)


def vectors_of(flags: Sequence[str]) -> Vectors:
    """The vectors of the CPU that IREE's flags name."""
    cpu = _value(flags, _CPU_FLAG)
    triple = _value(flags, _TRIPLE_FLAG) or platform.machine()
    if "aarch64" in triple or "arm" in triple:
        return NEON
    if cpu == "host":
        return _host()
    return AVX512 if any(name in cpu for name in _WIDE) else AVX2


def _value(flags: Sequence[str], name: str) -> str:
    return next((flag.removeprefix(name) for flag in flags if flag.startswith(name)), "")


@cache
def _host() -> Vectors:
    try:
        features = Path("/proc/cpuinfo").read_text()
    except OSError:
        return NEON if platform.machine() in ("arm64", "aarch64") else AVX2
    return AVX512 if "avx512f" in features else AVX2
