"""The Vulkan device that the user's operations and kernels are tried on, a software one in CI."""

from __future__ import annotations

import pytest

import jaxc


@pytest.fixture
def vulkan():
    """The first Vulkan device; the test is skipped where there is none."""
    before = jaxc.config.read("jax_platforms")
    jaxc.config.update("jax_platforms", "cpu,vulkan")
    try:
        try:
            device = jaxc.devices("vulkan")[0]
        except RuntimeError as error:
            pytest.skip(str(error))
        yield device
    finally:
        jaxc.config.update("jax_platforms", before)
