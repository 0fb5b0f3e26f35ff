"""Random keys: making, splitting, folding data in, and taking them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.core.array import Array
from jaxc.core.config import config
from jaxc.core.trace import Tracer
from jaxc.numpy.creation import canonicalize_shape
from jaxc.random.primitives import (
    random_bits_p,
    random_clone_p,
    random_fold_in_p,
    random_seed_p,
    random_split_p,
    random_unwrap_p,
    random_wrap_p,
)
from jaxc_compiler.opset.avals import KeyDtype

_TAGS = {"threefry2x32": "fry", "rbg": "rbg", "unsafe_rbg": "urbg"}
_NAMES = {tag: name for name, tag in _TAGS.items()}
_NOT_HERE = ("philox2x32", "philox4x32", "threefry4x32")


def resolve_impl(spec: Any) -> str:
    """The tag of a generator given by name or key dtype, or of the default one.

    Raises:
      ValueError: an unknown name.
      NotImplementedError: a generator of JAX that jaxc does not have.
      TypeError: neither a name nor a key dtype.
    """
    if spec is None:
        spec = config.jax_default_prng_impl
    if isinstance(spec, KeyDtype):
        return spec.impl
    if not isinstance(spec, str):
        raise TypeError(f"unrecognized type {type(spec)} for specifying PRNG implementation.")
    if spec in _TAGS:
        return _TAGS[spec]
    if spec in _NOT_HERE:
        raise NotImplementedError(
            f"PRNG implementation {spec!r}: not one of those here: {', '.join(_TAGS)}"
        )
    raise ValueError(
        f'unrecognized PRNG implementation "{spec}". Did you mean one of: "threefry2x32"?'
    )


def is_key_array(x: Any) -> bool:
    return isinstance(x, Array | Tracer) and isinstance(x.dtype, KeyDtype)


def wrap_words(words: Any, impl: str) -> Any:
    """Key array over uint32 words along the last axis, checked."""
    problem = None
    if not all(hasattr(words, name) for name in ("ndim", "shape", "dtype")):
        problem = f"expected key_data to have ndim, shape, and dtype attributes. Got {words}"
    elif words.ndim < 1:
        problem = f"expected key_data.ndim >= 1; got ndim={words.ndim}"
    elif tuple(words.shape[-1:]) != (wanted := KeyDtype(impl).key_shape):
        problem = f"expected key_data.shape to end with {wanted}; got shape={words.shape}"
        problem += f" for {impl}"
    elif words.dtype != np.uint32:
        problem = f"expected key_data.dtype = uint32; got dtype={words.dtype}"
    if problem is not None:
        raise TypeError(f"invalid PRNG key data: {problem}")
    return random_wrap_p.bind(words, impl=impl)


def check_key(name: str, key: Any, allow_batched: bool = False) -> tuple[Any, bool]:
    """The key as a typed key, and whether it came as raw words.

    Raises:
      TypeError: no key at all, or words of a wrong shape or dtype.
      ValueError: an array of keys where one is wanted.
    """
    if is_key_array(key):
        typed, raw = key, False
    elif isinstance(key, Array | Tracer | np.ndarray | np.generic | int | float | complex):
        typed, raw = wrap_words(key, resolve_impl(None)), True
        if config.jax_legacy_prng_key == "error":
            raise ValueError(
                "Legacy uint32 key array passed as key to jax.random function. Please create keys "
                'using jax.random.key(), or set jax_legacy_prng_key="allow".'
            )
    elif hasattr(key, "__jax_array__"):
        return check_key(name, key.__jax_array__(), allow_batched)
    else:
        raise TypeError(f"unexpected PRNG key type {type(key)}")
    if typed.ndim and not allow_batched:
        raise ValueError(
            f"{name} accepts a single key, but was given a key array of shape "
            f"{np.shape(key)} != (). Use jax.vmap for batching."
        )
    return typed, raw


def one_key(name: str, key: Any) -> Any:
    """A single typed key."""
    return key if is_key_array(key) and not key.shape else check_key(name, key)[0]


def _as_given(keys: Any, raw: bool) -> Any:
    return random_unwrap_p.bind(keys) if raw and not config.jax_enable_custom_prng else keys


def _seeded(name: str, seed: Any, spec: Any) -> Any:
    impl = resolve_impl(spec)
    if is_key_array(seed):
        raise TypeError(f"{name} accepts a scalar seed, but was given a PRNG key.")
    if np.ndim(seed):
        raise TypeError(
            f"{name} accepts a scalar seed, but was given an array of shape {np.shape(seed)} != "
            "(). Use jax.vmap for batching"
        )
    if isinstance(seed, int):
        # Wider than the default integer on purpose: large seeds are cut, not refused.
        seed = np.asarray(np.int64(seed)).astype(dtypes.canonicalize_dtype(np.int64))
    return random_seed_p.bind(jnp.asarray(seed), impl=impl)


def key(seed: Any, *, impl: Any = None, dtype: Any = None) -> Any:
    """A typed random key.

    Args:
      seed: an integer scalar, concrete or traced.
      impl: the generator's name. Keys of "rbg" and "unsafe_rbg" can be made, and those of "rbg"
        split; only "threefry2x32", the default, gives random bits.
      dtype: the generator by key dtype instead.

    >>> import jaxc as jax
    >>> jax.random.key(0).dtype
    key<fry>
    """
    if dtype is not None and impl is not None:
        raise ValueError("Cannot specify both `impl` and `dtype` arguments to jax.random.key")
    return _seeded("key", seed, impl if dtype is None else dtype)


def PRNGKey(seed: Any, *, impl: Any = None) -> Any:
    """A random key as two raw uint32 words: the older form of `key`.

    >>> import jaxc as jax
    >>> jax.random.PRNGKey(7)
    Array([0, 7], dtype=uint32)
    """
    return _as_given(_seeded("PRNGKey", seed, impl), True)


def split(key: Any, num: int | tuple[int, ...] = 2) -> Any:
    """New keys made from one; use them and never the old one again.

    Args:
      key: a single key.
      num: how many, or the shape of the key array.
    """
    typed, raw = check_key("split", key)
    return _as_given(split_key(typed, num), raw)


def split_key(key: Any, num: int | tuple[int, ...] = 2) -> Any:
    """`split` of a typed key."""
    _check_derivable(key)
    shape = tuple(num) if isinstance(num, Sequence) else (num,)
    return random_split_p.bind(key, shape=canonicalize_shape(shape))


def _check_derivable(key: Any) -> None:
    if key.dtype.impl == "urbg":
        raise NotImplementedError("new keys from an unsafe_rbg key: they are its random bits")


def fold_in(key: Any, data: Any) -> Any:
    """The key that a key and an integer give: as random, and reproducible from the two."""
    typed, raw = check_key("fold_in", key)
    if np.ndim(data):
        raise TypeError(
            f"fold_in accepts a scalar, but was given an array of shape {np.shape(data)} != (). "
            "Use jax.vmap for batching."
        )
    _check_derivable(typed)
    return _as_given(random_fold_in_p.bind(typed, jnp.asarray(data, dtype="uint32")), raw)


def key_data(keys: Any) -> Any:
    """The uint32 words of keys, along a new last axis."""
    return random_unwrap_p.bind(check_key("key_data", keys, allow_batched=True)[0])


def wrap_key_data(key_bits_array: Any, *, impl: Any = None, dtype: Any = None) -> Any:
    """Keys from their words: the inverse of `key_data`."""
    if dtype is not None and impl is not None:
        raise ValueError(
            "Cannot specify both `impl` and `dtype` arguments to jax.random.wrap_key_data"
        )
    return wrap_words(key_bits_array, resolve_impl(impl if dtype is None else dtype))


def key_impl(keys: Any) -> str:
    """The name of the keys' generator."""
    typed, _ = check_key("key_impl", keys, allow_batched=True)
    return _NAMES[typed.dtype.impl]


def key_dtype(impl_spec: Any = None) -> KeyDtype:
    """The dtype of a generator's key arrays."""
    return KeyDtype(resolve_impl(impl_spec))


def clone(key: Any) -> Any:
    """The same key, for use a second time where key reuse is checked."""
    return random_clone_p.bind(key)


def random_bits(key: Any, bit_width: int, shape: tuple[int, ...]) -> Any:
    return random_bits_p.bind(key, bit_width=bit_width, shape=shape)
