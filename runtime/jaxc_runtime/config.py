"""What the environment may change in the runtime.

jaxc's own environment variables are read here and nowhere else (those of XLA's plugins in
`pjrt.plugins`); everything else is handed what was read. Imports nothing of ours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_CACHE_BYTES = 1 << 30
_OFF = frozenset({"0", "false", "off", "no"})


@dataclass(frozen=True)
class RuntimeConfig:
    """Where compiled programs are kept between processes, and how much of them."""

    cache_dir: Path
    cache_enabled: bool = True
    cache_max_bytes: int = DEFAULT_CACHE_BYTES

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> RuntimeConfig:
        """Read `JAXC_CACHE_DIR`, `JAXC_CACHE` (0 = off) and `JAXC_CACHE_MAX_BYTES`.

        Raises:
            ValueError: `JAXC_CACHE_MAX_BYTES` is not a whole number of bytes.
        """
        env = os.environ if environ is None else environ
        directory = env.get("JAXC_CACHE_DIR") or _user_cache_dir()
        limit = env.get("JAXC_CACHE_MAX_BYTES", str(DEFAULT_CACHE_BYTES))
        if not limit.isdigit():
            raise ValueError(f"JAXC_CACHE_MAX_BYTES must be a number of bytes, got {limit!r}")
        return cls(
            cache_dir=Path(directory).expanduser(),
            cache_enabled=env.get("JAXC_CACHE", "1").lower() not in _OFF,
            cache_max_bytes=int(limit),
        )


def _user_cache_dir() -> str:
    import platformdirs  # not needed to load a program: the runtime stands alone without it

    return platformdirs.user_cache_dir("jaxc", appauthor=False)


def chosen_vulkan_chip(environ: Mapping[str, str] | None = None) -> str:
    """`JAXC_VULKAN_CHIP`: every Vulkan device's chip, whatever the table says; or ""."""
    return (os.environ if environ is None else environ).get("JAXC_VULKAN_CHIP", "")
