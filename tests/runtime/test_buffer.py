"""Memory crosses the boundary whole, and lives as long as anybody looks at it."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from jaxc_runtime import ExecutionError, buffer, device, executable

LARGE = buffer.SHARE_FROM_BYTES  # elements of one byte or more: always above the sharing limit

DTYPES = [
    np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
    np.float16, np.float32, np.float64, np.complex64, np.complex128, ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e5m2fnuz,
]  # fmt: skip


def round_trip(array: np.ndarray) -> np.ndarray:
    return buffer.to_numpy(buffer.to_device(array), array.shape, array.dtype)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (5, 7), (LARGE,), (1,) * 17])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_round_trip(dtype, shape):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 2, shape).astype(dtype)
    got = round_trip(array)
    assert got.dtype == array.dtype
    assert got.shape == array.shape
    np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize("n", [8, LARGE, 1 << 19])
def test_strided_unaligned_and_read_only_arrays_are_copied(n):
    base = np.arange(2 * n + 1, dtype=np.float32)
    read_only = base[:n].copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(base[: n + 1].tobytes(), np.uint8)[2 : 2 + 4 * n].view(np.float32)
    big_endian_free = [base[::2], base[:n][::-1], base[1 : n + 1], read_only, unaligned]
    for array in big_endian_free:
        np.testing.assert_array_equal(round_trip(array), array)


def test_large_aligned_memory_is_shared():
    array = buffer.empty_aligned((LARGE,), np.dtype(np.float32))
    array[:] = 1
    view = buffer.to_numpy(buffer.to_device(array), array.shape, array.dtype)
    assert np.shares_memory(view, array)
    read_only = array.view()
    read_only.flags.writeable = False
    copy = buffer.to_numpy(buffer.to_device(read_only), array.shape, array.dtype)
    assert not np.shares_memory(copy, array)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=["f32", "bf16"])
def test_shared_array_lives_as_long_as_the_buffer_and_its_views(dtype):
    array = buffer.empty_aligned((LARGE,), np.dtype(dtype))
    array[...] = 3
    owner = weakref.ref(array.base if array.base is not None else array)
    made = buffer.to_device(array)
    del array
    gc.collect()
    assert owner() is not None
    view = buffer.to_numpy(made, (LARGE,), np.dtype(dtype))
    del made
    gc.collect()
    np.full(LARGE * 8, 7, np.uint8)  # would reuse freed memory
    assert (view == 3).all()
    del view
    gc.collect()
    assert owner() is None


def test_result_view_outlives_everything_else(double):
    run = executable.load(double)
    made = buffer.to_device(np.arange(10, dtype=np.float32))
    (result,) = run([made])
    view = buffer.to_numpy(result, (10,), np.dtype(np.float32))
    del run, made, result
    gc.collect()
    np.testing.assert_array_equal(view, 2 * np.arange(10, dtype=np.float32))


@pytest.mark.parametrize("shape", [(10,), (2, 5), ()])
def test_views_of_a_result_keep_its_memory(double, shape):
    """A view of a view has the first array's base, not the array itself."""
    run = executable.load(double)
    views = []
    for number in range(50):
        made = buffer.to_device(np.full(10, number, np.float32))
        (result,) = run([made])
        whole = buffer.to_numpy(result, (10,), np.dtype(np.float32))
        views.append(whole.view()[: int(np.prod(shape))].reshape(shape))
        del made, result, whole
    gc.collect()
    junk = [np.full(10, -1, np.float32) for _ in range(5000)]  # reuses what was freed
    for number, view in enumerate(views):
        assert (view == 2 * number).all()
    del junk


def test_donated_argument_is_released_while_the_interpreter_lock_is_not_held(compile_mlir):
    kind = f"tensor<{LARGE}xf32>"
    run = executable.load(
        compile_mlir(
            f"func.func @main(%x: {kind} {{iree.abi.consume}}, %i: tensor<f32>) -> {kind} {{"
            f" %0 = tensor.empty() : {kind}"
            f" %1 = linalg.generic {{indexing_maps = [affine_map<(d0) -> (d0)>,"
            f' affine_map<(d0) -> ()>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]}}'
            f" ins(%x, %i : {kind}, tensor<f32>) outs(%0 : {kind}) {{"
            f" ^bb0(%a: f32, %b: f32, %c: f32): %s = arith.addf %a, %b : f32"
            f" linalg.yield %s : f32 }}"
            f" -> {kind} return %1 : {kind} }}"
        )
    )
    one = buffer.to_device(np.ones((), np.float32))
    for _ in range(20):
        array = buffer.empty_aligned((LARGE,), np.dtype(np.float32))
        array[:] = 1
        made = buffer.to_device(array)
        del array
        current = [made]
        del made
        (result,) = run([current.pop(), one])
        assert (buffer.to_numpy(result, (LARGE,), np.dtype(np.float32)) == 2).all()


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.zeros(2, [("a", "f4")])])
def test_foreign_dtypes_are_refused(array):
    with pytest.raises(TypeError, match="cannot be passed"):
        buffer.to_device(array)


def test_byte_order_other_than_the_machines_is_refused():
    with pytest.raises(TypeError, match="cannot be passed"):
        buffer.to_device(np.zeros(3, ">f4"))


@pytest.mark.parametrize("is_host", [True, False])
def test_no_memory(is_host):
    """An allocator stands for one of a device that is full."""

    def refuse(*_):
        raise RuntimeError("c/runtime/allocator.c:99: RESOURCE_EXHAUSTED; no memory; while x")

    allocator = SimpleNamespace(allocate_buffer=refuse, allocate_buffer_copy=refuse)
    full: Any = SimpleNamespace(
        hal=SimpleNamespace(allocator=allocator), is_host=is_host, attach=lambda: None
    )
    with pytest.raises(ExecutionError, match=r"^RESOURCE_EXHAUSTED: no memory$"):
        buffer.to_device(np.ones(3), full)
    if not is_host:
        made = buffer.to_device(np.ones(3), device.get())
        with pytest.raises(ExecutionError, match=r"^RESOURCE_EXHAUSTED: no memory$"):
            buffer.to_numpy(made, (3,), np.dtype(np.float64), full)
