"""Arrays, jitted functions and eager operations on devices other than the host's CPU.

The same tests run on every platform that is here: Vulkan on Mesa's software device in CI, CUDA on a
machine with a GPU (`make test-gpu`).
"""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from runtime.device_harness import CALLS, EAGER, PLATFORMS, assert_same, device_of, inputs

import jaxc as jax
import jaxc.numpy as jnp
import jaxc_runtime
from jaxc.core.config import config
from jaxc.core.placed import PlacedArray
from jaxc_compiler.diagnostics import CompileError
from jaxc_runtime.errors import ArtifactError
from jaxc_tools.compile import compile_function

CPU = jax.devices("cpu")[0]
DTYPES = [
    np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
    np.float16, np.float32, np.float64, np.complex64, np.complex128, ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.int4,
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def every_platform():
    """The tests' environment leaves real JAX only its CPU."""
    before = jax.config.jax_platforms
    jax.config.update("jax_platforms", None)
    yield
    jax.config.update("jax_platforms", before)


@pytest.fixture(scope="module", params=PLATFORMS)
def device(request, every_platform):
    return device_of(request.param)


@pytest.fixture(scope="module")
def jitted(device):
    """A few functions that several tests call, compiled once."""
    return jax.jit(lambda x, y: x + y)


@pytest.fixture
def ones(device):
    return jax.device_put(np.ones(3, np.float32), device)


@pytest.fixture
def fetches(monkeypatch):
    """How often an array of a device is copied to the host, as a list of one number."""
    count, fetch = [0], PlacedArray._fetch

    def counted(self):
        count[0] += 1
        return fetch(self)

    monkeypatch.setattr(PlacedArray, "_fetch", counted)
    return count


# ---- memory ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (5, 7), (3, 1, 5)])
def test_round_trip_of_every_dtype(device, shape):
    on = device.runtime
    for dtype in DTYPES:
        array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
        got = on.to_numpy(on.to_device(array), array.shape, array.dtype)
        assert got.dtype == array.dtype
        assert got.shape == shape
        np.testing.assert_array_equal(got, array)


def test_round_trip_of_64_megabytes_and_of_strided_arrays(device):
    on = device.runtime
    large = np.arange(1 << 24, dtype=np.float32)
    for array in (large, large[:1000:3], large[:1000][::-1], large[:12].reshape(3, 4).T):
        got = on.to_numpy(on.to_device(array), array.shape, array.dtype)
        np.testing.assert_array_equal(got, array)


def test_round_trips_leave_no_memory_behind(device):
    on, array = device.runtime, np.ones(1 << 16, np.float32)

    def trip():
        on.to_numpy(on.to_device(array), array.shape, array.dtype)

    for _ in range(20):
        trip()
    before = _resident()
    for _ in range(120):
        trip()
    gc.collect()
    assert _resident() - before < 8 << 20, "31 MiB went through, each way"


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


# ---- names -------------------------------------------------------------------------------------


def test_names(device):
    name = device.backend
    assert str(device) == f"{name}:0"
    assert repr(device) == f"{name.capitalize()}Device(id=0)"
    assert jax.devices(name) == jax.local_devices(backend=name)
    assert jax.device_count(name) == len(jax.devices(name))
    assert device.device_kind
    if name == "cuda":
        assert jax.devices("gpu") == jax.devices("cuda")
        assert device.platform == "gpu"


def test_the_default_backend_is_the_cpu_unless_jax_platforms_says_otherwise(device):
    assert jax.devices() == [CPU]
    assert jax.default_backend() == "cpu"
    with config.override("jax_platforms", f"{device.backend},cpu"):
        assert jax.devices()[0] == device
        assert jax.default_backend() == device.platform
        assert jnp.ones(3).device == device
        assert jax.devices("cpu") == [CPU]
    with config.override("jax_platforms", "cpu"), pytest.raises(RuntimeError, match="left out by"):
        jax.devices(device.backend)
    with (
        config.override("jax_platforms", "metal"),
        pytest.raises(
            RuntimeError, match=r"Unable to initialize backend 'metal'.*JAX_PLATFORMS=cpu"
        ),
    ):
        jnp.ones(3)


def test_processes_and_empty_lists():
    assert jax.local_devices(process_index=0) == jax.devices()
    for keywords in ({"process_index": 5}, {"host_id": 5}):
        with pytest.raises(ValueError, match="Unknown process_index 5"):
            jax.local_devices(**keywords)
    before = jax.config.jax_platforms
    try:
        for nothing in (",", " "):
            jax.config.update("jax_platforms", nothing)
            assert jax.devices() == [CPU]
    finally:
        jax.config.update("jax_platforms", before)


def test_absent_backends():
    with pytest.raises(RuntimeError, match=r"Unknown backend abacus\. Available backends are \['c"):
        jax.devices("abacus")
    with pytest.raises(RuntimeError, match=r"'metal' failed to initialize: .* are \['cpu'"):
        jax.device_count("metal")


# ---- arrays ------------------------------------------------------------------------------------


def test_device_put(device):
    x = jax.device_put(np.arange(3.0, dtype=np.float32), device)
    assert isinstance(x, jax.Array)
    assert x.devices() == {device} and x.device == device and x.committed
    assert x.sharding == jax.sharding.SingleDeviceSharding(device)
    assert jax.device_put(x, x.sharding) is x
    assert jax.device_put(x) is x
    back = jax.device_put(x, CPU)
    assert back.devices() == {CPU} and back.committed
    np.testing.assert_array_equal(back, x)
    assert repr(x) == "Array([0., 1., 2.], dtype=float32)"
    assert [float(x[1]), x.tolist(), len(x)] == [1.0, [0.0, 1.0, 2.0], 3]


def test_device_put_of_trees_and_prefixes(device):
    tree = {"a": np.ones(2, np.float32), "b": [1, 2.0]}
    put = jax.device_put(tree, {"a": CPU, "b": device})
    assert [x.device for x in jax.tree.leaves(put)] == [CPU, device, device]
    assert put["b"][0].weak_type
    with pytest.raises(ValueError, match="must be a tree prefix of the corresponding value"):
        jax.device_put([1, 2], [device])
    with pytest.raises(ValueError, match=r"only accepts .* Received invalid value: cpu"):
        jax.device_put(1, "cpu")
    with pytest.raises(TypeError, match="is not a valid JAX type"):
        jax.device_put("text", device)


def test_copies_and_interchange(ones, device):
    assert pickle.loads(pickle.dumps(ones)).devices() == {CPU}
    assert copy.deepcopy(ones).devices() == {device}
    assert copy.copy(ones) is ones
    np.testing.assert_array_equal(np.from_dlpack(ones), np.ones(3))
    assert not np.asarray(ones).flags.writeable
    assert jax.device_get([ones, 1])[0].tolist() == [1, 1, 1]
    assert jax.block_until_ready(ones) is ones
    assert [row.device for row in ones] == [device] * 3


def test_blocking_waits_for_the_buffer(device, ones, jitted, monkeypatch):
    waited = []
    monkeypatch.setattr(type(device.runtime), "wait", lambda _, held: waited.append(held))
    total = jitted(ones, ones)
    assert jax.block_until_ready([total, 1])[0] is total
    assert waited == [total._held]


def test_deleted_arrays(ones):
    ones.copy_to_host_async()
    ones.delete()
    for use in (np.asarray, lambda x: x + 1, jax.block_until_ready):
        with pytest.raises(RuntimeError, match="Array has been deleted"):
            use(ones)


# ---- computations ------------------------------------------------------------------------------


def test_every_call_means_the_same_in_one_program(device, fetches):
    def everything(a, b, i):
        return {name: call(a, b, i) for name, call in CALLS.items()}

    want = jax.jit(everything)(*inputs())
    got = jax.jit(everything)(*[jax.device_put(x, device) for x in inputs()])
    assert fetches == [0]
    for name in CALLS:
        leaves = jax.tree.leaves(got[name])
        assert all(x.device == device and x.committed for x in leaves), name
        assert_same(name, got[name], want[name])


@pytest.mark.parametrize("name", EAGER)
def test_every_call_means_the_same_eagerly(device, fetches, name):
    """The results stay on the device, and nothing is copied to the host on the way."""
    want = CALLS[name](*map(jnp.asarray, inputs()))
    got = CALLS[name](*[jax.device_put(x, device) for x in inputs()])
    assert fetches == [0]
    assert all(x.device == device and x.committed for x in jax.tree.leaves(got))
    assert_same(name, got, want)


def test_debug_nans(ones):
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="encountered in log"):
        jax.lax.log(ones - 2)


def test_random_keys(device):
    def draw(key):
        first, second = jax.random.split(key)
        return jax.random.uniform(first, (5,)), jax.random.key_data(second)

    key = jax.device_put(jax.random.key(3), device)
    assert key.device == device
    got, want = jax.jit(draw)(key), draw(jax.random.key(3))
    assert [x.device for x in got] == [device, device]
    assert_same("draw", got, want)
    assert repr(key) == repr(jax.random.key(3))


def test_a_function_runs_where_its_committed_arguments_are(ones, device, jitted):
    host = jnp.ones(3)
    for _ in range(3):  # the short path of host arguments must notice the others
        assert jitted(host, host).device == CPU
        assert jitted(ones, ones).device == device
        assert jitted(host, ones).device == device
        assert jitted(host, np.ones(3, np.float32)).device == CPU


def test_results_that_are_arguments_count_and_unused_arguments_do_not(ones, device):
    first = jax.jit(lambda a, b: (a, 2.0))
    both = jax.jit(lambda a, b: (a, b))
    kept = jax.jit(lambda a, b: a + 1, keep_unused=True)
    host = jnp.ones(3)
    for _ in range(2):
        assert [x.device for x in first(host, ones)] == [CPU, CPU]
        assert [x.device for x in first(ones, host)] == [device, device]
        assert [x.device for x in both(host, host)] == [CPU, CPU]
        assert [x.device for x in both(host, ones)] == [device, device]
        assert kept(host, host).device == CPU
        assert kept(host, ones).device == device


def test_arguments_committed_to_different_devices(ones, device, jitted):
    other = jax.device_put(np.ones(3, np.float32), CPU)
    message = (
        r"Received incompatible devices for jitted computation. Got argument x of .* with shape "
        rf"float32\[3\] and with device ids \[0\] on platform {device.platform.upper()} and "
        r"argument y of .* with shape float32\[3\] and with device ids \[0\] on platform CPU"
    )
    with pytest.raises(ValueError, match=message):
        jitted(ones, other)
    with pytest.raises(ValueError, match=message):
        ones + other


def test_donated_arguments(device):
    double = jax.jit(lambda x: x + x, donate_argnums=0)
    x = jax.device_put(np.ones(3, np.float32), device)
    assert double(x).tolist() == [2, 2, 2]
    assert x.is_deleted()
    with jax.default_device(device):
        loose = jnp.ones(3)
    held = jax.device_put(loose, device)  # the same buffer, committed
    assert double(held).tolist() == [2, 2, 2]
    assert loose.tolist() == [1, 1, 1]


def test_what_is_returned_uncomputed_outlives_what_it_was(device):
    """Constants, arguments and repeated results: donating one array leaves the others."""
    spend = jax.jit(lambda x: x + 1, donate_argnums=0)
    constant = jax.jit(lambda x: jnp.array([1.0, 2.0, 3.0]))
    identity = jax.jit(lambda x: x)
    twice = jax.jit(lambda x: [x * 2] * 2)
    for target in (CPU, device):
        x = jax.device_put(jnp.arange(1.0, 4.0), target)
        for _ in range(2):
            assert spend(constant(x)).tolist() == [2, 3, 4]
            assert spend(identity(x)).tolist() == [2, 3, 4]
        assert x.tolist() == [1, 2, 3]
        first, second = twice(x)
        assert (first.device, second.device) == (target, target)
        assert spend(first).tolist() == [3, 5, 7]
        assert second.tolist() == [2, 4, 6]


def test_constants_outlive_the_arrays_that_were_closed_over(device):
    spend = jax.jit(lambda x: x + 1, donate_argnums=0)
    for target in (CPU, device):
        for made in (jnp.ones(3), jax.jit(lambda x: x * 1)(jnp.ones(3))):
            table = jax.device_put(made, target)
            function = jax.jit(lambda x, table=table: (x + table, table))
            zeros = jax.device_put(jnp.zeros(3), target)
            for _ in range(2):
                assert [r.tolist() for r in function(zeros)] == [[1, 1, 1]] * 2
                if not table.is_deleted():
                    assert spend(table).tolist() == [2, 2, 2]
            assert table.is_deleted()


def test_constants_are_transferred_once(device, ones, monkeypatch):
    table = jnp.arange(3.0)
    function = jax.jit(lambda x: x + table)
    function(ones)
    moved = []
    monkeypatch.setattr(type(device.runtime), "to_device", lambda *args: moved.append(args))
    assert function(ones).tolist() == [1, 2, 3]
    assert moved == []


def test_constants_from_another_device_follow_the_arguments(ones):
    function = jax.jit(lambda x: (x + ones, ones))
    assert [x.device for x in function(jnp.ones(3))] == [CPU, CPU]


def test_ahead_of_time(ones, device, jitted):
    lowered = jitted.lower(ones, ones)
    compiled = lowered.compile()
    assert compiled(np.ones(3, np.float32), ones).device == device
    stage, text = {
        "vulkan": ("iree", "vulkan-spirv"),
        "cuda": ("iree", "cuda-nvptx"),
        "xla_cpu": ("stablehlo", "stablehlo.add"),
    }[device.backend]
    assert text in lowered.as_text(stage)
    elsewhere = jax.device_put(ones, CPU)
    with pytest.raises(ValueError, match=r"Passed sharding: .*Cpu(.|\n)*Required sharding"):
        compiled(elsewhere, ones)


def test_device_and_backend_of_jit(device):
    with pytest.warns(DeprecationWarning, match="backend and device argument on jit"):
        by_device = jax.jit(lambda x: x + 1, device=device)
    with pytest.warns(DeprecationWarning, match="backend and device argument on jit"):
        by_backend = jax.jit(lambda x: x + 1, backend=device.backend)
    for function in (by_device, by_backend):
        assert function(1.0).device == device
        assert function(jax.device_put(1.0, CPU)).device == device
    with pytest.warns(DeprecationWarning), pytest.raises(ValueError, match="both a device and a"):
        jax.jit(abs, device=device, backend="cpu")


def test_shardings_of_jit(ones, device):
    there, here = (jax.sharding.SingleDeviceSharding(d) for d in (device, CPU))
    named = jax.sharding.NamedSharding(
        jax.sharding.Mesh([device], ("x",)), jax.sharding.PartitionSpec()
    )
    host, on_cpu = np.ones(3, np.float32), jax.device_put(np.ones(3, np.float32), CPU)
    by_arguments = jax.jit(lambda x: x + 1, in_shardings=(there,))
    assert by_arguments(host).device == device
    assert by_arguments(on_cpu).device == device
    by_results = jax.jit(out_shardings=[named])(lambda x: [x + 1])
    assert by_results(host)[0].device == device
    with pytest.raises(ValueError, match=r"platform CPU and explicit output sharding with device"):
        by_results(on_cpu)
    to_host = jax.jit(lambda x: x + 1, in_shardings=here)
    for _ in range(2):  # the short path too
        assert to_host(jnp.ones(3)).device == CPU
        assert to_host(ones).device == CPU


def test_shardings_of_structs(device):
    there, here = (
        jax.ShapeDtypeStruct((3,), np.float32, sharding=jax.sharding.SingleDeviceSharding(d))
        for d in (device, CPU)
    )
    compiled = jax.jit(lambda x: x + 1).lower(there).compile()
    assert compiled(np.ones(3, np.float32)).device == device
    with pytest.raises(ValueError, match=r"incompatible devices for jitted computation. Got arg"):
        jax.jit(lambda x, y: x + y).lower(there, here)


def test_shardings_that_are_refused(device):
    there, here = map(jax.sharding.SingleDeviceSharding, (device, CPU))
    with pytest.raises(ValueError, match="Got explicit sharding with device ids"):
        jax.jit(abs, in_shardings=there, out_shardings=here)
    with pytest.raises(TypeError, match=r"in_shardings: expected shardings, .* got 3"):
        jax.jit(abs, in_shardings=3)
    several = jax.sharding.NamedSharding(
        jax.sharding.Mesh([device, CPU], ("x",)), jax.sharding.PartitionSpec("x")
    )
    with pytest.raises(NotImplementedError, match="arrays over 2 devices are not supported"):
        jax.jit(abs, out_shardings=several)


def test_default_device(device):
    with jax.default_device(device):
        made = [jnp.ones(3), jnp.array([1, 2]), jnp.arange(3), jax.random.key(0),
                jax.device_put(np.ones(2)), jax.jit(lambda x: x + 1)(1.0), jnp.ones(3) + 1,
                jax.random.uniform(jax.random.key(0), (2,))]  # fmt: skip
        assert all(x.device == device and not x.committed for x in made)
        committed = jnp.ones(3) + jax.device_put(np.ones(3, np.float32), CPU)
        assert committed.device == CPU
    np.testing.assert_allclose(made[-1], jax.random.uniform(jax.random.key(0), (2,)))
    assert jnp.ones(3).device == CPU
    assert (made[0] + 1).device == CPU  # uncommitted arrays follow the default device


def test_default_device_of_the_process(device):
    """In threads that are made later and in those that ran operations before."""
    steps, found = threading.Barrier(2, timeout=60), []

    def early():
        found.append(jnp.ones(3).device)
        steps.wait()
        steps.wait()
        found.append((jnp.ones(3) + 1).device)

    thread = threading.Thread(target=early)
    thread.start()
    steps.wait()
    jax.config.update("jax_default_device", device)
    try:
        steps.wait()
        thread.join()
        later = threading.Thread(target=lambda: found.append(jnp.ones(3).device))
        later.start()
        later.join()
        assert jnp.ones(3).device == device
    finally:
        jax.config.update("jax_default_device", None)
    assert found == [CPU, device, device]
    with pytest.raises(ValueError, match=r"must be passed either a Device object .* got: 'abacus'"):
        jax.config.update("jax_default_device", "abacus")


# ---- programs ----------------------------------------------------------------------------------


@pytest.mark.vulkan
def test_an_artifact_for_another_chip_is_refused(tmp_path):
    here = device_of("vulkan").runtime.target()
    x = jax.ShapeDtypeStruct((3,), "float32")
    path = tmp_path / "f.vmfb"
    compile_function(lambda x: x * 2, [x], path, here)
    assert jaxc_runtime.load(path)(np.ones(3, np.float32)).tolist() == [2, 2, 2]
    with pytest.raises(ArtifactError, match=f"{here}: not for driver local-sync"):
        jaxc_runtime.load(path, "local-sync")
    compile_function(lambda x: x * 2, [x], path, "vulkan:rdna3")
    with pytest.raises(
        ArtifactError, match=r"vulkan:rdna3: made for the chip rdna3, the device is \w+"
    ):
        jaxc_runtime.load(path)


@pytest.mark.parametrize("action", ["error", "log"])
def test_what_lowered_says_is_of_the_device(device, ones, action, caplog):
    def update(x):
        return x.at[0].set(1.0)

    lowered, xla = jax.jit(update).lower(ones), device.platform == "xla_cpu"
    last = "stablehlo" if xla else "iree"
    assert (last in lowered.as_text("stablehlo")) if xla else ("hal." in lowered.as_text(last))
    if xla:
        with pytest.raises(CompileError, match="XLA decides what becomes"):
            lowered.report()
    else:
        [copy] = lowered.report().copies
        assert "IREE writes a new array" in copy.reason
        assert f"for {device.runtime.target()}: " in str(lowered.report())
    page = lowered.explore()
    assert device.platform in page._repr_html_()
    before = jax.config.jaxc_copy_in_place
    jax.config.update("jaxc_copy_in_place", action)
    try:
        if action == "error" and not xla:
            with pytest.raises(jax.errors.CopyInPlaceError, match="IREE writes a new array"):
                jax.jit(update)(ones)
            return
        np.testing.assert_array_equal(jax.jit(update)(ones), [1, 1, 1])
    finally:
        jax.config.update("jaxc_copy_in_place", before)
    assert ("which updates copy is not known" if xla else "IREE writes a new array") in caplog.text


def test_the_direct_path_looks_where_arguments_are(device):
    """A jitted function called again and again: on the device, elsewhere, uncommitted, donated."""
    host = np.arange(3, dtype=np.float32)
    there = jax.device_put(host, device)
    f = jax.jit(lambda x, y: x * y + 1)
    for x, y in [(there, there), (there, there), (there, jnp.asarray(host)), (there, there)] * 2:
        out = f(x, y)
        assert (out.device, out.committed) == (device, True)
        np.testing.assert_array_equal(out, host * host + 1)
    here = f(jnp.asarray(host), jnp.asarray(host))
    assert here.device == CPU
    np.testing.assert_array_equal(here, f(there, there))
    with pytest.raises(ValueError, match="incompatible devices"):
        f(there, jax.device_put(host, CPU))
    last = jax.devices(device.backend)[-1]
    for x in (there, jax.device_put(host, last), there):
        assert f(x, x).device == x.device
    step = jax.jit(lambda x: x + 1, donate_argnums=0)
    x = there + 0
    for _ in range(3):
        old, x = x, step(x)
        assert old.is_deleted()
        with pytest.raises(RuntimeError, match="deleted"):
            step(old)
    np.testing.assert_array_equal(x, host + 3)
    one = jax.jit(lambda x: jnp.float32(1))
    assert (one(there).committed, one(there).committed) == (False, False)
