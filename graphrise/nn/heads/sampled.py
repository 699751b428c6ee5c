"""Softmax over the labels of a batch and a sample of the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphrise.errors import ConfigError
from graphrise.nn.heads.best import best_of
from graphrise.nn.heads.checks import demand_finite, demand_labels
from graphrise.nn.heads.logits import LogitRule
from graphrise.nn.heads.negatives import Drawn, Negatives, Uniform
from graphrise.nn.heads.table import LabelTable
from graphrise.nn.heads.views import Views, mean_and_sums
from graphrise.ops.sampled_cross_entropy import sampled_cross_entropy


class SampledSoftmax(nn.Module):
    """Cross-entropy of ragged soft labels against a softmax over sampled labels (paper section 3).

    Of each image: its own labels, and of the others a sample, shared by the batch, whose logits are
    corrected by the log of their expected count, so that the softmax's denominator is an unbiased
    estimate of that over all labels. An own label that was sampled too counts once, as its own.
    Only the rows of these labels are read and updated: a step costs the same whatever C is.

    Attributes:
        table: Label vectors; update them with `nn.RowwiseRMSprop([head.table])`.
        step: int64 scalar, training steps so far: what the next sample follows from.
    """

    step: Tensor

    def __init__(
        self,
        table: LabelTable,
        negatives: Negatives,
        *,
        rule: LogitRule | None = None,
        smoothing: float = 0.0,
    ) -> None:
        """Make the head.

        Args:
            table: Label vectors `[C, D]`.
            negatives: Draws labels.
            rule: Logits; None: inner products.
            smoothing: Label smoothing epsilon in [0, 1), spread over all C labels.

        Raises:
            ConfigError: The sampler is of another number of labels, or smoothing out of range.
        """
        super().__init__()
        if negatives.num_labels != table.num_labels:
            raise ConfigError(
                f"sampled softmax: a sampler of {negatives.num_labels} labels for a table of "
                f"{table.num_labels}"
            )
        if not 0 <= smoothing < 1:
            raise ConfigError(f"sampled softmax: smoothing must lie in [0, 1), got {smoothing}")
        self.table, self.negatives = table, negatives
        self.rule, self.smoothing = rule or LogitRule(), smoothing
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    _corrected = True

    def logits(self, z: Tensor) -> Tensor:
        """Logits `[B, C]` of embeddings `[B, D]` for every label, without margin."""
        everything = torch.arange(self.table.num_labels, device=self.table.weight.device)
        with torch.no_grad():
            labels = self.table.gather(everything, z.device)
        return self.rule.all(z.to(labels.dtype), labels)

    def forward(
        self, z: Tensor, row: Tensor, index: Tensor, weight: Tensor, views: Views | None = None
    ) -> Tensor:
        """Mean over the images of `- sum_k q_k log p_k`, on the labels of this step's sample.

        In training mode every call is a step and has a sample of its own.

        Args:
            z: Embeddings `[B, D]`; with views `[B + V, D]`.
            row: int64 `[E]` in `[0, B)`, image of each label entry.
            index: int64 `[E]` in `[0, C)`, its label; an image has a label once.
            weight: float `[E]`, its share; an image's shares sum to 1, or it has none and loss 0.
            views: Further embeddings that are trained on the images' labels, on the same sample.

        Returns:
            Scalar loss, float32 (float64 with such a table); with views `[1 + T]`: that loss, and
            the views' weighted sums over B.

        Raises:
            DataError: A label is out of range.
        """
        demand_labels("sampled softmax", index, self.table.num_labels)
        drawn = self.negatives.draw(int(self.step), index)
        if self.training:
            self.step += 1
        rows, own, count = chosen(drawn, index, corrected=self._corrected)
        if views is not None:
            row, entry = views.entries(row, len(z) - len(views.image))
            own, weight = own[entry], weight[entry]
        # Not under autocast: the products are small, and a sum of thousands of exponentials is not.
        with torch.autocast(z.device.type, enabled=False):
            labels = self.table.gather(rows, z.device)
            z = z.to(labels.dtype)
            logits = self.rule.all(z, labels)
            mine = self.rule.own(logits[row, own])
            share = weight.to(labels.dtype)
            losses = sampled_cross_entropy(
                logits,
                mine,
                row,
                own,
                share,
                count.to(labels.dtype),
                smoothing=self.smoothing,
                num_labels=self.table.num_labels,
            )
        return mean_and_sums(losses, views)

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
        if not 1 <= k <= self.table.num_labels:
            raise ConfigError(f"top_labels: k must be in 1..{self.table.num_labels}, got {k}")
        demand_finite(z)
        return best_labels(self.table, self.rule, z, k, block)


class PartialFC(SampledSoftmax):
    """The batch's labels and r sampled ones, uncorrected (An et al., CVPR 2022); soft ones too.

    The sample stands for itself and not for the labels that are not in it: what InsightFace trains
    face recognition with, usually with cosines and a margin.
    """

    _corrected = False

    def __init__(
        self,
        table: LabelTable,
        count: int,
        *,
        rule: LogitRule | None = None,
        smoothing: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Make the head.

        Args:
            table: Label vectors `[C, D]`.
            count: r, labels drawn uniformly a step, each once.
            rule: Logits; None: inner products.
            smoothing: Label smoothing epsilon in [0, 1).
            seed: The draws follow from it.

        Raises:
            ConfigError: r is out of range.
        """
        negatives = Uniform(table.num_labels, count, seed=seed)
        super().__init__(table, negatives, rule=rule, smoothing=smoothing)


def chosen(drawn: Drawn, index: Tensor, *, corrected: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The labels whose rows a step reads: those of the batch and the sampled ones.

    Args:
        drawn: The sample.
        index: int64 `[E]`, labels of the batch's entries.
        corrected: Whether a sampled label stands for the inverse of its expected count, or for
            itself.

    Returns:
        Labels int64 `[R]`, distinct and rising; int64 `[E]`, the place of each entry's among them;
        float `[R]`, what each stands for as a negative. Corrected, that is 0 of a label of the
        batch that was not sampled; else all of the batch's stand for themselves.
    """
    sampled = drawn.index.to(index.device)
    labels, place = torch.unique(torch.cat((index, sampled)), return_inverse=True)
    own, hits = place[: index.numel()], place[index.numel() :]
    count = torch.bincount(hits, minlength=labels.numel()).to(torch.float64)
    return labels, own, count / drawn.expected(labels) if corrected else count.index_fill(0, own, 1)


@torch.no_grad()
def best_labels(
    table: LabelTable, rule: LogitRule, z: Tensor, k: int, block: int
) -> tuple[Tensor, Tensor]:
    """The k rows of a table of the largest logits, over blocks of rows.

    Args:
        table: Label vectors `[C, D]`.
        rule: Logits.
        z: Embeddings `[B, D]`.
        k: In `1..C`.
        block: Rows at a time.

    Returns:
        Logits float `[B, k]`, falling, and rows int64 `[B, k]`.
    """

    def logits(first: int) -> Tensor:
        last = min(first + block, table.num_labels)
        labels = table.gather(torch.arange(first, last, device=table.weight.device), z.device)
        return rule.all(z.to(labels.dtype), labels)

    none = z.new_empty(len(z), 0, dtype=table.state.dtype)
    return best_of(((at, logits(at)) for at in range(0, table.num_labels, block)), k, none)
