"""Where PJRT plugins are found: known packages, and the variable that JAX reads too.

Owns names, paths and what plugins read from the environment; loads nothing. Imports nothing of ours
but the errors.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from jaxc_runtime.errors import DeviceError

VARIABLE = "PJRT_NAMES_AND_LIBRARY_PATHS"  # "name:path,name:path"


@dataclass(frozen=True)
class Plugin:
    """A plugin that is there.

    Attributes:
        name: the platform as users say it: `tpu`, `xla_cpu`, ...
        path: its shared library.
    """

    name: str
    path: str


@dataclass(frozen=True)
class _Package:
    """A package that carries a plugin, and what a user installs to have it."""

    module: str
    library: str
    install: str


PACKAGES = {
    "tpu": _Package("libtpu", "libtpu.so", "pip install libtpu"),
    "xla_cpu": _Package(
        "fastatomstruct_xla_cpu", "libpjrt_cpu.so", "pip install fastatomstruct-xla-cpu"
    ),
}


# Where there is no TPU, libtpu asks the cloud's metadata service for minutes for what is said here.
# It does not look at the accelerator's type when a topology is named, but wants one.
WITHOUT_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_ID": "0",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def find(name: str, environ: Mapping[str, str] | None = None) -> Plugin:
    """The plugin of a platform.

    Args:
        name: one of `names()`; a plugin of `PJRT_NAMES_AND_LIBRARY_PATHS` comes before a package.

    Raises:
        DeviceError: there is none, with what to install.

    Example:
        >>> find("npu", {"PJRT_NAMES_AND_LIBRARY_PATHS": "npu:/opt/npu.so"})
        Plugin(name='npu', path='/opt/npu.so')
    """
    named = _from_environment(os.environ if environ is None else environ)
    if name in named:
        return Plugin(name, named[name])
    package = PACKAGES.get(name)
    if package is None:
        known = ", ".join([*named, *PACKAGES])
        raise DeviceError(f"no PJRT plugin {name!r}: one of {known}, or set {VARIABLE}=name:path")
    library = _library(package)
    if library is None:
        raise DeviceError(f"the {name} plugin is not installed: {package.install}")
    return Plugin(name, library)


def names() -> list[str]:
    """The platforms that have a plugin here, whether or not it finds a device."""
    present = [name for name, package in PACKAGES.items() if _library(package)]
    return list(dict.fromkeys([*_from_environment(os.environ), *present]))


@contextmanager
def prepared(name: str) -> Iterator[None]:
    """Set what a plugin reads from the environment while it is opened, unless the user did.

    Plugins read it when they are loaded, when a client opens and when they log, so that it stays
    as it is if the plugin opens; if not, it is as before.
    """
    # What goes wrong comes back as an error: it need not be on the terminal too.
    wanted = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if name == "tpu" and not (glob("/dev/accel*") or glob("/dev/vfio/[0-9]*")):
        wanted |= WITHOUT_TPU
    added = wanted.keys() - os.environ.keys()
    os.environ.update({variable: wanted[variable] for variable in added})
    try:
        yield
    except BaseException:
        for variable in added:
            os.environ.pop(variable, None)
        raise


def _library(package: _Package) -> str | None:
    spec = importlib.util.find_spec(package.module)
    if spec is None or not spec.submodule_search_locations:
        return None
    paths = (Path(folder, package.library) for folder in spec.submodule_search_locations)
    return next((str(path) for path in paths if path.is_file()), None)


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    entries = [entry.partition(":") for entry in environ.get(VARIABLE, "").split(",") if entry]
    wrong = [name for name, _, path in entries if not (name and path)]
    if wrong:
        raise DeviceError(f"{VARIABLE} must be name:path,..., got {environ[VARIABLE]!r}")
    return {name.strip(): path.strip() for name, _, path in entries}
