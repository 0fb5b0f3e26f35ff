"""Jaxprs as JSON, with the arrays in them beside it.

Owns the written form of equations, avals and parameters. Calls of functions (`jit`, `checkpoint`,
functions with custom derivatives) are written as the equations they run: what may be differentiated
is said by the stored VJP. Imports `core` and the op book; reading loads no MLIR.

A jaxpr is `{"consts": [aval], "in": [aval], "eqns": [[op, params, atoms, avals]], "out":
[atom]}`; an atom is the number of a variable, counted as they are defined, or `{"literal": ...}`.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from jaxc.core.array import Array
from jaxc.core.check import JaxprTypeError, check_jaxpr
from jaxc.core.jaxpr import CALLS, Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from jaxc.core.primitive import primitive
from jaxc.core.trace import get_aval
from jaxc_compiler.opset import params as opset_params
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray, float0, typematch
from jaxc_compiler.opset.book import OPS

# Functions that an equation also holds as a jaxpr, and that nothing reads.
_IMPLIED = frozenset({"computation"})


class Writer:
    """Writes jaxprs; `arrays` collects what the JSON refers to by number."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []

    def closed(self, closed: ClosedJaxpr) -> dict[str, Any]:
        """A closed jaxpr."""
        values = [self.value(_plain(c), "a constant") for c in closed.consts]
        return {"jaxpr": self.jaxpr(closed.jaxpr), "values": values}

    def jaxpr(self, jaxpr: Jaxpr) -> dict[str, Any]:
        """A jaxpr; its variables are numbered from 0."""
        numbers = {v: n for n, v in enumerate([*jaxpr.constvars, *jaxpr.invars])}
        body = _Body(self, len(numbers))
        outs = body.run(jaxpr, dict(numbers))
        return {
            "consts": [write_aval(v.aval) for v in jaxpr.constvars],
            "in": [write_aval(v.aval) for v in jaxpr.invars],
            "eqns": body.eqns,
            "out": outs,
        }

    def array(self, value: np.ndarray) -> int:
        """The number of an array, which is kept."""
        self.arrays.append(np.asarray(value))
        return len(self.arrays) - 1

    def value(self, value: Any, where: str) -> Any:
        """A parameter's value.

        Raises:
          ValueError: a value that only this process knows, such as a function.
        """
        if value is None or isinstance(value, bool | str) or type(value) is int:
            return value
        if isinstance(value, Jaxpr):
            return {"open": self.jaxpr(value)}
        if isinstance(value, ClosedJaxpr):
            return {"closed": self.closed(value)}
        if isinstance(value, enum.Enum):
            return {"enum": [_declared(value, where), value.name]}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return {"record": [_declared(value, where), [self.value(v, where) for v in value]]}
        if dataclasses.is_dataclass(value) and not isinstance(value, KeyDtype | type):
            fields = [getattr(value, f.name) for f in dataclasses.fields(value)]
            return {"record": [_declared(value, where), [self.value(v, where) for v in fields]]}
        if isinstance(value, tuple | list):
            return {type(value).__name__: [self.value(v, where) for v in value]}
        if isinstance(value, np.dtype | KeyDtype):
            return {"dtype": write_dtype(value)}
        if isinstance(value, float):
            return {"float": value.hex()}
        if isinstance(value, complex):
            return {"complex": [value.real.hex(), value.imag.hex()]}
        if isinstance(value, Array) and isinstance(value.aval.dtype, KeyDtype):
            return {"keys": [self.array(value._numpy()), write_aval(value.aval)]}
        if isinstance(value, np.ndarray | np.generic | Array):
            scalar = isinstance(value, np.generic)
            return {"scalar" if scalar else "array": self.array(np.asarray(value))}
        raise ValueError(f"{where} cannot be exported: {type(value).__name__} {value!r:.80}")


class _Body:
    """The equations of one jaxpr, calls inlined."""

    def __init__(self, writer: Writer, count: int):
        self.writer = writer
        self.count = count
        self.eqns: list[Any] = []

    def run(self, jaxpr: Jaxpr, atoms: dict[Var, Any]) -> list[Any]:
        """Write the equations; `atoms` says what the jaxpr's arguments are here."""

        def read(atom: Atom) -> Any:
            return atoms[atom] if type(atom) is not Literal else self.literal(atom)

        for eqn in jaxpr.eqns:
            outs = self.equation(eqn, [read(a) for a in eqn.invars])
            atoms.update(zip(eqn.outvars, outs, strict=True))
        return [read(a) for a in jaxpr.outvars]

    def equation(self, eqn: JaxprEqn, inputs: list[Any]) -> list[Any]:
        name = eqn.primitive.name
        if name in CALLS:
            inner = eqn.params[CALLS[name]]
            jaxpr, consts = (inner, ()) if isinstance(inner, Jaxpr) else (inner.jaxpr, inner.consts)
            inputs = [*[self.constant(c) for c in consts], *inputs]
            return self.run(jaxpr, dict(zip([*jaxpr.constvars, *jaxpr.invars], inputs)))
        params = {
            key: self.writer.value(value, f"parameter {key} of {name}")
            for key, value in (eqn.params | dict.fromkeys(_IMPLIED & eqn.params.keys())).items()
        }
        outs = list(range(self.count, self.count + len(eqn.outvars)))
        self.count += len(outs)
        self.eqns.append([name, params, inputs, [write_aval(v.aval) for v in eqn.outvars]])
        return outs

    def literal(self, literal: Literal) -> Any:
        value = self.writer.value(_plain(literal.val), "a literal")
        return {"literal": [value, write_aval(literal.aval)]}

    def constant(self, value: Any) -> Any:
        """A constant of an inlined call: a literal of any shape."""
        plain = _plain(value)
        aval = value.aval if isinstance(value, Array) else ShapedArray(plain.shape, plain.dtype)
        return {"literal": [self.writer.value(plain, "a constant"), write_aval(aval)]}


def _plain(value: Any) -> Any:
    """Arrays as NumPy's, but for keys, which have a type of their own."""
    is_key = isinstance(value, Array) and isinstance(value.aval.dtype, KeyDtype)
    if is_key or isinstance(value, bool | int | float | complex | np.generic):
        return value
    return np.asarray(value)


def _declared(value: Any, where: str) -> str:
    kind = type(value)
    if getattr(opset_params, kind.__name__, None) is not kind:
        raise ValueError(f"{where} cannot be exported: {kind.__name__} is no parameter of an op")
    return kind.__name__


def write_aval(aval: ShapedArray) -> list[Any]:
    return [write_dtype(aval.dtype), list(aval.shape), aval.weak_type]


def write_dtype(dtype: Any) -> str:
    return "float0" if dtype == float0 else dtype.name


# -- reading -------------------------------------------------------------------------------------


def read_dtype(name: str) -> Any:
    if name == "float0":
        return float0
    if name.startswith("key<"):
        return KeyDtype(name[4:-1])
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def read_aval(written: Sequence[Any]) -> ShapedArray:
    dtype, shape, weak_type = written
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"a shape is not {shape}")
    return ShapedArray(tuple(shape), read_dtype(dtype), weak_type)


class Reader:
    """Reads what a `Writer` wrote, given its arrays."""

    def __init__(self, arrays: Sequence[np.ndarray]):
        self.arrays = arrays
        self.kinds: dict[str, Callable[[Any], Any]] = {
            "open": self.jaxpr, "closed": self.closed, "enum": self._enum, "record": self._record,
            "tuple": self._tuple, "list": self._list, "dtype": read_dtype, "float": float.fromhex,
            "complex": self._complex, "array": self._array, "scalar": self._scalar,
            "keys": self._keys,
        }  # fmt: skip

    def program(self, written: dict[str, Any]) -> ClosedJaxpr:
        """A closed jaxpr, checked.

        Raises:
          ValueError: an op or a parameter that is not known, or equations that do not type check.
        """
        try:
            found = self.closed(written)
            check_jaxpr(found)
        except (LookupError, TypeError, AttributeError, OverflowError, JaxprTypeError) as error:
            raise ValueError(f"the exported program is damaged: {error}") from None
        return found

    def closed(self, written: dict[str, Any]) -> ClosedJaxpr:
        consts = [_as_constant(self.value(v)) for v in written["values"]]
        jaxpr = self.jaxpr(written["jaxpr"])
        for var, value in zip(jaxpr.constvars, consts, strict=True):
            _check_value(value, var.aval)
        return ClosedJaxpr(jaxpr, consts)

    def jaxpr(self, written: dict[str, Any]) -> Jaxpr:
        constvars, invars = ([Var(read_aval(a)) for a in written[k]] for k in ("consts", "in"))
        variables = [*constvars, *invars]

        def read(atom: Any) -> Atom:
            if isinstance(atom, int):
                return _at(variables, atom)
            value, aval = self.value(atom["literal"][0]), read_aval(atom["literal"][1])
            _check_value(value, aval)
            return Literal(value, aval)

        eqns = []
        for name, params, inputs, avals in written["eqns"]:
            if name not in OPS:
                raise ValueError(f"the exported program has an op this version lacks: {name}")
            outvars = [Var(read_aval(a)) for a in avals]
            given = {key: self.value(value) for key, value in params.items()}
            eqns.append(JaxprEqn([read(a) for a in inputs], outvars, primitive(name), given))
            variables += outvars
        outs = [read(a) for a in written["out"]]
        return Jaxpr(constvars, invars, outs, eqns)

    def value(self, written: Any) -> Any:
        """A parameter's value."""
        if not isinstance(written, dict):
            return written
        ((kind, content),) = written.items()
        return self.kinds[kind](content)

    def _enum(self, content: Any) -> Any:
        name, member = content
        return _declared_type(name)[member]

    def _record(self, content: Any) -> Any:
        name, fields = content
        return _declared_type(name)(*map(self.value, fields))

    def _tuple(self, content: Any) -> tuple[Any, ...]:
        return tuple(map(self.value, content))

    def _list(self, content: Any) -> list[Any]:
        return list(map(self.value, content))

    def _complex(self, content: Any) -> complex:
        return complex(*map(float.fromhex, content))

    def _array(self, content: int) -> np.ndarray:
        return _at(self.arrays, content)

    def _scalar(self, content: int) -> Any:
        return _at(self.arrays, content)[()]

    def _keys(self, content: Any) -> Array:
        number, aval = content
        return Array(_at(self.arrays, number), read_aval(aval))


def _declared_type(name: str) -> Any:
    found = getattr(opset_params, name, None)
    if not (isinstance(found, type) and found.__module__ == opset_params.__name__):
        raise ValueError(f"the exported program has a parameter of an unknown type: {name}")
    return found


def _at(items: Sequence[Any], number: int) -> Any:
    if not 0 <= number < len(items):
        raise IndexError(f"number {number} of {len(items)}")
    return items[number]


def _check_value(value: Any, aval: ShapedArray) -> None:
    """Raises ValueError unless a value is one of an aval, which Python's scalars become."""
    if isinstance(value, Array | np.ndarray | np.generic):
        fits, value = typematch(get_aval(value), aval), get_aval(value).str_short()
    else:
        fits = np.asarray(value, aval.dtype).shape == aval.shape == ()
    if not fits:
        raise ValueError(f"a constant is {value}, expected {aval.str_short()}")


def _as_constant(value: Any) -> Any:
    if isinstance(value, Array) or not isinstance(value, np.ndarray):
        return value
    return Array(value, ShapedArray(value.shape, value.dtype))
