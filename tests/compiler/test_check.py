"""The FileCheck helper refuses checks that would never run."""

from __future__ import annotations

import pytest

from jaxc_tools.testing import check

TEXT = "lax.sin\nlax.add\n"


@pytest.mark.parametrize(
    "checks",
    [
        "// CHECK: lax.sin\n// CHECK-NEXT: lax.add\n// CHECK-NOT: lax.mul",
        "# CHECK: lax.sin\n; CHECK-NEXT: lax.add",
        "// What the cache: chunks, backs and a name: CHECK-LABEL: lax.sin\n// CHECK: lax.add",
    ],
)
def test_matching_checks_pass(checks):
    check(TEXT, checks)


@pytest.mark.parametrize(
    "checks",
    [
        "",
        "// only a comment",
        "// CHEKC: lax.sin",
        "// CHECK-NEX: lax.sin\n// CHECK: lax.add",
        "// CHECK lax.sin",
        "// check: lax.sin",
        "// CHECK: lax.sin\n// CHECK_NOT: lax.sin",
        "// CHECK: lax.sin\n// CHECKNOT: lax.sin",
        "// CHECK: lax.sin\nlax.mul // CHECKNEXT: lax.mul",
        "// CHECK: lax.sin\n// CEHCK: lax.mul",
        "// CHECK: lax.sin\n; CHEK-NEXT: lax.mul",
        "// CHECK: lax.sin\n# CHECK NOT: lax.sin",
        "// CHECK: lax.sin\nCHEKC-NOT: lax.sin",
        "// CHECK: lax.mul",
        "// CHECK-NOT: lax.sin",
    ],
)
def test_wrong_checks_fail(checks):
    with pytest.raises(AssertionError):
        check(TEXT, checks)
