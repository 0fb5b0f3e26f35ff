"""The one record of what the environment may change in the runtime.

Environment variables are read here, once, when the record is made; everything else is handed the
record. Imports nothing of ours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

DEFAULT_CACHE_BYTES = 1 << 30
_OFF = frozenset({"0", "false", "off", "no"})


@dataclass(frozen=True)
class RuntimeConfig:
    """Where compiled programs are kept and how many; the chip of a Vulkan device no table knows."""

    cache_dir: Path
    cache_enabled: bool = True
    cache_max_bytes: int = DEFAULT_CACHE_BYTES
    vulkan_chip: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> RuntimeConfig:
        """Read `JAXC_CACHE_DIR`, `JAXC_CACHE` (0 = off), `JAXC_CACHE_MAX_BYTES`, `JAXC_VULKAN_CHIP`.

        Raises:
            ValueError: `JAXC_CACHE_MAX_BYTES` is not a whole number of bytes.
        """
        env = os.environ if environ is None else environ
        directory = env.get("JAXC_CACHE_DIR") or platformdirs.user_cache_dir(
            "jaxc", appauthor=False
        )
        limit = env.get("JAXC_CACHE_MAX_BYTES", str(DEFAULT_CACHE_BYTES))
        if not limit.isdigit():
            raise ValueError(f"JAXC_CACHE_MAX_BYTES must be a number of bytes, got {limit!r}")
        return cls(
            cache_dir=Path(directory).expanduser(),
            cache_enabled=env.get("JAXC_CACHE", "1").lower() not in _OFF,
            cache_max_bytes=int(limit),
            vulkan_chip=env.get("JAXC_VULKAN_CHIP", ""),
        )
