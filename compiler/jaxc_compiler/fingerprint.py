"""What a function of the user's does, as text: the key of what was compiled with it.

A function is its code and the values that the code reads: globals, defaults, and the functions it
calls with theirs. Imports no MLIR and no frontend.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import importlib.util
import operator
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
_OURS = frozenset({"jaxc", "jaxc_compiler", "jaxc_runtime", "jaxc_tools"})


class _Unknown(Exception):
    """A value of which nothing says what it does."""


def fingerprint(*values: Any) -> str | None:
    """Text that changes when one of the functions or constants does; None if that cannot be told.

    It can of plain constants, of what installed modules own, and of functions of the user's that
    read nothing else and are no closures. An object with `fingerprint_parts` is those values.

    Example:
      >>> scale = 2.0
      >>> def double(x): return x * scale
      >>> before, scale = fingerprint(double), 3.0
      >>> fingerprint(double) == before
      False
      >>> fingerprint(object()) is None
      True
    """
    seen: dict[int, int] = {}
    try:
        parts = [_of_value(value, seen) for value in values]
    except _Unknown:
        return None
    text = repr([importlib.util.MAGIC_NUMBER, parts])  # bytecode has a version
    return hashlib.sha256(text.encode()).hexdigest()


def _of_value(value: Any, seen: dict[int, int]) -> Any:
    """Something of stable `repr` that tells the value from others."""
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if kind is tuple:
        return [_of_value(each, seen) for each in value]
    if kind in (set, frozenset):
        return kind.__name__, sorted(repr(_of_value(each, seen)) for each in value)
    if kind is types.CodeType:
        return _of_code(value, seen)
    if isinstance(value, np.dtype):
        return "dtype", str(value)
    if name := _installed_name(value):
        return name
    if isinstance(value, np.ndarray | np.generic) or _is_ours(kind, "__array__"):
        return _of_array(value)
    if id(value) in seen:
        return "again", seen[id(value)]
    seen[id(value)] = len(seen)
    if kind in (list, dict):
        items = value if kind is list else tuple(value.items())
        return kind.__name__, [_of_value(each, seen) for each in items]
    if _is_ours(kind, "fingerprint_parts"):
        return kind.__qualname__, [_of_value(each, seen) for each in value.fingerprint_parts]
    if kind is types.FunctionType and not value.__closure__:
        return _of_function(value, seen)
    raise _Unknown(value)


def _of_array(value: Any) -> tuple[str, Any]:
    try:
        array = np.asarray(value)
    except TypeError:  # a tracer, an array of keys
        raise _Unknown(value) from None
    if array.dtype.hasobject:
        raise _Unknown(value)
    return str(array.dtype), (array.shape, hashlib.sha256(array.tobytes()).hexdigest())


def _is_ours(kind: type, method: str) -> bool:
    return hasattr(kind, method) and _top(kind.__module__) in _OURS


def _of_function(function: types.FunctionType, seen: dict[int, int]) -> Any:
    code, known = function.__code__, function.__globals__
    read = {name: known[name] for name in sorted(_names_in(code)) if name in known}
    values = (read, function.__defaults__, function.__kwdefaults__)
    return _of_code(code, seen), [_of_value(each, seen) for each in values]


def _of_code(code: types.CodeType, seen: dict[int, int]) -> Any:
    """What the code does, whatever file and line it stands in."""
    for module in _imports_in(code):
        if not _is_installed(module):
            raise _Unknown(module)
    variables = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    constants = [_of_value(each, seen) for each in code.co_consts]
    return code.co_code, code.co_exceptiontable, variables, counts, constants


def _names_in(code: types.CodeType) -> set[str]:
    """Names of globals and attributes in a function and in those inside of it."""
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return set(code.co_names).union(*map(_names_in, inner))


def _imports_in(code: types.CodeType) -> Iterator[str]:
    """The modules that the code imports while it runs."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            yield instruction.argval


def _installed_name(value: Any) -> str:
    """The name of an installed module, or by which such a module owns a value; empty if none."""
    if isinstance(value, types.ModuleType):
        return value.__name__ if _is_installed(value.__name__) else ""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    module = getattr(value, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        return ""
    for owner in (module, f"jaxc{module.removeprefix('jax')}"):  # ours say `jax.numpy`, as JAX's do
        try:
            owned = operator.attrgetter(name)(sys.modules[owner]) is value
        except (AttributeError, KeyError):
            continue
        if owned and _is_installed(owner):
            return f"{owner}.{name}"
    return ""


def _is_installed(module: str) -> bool:
    """Whether a module is ours, Python's or in `site-packages`: its files stay as they are."""
    if _top(module) in _OURS:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:  # built in, or not imported yet
        return _top(module) in sys.stdlib_module_names
    return any(folder in Path(file).parents for folder in _folders())


@functools.cache
def _folders() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(Path(sysconfig.get_path(name)) for name in names)


def _top(module: str) -> str:
    return module.partition(".")[0]
