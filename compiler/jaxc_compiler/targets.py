"""The targets as data: which IREE flags each is compiled with.

Imports nothing of ours; knows no pass.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

# f64 stays f64: IREE demotes it by default, and changes the function's signature with it.
_COMMON = ("--iree-input-demote-f64-to-f32=false", "--iree-input-type=none")

_CPU = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    # Our kernels are scalar loops: LLVM vectorizes, unrolls and interleaves them.
    "--iree-llvmcpu-loop-vectorization=true",
    "--iree-llvmcpu-slp-vectorization=true",
    "--iree-llvmcpu-loop-unrolling",
    "--iree-llvmcpu-loop-interleaving",
    # The largest stack of a worker thread that is safe is 128 KB.
    "--iree-llvmcpu-stack-allocation-limit=65536",
)

# What `jit` leaves out of the artifact to compile fast: symbols, sources, the zip container and
# the evaluation of constants at compile time.
_QUICK = (
    "--iree-llvmcpu-debug-symbols=false",
    "--iree-hal-executable-debug-level=0",
    "--iree-llvmcpu-enable-ukernels=none",
    "--iree-llvmcpu-link-ukernel-bitcode=false",
    "--iree-opt-const-eval=false",
    "--iree-opt-const-expr-hoisting=false",
    "--iree-vm-emit-polyglot-zip=false",
    "--iree-vm-bytecode-module-strip-source-map=true",
)


@dataclass(frozen=True)
class Target:
    """What a module is compiled for.

    Attributes:
      name: as users say it: `cpu`, `cuda`, `vulkan`, ...
      backend: the family that decides which lowering is used: `cpu` or `gpu`.
      flags: IREE's, in order.
      portable: whether the artifact may run on a machine other than this one.
    """

    name: str
    backend: str
    flags: tuple[str, ...] = field(default=())
    portable: bool = False


def get(name: str = "cpu", *, portable: bool = False, chip: str | None = None) -> Target:
    """The target of a name.

    Args:
      name: `cpu`, `cuda`, `vulkan`, `rocm` or `metal`.
      portable: for the CPU, use IREE's embedded linker and no host library, so that the artifact
        loads anywhere; `jit` prefers the system's linker, which is faster.
      chip: the CPU or GPU to compile for (`host`, `generic`, `sm_80`, `gfx1100`, `rdna3`, ...).

    Raises:
      ValueError: for an unknown name.

    Example:
      >>> get("cuda").backend
      'gpu'
    """
    if name == "cpu":
        linking = () if portable else _system_linker()
        cpu = f"--iree-llvmcpu-target-cpu={chip or 'host'}"
        return Target("cpu", "cpu", (*_COMMON, *_CPU, cpu, *linking, *_QUICK), portable)
    if name not in _GPU_CHIPS:
        raise ValueError(f"unknown target {name!r}: one of cpu, {', '.join(_GPU_CHIPS)}")
    device, chip_flag, default = _GPU_CHIPS[name]
    flags = [f"--iree-hal-target-device={device}"]
    flags += [f"{chip_flag}={chip or default}"] if chip_flag else []
    return Target(name, "gpu", (*_COMMON, *flags), True)


# sm_89 also runs on later chips, whose own names IREE 3.13 cannot compile for.
_GPU_CHIPS = {
    "cuda": ("cuda", "--iree-cuda-target", "sm_80"),
    "vulkan": ("vulkan", "--iree-vulkan-target", "llvmpipe"),
    "rocm": ("hip", "--iree-rocm-target", "gfx1100"),
    "metal": ("metal", "", ""),
}


@cache
def _system_linker() -> tuple[str, ...]:
    """Link with the system's `ld`, which takes 5 ms; IREE's own takes 20 and embeds a libm."""
    if not sys.platform.startswith("linux"):
        return ()
    if shutil.which("ld"):
        return ("--iree-llvmcpu-link-embedded=false",)
    linker = _bundled_linker()
    if linker is None or " " in str(linker):  # the flag's words cannot be quoted
        return ()
    path = f"--iree-llvmcpu-system-linker-path={linker} -flavor gnu"
    return ("--iree-llvmcpu-link-embedded=false", path)


def _bundled_linker() -> Path | None:
    import iree.compiler  # only where there is no `ld`: takes 0.1 s

    found = Path(iree.compiler.__path__[0], "_mlir_libs", "iree-lld")
    return found if found.exists() else None
