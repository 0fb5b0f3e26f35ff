"""The compile cache: whole entries or none, whoever writes, dies or damages."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxc_runtime.cache import Cache
from jaxc_runtime.config import DEFAULT_CACHE_BYTES, RuntimeConfig

KEY = "0123456789abcdef" * 4


def key_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def open_cache(directory: Path, max_bytes: int = DEFAULT_CACHE_BYTES) -> Cache:
    return Cache(RuntimeConfig(cache_dir=directory, cache_max_bytes=max_bytes))


@pytest.fixture
def cache(tmp_path) -> Cache:
    return open_cache(tmp_path / "cache")


def the_entry(cache: Cache) -> Path:
    (path,) = cache.directory.glob("*.entry")
    return path


def test_put_get_stats_clear(cache):
    assert cache.get(KEY) is None
    assert cache.put(KEY, b"program")
    assert cache.get(KEY) == b"program"
    stats = cache.stats()
    assert (stats.entries, stats.hits, stats.misses, stats.enabled) == (1, 1, 1, True)
    assert stats.bytes == the_entry(cache).stat().st_size
    assert cache.clear() == 1
    assert cache.get(KEY) is None


def test_another_process_would_see_it(cache):
    cache.put(KEY, b"")
    assert open_cache(cache.directory).get(KEY) == b""


def test_permissions_are_private(cache):
    cache.put(KEY, b"program")
    assert stat.S_IMODE(cache.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(the_entry(cache).stat().st_mode) == 0o600


def test_directory_others_can_write_to_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="other users can write"):
        cache = open_cache(tmp_path)
    assert not cache.put(KEY, b"program")
    assert cache.get(KEY) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"X" + data[1:],
        lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
    ],
    ids=["empty", "header", "short", "long", "magic", "bit"],
)
def test_damaged_entry_is_a_miss_and_goes_away(cache, damage):
    cache.put(KEY, b"program" * 100)
    path = the_entry(cache)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(KEY) is None
    assert not path.exists()
    assert cache.put(KEY, b"again")
    assert cache.get(KEY) == b"again"


def test_least_recently_used_entries_are_evicted(tmp_path):
    cache = open_cache(tmp_path / "cache", max_bytes=20_000)
    for number in range(12):
        cache.put(key_of(number), bytes(1500))
        os.utime(cache._path(key_of(number)), (number, number))
    cache.get(key_of(0))  # used just now, so it stays
    for number in range(12, 18):
        cache.put(key_of(number), bytes(1500))
    stats = cache.stats()
    assert stats.bytes <= 20_000
    assert cache.get(key_of(0)) is not None
    assert cache.get(key_of(1)) is None
    assert cache.get(key_of(17)) is not None


def test_payload_larger_than_the_cache_is_not_stored(tmp_path):
    cache = open_cache(tmp_path / "cache", max_bytes=100)
    assert not cache.put(KEY, bytes(200))
    assert cache.stats().entries == 0


def test_abandoned_temporary_files_are_removed(cache):
    old, new = (cache.directory / f".writing-{name}" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    cache.stats()
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "ABCDEF0123456789", "0" * 200, KEY + "\n"])
def test_keys_are_hexadecimal(cache, key):
    with pytest.raises(ValueError, match="hexadecimal"):
        cache.put(key, b"")


def test_unwritable_directory_warns_once_and_goes_on(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning, match="cannot be used"):
        cache = open_cache(tmp_path / "file" / "cache")
    assert cache.get(KEY) is None
    assert not cache.put(KEY, b"")


def test_environment():
    config = RuntimeConfig.from_environment({"JAXC_CACHE_DIR": "/x/y", "JAXC_CACHE": "0"})
    assert config == RuntimeConfig(Path("/x/y"), False, DEFAULT_CACHE_BYTES)
    assert RuntimeConfig.from_environment({"JAXC_CACHE_MAX_BYTES": "5"}).cache_max_bytes == 5
    assert RuntimeConfig.from_environment({}).cache_dir.name == "jaxc"
    with pytest.raises(ValueError, match="number of bytes"):
        RuntimeConfig.from_environment({"JAXC_CACHE_MAX_BYTES": "1G"})


def test_switched_off_creates_nothing(tmp_path):
    cache = Cache(RuntimeConfig(cache_dir=tmp_path / "cache", cache_enabled=False))
    assert not cache.put(KEY, b"")
    assert not (tmp_path / "cache").exists()


_WRITER = """
import hashlib, sys
from pathlib import Path
from jaxc_runtime.cache import Cache
from jaxc_runtime.config import RuntimeConfig
cache = Cache(RuntimeConfig(Path(sys.argv[1]), True, 3_000_000))
print("ready", flush=True)
for round in range(int(sys.argv[2])):
    for number in range(20):
        key = hashlib.sha256(str(number).encode()).hexdigest()
        cache.put(key, str(number).encode() * 50_000)
        got = cache.get(key)
        assert got is None or got == str(number).encode() * 50_000, "damaged entry"
"""


def start_writer(directory: Path, rounds: int) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(directory), str(rounds)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_two_processes_write_and_one_more_is_killed_in_the_middle(tmp_path):
    directory = tmp_path / "cache"
    writers = [start_writer(directory, 8) for _ in range(2)]
    for _ in range(3):
        victim = start_writer(directory, 10_000)
        time.sleep(0.05)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        victim.stdout.close()
    for writer in writers:
        assert writer.wait(timeout=60) == 0
        writer.stdout.close()
    cache = open_cache(directory)
    for number in range(20):
        got = cache.get(key_of(number))
        assert got is None or got == str(number).encode() * 50_000
