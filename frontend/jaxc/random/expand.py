"""The random primitives written out on raw uint32 words, for compilation.

`RULES[name](*operands, **params)` takes key arrays as words of shape `(..., 2)` and gives what the
primitive of that name computes; only `threefry2x32` and lax operations remain. Key operations are
the NumPy kernels of the op book once more, so the tests compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxc import lax
from jaxc.core.config import config
from jaxc.random.primitives import threefry2x32_p
from jaxc_compiler.opset.avals import KEY_WORDS
from jaxc_compiler.opset.random import check_words

U32 = np.dtype(np.uint32)
Words = Any


def key_words(keys: Words, extra: int) -> tuple[Any, Any]:
    """Both words of every key, with `extra` unit dimensions to broadcast against counters."""
    check_words(keys.shape[-1])
    words = []
    for i in range(2):
        word = lax.index_in_dim(keys, i, axis=keys.ndim - 1, keepdims=False)
        if word.ndim and extra:
            word = lax.expand_dims(word, tuple(range(word.ndim, word.ndim + extra)))
        words.append(word)
    return words[0], words[1]


def _for_keys(counters: Any, keys: Words) -> Any:
    """Counters with a unit dimension for every dimension of the key array."""
    return lax.expand_dims(counters, tuple(range(keys.ndim - 1)))


def hash_iota(keys: Words, count: int) -> Any:
    """`count` words of the original stream for every key, along a new last axis."""
    half = (count + 1) // 2
    counters = lax.iota(U32, 2 * half)
    if count % 2:  # the last counter is padding, and zero
        last = np.uint32(2 * half - 1)
        counters = lax.select(lax.lt(counters, last), counters, lax.full_like(counters, 0))
    first = lax.slice_in_dim(counters, 0, half)
    second = lax.slice_in_dim(counters, half, 2 * half)
    pair = threefry2x32_p.bind(*key_words(keys, 1), _for_keys(first, keys), _for_keys(second, keys))
    words = lax.concatenate(pair, keys.ndim - 1)
    return lax.slice_in_dim(words, 0, count, axis=keys.ndim - 1) if count % 2 else words


def hash_index(keys: Words, shape: tuple[int, ...]) -> Any:
    """Both words of the partitionable stream for every key and index of `shape`."""
    if math.prod(shape) > 2**32:
        raise NotImplementedError(
            f"random bits of shape {shape}: more than 2**32 elements for one key"
        )
    low = lax.reshape(lax.iota(U32, math.prod(shape)), shape)
    high = lax.full(shape, 0, U32)
    return threefry2x32_p.bind(
        *key_words(keys, len(shape)), _for_keys(high, keys), _for_keys(low, keys)
    )


def random_seed(seeds: Any, *, impl: str) -> Words:
    high = lax.full(seeds.shape, 0, U32)
    if seeds.dtype.itemsize == 8:
        shift = np.asarray(32, seeds.dtype)[()]
        high = lax.convert_element_type(lax.shift_right_logical(seeds, shift), U32)
    low = lax.convert_element_type(seeds, U32)
    words = _stack(high, low)
    return lax.concatenate([words] * (KEY_WORDS[impl] // 2), words.ndim - 1)


def _stack(first: Any, second: Any) -> Any:
    pair = [lax.expand_dims(word, (word.ndim,)) for word in (first, second)]
    return lax.concatenate(pair, pair[0].ndim - 1)


def _by_halves(rule: Callable[..., Words], keys: Words, *args: Any, **params: Any) -> Words:
    """The rule on both Threefry keys of an rbg key."""
    axis = keys.ndim - 1
    halves = [rule(lax.slice_in_dim(keys, i, i + 2, axis=axis), *args, **params) for i in (0, 2)]
    return lax.concatenate(halves, halves[0].ndim - 1)


def random_split(keys: Words, *, shape: tuple[int, ...]) -> Words:
    if keys.shape[-1] == 4:
        return _by_halves(random_split, keys, shape=shape)
    if config.jax_threefry_partitionable:
        return _stack(*hash_index(keys, shape))
    words = hash_iota(keys, 2 * math.prod(shape))
    return lax.reshape(words, (*keys.shape[:-1], *shape, 2))


def random_fold_in(keys: Words, msgs: Any) -> Words:
    if keys.shape[-1] == 4:
        return _by_halves(random_fold_in, keys, msgs)
    k0, k1 = key_words(keys, 0)
    zero = lax.full_like(msgs, 0)
    return _stack(*threefry2x32_p.bind(k0, k1, zero, msgs))


def random_bits(keys: Words, *, bit_width: int, shape: tuple[int, ...]) -> Any:
    expand = _bits_by_index if config.jax_threefry_partitionable else _bits_by_iota
    return expand(keys, bit_width, shape)


def _bits_by_index(keys: Words, bit_width: int, shape: tuple[int, ...]) -> Any:
    dtype = np.dtype(f"uint{bit_width}")
    high, low = hash_index(keys, shape)
    if bit_width == 64:
        return _join(high, low)
    mixed = lax.bitwise_xor(high, low)
    return mixed if bit_width == 32 else lax.convert_element_type(mixed, dtype)


def _join(high: Any, low: Any) -> Any:
    u64 = np.dtype(np.uint64)
    shifted = lax.shift_left(lax.convert_element_type(high, u64), np.uint64(32))
    return lax.bitwise_or(shifted, lax.convert_element_type(low, u64))


def _bits_by_iota(keys: Words, bit_width: int, shape: tuple[int, ...]) -> Any:
    size, axis = math.prod(shape), keys.ndim - 1
    full = (*keys.shape[:-1], *shape)
    words = hash_iota(keys, -(-bit_width * size // 32))
    if bit_width == 32:
        return lax.reshape(words, full)
    if bit_width == 64:
        high = lax.slice_in_dim(words, 0, size, axis=axis)
        return lax.reshape(_join(high, lax.slice_in_dim(words, size, 2 * size, axis=axis)), full)
    parts = 32 // bit_width  # of every word, the low bits first
    shifts = lax.mul(lax.iota(U32, parts), np.uint32(bit_width))
    shifts = lax.expand_dims(shifts, tuple(range(words.ndim)))
    narrow = lax.shift_right_logical(lax.expand_dims(words, (words.ndim,)), shifts)
    narrow = lax.bitwise_and(narrow, np.uint32(2**bit_width - 1))
    flat = lax.reshape(narrow, (*keys.shape[:-1], words.shape[-1] * parts))
    flat = lax.slice_in_dim(flat, 0, size, axis=axis)
    return lax.reshape(lax.convert_element_type(flat, np.dtype(f"uint{bit_width}")), full)


RULES: dict[str, Callable[..., Any]] = {
    "random_bits": random_bits,
    "random_clone": lambda keys: keys,
    "random_fold_in": random_fold_in,
    "random_seed": random_seed,
    "random_split": random_split,
    "random_unwrap": lambda keys: keys,
    "random_wrap": lambda words, *, impl: words,
}
