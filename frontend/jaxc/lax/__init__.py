"""`jax.lax`: the primitives as functions, without implicit promotion, and control flow.

One line for each family module, alphabetical.
"""

from jaxc.lax.contraction import batch_matmul, dot, dot_general, dot_general_p
from jaxc.lax.convolution import (
    conv,
    conv_dimension_numbers,
    conv_general_dilated,
    conv_general_dilated_local,
    conv_general_dilated_p,
    conv_general_dilated_patches,
    conv_general_permutations,
    conv_general_shape_tuple,
    conv_shape_tuple,
    conv_transpose,
    conv_transpose_shape_tuple,
    conv_with_general_padding,
    padtype_to_pads,
)
from jaxc.lax.convolution_rules import merge_axis as _merge_axis  # noqa: F401  (fills the tables)
from jaxc.lax.indexing import (
    dynamic_index_in_dim,
    dynamic_slice,
    dynamic_slice_in_dim,
    dynamic_slice_p,
    dynamic_update_index_in_dim,
    dynamic_update_slice,
    dynamic_update_slice_in_dim,
    dynamic_update_slice_p,
    gather,
    gather_p,
    index_take,
)
from jaxc.lax.joining import (
    concatenate,
    index_in_dim,
    pad,
    slice,
    slice_in_dim,
    split,
    stack,
    unstack,
)
from jaxc.lax.scatter import (
    scatter,
    scatter_add,
    scatter_add_p,
    scatter_apply,
    scatter_max,
    scatter_max_p,
    scatter_min,
    scatter_min_p,
    scatter_mul,
    scatter_mul_p,
    scatter_p,
    scatter_sub,
    scatter_sub_p,
)
from jaxc.lax.shape import (
    broadcast,
    broadcast_in_dim,
    broadcast_in_dim_p,
    broadcast_like,
    broadcast_shapes,
    broadcast_to_rank,
    broadcasted_iota,
    collapse,
    concatenate_p,
    copy_p,
    expand_dims,
    full,
    full_like,
    iota,
    iota_p,
    pad_p,
    reshape,
    reshape_p,
    rev,
    rev_p,
    shape_as_value,
    slice_p,
    split_p,
    squeeze,
    squeeze_p,
    stack_p,
    tile,
    tile_p,
    transpose,
    transpose_p,
    unstack_p,
)
from jaxc.lax.sorting import sort, sort_key_val, sort_p, top_k, top_k_p
from jaxc.lax.windows import (
    reduce_window,
    reduce_window_max_p,
    reduce_window_min_p,
    reduce_window_p,
    reduce_window_shape_tuple,
    reduce_window_sum_p,
    select_and_gather_add_p,
    select_and_scatter_add_p,
)
from jaxc_compiler.opset.params import (
    ConvDimensionNumbers,
    GatherDimensionNumbers,
    GatherScatterMode,
    Precision,
    RandomAlgorithm,
    ScatterDimensionNumbers,
)
