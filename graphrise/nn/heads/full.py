"""The label head: a softmax over all labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphrise.errors import ConfigError
from graphrise.nn.heads.best import best_of
from graphrise.nn.heads.checks import demand_finite, demand_labels
from graphrise.nn.heads.logits import LogitRule
from graphrise.nn.heads.views import Views, mean_and_sums
from graphrise.ops.checks import check_index, checked_mode
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

    @torch.no_grad()
    def top_labels(self, z: Tensor, k: int, block: int = 1 << 16) -> tuple[Tensor, Tensor]:
        """The k labels of the largest logits, over blocks of labels.

        Args:
            z: Embeddings `[B, D]`.
            k: At most C.
            block: Labels at a time; the memory is that of `[B, block]` logits.

        Returns:
            Logits float `[B, k]`, falling, and labels int64 `[B, k]`.

        Raises:
            ConfigError: k is out of range.
            DataError: An embedding holds NaN or infinity.
        """
        count = len(self.weight)
        if not 1 <= k <= count:
            raise ConfigError(f"top_labels: k must be in 1..{count}, got {k}")
        demand_finite(z)

        def logits(first: int) -> Tensor:
            part = slice(first, first + block)
            bias = None if self.bias is None else self.bias[part]
            return self.rule.all(z, self.weight[part], bias)

        parts = ((at, logits(at)) for at in range(0, count, block))
        return best_of(parts, k, z.new_empty(len(z), 0))

    def forward(
        self, z: Tensor, row: Tensor, index: Tensor, weight: Tensor, views: Views | None = None
    ) -> Tensor:
        """Mean over the images of `- sum_k q_k log p_k`.

        Args:
            z: Embeddings `[B, D]`; with views `[B + V, D]`.
            row: int64 `[E]` in `[0, B)`, image of each label entry.
            index: int64 `[E]`, its label; an image has a label once.
            weight: float32 `[E]`, its share; an image's shares sum to 1, or it has none and loss 0.
            views: Further embeddings that are trained on the images' labels.

        Returns:
            Scalar loss; with views `[1 + T]`: that loss, and the views' weighted sums over B.

        Raises:
            DataError: An entry is out of range (looked for on CPUs, and on GPUs with
                GRAPHRISE_CHECKED=1; else torch's kernels stop at it where the logits are held, and
                it is left out where they are not).
        """
        if views is not None:
            row, entry = views.entries(row, len(z) - len(views.image))
            index, weight = index[entry], weight[entry]
        if self.rule.margin is None and len(z) * len(self.weight) >= _LARGE:
            losses = self._unheld(z, row, index, weight)
        else:
            losses = self._held(z, row, index, weight)
        return mean_and_sums(losses, views)

    def _held(self, z: Tensor, row: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        if checked_mode(z):
            demand_labels("full softmax", index, len(self.weight))
            check_index("full softmax", "row", row, len(z))
        else:
            # Of a negative label torch would make one from the end.
            index = torch.where(index < 0, len(self.weight), index)
        logits = self.logits(z)
        if self.rule.margin is not None:
            half = logits.dtype in (torch.float16, torch.bfloat16)
            logits = logits.float() if half else logits
            logits = logits.index_put((row, index), self.rule.own(logits[row, index]))
        return soft_cross_entropy(logits, row, index, weight, self.smoothing)

    def _unheld(self, z: Tensor, row: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            z, labels, bias = self.rule.factors(z.to(self.weight.dtype), self.weight, self.bias)
            return linear_cross_entropy(
                z, labels, row, index, weight, bias=bias, smoothing=self.smoothing
            )
