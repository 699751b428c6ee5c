"""The label head: a softmax over all labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphrise.errors import ConfigError
from graphrise.nn.heads.logits import LogitRule
from graphrise.ops.cross_entropy import soft_cross_entropy
from graphrise.ops.linear_cross_entropy import linear_cross_entropy

_LARGE = 1 << 24
"""Logits from which on they are not held: 64 MiB of float32, several times that in training."""


class FullSoftmax(nn.Module):
    """Exact softmax cross-entropy over C labels with ragged soft targets.

    Few logits `[B, C]` are held. From 2^24 on, unless there is a margin, they are not: the loss is
    `ops.linear_cross_entropy`'s, in the table's dtype also under autocast. Table, its gradient and
    the optimiser's state are dense, and cosines take a normalised copy of the table and the
    gradient of that.
    """

    def __init__(
        self,
        dim: int,
        num_labels: int,
        *,
        rule: LogitRule | None = None,
        smoothing: float = 0.1,
    ) -> None:
        """Make the label table.

        Args:
            dim: Embedding dimension D.
            num_labels: C.
            rule: Logits: cosines where it has a scale, else linear with a bias; None: linear.
            smoothing: Label smoothing epsilon in [0, 1).

        Raises:
            ConfigError: There are no labels.
        """
        super().__init__()
        if num_labels < 1:
            raise ConfigError("the label head needs at least one label")
        self.rule, self.smoothing = rule or LogitRule(), smoothing
        self.weight = nn.Parameter(torch.randn(num_labels, dim) / dim**0.5)
        linear = self.rule.scale is None
        self.bias = nn.Parameter(torch.zeros(num_labels)) if linear else None

    def logits(self, z: Tensor) -> Tensor:
        """Logits `[B, C]` of embeddings `[B, D]`, without margin."""
        return self.rule.all(z, self.weight, self.bias)

    def forward(self, z: Tensor, row: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        """Mean over the images of `- sum_k q_k log p_k`.

        Args:
            z: Embeddings `[B, D]`.
            row: int64 `[E]`, image of each label entry.
            index: int64 `[E]`, its label; an image has a label once.
            weight: float32 `[E]`, its share.

        Returns:
            Scalar loss.

        Raises:
            DataError: An entry is out of range, where the logits are not held.
        """
        if self.rule.margin is None and len(z) * len(self.weight) >= _LARGE:
            return self._unheld(z, row, index, weight)
        logits = self.logits(z)
        if self.rule.margin is not None:
            half = logits.dtype in (torch.float16, torch.bfloat16)
            logits = logits.float() if half else logits
            logits = logits.index_put((row, index), self.rule.own(logits[row, index]))
        return soft_cross_entropy(logits, row, index, weight, self.smoothing).mean()

    def _unheld(self, z: Tensor, row: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            z, labels, bias = self.rule.factors(z.to(self.weight.dtype), self.weight, self.bias)
            losses = linear_cross_entropy(
                z, labels, row, index, weight, bias=bias, smoothing=self.smoothing
            )
        return losses.mean()
