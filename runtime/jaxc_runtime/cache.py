"""The on-disk cache of compiled programs, shared by every process of one user.

Owns the entry format, atomic writes, verification, private permissions and eviction. Imports
nothing of ours but the config record. It stores bytes under hexadecimal keys; what goes into a key
(IR, flags, versions, CPU) is the compiler driver's business.

An entry is `magic | sha256 of payload | payload length | payload`. It is written to a temporary
file and renamed, so a reader sees a whole entry or none, and a process killed while it writes
leaves only a temporary file that a later scan removes. Entries hold machine code, so a directory
that other users could write to is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import struct
import tempfile
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from jaxc_runtime.config import RuntimeConfig

_MAGIC = b"JAXCACH1"
_HEADER = struct.Struct("<8s32sQ")
_SUFFIX = ".entry"
_TEMPORARY = ".writing-"
_ABANDONED_AFTER_S = 3600.0
_RESCAN_EVERY = 32  # puts between two looks at what other processes have added
_KEY = re.compile(r"[0-9a-f]{16,128}\Z")


@dataclass(frozen=True)
class CacheStats:
    """A look at the cache: the counters are this process's, the rest is what lies on disk."""

    directory: Path
    enabled: bool
    entries: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int


class Cache:
    """Bytes by key on disk. Safe with threads, other processes and kills at any moment.

    Failing to read or write is never an error for the caller: a compile cache may only save time.
    The first failure to write is reported as a warning.
    """

    def __init__(self, config: RuntimeConfig | None = None):
        config = config or RuntimeConfig.from_environment()
        self.directory = config.cache_dir
        self.max_bytes = config.cache_max_bytes
        self.hits = 0
        self.misses = 0
        self._lock = threading.Lock()
        self._bytes = 0
        self._puts = 0
        self._warned = False
        self._usable = config.cache_enabled and self._prepare()

    @property
    def enabled(self) -> bool:
        """Whether entries are stored at all."""
        return self._usable

    def get(self, key: str) -> bytes | None:
        """Return the payload stored under `key`, or None. A damaged entry is removed."""
        path = self._path(key)
        if not self._usable:
            return None
        try:
            payload = _verified(path.read_bytes())
        except OSError:
            payload = None
        else:
            if payload is None:
                _remove(path)
        if payload is None:
            self.misses += 1
            return None
        self.hits += 1
        with contextlib.suppress(OSError):
            os.utime(path)  # modification time = last use, by which eviction chooses
        return payload

    def put(self, key: str, payload: bytes) -> bool:
        """Store `payload` under `key`. Returns whether it was stored."""
        path = self._path(key)
        size = _HEADER.size + len(payload)
        if not self._usable or size > self.max_bytes:
            return False
        try:
            _write_atomically(path, payload)
        except OSError as error:
            self._warn(f"cannot write to the compile cache {self.directory}: {error}")
            return False
        with self._lock:
            self._bytes += size
            self._puts += 1
            scan = self._bytes > self.max_bytes or self._puts % _RESCAN_EVERY == 1
        if scan:
            self._evict()
        return True

    def clear(self) -> int:
        """Remove every entry and return how many there were."""
        entries = self._entries()
        for path, _ in entries:
            _remove(path)
        with self._lock:
            self._bytes = 0
        return len(entries)

    def stats(self) -> CacheStats:
        """Count what is stored."""
        entries = self._entries()
        return CacheStats(
            directory=self.directory,
            enabled=self._usable,
            entries=len(entries),
            bytes=sum(info.st_size for _, info in entries),
            max_bytes=self.max_bytes,
            hits=self.hits,
            misses=self.misses,
        )

    def _path(self, key: str) -> Path:
        if not _KEY.match(key):
            raise ValueError(f"a cache key is 16 to 128 hexadecimal digits, got {key!r}")
        return self.directory / (key + _SUFFIX)

    def _prepare(self) -> bool:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            info = self.directory.stat()
        except OSError as error:
            self._warn(f"no compile cache: {self.directory} cannot be used: {error}")
            return False
        if info.st_uid != os.geteuid():
            self._warn(f"no compile cache: {self.directory} belongs to another user")
            return False
        if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            self._warn(f"no compile cache: other users can write to {self.directory} (chmod 700)")
            return False
        return True

    def _entries(self) -> list[tuple[Path, os.stat_result]]:
        """Entries with their status; removes temporary files of writers that died."""
        found = []
        try:
            names = list(os.scandir(self.directory))
        except OSError:
            return found
        for entry in names:
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError:  # evicted by another process meanwhile
                continue
            if entry.name.endswith(_SUFFIX):
                found.append((Path(entry.path), info))
                continue
            age = time.time() - info.st_mtime
            if entry.name.startswith(_TEMPORARY) and age > _ABANDONED_AFTER_S:
                _remove(Path(entry.path))
        return found

    def _evict(self) -> None:
        """Remove the least recently used entries until a tenth of the space is free."""
        entries = self._entries()
        total = sum(info.st_size for _, info in entries)
        if total > self.max_bytes:
            entries.sort(key=lambda entry: entry[1].st_mtime_ns)
            for path, info in entries[:-1]:  # the newest was just asked for
                if total <= self.max_bytes * 0.9:
                    break
                _remove(path)
                total -= info.st_size
        with self._lock:
            self._bytes = total

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(message, RuntimeWarning, stacklevel=4)


def _verified(entry: bytes) -> bytes | None:
    if len(entry) < _HEADER.size:
        return None
    magic, digest, length = _HEADER.unpack_from(entry)
    payload = entry[_HEADER.size :]
    if magic != _MAGIC or length != len(payload):
        return None
    return payload if hashlib.sha256(payload).digest() == digest else None


def _write_atomically(path: Path, payload: bytes) -> None:
    header = _HEADER.pack(_MAGIC, hashlib.sha256(payload).digest(), len(payload))
    descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(header)
            file.write(payload)
        os.replace(temporary, path)
    except BaseException:
        _remove(Path(temporary))
        raise


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
