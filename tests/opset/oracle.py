"""Real JAX's primitives by name, and our parameters in its terms."""

from __future__ import annotations

from typing import Any

import pytest

jax = pytest.importorskip("jax")


def primitives() -> dict[str, Any]:
    """JAX's primitives by the name they print with."""
    from jax._src import ad_util
    from jax._src.lax import lax

    found = {p.name: p for n, p in vars(jax.lax).items() if n.endswith("_p")}
    return {**found, "add_any": ad_util.add_jaxvals_p, "mulhi": lax.mulhi_p}


def parameters(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters with our enums and tuples replaced by JAX's of the same name."""
    return {k: _translate(v) for k, v in params.items()}


def _translate(value: Any) -> Any:
    theirs = getattr(jax.lax, type(value).__name__, None)
    if theirs is None or not isinstance(theirs, type):
        return value
    if hasattr(value, "_asdict"):
        return theirs(**value._asdict())
    return theirs[value.name] if hasattr(value, "name") else value
