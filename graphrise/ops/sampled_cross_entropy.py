"""Cross-entropy of ragged soft labels where the softmax is over a weighted sample of labels."""

from __future__ import annotations

import torch
from torch import Tensor

from graphrise.errors import ConfigError


def sampled_cross_entropy(
    logits: Tensor,
    own: Tensor,
    row: Tensor,
    column: Tensor,
    weight: Tensor,
    count: Tensor,
    *,
    smoothing: float = 0.0,
    num_labels: int | None = None,
) -> Tensor:
    """Per-image `- sum_k q_k log(exp(s_k) / Z)`.

    `Z = sum_own exp(own) + sum_c count_c exp(logits_c)`, the second sum over the columns that are
    not the image's own. With counts `1 / P(c is sampled)` of sampled columns (0 of others) Z is an
    unbiased estimate of the sum over all labels; with all columns sampled and counts 1 the loss is
    that of `soft_cross_entropy`.

    Args:
        logits: `[B, R]`.
        own: `[E]`, the logits of the images' own labels (`logits[row, column]`, or less by a
            margin).
        row: int64 `[E]` in `[0, B)`, image of each entry; a pair (row, column) must not repeat.
        column: int64 `[E]` in `[0, R)`, its label's column.
        weight: `[E]`, its share; an image's shares sum to 1, or it has none and loss 0.
        count: `[R]`, what each column counts, not negative.
        smoothing: Epsilon in [0, 1): `q = (1 - epsilon) q_row + epsilon / num_labels`, its sum over
            all labels estimated from the sample.
        num_labels: C, needed with smoothing.

    Returns:
        `[B]` losses.

    Raises:
        ConfigError: Shapes do not fit.
    """
    if (
        logits.dim() != 2
        or count.shape != logits.shape[1:]
        or not (own.shape == row.shape == column.shape == weight.shape)
    ):
        raise ConfigError(
            "sampled_cross_entropy: logits [B, R], count [R], own, row, column, weight [E]; got "
            f"{list(logits.shape)}, {list(count.shape)}, {list(own.shape)}, {list(row.shape)}, "
            f"{list(column.shape)}, {list(weight.shape)}"
        )
    # Finite, so that a row of nothing has a gradient, of 0.
    nothing = torch.finfo(logits.dtype).min / 2
    log_count = count.log().clamp(min=nothing)
    entries = (row, column)
    shifted = (logits + log_count).index_put_(entries, own)
    log_z = shifted.logsumexp(dim=1)
    zeros = log_z.new_zeros(logits.size(0))
    labelled = torch.zeros_like(zeros, dtype=torch.bool).index_fill(0, row, True)
    loss = torch.where(labelled, log_z, 0) - zeros.index_add(0, row, weight * own)
    if smoothing == 0:
        return loss
    if num_labels is None:
        raise ConfigError("sampled_cross_entropy: smoothing needs num_labels")
    others = logits @ count - zeros.index_add(0, row, count[column] * logits[entries])
    mean = (others + zeros.index_add(0, row, own)) / num_labels
    return (1 - smoothing) * loss + smoothing * torch.where(labelled, log_z - mean, 0)
