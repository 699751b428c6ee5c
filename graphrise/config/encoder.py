"""The encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graphrise.config.base import require, tuples


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """phi(x): a timm CNN and a projection."""

    name: str = "resnet50"
    """Any name `timm.create_model` knows."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Further arguments for `timm.create_model`."""
    pretrained: bool = False
    """Load timm's weights (needs a network, or a local file in kwargs)."""
    dim: int = 64
    """Embedding dimension D; 64 is the paper's."""
    normalize: bool = True
    """L2-normalise the embedding."""

    def __post_init__(self) -> None:
        require(self.dim >= 1, "encoder.dim must be at least 1")
        object.__setattr__(self, "kwargs", tuples(self.kwargs))
