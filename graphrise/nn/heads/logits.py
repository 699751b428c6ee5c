"""From embeddings and label vectors to logits: linear or cosine, with a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from graphrise.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class LogitRule:
    """How a logit follows from an embedding and a label's vector.

    Attributes:
        scale: With a number, the cosine times it; None: the inner product.
        temperature: Divides the inner product; of a cosine it is `1 / scale`.
        margin: What a label must win by: None, "arcface" (radians, Deng et al., CVPR 2019) or
            "cosface" (cosine, Wang et al., CVPR 2018); of cosines only.
        margin_size: How much.
    """

    scale: float | None = None
    temperature: float = 1.0
    margin: Literal["arcface", "cosface"] | None = None
    margin_size: float = 0.0

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ConfigError: A number is out of range, or a margin without cosines.
        """
        if self.temperature <= 0 or (self.scale is not None and self.scale <= 0):
            raise ConfigError("logits: scale and temperature must be above 0")
        if self.scale is not None and self.temperature != 1:
            raise ConfigError("logits: a scale is 1 / temperature; give one of both")
        if self.margin not in (None, "arcface", "cosface"):
            raise ConfigError(f"logits: margin is arcface, cosface or none, not {self.margin!r}")
        if self.margin and self.scale is None:
            raise ConfigError("logits: a margin needs cosines, so a scale")
        if self.margin_size < 0:
            raise ConfigError("logits: margin_size must not be negative")

    def all(self, z: Tensor, labels: Tensor, bias: Tensor | None = None) -> Tensor:
        """Logits `[B, R]` without margin.

        Args:
            z: Embeddings `[B, D]`.
            labels: Label vectors `[R, D]`.
            bias: `[R]`, added to inner products; cosines have none.
        """
        if self.scale is None:
            logits = F.linear(z, labels, bias)
            return logits if self.temperature == 1 else logits / self.temperature
        return self.scale * F.linear(F.normalize(z, dim=1), F.normalize(labels, dim=1))

    def factors(
        self, z: Tensor, labels: Tensor, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Embeddings, label vectors and bias whose inner products, plus bias, are `all`'s logits.

        Of cosines the label vectors are a normalised copy.

        Args:
            z: Embeddings `[B, D]`.
            labels: Label vectors `[R, D]`.
            bias: `[R]`; cosines have none.
        """
        if self.scale is not None:
            return self.scale * F.normalize(z, dim=1), F.normalize(labels, dim=1), None
        if self.temperature == 1:
            return z, labels, bias
        return z / self.temperature, labels, None if bias is None else bias / self.temperature

    def own(self, logits: Tensor) -> Tensor:
        """What the logits of an image's own labels, any shape, become under the margin."""
        if self.margin is None or self.scale is None or self.margin_size == 0:
            return logits
        if self.margin == "cosface":
            return logits - self.scale * self.margin_size
        # Not at 1 itself, where the angle has no derivative.
        edge = 1 - 1e-6
        cosine = (logits / self.scale).clamp(-edge, edge)
        angle = torch.acos(cosine) + self.margin_size
        # Past half a turn the cosine rises again; as in the paper's code it goes on falling there.
        beyond = cosine - self.margin_size * math.sin(self.margin_size)
        return self.scale * torch.where(angle <= torch.pi, torch.cos(angle), beyond)
