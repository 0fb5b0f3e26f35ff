"""Reads what a user types on the command line: shapes (`f32[8,3]`) and values (`f32[3]=1,2,3`).

Imports NumPy and the op book's dtype names, no frontend: `jaxc run model.vmfb` starts fast.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jaxc_tools.errors import UsageError

_SHORT = {
    "bool": np.bool_, "pred": np.bool_,
    "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
    "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
    "bf16": ml_dtypes.bfloat16, "f16": np.float16, "f32": np.float32, "f64": np.float64,
    "f8_e4m3fn": ml_dtypes.float8_e4m3fn, "f8_e5m2": ml_dtypes.float8_e5m2,
    "f8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz, "f8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "c64": np.complex64, "c128": np.complex128,
}  # fmt: skip
_DTYPES = {name: np.dtype(kind) for name, kind in _SHORT.items()}
_DTYPES |= {dtype.name: dtype for dtype in _DTYPES.values()}

_DEFAULTS = {bool: np.bool_, int: np.int32, float: np.float32, complex: np.complex64}

_TOKEN = re.compile(r"\s*([A-Za-z_][\w]*|\d+|[\[\](){},:])")
_TYPED_VALUE = re.compile(r"([A-Za-z]\w*)\[([\d, ]*)\]=(.*)\Z", re.DOTALL)


@dataclass(frozen=True)
class ArgSpec:
    """Shape and dtype of an argument; stands where the array would in nested arguments."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __str__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"


def parse_dtype(name: str) -> np.dtype:
    """`f32`, `float32`, ... as a NumPy dtype.

    Raises:
        UsageError: an unknown name.
    """
    if name not in _DTYPES:
        raise UsageError(f"unknown dtype {name!r}; known are {', '.join(_SHORT)}")
    return _DTYPES[name]


def parse_args(text: str) -> tuple[Any, ...]:
    """Read the positional arguments of a function: `f32[8,3], {w: f32[3], b: f32[]}, None`.

    Returns:
        One entry per argument, nested like it, with an `ArgSpec` where an array goes.

    Raises:
        UsageError: not such a list; says where.

    >>> [str(spec) for spec in parse_args("f32[8,3], i32[]")]
    ['float32[8,3]', 'int32[]']
    """
    parser = _Parser(text)
    if parser.at_end():
        return ()
    arguments = [parser.value()]
    while not parser.at_end():
        parser.expect(",")
        arguments.append(parser.value())
    return tuple(arguments)


def parse_positions(text: str) -> tuple[int, ...]:
    """Read positions of arguments.

    Raises:
        UsageError: not such a list.

    >>> parse_positions("0,2"), parse_positions("")
    ((0, 2), ())
    """
    if not re.fullmatch(r"\s*(\d+\s*(,\s*\d+\s*)*)?", text):
        raise UsageError(f"--donate {text!r}: expected positions such as 0,2")
    return tuple(map(int, re.findall(r"\d+", text)))


class _Parser:
    """Recursive descent over `--args`."""

    def __init__(self, text: str):
        self.text = text
        self.tokens: list[str] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise UsageError(f"--args {text!r}: unexpected {text[position:].strip()[0]!r}")
            self.tokens.append(match[1])
            position = match.end()
        self.index = 0

    def at_end(self) -> bool:
        return self.index == len(self.tokens)

    def peek(self) -> str:
        return "the end" if self.at_end() else self.tokens[self.index]

    def take(self) -> str:
        token = self.peek()
        self.index += 1
        return token

    def expect(self, wanted: str) -> None:
        got = self.take()
        if got != wanted:
            raise UsageError(f"--args {self.text!r}: expected {wanted!r}, got {got!r}")

    def value(self) -> Any:
        token = self.take()
        if token == "(":
            return tuple(self.items(")"))
        if token == "[":
            return self.items("]")
        if token == "{":
            return self.dictionary()
        if token == "None":
            return None
        if not token[0].isalpha() or token == "the end":
            raise UsageError(f"--args {self.text!r}: expected a shape like f32[8,3], got {token!r}")
        dtype = parse_dtype(token)
        self.expect("[")
        return ArgSpec(tuple(self.extents()), dtype)

    def extents(self) -> list[int]:
        found: list[int] = []
        while self.peek() != "]":
            if found:
                self.expect(",")
            token = self.take()
            if not token.isdigit():
                raise UsageError(f"--args {self.text!r}: expected a dimension, got {token!r}")
            found.append(int(token))
        self.expect("]")
        return found

    def items(self, end: str) -> list[Any]:
        found: list[Any] = []
        while self.peek() != end:
            found.append(self.value())
            if self.peek() != end:
                self.expect(",")
        self.expect(end)
        return found

    def dictionary(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.peek() != "}":
            key = self.take()
            self.expect(":")
            found[key] = self.value()
            if self.peek() != "}":
                self.expect(",")
        self.expect("}")
        return found


def parse_input(text: str, dtype: np.dtype | None = None) -> np.ndarray:
    """Read one `--input`: a `.npy` path, `f32[3]=1,2,3`, `f32[2,2]=0`, or a number.

    Args:
        text: what the user typed.
        dtype: the dtype of a bare number, if the program says it.

    Raises:
        UsageError: none of these, or a file that is not there.
    """
    typed = _TYPED_VALUE.match(text)
    if typed:
        return _typed_value(text, *typed.groups())
    number = _number(text)
    if number is not None:
        return np.asarray(number, dtype or _DEFAULTS[type(number)])
    try:
        return np.load(Path(text), allow_pickle=False)
    except OSError as error:
        raise UsageError(f"--input {text}: {error.strerror or 'not a .npy file'}") from None
    except ValueError:
        raise UsageError(f"--input {text}: not a .npy file with plain numbers") from None


def _typed_value(text: str, dtype_name: str, extents: str, numbers: str) -> np.ndarray:
    dtype = parse_dtype(dtype_name)
    shape = tuple(int(extent) for extent in extents.replace(" ", "").split(",") if extent)
    values = [_number(part.strip()) for part in numbers.split(",") if part.strip()]
    if any(value is None for value in values):
        raise UsageError(f"--input {text}: the values must be numbers")
    size = int(np.prod(shape))
    if len(values) not in (1, size):
        raise UsageError(f"--input {text}: {size} values (or one) expected, got {len(values)}")
    flat = np.array(values).astype(dtype)
    return np.broadcast_to(flat, (size,)).reshape(shape).copy()


def _number(text: str) -> bool | int | float | complex | None:
    if text in ("true", "True", "false", "False"):
        return text.lower() == "true"
    for kind in (int, float, complex):
        try:
            return kind(text)
        except ValueError:
            continue
    return None
