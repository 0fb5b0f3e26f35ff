"""The targets as data: names, chips, IREE's flags, the runtime's driver, and what they cannot do.

A target is written `name` or `name:chip`: `cpu`, `cpu:riscv64`, `cpu:arm64-apple-ios:apple-a14`,
`cuda:sm_89`, `vulkan:adreno`, `tpu:v5e:2x2`. Imports nothing of ours; knows no pass.
"""

from __future__ import annotations

import difflib
import importlib.util
import platform
import re
import shutil
import subprocess
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

# CPU chips of other machines: a triple, the CPU, its features and its calling convention.
# Any other `triple[:cpu]` that IREE's LLVM compiles for is accepted too.
_CPU_CHIPS = {
    "x86-64": ("x86_64-linux-gnu", "x86-64"),
    "x86-64-v3": ("x86_64-linux-gnu", "x86-64-v3"),
    "x86-64-v4": ("x86_64-linux-gnu", "x86-64-v4"),
    "aarch64": ("aarch64-linux-gnu", "generic"),
    "aarch64-android": ("aarch64-linux-android29", "generic"),
    "apple-m1": ("arm64-apple-darwin", "apple-m1"),
    # Without the features IREE's linker misses the software float functions.
    "riscv64": ("riscv64-linux-gnu", "generic-rv64", "+m,+a,+f,+d,+c", "lp64d"),
    "riscv64-v": ("riscv64-linux-gnu", "generic-rv64", "+m,+a,+f,+d,+c,+v", "lp64d"),
}

# CPUs that convert float16: all 64-bit ones of Arm, and these.
_ARM = ("aarch64", "arm64")
_WITH_HALF = ("x86-64-v3", "x86-64-v4")

_GPU_FLAGS = (
    # A hoisted expression of two results gives its first one twice (IREE 3.13).
    "--iree-opt-const-eval=false",
    "--iree-opt-const-expr-hoisting=false",
)


# What kernels may use of a CPU: LLVM's names of the features and Linux's, by the machine. A program
# compiled for features that a CPU lacks would end the process there.
_CPU_FEATURES = {
    "x86_64": {
        "sse3": "pni", "ssse3": "ssse3", "sse4.1": "sse4_1", "sse4.2": "sse4_2",
        "popcnt": "popcnt", "avx": "avx", "avx2": "avx2", "fma": "fma", "f16c": "f16c",
        "bmi": "bmi1", "bmi2": "bmi2", "lzcnt": "abm", "movbe": "movbe", "gfni": "gfni",
        "avx512f": "avx512f", "avx512bw": "avx512bw", "avx512cd": "avx512cd",
        "avx512dq": "avx512dq", "avx512vl": "avx512vl", "avx512ifma": "avx512ifma",
        "avx512vbmi": "avx512vbmi", "avx512vbmi2": "avx512_vbmi2", "avx512vnni": "avx512_vnni",
        "avx512bitalg": "avx512_bitalg", "avx512vpopcntdq": "avx512_vpopcntdq",
        "avx512bf16": "avx512_bf16", "avx512fp16": "avx512_fp16", "avxvnni": "avx_vnni",
        "avxifma": "avx_ifma", "avxvnniint8": "avx_vnni_int8", "amx-tile": "amx_tile",
        "amx-int8": "amx_int8", "amx-bf16": "amx_bf16", "fma4": "fma4", "xop": "xop",
    },
    "aarch64": {
        "neon": "asimd", "dotprod": "asimddp", "fullfp16": "asimdhp", "fp16fml": "asimdfhm",
        "rdm": "asimdrdm", "lse": "atomics", "crc": "crc32", "jsconv": "jscvt", "complxnum": "fcma",
        "i8mm": "i8mm", "bf16": "bf16", "sve": "sve", "sve2": "sve2", "sme": "sme",
    },
}  # fmt: skip


@dataclass(frozen=True)
class _Gpu:
    """A GPU target: IREE's device, the flag that names the chip, the chips and the default."""

    device: str
    chip_flag: str
    chips: tuple[str, ...]
    # Chips that IREE has no name for, and the one whose programs run on them.
    stand_ins: tuple[tuple[str, str], ...] = ()


_GPUS = {
    "cuda": _Gpu(
        "cuda", "--iree-cuda-target",
        ("sm_80", "sm_86", "sm_87", "sm_89", "sm_120"),
        # IREE 3.13 compiles for no sm_90 and sm_100: the PTX of sm_89 runs there.
        (("sm_90", "sm_89"), ("sm_90a", "sm_89"), ("sm_100", "sm_89"), ("a100", "sm_80"),
         ("h100", "sm_89"), ("h200", "sm_89"), ("b200", "sm_89")),
    ),
    "vulkan": _Gpu(
        "vulkan", "--iree-vulkan-target",
        ("llvmpipe", "vp_android_baseline_2022", "adreno", "valhall4", "turing", "ampere", "ada",
         "rdna2", "rdna3", "rdna4"),
    ),
    "rocm": _Gpu(
        "hip", "--iree-rocm-target",
        ("gfx1100", "gfx90a", "gfx942", "gfx1201"),
        (("mi250x", "gfx90a"), ("mi300x", "gfx942")),
    ),
    "metal": _Gpu("metal", "", ("apple",)),
}  # fmt: skip

# TPU generations with a grid of the usual size. For a topology libtpu compiles ahead of time, for
# plain `tpu` when the program is loaded.
_TPU_TOPOLOGIES = (
    "v5e:2x2", "v6e:2x2", "tpu7x:2x2x1", "v5p:2x2x1", "v4:2x2x1", "v3:2x2", "v2:2x2",
)  # fmt: skip

# `pjrt:NAME` is any other plugin of XLA's, which compiles StableHLO when a program is loaded.
NAMES = ("cpu", *_GPUS, "tpu", "pjrt")
# The runtime's device driver for each target. `local-sync` runs on the calling thread.
_DRIVERS = {"cpu": "local-sync", "rocm": "hip"}


@dataclass(frozen=True)
class Target:
    """What a module is compiled for.

    Attributes:
      name: as users say it: `cpu`, `cuda`, `vulkan`, ...
      backend: the family that decides which lowering is used: `cpu`, `gpu` or `pjrt`.
      flags: IREE's, in order.
      portable: whether the artifact may run on a machine other than this one.
      chip: the model it is compiled for: `host`, `riscv64`, `sm_80`, `llvmpipe`, `v5e:2x2`, ...;
        of `pjrt` the plugin's name.
    """

    name: str
    backend: str
    flags: tuple[str, ...] = field(default=())
    portable: bool = False
    chip: str = ""

    @property
    def is_ahead_of_time(self) -> bool:
        """Whether a plugin of XLA compiles it before it is loaded."""
        return self.name == "tpu" and bool(self.chip)

    @property
    def has_half(self) -> bool:
        """Whether there are instructions that convert float16; no for a CPU of unknown features."""
        if self.name != "cpu":
            return True
        if self.chip == "host":
            return _host_has_half()
        arch = _CPU_CHIPS.get(self.chip, (self.chip,))[0].partition("-")[0]
        return arch in _ARM or self.chip in _WITH_HALF

    @property
    def driver(self) -> str:
        """The runtime's device driver that runs its programs."""
        if self.name == "pjrt":
            return self.chip
        return _DRIVERS.get(self.name, self.name)

    def __str__(self) -> str:
        return f"{self.name}:{self.chip}" if self.chip else self.name


def get(spec: str = "cpu", *, portable: bool = False) -> Target:
    """The target of a `name` or `name:chip`.

    Args:
      spec: `cpu`, `cuda:sm_89`, `cpu:riscv64`, ...; `chips(name)` lists the chips. For the CPU also
        `cpu:host` (the default), `cpu:generic` and `cpu:TRIPLE[:CPU]`, which is tried once.
      portable: for the CPU, use IREE's embedded linker and no host library, so that the artifact
        loads anywhere; `jit` prefers the system's linker, which is faster.

    Raises:
      ValueError: for an unknown name or chip.

    Example:
      >>> target = get("cuda:h100")
      >>> target.backend, target.chip, target.flags[-1]
      ('gpu', 'h100', '--iree-cuda-target=sm_89')
    """
    name, _, chip = spec.partition(":")
    if name == "cpu":
        return _cpu(chip or "host", portable)
    if name in ("tpu", "pjrt"):
        return _tpu(chip) if name == "tpu" else _plugin(chip)
    if name not in _GPUS:
        raise ValueError(f"unknown target {name!r}: one of {', '.join(NAMES)}")
    return _gpu(name, chip or _GPUS[name].chips[0])


def chips(name: str) -> tuple[str, ...]:
    """The chips of a target that have a name here, the default first.

    >>> chips("rocm")
    ('gfx1100', 'gfx90a', 'gfx942', 'gfx1201', 'mi250x', 'mi300x')
    """
    if name == "cpu":
        return ("host", "generic", *_CPU_CHIPS)
    if name in ("tpu", "pjrt"):
        return _TPU_TOPOLOGIES if name == "tpu" else ("xla_cpu",)
    gpu = _GPUS[name]
    return (*gpu.chips, *dict(gpu.stand_ins))


def cpu_requirements(description: str) -> tuple[str, tuple[str, ...]]:
    """The machine that a CPU program needs, and the features of its CPU, in Linux's words.

    Args:
      description: IREE's of the device it was compiled for.

    >>> cpu_requirements('{cpu_features = "+avx,+fma,-fma,+x87", target_triple = "x86_64-elf"}')
    ('x86_64', ('avx',))
    """
    triple, signed = (
        re.search(rf'{name} = "([^"]*)"', description) for name in ("target_triple", "cpu_features")
    )
    arch = triple[1].partition("-")[0] if triple else ""
    arch = "aarch64" if arch == "arm64" else arch
    known = _CPU_FEATURES.get(arch, {})
    used: dict[str, bool] = {}
    for feature in signed[1].split(",") if signed else ():
        used[feature[1:]] = feature.startswith("+")
    return arch, tuple(known[name] for name, on in sorted(used.items()) if on and name in known)


def _cpu(chip: str, portable: bool) -> Target:
    if chip in ("host", "generic"):
        model = (f"--iree-llvmcpu-target-cpu={chip}",)
        portable = portable or chip != "host"
    else:
        portable = True
        model = _cpu_model(chip)
    linking = () if portable else _system_linker()
    return Target("cpu", "cpu", (*_COMMON, *_CPU, *model, *linking, *_QUICK), portable, chip)


def _cpu_model(chip: str) -> tuple[str, ...]:
    triple, *rest = _CPU_CHIPS.get(chip) or _split_triple(chip)
    names = ("cpu", "cpu-features", "abi")
    settings = [f"--iree-llvmcpu-target-{name}={value}" for name, value in zip(names, rest)]
    return (f"--iree-llvmcpu-target-triple={triple}", *settings)


def _split_triple(chip: str) -> tuple[str, str]:
    triple, _, cpu = chip.partition(":")
    cpu = cpu or "generic"
    problem = "it is no triple" if "-" not in triple else _problem_of_llvm(triple, cpu)
    if not problem:
        return triple, cpu
    close = difflib.get_close_matches(chip, chips("cpu"), n=1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    raise ValueError(
        f"unknown chip {chip!r} of target cpu{meant}: {problem}; one of {', '.join(chips('cpu'))}, "
        "or triple[:cpu]"
    )


# Something to compile: a CPU that LLVM does not know may end the process as late as that.
_PROBE = b"""
util.func public @main(%x: tensor<f32>) -> tensor<f32> {
  %y = arith.addf %x, %x : tensor<f32>
  util.return %y : tensor<f32>
}
"""


@cache
def _problem_of_llvm(triple: str, cpu: str) -> str:
    """What is wrong with a triple and a CPU, by compiling for them in a process of its own (0.3 s).

    LLVM ends the process for some that it does not know, and ignores other unknown CPUs.
    """
    program = _bundled("iree-compile")
    if program is None:
        return ""
    model = [f"--iree-llvmcpu-target-triple={triple}", f"--iree-llvmcpu-target-cpu={cpu}"]
    command = [program, *_COMMON, *_CPU, *model, "--compile-to=executable-targets", "-"]
    done = subprocess.run(command, input=_PROBE, capture_output=True)
    said = done.stderr.decode(errors="replace")
    if not done.returncode and "not a recognized processor" not in said:
        return ""
    known = re.search(r"List of accepted CPUs: (.*)", said)
    if known is None:
        return "LLVM does not compile for it"
    accepted = known[1].rstrip(".").split(", ")
    near = difflib.get_close_matches(cpu, accepted, n=5, cutoff=0.4) or accepted[:5]
    return f"LLVM has no CPU {cpu!r} of that kind, but {', '.join(near)}"


def _gpu(name: str, chip: str) -> Target:
    """An unknown Vulkan chip would end the process inside IREE, so it is looked up here."""
    gpu = _GPUS[name]
    if chip not in chips(name):
        raise ValueError(f"unknown chip {chip!r} of target {name}: one of {', '.join(chips(name))}")
    flags = [f"--iree-hal-target-device={gpu.device}", *_GPU_FLAGS]
    if gpu.chip_flag:
        flags.append(f"{gpu.chip_flag}={dict(gpu.stand_ins).get(chip, chip)}")
    return Target(name, "gpu", (*_COMMON, *flags), True, chip)


def _tpu(topology: str) -> Target:
    """A topology is a generation and a grid; libtpu knows which grids there are."""
    generation, _, grid = topology.partition(":")
    known = {name.partition(":")[0] for name in _TPU_TOPOLOGIES}
    if topology and (generation not in known or not all(n.isdigit() for n in grid.split("x"))):
        few = ", ".join(_TPU_TOPOLOGIES)
        raise ValueError(f"unknown topology {topology!r} of target tpu: such as {few}")
    return Target("tpu", "pjrt", (), True, topology)


def _plugin(name: str) -> Target:
    if not name:
        raise ValueError("target pjrt needs a plugin's name, as in pjrt:xla_cpu")
    return Target("pjrt", "pjrt", (), True, name)


@cache
def _host_has_half() -> bool:
    if platform.machine() in _ARM:
        return True
    features = Path("/proc/cpuinfo")
    return features.exists() and " f16c" in features.read_text()


@cache
def _system_linker() -> tuple[str, ...]:
    """Link with the system's `ld`, which takes 5 ms; IREE's own takes 20 and embeds a libm."""
    if not sys.platform.startswith("linux"):
        return ()
    if shutil.which("ld"):
        return ("--iree-llvmcpu-link-embedded=false",)
    linker = _bundled("iree-lld")
    if linker is None or " " in str(linker):  # the flag's words cannot be quoted
        return ()
    path = f"--iree-llvmcpu-system-linker-path={linker} -flavor gnu"
    return ("--iree-llvmcpu-link-embedded=false", path)


@cache
def _bundled(program: str) -> Path | None:
    """A program of IREE's package, which is not imported: that takes 0.1 s."""
    package = importlib.util.find_spec("iree.compiler")
    folders = package.submodule_search_locations if package else None
    found = shutil.which(program, path=Path(folders[0], "_mlir_libs")) if folders else None
    return Path(found) if found else None


# -- what each target cannot do: `passes/check_target.py` refuses by these tables ------------------


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
            frozenset({"abs", "div", "population_count", "rem"}), _MOBILE,
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
