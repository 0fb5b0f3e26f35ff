"""float16 and bfloat16 on CPUs without instructions for them: every value, and no library."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import jaxc
import jaxc.numpy as jnp
from jaxc import lax
from jaxc_compiler import driver, targets
from jaxc_runtime import buffer, executable
from jaxc_tools.testing import module_of

# NumPy warns of signaling NaNs, and of what becomes an infinity.
pytestmark = [pytest.mark.compiler, pytest.mark.filterwarnings("ignore:(invalid value|overflow)")]
NARROW = tuple(map(np.dtype, (np.float16, ml_dtypes.bfloat16)))


def _between(dtype: np.dtype) -> np.ndarray:
    """What lies in the middle of two neighbours of a dtype, and just beside it."""
    every = np.arange(1 << 16, dtype=np.uint16).view(dtype).astype(np.float64)
    every = np.sort(every[np.isfinite(every)])
    middle = ((every[1:] + every[:-1]) / 2).astype(np.float32)
    sides = [np.nextafter(middle, np.float32(side)) for side in (np.inf, -np.inf)]
    return np.concatenate([middle, *sides])


def _arguments() -> list[np.ndarray]:
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, 65520, 65519.996, 3.4e38], np.float32)
    every = [np.arange(1 << 16, dtype=np.uint16).view(dtype) for dtype in NARROW]
    integers = [
        np.linspace(info.min, info.max, 999).astype(info.dtype)
        for info in map(np.iinfo, ("int8", "uint8", "int16", "uint16", "int32", "uint32"))
    ]
    return [*every, np.concatenate([*map(_between, NARROW), special]), *integers]


def _casts(*arrays):
    return [x.astype(dtype) for x in arrays for dtype in (jnp.float32, *NARROW)]


def _run(function, target, arrays):
    loaded = executable.load(driver.compile(module_of(function, *arrays), target).vmfb)
    return loaded([buffer.to_device(x) for x in arrays])


def test_every_value():
    arrays = _arguments()
    results = iter(_run(_casts, targets.get("cpu:generic"), arrays))
    for x in arrays:
        wide = x.astype(np.float32)
        for dtype in (np.dtype(np.float32), *NARROW):
            got, wanted = buffer.to_numpy(next(results), x.shape, dtype), wide.astype(dtype)
            pair = got.astype(np.float32), wanted.astype(np.float32)
            np.testing.assert_array_equal(*pair, f"{x.dtype} to {dtype}")
            numbers = ~np.isnan(wide)
            assert (np.signbit(got) == np.signbit(wanted))[numbers].all(), (x.dtype, dtype)


@pytest.mark.parametrize("target", ["cpu:riscv64", "cpu:riscv64-v", "cpu:aarch64"])
def test_casts_need_no_library(target):
    arrays = [x[:9] for x in _arguments()]
    assert driver.compile(module_of(_casts, *arrays), targets.get(target)).vmfb


def test_small_numbers_in_arithmetic():
    """LLVM makes float16 ops again of float32 ones between conversions."""

    def function(x):
        half = x * np.float16(0.5)
        pooled = lax.reduce_window(x, -np.inf, lax.max, (1, 2), (1, 1), "SAME")
        reduced = x.max(1), x.min(0), jnp.abs(x).max(1), x.sum(1), x.mean(0)
        updated = half.at[0].max(x[1]), half.at[0].add(x[1]), half.at[0].multiply(x[1])
        return [jnp.maximum(x, -x), x + half, lax.cummax(x, 1), jnp.cumsum(x, 1), pooled, x @ x.T,
                jnp.sort(x, 1), jaxc.nn.softmax(x, 1), *reduced, *updated]  # fmt: skip

    rng = np.random.default_rng(0)
    x = (rng.normal(size=(8, 16)) * 2.0 ** rng.integers(-26, 3, (8, 16))).astype(np.float16)
    x[0] = (rng.normal(size=16) * 2.0**-20).astype(np.float16)
    x[3, 4] = np.nan
    found, wanted = (_run(function, targets.get(t), [x]) for t in ("cpu:generic", "cpu"))
    for got, want in zip(found, wanted, strict=True):
        pair = [buffer.to_numpy(b, tuple(b.shape), np.dtype(np.float16)) for b in (got, want)]
        np.testing.assert_array_equal(*pair)


def test_who_has_the_instructions():
    with_half = ("cpu:aarch64", "cpu:x86-64-v3", "cpu:arm64-apple-ios:apple-a14", "vulkan")
    assert all(targets.get(name).has_half for name in with_half)
    assert not any(targets.get(name).has_half for name in ("cpu:generic", "cpu:riscv64"))
