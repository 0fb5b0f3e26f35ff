"""Element rules of Threefry-2x32 and of the key operations that reduce to it.

A key scalar is an i64, its first word in the low half. Both streams are given: `partitionable`
hashes each element's 64-bit linear index; the original one cuts the counters into two halves.
"""

from __future__ import annotations

import math
from typing import Any

from jaxc_compiler.lowering.element.base import Index, Scalar, ScalarBuilder
from jaxc_compiler.lowering.element.pointwise import int_bits, kind
from jaxc_compiler.lowering.element.values import ELEMENT, POINTWISE, linearize, rule

Indices = tuple[Index, ...]
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry(
    b: ScalarBuilder, k0: Scalar, k1: Scalar, x0: Scalar, x1: Scalar
) -> tuple[Scalar, Scalar]:
    """The 20-round Threefry-2x32 block (Salmon et al., SC 2011)."""
    i = b.ints(32)
    keys = (k0, k1, i.xor(i.xor(k0, k1), 0x1BD11BDA))
    x0, x1 = i.add(x0, k0), i.add(x1, k1)
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x0 = i.add(x0, x1)
            turned = i.or_(i.shl(x1, rotation), i.lshr(x1, 32 - rotation))
            x1 = i.xor(x0, turned)
        x0 = i.add(x0, keys[(group + 1) % 3])
        x1 = i.add(x1, i.add(keys[(group + 2) % 3], group + 1))
    return x0, x1


def key_words(b: ScalarBuilder, key: Scalar) -> tuple[Scalar, Scalar]:
    """The two 32-bit words of a key."""
    words = b.ints(32)
    high = b.ints(64).lshr(key, 32)
    return words.cast("arith.trunci", key), words.cast("arith.trunci", high)


def make_key(b: ScalarBuilder, k0: Scalar, k1: Scalar) -> Scalar:
    """A key of two words."""
    wide = b.ints(64)
    high = wide.shl(wide.cast("arith.extui", k1), 32)
    return wide.or_(wide.cast("arith.extui", k0), high)


def _threefry2x32(b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any) -> list[Scalar]:
    scalars = []
    for x in operands:
        shape = x.aval.shape
        own = index[len(index) - len(shape) :]
        scalars.append(x.at(b, tuple(0 if n == 1 else i for i, n in zip(own, shape))))
    return list(threefry(b, *scalars))


ELEMENT["threefry2x32"] = _threefry2x32


@rule("random_wrap")
def random_wrap(b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any, **_: Any) -> Scalar:
    words = operands[0]
    return make_key(b, words.at(b, (*index, 0)), words.at(b, (*index, 1)))


@rule("random_unwrap")
def random_unwrap(b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any) -> Scalar:
    return _word(b, key_words(b, operands[0].at(b, index[:-1])), index[-1])


def _word(b: ScalarBuilder, words: tuple[Scalar, Scalar], which: Index) -> Scalar:
    return b.select(b.icmp("eq", which, 0), *words)


@rule("random_seed")
def random_seed(b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any, **_: Any) -> Scalar:
    """The key (high word, low word) of an integer; a narrow one has no high word."""
    dtype = operands[0].aval.dtype
    seed = operands[0].at(b, index)
    words = b.ints(32)
    if int_bits(dtype) == 64:
        high = words.cast("arith.trunci", b.ints(64).lshr(seed, 32))
        return make_key(b, high, words.cast("arith.trunci", seed))
    if int_bits(dtype) < 32:
        seed = words.cast("arith.extsi" if kind(dtype) == "i" else "arith.extui", seed)
    return make_key(b, words.c(0), seed)


@rule("random_clone")
def random_clone(b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any) -> Scalar:
    return operands[0].at(b, index)


@rule("random_fold_in")
def random_fold_in(b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any) -> Scalar:
    keys, data = operands
    key, word = (x.at(b, index if x.aval.shape else ()) for x in (keys, data))
    return make_key(b, *threefry(b, *key_words(b, key), b.ints(32).c(0), word))


def _iota_word(b: ScalarBuilder, key: Scalar, position: Index, count: int) -> Scalar:
    """Word `position` of the original stream's `count` words."""
    half = (count + 1) // 2
    first = b.icmp("lt", position, half)
    x0 = position if first is True else b.isub(position, half)
    if not isinstance(first, bool):
        at = b.isub(position, half)
        x0 = b.op("arith.select", b.index_type, [first, b.index(position), b.index(at)])
    x1: Any = b.iadd(x0, half)
    low = b.from_index(x0, 32)
    high = b.from_index(x1, 32)
    if count % 2:  # the last pair is padded with a zero counter
        inside = b.icmp("lt", x1, count)
        high = b.select(inside, high, b.ints(32).c(0))
    return b.select(first, *threefry(b, *key_words(b, key), low, high))


def _index_words(b: ScalarBuilder, key: Scalar, position: Index) -> tuple[Scalar, Scalar]:
    """Both words of the partitionable stream at a linear index."""
    words = b.ints(32)
    wide = b.from_index(position, 64)
    high = words.cast("arith.trunci", b.ints(64).lshr(wide, 32))
    return threefry(b, *key_words(b, key), high, words.cast("arith.trunci", wide))


@rule("random_split")
def random_split(
    b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any,
    *, shape: tuple[int, ...], partitionable: bool = False,
) -> Scalar:  # fmt: skip
    keys = operands[0]
    batch = len(keys.aval.shape)
    key = keys.at(b, index[:batch])
    position = linearize(b, index[batch:], shape)
    if partitionable:
        return make_key(b, *_index_words(b, key, position))
    count, at = 2 * math.prod(shape), b.imul(position, 2)
    words = [_iota_word(b, key, b.iadd(at, k), count) for k in range(2)]
    return make_key(b, *words)


@rule("random_bits")
def random_bits(
    b: ScalarBuilder, operands: Any, index: Indices, out_aval: Any,
    *, bit_width: int, shape: tuple[int, ...], partitionable: bool = False,
) -> Scalar:  # fmt: skip
    keys = operands[0]
    batch = len(keys.aval.shape)
    key = keys.at(b, index[:batch])
    position = linearize(b, index[batch:], shape)
    result = b.ints(bit_width)
    if partitionable:
        first, second = _index_words(b, key, position)
        if bit_width == 64:
            return _join(b, first, second)
        word = b.ints(32).xor(first, second)
        return word if bit_width == 32 else result.cast("arith.trunci", word)
    size = math.prod(shape)
    count = -(-bit_width * size // 32)
    if bit_width == 32:
        return _iota_word(b, key, position, count)
    if bit_width == 64:
        low = _iota_word(b, key, b.iadd(position, size), count)
        return _join(b, _iota_word(b, key, position, count), low)
    per_word = 32 // bit_width
    word = _iota_word(b, key, b.idiv(position, per_word), count)
    shift = b.from_index(b.imul(b.imod(position, per_word), bit_width), 32)
    return result.cast("arith.trunci", b.ints(32).lshr(word, shift))


def _join(b: ScalarBuilder, high: Scalar, low: Scalar) -> Scalar:
    return make_key(b, low, high)


POINTWISE.add("random_clone")
