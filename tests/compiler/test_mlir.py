"""Types and parameters survive the way to MLIR and back."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from jaxc_compiler.opset.avals import KeyDtype, ShapedArray
from jaxc_compiler.opset.params import GatherDimensionNumbers, GatherScatterMode

pytestmark = pytest.mark.compiler

DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
    "bfloat16", "float32", "float64", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2",
]  # fmt: skip
PARAMS = [
    None, True, False, 0, 1, -5, 2**63, 1.0, -0.0, float("inf"), "text", 'quote " and \n', (),
    (1, 2),
    (1, (True, None)), [1, [2]], (((1,), (0,)), ((), ())), 1 + 2j, np.dtype("float32"),
    np.dtype("uint32"), np.dtype(bool), np.dtype(ml_dtypes.bfloat16), KeyDtype("fry"),
    GatherDimensionNumbers((0,), (1,), (2,)), GatherScatterMode.CLIP,
]  # fmt: skip


@pytest.fixture(autouse=True)
def in_context():
    from jaxc_compiler import mlir

    with mlir.LOCK, mlir.CONTEXT, mlir.ir.Location.unknown():
        yield


@pytest.mark.parametrize("value", PARAMS, ids=repr)
def test_parameter_round_trip(value):
    from jaxc_compiler import mlir

    result = mlir.from_attr(mlir.to_attr(value))
    assert type(result) is type(value)
    assert repr(result) == repr(value)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2), (0, 2), (150,)])
@pytest.mark.parametrize("splat", [False, True])
def test_array_round_trip(name, shape, splat):
    from jaxc_compiler import mlir

    dtype = np.dtype(getattr(ml_dtypes, name, None) or name)
    size = int(np.prod(shape))
    values = np.ones(size) if splat else np.arange(size) % 7
    array = values.reshape(shape).astype(dtype)
    result = mlir.constant_array(mlir.array_attr(array))
    assert result.dtype == array.dtype
    assert result.shape == array.shape
    assert result.tobytes() == array.tobytes()


def test_nan_and_infinity_round_trip():
    from jaxc_compiler import mlir

    for dtype in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64):
        array = np.array([np.nan, np.inf, -np.inf, -0.0]).astype(dtype)
        result = mlir.constant_array(mlir.array_attr(array))
        np.testing.assert_array_equal(result.astype(float), array.astype(float))
        assert np.signbit(result.astype(float)[3])


def test_types_of_avals():
    from jaxc_compiler import mlir

    cases = {
        "tensor<2x3xf32>": ShapedArray((2, 3), np.float32),
        "tensor<ui32>": ShapedArray((), np.uint32),
        "tensor<4xi1>": ShapedArray((4,), np.bool_),
        "tensor<4x!lax.key>": ShapedArray((4,), KeyDtype("fry")),
    }
    from jaxc_compiler.dialects import lax

    lax.load()
    for text, aval in cases.items():
        assert str(mlir.tensor_type(aval)) == text
        assert mlir.aval_of(mlir.tensor_type(aval)) == aval
    assert str(mlir.storage_type(mlir.tensor_type(cases["tensor<ui32>"]))) == "tensor<i32>"
    assert str(mlir.storage_type(mlir.tensor_type(cases["tensor<4x!lax.key>"]))) == "tensor<4xi64>"


def test_unknown_parameter_is_an_error():
    from jaxc_compiler import mlir

    with pytest.raises(TypeError, match="object"):
        mlir.to_attr(object())
