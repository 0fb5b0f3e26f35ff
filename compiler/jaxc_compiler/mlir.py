"""The MLIR bindings, and the mapping between Python's world and MLIR's.

Owns types (aval <-> MLIR type), attributes (op parameter <-> MLIR attribute), locations and
bytecode. The only module that imports `torch_mlir`; of ours it imports the op book and the
diagnostics, and is itself imported lazily (`import jaxc` and eager mode never load it).

Element types: signed integers are signless (`i32`), unsigned ones `ui32`, booleans `i1`, and a
typed random key is one opaque element, `!lax.key`, so that every shape op works on arrays of keys
as on any other array. `storage_type` gives what is in memory: `ui32` becomes `i32`, and a key
`i64`, its two 32-bit words (low word first).
"""

from __future__ import annotations

import dataclasses
import enum
import io
import re
import threading
from typing import Any

import ml_dtypes
import numpy as np
from torch_mlir import ir
from torch_mlir._mlir_libs import _mlir, _mlirDialectsIRDL
from torch_mlir.passmanager import PassManager

from jaxc_compiler.diagnostics import CompileError, Diagnostic
from jaxc_compiler.opset import params as opset_params
from jaxc_compiler.opset.avals import KeyDtype, ShapedArray, float0

__all__ = [
    "CONTEXT",
    "LOCK",
    "UNKNOWN",
    "PassManager",
    "aval_of",
    "constant_array",
    "create",
    "dense",
    "dimension_numbers",
    "dtype_of",
    "from_attr",
    "from_portable_stablehlo",
    "ir",
    "load_irdl",
    "load_stablehlo",
    "location",
    "ranked_tensor",
    "scalar_type",
    "storage_type",
    "tensor_type",
    "to_attr",
    "to_bytecode",
    "to_portable_stablehlo",
]  # fmt: skip

KEY = KeyDtype("fry")

# The bindings look for a Python module of the dialect of every op they meet, again and again for
# dialects that have none. We use ops by name: no module is needed.
_mlir.globals.dialect_search_modules = []


def _new_context() -> ir.Context:
    context = ir.Context()
    context.allow_unregistered_dialects = True  # IREE's ops, in generic form
    context.enable_multithreading(False)
    return context


# One context for the process: types and attributes are made once and compare by identity. A context
# without threads may be used by one thread at a time: whoever builds or runs passes holds LOCK.
CONTEXT = _new_context()
LOCK = threading.RLock()
UNKNOWN = ir.Location.unknown(CONTEXT)


def load_irdl(text: str) -> None:
    """Register the dialects and ops that a module of `irdl` ops defines."""
    with CONTEXT, UNKNOWN:
        _mlirDialectsIRDL.load_dialects(ir.Module.parse(text))


def create(
    name: str,
    results: list[ir.Type],
    operands: list[ir.Value],
    attributes: dict[str, ir.Attribute] | None = None,
    regions: int = 0,
    **where: Any,
) -> ir.Operation:
    """Make an op of any dialect at the current insertion point: the bindings' quickest way."""
    return ir.Operation.create(name, results, operands, attributes or {}, [], regions, **where)


# -- types ---------------------------------------------------------------------------------------

_ELEMENT_NAMES = {
    "bool": "i1", "int4": "i4", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint4": "ui4", "uint8": "ui8", "uint16": "ui16", "uint32": "ui32", "uint64": "ui64",
    "int2": "i2", "uint2": "ui2",
    "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64",
    "complex64": "complex<f32>", "complex128": "complex<f64>",
    "float8_e4m3fn": "f8E4M3FN", "float8_e5m2": "f8E5M2", "float8_e4m3fnuz": "f8E4M3FNUZ",
    "float8_e5m2fnuz": "f8E5M2FNUZ", "float8_e4m3b11fnuz": "f8E4M3B11FNUZ",
    "float8_e3m4": "f8E3M4", "float8_e4m3": "f8E4M3",
}  # fmt: skip
_CUSTOM_FLOATS = frozenset(n for n in _ELEMENT_NAMES if n.startswith(("bfloat", "float8")))
_DTYPES = {
    mlir_name: np.dtype(getattr(ml_dtypes, name, None) or name)
    for name, mlir_name in _ELEMENT_NAMES.items()
}


_elements: dict[Any, ir.Type] = {}
_tensors: dict[Any, ir.Type] = {}
_avals: dict[ir.Type, ShapedArray] = {}
_storage: dict[ir.Type, ir.Type] = {}
_attributes: dict[Any, ir.Attribute] = {}


def ranked_tensor(shape: list[int], element: ir.Type) -> ir.Type:
    """`tensor<...>` of any element type."""
    return ir.RankedTensorType.get(shape, element, loc=UNKNOWN)


def scalar_type(dtype: Any) -> ir.Type:
    """The MLIR element type of a dtype, signedness kept: uint32 -> `ui32`."""
    found = _elements.get(dtype)
    if found is None:
        if isinstance(dtype, KeyDtype):
            text = "!lax.key"
        elif dtype == float0:  # no data; `i1` is what JAX passes across a call for it
            text = "i1"
        else:
            text = _ELEMENT_NAMES[np.dtype(dtype).name]
        found = _elements[dtype] = ir.Type.parse(text, CONTEXT)
    return found


def tensor_type(aval: Any) -> ir.Type:
    """The MLIR tensor type of an aval; the weak type is not represented."""
    key = (aval.shape, aval.dtype)
    found = _tensors.get(key)
    if found is None:
        element = scalar_type(aval.dtype)
        found = _tensors[key] = ranked_tensor(list(aval.shape), element)
    return found


def dtype_of(element: ir.Type) -> Any:
    """The dtype of an MLIR element type; signless integers are signed."""
    name = str(element)
    return KEY if name == "!lax.key" else _DTYPES[name]


def aval_of(mlir_type: ir.Type) -> ShapedArray:
    """The aval of a tensor type.

    Raises:
      TypeError: for a type that is no array's.
    """
    found = _avals.get(mlir_type)
    if found is None:
        found = _avals[mlir_type] = _aval_of(mlir_type)
    return found


def _aval_of(mlir_type: ir.Type) -> ShapedArray:
    if not isinstance(mlir_type, ir.RankedTensorType) or not mlir_type.has_static_shape:
        raise TypeError(f"expected a tensor of a known shape, got {mlir_type}")
    element = mlir_type.element_type
    if str(element) not in _DTYPES and str(element) != "!lax.key":
        raise TypeError(f"expected a tensor of numbers of a known dtype, got {mlir_type}")
    return ShapedArray(tuple(mlir_type.shape), dtype_of(element))


def storage_type(mlir_type: ir.Type) -> ir.Type:
    """What a type is below the `lax` stage: no signedness, keys as i64. Tensors and scalars."""
    found = _storage.get(mlir_type)
    if found is None:
        found = _storage[mlir_type] = _storage_type(mlir_type)
    return found


def _storage_type(mlir_type: ir.Type) -> ir.Type:
    if isinstance(mlir_type, ir.RankedTensorType):
        element = _storage_type(mlir_type.element_type)
        return ranked_tensor(list(mlir_type.shape), element)
    if isinstance(mlir_type, ir.IntegerType):
        narrow = 1 < mlir_type.width < 8  # NumPy keeps an int4 in a byte
        return ir.IntegerType.get_signless(8 if narrow else mlir_type.width)
    if str(mlir_type) == "!lax.key":
        return ir.IntegerType.get_signless(64)
    return mlir_type


# -- attributes ----------------------------------------------------------------------------------


def dense(value: np.ndarray) -> ir.DenseElementsAttr:
    """A constant's value; a single element is stored as a splat."""
    value = np.asarray(value, order="C")
    element = scalar_type(value.dtype)
    if value.size > 1 and value.dtype.kind != "c" and _is_splat(value):
        one = ir.DenseElementsAttr.get(_buffer(value.reshape(-1)[:1]), type=element, shape=(1,))
        return ir.DenseElementsAttr.get_splat(tensor_type(value), one.get_splat_value())
    return ir.DenseElementsAttr.get(_buffer(value), type=element, shape=value.shape)


def _is_splat(value: np.ndarray) -> bool:
    return value.itemsize <= 8 and value.tobytes() == value.reshape(-1)[:1].tobytes() * value.size


def _buffer(value: np.ndarray) -> np.ndarray:
    """The array under a type whose buffer format the bindings know."""
    if value.dtype == np.bool_ or value.dtype.name in _CUSTOM_FLOATS:
        return value.view(f"u{value.itemsize}")
    return value


def array_attr(value: np.ndarray) -> ir.Attribute:
    """An array as an attribute that `constant_array` can read.

    The bindings cannot read dense attributes of complex numbers: these are kept as pairs of floats.
    """
    value = np.asarray(value, order="C")
    if value.dtype.kind != "c":
        return dense(value)
    part = np.dtype(f"f{value.dtype.itemsize // 2}")
    return ir.DictAttr.get({"complex": dense(value.reshape(*value.shape, 1).view(part))})


def constant_array(attr: ir.Attribute) -> np.ndarray:
    """The value of an `array_attr` as an array that owns its memory."""
    if isinstance(attr, ir.DictAttr):
        pairs = constant_array(attr["complex"])
        whole = np.dtype(f"c{pairs.dtype.itemsize * 2}")
        return np.ascontiguousarray(pairs).view(whole).reshape(pairs.shape[:-1])
    aval = aval_of(attr.type)
    try:
        view = np.asarray(memoryview(attr))
    except (BufferError, ValueError):  # bf16 and fp8 have no buffer format
        return _array_from_text(str(attr), aval)
    return np.array(view, dtype=aval.dtype).reshape(aval.shape)


def _array_from_text(text: str, aval: ShapedArray) -> np.ndarray:
    body = text[len("dense<") : text.rindex("> :")]
    if body.startswith('"0x'):  # how MLIR prints arrays of more than 100 elements
        data = np.frombuffer(bytes.fromhex(body[3:-1]), dtype=aval.dtype)
    else:
        words = re.findall(r"[^][,\s]+", body)
        data = np.array([_parse_float(w, aval.dtype) for w in words], aval.dtype)
    if data.size == 1 and aval.size != 1:
        return np.full(aval.shape, data[0], aval.dtype)
    return data.reshape(aval.shape).copy()


def _parse_float(word: str, dtype: np.dtype) -> Any:
    if not word.startswith("0x"):
        return np.float64(word).astype(dtype)
    return np.array(int(word, 16), f"u{dtype.itemsize}").view(dtype)[()]


def to_attr(value: Any) -> ir.Attribute:
    """The attribute that stands for a parameter's value.

    Args:
      value: None, bool, int, float, complex, str, np.dtype, KeyDtype, ndarray, a tuple or list of
        these, or a NamedTuple, frozen dataclass or enum member declared in `opset/params.py`.

    Raises:
      TypeError: for a value of any other kind.
    """
    kind = type(value)
    if kind in _CACHED_KINDS:
        found = _attributes.get((kind, value))
        if found is None:
            found = _attributes[kind, value] = _scalar_attr(value)
        return found
    if kind is tuple:
        return ir.ArrayAttr.get([to_attr(item) for item in value])
    if kind is list:
        return ir.DictAttr.get({"list": ir.ArrayAttr.get([to_attr(item) for item in value])})
    if isinstance(value, float):
        return ir.FloatAttr.get(ir.F64Type.get(), value)
    if isinstance(value, complex):
        return ir.DictAttr.get({"re": to_attr(value.real), "im": to_attr(value.imag)})
    if isinstance(value, np.dtype | KeyDtype):
        return ir.TypeAttr.get(scalar_type(value))
    if isinstance(value, np.ndarray):
        return array_attr(value)
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return to_attr(value.item())
    if isinstance(value, enum.Enum):
        return ir.DictAttr.get({"enum": _name_attr(kind), "member": to_attr(value.name)})
    if hasattr(value, "_fields"):
        fields = {name: to_attr(getattr(value, name)) for name in value._fields}
        return ir.DictAttr.get({"record": _name_attr(kind), **fields})
    if dataclasses.is_dataclass(value):
        names = [f.name for f in dataclasses.fields(value)]
        fields = {name: to_attr(getattr(value, name)) for name in names}
        return ir.DictAttr.get({"record": _name_attr(kind), **fields})
    raise TypeError(f"no MLIR attribute for a parameter of type {kind.__name__}: {value!r}")


_CACHED_KINDS = frozenset({int, bool, str, type(None)})


def _scalar_attr(value: Any) -> ir.Attribute:
    if value is None:
        return ir.UnitAttr.get()
    if isinstance(value, bool):
        return ir.BoolAttr.get(value)
    if isinstance(value, str):
        return ir.StringAttr.get(value)
    if -(2**63) <= value < 2**63:
        return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)
    return ir.DictAttr.get({"int": ir.StringAttr.get(str(value))})


def _name_attr(kind: type) -> ir.Attribute:
    if getattr(opset_params, kind.__name__, None) is not kind:
        raise TypeError(f"{kind.__name__} is not declared in opset/params.py")
    return ir.StringAttr.get(kind.__name__)


def from_attr(attr: ir.Attribute) -> Any:
    """The parameter that `to_attr` made the attribute of."""
    reader = _READERS.get(type(attr))
    if reader is None:
        raise TypeError(f"no parameter value for the attribute {attr}")
    return reader(attr)


def _from_dict(attr: ir.DictAttr) -> Any:
    fields = {named.name: named.attr for named in attr}
    if "complex" in fields:
        return constant_array(attr)
    if "list" in fields:
        return list(from_attr(fields["list"]))
    if "int" in fields:
        return int(from_attr(fields["int"]))
    if "re" in fields:
        return complex(from_attr(fields["re"]), from_attr(fields["im"]))
    if "enum" in fields:
        return getattr(opset_params, from_attr(fields["enum"]))[from_attr(fields["member"])]
    kind = getattr(opset_params, from_attr(fields.pop("record")))
    return kind(**{name: from_attr(field) for name, field in fields.items()})


_READERS = {
    ir.IntegerAttr: lambda a: a.value,
    ir.BoolAttr: lambda a: a.value,
    ir.FloatAttr: lambda a: a.value,
    ir.StringAttr: lambda a: a.value,
    ir.UnitAttr: lambda a: None,
    ir.ArrayAttr: lambda a: tuple(from_attr(item) for item in a),
    ir.TypeAttr: lambda a: dtype_of(a.value),
    ir.DictAttr: _from_dict,
    ir.DenseElementsAttr: constant_array,
    ir.DenseIntElementsAttr: constant_array,
    ir.DenseFPElementsAttr: constant_array,
}


# -- locations, bytecode -------------------------------------------------------------------------


def location(file: str | None, line: int = 0, column: int = 0, name: str = "") -> ir.Location:
    """A source position in the user's program, labelled with the name stack (`jit(f)/sin`)."""
    if file is None:
        return ir.Location.name(name) if name else ir.Location.unknown()
    frame = ir.Location.file(file, line, column)
    return ir.Location.name(name, frame) if name else frame


def to_bytecode(module: ir.Module) -> bytes:
    """The module as MLIR bytecode: what IREE's compiler reads."""
    buffer = io.BytesIO()
    module.operation.write_bytecode(buffer)
    return buffer.getvalue()


def load_stablehlo() -> None:
    """Register StableHLO in the context; a second call does nothing."""
    if not _stablehlo_loaded:
        from torch_mlir._mlir_libs import _stablehlo

        _stablehlo.register_dialect(CONTEXT)
        _stablehlo_loaded.append(True)


_stablehlo_loaded: list[bool] = []


def to_portable_stablehlo(module: ir.Module) -> bytes:
    """A StableHLO module in the encoding that readers of the last twelve weeks and later take."""
    from torch_mlir._mlir_libs import _stablehlo

    weeks = _stablehlo.StablehloCompatibilityRequirement.WEEK_12
    version = _stablehlo.get_version_from_compatibility_requirement(weeks)
    return _stablehlo.serialize_portable_artifact(module, version)


def from_portable_stablehlo(data: bytes) -> ir.Module:
    """The StableHLO module in the portable encoding.

    Raises:
      CompileError: not StableHLO, or of a version later than the bindings'.
    """
    from torch_mlir._mlir_libs import _stablehlo

    load_stablehlo()
    said: list[str] = []  # the binding's exception has no reason

    def listen(diagnostic: Any) -> bool:
        said.append(diagnostic.message)
        return True

    handler = CONTEXT.attach_diagnostic_handler(listen)
    try:
        return _stablehlo.deserialize_portable_artifact(CONTEXT, data)
    except (ValueError, RuntimeError, ir.MLIRError):
        message = "; ".join(said) or "not StableHLO in the portable encoding"
        raise CompileError("stablehlo", [Diagnostic("error", message)]) from None
    finally:
        handler.detach()


def dimension_numbers(attr: ir.Attribute) -> Any:
    """The dimension numbers of a StableHLO gather, scatter, convolution or contraction, with the
    binding's fields (`offset_dims`, ...)."""
    from torch_mlir._mlir_libs import _stablehlo

    for name in ("Gather", "Scatter", "Conv", "Dot"):
        kind = getattr(_stablehlo, f"{name}DimensionNumbers")
        if kind.isinstance(attr):
            return kind(attr)
    raise TypeError(f"not dimension numbers: {attr}")
