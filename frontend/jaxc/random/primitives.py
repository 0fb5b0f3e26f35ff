"""The random primitives and their rules.

None has a derivative but `random_gamma`; all batch along leading axes of the keys. The primitives
take the stream (`jax_threefry_partitionable`) from the configuration when they run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc.core.config import config
from jaxc.core.primitive import Primitive, primitive
from jaxc.transforms import ad, batching

random_seed_p = primitive("random_seed")
random_split_p = primitive("random_split")
random_fold_in_p = primitive("random_fold_in")
random_bits_p = primitive("random_bits")
random_wrap_p = primitive("random_wrap")
random_unwrap_p = primitive("random_unwrap")
random_clone_p = primitive("random_clone")
threefry2x32_p = primitive("threefry2x32")


def _with_stream(prim: Primitive) -> Callable[..., np.ndarray]:
    kernel = prim.op.numpy

    def run(keys: np.ndarray, **params: Any) -> np.ndarray:
        return kernel(keys, partitionable=config.jax_threefry_partitionable, **params)

    run.__name__ = prim.name
    return run


random_bits_p.kernel = _with_stream(random_bits_p)
random_split_p.kernel = _with_stream(random_split_p)


def random_wrap_batch(args: Any, dims: Any, *, impl: str) -> tuple[Any, int]:
    (words,), (dim,) = args, dims
    return random_wrap_p.bind(batching.moveaxis(words, dim, 0), impl=impl), 0


for _prim in (random_seed_p, random_split_p, random_bits_p, random_unwrap_p, random_clone_p):
    ad.defjvp_zero(_prim)
    batching.defvectorized(_prim)
for _prim in (random_fold_in_p, random_wrap_p):
    ad.defjvp_zero(_prim)
batching.defbroadcasting(random_fold_in_p)
batching.defbroadcasting(threefry2x32_p)
batching.primitive_batchers[random_wrap_p] = random_wrap_batch
