"""Arguments of other dtypes: integers by value or not at all, and messages that name the leaf."""

from __future__ import annotations

import warnings

import ml_dtypes
import numpy as np
import pytest

from jaxc_runtime import ArraySpec
from jaxc_runtime.conversion import as_array


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (3, "uint32"), ([1, 2], "uint8"), ([[0, 2**64 - 1]], "uint64"), ((-8, 7), "int4"),
        (np.array([200], np.uint8), "int16"), (np.int64(-128), "int8"), ([], "int32"),
        ([True, 2], "int8"), (2**70, "float32"), (2**70, "bfloat16"), (5, "complex64"),
        (np.array([1.5]), "bfloat16"), (ml_dtypes.bfloat16(1.5), "float32"),
        (np.array([3], ml_dtypes.int4), "int8"), (np.zeros(2, ">f4"), "float32"),
    ],
)  # fmt: skip
def test_values_stay(value, dtype):
    shape = np.shape(value)
    got = as_array(value, ArraySpec(shape, dtype), "x")
    assert (got.dtype.name, got.shape) == (dtype, shape)
    assert got.ravel().tolist() == np.asarray(value, object).ravel().tolist()


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (300, "int8", r"x: expected int8\[\], got 300: not in -128 to 127"),
        (-1, "uint64", r"got -1: not in 0 to 18446744073709551615"),
        (2**40, "int32", r"got 1099511627776: not in"),
        (np.array([0, 2**40]), "int32", r"x: expected int32\[2\], got 1099511627776: not in"),
        (np.uint8(200), "int8", "got 200: not in"),
        ([2**63, -1], "uint64", "got -1: not in"),
        (8, "int4", "got 8: not in -8 to 7"),
        (2**2000, "float32", r"x: expected float32\[\], got a larger number"),
    ],
)
def test_integers_out_of_range(value, dtype, message):
    with pytest.raises(OverflowError, match=message):
        as_array(value, ArraySpec(np.shape(value), dtype), "x")


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (np.array([1]), "uint8", "got dtype int64"), (3.0, "int32", "got dtype float64"),
        (1, "bool", "got dtype int64"), (3.5, "int4", "got dtype float64"),
        (1j, "bfloat16", "got dtype complex128"), ("text", "float32", "got dtype <U4"),
        (None, "float32", "got dtype object"), (np.zeros(1, [("a", "f4")]), "float32", "got dtype"),
    ],
)  # fmt: skip
def test_dtypes_of_a_later_kind(value, dtype, message):
    with pytest.raises(TypeError, match=f"^x: expected .*{message}"):
        as_array(value, ArraySpec(np.shape(value), dtype), "x")


def test_shapes():
    with pytest.raises(ValueError, match=r"^x: expected int8\[2\], got shape \(1,\)"):
        as_array([1], ArraySpec((2,), "int8"), "x")
    with pytest.raises(ValueError, match=r"^x: expected int8\[2\], got lists of different lengths"):
        as_array([[1], [1, 2]], ArraySpec((2,), "int8"), "x")


def test_floats_that_are_too_large_are_infinite_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = as_array([1e300, -1e300], ArraySpec((2,), "float32"), "x")
    assert got.tolist() == [np.inf, -np.inf]
