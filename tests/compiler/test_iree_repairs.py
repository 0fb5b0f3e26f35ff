"""What is put right in IREE's output, seen in the IR."""

from __future__ import annotations

import re

import numpy as np
import pytest

from jaxc import lax
from jaxc_compiler import driver, iree_repairs, targets
from jaxc_tools.testing import module_of

pytestmark = pytest.mark.compiler


@pytest.fixture
def after_hal(monkeypatch):
    """The IR after the phase hal and its repairs, as text."""
    texts = []
    repair = iree_repairs.REPAIRS["hal"]

    def noted(module, flags):
        repair(module, flags)
        texts.append(str(module))

    monkeypatch.setitem(iree_repairs.REPAIRS, "hal", noted)

    def text_of(function, *arguments, target):
        driver.compile(module_of(function, *arguments), targets.get(target))
        return texts.pop()

    return text_of


def loops(x):
    doubled = lax.fori_loop(0, 3, lambda i, c: c @ c, x)
    return doubled, lax.while_loop(lambda c: c.sum() < 100, lambda c: c * 2, x + 1)


def test_work_of_a_vulkan_device_is_waited_for(after_hal):
    text = after_hal(loops, np.ones((4, 4), np.float32), target="vulkan:llvmpipe")
    queued = re.findall(r"hal\.device\.queue\.(\S+?)<.* signal\((%\w+)\)", text)
    assert {name for name, _ in queued} == {"execute.indirect"}
    waited = re.findall(r"util\.call @__wait\((%\w+)\)", text)
    assert {fence for _, fence in queued} <= {*waited}


def test_other_devices_keep_their_queue(after_hal):
    text = after_hal(loops, np.ones((4, 4), np.float32), target="cuda")
    assert "hal.device.queue.alloca" in text
