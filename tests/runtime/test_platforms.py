"""The table of platforms: looked for once, by whoever comes first."""

from __future__ import annotations

import contextlib
import threading

import pytest

from jaxc_runtime import device, platforms
from jaxc_runtime.errors import DeviceError


def test_a_driver_without_devices(monkeypatch):
    monkeypatch.setitem(platforms._OPENERS, "abacus", lambda: ())
    with pytest.raises(DeviceError, match="'abacus' finds no device"):
        platforms.devices("abacus")


def test_threads_find_the_same_devices(monkeypatch):
    monkeypatch.setattr(platforms, "_found", {})
    opened = threading.Barrier(2, timeout=0.2)
    find = platforms._OPENERS["cpu"]

    def slow():
        with contextlib.suppress(threading.BrokenBarrierError):
            opened.wait()  # a second opener, if there were one
        return find()

    monkeypatch.setitem(platforms._OPENERS, "cpu", slow)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(platforms.devices("cpu"))) for _ in "ab"
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(found) == 2 and found[0][0] is found[1][0]


@pytest.mark.vulkan
def test_a_vulkan_device_is_opened_once():
    address = device.query(["vulkan"])[0]["uri"]
    assert device.get("vulkan") is device.get(address)
