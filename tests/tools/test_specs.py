"""What users type: shapes and values."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from jaxc_tools.errors import UsageError
from jaxc_tools.specs import ArgSpec, parse_args, parse_input


def test_parse_args():
    f32 = np.dtype(np.float32)
    assert parse_args("") == ()
    assert parse_args("f32[8,3], i32[]") == (
        ArgSpec((8, 3), f32),
        ArgSpec((), np.dtype(np.int32)),
    )
    assert parse_args("float32[0]") == (ArgSpec((0,), f32),)
    assert parse_args("bf16[2]")[0].dtype == ml_dtypes.bfloat16
    assert parse_args("{w: f32[3], b: (f32[], None)}, [f32[1]]") == (
        {"w": ArgSpec((3,), f32), "b": (ArgSpec((), f32), None)},
        [ArgSpec((1,), f32)],
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g32[3]", "unknown dtype 'g32'"),
        ("f32", "expected '\\[', got 'the end'"),
        ("f32[3", "expected ',', got 'the end'|expected '\\]'|got 'the end'"),
        ("f32[x]", "expected a dimension, got 'x'"),
        ("f32[3] f32[4]", "expected ','"),
        ("f32[-1]", "unexpected '-'"),
        ("8", "expected a shape"),
        ("f32[3],", "expected a shape"),
        ("{w f32[3]}", "expected ':'"),
        ("(f32[3]", "got 'the end'"),
    ],
)
def test_bad_args(text, message):
    with pytest.raises(UsageError, match=message):
        parse_args(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f32[3]=1,2,3", np.array([1, 2, 3], np.float32)),
        ("f32[2,2]=0.5", np.full((2, 2), 0.5, np.float32)),
        ("i32[]=-7", np.array(-7, np.int32)),
        ("bool[2]=true,false", np.array([True, False])),
        ("c64[1]=1+2j", np.array([1 + 2j], np.complex64)),
        ("f32[0]=", np.zeros(0, np.float32)),
        ("f32[2]=nan,-inf", np.array([np.nan, -np.inf], np.float32)),
        ("3", np.array(3, np.int32)),
        ("3.5", np.array(3.5, np.float32)),
    ],
)
def test_parse_input(text, expected):
    got = parse_input(text)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def test_numbers_take_the_dtype_of_the_program():
    assert parse_input("3", np.dtype(np.float16)).dtype == np.float16


def test_input_files(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.arange(3))
    np.testing.assert_array_equal(parse_input(str(path)), np.arange(3))
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(UsageError, match="plain numbers"):
        parse_input(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f32[3]=1,2", "3 values \\(or one\\) expected, got 2"),
        ("f32[3]=1,2,x", "must be numbers"),
        ("q8[1]=1", "unknown dtype 'q8'"),
        ("missing.npy", "No such file"),
    ],
)
def test_bad_input(text, message):
    with pytest.raises(UsageError, match=message):
        parse_input(text)
