"""The primitive of kernels written as MLIR text; `jaxc.extend.mlir_kernel` makes them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from jaxc.core.primitive import primitive
from jaxc.lax.control_flow.scanning import map as map_rows
from jaxc.transforms import ad, batching
from jaxc.transforms.jit import jit

mlir_kernel_p = primitive("mlir_kernel")


@functools.lru_cache(maxsize=256)
def _compiled(kernel: str, text: str) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        return mlir_kernel_p.bind(*args, kernel=kernel, text=text)

    run.__name__ = kernel
    return jit(run)


def _run(*args: Any, kernel: str, text: str) -> list[Any]:
    """There is no NumPy kernel: an eager call is a compiled program of one op."""
    return list(_compiled(kernel, text)(*args))


def _jvp(primals: Any, tangents: Any, *, kernel: str, text: str) -> Any:
    raise NotImplementedError(
        f"mlir_kernel {kernel} has no derivative: state one, as in mlir_kernel(text, jvp=rule)"
    )


def _transpose(cts: Any, *args: Any, kernel: str, text: str) -> Any:
    raise NotImplementedError(
        f"mlir_kernel {kernel} is applied to a tangent and cannot be transposed: write the tangent "
        "of its JVP rule with operations of jax.numpy"
    )


def _batch(args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
    """One row after the other: nothing is known of what the text does."""
    rows = [batching.moveaxis(a, d, 0) for a, d in zip(args, dims) if d is not None]

    def row(mapped: Any) -> Any:
        given = iter(mapped)
        full = [a if d is None else next(given) for a, d in zip(args, dims)]
        return tuple(mlir_kernel_p.bind(*full, **params))

    outs = map_rows(row, tuple(rows))
    return list(outs), [0] * len(outs)


mlir_kernel_p.impl = _run
ad.primitive_jvps[mlir_kernel_p] = _jvp
ad.primitive_transposes[mlir_kernel_p] = _transpose
batching.primitive_batchers[mlir_kernel_p] = _batch
