"""The whole op book: importing this module fills `OPS`.

Every module of this package is a family, or something families share, so all of them are imported:
a new family needs no list to be entered in.
"""

from __future__ import annotations

import importlib
import pkgutil

from jaxc_compiler import opset
from jaxc_compiler.opset.op import OPS

__all__ = ["OPS"]

for _module in pkgutil.iter_modules(opset.__path__):
    if _module.name != "book":
        importlib.import_module(f"{opset.__name__}.{_module.name}")
