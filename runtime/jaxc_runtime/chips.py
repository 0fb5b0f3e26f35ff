"""Which chip a device is, in the compiler's words: tables over what its driver says.

A Vulkan program compiled for another chip loads and may give wrong values without a word (the
subgroup size is compiled in), so the chip is looked up by the device's name, never guessed. CUDA
programs run on every later chip. Imports nothing of ours but the errors.
"""

from __future__ import annotations

import re

from jaxc_runtime.errors import DeviceError

# NVIDIA's models of a letter and a number: other vendors have those names too.
_NVIDIA = r"\b(?:NVIDIA|Tesla|GRID|Quadro|GeForce)\b.*\b"

# The first pattern found in the device's name names the chip. Chips of a later generation than the
# compiler knows stand beside the last one before them that has the same subgroup size.
_VULKAN = [
    (r"llvmpipe", "llvmpipe"),
    (r"Adreno", "adreno"),
    (r"Mali-G(31\d|51\d|61[05]|71[05]|62\d|72\d)|Immortalis", "valhall4"),
    (r"Quadro RTX \d000\b", "turing"),  # before the GeForces of those numbers
    (r"RTX \d000 Ada|RTX 40\d\d|\bAD10\d", "ada"),
    (rf"{_NVIDIA}L(4|40S?|20)\b", "ada"),
    (r"RTX 50\d\d|Blackwell|\bGH100\b|\bG[BH]20\d", "ada"),
    (rf"{_NVIDIA}(G?H|B)[12]00\b", "ada"),
    (r"RTX 30\d\d|RTX A\d+|\bGA10\d", "ampere"),
    (rf"{_NVIDIA}A(2|10G?|16|30|40|100|800)\b", "ampere"),
    (r"RTX 20\d\d|GTX 16\d\d|TITAN RTX|\bTU1\d\d", "turing"),
    (rf"{_NVIDIA}T(4G?|[12456]00\d?)\b", "turing"),
    (r"RX 90\d\d|NAVI4\d|GFX120\d", "rdna4"),
    (r"RX 7\d\d\d|NAVI3\d|Radeon (7[468]0|8[4689]0)M|PRO W7\d|GFX11\d\d", "rdna3"),
    (r"RX 6\d\d\d|NAVI2\d|Radeon 6[168]0M|PRO W6\d|VANGOGH|GFX103\d", "rdna2"),
]
_PATTERNS = [(re.compile(pattern, re.IGNORECASE), chip) for pattern, chip in _VULKAN]

# The chips compiled for, by compute capability; a program for one runs on the later ones.
_CUDA = {(8, 0): "sm_80", (8, 6): "sm_86", (8, 9): "sm_89", (12, 0): "sm_120"}

VULKAN_CHIPS = (*dict.fromkeys(chip for _, chip in _VULKAN), "vp_android_baseline_2022")


def vulkan_chip(kind: str, chosen: str | None = None) -> str:
    """The chip that programs for a Vulkan device are compiled for.

    Args:
        kind: the device's name, as its driver gives it.
        chosen: the user's choice, which goes before the table: `JAXC_VULKAN_CHIP`, or where
            functions are compiled the frontend's config `jaxc_vulkan_chip`.

    Raises:
        DeviceError: the table has no such device, or no such chip as the one chosen.

    >>> vulkan_chip("AMD Radeon RX 7900 XTX (RADV NAVI31)")
    'rdna3'
    """
    if chosen:
        if chosen not in VULKAN_CHIPS:
            known = ", ".join(VULKAN_CHIPS)
            raise DeviceError(f"the chosen Vulkan chip {chosen!r} is none of {known}")
        return chosen
    for pattern, chip in _PATTERNS:
        if pattern.search(kind):
            return chip
    raise DeviceError(
        f"the chip of Vulkan device {kind!r} is not known; name the one whose programs it runs in "
        f"the environment variable JAXC_VULKAN_CHIP: one of {', '.join(VULKAN_CHIPS)}"
    )


def cuda_chip(details: str) -> str:
    """The chip that programs for a CUDA device are compiled for.

    Args:
        details: the driver's text about the device, which states its compute capability.

    Raises:
        DeviceError: a device older than every chip that is compiled for.

    >>> cuda_chip("- gpu-compute-capability: 9.0")
    'sm_89'
    """
    stated = re.search(r"compute-capability: (\d+)\.(\d+)", details)
    if stated is None:
        return _CUDA[min(_CUDA)]
    capability = (int(stated[1]), int(stated[2]))
    earlier = [known for known in _CUDA if known <= capability]
    if not earlier:
        oldest = ".".join(map(str, min(_CUDA)))
        raise DeviceError(
            f"compute capability {stated[1]}.{stated[2]} is older than {oldest}, the oldest "
            "that programs are compiled for"
        )
    return _CUDA[max(earlier)]
