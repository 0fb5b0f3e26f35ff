"""Counter-based random bits: the Threefry-2x32 hash and the key operations built on it.

A key array of shape `s` is stored as uint32 words of shape `s + (2,)`. `random_bits` and
`random_split` have two streams, JAX's `jax_threefry_partitionable` off (the kernels' default) and
on; the frontend passes the flag, since an op's parameters do not hold it. Imports NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxc_compiler.opset.avals import KEY_WORDS, KeyDtype, ShapedArray
from jaxc_compiler.opset.op import Sample, define

U32 = np.dtype(np.uint32)
UINTS = {width: np.dtype(f"uint{width}") for width in (8, 16, 32, 64)}

# The two halves of a block go through 20 rounds of add, rotate, xor, with a key word added to each
# after every four rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA
_MASK = 0xFFFFFFFF
_FEW_BLOCKS = 6  # below it Python integers are faster than 130 ufunc calls
_CHUNK = 1 << 14  # blocks whose words and temporaries stay in the L2 cache


def hash_block(k0: int, k1: int, x0: int, x1: int) -> tuple[int, int]:
    """One block of the hash in Python integers."""
    keys = (k0, k1, k0 ^ k1 ^ PARITY)
    x0, x1 = (x0 + k0) & _MASK, (x1 + k1) & _MASK
    for step in range(5):
        for r in ROTATIONS[step % 2]:
            x0 = (x0 + x1) & _MASK
            x1 = (((x1 << r) | (x1 >> (32 - r))) & _MASK) ^ x0
        x0 = (x0 + keys[(step + 1) % 3]) & _MASK
        x1 = (x1 + keys[(step + 2) % 3] + step + 1) & _MASK
    return x0, x1


def _hash_into(k0: Any, k1: Any, x0: np.ndarray, x1: np.ndarray, spare: np.ndarray) -> None:
    """The hash of `(x0, x1)` in place."""
    keys = (k0, k1, k0 ^ k1 ^ U32.type(PARITY))
    x0 += k0
    x1 += k1
    for step in range(5):
        for r in ROTATIONS[step % 2]:
            x0 += x1
            np.left_shift(x1, U32.type(r), out=spare)
            np.right_shift(x1, U32.type(32 - r), out=x1)
            x1 |= spare
            x1 ^= x0
        x0 += keys[(step + 1) % 3]
        x1 += keys[(step + 2) % 3] + U32.type(step + 1)


def hash_blocks(k0: Any, k1: Any, x0: np.ndarray, x1: np.ndarray) -> None:
    """The hash in place of uint32 words `x0`, `x1`; keys broadcast to them."""
    if x0.size <= _CHUNK or np.ndim(k0):
        _hash_into(k0, k1, x0, x1, np.empty_like(x0))
        return
    flat0, flat1 = x0.reshape(-1), x1.reshape(-1)
    spare = np.empty(_CHUNK, U32)
    for start in range(0, flat0.size, _CHUNK):
        part0, part1 = flat0[start : start + _CHUNK], flat1[start : start + _CHUNK]
        _hash_into(k0, k1, part0, part1, spare[: part0.size])


def _hash_counts(k0: int, k1: int, first: list[int], second: list[int]) -> np.ndarray:
    pairs = [hash_block(k0, k1, a, b) for a, b in zip(first, second)]
    return np.array([[p[0] for p in pairs], [p[1] for p in pairs]], U32)


def check_words(words: int) -> None:
    """Refuse keys of another generator: their bits are not those of Threefry."""
    if words != 2:
        raise NotImplementedError(
            "random bits of an rbg or unsafe_rbg key: only keys of threefry2x32 give bits"
        )


def hash_iota(keys: np.ndarray, count: int) -> np.ndarray:
    """`count` words of the original stream for every key: shape `keys.shape[:-1] + (count,)`.

    The counters 0..count-1 are cut into two halves, the first words and the second words of the
    blocks; an odd count is padded with a zero counter whose word is dropped.
    """
    check_words(keys.shape[-1])
    half = (count + 1) // 2
    if half == 0:
        return np.empty(keys.shape[:-1] + (0,), U32)
    if keys.ndim == 1 and half <= _FEW_BLOCKS:
        second = [*range(half, count), *([0] * (count % 2))]
        out = _hash_counts(int(keys[0]), int(keys[1]), list(range(half)), second)
        return out.reshape(-1)[:count]
    words = np.empty(keys.shape[:-1] + (2, half), U32)
    words[..., 0, :] = np.arange(half, dtype=U32)
    words[..., 1, : count - half] = np.arange(half, count, dtype=U32)
    words[..., 1, count - half :] = 0
    _hash_keyed(keys, words[..., 0, :], words[..., 1, :], 1)
    return words.reshape(keys.shape[:-1] + (2 * half,))[..., :count]


def hash_index(keys: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Both words of the partitionable stream: the counter is the element's 64-bit linear index."""
    check_words(keys.shape[-1])
    size = math.prod(shape)
    if keys.ndim == 1 and size <= _FEW_BLOCKS:
        low = list(range(size))
        out = _hash_counts(int(keys[0]), int(keys[1]), [0] * size, low)
        return out[0].reshape(shape), out[1].reshape(shape)
    x0 = np.zeros(keys.shape[:-1] + (size,), U32)
    x1 = np.empty(keys.shape[:-1] + (size,), U32)
    if size > _MASK:
        index = np.arange(size, dtype=np.uint64)
        x0[...], x1[...] = index >> np.uint64(32), index & np.uint64(_MASK)
    else:
        x1[...] = np.arange(size, dtype=U32)
    _hash_keyed(keys, x0, x1, 1)
    full = keys.shape[:-1] + shape
    return x0.reshape(full), x1.reshape(full)


def _hash_keyed(keys: np.ndarray, x0: np.ndarray, x1: np.ndarray, extra: int) -> None:
    """Hash with one key for each of the leading indices, in place."""
    if keys.ndim == 1:
        hash_blocks(keys[0], keys[1], x0, x1)
        return
    shape = keys.shape[:-1] + (1,) * extra
    hash_blocks(keys[..., 0].reshape(shape), keys[..., 1].reshape(shape), x0, x1)


# threefry2x32


def threefry2x32_infer(*avals: ShapedArray) -> list[ShapedArray]:
    if any(aval.dtype != U32 for aval in avals):
        got = ", ".join(str(aval) for aval in avals)
        raise TypeError(f"threefry2x32 takes uint32 operands, got {got}.")
    shape = np.broadcast_shapes(*[aval.shape for aval in avals])
    return [ShapedArray(shape, U32), ShapedArray(shape, U32)]


def threefry2x32_numpy(k0: Any, k1: Any, x0: Any, x1: Any) -> list[np.ndarray]:
    shape = np.broadcast_shapes(np.shape(k0), np.shape(k1), np.shape(x0), np.shape(x1))
    if shape == ():
        words = hash_block(int(k0), int(k1), int(x0), int(x1))
        return [np.array(word, U32) for word in words]
    x0, x1 = np.array(np.broadcast_to(x0, shape)), np.array(np.broadcast_to(x1, shape))
    if np.ndim(k0) == 0 and np.ndim(k1) == 0:
        k0, k1 = U32.type(k0), U32.type(k1)
    else:
        k0, k1 = np.broadcast_to(k0, shape), np.broadcast_to(k1, shape)
    hash_blocks(k0, k1, x0, x1)
    return [x0, x1]


def _u32_samples() -> Iterable[Sample]:
    words = np.array([0, 1, 2, 0x13198A2E, _MASK], U32)
    yield Sample((words, words[::-1].copy(), words * U32.type(3), words))
    yield Sample((words[3], words[4], np.arange(600, dtype=U32), np.arange(600, dtype=U32)))


define(
    "threefry2x32",
    kind="random",
    infer=threefry2x32_infer,
    numpy=threefry2x32_numpy,
    samples=_u32_samples,
    tolerance=0.0,
    multiple_results=True,
)

# Keys: seed, wrap, unwrap, clone, split, fold_in


def _key_samples(**params: Any) -> Any:
    def samples() -> Iterable[Sample]:
        key = ShapedArray((), KeyDtype("fry"))
        yield Sample((key,), params)
        yield Sample((ShapedArray((3,), KeyDtype("fry")),), params)

    return samples


def check_key(op: str, keys: ShapedArray) -> None:
    if not isinstance(keys.dtype, KeyDtype):
        raise TypeError(f"{op} takes key arrays, got an array of dtype {keys.dtype}.")


def random_seed_infer(seeds: ShapedArray, *, impl: str) -> ShapedArray:
    if isinstance(seeds.dtype, KeyDtype) or seeds.dtype.kind not in "iu":
        raise TypeError(f"PRNG key seed must be an integer; got {seeds}")
    return ShapedArray(seeds.shape, KeyDtype(impl))


def random_seed_numpy(seeds: np.ndarray, *, impl: str) -> np.ndarray:
    seeds = np.asarray(seeds)
    out = np.zeros((*seeds.shape, 2), U32)
    wide = seeds.astype(np.int64) if seeds.dtype.kind == "i" else seeds.astype(np.uint64)
    if seeds.dtype.itemsize == 8:  # a narrow seed has no high word, even a negative one
        out[..., 0] = wide.view(np.uint64) >> np.uint64(32)
    out[..., 1] = wide.view(np.uint64) & np.uint64(_MASK)
    return np.concatenate([out] * (KEY_WORDS[impl] // 2), axis=-1)


define(
    "random_seed",
    kind="random",
    params=("impl",),
    infer=random_seed_infer,
    numpy=random_seed_numpy,
    samples=lambda: [Sample((np.array(s, d),), {"impl": "fry"}) for s, d in
                     ((7, np.int32), (-1, np.int32), (3, np.uint8), (2**40 + 1, np.int64))],
    tolerance=0.0,
)  # fmt: skip


def random_wrap_infer(words: ShapedArray, *, impl: str) -> ShapedArray:
    if words.dtype != U32 or words.ndim < 1 or words.shape[-1] != KEY_WORDS[impl]:
        wanted = f"(..., {KEY_WORDS[impl]})"
        raise TypeError(f"random_wrap takes uint32 words of shape {wanted}, got {words}.")
    return ShapedArray(words.shape[:-1], KeyDtype(impl))


define(
    "random_wrap",
    kind="random",
    params=("impl",),
    infer=random_wrap_infer,
    numpy=lambda words, *, impl: words.copy(),
    samples=lambda: [Sample((ShapedArray((3, 2), U32),), {"impl": "fry"})],
    tolerance=0.0,
)


def random_unwrap_infer(keys: ShapedArray) -> ShapedArray:
    check_key("random_unwrap", keys)
    return ShapedArray(keys.shape + keys.dtype.key_shape, U32)


define(
    "random_unwrap",
    kind="random",
    infer=random_unwrap_infer,
    numpy=lambda keys: keys.copy(),
    samples=_key_samples(),
    tolerance=0.0,
)


def random_clone_infer(keys: ShapedArray) -> ShapedArray:
    return keys


define(
    "random_clone",
    kind="random",
    infer=random_clone_infer,
    numpy=lambda keys: keys.copy(),
    samples=_key_samples(),
    tolerance=0.0,
)


# A key of rbg is two keys of Threefry: they are split, and data folded into them, one by one.


def random_split_infer(keys: ShapedArray, *, shape: tuple[int, ...]) -> ShapedArray:
    check_key("random_split", keys)
    return ShapedArray((*keys.shape, *shape), keys.dtype)


def random_split_numpy(
    keys: np.ndarray, *, shape: tuple[int, ...], partitionable: bool = False
) -> np.ndarray:
    if keys.shape[-1] == 4:
        halves = [random_split_numpy(half, shape=shape, partitionable=partitionable)
                  for half in (keys[..., :2], keys[..., 2:])]  # fmt: skip
        return np.concatenate(halves, axis=-1)
    if partitionable:
        return np.stack(hash_index(keys, shape), axis=-1)
    return hash_iota(keys, 2 * math.prod(shape)).reshape(*keys.shape[:-1], *shape, 2)


define(
    "random_split",
    kind="random",
    params=("shape",),
    infer=random_split_infer,
    numpy=random_split_numpy,
    samples=_key_samples(shape=(3,)),
    tolerance=0.0,
)


def random_fold_in_infer(keys: ShapedArray, msgs: ShapedArray) -> ShapedArray:
    check_key("random_fold_in", keys)
    if msgs.dtype != U32:
        raise TypeError(f"random_fold_in takes uint32 data, got {msgs}.")
    return ShapedArray(np.broadcast_shapes(keys.shape, msgs.shape), keys.dtype)


def random_fold_in_numpy(keys: np.ndarray, msgs: np.ndarray) -> np.ndarray:
    if keys.shape[-1] == 4:
        halves = [random_fold_in_numpy(half, msgs) for half in (keys[..., :2], keys[..., 2:])]
        return np.concatenate(halves, axis=-1)
    if keys.ndim == 1 and np.ndim(msgs) == 0:  # the block is the message's seed: (0, msg)
        return np.array(hash_block(int(keys[0]), int(keys[1]), 0, int(msgs)), U32)
    zero = np.zeros((), U32)
    return np.stack(threefry2x32_numpy(keys[..., 0], keys[..., 1], zero, msgs), axis=-1)


define(
    "random_fold_in",
    kind="random",
    infer=random_fold_in_infer,
    numpy=random_fold_in_numpy,
    samples=lambda: [
        Sample((ShapedArray((), KeyDtype("fry")), np.array(5, U32))),
        Sample((ShapedArray((4,), KeyDtype("fry")), np.arange(4, dtype=U32))),
    ],
    tolerance=0.0,
)

# random_bits


def random_bits_infer(keys: ShapedArray, *, bit_width: int, shape: tuple[int, ...]) -> ShapedArray:
    check_key("random_bits", keys)
    if bit_width not in UINTS:
        raise TypeError(f"random_bits takes a bit width of 8, 16, 32 or 64, got {bit_width}.")
    return ShapedArray((*keys.shape, *shape), UINTS[bit_width])


def random_bits_numpy(
    keys: np.ndarray, *, bit_width: int, shape: tuple[int, ...], partitionable: bool = False
) -> np.ndarray:
    dtype = UINTS[bit_width]
    full = (*keys.shape[:-1], *shape)
    if partitionable:
        high, low = hash_index(keys, shape)
        if bit_width == 64:
            return (high.astype(dtype) << np.uint64(32)) | low
        high ^= low
        return high.astype(dtype, copy=False).reshape(full)
    size = math.prod(shape)
    words = hash_iota(keys, -(-bit_width * size // 32))
    if bit_width == 32:
        return words.reshape(full)
    if bit_width == 64:
        return ((words[..., :size].astype(dtype) << np.uint64(32)) | words[..., size:]).reshape(
            full
        )
    narrow = np.ascontiguousarray(words).astype("<u4", copy=False).view(dtype.newbyteorder("<"))
    return np.ascontiguousarray(narrow[..., :size]).astype(dtype, copy=False).reshape(full)


def _bits_samples() -> Iterable[Sample]:
    for shape in ((), (2,), (0,)):
        for width, drawn in ((32, (5,)), (32, (1000,)), (16, (3, 5)), (8, (7,)), (64, (3,))):
            yield Sample(
                (ShapedArray(shape, KeyDtype("fry")),), {"bit_width": width, "shape": drawn}
            )


define(
    "random_bits",
    kind="random",
    params=("bit_width", "shape"),
    infer=random_bits_infer,
    numpy=random_bits_numpy,
    samples=_bits_samples,
    tolerance=0.0,
)

# random_gamma: a rejection loop for every element, so it has no kernel of its own. The frontend
# writes it out as loops over the ops above, for eager calls and for compilation.


def random_gamma_infer(keys: ShapedArray, a: ShapedArray, *, log_space: bool) -> ShapedArray:
    check_key("random_gamma", keys)
    return a


define(
    "random_gamma",
    kind="random",
    params=("log_space",),
    infer=random_gamma_infer,
    samples=None,
)
