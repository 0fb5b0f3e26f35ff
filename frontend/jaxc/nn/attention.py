"""Scaled dot-product attention with masks, lengths, windows and grouped heads."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxc import lax
from jaxc import numpy as jnp
from jaxc.core import dtypes
from jaxc.nn.activations import softmax
from jaxc.ops.special import logsumexp


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    query_seq_lengths: Any = None,
    key_value_seq_lengths: Any = None,
    local_window_size: int | tuple[int, int] | None = None,
    implementation: str | None = None,
    return_residual: bool = False,
) -> Any:
    """softmax(query keyT * scale + bias) value, head by head.

    Args:
      query: of shape (batch, T, N, H) or without batch; N is a multiple of K.
      key: of shape (batch, S, K, H).
      value: of shape (batch, S, K, H).
      bias: added to the logits, broadcast to (batch, N, T, S).
      mask: bools, broadcast to (batch, N, T, S); False hides.
      scale: of the logits; 1 / sqrt(H) by default.
      is_causal: hide later positions.
      query_seq_lengths: int32 of shape (batch,); results beyond are zero.
      key_value_seq_lengths: int32 of shape (batch,); positions beyond are hidden.
      local_window_size: positions visible to the left and to the right.
      implementation: None or "xla"; they are the same.
      return_residual: also return the log-sum-exp of the logits.

    Raises:
      ValueError: shapes or dtypes that do not go together.
      NotImplementedError: implementation "cudnn".
    """
    if implementation not in (None, "xla", "cudnn"):
        raise ValueError(f"Unsupported implementation option: {implementation}")
    if implementation == "cudnn":
        raise NotImplementedError("dot_product_attention: cuDNN is not used here")
    out_shape = jnp.shape(jnp.asarray(query))
    q, k, v, bias, mask = (
        None if x is None else _as_4d(x) for x in (query, key, value, bias, mask)
    )
    lengths = [
        None if x is None else jnp.asarray(x) for x in (query_seq_lengths, key_value_seq_lengths)
    ]
    _check_attention(q, k, v, bias, mask, *lengths)
    if isinstance(local_window_size, int):
        local_window_size = (local_window_size, local_window_size)
    visible = _visible(mask, is_causal, local_window_size, lengths, (q.shape[1], k.shape[1]))
    scale = 1.0 / np.sqrt(q.shape[-1]) if scale is None else scale
    encoded, residual = _attend(q, k, v, bias, visible, scale)
    if lengths[0] is not None:
        inside = jnp.arange(q.shape[1])[None, :] < lengths[0][:, None]
        encoded = encoded * inside[:, :, None, None].astype(encoded.dtype)
    encoded = jnp.reshape(encoded, out_shape)
    if not return_residual:
        return encoded
    return encoded, lax.stop_gradient(jnp.reshape(residual, out_shape[:-1]))


def _as_4d(x: Any) -> Any:
    x = jnp.asarray(x)
    missing = 4 - x.ndim
    return jnp.expand_dims(x, tuple(range(missing))) if missing > 0 else x


def _check_attention(
    q: Any, k: Any, v: Any, bias: Any, mask: Any, q_lengths: Any, kv_lengths: Any
) -> None:
    if k.ndim != 4:
        raise ValueError(f"key ndim should be 4, but got {k.ndim}")
    batch, _, heads, depth = k.shape
    int32 = np.dtype(np.int32)
    for name, x, shape, dtype in (
        ("value", v, k.shape, k.dtype),
        ("query", q, (batch, -1, -1, depth), k.dtype),
        ("mask", mask, (-1,) * 4, np.dtype(bool)),
        ("bias", bias, (-1,) * 4, None),
        ("query_seq_lengths", q_lengths, (batch,), int32),
        ("key_value_seq_lengths", kv_lengths, (batch,), int32),
    ):
        if x is None:
            continue
        if x.ndim != len(shape):
            raise ValueError(f"{name} ndim should be {len(shape)}, but got {x.ndim}")
        if dtype is not None and x.dtype != dtype:
            raise ValueError(f"{name} dtype should be {dtype}, but got {x.dtype}")
        if any(want not in (-1, got) for want, got in zip(shape, x.shape)):
            raise ValueError(f"{name} shape should be {list(shape)}: but got {x.shape}")
    if q.shape[-2] % heads:
        raise ValueError(
            "The number of query heads must be a multiple of key/value heads, but got "
            f"{q.shape[-2]} vs {heads}"
        )


def _visible(mask: Any, is_causal: bool, window: Any, lengths: Any, sizes: tuple[int, int]) -> Any:
    """All masks in one, broadcastable to (batch, heads, T, S); None if there is none."""
    queries, keys = jnp.arange(sizes[0])[:, None], jnp.arange(sizes[1])[None, :]
    parts = [] if mask is None else [mask]
    if is_causal:
        parts.append((queries >= keys)[None, None])
    if window is not None:
        left, right = window
        parts.append(((queries <= keys + left) & (queries >= keys - right))[None, None])
    for length, positions in zip(lengths, (queries, keys)):
        if length is not None:
            parts.append((positions < length[:, None, None])[:, None])
    if not parts:
        return None
    combined = parts[0]
    for part in parts[1:]:
        combined = jnp.logical_and(combined, part)
    return combined


def _attend(q: Any, k: Any, v: Any, bias: Any, visible: Any, scale: Any) -> tuple[Any, Any]:
    """Encoded values (batch, T, N, H) and log-sum-exps (batch, T, N)."""
    batch, length, heads, depth = q.shape
    kv_heads = k.shape[2]
    grouped = jnp.reshape(q, (batch, length, kv_heads, heads // kv_heads, depth))
    logits_dtype = dtypes.promote_types(q.dtype, np.float32)
    logits = jnp.einsum("BTKGH,BSKH->BKGTS", grouped, k, preferred_element_type=logits_dtype)
    logits = logits.reshape(batch, heads, length, k.shape[1])
    logits = logits * jnp.array(scale, dtype=logits.dtype)
    if bias is not None:
        logits = (logits + bias).astype(logits.dtype)
    if visible is not None:
        logits = jnp.where(visible, logits, _large_negative(logits.dtype))
    logits = logits.astype(np.float32)
    weights = softmax(logits, axis=-1).astype(k.dtype)
    weights = weights.reshape(batch, kv_heads, heads // kv_heads, length, k.shape[1])
    encoded = jnp.einsum("BKGTS,BSKH->BTKGH", weights, v)
    residual = jnp.transpose(logsumexp(logits, axis=-1).astype(k.dtype), (0, 2, 1))
    return jnp.reshape(encoded, (batch, length, heads, depth)), residual


def _large_negative(dtype: Any) -> Any:
    largest = min(float(dtypes.finfo(dtype).max), float(np.finfo(np.float32).max))
    return jnp.asarray(-0.7 * largest, dtype=dtype)
