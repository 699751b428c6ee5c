"""The label head: a softmax over all labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphrise.errors import ConfigError
from graphrise.ops.cross_entropy import soft_cross_entropy


class FullSoftmax(nn.Module):
    """Exact softmax cross-entropy over C labels with ragged soft targets.

    Holds dense logits `[B, C]`: meant for C below about a million.
    """

    def __init__(
        self, dim: int, num_labels: int, *, scale: float | None = None, smoothing: float = 0.1
    ) -> None:
        """Make the label table.

        Args:
            dim: Embedding dimension D.
            num_labels: C.
            scale: With a number, cosine logits times it (embeddings of unit length); None: plain
                linear logits with a bias.
            smoothing: Label smoothing epsilon in [0, 1).

        Raises:
            ConfigError: There are no labels.
        """
        super().__init__()
        if num_labels < 1:
            raise ConfigError("the label head needs at least one label")
        self.weight = nn.Parameter(torch.randn(num_labels, dim) / dim**0.5)
        self.bias = nn.Parameter(torch.zeros(num_labels)) if scale is None else None
        self.scale, self.smoothing = scale, smoothing

    def logits(self, z: Tensor) -> Tensor:
        """Logits `[B, C]` of embeddings `[B, D]`."""
        if self.scale is None:
            return F.linear(z, self.weight, self.bias)
        return self.scale * F.linear(z, F.normalize(self.weight, dim=1))

    def forward(self, z: Tensor, row: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        """Mean over the images of `- sum_k q_k log p_k`.

        Args:
            z: Embeddings `[B, D]`.
            row: int64 `[E]`, image of each label entry.
            index: int64 `[E]`, its label.
            weight: float32 `[E]`, its share.

        Returns:
            Scalar loss.
        """
        return soft_cross_entropy(self.logits(z), row, index, weight, self.smoothing).mean()
