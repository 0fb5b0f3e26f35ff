"""jaxc: JAX's programming model on an MLIR compiler.

`import jaxc as jax` gives what `import jax` gives: transformations of pure functions of arrays.
Eager operations run on NumPy kernels; `jit` compiles through MLIR to IREE. Neither MLIR nor IREE is
loaded until something is compiled.
"""

import jaxc.core.source as _source
from jaxc import dtypes, errors, lax, nn, numpy, random, scipy, tree, tree_util
from jaxc.core import devices as _devices
from jaxc.core.array import Array
from jaxc.core.config import config
from jaxc.core.config import flag_context as _flag_context
from jaxc.core.devices import (
    Device,
    default_backend,
    device_count,
    devices,
    local_device_count,
    local_devices,
    process_count,
    process_index,
)
from jaxc.core.placement import block_until_ready, device_get, device_put, live_arrays
from jaxc.core.trace import ensure_compile_time_eval, typeof
from jaxc.transforms.api import (
    closure_convert,
    eval_shape,
    grad,
    hessian,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    linear_transpose,
    linearize,
    make_jaxpr,
    pmap,
    value_and_grad,
    vjp,
    vmap,
)
from jaxc.transforms.custom_jvp import custom_jvp
from jaxc.transforms.custom_vjp import custom_gradient, custom_vjp
from jaxc.transforms.jit import clear_caches, jit, pipeline
from jaxc.transforms.remat import checkpoint, checkpoint_policies
from jaxc.transforms.stages import ShapeDtypeStruct

named_scope = _source.named_scope
named_call = lambda fun, *, name=None: _source.named(fun, name)  # noqa: E731
remat = checkpoint
enable_x64 = _flag_context("jax_enable_x64")
disable_jit = _flag_context("jax_disable_jit")
debug_nans = _flag_context("jax_debug_nans")
debug_infs = _flag_context("jax_debug_infs")
default_matmul_precision = _flag_context("jax_default_matmul_precision")
numpy_dtype_promotion = _flag_context("jax_numpy_dtype_promotion")
numpy_rank_promotion = _flag_context("jax_numpy_rank_promotion")
threefry_partitionable = _flag_context("jax_threefry_partitionable")
default_device = _flag_context("jax_default_device")
default_prng_impl = _flag_context("jax_default_prng_impl")
check_tracer_leaks = _flag_context("jax_check_tracer_leaks")
checking_leaks = check_tracer_leaks
transfer_guard = _flag_context("jax_transfer_guard")
process_indices = lambda backend=None: [0]  # noqa: E731

__version__ = "0.10.2"  # the version of JAX whose behaviour this is
__version_info__ = (0, 10, 2)

from jaxc import (  # noqa: E402
    ad_checkpoint,
    core,
    custom_derivatives,
    flatten_util,
    ops,
    profiler,
    sharding,
    stages,
    typing,
)

__all__ = [
    "Array", "Device", "ShapeDtypeStruct", "ad_checkpoint", "block_until_ready",
    "check_tracer_leaks", "checking_leaks", "checkpoint",
    "checkpoint_policies", "clear_caches", "closure_convert", "config", "core",
    "custom_derivatives", "custom_gradient", "custom_jvp", "custom_vjp", "debug_infs", "debug_nans",
    "default_backend", "default_device", "default_matmul_precision", "default_prng_impl",
    "device_count", "device_get", "device_put", "devices", "disable_jit", "dtypes", "enable_x64",
    "ensure_compile_time_eval", "errors", "eval_shape", "flatten_util", "grad", "hessian", "jacfwd",
    "jacobian", "jacrev", "jit", "jvp", "lax", "linear_transpose", "linearize", "live_arrays",
    "local_device_count", "local_devices", "make_jaxpr", "named_call", "named_scope", "nn", "numpy",
    "numpy_dtype_promotion", "numpy_rank_promotion", "ops", "pipeline", "pmap", "process_count",
    "process_index", "process_indices", "profiler", "random", "remat", "scipy", "sharding",
    "stages", "threefry_partitionable", "transfer_guard", "tree", "tree_util", "typeof", "typing",
    "value_and_grad", "vjp", "vmap",
]  # fmt: skip
