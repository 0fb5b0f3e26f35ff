"""Configuration flags under JAX's names: process-wide values with per-thread overrides.

Imports nothing of jaxc. A flag is read as a plain attribute: `config.jax_enable_x64`.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_DEFAULTS: dict[str, Any] = {
    "jax_enable_x64": False,
    "jax_threefry_partitionable": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_default_matmul_precision": None,
    "jax_default_prng_impl": "threefry2x32",
    "jax_default_device": None,
    "jax_disable_jit": False,
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_check_tracer_leaks": False,
    "jax_enable_checks": False,
    "jax_enable_custom_prng": False,
    "jax_enable_compilation_cache": True,
    "jax_compilation_cache_dir": None,
    "jax_log_compiles": False,
    "jax_platforms": None,
    "jax_platform_name": "",
    "jax_traceback_filtering": "auto",
    "jax_transfer_guard": "allow",
    "jax_legacy_prng_key": "allow",
    "jax_debug_key_reuse": False,
    "jax_softmax_custom_jvp": False,
    "jax_array_garbage_collection_guard": "allow",
    "jax_explain_cache_misses": False,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jaxc_copy_in_place": "allow",  # "log" or "error": at[].op updates that copy
    "jaxc_vulkan_chip": "",  # of every Vulkan device, whatever the runtime's table says
    "jaxc_jit_target": "cpu",  # "reference": interpret jaxprs with the op book's NumPy kernels
}

_CHOICES = {
    "jax_numpy_dtype_promotion": ("standard", "strict"),
    "jax_numpy_rank_promotion": ("allow", "warn", "raise"),
    "jaxc_copy_in_place": ("allow", "log", "error"),
    "jaxc_jit_target": ("cpu", "reference"),
}


def _from_environment(name: str, default: Any) -> Any:
    text = os.environ.get(name.upper())
    if text is None:
        return default
    if isinstance(default, bool):
        return text.lower() in ("1", "true", "yes", "on", "t", "y")
    return text


class _Overrides(threading.local):
    values: dict[str, Any]

    def __init__(self) -> None:
        self.values = {}


class Config:
    """The flags; `jax.config`. Unknown names raise AttributeError, as JAX's do.

    A flag is a plain attribute (every eager operation reads some) except while some thread
    overrides it: then it is taken away and `__getattr__` looks at the thread's overrides.
    """

    def __init__(self) -> None:
        self._values = {k: _from_environment(k, v) for k, v in _DEFAULTS.items()}
        self._overrides = _Overrides()
        self._overriding: Counter[str] = Counter()  # by any thread
        self.__dict__.update(self._values)
        self._listeners: list[Callable[[], None]] = []
        self._checks: dict[str, Callable[[Any], None]] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        overrides = self._overrides.values
        if overrides and name in overrides:
            return overrides[name]
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"Unrecognized config option: {name}") from None

    def update(self, name: str, value: Any) -> None:
        """Set a flag for the process: `config.update("jax_enable_x64", True)`."""
        if name not in self._values:
            raise AttributeError(f"Unrecognized config option: {name}")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(f"{name}: got {value!r}, expected one of {_CHOICES[name]}")
        if isinstance(_DEFAULTS[name], bool):
            value = bool(value)
        if name in self._checks:
            self._checks[name](value)
        self._values[name] = value
        self._publish(name)
        self._notify()

    def read(self, name: str) -> Any:
        return getattr(self, name)

    @property
    def values(self) -> dict[str, Any]:
        return self._values | self._overrides.values

    @property
    def overridden(self) -> bool:
        """Whether some thread overrides some flag at the moment."""
        return any(self._overriding.values())

    @property
    def x64_enabled(self) -> bool:
        return self.jax_enable_x64

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change (to refresh cached readings of flags)."""
        self._listeners.append(listener)

    def check_with(self, name: str, check: Callable[[Any], None]) -> None:
        """Have `check(value)` raise where a value of flag `name` is none."""
        self._checks[name] = check

    def _publish(self, name: str) -> None:
        if self._overriding[name]:
            self.__dict__.pop(name, None)
        else:
            self.__dict__[name] = self._values[name]

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()

    @contextmanager
    def override(self, name: str, value: Any) -> Iterator[None]:
        """Set a flag for this thread inside a `with` block."""
        if name in self._checks:
            self._checks[name](value)
        overrides = self._overrides.values
        absent = object()
        before = overrides.get(name, absent)
        overrides[name] = value
        self._overriding[name] += 1
        self._publish(name)
        self._notify()
        try:
            yield
        finally:
            if before is absent:
                del overrides[name]
            else:
                overrides[name] = before
            self._overriding[name] -= 1
            self._publish(name)
            self._notify()

    def trace_context(self) -> tuple[Any, ...]:
        """The flags a trace or its program depends on: part of every trace cache's key."""
        return (
            self.jax_enable_x64,
            self.jax_threefry_partitionable,
            self.jax_numpy_dtype_promotion,
            self.jax_numpy_rank_promotion,
            self.jax_default_matmul_precision,
            self.jax_softmax_custom_jvp,
            self.jax_disable_jit,
            self.jaxc_copy_in_place,
            self.jaxc_jit_target,
        )


config = Config()


def flag_context(name: str) -> Callable[..., Any]:
    """`jax.enable_x64` and its kin: a context manager that overrides one flag."""

    def context(new_val: Any = True) -> Any:
        return config.override(name, new_val)

    context.__name__ = name.removeprefix("jax_")
    context.__doc__ = f"Context manager that overrides `{name}` in this thread."
    return context
