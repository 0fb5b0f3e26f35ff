"""An op of a StableHLO module: its name, types and attributes as Python values.

Owns how attributes are read. Imports `mlir` only.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from jaxc_compiler import mlir
from jaxc_compiler.mlir import ir
from jaxc_compiler.opset.avals import ShapedArray


class Op:
    """One op.

    Attributes:
      raw: the MLIR operation.
      values: what is known where it stands; its regions see it.
    """

    __slots__ = ("name", "raw", "values")

    def __init__(self, raw: ir.Operation, values: dict[Any, Any]):
        self.raw = raw
        self.name: str = raw.name
        self.values = values

    def aval(self, number: int = 0) -> ShapedArray:
        """Shape and dtype of a result."""
        return mlir.aval_of(self.raw.results[number].type)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval().shape

    @property
    def dtype(self) -> np.dtype:
        return self.aval().dtype

    def has(self, name: str) -> bool:
        return name in self.raw.attributes

    def attribute(self, name: str) -> ir.Attribute:
        return self.raw.attributes[name]

    def ints(self, name: str, default: Any = ()) -> tuple[int, ...]:
        """An array of integers."""
        return tuple(ir.DenseI64ArrayAttr(self.attribute(name))) if self.has(name) else default

    def int(self, name: str, default: int = 1) -> int:
        return ir.IntegerAttr(self.attribute(name)).value if self.has(name) else default

    def flag(self, name: str) -> bool:
        return self.has(name) and ir.BoolAttr(self.attribute(name)).value

    def flags(self, name: str) -> tuple[bool, ...]:
        """An array of booleans."""
        return (
            tuple(map(bool, ir.DenseBoolArrayAttr(self.attribute(name)))) if self.has(name) else ()
        )

    def pairs(self, name: str, rank: int) -> tuple[tuple[int, int], ...]:
        """(low, high) for each dimension; zeros if not given."""
        if not self.has(name):
            return ((0, 0),) * rank
        return tuple((int(a), int(b)) for a, b in mlir.constant_array(self.attribute(name)))

    def enum(self, name: str, default: str = "") -> str:
        """The word in an enum attribute, `#stablehlo<comparison_direction LT>`: `LT`."""
        if not self.has(name):
            return default
        return re.findall(r"\w+", str(self.attribute(name)))[-1]

    def text(self, name: str) -> str:
        return ir.StringAttr(self.attribute(name)).value

    def symbol(self, name: str) -> str:
        return ir.FlatSymbolRefAttr(self.attribute(name)).value

    def constant(self) -> np.ndarray:
        """The value of a constant; the bindings cannot read complex ones, whose text is read.

        Raises:
          NotImplementedError: it is kept in another form than as its elements.
        """
        if self.dtype.kind != "c":
            value = self.attribute("value")
            if isinstance(value, ir.DenseElementsAttr):
                return mlir.constant_array(value)
            form = str(value).split("<")[0]
            raise NotImplementedError(f"a constant as {form}: expected its elements, as dense<...>")
        body = self.raw.get_asm(large_elements_limit=1 << 40)
        body = body[body.index("dense<") + 6 : body.rindex("> :")]
        part = np.dtype(f"f{self.dtype.itemsize // 2}")
        if body.startswith('"0x'):
            numbers = np.frombuffer(bytes.fromhex(body[3:-1]), part)
        else:
            words = re.findall(r"[^][(),\s]+", body)
            numbers = np.array([_number(word, part) for word in words], part)
        found = numbers.view(self.dtype)
        return np.full(self.shape, found[0]) if found.size == 1 else found.reshape(self.shape)


def _number(word: str, dtype: np.dtype) -> Any:
    if not word.startswith("0x"):
        return dtype.type(word)
    return np.array(int(word, 16), f"u{dtype.itemsize}").view(dtype)[()]
