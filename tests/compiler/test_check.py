"""The FileCheck helper refuses checks that would never run."""

from __future__ import annotations

import pytest

from jaxc_tools.testing import check

TEXT = "lax.sin\nlax.add\n"


def test_matching_checks_pass():
    check(TEXT, "// CHECK: lax.sin\n// CHECK-NEXT: lax.add\n// CHECK-NOT: lax.mul")


@pytest.mark.parametrize(
    "checks",
    [
        "",
        "// only a comment",
        "// CHEKC: lax.sin",
        "// CHECK-NEX: lax.sin\n// CHECK: lax.add",
        "// CHECK lax.sin",
        "// check: lax.sin",
        "// CHECK: lax.mul",
        "// CHECK-NOT: lax.sin",
    ],
)
def test_wrong_checks_fail(checks):
    with pytest.raises(AssertionError):
        check(TEXT, checks)
