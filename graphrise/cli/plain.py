"""What jsonargparse gives, as plain values."""

from __future__ import annotations

from typing import Any

from jsonargparse import Namespace


def plain(value: Any) -> Any:
    """Jsonargparse's namespaces as plain dicts."""
    if isinstance(value, Namespace):
        return {k: plain(v) for k, v in vars(value).items()}
    return value
