"""Contexts of CUDA that change under a thread, on a driver that only remembers the current one."""

from __future__ import annotations

import ctypes

import pytest

from jaxc_runtime import cuda_context
from jaxc_runtime.errors import DeviceError


class _Driver:
    """`libcuda` as far as it is called: opening a device makes its context current."""

    current: int | None = None
    status = 0

    def cuCtxGetCurrent(self, pointer):
        ctypes.cast(pointer, ctypes.POINTER(ctypes.c_void_p))[0] = self.current
        return self.status

    def cuCtxSetCurrent(self, context):
        self.current = context.value
        return self.status


@pytest.fixture
def driver(monkeypatch):
    made = _Driver()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: made)
    return made


def test_each_device_has_its_own_context(driver):
    driver.current = 1
    first = cuda_context.attacher()
    driver.current = 2
    second = cuda_context.attacher()
    for attach, context in [(first, 1), (second, 2), (first, 1), (first, 1)]:
        attach()
        assert driver.current == context
    driver.current = 3  # another library's
    first()
    assert driver.current == 1


def test_a_driver_that_refuses(driver):
    with pytest.raises(DeviceError, match="gives no context"):
        cuda_context.attacher()
    driver.current = 1
    attach = cuda_context.attacher()
    driver.status = 201
    with pytest.raises(DeviceError, match=r"refuses the context to a thread \(error 201\)"):
        attach()
