"""Lets `import jax` mean jaxc: an import hook that maps the whole `jax` tree to `jaxc`.

`jax.numpy` is not a copy of `jaxc.numpy` but the same module object under two names, so classes,
registries and configuration exist once. Nothing is imported until the script asks for it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

ALIAS = "jax"
REAL = "jaxc"


class _Loader(importlib.abc.Loader):
    """Hands out the real module and leaves it as it is."""

    def __init__(self, real_name: str):
        self._real_name = real_name
        self._real_spec: importlib.machinery.ModuleSpec | None = None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._real_name)
        self._real_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._real_spec  # the import system has just overwritten it
        for name, loaded in list(sys.modules.items()):  # what it imported has the other name too
            if name.startswith(self._real_name + "."):
                sys.modules.setdefault(ALIAS + name[len(REAL) :], loaded)


class JaxFinder(importlib.abc.MetaPathFinder):
    """Finds `jax.x.y` wherever `jaxc.x.y` is."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != ALIAS and not fullname.startswith(ALIAS + "."):
            return None
        real_name = REAL + fullname[len(ALIAS) :]
        if real_name not in sys.modules and importlib.util.find_spec(real_name) is None:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return importlib.machinery.ModuleSpec(
            fullname, _Loader(real_name), is_package=fullname == ALIAS
        )


def install() -> None:
    """Make `import jax` mean jaxc in this process. Calling it again does nothing.

    Raises:
        RuntimeError: real JAX has already been imported.
    """
    if any(isinstance(finder, JaxFinder) for finder in sys.meta_path):
        return
    loaded = sys.modules.get(ALIAS)
    if loaded is not None and loaded.__name__ != REAL:
        raise RuntimeError("jax is imported already; it cannot be replaced by jaxc any more")
    sys.meta_path.insert(0, JaxFinder())
