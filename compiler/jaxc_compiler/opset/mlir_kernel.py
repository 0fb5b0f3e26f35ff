"""`mlir_kernel`: a function the user wrote as MLIR text, called as one op.

The text holds one `func.func` on tensors. Its types are read here, without MLIR: they say what the
op takes and gives. A size or an element type written `$N` stands for whatever the call brings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from jaxc_compiler.opset.avals import ShapedArray
from jaxc_compiler.opset.op import define

_DTYPES = {
    "i1": np.bool_, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
    "ui8": np.uint8, "ui16": np.uint16, "ui32": np.uint32, "ui64": np.uint64,
    "f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64,
    "complex<f32>": np.complex64, "complex<f64>": np.complex128,
}  # fmt: skip
_ELEMENTS = {np.dtype(kind): name for name, kind in _DTYPES.items()}

_NAME = r"\$[A-Z][A-Z0-9]*"
_FUNCTION = re.compile(
    r"func\.func\s+(?:public\s+)?@(?P<name>[\w$.-]+)\s*\((?P<arguments>[^)]*)\)"
    r"\s*->\s*(?:\((?P<several>[^)]*)\)|(?P<one>tensor<[^{]*?))\s*\{"
)
_ARGUMENT = re.compile(r"%(?P<name>[\w$.-]+)\s*:\s*(?P<type>[^%]*?)\s*(?:,\s*(?=%)|\Z)")
_TENSOR = re.compile(rf"tensor<((?:(?:\d+|{_NAME}|\?)x)*)([\w$<>]+)>")


@dataclass(frozen=True)
class Type:
    """A tensor type as it is written: sizes and element, `$N` where a name stands."""

    shape: tuple[str, ...]
    element: str

    def __str__(self) -> str:
        return f"tensor<{'x'.join([*self.shape, self.element])}>"


@dataclass(frozen=True)
class Signature:
    """What a text's function takes and gives."""

    name: str
    arguments: tuple[tuple[str, Type], ...]
    results: tuple[Type, ...]

    @property
    def has_names(self) -> bool:
        """Whether the call says some sizes or element types."""
        types = [kind for _, kind in self.arguments]
        return any("$" in part for kind in types for part in (*kind.shape, kind.element))


def read_signature(text: str) -> Signature:
    """The signature of the only function of a text.

    Raises:
      ValueError: naming what is not understood.
    """
    found = list(_FUNCTION.finditer(text))
    if len(found) != 1 or text.count("func.func") != 1:
        raise ValueError(
            f"mlir_kernel: expected one func.func with results, found {text.count('func.func')}, "
            f"{len(found)} of them of the form func.func @name(%x: tensor<...>) -> tensor<...> {{"
        )
    match = found[0]
    name, written = match["name"], match["arguments"].strip()
    parsed = list(_ARGUMENT.finditer(written))
    if "".join(each[0] for each in parsed) != written:
        raise ValueError(f"mlir_kernel {name}: cannot read the arguments {written!r}")
    arguments = tuple((each["name"], _type(name, each["type"])) for each in parsed)
    results = _split(match["one"] if match["one"] is not None else match["several"])
    signature = Signature(name, arguments, tuple(_type(name, each) for each in results))
    _check_names(signature, text)
    return signature


def _split(types: str) -> list[str]:
    return [part.strip() for part in re.split(r",\s*(?=tensor)", types.strip()) if part.strip()]


def _type(name: str, text: str) -> Type:
    match = _TENSOR.fullmatch(text)
    if match is None:
        raise ValueError(f"mlir_kernel {name}: expected a type tensor<...>, got {text!r}")
    shape = tuple(match[1].split("x")[:-1])
    if "?" in shape:
        raise ValueError(f"mlir_kernel {name}: a size in {text} is not known: name it, as in "
                         f"{text.replace('?', '$N', 1)}")  # fmt: skip
    if match[2] not in _DTYPES and not re.fullmatch(_NAME, match[2]):
        raise ValueError(f"mlir_kernel {name}: no arrays have the element type {match[2]}")
    return Type(shape, match[2])


def _check_names(signature: Signature, text: str) -> None:
    known = {part for _, kind in signature.arguments for part in (*kind.shape, kind.element)}
    for name in re.findall(_NAME, text):
        if name not in known:
            raise ValueError(
                f"mlir_kernel {signature.name}: {name} is in no argument's type: nothing says it"
            )


def specialize(text: str, signature: Signature, avals: Sequence[ShapedArray]) -> str:
    """The text for arguments of some types: every name replaced by what they say.

    Raises:
      TypeError: naming the argument that does not fit.
    """
    if len(avals) != len(signature.arguments):
        wanted = len(signature.arguments)
        raise TypeError(f"mlir_kernel {signature.name} takes {wanted} arrays, got {len(avals)}")
    bound: dict[str, str] = {}
    for (name, kind), aval in zip(signature.arguments, avals):
        if not _fits(kind, aval, bound):
            given = "".join(f", {n} = {v}" for n, v in sorted(bound.items()) if n in str(kind))
            raise TypeError(
                f"mlir_kernel {signature.name}: argument %{name} must be {kind}{given}, got "
                f"{aval.str_short()}"
            )
    return re.sub(_NAME, lambda match: bound[match[0]], text)


def _fits(kind: Type, aval: ShapedArray, bound: dict[str, str]) -> bool:
    element = _ELEMENTS.get(aval.dtype)
    if element is None or len(kind.shape) != len(aval.shape):
        return False
    pairs = [*zip(kind.shape, map(str, aval.shape)), (kind.element, element)]
    return all((bound.setdefault(p, got) if p.startswith("$") else p) == got for p, got in pairs)


def mlir_kernel_infer(*avals: ShapedArray, kernel: str, text: str) -> list[ShapedArray]:
    """The results of a specialized text, if the arguments are those it was specialized for."""
    del kernel
    signature = read_signature(text)
    specialize(text, signature, avals)
    return [
        ShapedArray(tuple(map(int, kind.shape)), np.dtype(_DTYPES[kind.element]))
        for kind in signature.results
    ]


def storage_text(text: str) -> str:
    """The text as the lowerings take it: integers without a sign."""
    return re.sub(r"\bui(8|16|32|64)\b", r"i\1", re.sub(r"xui(8|16|32|64)\b", r"xi\1", text))


mlir_kernel: Any = define(
    "mlir_kernel",
    kind="call",
    params=("kernel", "text"),
    infer=mlir_kernel_infer,
    multiple_results=True,
)
