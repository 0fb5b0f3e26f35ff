"""The linalg lowering against the NumPy kernels, compiled for the CPU so that it runs anywhere."""

from __future__ import annotations

import pytest
from compiler import gpu_harness
from compiler.programs import PROGRAMS
from compiler.test_gpu import SHORT, check_programs

pytestmark = pytest.mark.compiler


def test_programs_equal_eager():
    check_programs(SHORT, gpu_harness.linalg_on_cpu())


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_other_programs_equal_eager(part):
    names = [name for name in PROGRAMS if name not in SHORT]
    check_programs(names[part::3], gpu_harness.linalg_on_cpu())
