"""Chips by what drivers call their devices; never another chip's name."""

from __future__ import annotations

import pytest

from jaxc_compiler import targets
from jaxc_runtime import chips
from jaxc_runtime.errors import DeviceError


@pytest.mark.parametrize(
    "name, chip",
    [
        ("llvmpipe (LLVM 15.0.6, 256 bits)", "llvmpipe"),
        ("NVIDIA GeForce RTX 3090", "ampere"),
        ("NVIDIA A100-SXM4-80GB", "ampere"),
        ("Tesla T4", "turing"),
        ("Quadro RTX 3000", "turing"),
        ("Quadro RTX 4000", "turing"),
        ("NVIDIA Quadro RTX 5000 with Max-Q Design", "turing"),
        ("NVIDIA T1000 8GB", "turing"),
        ("NVIDIA GeForce RTX 4070 Laptop GPU", "ada"),
        ("NVIDIA GeForce RTX 5090", "ada"),
        ("NVIDIA A40", "ampere"),
        ("NVIDIA GeForce GTX 1660 Ti", "turing"),
        ("NVIDIA RTX 6000 Ada Generation", "ada"),
        ("NVIDIA L4", "ada"),
        ("NVIDIA H100 80GB HBM3", "ada"),
        ("NVIDIA H200", "ada"),
        ("AMD Radeon RX 6800 (RADV NAVI21)", "rdna2"),
        ("AMD Radeon 780M (RADV GFX1103_R1)", "rdna3"),
        ("AMD Radeon RX 9070 XT (RADV GFX1201)", "rdna4"),
        ("Adreno (TM) 740", "adreno"),
        ("Mali-G715", "valhall4"),
    ],
)
def test_chip_of_a_vulkan_device(name, chip):
    assert chips.vulkan_chip(name) == chip
    assert targets.get(f"vulkan:{chip}").chip == chip


@pytest.mark.parametrize(
    "capability, chip",
    [("8.0", "sm_80"), ("8.7", "sm_86"), ("9.0", "sm_89"), ("10.3", "sm_89"), ("12.1", "sm_120")],
)
def test_chip_of_a_cuda_device(capability, chip):
    assert chips.cuda_chip(f"\n- gpu-compute-capability: {capability}\n") == chip
    assert targets.get(f"cuda:{chip}").chip == chip
    with pytest.raises(DeviceError, match=r"7\.5 is older than 8\.0"):
        chips.cuda_chip("\n- gpu-compute-capability: 7.5\n")


@pytest.mark.parametrize(
    "name",
    ["Intel(R) Arc(tm) Pro A40/A50 Graphics (DG2)", "Intel(R) Arc(tm) A30M", "Maker L4", "B100"],
)
def test_other_vendors_devices_of_the_same_number(name):
    with pytest.raises(DeviceError, match="is not known"):
        chips.vulkan_chip(name)


def test_unknown_vulkan_devices():
    with pytest.raises(DeviceError, match=r"'Voodoo 2' is not known; .*JAXC_VULKAN_CHIP.*rdna3"):
        chips.vulkan_chip("Voodoo 2")
    assert chips.vulkan_chip("Voodoo 2", "turing") == "turing"
    assert chips.vulkan_chip("NVIDIA L4", "turing") == "turing"
    with pytest.raises(DeviceError, match="the chosen Vulkan chip 'voodoo' is none of llvmpipe"):
        chips.vulkan_chip("Voodoo 2", "voodoo")
    assert set(chips.VULKAN_CHIPS) == set(targets.chips("vulkan"))
