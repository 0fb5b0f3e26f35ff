"""Convolutions: values, jaxprs, derivatives and batches as JAX."""

from __future__ import annotations

import numpy as np
import pytest
from lax.differential import case, check, modes, normal

pytestmark = pytest.mark.oracle

IMAGE, KERNEL = normal(2, 3, 6, 5), normal(4, 3, 2, 3)
LAST, LAST_KERNEL = normal(2, 6, 5, 3), normal(2, 3, 3, 4)
LINE, LINE_KERNEL = normal(2, 4, 6), normal(6, 2, 3)


def conv(*args, **params):
    return lambda lax, x, k: lax.conv_general_dilated(x, k, *args, **params)


def transposed(*args, **params):
    return lambda lax, x, k: lax.conv_transpose(x, k, *args, **params)


CASES = [
    case("same", conv((1, 1), "SAME"), IMAGE, KERNEL),
    case("strides", conv((2, 1), "VALID"), IMAGE, KERNEL),
    case("dilations", conv((2, 1), ((1, 0), (2, 1)), (1, 2), (2, 1)), IMAGE, KERNEL),
    case("negative-padding", conv((1, 1), ((-1, 0), (2, -1))), IMAGE, KERNEL),
    case(
        "channels-last",
        conv((1, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")),
        LAST,
        LAST_KERNEL,
    ),
    case("feature-groups", conv((1,), "SAME", feature_group_count=2), LINE, LINE_KERNEL),
    case("depthwise", conv((2,), ((1, 1),), feature_group_count=4), LINE, normal(4, 1, 3)),
    case("batch-groups", conv((1,), "SAME", batch_group_count=2), normal(4, 2, 6), LINE_KERNEL),
    case("same-lower", conv((2,), "same_lower"), LINE, normal(4, 4, 2)),
    case(
        "widened",
        conv((1,), "SAME", preferred_element_type=np.float32),
        LINE.astype("f2"),
        normal(4, 4, 3, dtype="f2"),
    ),
    case("integers", conv((1,), "SAME"), normal(2, 4, 6, dtype="i4"), normal(4, 4, 3, dtype="i4")),
    case("unknown-padding", conv((1,), "some"), LINE, normal(4, 4, 3)),
    case("number-as-padding", conv((1,), 3), LINE, normal(4, 4, 3)),
    case(
        "layout-letters",
        conv((1,), "SAME", dimension_numbers=("NC", "OIW", "NCH")),
        LINE,
        normal(4, 4, 3),
    ),
    case(
        "layout-length",
        conv((1,), "SAME", dimension_numbers=("NCH", "OIW", "NCH")),
        LINE,
        normal(4, 4, 3),
    ),
    case("string-with-dilation", conv((1,), "SAME", (2,)), LINE, normal(4, 4, 3)),
    case("ranks", conv((1,), "SAME"), LINE, normal(4, 4)),
    case("features", conv((1,), "SAME"), LINE, normal(4, 3, 3)),
    case("conv", lambda lax, x, k: lax.conv(x, k, (1, 1), "SAME"), IMAGE, KERNEL, diff=False),
    case("transpose-same", transposed((2, 3), "SAME"), LAST, LAST_KERNEL),
    case("transpose-valid", transposed((2, 3), "VALID"), LAST, LAST_KERNEL, diff=False),
    case(
        "transpose-pairs",
        transposed((2, 3), ((1, 1), (2, 0)), use_consistent_padding=True),
        LAST,
        LAST_KERNEL,
        diff=False,
    ),
    case(
        "transpose-kernel",
        transposed((2, 3), "SAME", transpose_kernel=True),
        LAST,
        normal(2, 3, 4, 3),
        text=False,
    ),
    case(
        "patches",
        lambda lax, x: lax.conv_general_dilated_patches(x, (2, 3), (1, 1), "SAME"),
        IMAGE,
        text=False,
    ),
    case(
        "local",
        lambda lax, x, k: lax.conv_general_dilated_local(x, k, (1,), "VALID", (2,)),
        normal(2, 3, 6),
        normal(4, 6, 5),
        text=False,
    ),
]


@pytest.mark.parametrize(("item", "mode"), modes(CASES))
def test_as_jax(item, mode):
    check(item, mode)
